"""What is kept on disk of tables that do not fit memory: `python -m made_exp.cli.cache --help`."""

import sys

from made_exp.cli.key_value import Command
from made_exp.errors import ConfigError
from made_exp.settings.commands import CacheSettings


def cache(settings: CacheSettings) -> str:
    """A line for each table that is kept, or was removed."""
    from made_exp.datasets.registry import default_data_dir
    from made_exp.datasets.storage import kept_tables, remove_table  # torch is imported only here
    from made_exp.memory import in_words

    lines, kept = [], list(kept_tables(default_data_dir()))
    if settings.remove not in (None, "all", *(place.name for place, _ in kept)):
        raise ConfigError(f"remove: no table '{settings.remove}' is kept; remove=null lists them")
    for place, size in kept:
        is_meant = settings.remove in ("all", place.name)
        if is_meant:
            remove_table(place)
        lines.append(f"{'removed ' if is_meant else ''}{place} ({in_words(size)})")
    return "\n".join(lines) or "no table is kept"


main = Command(
    "python -m made_exp.cli.cache",
    CacheSettings,
    cache,
    ("remove=null", "remove=all", "remove=table-0123abcd"),
)

if __name__ == "__main__":
    sys.exit(main())
