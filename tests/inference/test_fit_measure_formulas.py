"""Fit measures as functions of numbers: closed forms, limits, and scipy's noncentral chi-square."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2, ncx2

from fosa_sem.inference.indices import (
    critical_n,
    incremental_measures,
    residual_measures,
    rmsea,
    rmsea_interval,
    rmsea_pvalue,
)


def test_incremental_measures_by_hand() -> None:
    # Model 85.306 on 24, baseline 918.852 on 36: the textbook three-factor model of Holzinger and Swineford.
    found = incremental_measures(85.306, 24, 918.852, 36)
    assert_allclose(found["cfi"], 1 - (85.306 - 24) / (918.852 - 36))
    assert_allclose(found["tli"], (918.852 / 36 - 85.306 / 24) / (918.852 / 36 - 1))
    assert found["nnfi"] == found["tli"]
    assert_allclose(found["nfi"], 1 - 85.306 / 918.852)
    assert_allclose(found["rfi"], 1 - (85.306 / 24) / (918.852 / 36))
    assert_allclose(found["pnfi"], 24 / 36 * (1 - 85.306 / 918.852))
    assert_allclose(found["ifi"], (918.852 - 85.306) / (918.852 - 24))
    assert_allclose(found["rni"], 1 - (85.306 - 24) / (918.852 - 36))
    assert round(found["cfi"], 3) == 0.931
    assert round(found["tli"], 3) == 0.896


def test_cfi_lies_between_0_and_1_and_tli_need_not() -> None:
    good, bad = incremental_measures(3.0, 8, 500.0, 15), incremental_measures(900.0, 8, 500.0, 15)
    assert good["cfi"] == 1.0
    assert good["tli"] > 1.0
    assert bad["cfi"] == 0.0
    assert bad["tli"] < 0.0


def test_without_degrees_of_freedom() -> None:
    found = incremental_measures(0.0, 0, 100.0, 6)
    assert (found["cfi"], found["tli"], found["rfi"], found["nfi"]) == (1.0, 1.0, 1.0, 1.0)
    assert rmsea(0.0, 0, 100) == 0.0
    assert rmsea_interval(0.0, 0, 100) == (0.0, 0.0)
    assert math.isnan(rmsea_pvalue(0.0, 0, 100, 1, 0.05))


def test_without_a_baseline_to_compare_with() -> None:
    # one variable is its own baseline; a baseline chi-square may be missing (a negative scaling factor)
    alone = incremental_measures(0.0, 0, 0.0, 0)
    assert math.isnan(alone["nfi"])
    assert alone["cfi"] == alone["tli"] == alone["rfi"] == 1.0
    for df in (0, 3):
        missing = incremental_measures(2.0, df, math.nan, 6)
        assert all(math.isnan(missing[name]) for name in ("cfi", "tli", "nnfi", "rni", "rfi", "nfi", "pnfi"))
    one = residual_measures(np.zeros(1), np.eye(1), np.zeros(1), 2.0 * np.eye(1))
    assert math.isnan(one["crmr_nomean"])
    assert one["crmr"] < 1e-15


def test_rmsea_by_hand() -> None:
    assert_allclose(rmsea(85.306, 24, 301), math.sqrt((85.306 - 24) / (24 * 301)))
    assert round(rmsea(85.306, 24, 301), 3) == 0.092
    assert rmsea(20.0, 24, 301) == 0.0
    assert_allclose(rmsea(85.306, 24, 301, 4), 2.0 * rmsea(85.306, 24, 301))


@pytest.mark.parametrize("chisq", [10.0, 30.0, 60.0, 85.306, 400.0])
@pytest.mark.parametrize("n_groups", [1, 3])
def test_interval_inverts_the_noncentral_chi_square(chisq: float, n_groups: int) -> None:
    df, n = 24, 301
    lower, upper = rmsea_interval(chisq, df, n, n_groups)
    for limit, probability in ((lower, 0.95), (upper, 0.05)):
        if limit > 0:
            assert_allclose(ncx2.cdf(chisq, df, limit**2 * df * n / n_groups), probability, rtol=1e-7)
        else:
            assert chi2.cdf(chisq, df) < probability
    assert lower <= rmsea(chisq, df, n, n_groups) <= max(upper, 1e-12) or upper == 0.0


def test_published_limits() -> None:
    lower, upper = rmsea_interval(85.306, 24, 301)
    assert (round(lower, 3), round(upper, 3)) == (0.071, 0.114)


@pytest.mark.parametrize("null", [0.05, 0.08])
def test_pvalue_is_the_upper_tail_at_the_null(null: float) -> None:
    expected = ncx2.sf(40.0, 24, null**2 * 24 * 301 / 2)
    assert_allclose(rmsea_pvalue(40.0, 24, 301, 2, null), expected, rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_critical_n_solves_its_definition(alpha: float) -> None:
    found = critical_n(85.306, 24, 301, alpha)
    assert_allclose((found - 1.0) * 85.306 / 301, chi2.isf(alpha, 24), rtol=1e-10)
    assert critical_n(0.0, 24, 301, alpha) == math.inf


def test_residual_measures_by_hand() -> None:
    S, Sigma = np.array([[4.0, 1.0], [1.0, 1.0]]), np.array([[4.0, 0.6], [0.6, 1.0]])
    m, mu = np.array([1.0, 2.0]), np.array([1.0, 1.9])
    found = residual_measures(m, S, mu, Sigma)
    assert_allclose(found["rmr"], math.sqrt((0.4**2 + 0.1**2) / 5))
    assert_allclose(found["rmr_nomean"], math.sqrt(0.4**2 / 3))
    assert_allclose(found["srmr_bentler"], math.sqrt((0.2**2 + 0.1**2) / 5))
    assert_allclose(found["srmr_bentler_nomean"], math.sqrt(0.2**2 / 3))
    assert_allclose(found["crmr"], math.sqrt((0.2**2 + 0.1**2) / 3))
    assert_allclose(found["crmr_nomean"], 0.2)


def test_perfect_fit_has_no_residuals() -> None:
    S = np.array([[2.0, 0.3], [0.3, 1.0]])
    assert set(residual_measures(np.ones(2), S, np.ones(2), S).values()) == {0.0}
