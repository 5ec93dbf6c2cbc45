"""Quadratic steps, points brought back, and climbs within constraints, on problems whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from fosa_sem.fiml.constrained import Constraints, climb_within, nearest_admissible, quadratic_step

FloatPair = tuple[np.ndarray, np.ndarray]
METRIC = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 50.0]])


def _linear(rows: list[list[float]], values: list[float], n_equal: int = 0) -> Constraints:
    """rows @ point - values (= 0 for the first ones, else >= 0)."""
    slopes = np.array(rows, dtype=float)
    return Constraints(at=lambda point: (slopes @ point - np.array(values), slopes), n_equal=n_equal)


def _hill(top: list[float]):
    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        gap = point - np.array(top)
        return -0.5 * float(gap @ METRIC @ gap), -METRIC @ gap

    return objective


def test_without_active_constraints_the_step_is_newton_s() -> None:
    gradient = np.array([1.0, -2.0, 3.0])
    found = quadratic_step(METRIC, gradient, np.array([9.0]), np.array([[1.0, 0, 0]]), 0)
    assert_allclose(found.step, np.linalg.solve(METRIC, gradient))
    assert_allclose(found.promise, gradient @ found.step)
    assert_allclose(found.multipliers, [0.0])


@pytest.mark.parametrize("seed", range(20))
def test_steps_satisfy_the_conditions_of_karush_kuhn_and_tucker(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, n, n_equal = 6, 8, 2
    root = rng.standard_normal((k, k))
    metric, gradient = root @ root.T + 0.1 * np.eye(k), rng.standard_normal(k) * 3
    slopes, values = rng.standard_normal((n, k)), np.abs(rng.standard_normal(n)) * (rng.random(n) < 0.6)
    values[:n_equal] = 0.0
    found = quadratic_step(metric, gradient, values, slopes, n_equal)
    room = values + slopes @ found.step
    assert_allclose(room[:n_equal], 0.0, atol=1e-10)
    assert room.min() > -1e-10
    assert found.multipliers[n_equal:].min() >= -1e-10
    assert_allclose(found.multipliers[n_equal:] * room[n_equal:], 0.0, atol=1e-8)
    assert_allclose(gradient + slopes.T @ found.multipliers, metric @ found.step, atol=1e-8)
    assert_allclose(found.promise, gradient @ found.step, atol=1e-8)


def test_dependent_constraints_do_no_harm() -> None:
    slopes = np.array([[1.0, 0, 0], [2.0, 0, 0], [1.0, 0, 0], [1.0, 1e-13, 0]])
    found = quadratic_step(METRIC, np.array([-1.0, 1.0, 0.0]), np.zeros(4), slopes, 1)
    assert_allclose(found.step[0], 0.0, atol=1e-12)
    assert_allclose(found.step, [0.0, *np.linalg.solve(METRIC[1:, 1:], [1.0, 0.0])], atol=1e-10)


def test_a_point_is_moved_to_where_curved_constraints_hold() -> None:
    circle = Constraints(
        at=lambda p: (np.array([p[0] ** 2 + p[1] ** 2 - 4.0, p[0] - 1.5]), np.array([[2 * p[0], 2 * p[1]], [1.0, 0]])),
        n_equal=1,
    )
    point, violated = nearest_admissible(np.array([1.0, 1.0]), circle, np.eye(2))
    assert not violated.any()
    assert_allclose(point @ point, 4.0, rtol=1e-11)
    assert point[0] >= 1.5 - 1e-9


def test_a_point_that_is_admissible_stays() -> None:
    start = np.array([3.0, 1.0, 2.0])
    point, violated = nearest_admissible(start, _linear([[1, 0, 0]], [2]), METRIC)
    assert (point == start).all()
    assert not violated.any()


def test_constraints_that_exclude_each_other_are_named() -> None:
    _, violated = nearest_admissible(np.zeros(3), _linear([[1, 0, 0], [-1, 0, 0], [0, 1, 0]], [2, -1, 5]), METRIC)
    assert violated.tolist() == [True, True, False]


def test_a_climb_ends_on_the_nearest_bound() -> None:
    found = climb_within(
        _hill([2.0, 3.0, 1.0]), _linear([[-1, 0, 0], [0, -1, 0]], [-1, -9]), np.zeros(3), np.eye(3), tolerance=1e-14
    )
    assert found.converged
    # With the first coordinate held at 1: the conditional maximum of the others.
    expected = np.array([3.0, 1.0]) - np.linalg.solve(METRIC[1:, 1:], METRIC[1:, 0] * (1.0 - 2.0))
    assert_allclose(found.point, [1.0, *expected], rtol=1e-6)


def test_a_climb_leaves_a_bound_that_holds_it_back_no_more() -> None:
    found = climb_within(_hill([2.0, 3.0, 1.0]), _linear([[1, 0, 0]], [0]), np.zeros(3), METRIC, tolerance=1e-14)
    assert_allclose(found.point, [2.0, 3.0, 1.0], rtol=1e-7)


def test_rosenbrock_s_function_in_a_disc() -> None:
    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        x, y = p
        return -((1 - x) ** 2 + 100 * (y - x**2) ** 2), np.array(
            [2 * (1 - x) + 400 * x * (y - x**2), -200 * (y - x**2)]
        )

    disc = Constraints(at=lambda p: (np.array([1.0 - p @ p]), -2.0 * p[None, :]), n_equal=0)
    found = climb_within(objective, disc, np.array([-0.5, 0.3]), 100.0 * np.eye(2), tolerance=1e-14)
    theirs = minimize(
        lambda p: -objective(p)[0], [0.5, 0.3], constraints={"type": "ineq", "fun": lambda p: 1.0 - p @ p},
        options={"ftol": 1e-14},
    )  # fmt: skip
    assert found.converged
    assert_allclose(found.point, theirs.x, atol=1e-5)
    assert_allclose(found.point @ found.point, 1.0, atol=1e-9)


def test_a_curved_equality_is_followed() -> None:
    # The point of the hyperbola x y = 1 nearest to (3, 1): x^4 - 3 x^3 + x - 1 = 0.
    hyperbola = Constraints(at=lambda p: (np.array([p[0] * p[1] - 1.0]), np.array([[p[1], p[0]]])), n_equal=1)

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        gap = p - np.array([3.0, 1.0])
        return -0.5 * float(gap @ gap), -gap

    found = climb_within(objective, hyperbola, np.array([1.0, 1.0]), np.eye(2), tolerance=1e-15)
    roots = np.roots([1.0, -3.0, 0.0, 1.0, -1.0])
    x = next(float(r.real) for r in roots if abs(r.imag) < 1e-9 and r.real > 1)
    assert_allclose(found.point, [x, 1.0 / x], rtol=1e-6)
