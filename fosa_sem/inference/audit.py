"""Is this theta a maximum, and a proper one? Judged by our own derivatives, whatever the engine said."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import AdmissibilityWarning, ConvergenceWarning
from fosa_sem.fiml.optimality import examine
from fosa_sem.fiml.problem import ACTIVE, FitProblem
from fosa_sem.inference.identification import flat_parameters
from fosa_sem.inference.tested import TestedModel
from fosa_sem.model.labels import row_name
from fosa_sem.model.ram import RamMatrices
from fosa_sem.model.scaling import SINGULAR

FloatArray = NDArray[np.float64]

STATIONARY = 1e-6
"""Largest g' I^-1 g (twice the log-likelihood still to gain) at which theta counts as a maximum."""
IMPROPER = 1e-8
"""How far below 0 an eigenvalue of a covariance matrix must be, on the correlation scale, to be more than rounding."""
INVOLVED = 0.1
"""Share of an eigenvector from which a variable is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found at the estimate.

    Attributes
    ----------
    stationarity : float
        g' I^-1 g within the constraints: free of units, 0 at a maximum (the condition of Karush, Kuhn and Tucker,
        with the signs of its multipliers, where inequalities are active); NaN if the information is singular.
    information_condition : float
        Smallest over largest eigenvalue of the observed information on the correlation scale, in the directions that
        the active constraints leave open; negative if the likelihood curves upwards somewhere.
    information_rank : int
        Of the same matrix; the number of open directions if all is well.
    smallest_eigenvalue : float
        Of the model-implied correlation matrices of the observed variables.
    negative_variances : tuple of str
    improper_latent : bool
        The model-implied covariance matrix of the latent variables is not positive semi-definite.
    improper_residual : tuple of str
        Observed variables because of which the covariance matrix of their residuals is not.
    flat : tuple of str
        Parameters that the data do not determine.
    active : tuple of str
        Inequality constraints and bounds on whose boundary the estimate lies.
    held : tuple of str
        Those of them that standard errors treat as equalities.
    violated : tuple of str
        Constraints that the estimate does not meet.
    maximum : bool
        Stationary, with positive definite information, within the constraints.
    """

    stationarity: float
    information_condition: float
    information_rank: int
    smallest_eigenvalue: float
    negative_variances: tuple[str, ...]
    improper_latent: bool
    improper_residual: tuple[str, ...]
    flat: tuple[str, ...]
    active: tuple[str, ...]
    held: tuple[str, ...]
    violated: tuple[str, ...]
    maximum: bool


def audit(
    problem: FitProblem, theta: FloatArray, information: FloatArray, model: TestedModel, *, regular: bool
) -> Audit:
    """Examine an estimate.

    Parameters
    ----------
    problem : FitProblem
    theta : ndarray, shape (k,)
    information : ndarray, shape (k, k)
        Observed.
    model : TestedModel
        At theta, with the directions in which standard errors let the estimates vary.
    regular : bool
        The information can be inverted in these directions.
    """
    found, basis = examine(problem, theta, information, model.gradient), model.basis
    flat = () if regular or not np.isfinite(information).all() else flat_parameters(problem.table, basis, information)
    smallest, improper = math.inf, False
    matrices = [group.matrices for group in problem.at(theta)]
    for ram, at in zip(problem.maps, matrices, strict=True):
        smallest = min(smallest, _smallest_eigenvalue(at.cov[: ram.n_observed, : ram.n_observed]))
        improper |= _smallest_eigenvalue(at.cov[ram.n_observed :, ram.n_observed :]) < -IMPROPER
    active, held, violated = _boundary(problem, theta, basis)
    stationary = found.stationarity < STATIONARY
    return Audit(
        stationarity=found.stationarity, information_condition=found.condition,
        information_rank=int((found.eigenvalues > SINGULAR * found.eigenvalues.max(initial=0.0)).sum()),
        smallest_eigenvalue=smallest, negative_variances=_negative_variances(problem, theta, matrices),
        improper_latent=improper, improper_residual=_improper_residual(problem, matrices), flat=tuple(flat),
        active=active, held=held, violated=violated,
        maximum=regular and stationary and not violated,
    )  # fmt: skip


def is_proper(problem: FitProblem, theta: FloatArray) -> bool:
    """Whether no variance is negative, nor a covariance matrix of latent variables or residuals indefinite."""
    matrices = [group.matrices for group in problem.at(theta)]
    latent = (at.cov[ram.n_observed :, ram.n_observed :] for ram, at in zip(problem.maps, matrices, strict=True))
    return (
        not _negative_variances(problem, theta, matrices)
        and not _improper_residual(problem, matrices)
        and all(_smallest_eigenvalue(cov) >= -IMPROPER for cov in latent)
    )


