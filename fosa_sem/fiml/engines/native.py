"""Our own engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ConvergenceError
from fosa_sem.fiml.constrained import climb_within, nearest_admissible, positive_definite, quadratic_step
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.information import observed_information
from fosa_sem.fiml.optimality import Optimality, examine
from fosa_sem.fiml.optimizer import (
    SCORING_TOLERANCE,
    TOLERANCE,
    Climb,
    ValueAndGradient,
    damped_newton,
    quasi_newton,
)
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import cautious_starts, constraints_of, meeting_constraints, starting_values
from fosa_sem.model.scaling import correlation_eigenvalues, regular_inverse, within

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
"""Times that a climb starts afresh from the exact curvature."""


class NativeEngine:
    """Fisher scoring on the saturated moments, then BFGS on the data in the metric of the information."""

    name = "native"

    def estimate(self, problem: FitProblem) -> Estimates:
        """Climb from simple starting values; if that does not arrive, from cautious and random ones too.

        A maximum that was reached is preferred to a higher point on the way to nowhere. Inequalities are first left
        out: if they hold at the maximum so found, it is theirs too.

        Raises
        ------
        ModelSpecificationError
            If the constraints contradict each other.
        ConvergenceError
            If the starting values have no finite likelihood, or if no values were found that meet the constraints.
        """
        start = starting_values(problem)
        best = _within(problem, start) if problem.restrictions else _best_climb(problem, [start])
        return Estimates(theta=_at(problem, best), iterations=best.iterations)


def estimate_nearby(problem: FitProblem, theta: FloatArray, information: FloatArray) -> FloatArray | None:
    """The maximum that one climb from a point reaches; for data much like those whose maximum the point is.

    Parameters
    ----------
    problem : FitProblem
        Its saturated moments are not used.
    theta : ndarray, shape (k,)
    information : ndarray, shape (k, k)
        About theta, where the climb starts: its first metric.

    Returns
    -------
    ndarray, shape (k,), or None
        None if the climb did not arrive.
    """
    start, basis = problem.equality.reduce(theta), problem.equality.basis
    metric = positive_definite(within(basis, information))
    if problem.restrictions:
        start, violated = nearest_admissible(start, constraints_of(problem), metric)
        if violated.any():
            return None
    if not _is_finite(problem, start):
        return None
    climb = _finish(problem, start, metric)
    if not (climb.converged and _prospect(problem, climb)[0] < TOLERANCE):
        climb = _renew(problem, climb)
    return _at(problem, climb) if climb.converged else None


def _at(problem: FitProblem, climb: Climb) -> FloatArray:
    """Theta where a climb ended; exactly on a bound, where a step ended on it."""
    theta = problem.equality.expand(climb.point)
    for bound in problem.restrictions.bounds:
        theta[bound.index] = bound.sign * max(bound.sign * theta[bound.index], bound.sign * bound.limit)
    return theta


def _within(problem: FitProblem, start: FloatArray) -> Climb:
    """Within constraints: from the maximum without them, if there is one, and from the start."""
    free, equalities = problem.unrestricted(), problem.restrictions.equalities
    # Without a curved equality the model may not be identified at all: no effort to find a maximum then.
    above = _climb(free, problem.equality.reduce(start)) if equalities else _best_climb(free, [start])
    if above is None or not _is_maximum(free, above):
        return _best_climb(problem, [meeting_constraints(problem, start)])
    top = problem.equality.expand(above.point)
    if not equalities and (problem.distances(top) >= 0.0).all():
        return above
    return _best_climb(problem, [meeting_constraints(problem, theta) for theta in (top, start)])


def _best_climb(problem: FitProblem, starts: list[FloatArray]) -> Climb:
    reduced = [problem.equality.reduce(theta) for theta in starts]
    found = _arrived(_climb(problem, start) for start in reduced)
    if not found:
        raise ConvergenceError(
            "the starting values, moved to where the constraints hold, imply a covariance matrix that is not positive "
            "definite; check fixed values and start() modifiers"
            if problem.restrictions
            else "the starting values imply a covariance matrix that is not positive definite; "
            "check fixed values and start() modifiers"
        )
    best = max(found, key=lambda climb: (climb.converged, climb.value))
    if best.converged and best.regular:
        return best
    cautious = [problem.equality.reduce(theta) for theta in cautious_starts(problem)]
    found += _arrived(_climb(problem, other, warm=False) for other in (reduced[-1], *cautious))
    found += _arrived(_climb(problem, other) for other in (*cautious, *_random_starts(problem, reduced[-1])))
    best = max(found, key=lambda climb: (_is_maximum(problem, climb), climb.value))
    for _ in range(RENEWALS):
        if best.converged:
            break
        best = _renew(problem, best)
    return best


def _arrived(climbs: Iterable[Climb | None]) -> list[Climb]:
    return [climb for climb in climbs if climb is not None]


def _climb(problem: FitProblem, start: FloatArray, *, warm: bool = True) -> Climb | None:
    """From one point in the reduced parameters; None if the likelihood is not finite there.

    Scoring takes place on the saturated moments (``warm``), which is fast, or on the data, which is cautious.
    """
    scored = problem.on_saturated_moments() if warm else problem
    if problem.restrictions:
        if not _is_finite(scored, start):
            return None
        near = positive_definite(_metric(problem)(start))
        start, violated = nearest_admissible(start, constraints_of(problem), near)
        if violated.any() or not _is_finite(scored, start):
            return None
    first = _score(scored, start)
    if not math.isfinite(first.value):
        return None
    climb = _finish(problem, first.point, _metric(problem)(first.point))
    iterations = first.iterations + climb.iterations
    promise, regular = _prospect(problem, climb)
    if not (climb.converged and promise < TOLERANCE):
        climb = _renew(problem, climb)
        iterations += climb.iterations
        regular = _prospect(problem, climb)[1]
    return replace(climb, iterations=iterations, regular=regular)


def _score(problem: FitProblem, start: FloatArray) -> Climb:
    objective, metric = _reduced(problem), _metric(problem)
    if problem.restrictions:
        return climb_within(
            objective, constraints_of(problem), start, metric(start), scoring=metric, tolerance=SCORING_TOLERANCE
        )
    return damped_newton(objective, metric, start, tolerance=SCORING_TOLERANCE)


def _finish(problem: FitProblem, start: FloatArray, information: FloatArray) -> Climb:
    if problem.restrictions:
        return climb_within(_reduced(problem), constraints_of(problem), start, information, tolerance=TOLERANCE)
    return quasi_newton(_reduced(problem), start, information)


def _renew(problem: FitProblem, climb: Climb) -> Climb:
    """Go on with the exact curvature where the metric that quasi-Newton steps built up misled them."""
    if not problem.restrictions:
        return damped_newton(_reduced(problem), _curvature(problem), climb.point, tolerance=TOLERANCE)
    for _ in range(RENEWALS):
        information = _examined(problem, climb.point).metric
        if information is None:
            break
        climb = _finish(problem, climb.point, information)
        if climb.converged and _prospect(problem, climb)[0] < TOLERANCE:
            break
    return climb


def _is_finite(problem: FitProblem, point: FloatArray) -> bool:
    return math.isfinite(problem.value_and_gradient(problem.equality.expand(point))[0])


def _metric(problem: FitProblem) -> Callable[[FloatArray], FloatArray]:
    basis = problem.equality.basis
    if not problem.equality.rank:
        return problem.complete_information

    def metric(alpha: FloatArray) -> FloatArray:
        return within(basis, problem.complete_information(problem.equality.expand(alpha)))

    return metric


def _curvature(problem: FitProblem) -> Callable[[FloatArray], FloatArray]:
    basis = problem.equality.basis

    def curvature(alpha: FloatArray) -> FloatArray:
        return within(basis, observed_information(problem, problem.equality.expand(alpha)))

    return curvature


def _open_metric(problem: FitProblem, point: FloatArray) -> FloatArray:
    """Complete-data information in the directions that all active constraints leave open."""
    theta = problem.equality.expand(point)
    basis = problem.tangent(theta, "all")
    return within(basis, problem.complete_information(theta))


def _examined(problem: FitProblem, point: FloatArray) -> Optimality:
    theta = problem.equality.expand(point)
    return examine(problem, theta, observed_information(problem, theta))


def _prospect(problem: FitProblem, climb: Climb) -> tuple[float, bool]:
    """What a step in the metric of the complete-data information promises, and whether that metric is regular."""
    metric = _metric(problem)(climb.point)
    inverse = None if problem.restrictions else regular_inverse(metric, SINGULAR)
    if inverse is not None:
        return float(climb.gradient @ inverse @ climb.gradient), True
    constraints = constraints_of(problem)
    step = quadratic_step(positive_definite(metric), climb.gradient, *constraints.at(climb.point), constraints.n_equal)
    return step.promise, _smallest(_open_metric(problem, climb.point)) >= SINGULAR


def _is_maximum(problem: FitProblem, climb: Climb) -> bool:
    """Whether the climb arrived where the likelihood bends down in every open direction."""
    return climb.converged and _smallest(_examined(problem, climb.point).curvature) > FLAT


def _smallest(information: FloatArray) -> float:
    return float(correlation_eigenvalues(information).min(initial=1.0))


def _random_starts(problem: FitProblem, start: FloatArray) -> list[FloatArray]:
    unit = np.diag(_metric(problem)(start)) / problem.sample.n_used
    spread = SPREAD / np.sqrt(np.where(unit > 0, unit, 1.0))
    return list(start + spread * np.random.default_rng(0).standard_normal((RESTARTS, len(start))))


def _reduced(problem: FitProblem) -> ValueAndGradient:
    basis = problem.equality.basis
    if not problem.equality.rank:
        return problem.value_and_gradient

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem.value_and_gradient(problem.equality.expand(alpha))
        return value, basis.T @ gradient

    return objective
