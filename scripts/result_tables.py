"""The results table in Markdown, and the small pictures beside it."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from result_rows import Row

START, END = "<!-- results:start -->", "<!-- results:end -->"
FROM_MEMORY = r"With \*: from memory of a paper, to be confirmed."
_WIDTH, _COLORS = 1000, 128
Runs = Mapping[str, Mapping[str, Any]]


def between_markers(
    text: str, content: str, heading: str, markers: tuple[str, str] = (START, END)
) -> str:
    """`text` with what stands between the markers replaced; they are added where missing.

    Raises:
        ValueError: If only one marker is there, or they stand in the wrong order.
    """
    opening, closing = markers
    if opening not in text and closing not in text:
        text = f"{text.rstrip()}\n\n{heading}\n\n{opening}\n{closing}\n".lstrip()
    start, end = text.find(opening), text.find(closing)
    if not 0 <= start < end or text.count(opening) + text.count(closing) != 2:
        raise ValueError(f"expected {opening} and then {closing}, once each")
    return f"{text[: start + len(opening)]}\n{content.strip()}\n{text[end:]}"


def readme_table(rows: Sequence[Row], runs: Mapping[str, Runs], missing: Mapping[str, str]) -> str:
    """The short table: one line a row; what the recipe for binary tables has is in the text."""
    rows = [row for row in rows if "experiment=density" not in row.overrides]
    head = ("data", "model", "test NLL", "true density", "best of others", "command")
    lines = [
        (
            row.data,
            row.model,
            f"**{_nll(runs[row.name])}**",
            _reference(runs[row.name]),
            str(min(row.others, key=lambda other: other.nll, default="")).replace("*", r"\*"),
            f"`made-train {' '.join(row.overrides)}`",
        )
        for row in rows
        if runs.get(row.name)
    ]
    absent = [f"{row.name} ({missing[row.name]})" for row in rows if not runs.get(row.name)]
    without = f"\n\nWithout a number: {', '.join(absent)}." if absent else ""
    return (
        "Nats per example on the test split, lower is better, ± its standard error over examples. "
        "Means over seeds (docs/results.md). True density: what the generator itself scores on the "
        "same examples. "
        f"{FROM_MEMORY}\n\n"
        + table(head, lines)
        + without
        + "\n\nMade by `scripts/results`; `scripts/results made_mnist` makes one row. "
        "Seeds, seconds, simple models and pictures: [docs/results.md](docs/results.md)."
    )


def results_page(rows: Sequence[Row], runs: Mapping[str, Runs], missing: Mapping[str, str]) -> str:
    """The long table, what each row needs to be read rightly, and the pictures."""
    head = (
        "row", "seeds", "test NLL", "s.d. over seeds", "valid NLL", "true density",
        "simple models", "published", "seconds", "parameters", "commit",
    )  # fmt: skip
    lines = [_long_line(row, runs[row.name]) for row in rows if runs.get(row.name)]
    absent = [row for row in rows if not runs.get(row.name)]
    parts = [
        "Nats per example; test NLL is the mean over seeds ± the standard error over the test "
        "examples (which the seeds share), s.d. is over seeds. Seconds are of training alone on "
        "a machine with 2 CPU cores, which other work may have shared. Models were chosen by "
        "valid NLL; test was scored once, at the end of each run. " + FROM_MEMORY,
        table(head, lines),
        _commands([row for row in rows if runs.get(row.name)], runs),
    ]
    if absent:
        listed = [f"- {row.name}: {missing[row.name]} (`{row.command(0)}`)" for row in absent]
        parts.append("### Without a number\n\n" + "\n".join(listed))
    parts.append(_pictures([row for row in rows if runs.get(row.name)]))
    return "\n\n".join(parts)


def shrink_picture(source: Path, target: Path) -> None:
    """Save a picture with few colours and at most `_WIDTH` pixels wide."""
    with Image.open(source) as picture:
        picture = picture.convert("RGB")
        if picture.width > _WIDTH:
            height = round(picture.height * _WIDTH / picture.width)
            picture = picture.resize((_WIDTH, height), Image.Resampling.BOX)
        target.parent.mkdir(parents=True, exist_ok=True)
        method = Image.Quantize.MAXCOVERAGE  # keeps thin lines of a rare colour
        few = picture.quantize(_COLORS, method=method, dither=Image.Dither.NONE)
        few.save(target, optimize=True)


def _long_line(row: Row, runs: Runs) -> tuple[str, ...]:
    tests = [run["test"]["nll"] for run in runs.values()]
    spread = f"{statistics.stdev(tests):.4f}" if len(tests) > 1 else ""
    first = next(iter(runs.values()))
    return (
        row.name,
        str(len(runs)),
        _nll(runs),
        spread,
        f"{statistics.fmean(run['valid']['nll'] for run in runs.values()):.3f}",
        _reference(runs),
        _baselines(runs),
        _others(row),
        f"{statistics.fmean(run['train_seconds'] for run in runs.values()):.0f}",
        f"{first['num_parameters']:,}".replace(",", " "),
        ", ".join(sorted({_short(run["git_commit"]) for run in runs.values()})),
    )


def _commands(rows: Sequence[Row], runs: Mapping[str, Runs]) -> str:
    """The command of every run, remarks, and the versions that were used."""
    lines = ["### Commands", ""]
    for row in rows:
        done = runs[row.name]
        first = next(iter(done.values()))
        seeds = f", and with seed={', '.join(list(done)[1:])}" if len(done) > 1 else ""
        orderings = first["test"]["num_orderings"]
        mixture = [f"mixture of {orderings} orderings"] if orderings > 1 else []
        notes = [text for text in (row.remark, first.get("note", ""), *mixture) if text]
        lines.append(f"- {row.name}: `{row.command(int(next(iter(done))))}`{seeds}")
        lines += [f"  ({'; '.join(notes)})"] if notes else []
    used = sorted(
        {
            f"Python {v['python']}, torch {v['torch']}, numpy {v['numpy']}"
            for row in rows
            for v in (run["versions"] for run in runs[row.name].values())
        }
    )
    return "\n".join([*lines, "", f"Made with {'; '.join(used)}."]) if used else "\n".join(lines)


def _pictures(rows: Sequence[Row]) -> str:
    blocks = [
        f"**{row.name}**: {row.data}, {row.model}\n\n![{row.name}](pictures/{row.name}.png)"
        for row in rows
    ]
    return "### Pictures\n\n" + "\n\n".join(blocks)


def _nll(runs: Runs) -> str:
    tests = [run["test"] for run in runs.values()]
    mean = statistics.fmean(test["nll"] for test in tests)
    stderr = statistics.fmean(test["nll_stderr"] for test in tests)
    return f"{mean:.3f} ± {stderr:.3f}"


def _reference(runs: Runs) -> str:
    known = [run["reference"]["nll"] for run in runs.values() if run.get("reference")]
    return f"{known[0]:.3f}" if known else ""


def _baselines(runs: Runs) -> str:
    """Simple models' NLL; of equal numbers the last name is shown."""
    seen = {
        f"{nll:.3f}": name.replace("chow_liu", "Chow-Liu tree")
        for name, nll in next(iter(runs.values()))["baselines"].items()
        if isinstance(nll, float)
    }
    return ", ".join(f"{name} {nll}" for nll, name in seen.items())


def _others(row: Row) -> str:
    return ", ".join(map(str, row.others)).replace("*", r"\*")


def _short(commit: str | None) -> str:
    if not commit:
        return ""
    return commit[:7] + ("+" if commit.endswith("+changes") else "")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells as they are to be read."""
    rule = ["---"] * len(head)
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |"
        for line in (head, rule, *lines)
    )
