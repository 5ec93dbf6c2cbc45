"""Baselines fill holes and touch nothing else; the saturated one is the saturated SEM's conditional expectation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import fosa_sem as fs
from fosa_sem.errors import DataError
from fosa_sem.evaluate import baselines
from fosa_sem.evaluate.experiment import compare
from fosa_sem.evaluate.summary import overall_table

QUICK = {
    "mean": baselines.column_mean,
    "saturated": baselines.saturated_fiml,
    "neighbours": baselines.nearest_neighbours,
    "ridge": baselines.chained_ridge,
    "extra trees": lambda data, seed=0: baselines.chained_extra_trees(data, seed, trees=5),
    "forest": lambda data, seed=0: baselines.chained_forest(data, seed, trees=5),
}


@pytest.fixture(scope="module")
def complete():
    rng = np.random.default_rng(5)
    x = rng.normal(size=150)
    return pd.DataFrame({
        "x": x, "y": 10.0 + 2.0 * x + 0.3 * rng.normal(size=150), "z": x - rng.normal(size=150),
        "name": [f"row {i}" for i in range(150)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def data(complete):
    holes = np.random.default_rng(6).random((150, 3)) < 0.2
    holed = complete.copy()
    holed[["x", "y", "z"]] = complete[["x", "y", "z"]].mask(holes)
    return holed


@pytest.mark.parametrize("method", QUICK.values(), ids=QUICK)
def test_fills_holes_and_touches_nothing_else(data, method):
    copy = data.copy()
    filled = method(data, 3)
    pd.testing.assert_frame_equal(data, copy)
    assert list(filled.columns) == list(data.columns)
    assert filled.index.equals(data.index)
    assert filled[["x", "y", "z"]].notna().all(axis=None)
    for name in data:
        observed = data[name].notna()
        assert filled.loc[observed, name].equals(data.loc[observed, name])
    pd.testing.assert_frame_equal(filled, method(data, 3))


@pytest.mark.parametrize("method", QUICK.values(), ids=QUICK)
def test_tables_without_holes_or_without_values(data, method):
    whole = data.dropna()
    pd.testing.assert_frame_equal(method(whole), whole)
    with pytest.raises(DataError, match="'x' has no observed value"):
        method(data.assign(x=np.nan))


def test_all_use_what_the_columns_say_of_each_other(complete):
    table = overall_table(compare(complete, QUICK, proportion=0.2, seeds=(0, 1))).set_index("method")["r2"]
    assert table["mean"] < 0
    assert (table.drop("mean") > 0.45).all()  # the population's value for the best linear prediction is about .7


def test_saturated_is_the_conditional_expectation_of_the_saturated_model(data):
    data = data.dropna(subset=["x", "y", "z"], how="all")
    sem = fs.sem("x ~~ y + z\ny ~~ z", data).impute().to_frame()
    filled = baselines.saturated_fiml(data)
    assert_allclose(filled[["x", "y", "z"]], sem[["x", "y", "z"]], rtol=1e-4)


def test_saturated_with_one_incomplete_column_is_the_regression(complete):
    data = complete.assign(y=complete["y"].where(np.arange(150) % 3 > 0))
    seen = data["y"].notna()
    design = np.column_stack([np.ones(150), data["x"], data["z"]])
    slopes = np.linalg.lstsq(design[seen], data.loc[seen, "y"], rcond=None)[0]
    # EM stops where a step would gain 1e-9 in log-likelihood.
    assert_allclose(baselines.saturated_fiml(data)["y"][~seen], (design @ slopes)[~seen], rtol=1e-5)


def test_saturated_on_dependent_and_constant_columns_and_empty_rows(complete):
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"x": complete["x"], "z": complete["z"], "sum": complete["x"] + complete["z"], "one": 1.0})
    data = table.mask(rng.random(table.shape) < 0.15)
    data.iloc[7] = np.nan
    filled = baselines.saturated_fiml(data)
    known = data[["x", "z"]].notna().all(axis=1) & data["sum"].isna()
    assert known.sum() > 5
    # The ridge of a millionth leaves errors of about its root, a thousandth, at worst.
    assert_allclose(filled.loc[known, "sum"], table.loc[known, "sum"], atol=1e-3)
    assert (filled["one"] == 1.0).all()
    assert filled.notna().all(axis=None)
