"""The schemas of all settings in Hydra's store. Registered when imported."""

from hydra.core.config_store import ConfigStore

from made_exp.settings.experiment import OPTIONS, Settings


def register() -> None:
    """Put every schema into Hydra's store, below schema/ so that they are no options."""
    store = ConfigStore.instance()
    store.store(group="schema", name="settings", node=Settings)
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            store.store(group=f"schema/{group}", name=option, node=schema)


register()
