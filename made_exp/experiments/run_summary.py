"""The end of a run on a terminal: its numbers beside others, its files, and what to do next."""

import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from made_exp.density.tokens import as_name
from made_exp.reporting.remarks import as_percent
from made_exp.reporting.text_table import as_text, plain_table
from made_exp.runs.folder import RunDirectory

_WIDTH = 1000  # commands and paths are for pasting: never folded
Pairs = list[tuple[str, str]]


def summary(results: dict[str, Any], run: RunDirectory, has_events: bool = True) -> str:
    """What a run has reached, as text.

    Args:
        results: Content of its results.json.
        run: Its folder.
        has_events: Whether there is something for TensorBoard.
    """
    split = "test" if results["test"] else "valid"
    shown = [_headline(results, split)]
    if rows := _beside(results, split):
        columns = [("for comparison", False), (f"{split} NLL", True), ("this model is", False)]
        shown.append(as_text(plain_table(columns, rows), width=_WIDTH))
    shown.append(_pairs("this run", [*_remarks(results, split), *_files(run)]))
    shown.append(_pairs("what next", _next_commands(results, run, has_events)))
    return "\n\n".join(shown)


def _headline(results: dict[str, Any], split: str) -> str:
    scored = results[split]
    error, orderings = scored["nll_stderr"], scored["num_orderings"]
    spread = "" if math.isnan(error) else f" +- {error:.3f}"
    return (
        f"{split} NLL {scored['nll']:.3f}{spread} nats "
        f"({scored['bits_per_dim']:.4f} bits/dim, {scored['num_examples']} examples"
        + (f", {orderings} orderings)" if orderings > 1 else ")")
        + ("" if results["test"] else "; there is no test split")
    )


def _beside(results: dict[str, Any], split: str) -> list[tuple[str, str, str]]:
    """Simple models, the true density, a teacher: their NLL, and how far this model is from it."""
    known = {k: nll for k, nll in results["baselines"].items() if isinstance(nll, float)}
    if "reference" in results:
        known["true density"] = results["reference"]["nll"]
    if "teacher" in results:
        known["its teacher"] = results["teacher"][split]["nll"]
    rows = []
    for name, nll in known.items():
        gain = nll - results[split]["nll"]
        rows.append((name, f"{nll:.3f}", f"{abs(gain):.3f} {'better' if gain >= 0 else 'worse'}"))
    return rows


def _remarks(results: dict[str, Any], split: str) -> Pairs:
    lines = []
    if "unchecked" in results:
        failed = ", ".join(results["unchecked"])
        lines.append(("UNCHECKED", f"these numbers failed a check: {failed}"))
    if "nll_as_written" in results[split]:
        written = results[split]["nll_as_written"]
        lines.append(("as written", f"{written:.3f} nats, real values as masses of their cells"))
    if (share := results.get("shared_with_train", {}).get(split)) is not None:
        lines.append(("also in train", f"{as_percent(share)} of {split}"))
    if furthest := _furthest(results.get("sample_comparison", {})):
        lines.append(("samples differ", furthest))
    lines.append(
        (
            "best epoch",
            f"{results['best_epoch']} of {results['epochs']}, "
            f"{results['train_seconds']:.1f} s, {results['examples_per_second']:.0f} examples/s",
        )
    )
    return lines


def _files(run: RunDirectory) -> Pairs:
    files = (("samples", run.final_samples), ("checkpoint", run.best), ("results", run.results))
    return [(name, _from_here(path)) for name, path in files]


def _next_commands(results: dict[str, Any], run: RunDirectory, has_events: bool) -> Pairs:
    folder = _from_here(run.path)
    of_run = shlex.quote(f"run={folder}")
    split = "test" if results["test"] else "valid"
    scored = f"made-eval {of_run}{' split=valid' * (split == 'valid')}"
    if "columns" in results:  # what was understood of a table; scores by column others have too
        rows = (
            ("score a table", f"made-eval {of_run} data=NEW.csv path=scored.csv"),
            ("draw new rows", f"made-sample {of_run} num_samples=1000 path=rows.csv"),
            *_question(results["columns"], of_run),
        )
    else:
        rows = (
            ("score it again", scored),
            ("draw samples", f"made-sample {of_run} num_samples=100 path=samples.png"),
        )
    watch = [("curves, pictures", f"tensorboard --logdir {shlex.quote(folder)}")] * has_events
    return [
        *rows,
        ("calibration", f"{scored} plots=true"),
        *watch,
        ("a page", f"made-report {shlex.quote(f'path={folder}')}"),
    ]


def _question(columns: Sequence[Mapping[str, Any]], of_run: str) -> Pairs:
    """What can be asked of the first column that is modelled."""
    asked = [c["column"] for c in columns if c["kind"] not in ("constant", "empty", "identifier")]
    if not asked:
        return []
    question = f"distribution({as_name(asked[0])})"
    is_plain = "'" in question and not re.search(r'["$`\\!]', question)
    quoted = f'"{question}"' if is_plain else shlex.quote(question)
    return [("ask", f"made-query {of_run} {quoted}")]


def _pairs(title: str, pairs: Pairs) -> str:
    return as_text(plain_table([(title, False), ("", False)], pairs), width=_WIDTH)


def _from_here(path: Path) -> str:
    """`path` as it can be typed here: relative where it is below the working directory."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_absolute() and here in path.parents else str(path)


def _furthest(compared: dict[str, Any], most: int = 3, least: float = 4.0) -> str:
    """The columns and the pairs in which samples are furthest from the data, if clearly."""
    names = []
    for records in compared.values():
        worst = [record for record in records[:most] if abs(record["z"]) >= least]
        names += [f"{' x '.join(r['columns'])} (z {r['z']:.1f})" for r in worst]
    return "in " + ", ".join(names) if names else ""
