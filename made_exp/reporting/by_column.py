"""What each column of a table has in the NLL of the best runs, as a table and as a chart."""

from collections.abc import Mapping, Sequence

from bokeh.plotting import figure

from made_exp.reporting.charts import HUES, INK, new_chart
from made_exp.reporting.records import RunRecord
from made_exp.reporting.summary import Column, Row, Table
from made_exp.reporting.swept import band_text, padded

_MAX_RUNS, _MAX_DRAWN = 3, 60


def column_table(runs: Sequence[RunRecord], names: Mapping[str, str]) -> Table | None:
    """NLL by column of the best runs and by counting, the costliest columns first.

    Args:
        runs: The best first.
        names: How they are called, by name.
    """
    best = [run for run in runs if run.columns][:_MAX_RUNS]
    if not best:
        return None
    counted = Column("counting", "by counting", is_nll=True)
    titles = [Column(str(i), names[run.name], is_nll=True) for i, run in enumerate(best)]
    cells: dict[str, dict[str, float | str | None]] = {}
    for title, run in zip(titles, best, strict=True):
        for name, nll, counting in run.columns:
            row = cells.setdefault(name, {"column": name, counted.key: counting})
            row[title.key] = nll

    def cost(row: dict[str, float | str | None]) -> float:
        return max(value for value in row.values() if isinstance(value, float | int))

    rows = sorted(cells.values(), key=cost, reverse=True)
    columns = (Column("column", "column"), *titles, counted)
    return Table("", columns, tuple(Row(row, ()) for row in rows), tuple(best))


def column_chart(table: Table) -> figure:
    """Dots for the runs of `table`, by hue, and a bar across for counting."""
    rows = table.rows[:_MAX_DRAWN]
    # Names that are cut may be equal; bands may not.
    bands = {f"{i + 1}. {band_text(row.cells['column'])}": row for i, row in enumerate(rows)}
    series = [(column, hue) for column, hue in zip(table.columns[1:-1], HUES, strict=False)]
    values = [v for row in rows for v in row.cells.values() if isinstance(v, float | int)]
    plot = new_chart("test NLL (nats)", "", list(reversed(bands)), x_range=padded(values))
    plot.height = 110 + 20 * len(bands)
    plot.ygrid.visible, plot.xgrid.visible = False, True
    plot.xgrid.grid_line_color, plot.xgrid.grid_line_alpha = INK, 0.2
    for column, hue, marker in [
        (table.columns[-1], INK, "dash"),
        *((*s, "circle") for s in series),
    ]:
        known = {band: row for band, row in bands.items() if row.cells.get(column.key) is not None}
        nll = [row.cells[column.key] for row in known.values()]
        source = {
            "nll": nll,
            "band": list(known),
            "run": [column.title] * len(known),
            "test": [f"{value:.4f} nats" for value in nll],
            "column": [str(row.cells["column"]) for row in known.values()],
        }
        angle = 1.5707963 if marker == "dash" else 0
        plot.scatter(
            "nll", "band", source=source, marker=marker, size=16 if marker == "dash" else 9,
            angle=angle, color=hue, line_width=2, fill_alpha=0.8, name="columns",
        )  # fmt: skip
    plot.hover.tooltips = [("column", "@column"), ("model", "@run"), ("NLL", "@test")]
    return plot
