"""Checks of the columns that a model names; every complaint says which column, how many rows, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import DataError, ModelSpecificationError, SourceSpan

FloatArray = NDArray[np.float64]

LIMITS = (1e-50, 1e50)
"""Sizes between which squares and products of values are safe in double precision."""
ROUNDING = 1e-12
"""Range of a column, relative to its largest value, below which differences are those of rounding."""


def check_table(data: object) -> pd.DataFrame:
    """Return ``data`` if it is a usable table.

    Raises
    ------
    DataError
        If it is not a DataFrame, has no rows, or no column is named by a string.
    """
    if not isinstance(data, pd.DataFrame):
        raise DataError(
            f"data must be a pandas DataFrame, got {type(data).__name__}; fosa_sem.read_table() reads files"
        )
    if data.columns.nlevels > 1:
        raise DataError("data has several levels of column names; flatten them to strings first")
    if not any(isinstance(c, str) for c in data.columns.tolist()):
        raise DataError(f"column names must be strings; none is, the first is {data.columns[0]}: rename them")
    if len(data) == 0:
        raise DataError("data has no rows")
    return data


def check_names(data: pd.DataFrame, names: Sequence[str], spans: dict[str, SourceSpan]) -> None:
    """Every variable of the model must be exactly one column.

    Parameters
    ----------
    data : DataFrame
    names : sequence of str
    spans : mapping of name to its place in the model string

    Raises
    ------
    ModelSpecificationError
        For an unknown variable, with the closest columns.
    DataError
        For a column name that occurs more than once.
    """
    columns: Sequence[object] = data.columns.tolist()
    others = [c for c in columns if not isinstance(c, str)]
    for name in [part for variable in names for part in column_parts(data, variable)]:
        count = columns.count(name)
        if count > 1:
            raise DataError(f"column {name!r} occurs {count} times in the data; keep one")
        numbers = [c for c in others if str(c) == name]
        if numbers:
            raise DataError(f"column names must be strings; {name} is a {type(numbers[0]).__name__}: rename the column")
        if not count:
            raise ModelSpecificationError(_unknown(name, [c for c in columns if isinstance(c, str)]), spans.get(name))


def _unknown(name: str, columns: Sequence[str]) -> str:
    folded = {c.casefold(): c for c in columns}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.6)
    if close:
        return f"{name!r} is not a column of the data; did you mean {' or '.join(repr(folded[c]) for c in close)}?"
    shown = ", ".join(columns[:8]) + (" ..." if len(columns) > 8 else "")
    return f"{name!r} is not a column of the data, which has {shown}"


def column_parts(data: pd.DataFrame, name: str) -> tuple[str, ...]:
    """The columns behind a variable: ``x:z`` is the product of two, unless the data have a column of that name."""
    return (name,) if ":" not in name or name in data.columns else tuple(name.split(":"))


def take_column(data: pd.DataFrame, name: str) -> pd.Series:
    """A variable of the model: a column, or the product of two (lavaan computes ``x:z`` too)."""
    parts = column_parts(data, name)
    if len(parts) == 1:
        return data[name]
    values = [check_column_values(data[part]) for part in parts]
    return pd.Series(values[0] * values[1], index=data.index, name=name)


def check_column_values(column: pd.Series) -> FloatArray:
    """A column as float64, NaN where missing; never a repaired one.

    Raises
    ------
    DataError
        For text, dates, complex or infinite values.
    """
    values = quieted(as_float(column))
    _extremes(values, column.name)
    return values


def quieted(values: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """A copy in which every NaN is an ordinary one: R's NA signals, which extremes mistake and sums warn of."""
    with np.errstate(invalid="ignore"):
        return np.multiply(values, 1.0, out=out)


def _extremes(values: FloatArray, name: object) -> tuple[float, float]:
    """Smallest and largest value, found without a copy; NaN of none."""
    low, high = np.fmin.reduce(values, initial=np.nan), np.fmax.reduce(values, initial=np.nan)
    if low == -np.inf or high == np.inf:
        infinite = int(np.isinf(values).sum())
        raise DataError(f"column {name!r} has {infinite} infinite value(s); set them to missing or correct them")
    return float(low), float(high)


def check_values(values: FloatArray, name: object) -> None:
    """Check that a model can be fitted to what a column holds, shape (n,), an ordinary NaN where missing.

    Raises
    ------
    DataError
        For infinite values, and for a column without any value or without variation.
    """
    low, high = _extremes(values, name)
    if np.isnan(low):
        raise DataError(f"column {name!r} has no value in any row used; leave it out of the model")
    n_present = len(values) if low < high else int((~np.isnan(values)).sum())  # only a constant column is counted
    size = max(abs(low), abs(high))
    if n_present > 1 and not LIMITS[0] < size < LIMITS[1]:
        raise DataError(f"column {name!r} has values of the size {size:.0e}; change its unit")
    if low == high:
        raise DataError(f"column {name!r} is constant ({low:g} in all {n_present} rows used that have it)")
    if high - low < ROUNDING * size:
        raise DataError(f"column {name!r} is constant but for rounding errors; leave it out of the model")


def check_all_values(columns: FloatArray, names: Sequence[str]) -> None:
    """`check_values` of several columns, shape (p, n), of which most need no closer look."""
    low, high = np.fmin.reduce(columns, axis=1, initial=np.nan), np.fmax.reduce(columns, axis=1, initial=np.nan)
    size = np.maximum(-low, high)
    fine = (low < high) & (LIMITS[0] < size) & (size < LIMITS[1])
    fine[fine] = high[fine] - low[fine] >= ROUNDING * size[fine]
    for j in np.flatnonzero(~fine).tolist():
        check_values(columns[j], names[j])


def as_float(column: pd.Series) -> FloatArray:
    """A column as float64, NaN where missing; floats are not copied.

    Raises
    ------
    DataError
        For text, dates or complex values.
    """
    name, dtype = column.name, column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return np.asarray(column.to_numpy(), dtype=np.float64)
    if isinstance(dtype, pd.CategoricalDtype):
        raise DataError(f"column {name!r} is categorical: give numbers (ordinal indicators are not supported yet)")
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"column {name!r} has complex values; the model needs real numbers")
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_object_dtype(dtype):
        return _object_as_float(column)
    raise DataError(f"column {name!r} has type {dtype}; the model needs numbers")


def _object_as_float(column: pd.Series) -> FloatArray:
    bad = [v for v in column.dropna() if isinstance(v, (str, bytes, complex)) or not np.isscalar(v)]
    if bad:
        raise DataError(
            f"column {column.name!r} has {len(bad)} value(s) that are not numbers, such as {str(bad[0])[:30]!r}; "
            "recode or convert it"
        )
    try:
        return np.array([np.nan if pd.isna(v) else float(v) for v in column], dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"column {column.name!r} has values that are not numbers; convert it") from None
