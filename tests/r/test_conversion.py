"""Tables on their way to R and back: nothing is lost, or it is refused."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from fosa_sem.errors import DataError, OptionError
from r_bridge import from_r, to_r
from r_bridge.wire import pack, unpack

LIVE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# ---- columns of every type ---------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
WHOLE = st.integers(-(2**31) + 1, 2**31 - 1)
EXACT = st.integers(-(2**53), 2**53)
DAY = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))


def column(values: st.SearchStrategy[Any], dtype: Any, missing: bool) -> Callable[[int], st.SearchStrategy[pd.Series]]:
    cell = st.none() | values if missing else values
    return lambda n: st.lists(cell, min_size=n, max_size=n).map(lambda v: pd.Series(v, dtype=dtype))


COLUMNS = (
    column(st.floats(allow_nan=False), "float64", missing=True),
    column(st.floats(width=32, allow_nan=False), "float32", missing=True),
    column(st.floats(allow_nan=False), "Float64", missing=True),
    column(WHOLE, "int32", missing=False),
    column(EXACT, "int64", missing=False),
    column(st.integers(0, 255), "uint8", missing=False),
    column(EXACT, "Int64", missing=True),
    column(st.integers(-128, 127), "Int8", missing=True),
    column(st.booleans(), "bool", missing=False),
    column(st.booleans(), "boolean", missing=True),
    column(TEXT, "str", missing=True),
    column(TEXT, "string", missing=True),
    column(TEXT, "object", missing=True),
    column(st.booleans(), "object", missing=True),
    column(DAY.map(dt.datetime.date), "object", missing=True),
    column(DAY, "datetime64[us]", missing=True),
    column(DAY.map(lambda t: t.replace(microsecond=0)), "datetime64[ns]", missing=True),
    column(DAY, "datetime64[us, Europe/Berlin]", missing=True),
    column(st.timedeltas(dt.timedelta(-90), dt.timedelta(90)), "timedelta64[us]", missing=True),
    column(st.sampled_from("abcé"), pd.CategoricalDtype(list("éabcd")), missing=True),
    column(st.sampled_from([3, 1]), pd.CategoricalDtype([3, 1, 2], ordered=True), missing=True),
    column(st.sampled_from([0.1, 1e300]), pd.CategoricalDtype([1e300, 0.1]), missing=True),
    column(st.booleans(), pd.CategoricalDtype([True, False]), missing=True),
)  # fmt: skip
NAMES = st.lists(TEXT, max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(0, 5))
    names = draw(NAMES)
    columns = [draw(st.sampled_from(COLUMNS).flatmap(lambda make: make(n))) for _ in names]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(n))
    frame.columns = pd.Index(names, dtype="str")
    index = draw(st.sampled_from(["range", "text", "numbers", "two levels"]))
    if index == "text":
        frame.index = pd.Index([f"r{i % 2}" for i in range(n)], name="who")
    elif index == "numbers":
        frame.index = pd.Index(range(10, 10 + n))
    elif index == "two levels":
        frame.index = pd.MultiIndex.from_arrays([list("abcde"[:n]), list(range(n))], names=["one", None])
    return frame


def assert_same(after: pd.DataFrame, before: pd.DataFrame) -> None:
    assert_frame_equal(after, before, check_exact=True, check_column_type=False, check_index_type=False)


@given(tables())
@settings(max_examples=200, deadline=None)
def test_packing_loses_nothing(frame: pd.DataFrame) -> None:
    assert_same(unpack(pack(frame)), frame)


@pytest.mark.r
@given(tables())
@LIVE
def test_r_loses_nothing(in_r: Any, frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    assert_same(from_r(to_r(frame)), frame)
    assert_frame_equal(frame, before)
    assert in_r("nrow", frame).tolist() == [len(frame)]


@pytest.mark.r
@given(tables())
@LIVE
def test_r_sees_what_is_missing(in_r: Any, frame: pd.DataFrame) -> None:
    if frame.size:
        missing = in_r("is.na", frame)
        np.testing.assert_array_equal(np.asarray(missing), frame.isna().to_numpy())


# ---- what R makes of each type -----------------------------------------------------------------------------

KINDS = {
    "double": pd.Series([1.5, np.nan]),
    "integer": pd.Series([1, None], dtype="Int64"),
    "logical": pd.Series([True, None], dtype="boolean"),
    "character": pd.Series(["a", None], dtype="str"),
    "factor": pd.Series(["a", None], dtype="category"),
    "ordered": pd.Series(pd.Categorical(["a", None], ordered=True)),
    "Date": pd.Series([dt.date(2020, 2, 29), None]),
    "POSIXct": pd.Series(pd.to_datetime(["2020-02-29 12:00", None])).dt.tz_localize("UTC"),
    "difftime": pd.Series(pd.to_timedelta(["90s", None])),
}


@pytest.mark.r
@pytest.mark.parametrize("kind", KINDS)
def test_the_classes_that_r_sees(in_r: Any, kind: str) -> None:
    values = KINDS[kind]
    seen = in_r("class", values).tolist()
    assert kind in (["double"] if seen == ["numeric"] else seen)
    assert in_r("is.na", values).tolist() == [False, True]


@pytest.mark.r
@pytest.mark.usefixtures("_r")
def test_columns_that_r_made() -> None:
    """Without our notes: the type follows from the values."""
    from rpy2.rinterface import evalr

    frame = from_r(
        evalr("""
        structure(list(i = c(1L, NA), j = 1:2, l = c(NA, TRUE), m = c(TRUE, FALSE), d = c(NaN, NA), s = c("ä", NA),
                       f = factor(c("b", NA), levels = c("b", "a")), t = as.Date(c("2020-01-02", NA)),
                       p = as.POSIXct(c("2020-01-02 03:04:05", NA), tz = "America/New_York")),
                  row.names = c("r1", "r2"), class = "data.frame")
    """)
    )
    types = ["Int64", "int64", "boolean", "bool", "float64", "str", "category", "datetime64[s]",
             "datetime64[us, America/New_York]"]  # fmt: skip
    assert [str(dtype) for dtype in frame.dtypes] == types
    assert frame.index.tolist() == ["r1", "r2"]
    assert frame.isna().sum().tolist() == [1, 0, 1, 0, 2, 1, 1, 1, 1]
    assert frame["p"].iloc[0] == pd.Timestamp("2020-01-02 03:04:05", tz="America/New_York")
    assert frame["f"].cat.categories.tolist() == ["b", "a"]


@pytest.mark.r
@pytest.mark.usefixtures("_r")
def test_other_values_from_r() -> None:
    from rpy2.rinterface import evalr

    assert from_r(evalr("NULL")) is None
    assert from_r(evalr("list(1, b = 'x')"))["b"].tolist() == ["x"]
    matrix = from_r(evalr("matrix(1:6, 2, dimnames = list(c('a', 'b'), NULL))"))
    assert matrix.loc["b"].tolist() == [2, 4, 6]
    named = from_r(evalr("c(a = 1, b = NA)"))
    assert math.isnan(named["b"])


@pytest.mark.r
def test_names_that_r_would_mangle(in_r: Any) -> None:
    names = ["two words", "1st", "größe", "if", "a", "a", "", "`", "😀", "日本"]
    frame = pd.DataFrame([range(len(names))], columns=names)
    assert in_r("names", frame).tolist() == names
    assert from_r(to_r(frame)).columns.tolist() == names


@pytest.mark.r
@pytest.mark.usefixtures("_r")
def test_a_column_that_r_has_changed_comes_back_as_r_has_it() -> None:
    from rpy2.rinterface import baseenv, evalr

    frame = pd.DataFrame({"n": [1, 2], "b": [True, False]})
    divided = baseenv["$<-"](to_r(frame), "n", evalr("c(0.5, 1)"))
    assert from_r(divided)["n"].tolist() == [0.5, 1.0]
    text = baseenv["$<-"](to_r(frame), "b", evalr("c('TRUE', NA)"))
    assert from_r(text)["b"].isna().tolist() == [False, True]


def test_read_only_arrays() -> None:
    values = np.arange(3.0)
    values.setflags(write=False)
    frame = pd.DataFrame({"x": values}, copy=False)
    assert_same(unpack(pack(frame)), frame)
    matrix = np.arange(6.0).reshape(2, 3)
    matrix.setflags(write=False)
    np.testing.assert_array_equal(unpack(pack(matrix)), matrix)


def test_r_s_na_arrives_as_an_ordinary_nan() -> None:
    """R's NA is a signalling NaN, over which numpy's minimum stumbles."""
    packed = pack(pd.Series([1.0, np.nan]))
    packed["data"] = np.array([1.0]).tobytes() + (0x7FF00000000007A2).to_bytes(8, "little")
    values = unpack(packed)
    assert np.isnan(values).tolist() == [False, True]
    assert values.view(np.uint64)[1] == np.array([np.nan]).view(np.uint64)[0]
    assert np.fmin.reduce(values) == 1.0


# ---- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pd.Series([2**53 + 1]), r"beyond 2\^53"),
        (pd.Series([2**70], dtype=object), r"beyond 2\^53"),
        (pd.Series([1 + 2j]), "complex128"),
        (pd.Series(pd.to_datetime(["2020-01-01 00:00:00.000000001"])), "finer than the microseconds"),
        (pd.Series(pd.period_range("2020", periods=2, freq="M")), "period"),
        (pd.Series([1, "a"], dtype=object), r"object \(mixed-integer\)"),
        (pd.Series([b"bytes"], dtype=object), r"object \(bytes\)"),
        (pd.Series(["a\0b"]), "NUL"),
        (pd.Series(["\ud800"], dtype=object), "surrogate"),
        (pd.Series(pd.arrays.SparseArray([0.0, 1.0])), "Sparse"),
        (pd.Series(pd.Categorical([1, "1"])), "category of mixed"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.dtype),
)
def test_what_r_cannot_hold_is_refused_by_name(values: pd.Series, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        pack(values.to_frame("blood type"))
    assert "blood type" in str(caught.value)


def test_header_and_arguments_that_cannot_be_handed_over() -> None:
    with pytest.raises(DataError, match=r"column names must be text, got 0"):
        pack(pd.DataFrame([[1.0]]))
    with pytest.raises(DataError, match="index names must be text"):
        pack(pd.DataFrame({"x": [1]}, index=pd.Index([5], name=7)))
    with pytest.raises(OptionError, match="cannot be handed to R"):
        pack({"control": object()})
    with pytest.raises(OptionError, match="mixes text and numbers"):
        pack([1, "a"])


@pytest.mark.r
@pytest.mark.usefixtures("_r")
@pytest.mark.parametrize("code", ["list(x = list(1, 2))", "list(x = matrix(1:4, 2))", "list(x = 1i)"])
def test_a_data_frame_that_pandas_cannot_hold(code: str) -> None:
    from rpy2.rinterface import baseenv, evalr

    frame = baseenv["structure"](evalr(code), **{"class": "data.frame", "row.names": evalr("1:2")})
    with pytest.raises(DataError, match=r'column "x"'):
        from_r(frame)
