"""Information in closed form, against differences of the gradient, single scores, and complete data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, EVEN, NAMES, central_jacobian, problem_of

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml import information
from fosa_sem.fiml.information import (
    complete_information,
    expected_forms,
    moment_information,
    moment_jacobian,
    moment_scores,
    observed_information,
    pattern_precisions,
)
from fosa_sem.fiml.normal import evaluate

P = 5
LOWER = np.tril_indices(P)


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    """Rows of five variables with holes on both sides of half, one pattern with a single row, one complete."""
    table = rng.standard_normal((80, P)) @ (np.eye(P) + 0.3) + np.arange(P)
    table[rng.random(table.shape) < 0.35] = np.nan
    table[np.isnan(table).all(axis=1), 0] = 1.0
    table[:10] = np.nan_to_num(table[:10], nan=0.5)
    return table


@pytest.fixture
def moments(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    root = np.eye(P) + 0.2 * rng.standard_normal((P, P))
    return np.arange(P) + 0.3, root @ root.T * np.outer(np.arange(1, 6), np.arange(1, 6))


def _vector(mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    return np.concatenate([mean, cov[LOWER]])


def _gradient(patterns: MissingPatterns, vector: np.ndarray) -> np.ndarray:
    cov = np.zeros((P, P))
    cov[LOWER] = vector[P:]
    cov = cov + cov.T - np.diag(np.diag(cov))
    g, G = evaluate(patterns, vector[:P], cov).moment_gradient()
    return np.concatenate([g, np.where(LOWER[0] == LOWER[1], 1.0, 2.0) * G[LOWER]])


def test_observed_is_minus_the_slope_of_the_gradient(values: np.ndarray, moments: tuple) -> None:
    patterns = MissingPatterns.from_values(values)
    slope = central_jacobian(lambda v: _gradient(patterns, v), _vector(*moments), 1e-4)
    found = moment_information(patterns, *moments, "observed")
    assert_allclose(found, -slope, rtol=1e-8, atol=1e-8 * np.abs(slope).max())


def test_first_order_is_the_sum_of_squared_scores_of_rows(values: np.ndarray, moments: tuple) -> None:
    patterns = MissingPatterns.from_values(values)
    scores = np.vstack([_gradient(MissingPatterns.from_values(row[None, :]), _vector(*moments)) for row in values])
    found = np.zeros_like(scores)
    for rows, block in moment_scores(patterns, *moments, values):
        found[rows] = block
    assert_allclose(found, scores, rtol=1e-9, atol=1e-10)
    assert_allclose(moment_information(patterns, *moments, "first.order", values), scores.T @ scores, rtol=1e-9)


def test_blocks_of_rows_do_not_matter(values: np.ndarray, moments: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = MissingPatterns.from_values(values)
    whole = moment_information(patterns, *moments, "first.order", values)
    monkeypatch.setattr(information, "CHUNK", 7 * P * (P + 3) // 2)
    assert_allclose(moment_information(patterns, *moments, "first.order", values), whole, rtol=1e-12)


@pytest.mark.parametrize("kind", ["observed", "expected"])
def test_pieces_of_patterns_do_not_matter(
    values: np.ndarray, moments: tuple, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns, changes = MissingPatterns.from_values(values), [moments, (np.ones(P), np.eye(P))]
    at_once = moment_information(patterns, *moments, kind), expected_forms(patterns, moments[1], changes)
    monkeypatch.setattr(information, "PIECE", 3 * P * P)
    pieces = list(patterns.pieces(3 * P * P))
    assert len(pieces) == -(-len(patterns.n) // 3)
    assert sum(piece.weight for piece in pieces) == patterns.weight
    found = moment_information(patterns, *moments, kind), expected_forms(patterns, moments[1], changes)
    for some, all_of_it in zip(found, at_once, strict=True):
        assert_allclose(some, all_of_it, rtol=1e-10, atol=1e-10)


def test_expected_is_the_mean_of_observed_over_data_from_the_model(moments: tuple) -> None:
    # 40,000 rows of two patterns: Monte Carlo error of an entry is about 1 %.
    mean, cov = moments
    rows = np.random.default_rng(3).multivariate_normal(mean, cov, 40_000)
    rows[:15_000, [1, 3]] = np.nan
    patterns = MissingPatterns.from_values(rows)
    expected = moment_information(patterns, mean, cov, "expected")
    unit = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert_allclose(moment_information(patterns, mean, cov, "observed") / unit, expected / unit, atol=0.03)
    assert_allclose(moment_information(patterns, mean, cov, "first.order", rows) / unit, expected / unit, atol=0.05)


def test_at_the_moments_of_complete_data_observed_is_expected(moments: tuple) -> None:
    patterns = MissingPatterns.from_moments(50.0, *moments)
    observed, expected = (moment_information(patterns, *moments, kind) for kind in ("observed", "expected"))
    assert_allclose(observed, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_the_quadratic_form_is_that_of_the_expected_information(
    values: np.ndarray, moments: tuple, rng: np.random.Generator
) -> None:
    patterns = MissingPatterns.from_values(values)
    change = rng.standard_normal((P, P))
    change = change + change.T
    vector = _vector(rng.standard_normal(P), change)
    matrix = moment_information(patterns, *moments, "expected")
    assert_allclose(expected_forms(patterns, moments[1], [(vector[:P], change)]), vector @ matrix @ vector, rtol=1e-10)


def test_precisions_of_patterns_are_padded_inverses(values: np.ndarray, moments: tuple) -> None:
    patterns = MissingPatterns.from_values(values)
    for seen, V in zip(patterns.observed, pattern_precisions(patterns, moments[1]), strict=True):
        index = np.ix_(seen, seen)
        assert_allclose(V[index], np.linalg.inv(moments[1][index]), rtol=1e-9)
        assert not V[~seen].any()


@pytest.mark.parametrize("name", EVEN)
def test_information_about_theta_is_minus_the_slope_of_the_gradient(name: str) -> None:
    problem = problem_of(name)
    theta = BY_NAME[name].theta(problem, seed=2)
    slope = central_jacobian(lambda t: problem.value_and_gradient(t)[1], theta, 1e-4)
    assert_allclose(observed_information(problem, theta), -slope, rtol=1e-7, atol=1e-9 * np.abs(slope).max())


@pytest.mark.parametrize("name", NAMES)
def test_slopes_of_moments_match_differences(name: str) -> None:
    problem = problem_of(name)
    theta = BY_NAME[name].theta(problem, seed=2)
    for ram in problem.maps:
        lower = np.tril_indices(ram.n_observed)

        def vector(t: np.ndarray, ram=ram, lower=lower) -> np.ndarray:
            mean, cov = ram.moments(t)
            return np.concatenate([mean, cov[lower]])

        assert_allclose(moment_jacobian(ram, theta), central_jacobian(vector, theta).T, rtol=1e-7, atol=1e-8)


def test_complete_information_is_that_of_one_complete_pattern(moments) -> None:
    mean, cov = moments
    expected = moment_information(MissingPatterns.from_moments(40, mean, cov), mean, cov, "expected")
    assert_allclose(complete_information(cov, 40.0), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
