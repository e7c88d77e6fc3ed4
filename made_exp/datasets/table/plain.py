"""Columns of numbers that came from no table: how they are written into one, and read back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import MISSING
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.schema import TableSchema
from made_exp.variables.variable import Kind, Variable

_DIGITS = 9  # of a float32


def schema_of(data: Mapping[str, Any]) -> TableSchema:
    """How the variables of a run are written, from what its model was told of its data."""
    table = data.get("table") or {"columns": data["variables"], "delimiter": ","}
    if all("holds" in column for column in table["columns"]):
        return TableSchema.from_dict(table)
    columns = tuple(_plain_column(dict(column)) for column in table["columns"])
    return TableSchema(columns, str(table["delimiter"]))


def _plain_column(content: dict[str, Any]) -> Column:
    """A column that is described by its variable, and perhaps by its offset and decimals."""
    offset, decimals = content.pop("offset", 0), content.pop("decimals", -1)
    variable = Variable.from_dict(content)
    name, kind = variable.name, variable.kind.value
    if variable.kind in (Kind.BINARY, Kind.CATEGORICAL):
        texts = variable.categories or tuple(map(str, range(variable.num_values or 2)))
        variable = replace(variable, categories=texts)
        return Categories(name=name, kind=kind, variable=variable, spellings=texts, missing=MISSING)
    form = NumberFormat()
    if variable.num_values is not None:
        variable = replace(variable, kind=Kind.INTEGER)
    elif decimals < 0:
        form = NumberFormat(style="shortest", digits=_DIGITS)
    else:
        form = NumberFormat(decimals=decimals, min_decimals=decimals)
    return Numbers(
        name=name, kind=kind, variable=variable, format=form, offset=offset, missing=MISSING
    )
