"""A model as a test sees it: implied moments and their slopes; the same for the user's and the baseline model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.fiml.information import InformationKind, lower_triangle, moment_information, moment_jacobian
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.options import InformationOptions
from fosa_sem.model.scaling import inverse_on

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
MomentPair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedModel:
    """A model at its estimate, per group where it says so.

    Attributes
    ----------
    moments : tuple of (mean, cov)
        Implied, per group.
    slopes : tuple of ndarray, shape (q, k)
        d (mean, lower triangle of cov) / d theta, per group.
    curvature : ndarray, shape (k, k)
        Second derivatives of the log-likelihood through those of the moments.
    basis : ndarray, shape (k, r)
        Directions that the constraints leave open.
    logliks : ndarray, shape (G,)
        Log-likelihood, joint with exogenous variables, of what it is made of.
    gradient : ndarray, shape (k,)
        Of their sum.
    """

    moments: tuple[MomentPair, ...]
    slopes: tuple[FloatArray, ...]
    curvature: FloatArray
    basis: FloatArray
    logliks: FloatArray
    gradient: FloatArray

    def inverse(self, information: FloatArray) -> FloatArray | None:
        """Inverse information on the constraints, shape (k, k); None if it is singular or indefinite."""
        return inverse_on(self.basis, information)


def tested_model(problem: FitProblem, theta: FloatArray) -> TestedModel:
    """The user's model at theta.

    Raises
    ------
    numpy.linalg.LinAlgError
        If an implied covariance matrix is not positive definite.
    """
    moments, slopes, logliks = [], [], []
    curvature, gradient = np.zeros((len(theta),) * 2), np.zeros(len(theta))
    for group in problem.at(theta):
        ram, at = group.ram, group.matrices
        moments.append(group.moments)
        slopes.append(moment_jacobian(ram, at))
        logliks.append(group.likelihood.loglik)
        about_moments = group.likelihood.moment_gradient()
        curvature += ram.curvature(at, *about_moments)
        gradient += ram.pull_back(at, *about_moments)
    return TestedModel(
        moments=tuple(moments), slopes=tuple(slopes), curvature=curvature, basis=problem.tangent(theta),
        logliks=np.array(logliks), gradient=gradient,
    )  # fmt: skip


def saturated_pairs(problem: FitProblem) -> tuple[MomentPair, ...]:
    """Mean and covariance of the saturated model, per group."""
    return tuple((s.mean, s.cov) for s in problem.saturated)


def information_about_moments(
    problem: FitProblem, kind: InformationKind, at: Sequence[MomentPair]
) -> tuple[FloatArray, ...]:
    """Information of what the likelihood is made of, per group, shape (q, q).

    Parameters
    ----------
    problem : FitProblem
    kind : {"observed", "expected", "first.order"}
        "first.order" comes from the rows of the data.
    at : sequence of (mean, cov)
    """
    if kind == "first.order":
        rows = information_of_rows(problem, kind, at)
        weights = [p.weight / g.patterns.n_rows for p, g in zip(problem.patterns, problem.sample.groups, strict=True)]
        return tuple(w * r for w, r in zip(weights, rows, strict=True))
    return tuple(moment_information(p, mean, cov, kind) for p, (mean, cov) in zip(problem.patterns, at, strict=True))


def information_of_rows(problem: FitProblem, kind: InformationKind, at: Sequence[MomentPair]) -> tuple[FloatArray, ...]:
    """Information of the (incomplete) rows of the data, per group, whatever the likelihood is made of."""
    return tuple(
        moment_information(group.patterns, mean, cov, kind, group.values)
        for group, (mean, cov) in zip(problem.sample.groups, at, strict=True)
    )


def information_about_theta(problem: FitProblem, model: TestedModel, options: InformationOptions) -> FloatArray:
    """Information about theta, not yet restricted to the constraints, shape (k, k).

    Parameters
    ----------
    problem : FitProblem
    model : TestedModel
    options : InformationOptions
        lavaan: ``information``, ``observed.information``, ``h1.information``.
    """
    hessian = options.kind == "observed" and options.observed == "hessian"
    at = model.moments if hessian or options.moments == "structured" else saturated_pairs(problem)
    total = pull_back(model, information_about_moments(problem, options.kind, at))
    return total - model.curvature if hessian else total


def pull_back(model: TestedModel, about_moments: Sequence[FloatArray]) -> FloatArray:
    """Sum over groups of slopes' I slopes, shape (k, k)."""
    total = np.zeros_like(model.curvature)
    for slopes, information in zip(model.slopes, about_moments, strict=True):
        total += slopes.T @ information @ slopes
    return (total + total.T) / 2.0


def modelled_moments(problem: FitProblem, *, fixed_x: bool | None = None) -> BoolArray:
    """Which moments a model speaks of, shape (q,): not the means without a mean structure, not fixed exogenous ones.

    Parameters
    ----------
    problem : FitProblem
    fixed_x : bool, optional
        Whether exogenous variables are fixed; as in the table by default.
    """
    table = problem.table
    names = table.names
    p = len(names.observed)
    row, col = lower_triangle(p)
    modelled = np.ones(p + len(row), dtype=bool)
    if names.observed_x and (table.fixed_x if fixed_x is None else fixed_x):
        fixed = np.array([name in names.observed_x for name in names.observed])
        modelled = np.concatenate([~fixed, ~(fixed[row] & fixed[col])])
    modelled[:p] &= table.meanstructure
    return modelled