def _boundary(
    problem: FitProblem, theta: FloatArray, basis: FloatArray
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Inequalities that are active, those of them that are held, and constraints that are violated or undefined."""
    if not problem.restrictions:
        return (), (), ()
    distance, names = problem.distances(theta), problem.restrictions.names
    n_equal, n_formulas = len(problem.restrictions.equalities), len(problem.restrictions.statements)
    holds = [abs(d) < ACTIVE if i < n_equal else d > -ACTIVE for i, d in enumerate(distance)]
    active = [i for i in range(n_equal, len(names)) if holds[i] and distance[i] < ACTIVE]
    bounds_held = basis.shape[1] < problem.tangent(theta).shape[1]
    held = [i for i in active if i < n_formulas or bounds_held]
    return (
        tuple(names[i] for i in active),
        tuple(names[i] for i in held),
        tuple(name for name, good in zip(names, holds, strict=True) if not good),
    )


def _negative_variances(problem: FitProblem, theta: FloatArray, matrices: Sequence[RamMatrices]) -> tuple[str, ...]:
    """Of observed and latent variables, fixed ones too; a variance of 0 that a constraint holds may round below it."""
    table, found = problem.table, []
    place = {name: i for i, name in enumerate((*table.names.observed, *table.names.latent))}
    totals = [np.abs(at.cov.diagonal()) for at in matrices]
    for row in (r for r in table.rows if r.op == "~~" and r.lhs == r.rhs and not r.exo):
        value = theta[row.free - 1] if row.free else row.ustart
        if value < -IMPROPER * totals[row.group - 1][place[row.lhs]]:
            found.append(row_name(row))
    return tuple(found)


def _improper_residual(problem: FitProblem, matrices: Sequence[RamMatrices]) -> tuple[str, ...]:
    """Variables in the eigenvectors of negative eigenvalues.

    Fixed exogenous variables have no residual, and the covariances of auxiliary ones with residuals explain nothing.
    """
    table, names = problem.table, problem.table.names
    apart = {*table.auxiliary, *(names.observed_x if table.fixed_x else ())}
    index = [i for i, name in enumerate(names.observed) if name not in apart]
    found: dict[str, None] = {}
    for at in matrices:
        residual = at.S[np.ix_(index, index)]
        if _smallest_eigenvalue(residual) < -IMPROPER:
            vector = np.linalg.eigh(_on_unit_scale(residual))[1][:, 0]
            found |= dict.fromkeys(names.observed[i] for i, v in zip(index, vector, strict=True) if abs(v) > INVOLVED)
    return tuple(found)


def _smallest_eigenvalue(cov: FloatArray) -> float:
    """On the correlation scale; infinity of no variables."""
    return float(np.linalg.eigvalsh(_on_unit_scale(cov)).min(initial=math.inf))


def _on_unit_scale(cov: FloatArray) -> FloatArray:
    """The correlation scale, also where variances are negative or 0."""
    scale = np.sqrt(np.abs(cov.diagonal()))
    scale[scale == 0.0] = 1.0
    return np.asarray(cov / (scale * scale[:, None]))


def warn(found: Audit) -> None:
    """Say what a careful statistician would want to know."""
    if found.violated:
        _say(f"the estimate does not meet {_listed(found.violated)}; do not interpret it", ConvergenceWarning)
    elif found.flat:
        _say(
            f"the data do not determine {', '.join(found.flat)}: the information matrix is singular there and standard "
            "errors are withheld",
            ConvergenceWarning,
        )
    elif not found.maximum:
        _say(
            f"the estimate is not a maximum of the likelihood (stationarity {found.stationarity:.2g}, smallest "
            f"curvature {found.information_condition:.2g}); do not interpret it",
            ConvergenceWarning,
        )
    if found.active:
        _say(_boundary_warning(found), AdmissibilityWarning)
    if found.negative_variances:
        _say(f"negative variance estimate: {', '.join(found.negative_variances)}", AdmissibilityWarning)
    elif found.improper_residual:
        _say(
            "the covariance matrix of the residuals of the observed variables is not positive definite, because of "
            f"{', '.join(found.improper_residual)}",
            AdmissibilityWarning,
        )
    elif found.improper_latent:
        _say("the covariance matrix of the latent variables is not positive definite", AdmissibilityWarning)


def _boundary_warning(found: Audit) -> str:
    """What is conditional on an active constraint, and what ignores it."""
    ignored = [name for name in found.active if name not in found.held]
    errors = [f"hold {_listed(found.held)} as an equality"] if found.held else []
    errors += [f"take no account of the bound {_listed(ignored)}"] if ignored else []
    return (
        f"the estimate lies on the boundary of {_listed(found.active)}: standard errors {' and '.join(errors)}, and "
        "the degrees of freedom and p-values of tests do not account for it"
    )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return "; ".join(names)


def _say(message: str, category: type[Warning]) -> None:
    warnings.warn(message, category, stacklevel=2)
