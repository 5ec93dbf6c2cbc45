"""One model fitted to each of m completed tables; of every fit what pooling needs, no rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from fosa_sem.errors import (
    ConvergenceError,
    DataError,
    EngineError,
    FosaWarning,
    IdentificationError,
)
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.inference.assemble import MomentPair
from fosa_sem.inference.fit import FimlFit, fit
from fosa_sem.inference.options import FitOptions
from fosa_sem.inference.standardized import definitions, delta_se
from fosa_sem.model.labels import row_jacobian

FAILURES = (ConvergenceError, DataError, EngineError, IdentificationError, np.linalg.LinAlgError)
"""Errors that may be the fault of one completed table."""


class Tables(Protocol):
    """Completed tables, counted from 1."""

    @property
    def m(self) -> int:
        """How many."""
        ...

    def complete(self, i: int) -> pd.DataFrame:
        """Completed table i."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputedFit:
    """The fit to one completed table.

    Attributes
    ----------
    theta : ndarray, shape (k,)
    vcov : ndarray, shape (k, k)
        NaN without standard errors.
    defined, defined_se : ndarray, shape (d,)
        The ``:=`` parameters.
    moments : tuple of (mean, cov)
        Of the completed rows, per group.
    baseline : tuple of (mean, cov)
        Implied by the baseline model, per group.
    exogenous : float
        Log-likelihood of fixed exogenous variables.
    loglik : float
    chisq, chisq_baseline : float
    trace, trace_baseline : float
        Of the scaled test; NaN without one.
    improper : bool
        A variance is negative, or the covariance matrix of the latent variables is not positive semi-definite.
    """

    theta: FloatArray
    vcov: FloatArray
    defined: FloatArray
    defined_se: FloatArray
    moments: tuple[MomentPair, ...]
    baseline: tuple[MomentPair, ...]
    exogenous: float
    loglik: float
    chisq: float
    chisq_baseline: float
    trace: float
    trace_baseline: float
    improper: bool

    @classmethod
    def from_fit(cls, fit: FimlFit) -> ImputedFit:
        """Take what is needed of a fit."""
        k = len(fit.theta)
        values = fit.estimates().astype(float)
        defined = definitions(fit, values, row_jacobian(fit.table))
        gradients = np.array([d.gradient for d in defined]).reshape(len(defined), k)
        scaled = fit.resolved.scaled_test is not None and fit.has_test
        return cls(
            theta=fit.theta, vcov=np.full((k, k), math.nan) if fit.vcov is None else fit.vcov,
            defined=np.array([d.value for d in defined]), defined_se=delta_se(gradients, fit.vcov),
            moments=tuple((s.mean, s.cov) for s in fit.problem.saturated),
            baseline=fit.references.baseline_model.moments, exogenous=float(fit.references.exogenous.sum()),
            loglik=fit.loglik, chisq=fit.chisq, chisq_baseline=fit.chisq_baseline,
            trace=fit.scaling.trace if scaled else math.nan,
            trace_baseline=fit.scaling_baseline.trace if scaled else math.nan,
            improper=bool(fit.audit.negative_variances) or fit.audit.improper_latent,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Fit to one table, or why there is none.

    Attributes
    ----------
    fit : ImputedFit or None
    template : FimlFit or None
        The whole fit, for the first table alone.
    error : Exception or None
    """

    fit: ImputedFit | None = None
    template: FimlFit | None = None
    error: Exception | None = None


def fit_each(
    tables: Tables, model: str, options: FitOptions, n_jobs: int, check: Callable[[pd.DataFrame], None]
) -> list[Outcome]:
    """Fit the model to every completed table, in processes if asked for.

    Parameters
    ----------
    tables : Tables
    model : str
    options : FitOptions
    n_jobs : int
    check : callable
        Of the first table; raises if it cannot be analysed.

    Returns
    -------
    list of Outcome
        One of them, the first that succeeded, with its template.
    """
    check(tables.complete(1))
    outcomes: list[Outcome] = []
    for i in range(1, tables.m + 1):  # until one succeeds: the others need no template
        outcomes.append(_fit_one(tables, i, model, options, keep=True))
        if outcomes[-1].fit is not None:
            break
    rest = range(len(outcomes) + 1, tables.m + 1)
    if n_jobs == 1 or not rest:
        return outcomes + [_fit_one(tables, i, model, options, keep=False) for i in rest]
    from joblib import Parallel, delayed

    work = (delayed(_fit_one)(tables, i, model, options, keep=False) for i in rest)
    return outcomes + list(Parallel(n_jobs=n_jobs)(work))


def _fit_one(tables: Tables, i: int, model: str, options: FitOptions, *, keep: bool) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)
        try:
            found = fit(model, tables.complete(i), options)
        except FAILURES as error:
            return Outcome(error=error)
    if not found.audit.maximum:
        return Outcome(error=ConvergenceError("the estimate is not a maximum of the likelihood"))
    if found.vcov is None and found.resolved.se != "none":
        return Outcome(error=ConvergenceError("the information matrix is singular: there are no standard errors"))
    return Outcome(fit=ImputedFit.from_fit(found), template=found if keep else None)


def mean_moments(many: Sequence[Sequence[MomentPair]]) -> tuple[MomentPair, ...]:
    """Average means and covariances of several tables, per group."""
    return tuple(
        (np.mean([mean for mean, _ in group], axis=0), np.mean([cov for _, cov in group], axis=0))
        for group in zip(*many, strict=True)
    )


def stacked_moments(many: Sequence[Sequence[MomentPair]]) -> tuple[MomentPair, ...]:
    """Moments of several tables of equal size below each other, per group."""
    stacked = []
    for group in zip(*many, strict=True):
        mean = np.mean([m for m, _ in group], axis=0)
        cov = np.mean([c + np.outer(m - mean, m - mean) for m, c in group], axis=0)
        stacked.append((mean, cov))
    return tuple(stacked)


def loglik_at(n: Sequence[float], data: Sequence[MomentPair], implied: Sequence[MomentPair]) -> float:
    """Log-likelihood of complete rows with the moments ``data`` at the moments ``implied``, over groups."""
    return float(
        sum(
            -0.5 * rows * _discrepancy(mean, cov, *moments)
            for rows, (mean, cov), moments in zip(n, data, implied, strict=True)
        )
    )


def _discrepancy(mean: FloatArray, cov: FloatArray, mu: FloatArray, sigma: FloatArray) -> float:
    """-2 log-likelihood per row."""
    _, logdet = np.linalg.slogdet(sigma)
    inverse = np.linalg.inv(sigma)
    d = mean - mu
    return float(len(mu) * math.log(2 * math.pi) + logdet + (inverse * cov).sum() + d @ inverse @ d)
