"""The observed information, from the analytic gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fosa_sem.fiml.problem import FitProblem

FloatArray = NDArray[np.float64]


def observed_information(problem: FitProblem, theta: FloatArray) -> FloatArray:
    """Negative Hessian of the log-likelihood, by central differences of the analytic gradient.

    Parameters
    ----------
    problem : FitProblem
    theta : ndarray, shape (k,)

    Returns
    -------
    ndarray, shape (k, k)
        lavaan: ``observed.information = "hessian"``.

    Notes
    -----
    Steps are 1e-3 complete-data standard errors: the truncation error is of the order 1e-6 / N of an entry.
    """
    diagonal = np.diag(problem.complete_information(theta))
    steps = 1e-3 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    columns = []
    for i, step in enumerate(steps):
        ahead, behind = theta.copy(), theta.copy()
        ahead[i] += step
        behind[i] -= step
        change = problem.value_and_gradient(behind)[1] - problem.value_and_gradient(ahead)[1]
        columns.append(change / (ahead[i] - behind[i]))
    hessian = np.array(columns).reshape(len(theta), len(theta))
    return np.asarray((hessian + hessian.T) / 2.0)
