"""The likelihood of incomplete normal data: value, expected totals and moment gradient, from pattern aggregates.

With P = Sigma^-1 and, for pattern k, the map B_k that keeps observed deviations and fills missing ones with their
conditional mean, -P_mm^-1 P_mo d_o (missing side of the partitioned inverse; costs an m x m factor, m = number
missing), the sums over patterns

    T = sum_k n_k B_k (cov_k + d_k d_k') B_k',   C = sum_k n_k P_mm,k^-1,   s = sum_k n_k B_k d_k

give everything:

    loglik = -1/2 [cells log 2 pi + N log|Sigma| + sum_k n_k log|P_mm,k| + tr(P T)],
    d loglik = tr(G d Sigma) + g' d mu,   G = 1/2 (P (T + C) P - N P),   g = P s,

and T + C, s are the totals of the EM algorithm for the saturated model (Little & Rubin 2019, ch. 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import Batch, MissingPatterns

FloatArray = NDArray[np.float64]

LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalEvaluation:
    """The likelihood at one pair of moments, in log-likelihood units.

    Attributes
    ----------
    loglik : float
    n : float
        N.
    precision : ndarray, shape (p, p)
        P, the inverse of Sigma.
    first, second : ndarray, shape (p,), (p, p)
        s, and T + C: expected sums of deviations from mu and of their products.
    """

    loglik: float
    n: float
    precision: FloatArray
    first: FloatArray
    second: FloatArray

    def moment_gradient(self) -> tuple[FloatArray, FloatArray]:
        """g (p,) and symmetric G (p, p) with d loglik = g' d mu + tr(G d Sigma)."""
        P = self.precision
        G = (P @ self.second @ P - self.n * P) / 2.0
        return P @ self.first, (G + G.T) / 2.0


def evaluate(patterns: MissingPatterns, mean: FloatArray, cov: FloatArray) -> NormalEvaluation:
    """Evaluate the observed-data likelihood.

    Parameters
    ----------
    patterns : MissingPatterns
    mean : ndarray, shape (p,)
    cov : ndarray, shape (p, p)

    Returns
    -------
    NormalEvaluation

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``cov`` is not positive definite.
    """
    variances = np.diag(cov)
    if not np.all(variances > 0.0):  # also catches NaN
        raise np.linalg.LinAlgError("the covariance matrix is not positive definite")
    scale = np.sqrt(variances)
    chol = np.linalg.cholesky(cov / np.outer(scale, scale))
    inverse = np.linalg.inv(chol) / scale
    P = inverse.T @ inverse
    logdet = 2.0 * float(np.log(np.diag(chol)).sum() + np.log(scale).sum())

    n, root = patterns.n, np.sqrt(patterns.n)
    deviations = np.where(patterns.observed, patterns.mean - mean, 0.0) * root[:, None]
    filled = np.vstack([deviations, patterns.factor])
    weighted = filled @ P
    p = patterns.n_variables
    conditional = np.zeros(p * p)
    logdet_missing = 0.0
    for batch in patterns.batches:
        logdet_missing += _fill(batch, patterns.n, P, weighted, filled, conditional)
    T = filled.T @ filled
    cells = float((patterns.observed.sum(axis=1) * n).sum())
    total = float(n.sum())
    loglik = -0.5 * (cells * LOG_2PI + total * logdet + logdet_missing + float((P * T).sum()))
    return NormalEvaluation(
        loglik=loglik, n=total, precision=P, first=root @ filled[: len(n)], second=T + conditional.reshape(p, p)
    )


def _fill(
    batch: Batch, n: FloatArray, P: FloatArray, weighted: FloatArray, filled: FloatArray, conditional: FloatArray
) -> float:
    """Fill the missing entries of one batch's rows, add its conditional covariances, return sum n log|P_mm|."""
    missing = batch.missing
    block = P[missing[:, :, None], missing[:, None, :]]
    inverse = np.linalg.inv(block)
    columns = missing[batch.owner]
    rows = batch.rows[:, None]
    filled[rows, columns] = -np.matmul(inverse[batch.owner], weighted[rows, columns][:, :, None])[:, :, 0]
    counts = n[batch.patterns]
    place = missing[:, :, None] * len(P) + missing[:, None, :]
    conditional += np.bincount(
        place.ravel(), weights=(counts[:, None, None] * inverse).ravel(), minlength=len(conditional)
    )
    sign, logdet = np.linalg.slogdet(block)
    if not np.all(sign > 0):
        raise np.linalg.LinAlgError("the covariance matrix is numerically singular")
    return float(counts @ logdet)
