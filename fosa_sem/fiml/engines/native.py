"""Our own engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ConvergenceError
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.information import observed_information
from fosa_sem.fiml.optimizer import TOLERANCE, Climb, ValueAndGradient, fisher_scoring, quasi_newton
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import cautious_starts, starting_values
from fosa_sem.model.scaling import correlation_eigenvalues

FloatArray = NDArray[np.float64]

FLAT = 1e-6
"""Smallest curvature on the correlation scale at which one of several climbs counts as having arrived."""

RESTARTS = 8
"""Random further starts, tried only if the first climb does not arrive: it then follows a ridge to nowhere."""
SPREAD = 0.7
"""Standard deviation of the random starts, in units of what one row of complete data tells about a parameter."""
SINGULAR = 1e-6
"""Smallest eigenvalue of the complete-data information on the correlation scale below which a climb has run away."""
RENEWALS = 3
"""Times that a climb goes on with the exact curvature where a fresh metric shows that it has not arrived."""


class NativeEngine:
    """Fisher scoring on the saturated moments, then BFGS on the data in the metric of the information."""

    name = "native"

    def estimate(self, problem: FitProblem) -> Estimates:
        """Climb from simple starting values; if that does not arrive, from cautious and random ones too.

        A maximum that was reached is preferred to a higher point on the way to nowhere.

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
        if not best.converged or _smallest(_metric(problem)(best.point)) < SINGULAR:
            cautious = [problem.equality.reduce(theta) for theta in cautious_starts(problem)]
            further = [_climb(problem, other, warm=False) for other in (start, *cautious)]
            further += [_climb(problem, other) for other in (*cautious, *_random_starts(problem, start))]
            found = [best, *(climb for climb in further if climb is not None)]
            best = max(found, key=lambda climb: (_is_maximum(problem, climb), climb.value))
        return Estimates(theta=problem.equality.expand(best.point), iterations=best.iterations)


def _climb(problem: FitProblem, start: FloatArray, *, warm: bool = True) -> Climb | None:
    """From one point in the reduced parameters; None if the likelihood is not finite there.

    Scoring takes place on the saturated moments (``warm``), which is fast, or on the data, which is cautious.
    """
    scored = problem.on_saturated_moments() if warm else problem
    if not math.isfinite(scored.value_and_gradient(problem.equality.expand(start))[0]):
        return None
    first = fisher_scoring(_reduced(scored), _metric(problem), start)
    climb = quasi_newton(_reduced(problem), first.point, _metric(problem)(first.point))
    iterations = first.iterations + climb.iterations
    for _ in range(RENEWALS):
        if climb.converged and _promise(problem, climb.point) < TOLERANCE:
            break
        information = _curvature(problem, climb.point)
        if not np.isfinite(information).all() or np.linalg.eigvalsh(information)[0] <= 0:
            break
        climb = quasi_newton(_reduced(problem), climb.point, information)
        iterations += climb.iterations
    return replace(climb, iterations=iterations)


def _metric(problem: FitProblem) -> Callable[[FloatArray], FloatArray]:
    basis = problem.equality.basis

    def metric(alpha: FloatArray) -> FloatArray:
        return np.asarray(basis.T @ problem.complete_information(problem.equality.expand(alpha)) @ basis)

    return metric


def _curvature(problem: FitProblem, point: FloatArray) -> FloatArray:
    basis = problem.equality.basis
    return np.asarray(basis.T @ observed_information(problem, problem.equality.expand(point)) @ basis)


def _promise(problem: FitProblem, point: FloatArray) -> float:
    """What a step in the metric of the complete-data information promises in log-likelihood."""
    gradient = _reduced(problem)(point)[1]
    return float(gradient @ np.linalg.lstsq(_metric(problem)(point), gradient, rcond=None)[0])


def _is_maximum(problem: FitProblem, climb: Climb) -> bool:
    """Whether the climb arrived where the likelihood bends down in every direction."""
    return climb.converged and _smallest(_curvature(problem, climb.point)) > FLAT


def _smallest(information: FloatArray) -> float:
    return float(correlation_eigenvalues(information).min(initial=1.0))


def _random_starts(problem: FitProblem, start: FloatArray) -> list[FloatArray]:
    unit = np.diag(_metric(problem)(start)) / problem.sample.n_used
    spread = SPREAD / np.sqrt(np.where(unit > 0, unit, 1.0))
    return list(start + spread * np.random.default_rng(0).standard_normal((RESTARTS, len(start))))


def _reduced(problem: FitProblem) -> ValueAndGradient:
    basis = problem.equality.basis

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(problem.equality.expand(alpha))
        return value, basis.T @ gradient

    return objective
