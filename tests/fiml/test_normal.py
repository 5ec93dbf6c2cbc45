"""The likelihood against scipy's density row by row, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from zoo import BY_NAME, EVEN, central_jacobian, problem_of

from fosa_sem.data import batches
from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml.normal import divergence, evaluate, independent_loglik, pattern_precisions


def _casewise(values: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
    total = 0.0
    for row in values:
        seen = np.flatnonzero(~np.isnan(row))
        total += multivariate_normal(mean[seen], cov[np.ix_(seen, seen)]).logpdf(row[seen])
    return float(total)


def _table(n: int, p: int, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    holes = rng.random((n, p)) < share
    holes[np.arange(n), rng.integers(0, p, n)] = False
    return np.where(holes, np.nan, rng.standard_normal((n, p)) + 1.0)


@pytest.mark.parametrize("name", EVEN)
@pytest.mark.parametrize("seed", [1, 2])
def test_loglik_is_the_sum_of_row_densities(name: str, seed: int) -> None:
    problem = problem_of(name)
    theta = BY_NAME[name].theta(problem, seed)
    expected = sum(
        _casewise(group.values, *ram.moments(theta))
        for group, ram in zip(problem.sample.groups, problem.maps, strict=True)
    )
    assert_allclose(problem.value_and_gradient(theta)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("name", EVEN)
@pytest.mark.parametrize("seed", [1, 2])
def test_gradient_matches_central_differences(name: str, seed: int) -> None:
    problem = problem_of(name)
    theta = BY_NAME[name].theta(problem, seed)
    gradient = problem.value_and_gradient(theta)[1]
    numeric = central_jacobian(lambda t: problem.value_and_gradient(t)[0], theta, step=2e-4)
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_uncorrelated_variables_need_no_factorisation(share: float) -> None:
    patterns = MissingPatterns.from_values(_table(60, 4, share, 8))
    mean, variance = np.array([0.5, 1.0, 1.5, 2.0]), np.array([0.3, 1.0, 2.0, 5.0])
    expected = evaluate(patterns, mean, np.diag(variance)).loglik
    assert_allclose(independent_loglik(patterns, mean, variance), expected, rtol=1e-13)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_moment_gradient_matches_central_differences(share: float) -> None:
    values = _table(60, 4, share, 5)
    patterns = MissingPatterns.from_values(values)
    rng = np.random.default_rng(6)
    mean, root = rng.standard_normal(4), rng.standard_normal((4, 4))
    cov = root @ root.T + np.eye(4)
    g, G = evaluate(patterns, mean, cov).moment_gradient()
    assert_allclose(g, central_jacobian(lambda m: evaluate(patterns, m, cov).loglik, mean), rtol=1e-6, atol=1e-6)
    assert_allclose(G, G.T, rtol=0, atol=0)
    for i in range(4):
        for j in range(i + 1):
            direction = np.zeros((4, 4))
            direction[i, j] = direction[j, i] = 1.0
            slope = central_jacobian(
                lambda t, d=direction: evaluate(patterns, mean, cov + t[0] * d).loglik, np.zeros(1)
            )[0]
            assert_allclose((G * direction).sum(), slope, rtol=1e-6, atol=1e-6)


def _on_side(patterns: MissingPatterns, side: bool | None) -> MissingPatterns:
    """The same patterns, all solved on one side."""
    owner = patterns.row_pattern[len(patterns.n) :]
    return MissingPatterns._assemble(
        patterns.observed, patterns.n, patterns.mean, patterns.factor, owner, patterns.pattern_of_row,
        observed_side=side,
    )  # fmt: skip


@pytest.mark.parametrize(("p", "share"), [(4, 0.3), (5, 0.7), (20, 0.5)])
def test_both_sides_give_the_same(p: int, share: float) -> None:
    patterns = MissingPatterns.from_values(_table(400, p, share, 11))
    rng = np.random.default_rng(12)
    mean, root = rng.standard_normal(p), rng.standard_normal((p, p + 3))
    cov = root @ root.T
    found = [patterns]
    for side in (False, True):
        found.append(_on_side(patterns, side))
    chosen, missing, observed = (evaluate(each, mean, cov) for each in found)
    for one in (missing, observed):
        assert_allclose(one.loglik, chosen.loglik, rtol=1e-12)
        assert_allclose(one.first, chosen.first, rtol=1e-10, atol=1e-10 * np.abs(chosen.first).max())
        assert_allclose(one.second, chosen.second, rtol=1e-10, atol=1e-10 * np.abs(chosen.second).max())


@pytest.mark.parametrize("side", [None, False, True])
@pytest.mark.parametrize(("p", "share"), [(5, 0.3), (12, 0.7)])
def test_pattern_precisions_are_padded_inverses(p: int, share: float, side: bool | None) -> None:
    patterns = MissingPatterns.from_values(_table(100, p, share, 15))
    root = np.random.default_rng(16).standard_normal((p, p + 3))
    cov = root @ root.T
    found = pattern_precisions(_on_side(patterns, side), cov)
    for seen, V in zip(patterns.observed, found, strict=True):
        assert_allclose(V[np.ix_(seen, seen)], np.linalg.inv(cov[np.ix_(seen, seen)]), rtol=1e-9, atol=1e-10)
        assert not V[~seen].any()
        assert not V[:, ~seen].any()


def test_mostly_missing_patterns_are_solved_on_their_observed_side() -> None:
    patterns = MissingPatterns.from_values(_table(400, 20, 0.8, 13))
    assert any(batch.observed_side for batch in patterns.batches)
    mean, cov = np.ones(20), np.eye(20) + 0.5
    expected = _casewise(_table(400, 20, 0.8, 13), mean, cov)
    assert_allclose(evaluate(patterns, mean, cov).loglik, expected, rtol=1e-12)


def test_small_batches_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = _table(200, 8, 0.4, 14)
    mean, cov = np.ones(8), np.eye(8) + 0.3
    whole = evaluate(MissingPatterns.from_values(values), mean, cov)
    monkeypatch.setattr(batches, "CHUNK", 100)
    monkeypatch.setattr(batches, "PAD", 0)
    patterns = MissingPatterns.from_values(values)
    assert len(patterns.batches) > 2 * values.shape[1]
    pieces = evaluate(patterns, mean, cov)
    assert_allclose(pieces.loglik, whole.loglik, rtol=1e-13)
    assert_allclose(pieces.second, whole.second, rtol=1e-11, atol=1e-11 * np.abs(whole.second).max())


def test_complete_data_closed_form() -> None:
    values = _table(40, 3, 0.0, 7)
    mean, cov = values.mean(axis=0), np.cov(values.T, bias=True)
    expected = -20.0 * (3 * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + 3)
    assert_allclose(evaluate(MissingPatterns.from_values(values), mean, cov).loglik, expected, rtol=1e-12)


def test_scales_of_very_different_size_lose_no_digits() -> None:
    values = _table(50, 3, 0.2, 8)
    cov = np.array([[2.0, 0.5, 0.3], [0.5, 1.0, -0.2], [0.3, -0.2, 1.5]])
    mean = np.array([1.0, 2.0, 0.0])
    scale = np.array([1e-6, 1.0, 1e6])
    plain = evaluate(MissingPatterns.from_values(values), mean, cov).loglik
    scaled = evaluate(MissingPatterns.from_values(values * scale), mean * scale, cov * np.outer(scale, scale)).loglik
    cells = (~np.isnan(values)).sum(axis=0)
    assert_allclose(scaled, plain - cells @ np.log(scale), rtol=1e-12)


@pytest.mark.parametrize(
    "cov",
    [
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.array([[1.0, 0.0], [0.0, -1.0]]),
        np.array([[1.0, 0.0], [0.0, 0.0]]),
        np.full((2, 2), np.nan),
    ],
    ids=["indefinite", "negative variance", "zero variance", "nan"],
)
def test_a_covariance_that_is_not_positive_definite_is_a_linalg_error(cov: np.ndarray) -> None:
    patterns = MissingPatterns.from_values(_table(20, 2, 0.2, 9))
    with pytest.raises(np.linalg.LinAlgError):
        evaluate(patterns, np.zeros(2), cov)


def test_outside_the_admissible_region_the_objective_is_minus_infinity() -> None:
    problem = problem_of("cfa")
    theta = BY_NAME["cfa"].theta(problem, 1)
    theta[[row.free - 1 for row in problem.table.free_rows() if row.op == "~~" and row.lhs == row.rhs]] = -1.0
    assert problem.value_and_gradient(theta)[0] == -np.inf


def test_complete_information_is_the_expected_information_of_complete_data() -> None:
    # The Hessian of complete data at their own moments, where residuals vanish, is minus the expected one.
    problem = problem_of("cfa")
    theta = BY_NAME["cfa"].theta(problem, 3)
    (ram,) = problem.maps
    mean, cov = ram.moments(theta)
    patterns = MissingPatterns.from_moments(problem.patterns[0].n_rows, mean, cov)

    def gradient(t: np.ndarray) -> np.ndarray:
        return ram.pull_back(t, *evaluate(patterns, *ram.moments(t)).moment_gradient())

    assert_allclose(problem.complete_information(theta), -central_jacobian(gradient, theta), rtol=1e-6, atol=1e-5)


def test_divergence_is_what_complete_data_lose_at_other_moments() -> None:
    rng = np.random.default_rng(4)
    first, second = np.cov(rng.standard_normal((4, 30))), np.cov(rng.standard_normal((4, 30)) * 2.0)
    mean, other = rng.standard_normal((2, 4))
    data = MissingPatterns.from_moments(50, mean, first)
    lost = 2.0 * (evaluate(data, mean, first).loglik - evaluate(data, other, second).loglik)
    assert_allclose(50 * divergence(mean, first, other, second), lost, rtol=1e-11)
    assert_allclose(divergence(mean, first, mean, first), 0.0, atol=1e-13)


def test_the_point_kept_is_that_of_theta_and_of_the_problem_alone() -> None:
    problem = problem_of("cfa")
    one, two = (BY_NAME["cfa"].theta(problem, seed) for seed in (1, 2))
    values = [problem.value_and_gradient(theta)[0] for theta in (one, two, one)]
    assert values[0] == values[2] != values[1]
    assert problem.at(one.copy()) is problem.at(one)
    complete = problem.on_saturated_moments()
    assert complete.value_and_gradient(one)[0] != values[0]
    moved = one.copy()
    problem.at(moved)
    moved += two - one
    assert problem.value_and_gradient(moved)[0] == pytest.approx(values[1], rel=1e-12)
