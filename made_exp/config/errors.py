"""How mistakes travel from where they are found to the one line that the user reads."""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A setting is wrong; the message is complete: setting, value, what is allowed."""


class JobFailure(BaseException):
    """Carries what a single run raised past Hydra, which would print a line of its own first.

    Attributes:
        error: What the experiment raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the nearest of `known`, or '' when nothing is near."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not close:
        close = [name for name in names if len(word) >= 3 and name.startswith(word)][:1]
    return f" Did you mean '{close[0]}'?" if close else ""


def one_line(error: BaseException) -> str:
    """The message of `error` on one line; for errors without a message, their type."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
