from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fosa_sem import compare_missing, coverage, influx_outflux, md_pairs, md_pattern, uncovered_pairs
from fosa_sem.errors import DataError, OptionError

NAN = np.nan


@pytest.fixture
def small() -> pd.DataFrame:
    """Three variables, z and y never together; a text column, and a column called n."""
    return pd.DataFrame(
        {
            "x": [1.0, 2.0, 4.0, 5.0, 9.0, NAN],
            "y": [1.0, 3.0, NAN, NAN, NAN, NAN],
            "n": [NAN, NAN, 2.0, 6.0, NAN, NAN],
            "word": ["a", "b", "c", None, "e", None],
        },
        index=list("pqrstu"),
    )


def test_patterns_by_hand(small: pd.DataFrame) -> None:
    table = md_pattern(small)
    assert list(table.columns) == ["x", "word", "y", "n", "n_missing", "n"]
    expected = [[1, 1, 1, 0, 1, 2], [1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 2, 1], [1, 0, 0, 1, 2, 1], [0, 0, 0, 0, 4, 1]]
    assert_array_equal(table, expected)
    assert table.iloc[:, -1].sum() == len(small)


def test_pairs_and_coverage_by_hand(small: pd.DataFrame) -> None:
    pairs = md_pairs(small)
    assert pairs.rr.loc["x", "y"] == 2
    assert pairs.rm.loc["x", "y"] == 3
    assert pairs.mr.loc["x", "y"] == 0
    assert pairs.mm.loc["x", "y"] == 1
    total = pairs.rr + pairs.rm + pairs.mr + pairs.mm
    assert (total == len(small)).to_numpy().all()
    assert_array_equal(pairs.rm, pairs.mr.T)
    assert_allclose(coverage(small).loc["x"], [5 / 6, 2 / 6, 2 / 6, 4 / 6])
    assert uncovered_pairs(small) == (("y", "n"),)


def test_complete_data_have_one_pattern_and_nothing_to_influx() -> None:
    data = pd.DataFrame({"x": [1, 2], "y": [3, 4]})
    assert md_pattern(data).to_numpy().tolist() == [[1, 1, 0, 2]]
    flux = influx_outflux(data)
    assert_array_equal(flux["influx"], 0)
    assert flux["outflux"].isna().all()
    assert uncovered_pairs(data) == ()
    assert compare_missing(data).empty


def test_influx_is_one_where_only_that_variable_is_missing() -> None:
    flux = influx_outflux(pd.DataFrame({"x": [NAN, NAN], "y": [1.0, 2.0], "z": [1.0, 2.0]}))
    assert flux.loc["x", "influx"] == 1
    assert flux.loc["x", "outflux"] == 0
    assert flux.loc["y", "outflux"] == 1


def test_differences_by_hand(small: pd.DataFrame) -> None:
    table = compare_missing(small, by="y")
    assert list(table["variable"]) == ["x", "n"]
    row = table.iloc[0]
    assert (row["n_missing"], row["n_observed"]) == (3, 2)
    assert_allclose([row["mean_missing"], row["mean_observed"]], [6.0, 1.5])
    spread = np.sqrt((np.var([4, 5, 9], ddof=1) + 0.5) / 2)
    assert_allclose(row["smd"], 4.5 / spread)
    assert_allclose(row["t"], 4.5 / np.sqrt(7 / 3 + 0.5 / 2))
    assert np.isnan(table.iloc[1]["smd"])


def test_text_divides_but_is_not_compared(small: pd.DataFrame) -> None:
    table = compare_missing(small)
    assert "word" in set(table["missing"])
    assert "word" not in set(table["variable"])


def test_differences_do_not_depend_on_units_or_order(small: pd.DataFrame, rng: np.random.Generator) -> None:
    base = compare_missing(small, by=["y", "n"])
    moved = small.assign(x=1000 + 1e4 * small["x"], y=-small["y"]).sample(frac=1, random_state=3)
    columns = ["smd", "t", "df", "pvalue"]
    other = compare_missing(moved, by=["y", "n"])
    sign = np.where(base["variable"] == "y", -1.0, 1.0)[:, None] * [1, 1, 1, 1]
    assert_allclose(other[columns] * np.where(np.isin(columns, ["smd", "t"]), sign, 1), base[columns], rtol=1e-9)


def test_data_are_not_changed(small: pd.DataFrame) -> None:
    before = small.copy(deep=True)
    for function in (md_pattern, md_pairs, coverage, influx_outflux, compare_missing, uncovered_pairs):
        function(small)
    pd.testing.assert_frame_equal(small, before)


@pytest.mark.parametrize("function", [md_pattern, md_pairs, coverage, influx_outflux, compare_missing, uncovered_pairs])
def test_what_is_no_table_is_refused(function) -> None:
    with pytest.raises(DataError, match="DataFrame"):
        function([[1, 2]])
    with pytest.raises(DataError, match="0 rows"):
        function(pd.DataFrame({"x": []}))
    with pytest.raises(DataError, match="'x' occurs more than once"):
        function(pd.DataFrame([[1, 2]], columns=["x", "x"]))


def test_bad_choices_are_refused(small: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="'age', which is not a column"):
        compare_missing(small, by=["age"])
    with pytest.raises(OptionError, match="'x', which has no holes"):
        compare_missing(small.iloc[:3], by="x")
    with pytest.raises(OptionError, match="'y', which has no values"):
        compare_missing(small.iloc[2:], by="y")
    with pytest.raises(DataError, match="one column"):
        influx_outflux(small[["x"]])


def test_patterns_of_many_variables_come_in_the_order_of_their_holes(rng: np.random.Generator) -> None:
    holes = rng.random((400, 37)) < np.linspace(0.0, 0.5, 37)
    table = md_pattern(pd.DataFrame(np.where(holes, NAN, 1.0)))
    rows = [tuple(1 - row) for row in table.iloc[:, :-2].to_numpy()]
    assert rows == sorted(set(rows))
    assert table.iloc[:, -1].sum() == 400
    assert_array_equal(table.iloc[:, -2], [sum(row) for row in rows])
