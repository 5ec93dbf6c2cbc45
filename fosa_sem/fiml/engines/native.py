"""Our own engine."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ConvergenceError
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.optimizer import Climb, ValueAndGradient, fisher_scoring, quasi_newton
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import starting_values

FloatArray = NDArray[np.float64]

RESTARTS = 6
"""Further starts, tried only if the first climb does not arrive: it then follows a ridge to nowhere."""
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
        basis = problem.equality.basis
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
        return Estimates(theta=basis @ best.point, iterations=best.iterations)


def _climb(problem: FitProblem, start: FloatArray) -> Climb | None:
    """From one point in the reduced parameters; None if the likelihood is not finite there."""
    basis = problem.equality.basis
    complete = problem.on_saturated_moments()
    if not math.isfinite(complete.value_and_gradient(basis @ start)[0]):
        return None

    def metric(alpha: FloatArray) -> FloatArray:
        return np.asarray(basis.T @ problem.complete_information(basis @ alpha) @ basis)

    warm = fisher_scoring(_reduced(complete), metric, start)
    climb = quasi_newton(_reduced(problem), warm.point, metric(warm.point))
    return Climb(
        point=climb.point,
        value=climb.value,
        iterations=warm.iterations + climb.iterations,
        converged=climb.converged,
    )


def _other_starts(problem: FitProblem, start: FloatArray) -> list[FloatArray]:
    basis = problem.equality.basis
    information = np.diag(basis.T @ problem.complete_information(basis @ start) @ basis) / problem.sample.n_used
    unit = SPREAD / np.sqrt(np.where(information > 0, information, 1.0))
    return list(start + unit * np.random.default_rng(0).standard_normal((RESTARTS, len(start))))


def _reduced(problem: FitProblem) -> ValueAndGradient:
    basis = problem.equality.basis

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(basis @ alpha)
        return value, basis.T @ gradient

    return objective
