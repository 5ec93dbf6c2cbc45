"""Climbing within constraints: sequential quadratic programming along the admissible set.

Constraint functions cost next to nothing beside the likelihood, so every trial point is first brought back to where
they hold: the likelihood alone then decides, and no penalty has to be chosen. A climb ends when the next quadratic
step promises nothing, which is the condition of Karush, Kuhn and Tucker in the metric of the information
(Nocedal & Wright 2006, chapters 16 and 18).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

from fosa_sem.fiml.optimizer import MAX_ITERATIONS, UNSEEN, Climb, ValueAndGradient
from fosa_sem.model.scaling import regular_inverse

FloatArray = NDArray[np.float64]

ADMISSIBLE = 1e-9
"""Largest violation of a constraint, in standard errors, that counts as none."""
ROUNDING = 1e-12
"""Violation that is aimed at: multiplied by a multiplier, it must be nothing in log-likelihood."""
MOST_DAMPING = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Functions c of a point, the first ``n_equal`` of which must be 0 and the others at least 0.

    Attributes
    ----------
    at : callable
        Point, shape (k,), to values, shape (n,), and slopes, shape (n, k).
    n_equal : int
    """

    at: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    n_equal: int

    def violations(self, values: FloatArray) -> FloatArray:
        """What is missing from 0 in each."""
        return np.concatenate([values[: self.n_equal], np.minimum(values[self.n_equal :], 0.0)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Solution of a quadratic programme.

    Attributes
    ----------
    step : ndarray, shape (k,)
    promise : float
        gradient' step: 0 where the point is a maximum to first order, multipliers of the right sign included.
    multipliers : ndarray, shape (n,)
        gradient + slopes' multipliers = metric step; not negative for inequalities.
    """

    step: FloatArray
    promise: float
    multipliers: FloatArray


def quadratic_step(
    metric: FloatArray, gradient: FloatArray, values: FloatArray, slopes: FloatArray, n_equal: int
) -> Step:
    """Maximise gradient' p - p' metric p / 2 over the p that keep to the linearised constraints.

    Parameters
    ----------
    metric : ndarray, shape (k, k)
        Positive definite, up to rounding.
    gradient : ndarray, shape (k,)
    values : ndarray, shape (n,)
        Taken as 0 for equalities and where negative: the point is admissible.
    slopes : ndarray, shape (n, k)
    n_equal : int
    """
    root = _root(metric)
    target = lapack.dtrtrs(root, gradient, lower=True)[0]
    if not len(values):
        step = lapack.dtrtrs(root, target, lower=True, trans=True)[0]
        return Step(step=step, promise=float(target @ target), multipliers=values)
    rows = linalg.solve_triangular(root, slopes.T, lower=True).T
    norms = np.linalg.norm(rows, axis=1)
    norms = np.where(norms > 0, norms, 1.0)
    slack = np.maximum(values, 0.0) / norms
    slack[:n_equal] = 0.0
    point, pulls = _nearest(target, rows / norms[:, None], slack, n_equal)
    return Step(
        step=linalg.solve_triangular(root, point, lower=True, trans="T"),
        promise=float(point @ point + pulls @ slack),  # target' point, without its cancellation
        multipliers=pulls / norms,
    )  # fmt: skip


def _nearest(target: FloatArray, rows: FloatArray, slack: FloatArray, n_equal: int) -> tuple[FloatArray, FloatArray]:
    """Point nearest to target with rows[:n_equal] y = 0 and rows[n_equal:] y >= -slack, by a primal active set.

    Returns
    -------
    point : ndarray, shape (k,)
    pulls : ndarray, shape (n,)
        point - target = rows' pulls.
    """
    point, pulls = np.zeros_like(target), np.zeros(len(rows))
    if not len(rows):
        return target, pulls
    working = _independent(rows[:n_equal])
    size = 1.0 + float(np.linalg.norm(target))
    for _ in range(10 * (len(rows) + 1)):
        basis = np.linalg.qr(rows[working].T)[0]
        gap = target - point
        move = gap - basis @ (basis.T @ gap)
        if np.linalg.norm(move) > 1e-13 * size:
            length, blocking = _ratio(point, move, rows, slack, n_equal, working)
            point = point + length * move
            if blocking is not None:
                working = [*working, blocking]
            continue
        pulls = np.zeros(len(rows))
        pulls[working] = np.linalg.lstsq(rows[working].T, -gap, rcond=None)[0]
        least = min((i for i in working if i >= n_equal), key=lambda i: pulls[i], default=None)
        if least is None or pulls[least] >= -1e-12 * size:
            break
        working = [i for i in working if i != least]
    return point, pulls


def _independent(rows: FloatArray) -> list[int]:
    """Indices of rows that span all of them."""
    if not len(rows):
        return []
    _, r, order = linalg.qr(rows.T, mode="economic", pivoting=True)
    return sorted(order[: int((np.abs(np.diag(r)) > 1e-10).sum())].tolist())


def _ratio(
    point: FloatArray, move: FloatArray, rows: FloatArray, slack: FloatArray, n_equal: int, working: list[int]
) -> tuple[float, int | None]:
    """How far a move may go, at most 1, and the inequality that stops it."""
    falls = -(rows @ move)
    falls[:n_equal] = 0.0
    falls[working] = 0.0
    falling = np.flatnonzero(falls > 1e-14 * np.linalg.norm(move))
    if not len(falling):
        return 1.0, None
    room = np.maximum(slack[falling] + rows[falling] @ point, 0.0) / falls[falling]
    first = int(np.argmin(room))
    return (float(room[first]), int(falling[first])) if room[first] < 1.0 else (1.0, None)


def nearest_admissible(
    point: FloatArray, constraints: Constraints, metric: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Move a point as little as need be to where the constraints hold, by damped Gauss-Newton.

    Parameters
    ----------
    point : ndarray, shape (k,)
    constraints : Constraints
    metric : ndarray, shape (k, k)
        Positive definite; tells what is near, and how large a violation is.

    Returns
    -------
    point : ndarray, shape (k,)
    violated : ndarray of bool, shape (n,)
        Constraints that do not hold even there.
    """
    root = _root(metric)
    values, slopes = constraints.at(point)
    norms = np.linalg.norm(linalg.solve_triangular(root, slopes.T, lower=True, check_finite=False), axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    missing = constraints.violations(values) / norms
    damping = 0.0
    for _ in range(MAX_ITERATIONS):
        if np.abs(missing).max(initial=0.0) <= ROUNDING or damping > MOST_DAMPING or not np.isfinite(missing).all():
            break
        involved = np.flatnonzero(missing)
        rows = linalg.solve_triangular(root, slopes[involved].T, lower=True).T / norms[involved, None]
        gram = rows @ rows.T + damping * np.eye(len(rows))
        move = -rows.T @ np.linalg.lstsq(gram, missing[involved], rcond=None)[0]
        trial = point + linalg.solve_triangular(root, move, lower=True, trans="T")
        new_values, new_slopes = constraints.at(trial)
        new_missing = constraints.violations(new_values) / norms
        if np.square(new_missing).sum() < np.square(missing).sum():
            point, slopes, missing = trial, new_slopes, new_missing
            damping = damping / 10.0 if damping > 1e-6 else 0.0
        else:
            damping = max(10.0 * damping, 1e-6)
    return point, ~(np.abs(missing) <= ADMISSIBLE)


def climb_within(
    objective: ValueAndGradient,
    constraints: Constraints,
    start: FloatArray,
    metric: FloatArray,
    *,
    scoring: Callable[[FloatArray], FloatArray] | None = None,
    tolerance: float,
) -> Climb:
    """Maximise within constraints.

    Parameters
    ----------
    objective : callable
        Point to value and gradient; -inf outside the admissible region.
    constraints : Constraints
    start : ndarray, shape (k,)
        An admissible point.
    metric : ndarray, shape (k, k)
        Curvature of the Lagrangian at the start, roughly.
    scoring : callable, optional
        Point to expected information, used instead of quasi-Newton updates of the metric.
    tolerance : float
        Gain in the objective that is not worth another step.
    """
    point, curvature = start, positive_definite(metric)
    near = curvature
    value, gradient = objective(point)
    values, slopes = constraints.at(point)
    for iteration in range(1, MAX_ITERATIONS + 1):
        found = quadratic_step(curvature, gradient, values, slopes, constraints.n_equal)
        if found.promise < tolerance:
            return Climb(point=point, value=value, gradient=gradient, iterations=iteration - 1, converged=True)
        length = 1.0
        while True:
            trial, violated = nearest_admissible(point + length * found.step, constraints, near)
            new_value, new_gradient = (-math.inf, gradient) if violated.any() else objective(trial)
            noise = 1e-14 * abs(value)
            if new_value >= value + 1e-4 * length * found.promise - noise:
                break
            length *= 0.5
            if length * found.promise < 10.0 * noise:
                return Climb(
                    point=point, value=value, gradient=gradient, iterations=iteration, converged=found.promise < 1e-6
                )
        new_values, new_slopes = constraints.at(trial)
        if scoring is not None:
            curvature = positive_definite(scoring(trial))
        else:
            pull = gradient - new_gradient + (slopes - new_slopes).T @ found.multipliers
            curvature = _damped_update(curvature, trial - point, pull)
        point, value, gradient, values, slopes = trial, new_value, new_gradient, new_values, new_slopes
    return Climb(point=point, value=value, gradient=gradient, iterations=MAX_ITERATIONS, converged=False)


def positive_definite(metric: FloatArray) -> FloatArray:
    """A metric with directions that it does not see given a little length, on the correlation scale."""
    if regular_inverse(metric, UNSEEN) is not None:
        return metric
    diagonal = np.diag(metric)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(metric / np.outer(scale, scale))
    floored = (vectors * np.maximum(values, UNSEEN * max(values.max(initial=0.0), 1e-300))) @ vectors.T
    return np.asarray(floored * np.outer(scale, scale))


def _root(metric: FloatArray) -> FloatArray:
    """Cholesky factor; a metric that updates have made singular to rounding is mended."""
    try:
        return np.asarray(np.linalg.cholesky(metric))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.cholesky(positive_definite(metric)))


def _damped_update(curvature: FloatArray, moved: FloatArray, change: FloatArray) -> FloatArray:
    """BFGS update that stays positive definite (Powell 1978)."""
    pushed = curvature @ moved
    length, bend = float(moved @ pushed), float(moved @ change)
    if length <= 0:
        return curvature
    if bend < 0.2 * length:
        share = 0.8 * length / (length - bend)
        change = share * change + (1.0 - share) * pushed
        bend = float(moved @ change)
    return curvature - np.outer(pushed, pushed) / length + np.outer(change, change) / bend
