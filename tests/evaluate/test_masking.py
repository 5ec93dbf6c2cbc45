"""Which cells are hidden, and that only they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.baselines import column_mean
from fosa_sem.evaluate.masking import hide_cells, mask_cells


def table_with_holes(seed, n=40, p=4, rate=0.3):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, p))
    values[rng.random((n, p)) < rate] = np.nan
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(p)], index=rng.permutation(n))


@given(seed=st.integers(0, 10_000), proportion=st.floats(0.05, 0.4))
@settings(max_examples=40, deadline=None)
def test_exact_counts_among_observed_cells_and_no_row_emptied(seed, proportion):
    data = table_with_holes(seed)
    mask = mask_cells(data, proportion, seed=seed)
    observed = data.notna()
    assert mask.index.equals(data.index)
    assert mask.columns.equals(data.columns)
    assert mask.to_numpy().dtype == np.bool_
    assert not (mask & ~observed).to_numpy().any()
    for name in data:
        assert mask[name].sum() == round(proportion * observed[name].sum())
    assert (observed & ~mask).any(axis=1).equals(observed.any(axis=1))


def test_rows_are_spared_where_every_row_must_be():
    data = pd.DataFrame(np.ones((200, 2)))
    mask = mask_cells(data, 0.5, seed=1)
    assert (mask.sum(axis=1) == 1).all()


def test_every_cell_is_hidden_equally_often():
    data = pd.DataFrame(np.zeros((6, 3)))
    share = np.mean([mask_cells(data, 0.5, seed=seed) for seed in range(2000)], axis=0)
    assert_allclose(share, 0.5, atol=5 * np.sqrt(0.25 / 2000))


def test_seeds():
    data = table_with_holes(0)
    pd.testing.assert_frame_equal(mask_cells(data, 0.2, seed=7), mask_cells(data, 0.2, seed=7))
    assert not mask_cells(data, 0.2, seed=7).equals(mask_cells(data, 0.2, seed=8))
    assert mask_cells(data, 0.2, seed=np.int64(7)).equals(mask_cells(data, 0.2, seed=7))


def test_columns_chosen_and_columns_of_text():
    data = table_with_holes(1).assign(name="a")
    assert mask_cells(data).any().tolist() == [True, True, True, True, False]
    assert mask_cells(data, columns=["x2", "x0"]).any().tolist() == [True, False, True, False, False]
    one = mask_cells(data, 0.8, columns="x1")
    numeric = data.drop(columns="name")
    assert one.any().tolist() == [False, True, False, False, False]
    assert (numeric.notna() & ~one[numeric.columns]).any(axis=1).equals(numeric.notna().any(axis=1))


@pytest.mark.parametrize("proportion", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_proportion_outside_its_range(proportion):
    with pytest.raises(OptionError, match="above 0 and below 1"):
        mask_cells(table_with_holes(0), proportion)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None])
def test_bad_seed(seed):
    with pytest.raises(OptionError, match="seed must be a whole number"):
        mask_cells(table_with_holes(0), seed=seed)


def test_impossible_masks():
    with pytest.raises(OptionError, match=r"column 0 has 4 observed cells and would keep 1"):
        mask_cells(pd.DataFrame(np.zeros((4, 2))), 0.7)
    with pytest.raises(OptionError, match="hides no cell"):
        mask_cells(pd.DataFrame(np.zeros((4, 2))), 0.1)
    with pytest.raises(OptionError, match=r"row \d+ .* would keep no observed value"):
        mask_cells(pd.DataFrame(np.zeros((20, 2))), 0.6)
    with pytest.raises(OptionError, match="would keep no observed value"):
        mask_cells(pd.DataFrame({"x": np.zeros(20)}))


def test_bad_columns():
    data = table_with_holes(0).assign(name="a")
    with pytest.raises(OptionError, match="'z', which is not a column"):
        mask_cells(data, columns=["z"])
    with pytest.raises(DataError, match="'name' has dtype"):
        mask_cells(data, columns=["x0", "name"])
    with pytest.raises(DataError, match="more than one column 'x0'"):
        mask_cells(pd.concat([data, data], axis=1))


def test_hiding_takes_exactly_the_masked_cells():
    data = table_with_holes(2).assign(name="a", count=range(40), big=pd.array(range(40), dtype="Int64"))
    copy = data.copy()
    mask = mask_cells(data, 0.25, columns=["x0", "big"])
    holes = hide_cells(data, mask)
    pd.testing.assert_frame_equal(data, copy)
    assert holes.isna().equals(data.isna() | mask)
    pd.testing.assert_frame_equal(holes.drop(columns=["x0", "big"]), data.drop(columns=["x0", "big"]))
    kept = ~mask["big"]
    assert holes["big"][kept].tolist() == data["big"][kept].tolist()
    assert holes["big"].dtype == np.float64


def test_hiding_text_is_refused():
    data = pd.DataFrame({"name": ["a", "b"]})
    with pytest.raises(DataError, match="'name' of data has dtype"):
        hide_cells(data, np.array([[True], [False]]))


def test_column_mean_by_hand():
    data = pd.DataFrame({"x": [1.0, np.nan, 3.0], "n": pd.array([1, 2, None], dtype="Int64"), "s": ["a", None, "b"]})
    copy = data.copy()
    filled = column_mean(data)
    assert filled["x"].tolist() == [1.0, 2.0, 3.0]
    assert filled["n"].tolist() == [1.0, 2.0, 1.5]
    pd.testing.assert_series_equal(filled["s"], data["s"])
    pd.testing.assert_frame_equal(data, copy)


def test_column_mean_needs_a_value():
    with pytest.raises(DataError, match="'x' has no observed value"):
        column_mean(pd.DataFrame({"x": [np.nan, np.nan], "y": [1.0, 2.0]}))
