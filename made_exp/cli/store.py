"""The options of all groups in Hydra's store; registered when imported, with the resolvers."""

from hydra.core.config_store import ConfigStore

from made_exp.cli.resolvers import conf_dir
from made_exp.settings.experiment import OPTIONS, Settings


def register() -> None:
    """Put every option into Hydra's store: below schema/, from where its YAML file takes it.

    What has no file in conf/ is an option all the same.
    """
    store, folder = ConfigStore.instance(), conf_dir()
    store.store(group="schema", name="settings", node=Settings)
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            node = schema if schema.name == option else schema(name=option)
            store.store(group=f"schema/{group}", name=option, node=node)
            if not (folder / group / f"{option}.yaml").exists():
                store.store(group=group, name=option, node=node)


register()
