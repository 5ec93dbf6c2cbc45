"""First- and second-order conditions of a maximum within constraints, in the metric of the information."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.fiml.constrained import positive_definite, quadratic_step
from fosa_sem.fiml.problem import ACTIVE, FitProblem
from fosa_sem.model.scaling import SINGULAR, condition, correlation_eigenvalues, spread_of, within

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimality:
    """What decides whether a point is a maximum.

    Attributes
    ----------
    stationarity : float
        Twice the log-likelihood that a quadratic step within the constraints still promises; NaN without curvature.
    curvature : ndarray, shape (r, r)
        Minus the Hessian of the Lagrangian in the directions that all active constraints leave open.
    eigenvalues : ndarray, shape (r,)
        Of ``curvature`` on the correlation scale, ascending; a single -inf if that scale does not exist.
    metric : ndarray, shape (a, a), or None
        The same over all reduced parameters, positive definite: held directions are made stiff. None if the
        likelihood does not bend down in some open direction.
    multipliers : ndarray, shape (restrictions,)
        Gain in log-likelihood per unit by which a constraint is relaxed.
    """

    stationarity: float
    curvature: FloatArray
    eigenvalues: FloatArray
    metric: FloatArray | None
    multipliers: FloatArray

    @property
    def condition(self) -> float:
        """Smallest over largest of the eigenvalues."""
        return spread_of(self.eigenvalues)


def examine(
    problem: FitProblem, theta: FloatArray, information: FloatArray, gradient: FloatArray | None = None
) -> Optimality:
    """Conditions at a point.

    Parameters
    ----------
    problem : FitProblem
    theta : ndarray, shape (k,)
    information : ndarray, shape (k, k)
        Observed.
    gradient : ndarray, shape (k,), optional
        Of the log-likelihood, where it is known.
    """
    basis, n_equal = problem.equality.basis, len(problem.restrictions.equalities)
    gradient = basis.T @ (problem.value_and_gradient(theta)[1] if gradient is None else gradient)
    values, slopes = problem.restrictions.at(theta)
    slopes = slopes @ basis
    multipliers = np.zeros(len(values))
    if len(values):
        values = np.where(problem.distances(theta) < ACTIVE, 0.0, values)
        complete = positive_definite(within(basis, problem.complete_information(theta)))
        multipliers = quadratic_step(complete, gradient, values, slopes, n_equal).multipliers
        information = information - problem.restrictions.curvature(theta, multipliers)
    tangent = problem.tangent(theta, "all")
    curvature = within(tangent, information)
    eigenvalues = correlation_eigenvalues(curvature)
    if spread_of(eigenvalues) < SINGULAR:
        return Optimality(
            stationarity=math.nan, curvature=curvature, eigenvalues=eigenvalues, metric=None, multipliers=multipliers
        )
    held = slopes[(np.arange(len(values)) < n_equal) | (values <= 0.0)]
    metric = _stiffened(within(basis, information), held)
    step = quadratic_step(metric, gradient, values, slopes, n_equal)
    return Optimality(
        stationarity=step.promise, curvature=curvature, eigenvalues=eigenvalues, metric=metric,
        multipliers=multipliers,
    )  # fmt: skip


def _stiffened(information: FloatArray, held: FloatArray) -> FloatArray:
    """Information that is positive definite where ``held`` leaves directions open, made so in all directions."""
    if not len(held):
        return information
    diagonal = np.abs(np.diag(information))
    unit = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    norms = np.linalg.norm(held * unit, axis=1)
    rows = held / np.where(norms > 0, norms, 1.0)[:, None]
    stiffness = 1.0
    while condition(information + stiffness * rows.T @ rows) < SINGULAR and stiffness < 1e12:
        stiffness *= 10.0
    return information + stiffness * rows.T @ rows
