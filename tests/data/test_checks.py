"""Columns that can be used, those that cannot, and what is said about them."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fosa_sem.data.checks import (
    as_float,
    check_all_values,
    check_column_values,
    check_names,
    check_table,
    check_values,
)
from fosa_sem.errors import DataError, ModelSpecificationError

USABLE: dict[str, tuple[Any, list[float]]] = {
    "float": (pd.Series([1.0, np.nan, 3.0]), [1.0, np.nan, 3.0]),
    "float32": (pd.Series([1.5, np.nan, 3.0], dtype="float32"), [1.5, np.nan, 3.0]),
    "int": (pd.Series([1, 2, 3]), [1.0, 2.0, 3.0]),
    "uint8": (pd.Series([1, 2, 255], dtype="uint8"), [1.0, 2.0, 255.0]),
    "bool": (pd.Series([True, False, True]), [1.0, 0.0, 1.0]),
    "Int64": (pd.Series([1, pd.NA, 3], dtype="Int64"), [1.0, np.nan, 3.0]),
    "Float64": (pd.Series([1.5, pd.NA, 3.0], dtype="Float64"), [1.5, np.nan, 3.0]),
    "boolean": (pd.Series([True, pd.NA, False], dtype="boolean"), [1.0, np.nan, 0.0]),
    "objects with None": (pd.Series([1, None, 3.5], dtype=object), [1.0, np.nan, 3.5]),
    "objects with NA": (pd.Series([1, pd.NA, 3.5], dtype=object), [1.0, np.nan, 3.5]),
    "arrow": (pd.Series([1.5, None, 2.5], dtype="double[pyarrow]"), [1.5, np.nan, 2.5]),
    "arrow integers": (pd.Series([1, None, 2], dtype="int64[pyarrow]"), [1.0, np.nan, 2.0]),
}


def check_column(column: pd.Series) -> np.ndarray:
    values = as_float(column)
    check_values(values, column.name)
    return values


@pytest.mark.parametrize("name", USABLE)
def test_numbers_of_every_kind_become_floats(name: str) -> None:
    column, expected = USABLE[name]
    found = check_column(column)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


UNUSABLE: dict[str, tuple[Any, str]] = {
    "text": (pd.Series(["1", "2"]), "numbers"),
    "text among numbers": (pd.Series([1.0, "two", None], dtype=object), "1 value\\(s\\).*'two'"),
    "complex": (pd.Series([1j, 2.0]), "complex"),
    "complex object": (pd.Series([1j, 2.0], dtype=object), "not numbers"),
    "categorical": (pd.Series([1, 2], dtype="category"), "categorical"),
    "ordered": (pd.Series(pd.Categorical([1, 2], ordered=True)), "categorical"),
    "dates": (pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), "datetime64"),
    "durations": (pd.Series(pd.to_timedelta([1, 2], unit="D")), "timedelta64"),
    "infinite": (pd.Series([1.0, np.inf, -np.inf]), "2 infinite"),
    "lists": (pd.Series([[1], [2]]), "not numbers"),
    "constant": (pd.Series([2.0, 2.0, np.nan]), "constant \\(2 in all 2 rows"),
    "missing": (pd.Series([np.nan, np.nan]), "no value"),
    "missing objects": (pd.Series([None, None], dtype=object), "no value"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_other_columns_are_refused_by_name(name: str) -> None:
    column, words = UNUSABLE[name]
    with pytest.raises(DataError, match=words) as caught:
        check_column(column.rename("income"))
    assert "'income'" in str(caught.value)


def test_rows_to_score_may_be_constant_or_empty() -> None:
    np.testing.assert_array_equal(check_column_values(pd.Series([2.0, 2.0])), [2.0, 2.0])
    assert np.isnan(check_column_values(pd.Series([None, np.nan], dtype=object))).all()


def with_signalling_nan(values: list[float], at: int) -> np.ndarray:
    """R's NA as foreign converters hand it on: a NaN that signals, with the payload 1954."""
    array = np.array(values)
    array.view(np.uint64)[at] = 0x7FF00000000007A2
    return array


def test_the_missing_value_of_r_hides_no_other() -> None:
    found = check_column_values(pd.Series(with_signalling_nan([4.0, 0.0, 2.0, 3.0], at=1)))
    np.testing.assert_array_equal(found, [4.0, np.nan, 2.0, 3.0])
    assert np.fmin.reduce(found) == 2.0
    with pytest.raises(DataError, match="1 infinite"):
        check_column_values(pd.Series(with_signalling_nan([np.inf, 0.0, 2.0], at=1)))


def test_decimals_are_numbers() -> None:
    column = pd.Series([decimal.Decimal("1.5"), decimal.Decimal(2)], dtype=object)
    try:
        found = check_column(column)
    except DataError:
        return
    np.testing.assert_array_equal(found, [1.5, 2.0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([[1, 2]], "DataFrame, got list"),
        (np.zeros((2, 2)), "DataFrame, got ndarray"),
        ({"x": [1]}, "DataFrame, got dict"),
        (pd.Series([1.0]), "DataFrame, got Series"),
        (None, "DataFrame, got NoneType"),
        (pd.DataFrame({"x": []}), "no rows"),
        (pd.DataFrame({0: [1.0]}), "column names must be strings; none is, the first is 0"),
        (
            pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
            "several levels",
        ),
    ],
)
def test_what_is_no_table(data: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_table(data)


def test_unknown_variables_get_the_closest_columns() -> None:
    frame = pd.DataFrame({"income": [1.0], "Age": [2.0]})
    with pytest.raises(ModelSpecificationError, match="'incme' is not a column of the data; did you mean 'income'"):
        check_names(frame, ["incme"], {})
    with pytest.raises(ModelSpecificationError, match="did you mean 'Age'"):
        check_names(frame, ["age"], {})
    with pytest.raises(ModelSpecificationError, match="which has income, Age"):
        check_names(frame, ["zzz"], {})


def test_a_name_that_occurs_twice_matters_only_if_it_is_used() -> None:
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "x", "y"])
    check_names(frame, ["y"], {})
    with pytest.raises(DataError, match="'x' occurs 2 times"):
        check_names(frame, ["x"], {})


@pytest.mark.parametrize(
    "bad",
    [[np.nan] * 4, [2.0] * 4, [2.0, 2.0, np.nan, np.nan], [1.0, np.inf, 2.0, 3.0], [1.0, 1e60, 2.0, 3.0],
     [1.0, 1.0 + 1e-14, 1.0, 1.0], [1e-60, 2e-60, 0.0, 1e-60]],
)  # fmt: skip
def test_columns_checked_together_are_refused_as_one_by_one(bad):
    columns = np.array([[1.0, 2.0, np.nan, 3.0], bad, [-3.0, -1.0, -2.0, np.nan]])
    with pytest.raises(DataError) as alone:
        check_values(columns[1], "bad")
    with pytest.raises(DataError, match="'bad'") as together:
        check_all_values(columns, ["a", "bad", "c"])
    assert str(together.value) == str(alone.value)
    check_all_values(columns[[0, 2]], ["a", "c"])
