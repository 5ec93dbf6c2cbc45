"""The EM moments: closed form, monotone, stationary, and free of units and row order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml import saturated
from fosa_sem.fiml.normal import evaluate
from fosa_sem.fiml.saturated import available_case_moments, saturated_moments


def _table(n: int = 150, p: int = 4, share: float = 0.25, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, p)) @ (np.eye(p) + 0.5) + np.arange(p)
    holes = rng.random((n, p)) < share
    holes[np.arange(n), rng.integers(0, p, n)] = False
    return np.where(holes, np.nan, values)


def test_complete_data_have_a_closed_form() -> None:
    values = _table(share=0.0)
    found = saturated_moments(MissingPatterns.from_values(values))
    assert found.converged
    assert not found.degenerate
    assert_allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    assert_allclose(found.cov, np.cov(values.T, bias=True), rtol=1e-10)


def test_monotone_pattern_has_a_closed_form() -> None:
    # y missing for some rows, x complete: regression of y on x among complete pairs (Anderson 1957).
    values = _table(n=80, p=2, share=0.0, seed=2)
    values[50:, 1] = np.nan
    x, y = values[:, 0], values[:50, 1]
    slope = np.cov(x[:50], y, bias=True)[0, 1] / x[:50].var()
    residual = (y - y.mean() - slope * (x[:50] - x[:50].mean())).var()
    found = saturated_moments(MissingPatterns.from_values(values))
    assert_allclose(found.mean, [x.mean(), y.mean() + slope * (x.mean() - x[:50].mean())], rtol=1e-5)
    expected = np.array([[x.var(), slope * x.var()], [slope * x.var(), residual + slope**2 * x.var()]])
    assert_allclose(found.cov, expected, rtol=1e-4)


def test_the_moments_are_a_stationary_point_of_the_likelihood() -> None:
    values = _table(share=0.4)
    patterns = MissingPatterns.from_values(values)
    found = saturated_moments(patterns)
    g, G = evaluate(patterns, found.mean, found.cov).moment_gradient()
    sd = np.sqrt(np.diag(found.cov))
    assert np.abs(g * sd).max() < 1e-2
    assert np.abs(G * np.outer(sd, sd)).max() < 1e-2


def test_every_em_step_climbs() -> None:
    patterns = MissingPatterns.from_values(_table(share=0.5, seed=3))
    mean, variance = available_case_moments(patterns)
    cov = np.diag(variance)
    last = -np.inf
    for _ in range(30):
        ev = evaluate(patterns, mean, cov)
        assert ev.loglik >= last - 1e-10 * abs(ev.loglik)
        last = ev.loglik
        mean, cov = saturated._em_step(ev, mean, cov)
    assert saturated_moments(patterns).loglik >= last


def test_row_order_changes_nothing() -> None:
    values = _table()
    one = saturated_moments(MissingPatterns.from_values(values))
    two = saturated_moments(MissingPatterns.from_values(values[np.random.default_rng(1).permutation(len(values))]))
    assert_allclose(one.cov, two.cov, rtol=1e-9)
    assert_allclose(one.mean, two.mean, rtol=1e-9)


@pytest.mark.parametrize("scale", [[1e-5, 1.0, 1e5, 10.0], [10.0] * 4])
def test_units_and_origins_carry_over(scale: list[float]) -> None:
    values = _table()
    unit, shift = np.array(scale), np.array([0.0, 10.0, -3.0, 100.0])
    one = saturated_moments(MissingPatterns.from_values(values))
    two = saturated_moments(MissingPatterns.from_values((values + shift) * unit))
    assert_allclose(two.mean, (one.mean + shift) * unit, rtol=1e-8)
    assert_allclose(two.cov, one.cov * np.outer(unit, unit), rtol=1e-7)
    cells = (~np.isnan(values)).sum(axis=0)
    assert_allclose(two.loglik, one.loglik - cells @ np.log(unit), rtol=1e-11)


def test_available_case_moments() -> None:
    values = _table(share=0.4)
    mean, variance = available_case_moments(MissingPatterns.from_values(values))
    assert_allclose(mean, np.nanmean(values, axis=0), rtol=1e-12)
    assert_allclose(variance, np.nanvar(values, axis=0), rtol=1e-12)


def test_dependent_columns_are_called_degenerate() -> None:
    values = _table(share=0.0)
    values[:, 3] = values[:, 0] - 2 * values[:, 1]
    assert saturated_moments(MissingPatterns.from_values(values)).degenerate
