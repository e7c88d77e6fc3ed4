"""Files that commands write: never those that are read."""

from collections.abc import Iterator
from glob import glob
from pathlib import Path

from made_exp.errors import ConfigError
from made_exp.experiments.finished import FinishedRun

_PATHS = ("path", "valid_path", "test_path")  # settings of data in files


def checked_target(run: FinishedRun, path: str, *read: str | None) -> Path:
    """Where to write.

    Args:
        run: The run.
        path: What the user gave.
        read: Files, folders or patterns that the command reads.

    Raises:
        ConfigError: If its folder does not exist, it is one, or it is read by the command or was
            by the run.
    """
    target = Path(path)
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"path: the folder of '{path}' does not exist")
    if target.is_dir():
        raise ConfigError(f"path: '{path}' is a folder")
    if any(_is_same(target, Path(given)) for given in _inputs(run, read)):
        raise ConfigError(f"path: '{path}' is read from; give the file another name")
    return target


def _inputs(run: FinishedRun, read: tuple[str | None, ...]) -> Iterator[str]:
    """Files of the user's that the run or the command reads."""
    kept = vars(run.settings.dataset)
    for one in (*read, *(kept.get(key) for key in _PATHS)):
        for pattern in [one] if isinstance(one, str) else one or ():
            yield from glob(pattern) or [pattern]


def _is_same(target: Path, given: Path) -> bool:
    """Whether target is the file given, or stands in the folder given."""
    if not target.exists() or not given.exists():
        return False
    return target.samefile(given) or (
        given.is_dir() and target.resolve().is_relative_to(given.resolve())
    )
