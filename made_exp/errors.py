"""How mistakes travel from where they are found to the one line that the user reads."""

import difflib
import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import SupportsIndex

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


class ConfigError(ValueError):
    """A setting is wrong; the message is complete: setting, value, what is allowed."""


class RunError(RuntimeError):
    """A run folder cannot be used as asked: a mistake in the input, found before training."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what is left."""


class LostProcessError(TrainingError):
    """Another process of a run, or its machine, has gone."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged, or of another version."""


class DivergedError(TrainingError):
    """Training met a loss that is not finite; the message says where and what to try."""


REMEDY = "Try a lower optimizer.lr, trainer.grad_clip=1 or scheduler.warmup_steps=1000"
"""What to do where training diverged."""


class DownloadError(ConfigError):
    """A file could not be had; the message says why and where to put it by hand."""


class JobFailure(BaseException):
    """Carries what a single run raised past Hydra, which would print a line of its own first.

    Attributes:
        error: What the experiment raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def as_config_errors() -> Iterator[None]:
    """What is refused inside is a mistake in what the user asked for, not a defect."""
    try:
        yield
    except ConfigError:
        raise
    except (ValueError, RunError, CheckpointError) as error:
        raise ConfigError(str(error)) from error


def whole_number(name: str, value: object, least: int) -> int:
    """The whole number >= `least` that `value` is; ValueError, with the argument's name, else."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    if value.__index__() < least:
        raise ValueError(f"{name} must be >= {least}, got {value}")
    return value.__index__()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'. Did you mean 'x'?' for the nearest of `known`, or '' when nothing is near.

    Of a mapping the keys are what `word` may be near to, and the values what is meant by them.
    """
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.8)
    close = close or [name for name in names if len(word) >= 4 and word in name.split("_")]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or [name for name in names if len(word) >= 3 and name.startswith(word)]
    if not close:
        return ""
    meant = known[close[0]] if isinstance(known, Mapping) else close[0]
    return f". Did you mean '{meant}'?"


def one_line(error: BaseException) -> str:
    """The message of `error` on one line; for errors without a message, their type."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    return text or type(error).__name__


def is_the_disks(error: BaseException) -> bool:
    """Whether `error` says that a disk is full or broken."""
    return isinstance(error, OSError) and error.errno in _OF_THE_DISK


def is_users_mistake(error: BaseException) -> bool:
    """Whether `error` is answered by one line: a wrong setting, file or folder, not a defect."""
    if isinstance(error, OSError):
        return not (is_the_disks(error) or isinstance(error, ChildProcessError | BlockingIOError))
    return isinstance(error, ConfigError | RunError)
