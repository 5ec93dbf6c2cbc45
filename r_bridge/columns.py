"""One column of a pandas table <-> numbers and text that R can hold, with nothing lost or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from fosa_sem.errors import DataError

FloatArray = NDArray[np.float64]

LARGEST_INTEGER = 2**31 - 1
"""Of R's integers; the number below its negative stands for NA there."""
LARGEST_EXACT = 2**53
"""Whole numbers up to here are exact as R's doubles."""
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as R sees it.

    Attributes
    ----------
    kind : {"double", "integer", "logical", "character", "factor", "date", "datetime", "timedelta"}
        R's double, integer, logical, character, factor, Date, POSIXct and difftime (in seconds).
    values : ndarray, shape (n,)
        Numbers, 1-based codes into ``levels``, days or seconds since 1970; NaN where missing.
    levels : tuple of str
        Of a factor, or the distinct texts of a character vector.
    ordered : bool
        Of a factor.
    tz : str
        Time zone of a datetime.
    note : str
        What pandas called it, so that the way back ends at the same type; empty for a column that R made.
    """

    kind: str
    values: FloatArray
    levels: tuple[str, ...] = ()
    ordered: bool = False
    tz: str = ""
    note: str = ""


# ---- to R --------------------------------------------------------------------------------------------------


def encode(column: pd.Series) -> Column:
    """A pandas column -> what R holds.

    Parameters
    ----------
    column : Series

    Returns
    -------
    Column

    Raises
    ------
    DataError
        If R has no such type, or would lose digits.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _encode_categorical(column)
    if isinstance(dtype, pd.SparseDtype):
        raise _no_counterpart(column)
    for applies, encoder in _ENCODERS:
        if applies(dtype):
            return encoder(column, str(dtype))
    raise _no_counterpart(column)


def _no_counterpart(column: pd.Series, kind: str = "") -> DataError:
    return DataError(
        f"column {column.name!r} has type {kind or column.dtype}, which has no counterpart in R; convert or drop it"
    )


