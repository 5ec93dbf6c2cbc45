"""Is this theta a maximum, and a proper one? Judged by our own derivatives, whatever the engine said."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import AdmissibilityWarning, ConvergenceWarning
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.identification import flat_parameters, row_name
from fosa_sem.model.scaling import condition

FloatArray = NDArray[np.float64]

STATIONARY = 1e-6
"""Largest g' I^-1 g (twice the log-likelihood still to gain) at which theta counts as a maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found at the estimate.

    Attributes
    ----------
    stationarity : float
        g' I^-1 g: free of units, 0 at a maximum; NaN if the information is singular.
    information_condition : float
        Smallest over largest eigenvalue of the observed information on the correlation scale; negative if the
        likelihood curves upwards somewhere.
    smallest_eigenvalue : float
        Of the model-implied correlation matrices of the observed variables.
    negative_variances : tuple of str
    improper_latent : bool
        The model-implied covariance matrix of the latent variables is not positive semi-definite.
    flat : tuple of str
        Parameters that the data do not determine.
    maximum : bool
        Stationary, with positive definite information.
    """

    stationarity: float
    information_condition: float
    smallest_eigenvalue: float
    negative_variances: tuple[str, ...]
    improper_latent: bool
    flat: tuple[str, ...]
    maximum: bool


def audit(problem: FitProblem, theta: FloatArray, information: FloatArray, vcov: FloatArray | None) -> Audit:
    """Examine an estimate.

    Parameters
    ----------
    problem : FitProblem
    theta : ndarray, shape (k,)
    information : ndarray, shape (k, k)
        Observed.
    vcov : ndarray, shape (k, k), or None
    """
    basis = problem.tangent(theta)
    gradient = problem.value_and_gradient(theta)[1]
    curvature = condition(basis.T @ information @ basis)
    stationarity = math.nan if vcov is None else float(gradient @ vcov @ gradient)
    flat = () if vcov is not None or not np.isfinite(information).all() else flat_parameters(
        problem.table, basis, information
    )  # fmt: skip
    smallest, improper = math.inf, False
    for ram in problem.maps:
        joint = ram.matrices(theta).cov
        smallest = min(smallest, _smallest_eigenvalue(joint[: ram.n_observed, : ram.n_observed]))
        latent = joint[ram.n_observed :, ram.n_observed :]
        improper |= bool(len(latent)) and _smallest_eigenvalue(latent) < -1e-8
    negative = tuple(
        row_name(row)
        for row in problem.table.free_rows()
        if row.op == "~~" and row.lhs == row.rhs and theta[row.free - 1] < 0
    )
    return Audit(
        stationarity=stationarity, information_condition=curvature, smallest_eigenvalue=smallest,
        negative_variances=negative, improper_latent=improper, flat=tuple(flat),
        maximum=vcov is not None and stationarity < STATIONARY,
    )  # fmt: skip


def _smallest_eigenvalue(cov: FloatArray) -> float:
    scale = np.sqrt(np.abs(np.diag(cov)))
    scale = np.where(scale > 0, scale, 1.0)
    return float(np.linalg.eigvalsh(cov / np.outer(scale, scale))[0])


def warn(found: Audit) -> None:
    """Say what a careful statistician would want to know."""
    if found.flat:
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
    if found.negative_variances:
        _say(f"negative variance estimate: {', '.join(found.negative_variances)}", AdmissibilityWarning)
    elif found.improper_latent:
        _say("the covariance matrix of the latent variables is not positive definite", AdmissibilityWarning)


def _say(message: str, category: type[Warning]) -> None:
    warnings.warn(message, category, stacklevel=2)
