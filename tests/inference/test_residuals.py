"""Residuals of the moments: definitions, invariance, and what happens where there is nothing to divide by."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, NAMES, fitted

import fosa_sem
from fosa_sem import SemResults
from fosa_sem.errors import CoverageWarning, OptionError

STANDARDIZED = ("standardized", "standardized.mplus", "normalized")


def triangle(results: SemResults, kind: str) -> np.ndarray:
    """Means and lower triangles of all groups."""
    parts = []
    for moments in results.residuals(kind):  # type: ignore[arg-type]
        if moments.mean is not None:
            parts.append(moments.mean.to_numpy())
        parts.append(moments.cov.to_numpy()[np.tril_indices(len(moments.cov))])
    return np.concatenate(parts)


@pytest.mark.parametrize("name", NAMES)
def test_raw_residuals_are_saturated_less_implied(name: str) -> None:
    results = fitted(name)
    for residual, sample, implied in zip(results.residuals(), results.sample_stats(), results.implied(), strict=True):
        assert residual.group == sample.group
        pd.testing.assert_series_equal(residual.mean, sample.mean - implied.mean)
        pd.testing.assert_frame_equal(residual.cov, sample.cov - implied.cov)


def test_correlation_residuals_are_differences_of_correlations() -> None:
    results = fitted("cfa")
    (sample,), (implied,) = results.sample_stats(), results.implied()
    sd = np.sqrt(np.diag(sample.cov))
    own = np.sqrt(np.diag(implied.cov))
    (bollen,), (short,), (bentler,) = (results.residuals(k) for k in ("cor.bollen", "cor", "cor.bentler"))  # type: ignore[arg-type]
    assert_allclose(bollen.cov, sample.cov / np.outer(sd, sd) - implied.cov / np.outer(own, own), atol=1e-12)
    assert_allclose(np.diag(bollen.cov), 0.0, atol=1e-15)
    pd.testing.assert_frame_equal(bollen.cov, short.cov)
    assert_allclose(bentler.cov, (sample.cov - implied.cov) / np.outer(sd, sd), atol=1e-12)
    for one in (bollen, bentler):
        assert_allclose(one.mean, (sample.mean - implied.mean) / sd, atol=1e-12)


@pytest.mark.parametrize("kind", STANDARDIZED)
@pytest.mark.parametrize("name", ["mediation", "non_recursive"])
def test_a_saturated_model_has_no_residuals(name: str, kind: str) -> None:
    assert fitted(name).df == 0
    # Both sides stop at their own rounding of the same maximum.
    assert_allclose(triangle(fitted(name), kind), 0.0, atol=1e-3)


def test_one_restriction_leaves_one_direction() -> None:
    # Q Gamma Q' has the rank df: with df = 1 every residual is the same normal variable over its standard deviation,
    # and its square the Lagrange multiplier test, here of a zero covariance.
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((400, 1))
    frame = pd.DataFrame(rng.standard_normal((400, 3)) + shared * [1.0, 0.5, 0.2], columns=["a", "b", "c"])
    results = fosa_sem.sem("a ~~ b + c\nb ~~ 0*c", frame, missing="listwise")
    assert results.df == 1
    z = np.abs(triangle(results, "standardized"))
    spread = z > 1e-6
    assert spread.sum() == 4
    # The variances of b and c, and their covariances with a, follow the data; what they cannot follow is one number.
    assert_allclose(z[spread], z[spread][0], rtol=1e-4)
    assert z[spread][0] ** 2 == pytest.approx(results.fit.chisq, rel=0.1)


@pytest.mark.parametrize("kind", ["cor", "cor.bentler", "standardized", "normalized"])
@pytest.mark.parametrize("unit", [1e-4, 1e3])
def test_units_do_not_matter(kind: str, unit: float) -> None:
    entry = BY_NAME["cfa"]
    data = entry.data()
    after = triangle(entry.fit(data * unit), kind)
    # Two runs of the optimiser, each to a ten-thousandth of a standard error.
    assert_allclose(after, triangle(fitted("cfa"), kind), rtol=1e-3, atol=1e-3)


def test_estimators_change_what_residuals_are_divided_by() -> None:
    entry = BY_NAME["cfa"]
    robust = entry.fit(entry.data(), estimator="MLR")
    assert_allclose(triangle(robust, "raw"), triangle(fitted("cfa"), "raw"), atol=1e-6)
    assert np.abs(triangle(robust, "normalized") - triangle(fitted("cfa"), "normalized")).max() > 1e-3


@pytest.mark.parametrize("missing", ["two.stage", "robust.two.stage"])
def test_two_stage_residuals_use_the_covariance_of_the_em_moments(missing: str) -> None:
    # lavaan 0.6-14 stops here
    entry = BY_NAME["cfa"]
    results = entry.fit(entry.data(), missing=missing)
    (gamma,) = results.fit.saturated.moment_covariance(results.fit.resolved.information.kind)
    raw, normalized = triangle(results, "raw"), triangle(results, "normalized")
    clear = np.abs(raw) > 1e-6
    assert_allclose(normalized[clear], (raw / np.sqrt(np.diag(gamma)))[clear], rtol=1e-8)
    assert (np.abs(triangle(results, "standardized"))[clear] >= np.abs(normalized[clear]) - 1e-9).all()


def test_without_standard_errors_only_those_of_mplus_are_missing() -> None:
    entry = BY_NAME["cfa"]
    results = entry.fit(entry.data(), se="none")
    assert_allclose(triangle(results, "standardized"), triangle(fitted("cfa"), "standardized"), atol=1e-6)
    assert np.isnan(triangle(results, "standardized.mplus")).all()


def test_without_a_mean_structure_there_are_no_residuals_of_means() -> None:
    entry = BY_NAME["cfa"]
    results = entry.fit(entry.data().dropna(), missing="listwise")
    for kind in ("raw", "cor", "standardized", "normalized"):
        (moments,) = results.residuals(kind)  # type: ignore[arg-type]
        assert moments.mean is None
        assert moments.cov.notna().all().all()


def test_fixed_exogenous_moments_have_no_residuals() -> None:
    for kind in STANDARDIZED:
        (moments,) = fitted("path_fixed_x").residuals(kind)  # type: ignore[arg-type]
        assert_allclose(moments.cov.loc[["x1", "x2"], ["x1", "x2"]], 0.0, atol=1e-12)
        assert_allclose(moments.mean[["x1", "x2"]], 0.0, atol=1e-12)


def test_a_pair_that_no_row_has_has_no_residual() -> None:
    entry = BY_NAME["cfa"]
    data = entry.data()
    data.loc[: len(data) // 2, "x1"] = np.nan
    data.loc[len(data) // 2 + 1 :, "x2"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        results = entry.fit(data)
    (raw,) = results.residuals()
    gone = raw.cov.isna()
    assert gone.loc["x1", "x2"]
    assert gone.loc["x2", "x1"]
    assert gone.to_numpy().sum() == 2
    (normalized,) = results.residuals("normalized")
    assert np.isnan(normalized.cov.loc["x1", "x2"])


@pytest.mark.parametrize("kind", ["pearson", "", None, 1, "Raw"])
def test_an_unknown_type_is_refused(kind: object) -> None:
    with pytest.raises(OptionError, match="type must be one of raw, cor"):
        fitted("cfa").residuals(kind)  # type: ignore[arg-type]
