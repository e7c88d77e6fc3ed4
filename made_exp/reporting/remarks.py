"""What stands beside the runs on one dataset: numbers of others, and rows that train has too."""

from collections.abc import Sequence

from made_exp.datasets.published import Published, published
from made_exp.reporting.records import RunRecord

_FROM_MEMORY = "; * from memory of a paper, to be confirmed"


def published_for(runs: Sequence[RunRecord]) -> tuple[Published, ...]:
    """What others have reached on the dataset of `runs`."""
    settings = next((run.settings for run in runs if run.is_complete_config), {})
    options = {
        key.removeprefix("dataset."): value
        for key, value in settings.items()
        if key.startswith("dataset.") and key != "dataset.name"
    }
    return published(str(settings.get("dataset.name", "")), options)


def remarks_on(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """A line for the numbers of others, and one for test rows that also stand in train."""
    lines, others = [], published_for(runs)
    if others:
        mark = "" if all(one.is_seen for one in others) else _FROM_MEMORY
        lines.append(f"reported by others: {', '.join(map(str, others))}{mark}")
    shares = {run.shared_with_train for run in runs if run.shared_with_train is not None}
    if shares:
        lines.append(f"{', '.join(map(as_percent, sorted(shares)))} of test also stand in train")
    return tuple(lines)


def as_percent(share: float) -> str:
    """A share of rows, told finely where it is small: `90 % of the rows`."""
    return f"{100 * share:.{0 if share >= 0.1 or not share else 1}f} % of the rows"
