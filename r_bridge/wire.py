"""Values of both languages as plain mappings, lists, text and bytes: what every way to R can carry.

The other half is ``R/wire.R``. Numbers travel as 64-bit floats, so that NA needs no sentinel among them, and text
as codes into its distinct values, so that nothing loops over rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError, OptionError
from r_bridge.columns import Column, check_texts, decode, encode

Packed = dict[str, Any]


# ---- to R --------------------------------------------------------------------------------------------------


def pack(value: object) -> Packed:
    """A Python value as plain parts.

    Parameters
    ----------
    value : None, bool, int, float, str, list, tuple, Mapping, ndarray, Series or DataFrame
        Lists of plain values become vectors, other lists and mappings R lists, matrices R matrices; a Series whose
        index is text becomes a vector with names.

    Returns
    -------
    dict

    Raises
    ------
    OptionError
        For a value that R has nothing like.
    DataError
        For a column that cannot be held by R without loss.
    """
    if value is None:
        return {"type": "null"}
    if isinstance(value, pd.DataFrame):
        return pack_frame(value)
    if isinstance(value, Mapping):
        names = [str(name) for name in value]
        check_texts(names, "a list")
        return {"type": "list", "names": names, "items": [pack(item) for item in value.values()]}
    if isinstance(value, (bool, int, float, str, np.generic)):
        return _pack_column(encode(_series([value])))
    if isinstance(value, pd.Series):
        named = pd.api.types.infer_dtype(value.index) == "string"
        return _pack_column(encode(value)) | ({"names": [str(name) for name in value.index]} if named else {})
    if isinstance(value, np.ndarray):
        return _pack_array(value)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, (bool, int, float, str, np.generic)) for item in value):
            return _pack_column(encode(_series(value)))
        return {"type": "list", "names": None, "items": [pack(item) for item in value]}
    raise OptionError(f"{value!r} cannot be handed to R; give a number, text, True, False, or a list of these")


def _series(values: Sequence[Any]) -> pd.Series:
    mixed = len({isinstance(value, str) for value in values}) > 1
    if mixed:
        raise OptionError(f"{list(values)!r} mixes text and numbers; R's vectors hold one kind")
    return pd.Series(list(values), name="value")


def _pack_array(array: np.ndarray[Any, Any]) -> Packed:
    if array.ndim > 2:
        raise OptionError("an array of more than two dimensions cannot be handed to R")
    # R's matrices run down their columns.
    packed = _pack_column(encode(pd.Series(array.ravel(order="F"), name="array")))
    return packed if array.ndim < 2 else packed | {"shape": list(array.shape)}


def _pack_column(column: Column) -> Packed:
    return {
        "type": "vector", "kind": column.kind, "n": len(column.values), "data": column.values.astype("<f8").tobytes(),
        "levels": list(column.levels), "ordered": column.ordered, "tz": column.tz,
    }  # fmt: skip


def pack_frame(frame: pd.DataFrame) -> Packed:
    """A table as plain parts; types and index are noted, for the way back.

    Raises
    ------
    DataError
        For a column of a type without counterpart, and for column names that are no text.
    """
    names = list(frame.columns)
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise DataError(f"column names must be text, got {odd[0]!r}; rename with .rename(columns=str)")
    check_texts(names, "the header")
    columns = [encode(frame.iloc[:, j]) for j in range(frame.shape[1])]
    return {
        "type": "frame", "n": len(frame), "names": names, "columns": [_pack_column(c) for c in columns],
        "row_names": None, "notes": [f"{c.kind}|{c.note}" for c in columns], "index": _pack_index(frame.index),
    }  # fmt: skip


def _pack_index(index: pd.Index) -> Packed | None:
    """The index as a table of its levels; None if it only counts the rows."""
    if isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(len(index))) and index.name is None:
        return None
    named = [name is not None for name in index.names]
    odd = [name for name in index.names if name is not None and not isinstance(name, str)]
    if odd:
        raise DataError(f"index names must be text, got {odd[0]!r}")
    levels = [index.get_level_values(i) for i in range(index.nlevels)]
    table = pd.DataFrame({i: pd.Series(level.array) for i, level in enumerate(levels)})
    table.columns = pd.Index([str(name) if given else "" for name, given in zip(index.names, named, strict=True)])
    return pack_frame(table)


# ---- from R ------------------------------------------------------------------------------------------------


def unpack(packed: Mapping[str, Any]) -> Any:
    """What R packed, as Python values.

    Returns
    -------
    None, ndarray, Series, DataFrame, dict or list
        Vectors are arrays, or Series if they have names; matrices are arrays, or DataFrames if they have names; R
        lists are dicts, or lists without names.
    """
    kind = packed["type"]
    if kind == "null":
        return None
    if kind == "frame":
        return unpack_frame(packed)
    if kind == "list":
        items = [unpack(item) for item in _listed(packed["items"])]
        names = packed.get("names")
        return items if names is None else dict(zip(_listed(names), items, strict=True))
    series = decode(_column(packed))
    if packed.get("shape") is not None:
        return _matrix(packed, series)
    names = packed.get("names")
    return series.to_numpy() if names is None else series.set_axis(pd.Index(_listed(names), dtype="str"))


def _listed(value: Any) -> list[Any]:
    """A single text may have lost its list on the way."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _column(packed: Mapping[str, Any], note: str = "") -> Column:
    kind, _, dtype = note.partition("|")
    values = np.frombuffer(bytes(packed["data"]), dtype="<f8").astype(float)
    values[np.isnan(values)] = np.nan  # R's NA is a signalling NaN, at which minima and maxima go wrong
    return Column(
        kind=packed["kind"],
        values=values,
        levels=tuple(_listed(packed.get("levels") or [])),
        ordered=bool(packed.get("ordered")),
        tz=packed.get("tz") or "",
        note=dtype if kind == packed["kind"] else "",
    )


