"""Values of polars in the types of pandas."""

from typing import Any

import numpy as np
import polars as pl


def pandas_series(values: pl.Series) -> Any:
    """The values (N,) as pandas holds them."""
    import pandas as pd

    dtype, name = values.dtype, values.name
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        instants = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        series = pd.Series(instants.to_numpy(), name=name)
        return series.dt.tz_localize("UTC").dt.tz_convert(dtype.time_zone)
    if dtype == pl.Date:
        values = values.cast(pl.Datetime("us"))
    is_wide = dtype.is_decimal() or dtype in (pl.Int128, pl.UInt128)
    if isinstance(values.dtype, pl.Datetime) or (dtype.is_numeric() and not is_wide):
        return pd.Series(values.to_numpy(writable=True), name=name)
    content = values.to_list()
    if isinstance(dtype, pl.Enum):
        content = pd.Categorical(content, categories=dtype.categories.to_list(), ordered=True)
    elif dtype == pl.Categorical:
        content = pd.Categorical(content)
    return pd.Series(content, name=name)


def dense(column: Any) -> Any:
    """A column of pandas in which cells can be set, as those of a sparse one cannot."""
    return column.sparse.to_dense() if hasattr(column, "sparse") else column


def dense_frame(frame: Any) -> Any:
    """A frame of pandas without sparse columns, of which polars makes texts."""
    sparse = [place for place, dtype in enumerate(frame.dtypes) if hasattr(dtype, "fill_value")]
    frame = frame.copy(deep=False) if sparse else frame
    for place in sparse:
        frame.isetitem(place, dense(frame.iloc[:, place]))
    return frame


def as_pandas(values: pl.Series, dtype: Any) -> Any:
    """The values (N,) in this type of pandas, where that holds them."""
    import pandas as pd
    from pandas.api.types import is_integer_dtype, is_numeric_dtype

    series = pandas_series(values)
    if values.dtype.is_float() and is_integer_dtype(dtype):
        return series
    is_object = isinstance(dtype, np.dtype) and dtype.kind == "O"
    if is_object and values.dtype == pl.Date:
        series = series.dt.date
    if is_object:
        return series.astype(object).where(series.notna(), None)
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        named = {str(one): one for one in categories}  # which may be intervals
        series = series.map(lambda value: named.get(value, value), na_action="ignore")
        if not series.dropna().isin(categories).all():
            is_number = is_numeric_dtype(categories.dtype) and values.dtype == pl.Categorical
            return pd.to_numeric(series.astype(object)) if is_number else series
    try:
        if getattr(dtype, "tz", None) is not None and series.dt.tz is None:
            series = series.dt.tz_localize(dtype.tz, ambiguous=False, nonexistent="shift_forward")
        cast = series.astype(dtype)
    except (TypeError, ValueError, AttributeError):
        return series
    return cast if cast.isna().sum() == series.isna().sum() else series
