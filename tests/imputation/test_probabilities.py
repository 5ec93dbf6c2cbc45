from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from fosa_sem.imputation.completion import GaussianRule
from fosa_sem.imputation.probabilities import (
    SoftmaxHead,
    hidden_expectations,
    level_probabilities,
    softmax,
)

LEVELS = np.array([0.0, 1.0, 2.5, 4.0])


def drawn(n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(-0.5, 4.5, n), rng.uniform(-1, 5, n), rng.uniform(0.2, 2.0, n)


def test_probabilities_have_the_expectation_asked_for() -> None:
    expected, mean, sd = drawn()
    found = level_probabilities(LEVELS, expected, mean, sd)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    assert (found >= 0).all()
    np.testing.assert_allclose(found @ LEVELS, expected.clip(4e-6, 4 - 4e-6), atol=1e-8)


def test_they_are_the_normal_density_at_the_levels_tilted_exponentially() -> None:
    expected, mean, sd = drawn(20)
    expected = expected.clip(0.3, 3.7)
    found = level_probabilities(LEVELS, expected, mean, sd)
    for p, e, m, s in zip(found, expected, mean, sd, strict=True):

        def tilted(t: float, m: float = m, s: float = s) -> np.ndarray:
            return softmax(norm.logpdf(LEVELS, m, s) + t * LEVELS)

        t = brentq(lambda t: tilted(t) @ LEVELS - e, -500, 500, xtol=1e-13)  # noqa: B023
        np.testing.assert_allclose(p, tilted(t), atol=1e-8)


def test_two_levels_leave_no_choice() -> None:
    expected = np.array([0.2, 0.9, 0.5])
    found = level_probabilities(np.array([0.0, 1.0]), expected, np.array([3.0, -2.0, 0.5]), np.full(3, 0.4))
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-9)


def test_probabilities_to_start_from_are_kept_if_they_agree() -> None:
    base = np.random.default_rng(2).dirichlet(np.ones(4), size=50)
    found = level_probabilities(LEVELS, base @ LEVELS, np.zeros(50), np.ones(50), base)
    np.testing.assert_allclose(found, base, atol=1e-8)


def test_expectations_beyond_the_levels_count_as_the_closest_one() -> None:
    found = level_probabilities(LEVELS, np.array([-3.0, 9.0]), np.array([-3.0, 9.0]), np.array([0.1, 1e-9]))
    np.testing.assert_allclose(found, [[1, 0, 0, 0], [0, 0, 0, 1]], atol=1e-5)
    sure = level_probabilities(LEVELS, np.array([2.5]), np.array([2.5]), np.array([0.0]))
    np.testing.assert_allclose(sure, [[0, 0, 1, 0]], atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_softmax_head_finds_the_probabilities_of_normal_classes(k: int) -> None:
    """Classes with normal inputs of one covariance have logits that are linear in the inputs (Fisher 1936)."""
    rng = np.random.default_rng(5)
    n, shifts = 6000, np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])[:k]
    category = rng.choice(k, size=n, p=np.array([0.5, 0.3, 0.2])[:k] / np.array([0.5, 0.3, 0.2])[:k].sum())
    x = shifts[category] + rng.normal(size=(n, 2))
    values = np.column_stack([x, *(category == c for c in range(1, k))]).astype(float)
    rule = GaussianRule(
        variables=tuple(map(str, range(values.shape[1]))), means=(values.mean(axis=0),), covs=(np.cov(values.T),)
    )
    observed, block = np.ones(values.shape, dtype=bool), np.arange(2, 1 + k)
    rows, expected = hidden_expectations(rule, values, observed, np.zeros(n, dtype=np.intp), block)
    assert (rows == np.arange(n)).all()
    found = SoftmaxHead.fit(block, expected, values[:, block]).probabilities(expected)
    shares = np.bincount(category) / n
    truth = shares * np.exp(-0.5 * ((x[:, None, :] - shifts) ** 2).sum(axis=2))
    truth /= truth.sum(axis=1, keepdims=True)
    # Linear discriminants are known up to their sampling error: coefficients of 6,000 rows have SEs of about .03.
    assert np.abs(found - truth).mean() < 0.02
    np.testing.assert_allclose(found.mean(axis=0), shares, atol=1e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_softmax_head_gives_the_shares_where_nothing_informs() -> None:
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.normal(size=400), rng.random(400) < 0.3]).astype(float)
    rule = GaussianRule(variables=("x", "b"), means=(values.mean(axis=0),), covs=(np.diag(values.var(axis=0)),))
    block, observed = np.array([1]), np.ones(values.shape, dtype=bool)
    _, expected = hidden_expectations(rule, values, observed, np.zeros(400, dtype=np.intp), block)
    head = SoftmaxHead.fit(block, expected, values[:, block])
    np.testing.assert_allclose(head.probabilities(values[:3, 1:] * 0 + 0.3)[:, 1], values[:, 1].mean(), atol=1e-3)
