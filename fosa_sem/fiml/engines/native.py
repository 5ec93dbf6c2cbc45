"""Our own engine."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ConvergenceError
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.optimizer import ValueAndGradient, fisher_scoring, quasi_newton
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import starting_values

FloatArray = NDArray[np.float64]


class NativeEngine:
    """Fisher scoring on the saturated moments, then BFGS on the data in the metric of the information."""

    name = "native"

    def estimate(self, problem: FitProblem) -> Estimates:
        """Climb from simple starting values.

        Raises
        ------
        ConvergenceError
            If no starting value has a finite likelihood.
        """
        basis = problem.equality.basis
        start = problem.equality.reduce(starting_values(problem))
        complete = problem.on_saturated_moments()
        if not math.isfinite(complete.value_and_gradient(basis @ start)[0]):
            raise ConvergenceError(
                "the starting values imply a covariance matrix that is not positive definite; "
                "check fixed values and start() modifiers"
            )

        def metric(alpha: FloatArray) -> FloatArray:
            return np.asarray(basis.T @ problem.complete_information(basis @ alpha) @ basis)

        warm = fisher_scoring(_reduced(complete), metric, start)
        climb = quasi_newton(_reduced(problem), warm.point, metric(warm.point))
        return Estimates(theta=basis @ climb.point, iterations=warm.iterations + climb.iterations)


def _reduced(problem: FitProblem) -> ValueAndGradient:
    basis = problem.equality.basis

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(basis @ alpha)
        return value, basis.T @ gradient

    return objective
