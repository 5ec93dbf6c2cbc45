"""Which rows are used, which are dropped and counted, and in which groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from fosa_sem.data.diagnostics import coverage_table, missing_rates, pattern_table
from fosa_sem.data.patterns import PIECE
from fosa_sem.data.sample import take_sample
from fosa_sem.errors import CoverageWarning, DataError, DroppedRowsWarning, ModelSpecificationError


def _frame(n: int = 40, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.standard_normal((n, 3)), columns=["x", "y", "z"])


def test_all_rows_are_used_in_their_order() -> None:
    frame = _frame()
    sample = take_sample(frame, ["z", "x"])
    assert sample.variables == ("z", "x")
    assert sample.n_used == sample.n_given == 40
    assert_array_equal(sample.groups[0].values, frame[["z", "x"]].to_numpy())
    assert_array_equal(sample.groups[0].rows, np.arange(40))


def test_empty_rows_are_dropped_counted_and_warned_about() -> None:
    frame = _frame()
    frame.loc[[3, 7], ["x", "y"]] = np.nan
    with pytest.warns(DroppedRowsWarning, match="2 of 40 rows were dropped: empty rows"):
        sample = take_sample(frame, ["x", "y"])
    assert sample.dropped == (("empty rows", 2),)
    assert sample.n_used == 38
    assert not {3, 7} & set(sample.groups[0].rows)


def test_rows_with_a_missing_exogenous_value_are_dropped_and_counted_once() -> None:
    frame = _frame()
    frame.loc[[3, 7], ["x", "y"]] = np.nan
    frame.loc[[7, 9], "x"] = np.nan
    with pytest.warns(DroppedRowsWarning) as caught:
        sample = take_sample(frame, ["x", "y"], complete=["x"])
    assert [count for _, count in sample.dropped] == [2, 1]
    assert len(caught) == 2
    assert "missing exogenous variable (x; fixed_x=True)" in str(caught[1].message)


def test_groups_come_in_order_of_first_appearance() -> None:
    frame = _frame().assign(g=["b", "a", "c", "a"] * 10)
    sample = take_sample(frame, ["x", "y"], group="g")
    assert [g.label for g in sample.groups] == ["b", "a", "c"]
    assert [g.patterns.n_rows for g in sample.groups] == [10, 20, 10]
    assert_array_equal(sample.groups[0].rows, np.arange(0, 40, 4))


def test_groups_may_be_numbers_with_holes() -> None:
    frame = _frame().assign(g=[2.0, 1.0] * 20)
    frame.loc[5, "g"] = np.nan
    with pytest.warns(DroppedRowsWarning, match="1 of 40 rows were dropped: rows without a value of the group"):
        sample = take_sample(frame, ["x", "y"], group="g")
    assert [g.label for g in sample.groups] == ["2", "1"]


def test_a_pair_never_observed_together_is_named() -> None:
    frame = _frame()
    frame.loc[:19, "x"] = np.nan
    frame.loc[20:, "z"] = np.nan
    with pytest.warns(CoverageWarning, match="1 pair.*: x-z"):
        sample = take_sample(frame, ["x", "y", "z"])
    assert sample.uncovered_pairs() == (("x", "z"),)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="3 usable rows for 3 variables; at least 4"):
        take_sample(_frame(3), ["x", "y", "z"])
    assert take_sample(_frame(4), ["x", "y", "z"]).n_used == 4


def test_too_few_rows_in_one_group_names_it() -> None:
    frame = _frame().assign(g=["a"] * 38 + ["b"] * 2)
    with pytest.raises(DataError, match="2 usable rows in group 'b'"):
        take_sample(frame, ["x", "y"], group="g")


def test_a_column_that_is_constant_in_one_group_names_both() -> None:
    frame = _frame().assign(g=["a", "b"] * 20)
    frame.loc[frame["g"] == "b", "y"] = 1.0
    with pytest.raises(DataError, match="group 'b': column 'y' is constant"):
        take_sample(frame, ["x", "y"], group="g")


def test_one_group_is_no_comparison() -> None:
    with pytest.raises(DataError, match="'g' has 1 group"):
        take_sample(_frame().assign(g="a"), ["x", "y"], group="g")


def test_no_usable_row() -> None:
    frame = _frame()
    frame.loc[:19, "x"] = np.nan
    frame.loc[20:, "z"] = np.nan
    with (
        pytest.warns(DroppedRowsWarning),
        pytest.raises(DataError, match="none of the 40 rows can be used"),
    ):
        take_sample(frame, ["x", "z"], complete=["x", "z"])


def test_a_column_that_dropping_makes_constant_is_found() -> None:
    frame = _frame()
    frame["y"] = 1.0
    frame.loc[0, "y"] = 2.0
    frame.loc[0, "x"] = np.nan
    with pytest.warns(DroppedRowsWarning), pytest.raises(DataError, match="'y' is constant"):
        take_sample(frame, ["x", "y"], complete=["x"])


def test_the_index_may_have_duplicates() -> None:
    frame = _frame()
    frame.index = [0] * 40
    sample = take_sample(frame, ["x", "y"])
    assert sample.n_used == 40


def test_diagnostics_count_what_is_there() -> None:
    frame = _frame()
    frame.loc[:9, "x"] = np.nan
    frame.loc[5:14, "y"] = np.nan
    sample = take_sample(frame, ["x", "y", "z"])
    (coverage,) = coverage_table(sample)
    assert coverage.loc["x", "x"] == 30 / 40
    assert coverage.loc["x", "y"] == coverage.loc["y", "x"] == 25 / 40
    (patterns,) = pattern_table(sample)
    assert list(patterns.columns) == ["x", "y", "z", "n"]
    assert patterns.iloc[0].tolist() == [1, 1, 1, 25]
    assert patterns["n"].sum() == 40
    assert missing_rates(sample).to_dict() == {"x": 0.25, "y": 0.25, "z": 0.0}


def test_a_product_of_two_columns_is_computed_and_missing_with_either() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, np.nan, 4.0, 3.0], "z": [3.0, np.nan, 1.0, 2.0, 5.0], "y": [1.0, 3, 2, 5, 4]})
    sample = take_sample(frame, ["y", "x:z"])
    np.testing.assert_array_equal(sample.groups[0].values[:, 1], [3.0, np.nan, np.nan, 8.0, 15.0])
    with pytest.raises(ModelSpecificationError, match="'w' is not a column"):
        take_sample(frame, ["y", "x:w"])


def test_a_column_of_that_name_is_no_product() -> None:
    frame = pd.DataFrame({"x:z": [1.0, 2.0, 7.0, 3.0], "y": [1.0, 3, 2, 5]})
    np.testing.assert_array_equal(take_sample(frame, ["y", "x:z"]).groups[0].values[:, 1], frame["x:z"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_values_are_those_of_the_rows_used_however_the_table_is_stored(order: str) -> None:
    rng = np.random.default_rng(3)
    table = rng.standard_normal((PIECE + 50, 4))
    table[rng.random(table.shape) < 0.4] = np.nan
    frame = pd.DataFrame(np.array(table, order=order), columns=["x", "y", "z", "w"], copy=False).assign(k=1)
    with pytest.warns(DroppedRowsWarning, match="empty rows"):
        (group,) = take_sample(frame, ["z", "w", "x"]).groups
    assert 0 < len(group.rows) < len(frame)
    assert_array_equal(group.values, table[group.rows][:, [2, 3, 0]])
    assert_array_equal(frame[["x", "y", "z", "w"]].to_numpy(), table)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_missing_values_of_r_hide_no_others(order: str) -> None:
    table = np.array(_frame().to_numpy(), order=order)
    table.view(np.uint64)[-16:, 0] = 0x7FF00000000007A2  # R's NA_real_, a NaN that signals
    (group,) = take_sample(pd.DataFrame(table, columns=["x", "y", "z"], copy=False), ["x", "z"]).groups
    assert_array_equal(group.values, table[:, [0, 2]])
    assert np.fmax.reduce(group.values[:, 0]) == table[:-16, 0].max()


def test_the_values_of_groups_are_those_of_their_rows() -> None:
    frame = _frame().assign(g=["b", "a", "c", "a"] * 10)
    frame.loc[[3, 7], ["x", "y"]] = np.nan
    with pytest.warns(DroppedRowsWarning):
        groups = take_sample(frame, ["y", "x"], group="g").groups
    for group in groups:
        assert_array_equal(group.values, frame[["y", "x"]].to_numpy()[group.rows])
        assert set(frame["g"].iloc[group.rows]) == {group.label}


@pytest.mark.parametrize("text", [False, True], ids=["numbers alone", "beside text"])
@pytest.mark.parametrize("n", [60, 3000], ids=["small", "large"])
def test_values_are_the_same_whatever_way_they_are_taken(n: int, text: bool) -> None:
    frame = _frame(n)
    frame["y"] = np.arange(n) % 7
    frame["z"] = frame["z"] > 0
    frame.loc[frame.index[:5], "x"] = np.nan
    if text:
        frame.insert(0, "who", "someone")
    values = take_sample(frame, ["z", "x", "y"]).groups[0].values
    assert_array_equal(values, np.column_stack([frame[name].to_numpy(dtype=float) for name in ("z", "x", "y")]))
