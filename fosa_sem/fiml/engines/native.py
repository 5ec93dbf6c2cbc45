"""Our own engine."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ConvergenceError
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.information import observed_information
from fosa_sem.fiml.optimizer import TOLERANCE, Climb, ValueAndGradient, fisher_scoring, quasi_newton
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import starting_values

FloatArray = NDArray[np.float64]

RESTARTS = 6
"""Further starts, tried only if the first climb does not arrive: it then follows a ridge to nowhere."""
RENEWALS = 3
"""Times that a climb goes on with the exact curvature where a fresh metric shows that it has not arrived."""
SPREAD = 0.7
"""Standard deviation of the further starts, in units of what one row of complete data tells about a parameter."""


class NativeEngine:
    """Fisher scoring on the saturated moments, then BFGS on the data in the metric of the information."""

    name = "native"

    def estimate(self, problem: FitProblem) -> Estimates:
        """Climb from simple starting values; if that does not arrive, from seeded random ones too.

        Raises
        ------
        ConvergenceError
            If the starting values have no finite likelihood.
        """
        start = problem.equality.reduce(starting_values(problem))
        best = _climb(problem, start)
        if best is None:
            raise ConvergenceError(
                "the starting values imply a covariance matrix that is not positive definite; "
                "check fixed values and start() modifiers"
            )
        if not best.converged:
            further = (_climb(problem, other) for other in _other_starts(problem, start))
            best = max([best, *(climb for climb in further if climb is not None)], key=lambda c: c.value)
        return Estimates(theta=problem.equality.expand(best.point), iterations=best.iterations)


def _climb(problem: FitProblem, start: FloatArray) -> Climb | None:
    """From one point in the reduced parameters; None if the likelihood is not finite there."""
    basis = problem.equality.basis
    complete = problem.on_saturated_moments()
    if not math.isfinite(complete.value_and_gradient(problem.equality.expand(start))[0]):
        return None

    def metric(alpha: FloatArray) -> FloatArray:
        return np.asarray(basis.T @ problem.complete_information(problem.equality.expand(alpha)) @ basis)

    warm = fisher_scoring(_reduced(complete), metric, start)
    climb = quasi_newton(_reduced(problem), warm.point, metric(warm.point))
    iterations = warm.iterations + climb.iterations
    for _ in range(RENEWALS):
        if climb.converged and _promise(problem, climb.point, metric(climb.point)) < TOLERANCE:
            break
        information = basis.T @ observed_information(problem, problem.equality.expand(climb.point)) @ basis
        if not np.isfinite(information).all() or np.linalg.eigvalsh(information)[0] <= 0:
            break
        climb = quasi_newton(_reduced(problem), climb.point, information)
        iterations += climb.iterations
    return replace(climb, iterations=iterations)


def _promise(problem: FitProblem, point: FloatArray, information: FloatArray) -> float:
    """What a step in this metric promises in log-likelihood."""
    gradient = _reduced(problem)(point)[1]
    return float(gradient @ np.linalg.lstsq(information, gradient, rcond=None)[0])


def _other_starts(problem: FitProblem, start: FloatArray) -> list[FloatArray]:
    basis = problem.equality.basis
    complete = problem.complete_information(problem.equality.expand(start))
    information = np.diag(basis.T @ complete @ basis) / problem.sample.n_used

    unit = SPREAD / np.sqrt(np.where(information > 0, information, 1.0))
    return list(start + unit * np.random.default_rng(0).standard_normal((RESTARTS, len(start))))


def _reduced(problem: FitProblem) -> ValueAndGradient:
    basis = problem.equality.basis

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(problem.equality.expand(alpha))
        return value, basis.T @ gradient

    return objective
