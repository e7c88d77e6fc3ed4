"""Types of a Parquet file that Polars does not keep, put back into one written with its columns."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from made_exp.datasets.table.sources import format_of


def types_put_back(written: Any, like: str, to: Any) -> bool:
    """Write a Parquet file again, with the types that columns of the same name have in another.

    A column whose values another type would change keeps its own. Row groups are in memory one at
    a time.

    Args:
        written: The file, or a stream.
        like: The other file; or what else rows came from.
        to: The file or the stream that is written.

    Returns:
        Whether it was: not without pyarrow, which need not be there, and not where it would be the
        same.
    """
    try:
        return format_of(Path(like)) == "Parquet" and _written_again(written, like, to)
    except Exception:  # without pyarrow, or where it cannot read what Polars can: as it is
        return False


def _written_again(written: Any, like: str, to: Any) -> bool:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    wanted = parquet.read_schema(like)
    with parquet.ParquetFile(written) as file:
        schema = arrow.schema([_best(file, field, wanted) for field in file.schema_arrow])
        if schema.equals(file.schema_arrow):
            return False
        with parquet.ParquetWriter(to, schema, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group).cast(schema))
    return True


def _best(file: Any, field: Any, wanted: Any) -> Any:
    """The field of a file, with the type that it has in the wanted schema where that holds it."""
    places: Sequence[int] = wanted.get_all_field_indices(field.name)
    if len(places) != 1 or wanted.field(places[0]).type == field.type:
        return field
    dtype = wanted.field(places[0]).type
    for group in range(file.num_row_groups):
        values = file.read_row_group(group, columns=[field.name]).column(field.name)
        try:
            if not values.cast(dtype).cast(field.type).equals(values):
                return field
        except Exception:  # each kind of misfit has its own
            return field
    return field.with_type(dtype)
