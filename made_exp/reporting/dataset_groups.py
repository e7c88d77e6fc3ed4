"""Which runs compare: those on the same data."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from made_exp.reporting.cells import cell_text
from made_exp.reporting.records import RunRecord


def split_by_dataset(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs by dataset; options of the dataset are part of it, except whether labels are used."""
    groups: list[tuple[dict[str, Any], list[RunRecord]]] = []
    for run in sorted(runs, key=lambda run: not run.is_complete_config):
        options = _dataset_options(run)
        members = _group_of(run, options, groups)
        if members is None:
            groups.append((options, [run]))
        else:
            members.append(run)
    return _named(groups)


def _group_of(
    run: RunRecord,
    options: dict[str, Any],
    groups: list[tuple[dict[str, Any], list[RunRecord]]],
) -> list[RunRecord] | None:
    """The group that `run` belongs to; a run that failed early only knows what was typed."""
    if run.is_complete_config:
        return next((members for known, members in groups if known == options), None)
    fitting = [members for known, members in groups if options.items() <= known.items()]
    in_sweep = [m for m in fitting if any(other.path.parent == run.path.parent for other in m)]
    fitting = in_sweep or fitting
    return fitting[0] if len(fitting) == 1 else None


def _dataset_options(run: RunRecord) -> dict[str, Any]:
    options = {
        key.removeprefix("dataset."): cell_text(value)
        for key, value in run.settings.items()
        if key.startswith("dataset.") and key != "dataset.context"
    }
    return {**options, "name": run.dataset} if run.dataset else options


def _named(
    groups: list[tuple[dict[str, Any], list[RunRecord]]],
) -> dict[str, list[RunRecord]]:
    names = Counter(options.get("name", "") for options, _ in groups)
    named: dict[str, list[RunRecord]] = {}
    for options, members in sorted(groups, key=lambda group: str(sorted(group[0].items()))):
        name = options.get("name", "") or "unknown dataset"
        same = [other for other, _ in groups if other.get("name") == options.get("name")]
        parts = [
            f"{key}={value}"
            for key, value in sorted(options.items())
            if key == "path" or any(other.get(key) != value for other in same)
        ]
        if parts and (names[name] > 1 or "path" in options):
            name = f"{name} ({', '.join(parts)})"
        named.setdefault(name, []).extend(members)
    return named
