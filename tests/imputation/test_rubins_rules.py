"""Rubin's rules and the tests D1 to D4 as functions of numbers; agreement with R stands in tests/r/test_pooling.py."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from fosa_sem import Pooled, pool, sem
from fosa_sem.errors import OptionError
from fosa_sem.imputation.pooled_tests import as_chisquare, d1, d2, d3, d4
from fosa_sem.imputation.pooling import ScalarPooling

COV = np.array([[0.04, 0.01], [0.01, 0.09]])
PAIRS = [(np.array([1.0, 2.0]), COV), (np.array([1.2, 1.9]), COV), (np.array([0.9, 2.3]), COV)]


def test_pooled_numbers_by_hand() -> None:
    pooled = pool(PAIRS)
    between = np.cov([pair[0] for pair in PAIRS], rowvar=False)
    assert_allclose(pooled.params, [3.1 / 3, 6.2 / 3])
    assert_allclose(pooled.cov_params(), COV + 4 / 3 * between)
    frame = pooled.to_frame()
    total = COV[0, 0] + 4 / 3 * between[0, 0]
    riv = 4 / 3 * between[0, 0] / COV[0, 0]
    df = 2 * (1 + 1 / riv) ** 2
    assert frame["se"][0] == pytest.approx(math.sqrt(total))
    assert frame["riv"][0] == pytest.approx(riv)
    assert frame["lambda"][0] == pytest.approx(riv / (1 + riv))
    assert frame["df"][0] == pytest.approx(df)
    assert frame["fmi"][0] == pytest.approx((riv + 2 / (df + 3)) / (1 + riv))
    assert frame["pvalue"][0] == pytest.approx(2 * stats.t.sf(frame["t"][0], df))
    assert frame["ci_upper"][0] - frame["est"][0] == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(total))
    narrow = pooled.to_frame(0.5)
    assert narrow["ci_upper"][0] - narrow["est"][0] == pytest.approx(stats.t.ppf(0.75, df) * math.sqrt(total))


def test_few_degrees_of_freedom_of_complete_data_leave_fewer() -> None:
    scalar = ScalarPooling(m=5, within=np.array([1.0, 1.0]), between=np.array([0.5, 0.0]), dfcom=20.0)
    share = 0.6 / 1.6
    old, observed = 4 / share**2, 21 / 23 * 20 * (1 - share)
    assert scalar.df[0] == pytest.approx(old * observed / (old + observed))
    assert scalar.df[1] == pytest.approx(21 / 23 * 20, rel=1e-3)  # nothing missing: Barnard and Rubin's limit
    assert (scalar.df < 20).all()


@pytest.mark.parametrize(
    "analyses",
    [
        [SimpleNamespace(params=pd.Series(e, index=["a", "b"]), cov_params=lambda: COV) for e, _ in PAIRS],
        [SimpleNamespace(params=e, vcov=lambda: pd.DataFrame(COV)) for e, _ in PAIRS],
        [(e, np.sqrt(np.diag(COV))) for e, _ in PAIRS],
        [(pd.Series(e, index=["a", "b"]), pd.DataFrame(COV)) for e, _ in PAIRS],
    ],
    ids=["params and cov_params", "params and vcov", "standard errors", "series"],
)
def test_whatever_has_estimates_and_variances_is_pooled(analyses: list[Any]) -> None:
    assert_allclose(pool(analyses).to_frame().iloc[:, 1:], pool(PAIRS).to_frame().iloc[:, 1:])


def test_our_own_fits_are_pooled(one_factor: pd.DataFrame) -> None:
    made = sem("f =~ x1 + x2 + x3 + x4", one_factor).multiple_imputations(3)
    pooled = pool(made.apply(lambda table: sem("f =~ x1 + x2 + x3 + x4", table)))
    assert isinstance(pooled, Pooled)
    expected = made.fit("f =~ x1 + x2 + x3 + x4")
    assert_allclose(pooled.params, expected.params)
    assert_allclose(pooled.bse, expected.bse, rtol=1e-8)
    assert list(pooled.params.index) == list(expected.params.index)


def test_degrees_of_freedom_come_with_the_results() -> None:
    results = [SimpleNamespace(params=e, cov_params=lambda: COV, df_resid=30.0) for e, _ in PAIRS]
    assert pool(results).dfcom == 30.0
    assert pool(results, dfcom=12).dfcom == 12.0
    assert pool(PAIRS).dfcom == math.inf


@pytest.mark.parametrize(
    ("analyses", "options", "message"),
    [
        (PAIRS[:1], {}, "at least two analyses"),
        ([], {}, "at least two analyses"),
        ([*PAIRS[:2], (np.array([1.0]), np.array([1.0]))], {}, "analysis 3 has other terms"),
        ([PAIRS[0], (PAIRS[0][0], COV * np.nan)], {}, "analysis 2 has no standard errors"),
        ([PAIRS[0], (PAIRS[0][0], COV[:1])], {}, "do not go with a covariance matrix"),
        ([1.0, 2.0], {}, "cannot pool float"),
        ([SimpleNamespace(params=[1.0])] * 2, {}, "neither cov_params"),
        (PAIRS, {"dfcom": 0}, "dfcom must be greater than 0"),
        (pd.DataFrame({"term": ["a"], "estimate": [1.0]}), {}, "'std_error' is missing"),
        (
            pd.DataFrame({"term": ["a", "a", "b"], "estimate": [1.0, 2.0, 3.0], "std_error": [1.0, 1.0, 1.0]}), {},
            "'b' has 1 rows, 'a' 2",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_pooled(analyses: Any, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        pool(analyses, **options)


def test_wald_tests_need_covariances_and_known_names() -> None:
    assert pool(PAIRS).wald(["1"])["df1"] == 1
    with pytest.raises(OptionError, match="no parameter 'c'"):
        pool(PAIRS).wald(["c"])
    with pytest.raises(OptionError, match="no parameter ''"):
        pool(PAIRS).wald([])
    with pytest.raises(OptionError, match="standard errors alone"):
        pool([(e, np.sqrt(np.diag(COV))) for e, _ in PAIRS]).wald(["0", "1"])
    with pytest.raises(OptionError, match="level must lie"):
        pool(PAIRS).to_frame(1.0)


def test_without_missing_values_all_are_the_complete_data_test() -> None:
    estimate = np.array([0.3, -0.5])
    wald = float(estimate @ np.linalg.solve(COV, estimate))
    for test in (
        d1(estimate, COV, np.zeros((2, 2)), 10),
        d2(np.full(10, wald), 2),
        d3(wald, wald, 2, 10),
        d4(wald, wald, 2, 10),
    ):
        assert test["F"] * 2 == pytest.approx(wald)
        assert test["riv"] == 0
        assert test["pvalue"] == pytest.approx(stats.chi2.sf(wald, 2))
        assert as_chisquare(test)["pvalue"] == pytest.approx(stats.chi2.sf(wald, 2))


def test_one_quantity_is_tested_like_its_t_statistic() -> None:
    pooled = pool(PAIRS)
    frame = pooled.to_frame()
    test = pooled.wald(["0"])
    assert test["F"] == pytest.approx(frame["t"][0] ** 2)
    assert test["riv"] == pytest.approx(frame["riv"][0])


def test_statistics_below_zero_are_zero() -> None:
    assert d2(np.array([0.1, 9.0, 0.2]), 3)["F"] == 0
    assert d3(5.0, -1.0, 2, 5)["F"] == 0
    assert d4(1.0, 2.0, 2, 5)["riv"] == 0
    assert d4(1.0, 2.0, 2, 5, riv="default")["riv"] < 0


def test_reiters_degrees_of_freedom_stay_below_those_of_complete_data() -> None:
    estimate, between = np.array([0.3, -0.5]), COV * 0.4
    large = d1(estimate, COV, between, 20)
    for dfcom in (15.0, 60.0, 1e7):
        small = d1(estimate, COV, between, 20, dfcom)
        assert small["F"] == large["F"]
        assert 4 < small["df2"] < dfcom
    assert small["df2"] == pytest.approx(large["df2"], rel=0.02)  # another formula with nearly the same limit
