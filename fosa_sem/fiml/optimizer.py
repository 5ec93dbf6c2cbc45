"""Climbing the likelihood: Fisher scoring on the saturated moments, then quasi-Newton on the data.

Both steps measure length by the complete-data information, so nothing depends on the units of the variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from fosa_sem.model.scaling import regular_inverse

FloatArray = NDArray[np.float64]
ValueAndGradient = Callable[[FloatArray], tuple[float, FloatArray]]

SCORING_TOLERANCE = 0.1
"""Scoring stops when the next step promises less than this in log-likelihood: it only provides the start."""
TOLERANCE = 1e-11
"""The same for the final climb."""
UNSEEN = 1e-8
"""Smallest over largest eigenvalue of a metric below which a direction counts as unseen by it."""
MOST_DAMPING = 1e12
ROUNDING = 1e-14
"""By which share of it a value may be wrong."""
MAX_ITERATIONS = 40
"""Of one climb; some ten do on an ordinary hill, and where 40 do not, the next climb knows better or nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """Where a climb ended.

    Attributes
    ----------
    point : ndarray
    value : float
    gradient : ndarray
    iterations : int
    converged : bool
    regular : bool
        Parameters still make a difference there: it is not on its way to nowhere.
    """

    point: FloatArray
    value: float
    gradient: FloatArray
    iterations: int
    converged: bool
    regular: bool = True


def damped_newton(
    objective: ValueAndGradient,
    information: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    *,
    tolerance: float,
) -> Climb:
    """Maximise by Newton steps or Fisher scoring, damped as by Levenberg and Marquardt.

    Parameters
    ----------
    objective : callable
        Point to value and gradient; -inf outside the admissible region.
    information : callable
        Point to observed or expected information, which need not be positive definite.
    start : ndarray
    tolerance : float
        Gain in the objective that is not worth another step.
    """
    point = start
    value, gradient = objective(point)
    if not math.isfinite(value):
        return Climb(point=point, value=value, gradient=gradient, iterations=0, converged=False)
    damping = 1e-3
    for iteration in range(1, MAX_ITERATIONS + 1):
        matrix = information(point)
        used, promise, accepted = damping, math.inf, False
        while not accepted and promise >= tolerance and damping < MOST_DAMPING:
            used, step = damping, _damped_solve(matrix, gradient, damping)
            if step is not None:
                trial, promise = point + step, float(gradient @ step)
                new_value, new_gradient = objective(trial)
                # Where the step promises less than the value is rounded by, only the gradient can tell.
                unseen = ROUNDING * abs(value)
                if accepted := new_value > value - (unseen if promise < unseen else 0.0):
                    point, value, gradient = trial, new_value, new_gradient
            damping = max(damping / 10.0, 1e-12) if accepted else 10.0 * damping
        if promise < tolerance or not accepted:
            # A step that only its damping makes small proves nothing.
            done = promise < tolerance and used < 0.1
            return Climb(point=point, value=value, gradient=gradient, iterations=iteration, converged=done)
    return Climb(point=point, value=value, gradient=gradient, iterations=MAX_ITERATIONS, converged=False)


def _damped_solve(information: FloatArray, gradient: FloatArray, damping: float) -> FloatArray | None:
    """Step on the correlation scale; None if the damped information is not positive definite."""
    if not gradient.size:
        return gradient
    diagonal = np.abs(information.diagonal())
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = information * (scale * scale[:, None])
    scaled.reshape(-1)[:: len(scaled) + 1] += damping
    _, solved, failed = lapack.dposv(scaled, scale * gradient, lower=True)
    return None if failed else np.asarray(scale * solved)


def quasi_newton(objective: ValueAndGradient, start: FloatArray, information: FloatArray) -> Climb:
    """Maximise by BFGS with backtracking, from an inverse Hessian given by an information matrix.

    Parameters
    ----------
    objective : callable
    start : ndarray
    information : ndarray
        Positive semi-definite metric at the start.
    """
    point = start
    value, gradient = objective(point)
    inverse = _inverse(information)
    for iteration in range(1, MAX_ITERATIONS + 1):
        step = inverse @ gradient
        promise = float(gradient @ step)
        if promise < TOLERANCE:
            return Climb(point=point, value=value, gradient=gradient, iterations=iteration - 1, converged=True)
        length = 1.0
        while True:
            new_value, new_gradient = objective(point + length * step)
            if new_value >= value + 1e-4 * length * promise:
                break
            length *= 0.5
            if length * promise < 1e-13 * max(1.0, abs(value)):
                return Climb(
                    point=point, value=value, gradient=gradient, iterations=iteration, converged=promise < 1e-6
                )
        inverse = _bfgs_update(inverse, length * step, gradient - new_gradient)
        point, value, gradient = point + length * step, new_value, new_gradient
    return Climb(point=point, value=value, gradient=gradient, iterations=MAX_ITERATIONS, converged=False)


def _inverse(information: FloatArray) -> FloatArray:
    """Inverse on the correlation scale, with directions without information left unscaled."""
    regular = regular_inverse(information, UNSEEN)
    if regular is not None:
        return regular
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    inverse = (vectors / np.maximum(values, UNSEEN * values.max(initial=0.0))) @ vectors.T
    return np.asarray(inverse * np.outer(scale, scale))


def _bfgs_update(inverse: FloatArray, moved: FloatArray, change: FloatArray) -> FloatArray:
    curvature = float(moved @ change)
    if curvature <= 1e-12 * float(np.sqrt((moved @ moved) * (change @ change))):
        return inverse
    pulled = inverse @ change
    growth = (1.0 + float(change @ pulled) / curvature) / curvature
    half = (0.5 * growth * moved - pulled / curvature)[:, None] * moved
    return inverse + half + half.T
