"""The baseline model: variables uncorrelated, except that exogenous observed ones keep their covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml.normal import evaluate
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.saturated import available_case_moments, saturated_moments

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceModels:
    """Log-likelihoods and parameter counts of the saturated and the baseline model.

    Attributes
    ----------
    loglik_x : float
        Of the exogenous variables alone, which conditional log-likelihoods leave out; 0 unless fixed.
    saturated, baseline : float
        Conditional on fixed exogenous variables.
    saturated_npar, baseline_npar : int
    """

    loglik_x: float
    saturated: float
    baseline: float
    saturated_npar: int
    baseline_npar: int


def reference_models(problem: FitProblem) -> ReferenceModels:
    """Evaluate both, with the exogenous part taken out where it is fixed (DESCRIPTION_NOTES, ledger 3 and 4)."""
    names = problem.table.names
    x = [names.observed.index(name) for name in names.observed_x]
    p, fixed = len(names.observed), problem.table.fixed_x
    loglik_x = saturated = baseline = 0.0
    for group, moments in zip(problem.sample.groups, problem.saturated, strict=True):
        mean, cov, loglik = _exogenous(group.values, x)
        loglik_x += loglik if fixed else 0.0
        saturated += moments.loglik
        baseline += _baseline(group.patterns, x, mean, cov)
    n_groups = len(problem.sample.groups)
    x_npar = len(x) * (len(x) + 3) // 2
    outside = x_npar if fixed else 0
    return ReferenceModels(
        loglik_x=loglik_x, saturated=saturated - loglik_x, baseline=baseline - loglik_x,
        saturated_npar=n_groups * (p * (p + 3) // 2 - outside),
        baseline_npar=n_groups * (2 * (p - len(x)) + x_npar - outside),
    )  # fmt: skip


def _exogenous(values: FloatArray, x: list[int]) -> tuple[FloatArray, FloatArray, float]:
    """ML moments of the exogenous variables by themselves, and their log-likelihood."""
    if not x:
        return np.zeros(0), np.zeros((0, 0)), 0.0
    block = values[:, x]
    moments = saturated_moments(MissingPatterns.from_values(block[~np.isnan(block).all(axis=1)]))
    return moments.mean, moments.cov, moments.loglik


def _baseline(patterns: MissingPatterns, x: list[int], x_mean: FloatArray, x_cov: FloatArray) -> float:
    mean, variance = available_case_moments(patterns)
    cov = np.diag(variance)
    mean[x] = x_mean
    cov[np.ix_(x, x)] = x_cov
    return evaluate(patterns, mean, cov).loglik
