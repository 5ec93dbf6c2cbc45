"""Climbing the likelihood: Fisher scoring on the saturated moments, then quasi-Newton on the data.

Both steps measure length by the complete-data information, so nothing depends on the units of the variables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ValueAndGradient = Callable[[FloatArray], tuple[float, FloatArray]]

SCORING_TOLERANCE = 1e-6
"""Scoring stops when the next step promises less than this in log-likelihood: it only provides the start."""
TOLERANCE = 1e-11
"""The same for the final climb."""
MAX_ITERATIONS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """Where a climb ended.

    Attributes
    ----------
    point : ndarray
    value : float
    iterations : int
    converged : bool
    """

    point: FloatArray
    value: float
    iterations: int
    converged: bool


def fisher_scoring(
    objective: ValueAndGradient,
    metric: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    *,
    tolerance: float = SCORING_TOLERANCE,
) -> Climb:
    """Maximise by Levenberg-Marquardt damped scoring.

    Parameters
    ----------
    objective : callable
        Point to value and gradient; -inf outside the admissible region.
    metric : callable
        Point to expected information.
    start : ndarray
    tolerance : float
        Gain in the objective that is not worth another step.
    """
    point = start
    value, gradient = objective(point)
    damping, promise = 1e-3, np.inf
    for iteration in range(1, MAX_ITERATIONS + 1):
        information = metric(point)
        accepted = False
        while damping < 1e12:
            step = _damped_solve(information, gradient, damping)
            promise = float(gradient @ step)
            new_value, new_gradient = objective(point + step)
            if new_value > value:
                point, value, gradient = point + step, new_value, new_gradient
                damping = max(damping / 10.0, 1e-12)
                accepted = True
                break
            if promise < tolerance:
                break
            damping *= 10.0
        if promise < tolerance or not accepted:
            return Climb(point=point, value=value, iterations=iteration, converged=promise < tolerance)
    return Climb(point=point, value=value, iterations=MAX_ITERATIONS, converged=False)


def _damped_solve(information: FloatArray, gradient: FloatArray, damping: float) -> FloatArray:
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = information * np.outer(scale, scale) + damping * np.eye(len(gradient))
    return np.asarray(scale * np.linalg.lstsq(scaled, scale * gradient, rcond=None)[0])


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
            return Climb(point=point, value=value, iterations=iteration - 1, converged=True)
        length = 1.0
        while True:
            new_value, new_gradient = objective(point + length * step)
            if new_value >= value + 1e-4 * length * promise:
                break
            length *= 0.5
            if length * promise < 1e-13 * max(1.0, abs(value)):
                return Climb(point=point, value=value, iterations=iteration, converged=promise < 1e-6)
        inverse = _bfgs_update(inverse, length * step, gradient - new_gradient)
        point, value, gradient = point + length * step, new_value, new_gradient
    return Climb(point=point, value=value, iterations=MAX_ITERATIONS, converged=False)


def _inverse(information: FloatArray) -> FloatArray:
    """Inverse on the correlation scale, with directions without information left unscaled."""
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    inverse = (vectors / np.maximum(values, 1e-8 * values.max(initial=0.0))) @ vectors.T
    return np.asarray(inverse * np.outer(scale, scale))


def _bfgs_update(inverse: FloatArray, moved: FloatArray, change: FloatArray) -> FloatArray:
    curvature = float(moved @ change)
    if curvature <= 1e-12 * float(np.sqrt((moved @ moved) * (change @ change))):
        return inverse
    pulled = inverse @ change
    growth = (1.0 + float(change @ pulled) / curvature) / curvature
    return inverse + growth * np.outer(moved, moved) - (np.outer(pulled, moved) + np.outer(moved, pulled)) / curvature
