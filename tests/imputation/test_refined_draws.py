"""Draws around refined values: where they are centred and how far they spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fosa_sem import AttentionRefiner, RefinerConfig, SemResults, impute, sem
from fosa_sem.errors import OptionError
from fosa_sem.refine.gate import held_out_spread
from fosa_sem.refine.refiner import FittedRefiner

MODEL = "c ~ a + b"
CONFIG = RefinerConfig(epochs=40, check_every=10, folds=2, width=16, heads=2, learning_rate=0.02, dropout=0.0)


@pytest.fixture(scope="module")
def curved() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A column that is the square of another, which no linear model knows; complete, and with holes."""
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((2, 700))
    complete = pd.DataFrame({"a": a, "b": b, "c": a**2 + 0.5 * b + 0.3 * rng.standard_normal(700)})
    holes = rng.random(complete.shape) < [0.05, 0.05, 0.3]
    holes[holes.all(axis=1)] = False
    return complete, complete.mask(holes)


@pytest.fixture(scope="module")
def results(curved: tuple[pd.DataFrame, pd.DataFrame]) -> SemResults:
    return sem(MODEL, curved[1], fixed_x=False)


@pytest.fixture(scope="module")
def refiner(results: SemResults) -> FittedRefiner:
    return AttentionRefiner(config=CONFIG).fit(results.impute())


def test_draws_are_centred_on_refined_values(results: SemResults, refiner: FittedRefiner) -> None:
    m = 60
    tables = [t["c"].to_numpy() for t in results.multiple_imputations(m, refiner=refiner)]
    refined = refiner.refine(results.impute()).to_frame()["c"].to_numpy()
    plain = results.impute().to_frame()["c"].to_numpy()
    missing = results.data["c"].isna().to_numpy()
    distance = np.mean(tables, axis=0)[missing] - refined[missing]
    spread = np.std(tables, axis=0)[missing]
    assert np.abs(plain - refined)[missing].mean() > spread.mean() / 4  # there is something to tell apart
    # means of m draws, and a mean over all cells that shares the error of the drawn parameters
    assert np.sqrt((distance**2).mean()) < 2.0 * spread.mean() / np.sqrt(m)


def test_draws_spread_as_the_refiner_errs_on_held_out_cells(results: SemResults, refiner: FittedRefiner) -> None:
    place = refiner.variables.index("c")
    assert 0.2 < refiner.spread[place] < 0.98
    missing = results.data["c"].isna().to_numpy()
    refined, plain = (
        np.std([t["c"].to_numpy()[missing] for t in results.multiple_imputations(60, refiner=r)], axis=0).mean()
        for r in (refiner, None)
    )
    # the part of the spread that is due to the parameters stays
    assert refined / plain == pytest.approx(refiner.spread[place], abs=0.05)


def test_intervals_of_refined_draws_cover_what_was_hidden(
    curved: tuple[pd.DataFrame, pd.DataFrame], results: SemResults, refiner: FittedRefiner
) -> None:
    complete, data = curved
    missing = data["c"].isna().to_numpy()
    truth = complete["c"].to_numpy()[missing]
    coverage, width = {}, {}
    for name, chosen in (("refined", refiner), ("sem", None)):
        drawn = np.array([t["c"].to_numpy()[missing] for t in results.multiple_imputations(150, refiner=chosen)])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        coverage[name], width[name] = ((low <= truth) & (truth <= high)).mean(), (high - low).mean()
    # 200 cells: a Monte-Carlo error of .015; residuals here are not normal, whoever predicts them
    assert coverage["refined"] == pytest.approx(0.95, abs=0.05)
    assert width["refined"] < width["sem"]


def test_a_config_trains_a_refiner(curved: tuple[pd.DataFrame, pd.DataFrame], results: SemResults) -> None:
    quick = RefinerConfig(epochs=2, folds=2, width=8, heads=2, layers=1)
    refiner = AttentionRefiner(config=quick).fit(results.impute())
    expected = results.multiple_imputations(1, refiner=refiner).complete(1)
    pd.testing.assert_frame_equal(results.multiple_imputations(1, refiner=quick).complete(1), expected)
    pd.testing.assert_frame_equal(impute(curved[1], MODEL, 1, refiner=quick).complete(1), expected)


def test_rows_that_were_not_fitted_are_refined_too(results: SemResults, refiner: FittedRefiner) -> None:
    new = pd.DataFrame({"a": [2.0, -2.0, np.nan], "b": [0.0, 0.0, np.nan], "c": np.nan})
    tables = results.multiple_imputations(200, data=new, refiner=refiner).to_frames()
    means = np.mean([t["c"] for t in tables], axis=0)
    expected = refiner.refine(results.impute(new)).to_frame()["c"]
    assert_allclose(means, expected, atol=0.5)
    assert means[:2].min() > 2.0  # a linear model predicts about 1
    assert all(t.notna().all().all() for t in tables)


def test_matching_and_refining_exclude_each_other(results: SemResults, refiner: FittedRefiner) -> None:
    with pytest.raises(OptionError, match="pmm matches on the model's predictions"):
        results.multiple_imputations(1, refiner=refiner, pmm="c")


def test_held_out_spread_is_the_ratio_of_errors_to_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    column = np.repeat([0, 1], 50_000)
    sd = np.full(100_000, 2.0)
    error = rng.standard_normal(100_000) * np.where(column == 0, 1.0, 3.0)
    assert_allclose(held_out_spread(3, column, error, sd)[:2], [0.5, 1.5], rtol=0.01)
    pooled = np.sqrt((error**2).sum() / (sd**2).sum())
    assert held_out_spread(3, column, error, sd)[2] == pytest.approx(pooled)
    few = held_out_spread(2, np.array([0, 0, 1]), np.array([4.0, 4.0, 0.0]), np.full(3, 2.0))
    assert abs(few[0] - few[1]) < 0.1  # three cells decide nothing
    empty = np.zeros(0)
    assert held_out_spread(2, empty.astype(np.intp), empty, empty).tolist() == [1.0, 1.0]
