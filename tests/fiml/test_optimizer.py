"""Both climbs on functions whose maximum is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from fosa_sem import cfa
from fosa_sem.fiml.optimizer import TOLERANCE, damped_newton, quasi_newton

TARGET = np.array([1.0, -2.0, 300.0])
CURVATURE = np.diag([1.0, 50.0, 1e-4]) + 1e-3


def _quadratic(point: np.ndarray) -> tuple[float, np.ndarray]:
    gap = point - TARGET
    return -0.5 * float(gap @ CURVATURE @ gap), -CURVATURE @ gap


def _banana(point: np.ndarray) -> tuple[float, np.ndarray]:
    x, y = point
    value = -((1 - x) ** 2 + 100 * (y - x**2) ** 2)
    return value, -np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


def test_newton_metric_reaches_a_quadratic_maximum() -> None:
    for climb in (
        damped_newton(_quadratic, lambda _: CURVATURE, np.zeros(3), tolerance=1e-6),
        quasi_newton(_quadratic, np.zeros(3), CURVATURE),
    ):
        assert climb.converged
        assert_allclose(climb.point, TARGET, rtol=1e-3, atol=1e-3)
    assert_allclose(quasi_newton(_quadratic, np.zeros(3), CURVATURE).point, TARGET, rtol=1e-9)


def test_quasi_newton_follows_a_curved_ridge() -> None:
    climb = quasi_newton(_banana, np.array([-1.2, 1.0]), np.eye(2))
    assert climb.converged
    assert_allclose(climb.point, [1.0, 1.0], rtol=1e-5)


def test_quasi_newton_steps_back_from_where_the_objective_is_minus_infinity() -> None:
    def barrier(point: np.ndarray) -> tuple[float, np.ndarray]:
        if point[0] <= 0:
            return -np.inf, np.full(1, np.nan)
        return float(np.log(point[0]) - 2 * point[0]), 1 / point - 2

    climb = quasi_newton(barrier, np.array([5.0]), np.array([[1e-3]]))
    assert climb.converged
    assert_allclose(climb.point, [0.5], rtol=1e-5)


def test_the_value_never_falls() -> None:
    start = np.array([-1.2, 1.0])
    for climb in (
        damped_newton(_banana, lambda _: np.eye(2), start, tolerance=1e-6),
        quasi_newton(_banana, start, np.eye(2)),
    ):
        assert climb.value >= _banana(start)[0]
        assert climb.value == _banana(climb.point)[0]


def test_newton_goes_on_where_the_value_is_too_coarse_to_tell() -> None:
    """1e7 is known to 2e-9, and the first step promises half of that."""

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        return -1e7 - 0.5 * float(x @ x), -x

    start = np.array([3e-5, 0.0])
    assert objective(start)[0] == objective(0.0 * start)[0]
    climb = damped_newton(objective, lambda x: np.eye(2), start, tolerance=TOLERANCE)
    assert climb.converged
    assert np.abs(climb.gradient).max() < np.sqrt(TOLERANCE)


def test_a_start_at_the_maximum_stays() -> None:
    assert_allclose(quasi_newton(_quadratic, TARGET, CURVATURE).point, TARGET)
    assert quasi_newton(_quadratic, TARGET, CURVATURE).iterations == 0


def test_no_parameters_is_no_problem() -> None:
    def flat(point: np.ndarray) -> tuple[float, np.ndarray]:
        return 1.0, np.zeros(0)

    assert damped_newton(flat, lambda _: np.zeros((0, 0)), np.zeros(0), tolerance=1e-6).converged


def test_a_climb_along_a_ridge_is_started_again_elsewhere() -> None:
    # Equal means where they differ: from the usual start the loadings run away with the factor variance going to 0.
    rng = np.random.default_rng(2)
    factor = rng.standard_normal(300)
    values = np.outer(factor, [0.6, 0.5, 0.8]) + rng.standard_normal((300, 3)) + [5.0, 6.0, 2.0]
    model = """
        f =~ x1 + x2 + x3
        x1 ~~ v*x1
        x2 ~~ v*x2
        x3 ~~ v*x3
        x1 ~ m*1
        x2 ~ m*1
        x3 ~ m*1
    """
    frame = pd.DataFrame(values, columns=["x1", "x2", "x3"])
    found = cfa(model, frame)
    assert found.converged
    assert found.audit.stationarity < 1e-8
    assert found.loglik >= -1772.8195  # lavaan 0.6.14: -1772.819
