"""The page about drawn rows: self-contained, and no name in it is trusted."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from made_exp.reporting import figures
from made_exp.reporting.detection import LACKING
from made_exp.reporting.figures.canvas import encode_png
from made_exp.reporting.figures.nearest import nearest_picture
from made_exp.reporting.quality import Quality
from made_exp.reporting.tables import printable

MARK = b"<title>Synthetic rows of "
_ASSETS = Path(__file__).parent / "assets"
_MAX_ROWS = 100
_POLICY = "default-src 'none'; img-src data:; base-uri 'none'; style-src 'unsafe-inline'"


class Score(NamedTuple):
    """A line of the summary: what it is of, of the drawn rows, of real ones, what it says."""

    name: str
    value: str
    reference: str
    meaning: str


class Likelihood(NamedTuple):
    """Mean log-probability of some rows in nats, and its standard error."""

    name: str
    mean: float
    stderr: float


def scores_of(quality: Quality) -> list[Score]:
    """The summary of the page and of the terminal."""
    near, columns = quality.nearness, quality.column_means
    pairs = quality.pair_means or (1.0, 1.0)
    auc = "unknown" if quality.auc is None else f"{quality.auc[0]:.3f} ± {quality.auc[1]:.3f}"
    told = "" if quality.has_classifier else f" ({LACKING})"
    return [
        Score(
            "columns",
            f"{columns[0]:.1%}",
            f"{columns[1]:.1%}",
            "mean over columns of 1 - distance of the distributions: Kolmogorov-Smirnov of "
            "numbers, total variation of categories; 100 % is alike",
        ),
        Score(
            "pairs",
            f"{pairs[0]:.1%}",
            f"{pairs[1]:.1%}",
            "mean over pairs: of numbers 1 - half the difference of rank correlations, else 1 - "
            "total variation distance of the tables of contingency",
        ),
        Score(
            "classifier AUC",
            auc,
            "0.5",
            "of gradient boosting that tells synthetic from held-out real rows, cross-validated: "
            f"0.5 where it cannot, 1 where it always can{told}",
        ),
        Score(
            "exact copies",
            f"{near.copies[0]:.2%}",
            f"{near.copies[1]:.2%}",
            "rows that are in train with every cell; of held-out real rows as many are by chance",
        ),
        Score(
            "very near rows",
            f"{near.near:.1%}",
            "5.0%",
            "rows nearer to one of train than the nearest 5 % of the held-out real rows are; far "
            "more is copying",
        ),
    ]


def make_synthetic_page(
    quality: Quality, likelihoods: Sequence[Likelihood], name: str, notes: Sequence[str]
) -> str:
    """The page as text.

    Args:
        quality: Of the drawn rows.
        likelihoods: Of the rows under the model.
        name: Of the data.
        notes: What a reader must know, a line each.
    """
    page = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
    page.filters["line"] = lambda value: printable(str(value))
    near = quality.nearness
    picture = figures.table_picture(
        quality.held_out, quality.drawn, quality.fields, quality.comparison
    )
    return page.get_template("synthetic.html").render(
        title=f"Synthetic rows of {name}",
        policy=_POLICY,
        style=(_ASSETS / "page.css").read_text(),
        counts=(len(quality.drawn), len(quality.held_out)),
        scores=scores_of(quality),
        likelihoods=likelihoods,
        picture=_source(picture),
        nearest=_source(nearest_picture(near.drawn, near.held_out)),
        medians=[float(np.median(x)) for x in (near.drawn, near.held_out)],
        columns=_columns(quality)[:_MAX_ROWS],
        pairs=_pairs(quality)[:_MAX_ROWS],
        notes=notes,
    )


def _columns(quality: Quality) -> list[tuple[str, float, float, float]]:
    """Name, score, score of the reference and z of each column, the worst first."""
    scores = zip(quality.fields, *quality.columns.tolist(), strict=True)
    records = zip(scores, quality.comparison.columns, strict=True)
    rows = [(field.name, own, other, record["z"]) for (field, own, other), record in records]
    return sorted(rows, key=lambda row: row[1])


def _pairs(quality: Quality) -> list[tuple[str, str, float, float, float | None]]:
    """Names, score, score of the reference and z of each pair, the worst first."""
    z = {frozenset(record["columns"]): record["z"] for record in quality.comparison.pairs}
    names = [field.name for field in quality.fields]
    return [
        (
            names[a],
            names[b],
            score,
            quality.reference_pairs[a, b],
            z.get(frozenset((names[a], names[b]))),
        )
        for score, a, b in quality.pairs
    ]


def _source(picture: np.ndarray) -> str:
    return f"data:image/png;base64,{base64.b64encode(encode_png(picture)).decode()}"
