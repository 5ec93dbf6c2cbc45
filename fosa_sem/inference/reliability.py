"""Reliability of sums of indicators (semTools: ``reliability()``, ``compRelSEM()``)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import InferenceWarning, OptionError
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.tested import saturated_pairs

FloatArray = NDArray[np.float64]

CROSS_LOADING = 1e-5
"""Explained variance from other factors, summed over indicators, up to which AVE is given (semTools)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the coefficients of one group are made of; all matrices are of the observed variables.

    Attributes
    ----------
    loadings : ndarray, shape (p, m)
    latent : ndarray, shape (m, m)
        Covariances of the latent variables.
    residual : ndarray, shape (p, p)
    implied, saturated : ndarray, shape (p, p)
    """

    loadings: FloatArray
    latent: FloatArray
    residual: FloatArray
    implied: FloatArray
    saturated: FloatArray


def reliability(fit: FimlFit, *, total: bool = False, omit_factors: Sequence[str] = ()) -> pd.DataFrame:
    """Reliability coefficients of every factor with at least two observed indicators.

    Parameters
    ----------
    fit : FimlFit
    total : bool, default False
        Add a row ``total`` for the sum of all indicators, where there are several factors.
    omit_factors : sequence of str
        Leave these out.

    Returns
    -------
    DataFrame
        group, factor, alpha (Cronbach 1951, from the saturated moments), omega, omega2, omega3 (Raykov 2001; Bentler
        1972, 2009; McDonald 1999: the true variance over true and error variance, over the model-implied, over the
        saturated variance of the sum) and avevar (average variance extracted; Fornell & Larcker 1981), NaN with
        cross-loadings.

    Raises
    ------
    OptionError
        Without latent variables, or for a factor that the model lacks.

    Warns
    -----
    InferenceWarning
        For factors that have latent indicators: these coefficients take only the observed ones.

    Notes
    -----
    ``compRelSEM()`` gives omega3, and with ``obs.var = FALSE`` omega2.
    """
    names = fit.table.names
    if not names.latent:
        raise OptionError("the model has no latent variables, so there is no reliability")
    omitted = [omit_factors] if isinstance(omit_factors, str) else list(omit_factors)
    unknown = [name for name in omitted if name not in names.latent]
    if unknown:
        raise OptionError(f"omit_factors names {unknown[0]!r}, which is no factor of the model")
    _warn_of_higher_factors(fit, omitted)
    rows: list[tuple[object, ...]] = []
    for group, parts in enumerate(_parts(fit), start=1):
        kept = [j for j, name in enumerate(names.latent) if name not in omitted]
        for j in kept:
            index = np.flatnonzero(parts.loadings[:, j])
            if len(index) > 1:
                rows.append((group, names.latent[j], *_of_factor(parts, j, index)))
        if total and len(kept) > 1:
            rows.append((group, "total", *_of_all(parts)))
    return pd.DataFrame(rows, columns=["group", "factor", "alpha", "omega", "omega2", "omega3", "avevar"])


def _parts(fit: FimlFit) -> list[_Parts]:
    p = len(fit.table.names.observed)
    measured = {(row.rhs, row.lhs) for row in fit.table.rows if row.op == "=~"}
    is_loading = np.array(
        [[(name, factor) in measured for factor in fit.table.names.latent] for name in fit.table.names.observed]
    )
    found = []
    for ram, (_, saturated) in zip(fit.problem.maps, saturated_pairs(fit.problem), strict=True):
        at = ram.matrices(fit.theta)
        found.append(
            _Parts(
                loadings=np.where(is_loading, at.A[:p, p:], 0.0),
                latent=at.cov[p:, p:],
                residual=at.S[:p, :p],
                implied=at.cov[:p, :p],
                saturated=saturated,
            )
        )
    return found


def _of_factor(parts: _Parts, j: int, index: NDArray[np.intp]) -> tuple[float, ...]:
    block = np.ix_(index, index)
    own = parts.loadings[index, j]
    true = float(own.sum() ** 2 * parts.latent[j, j])
    by_factor = own**2 * parts.latent[j, j]
    by_all = np.diag(parts.loadings @ parts.latent @ parts.loadings.T)[index]
    ave = math.nan
    if np.abs(by_all - by_factor).sum() < CROSS_LOADING:
        ave = float(by_all.sum() / (by_all + np.diag(parts.residual)[index]).sum())
    error, implied, saturated = (float(m[block].sum()) for m in (parts.residual, parts.implied, parts.saturated))
    return _alpha(parts.saturated[block]), true / (true + error), true / implied, true / saturated, ave


def _of_all(parts: _Parts) -> tuple[float, ...]:
    explained = parts.loadings @ parts.latent @ parts.loadings.T
    true, error = float(explained.sum()), float(parts.residual.sum())
    ave = float(np.trace(explained) / np.trace(explained + parts.residual))
    implied, saturated = float(parts.implied.sum()), float(parts.saturated.sum())
    return _alpha(parts.saturated), true / (true + error), true / implied, true / saturated, ave


def _alpha(cov: FloatArray) -> float:
    """Cronbach's alpha of a sum."""
    k = len(cov)
    return float(k / (k - 1) * (1.0 - np.trace(cov) / cov.sum()))


def _warn_of_higher_factors(fit: FimlFit, omitted: Sequence[str]) -> None:
    latent = fit.table.names.latent
    higher = dict.fromkeys(
        row.lhs for row in fit.table.rows if row.op == "=~" and row.rhs in latent and row.lhs not in omitted
    )
    if higher:
        warnings.warn(
            f"factors of latent variables: {', '.join(higher)}; reliability is given for observed indicators alone",
            InferenceWarning,
            stacklevel=3,
        )
