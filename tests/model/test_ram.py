"""RAM algebra: moments against a path-tracing series, derivatives against differences, over the whole zoo."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, NAMES, central_jacobian, problem_of

from fosa_sem.model.ram import Cell, RamMap


@pytest.fixture(params=[(name, seed) for name in NAMES for seed in (1, 2)], ids=lambda p: f"{p[0]}-{p[1]}")
def case(request: pytest.FixtureRequest):
    name, seed = request.param
    problem = problem_of(name)
    return problem, BY_NAME[name].theta(problem, seed)


def test_jacobian_matches_central_differences(case) -> None:
    problem, theta = case
    for ram in problem.maps:
        mean, cov = ram.jacobian(theta)
        assert_allclose(mean, central_jacobian(lambda t, r=ram: r.moments(t)[0], theta), rtol=1e-6, atol=1e-8)
        assert_allclose(cov, central_jacobian(lambda t, r=ram: r.moments(t)[1], theta), rtol=1e-6, atol=1e-8)


def test_pull_back_is_the_jacobian_transposed(case) -> None:
    problem, theta = case
    rng = np.random.default_rng(3)
    for ram in problem.maps:
        p = ram.n_observed
        g, G = rng.standard_normal(p), rng.standard_normal((p, p))
        G = G + G.T
        d_mean, d_cov = ram.jacobian(theta)
        expected = d_mean @ g + np.einsum("kij,ij->k", d_cov, G)
        assert_allclose(ram.pull_back(theta, g, G), expected, rtol=1e-11, atol=1e-11)


def test_complex_step_gives_the_same_derivative(case) -> None:
    problem, theta = case
    ram = problem.maps[0]
    d_mean, d_cov = ram.jacobian(theta)
    for k in range(len(theta)):
        mean, cov = ram.moments(theta + 1e-30j * np.eye(len(theta))[k])
        assert_allclose(mean.imag / 1e-30, d_mean[k], rtol=1e-11, atol=1e-12)
        assert_allclose(cov.imag / 1e-30, d_cov[k], rtol=1e-11, atol=1e-12)


def test_joint_covariance_is_symmetric_and_holds_the_observed_one(case) -> None:
    problem, theta = case
    for ram in problem.maps:
        joint = ram.matrices(theta)
        mean, cov = ram.moments(theta)
        assert_allclose(joint.cov, joint.cov.T, rtol=0, atol=0)
        assert_allclose(joint.cov[: ram.n_observed, : ram.n_observed], cov, rtol=0, atol=0)
        assert_allclose(joint.mean[: ram.n_observed], mean, rtol=0, atol=0)
        # (I - A) cov (I - A)' = S: the definition, without any inverse.
        left = np.eye(len(joint.A)) - joint.A
        assert_allclose(left @ joint.cov @ left.T, joint.S, rtol=1e-9, atol=1e-10)
        assert_allclose(left @ joint.mean, joint.m, rtol=1e-9, atol=1e-10)


def _cell(matrix: str, row: int, col: int, theta: int = -1, value: float = 0.0) -> Cell:
    return Cell(matrix=matrix, row=row, col=col, theta=theta, value=value)  # type: ignore[arg-type]


def test_one_factor_by_hand() -> None:
    # x1, x2 observed (0, 1), f latent (2): cov = lambda psi lambda' + Theta, mean = nu + lambda alpha.
    cells = [
        _cell("A", 0, 2, value=1.0), _cell("A", 1, 2, theta=0), _cell("S", 2, 2, theta=1),
        _cell("S", 0, 0, theta=2), _cell("S", 1, 1, value=0.25), _cell("S", 0, 1, theta=3),
        _cell("m", 0, 0, theta=4), _cell("m", 1, 0, value=-1.0), _cell("m", 2, 0, value=2.0),
    ]  # fmt: skip
    ram = RamMap.from_cells(cells, 2, 3, 5)
    loading, psi, error, residual, nu = theta = np.array([0.7, 1.5, 0.4, 0.1, 3.0])
    mean, cov = ram.moments(theta)
    assert_allclose(mean, [nu + 2.0, -1.0 + loading * 2.0])
    assert_allclose(cov, [[psi + error, loading * psi + residual], [loading * psi + residual, loading**2 * psi + 0.25]])


def test_feedback_loop_is_the_infinite_series() -> None:
    cells = [
        _cell("A", 0, 1, theta=0), _cell("A", 1, 0, theta=1),
        _cell("S", 0, 0, value=1.0), _cell("S", 1, 1, value=2.0),
    ]  # fmt: skip
    ram = RamMap.from_cells(cells, 2, 2, 2)
    A = np.array([[0.0, 0.3], [0.5, 0.0]])
    series = sum((np.linalg.matrix_power(A, k) for k in range(60)), np.zeros((2, 2)))
    assert_allclose(ram.moments(np.array([0.3, 0.5]))[1], series @ np.diag([1.0, 2.0]) @ series.T, rtol=1e-12)


def test_a_loop_without_an_inverse_is_a_linalg_error() -> None:
    ram = RamMap.from_cells([_cell("A", 0, 1, value=1.0), _cell("A", 1, 0, value=1.0)], 2, 2, 0)
    with pytest.raises(np.linalg.LinAlgError):
        ram.moments(np.zeros(0))


@pytest.mark.parametrize("name", NAMES)
def test_chains_of_effects_are_as_deep_as_their_powers_say(name: str) -> None:
    problem = problem_of(name)
    theta = BY_NAME[name].theta(problem, 1)
    for ram in problem.maps:
        at, power = ram.matrices(theta), np.eye(ram.n_variables)
        assert_allclose(at.total @ (power - at.A), power, rtol=0, atol=1e-12)
        for _ in range(min(ram.depth, ram.n_variables - 1)):
            power = power @ at.A
        assert power.any()
        assert ram.depth >= ram.n_variables or not (power @ at.A).any()