def _matrix(packed: Mapping[str, Any], series: pd.Series) -> np.ndarray[Any, Any] | pd.DataFrame:
    shape = tuple(int(size) for size in _listed(packed["shape"]))
    values = series.to_numpy().reshape(shape, order="F")
    rows, columns = packed.get("rows"), packed.get("columns")
    if rows is None and columns is None:
        return values
    return pd.DataFrame(
        values,
        index=None if rows is None else pd.Index(_listed(rows), dtype="str"),
        columns=None if columns is None else pd.Index(_listed(columns), dtype="str"),
    )


def unpack_frame(packed: Mapping[str, Any]) -> pd.DataFrame:
    """A data frame of R as a table; types and index as noted on the way to R, if R has kept the notes."""
    names, columns = _listed(packed["names"] or []), _listed(packed["columns"])
    notes = _listed(packed.get("notes") or [])
    notes = notes if len(notes) == len(columns) else [""] * len(columns)
    n = int(packed["n"])
    series = [_decoded(column, note) for column, note in zip(columns, notes, strict=True)]
    # By position: names may come twice.
    frame = pd.concat(series, axis=1) if series else pd.DataFrame(index=range(n))
    frame.columns = pd.Index(names, dtype="str")
    index = _unpack_index(packed, n)
    return frame if index is None else frame.set_axis(index, axis=0)


def _decoded(packed: Mapping[str, Any], note: str) -> pd.Series:
    column = _column(packed, note)
    try:
        return decode(column)
    except (TypeError, ValueError):  # R has changed the values since: 1 became 1.5
        return decode(_column(packed))


def _unpack_index(packed: Mapping[str, Any], n: int) -> Any:
    kept = packed.get("index")
    if kept is not None and int(kept["n"]) == n:
        table = unpack_frame(kept)
        names = [name or None for name in table.columns]
        levels = [table.iloc[:, i].array for i in range(table.shape[1])]
        return (
            pd.Index(levels[0], name=names[0]) if len(levels) == 1 else pd.MultiIndex.from_arrays(levels, names=names)
        )
    if packed.get("row_names") is not None:
        return pd.Index(_listed(packed["row_names"]), dtype="str")
    return None
