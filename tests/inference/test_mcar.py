from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from fosa_sem import mcar_test
from fosa_sem.errors import CoverageWarning, DataError, DependenceError, DroppedRowsWarning

NAN = np.nan

AIR = Path(__file__).with_name("airquality.csv")
"""Daily air quality in New York, May to September 1973 (Chambers et al. 1983), R's ``airquality``."""


def test_the_published_value() -> None:
    """The documentation of ``naniar::mcar_test(airquality)`` gives 35.1 with 14 degrees of freedom, p = .00142."""
    test = mcar_test(pd.read_csv(AIR))
    assert (round(test.chisq, 1), test.df, round(test.pvalue, 5), len(test.patterns)) == (35.1, 14, 0.00142, 4)


def test_one_variable_with_holes_in_closed_form(rng: np.random.Generator) -> None:
    """x complete, y missing in part: EM's mean of x is the mean, and the test compares two means of x."""
    x = rng.standard_normal(40)
    y = x + rng.standard_normal(40)
    holes = np.arange(40) < 15
    data = pd.DataFrame({"x": x, "y": np.where(holes, NAN, y)})
    test = mcar_test(data)
    gap = [x[holes].mean() - x.mean(), x[~holes].mean() - x.mean()]
    # In the complete rows y adds nothing: its estimated mean lies on its regression on x within those rows.
    expected = (15 * gap[0] ** 2 + 25 * gap[1] ** 2) / x.var()
    assert_allclose(test.chisq, expected, rtol=1e-7)
    assert (test.df, test.n) == (1, 40)
    assert_allclose(test.pvalue, stats.chi2.sf(expected, 1), rtol=1e-6)


def test_contributions_add_up_and_units_do_not_matter(one_factor: pd.DataFrame) -> None:
    test = mcar_test(one_factor)
    assert_allclose(test.patterns["contribution"].sum(), test.chisq)
    assert test.patterns["n"].sum() == test.n
    assert test.patterns["contribution"].is_monotonic_decreasing
    moved = one_factor.assign(x1=1e4 * one_factor["x1"] - 7, x2=1e-3 * one_factor["x2"])[["x3", "x1", "x4", "x2"]]
    other = mcar_test(moved.sample(frac=1, random_state=1))
    assert_allclose([other.chisq, other.df], [test.chisq, test.df], rtol=1e-6)


def test_the_size_is_right_under_mcar_and_power_is_there_under_mar() -> None:
    pvalues = {"mcar": [], "mar": []}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        values = rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), 150)
        chance = {"mcar": np.full(150, 0.3), "mar": 1 / (1 + np.exp(1 - 1.2 * values[:, 0]))}
        for name, probability in chance.items():
            holes = rng.random(150) < probability
            data = pd.DataFrame(values, columns=list("abc"))
            data.loc[holes, "b"] = NAN
            pvalues[name].append(mcar_test(data).pvalue)
    # 120 Bernoulli draws: 5% lies within three standard errors of what is found.
    assert abs(np.mean(np.array(pvalues["mcar"]) < 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 120)
    assert np.mean(np.array(pvalues["mar"]) < 0.05) > 0.9


def test_the_outcome_says_what_it_cannot_say(one_factor: pd.DataFrame) -> None:
    text = " ".join(str(mcar_test(one_factor)).split())
    assert "says nothing about missing at random (MAR)" in text
    assert "chi-square(" in text


def test_variables_can_be_chosen(one_factor: pd.DataFrame) -> None:
    with_text = one_factor.assign(name="a")
    assert mcar_test(with_text, ["x1", "x2"]).df == mcar_test(one_factor[["x1", "x2"]]).df
    with pytest.raises(DataError, match="'name'"):
        mcar_test(with_text)


def test_empty_rows_and_uncovered_pairs_are_told(one_factor: pd.DataFrame) -> None:
    with pytest.warns(DroppedRowsWarning, match="1 of 121 rows"):
        test = mcar_test(pd.concat([one_factor, pd.DataFrame({"x1": [NAN]})], ignore_index=True))
    assert test.n == 120
    apart = one_factor.copy()
    apart.loc[:59, "x1"] = NAN
    apart.loc[60:, "x2"] = NAN
    with pytest.warns(CoverageWarning, match="x1-x2"):
        assert mcar_test(apart).df > 0


def test_what_cannot_be_tested_is_refused(one_factor: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="nothing to test"):
        mcar_test(one_factor.dropna())
    with pytest.raises(DataError, match="at least two variables"):
        mcar_test(one_factor[["x1"]])
    with pytest.raises(DependenceError, match="leave one out"):
        mcar_test(one_factor.assign(x5=one_factor["x1"] * 2 + 1))