def _numbers(column: pd.Series) -> FloatArray:
    return np.asarray(column.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


def _encode_logical(column: pd.Series, note: str) -> Column:
    return Column(kind="logical", values=_numbers(column), note=note)


def _encode_integer(column: pd.Series, note: str) -> Column:
    seen = column.dropna()
    low, high = (int(seen.min()), int(seen.max())) if len(seen) else (0, 0)
    if max(-low, high) > LARGEST_EXACT:
        raise DataError(f"column {column.name!r} holds whole numbers beyond 2^53, which R would round; make it text")
    kind = "integer" if max(-low, high) <= LARGEST_INTEGER else "double"
    return Column(kind=kind, values=_numbers(column), note=note)


def _encode_float(column: pd.Series, note: str) -> Column:
    if getattr(column.dtype, "itemsize", 8) > 8:
        raise DataError(f"column {column.name!r} has more digits than R's numbers; convert it to float64")
    return Column(kind="double", values=_numbers(column), note=note)


def _encode_text(column: pd.Series, note: str) -> Column:
    codes, levels = pd.factorize(column.to_numpy(dtype=object), use_na_sentinel=True)
    return Column(kind="character", values=_codes(codes), levels=_texts(column, list(levels)), note=note)


def _encode_datetime(column: pd.Series, note: str) -> Column:
    zone = getattr(column.dtype, "tz", None)
    naive = column if zone is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
    if zone is None and (naive.isna() | (naive == naive.dt.normalize())).all():
        return _encode_dates(column, note)  # pandas has no other type for dates
    values = _scaled(column, naive.astype("datetime64[ns]").to_numpy())
    return Column(kind="datetime", values=values, tz="UTC" if zone is None else str(zone), note=note)


def _encode_dates(column: pd.Series, note: str) -> Column:
    days = column.to_numpy().astype("datetime64[D]")
    values = np.where(np.isnat(days), np.nan, days.astype("int64").astype(float))
    return Column(kind="date", values=values, note=note)


def _encode_timedelta(column: pd.Series, note: str) -> Column:
    return Column(kind="timedelta", values=_scaled(column, column.astype("timedelta64[ns]").to_numpy()), note=note)


def _scaled(column: pd.Series, nanoseconds: NDArray[Any]) -> FloatArray:
    """Seconds as floats, if their microseconds survive it."""
    missing = np.isnat(nanoseconds)
    whole = np.where(missing, 0, nanoseconds.astype("int64"))
    micro = whole // 1000
    seconds = micro / _MICRO
    if (whole % 1000).any() or (np.rint(seconds * _MICRO).astype("int64") != micro).any():
        raise DataError(f"column {column.name!r} has times finer than the microseconds that R keeps; round them")
    return np.where(missing, np.nan, seconds)


def _encode_categorical(column: pd.Series) -> Column:
    categories = column.cat.categories
    kind = types.infer_dtype(categories, skipna=False)
    if kind not in ("string", "integer", "floating", "boolean", "empty"):
        raise _no_counterpart(column, f"category of {kind}")
    texts = [repr(float(value)) if kind == "floating" else str(value) for value in categories]
    return Column(
        kind="factor", values=_codes(column.cat.codes.to_numpy()), levels=_texts(column, texts),
        ordered=bool(column.cat.ordered), note=f"category:{categories.dtype}",
    )  # fmt: skip


def _encode_object(column: pd.Series, note: str) -> Column:
    kind = types.infer_dtype(column, skipna=True)
    if kind == "string":
        return _encode_text(column, note)
    if kind == "empty":
        return Column(kind="logical", values=np.full(len(column), np.nan), note=note)
    if kind == "boolean":
        return _encode_logical(column.astype("boolean"), note)
    if kind == "integer":
        return _encode_integer(_plain_integers(column), note)
    if kind in ("floating", "mixed-integer-float"):
        return _encode_float(column.astype(float), note)
    if kind == "date":
        return _encode_dates(pd.to_datetime(column), note)
    raise _no_counterpart(column, f"object ({kind})")


def _plain_integers(column: pd.Series) -> pd.Series:
    try:
        return column.astype("Int64")
    except OverflowError:
        raise DataError(
            f"column {column.name!r} holds whole numbers beyond 2^53, which R would round; make it text"
        ) from None


def _codes(codes: NDArray[Any]) -> FloatArray:
    """0-based codes with -1 for missing -> R's."""
    return np.where(codes < 0, np.nan, codes + 1.0)


def _texts(column: pd.Series, values: Sequence[Any]) -> tuple[str, ...]:
    texts = tuple(str(value) for value in values)
    check_texts(texts, f"column {column.name!r}")
    return texts


def check_texts(texts: Sequence[str], where: str) -> None:
    """Refuse text that R cannot hold.

    Raises
    ------
    DataError
        For the character NUL, and for halves of surrogate pairs.
    """
    joined = "".join(texts)
    if "\0" in joined or any("\ud800" <= character <= "\udfff" for character in joined):
        raise DataError(f"{where} has text that R cannot hold (a NUL character or half a surrogate pair)")


def _is_text(dtype: Any) -> bool:
    return isinstance(dtype, pd.StringDtype) or (types.is_string_dtype(dtype) and dtype != np.dtype(object))


_ENCODERS: tuple[tuple[Callable[[Any], bool], Callable[[pd.Series, str], Column]], ...] = (
    (types.is_object_dtype, _encode_object),
    (types.is_bool_dtype, _encode_logical),
    (types.is_integer_dtype, _encode_integer),
    (types.is_float_dtype, _encode_float),
    (types.is_datetime64_any_dtype, _encode_datetime),
    (types.is_timedelta64_dtype, _encode_timedelta),
    (_is_text, _encode_text),
)


# ---- from R ------------------------------------------------------------------------------------------------


def decode(column: Column) -> pd.Series:
    """What R holds -> a pandas column.

    Parameters
    ----------
    column : Column

    Returns
    -------
    Series
        Of the type that the note names. Without a note: float64; int64 and bool, or Int64 and boolean where values
        are missing; str; category; datetime64, without time zone for Date and with one for POSIXct; timedelta64.
    """
    series = _DECODERS[column.kind](column)
    if not column.note or column.kind == "factor":
        return series
    if column.note == "object":
        return _as_objects(series)
    return series.astype(cast(Any, column.note))


def _decode_logical(column: Column) -> pd.Series:
    series = pd.Series(column.values).astype("boolean")
    return series if series.isna().any() else series.astype(bool)


def _decode_integer(column: Column) -> pd.Series:
    series = pd.Series(column.values).astype("Int64")
    return series if series.isna().any() else series.astype("int64")


def _decode_double(column: Column) -> pd.Series:
    whole = column.note.lower().startswith(("int", "uint"))
    return pd.Series(column.values).astype("Int64") if whole else pd.Series(column.values)


def _decode_character(column: Column) -> pd.Series:
    levels = np.array([*column.levels, None], dtype=object)
    texts = levels[_from_codes(column.values)]
    return pd.Series(texts, dtype=object if column.note == "object" else "str")


def _decode_factor(column: Column) -> pd.Series:
    levels: pd.Index = pd.Index(column.levels, dtype="str")
    kind = column.note.removeprefix("category:")
    if kind == "bool":
        levels = levels == "True"  # type: ignore[assignment]
    elif kind:
        levels = levels.astype(kind)
    categories = pd.CategoricalDtype(pd.Index(levels), ordered=column.ordered)
    return pd.Series(pd.Categorical.from_codes(_from_codes(column.values), dtype=categories))


def _decode_date(column: Column) -> pd.Series:
    return pd.Series(_whole(column.values, 1).astype("datetime64[D]").astype("datetime64[s]"))


def _decode_datetime(column: Column) -> pd.Series:
    series = pd.Series(_whole(column.values, _MICRO).astype("datetime64[us]"))
    if column.note and "," not in column.note and "tz=" not in column.note:
        return series  # pandas knew no time zone
    return series.dt.tz_localize("UTC").dt.tz_convert(column.tz or "UTC")


def _decode_timedelta(column: Column) -> pd.Series:
    return pd.Series(_whole(column.values, _MICRO).astype("timedelta64[us]"))


def _whole(values: FloatArray, scale: int) -> NDArray[np.int64]:
    """Numbers times a scale, rounded; numpy's mark of a missing time for NaN."""
    missing = np.isnan(values)
    return np.where(missing, np.iinfo(np.int64).min, np.rint(np.where(missing, 0.0, values) * scale).astype("int64"))


def _from_codes(values: FloatArray) -> NDArray[np.intp]:
    return np.where(np.isnan(values), 0.0, values).astype(np.intp) - 1


def _as_objects(series: pd.Series) -> pd.Series:
    """Python's own values, None where missing."""
    if types.is_datetime64_any_dtype(series.dtype):
        values = [None if value is pd.NaT else value.date() for value in series]
    else:
        values = [None if missing else value for value, missing in zip(series.tolist(), series.isna(), strict=True)]
    return pd.Series(values, dtype=object)


_DECODERS: dict[str, Callable[[Column], pd.Series]] = {
    "double": _decode_double,
    "integer": _decode_integer,
    "logical": _decode_logical,
    "character": _decode_character,
    "factor": _decode_factor,
    "date": _decode_date,
    "datetime": _decode_datetime,
    "timedelta": _decode_timedelta,
}
