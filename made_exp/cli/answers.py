"""What a job in another process answers to its launcher, and what stands for one that is lost."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus


class LostJob(Exception):
    """The process of a job ended without an answer."""


def lost(overrides: Sequence[str], why: str) -> JobReturn:
    """The answer of a job whose process gave none."""
    answer = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    answer.return_value = LostJob(why)
    return answer


def lost_by(error: Exception, overrides: Sequence[str] = ()) -> JobReturn:
    """The answer of a job for which an engine raised `error`."""
    told = str(error).strip().splitlines() or [type(error).__name__]
    return lost(overrides, f"ended without an answer ({told[0]})")


def slim(answer: JobReturn, overrides: Sequence[str]) -> JobReturn:
    """An answer without what need not, or cannot, go to another process."""
    kept = JobReturn(overrides=list(overrides), status=answer.status)
    value = answer._return_value
    kept.return_value = RuntimeError(str(value)) if isinstance(value, Exception) else value
    return kept
