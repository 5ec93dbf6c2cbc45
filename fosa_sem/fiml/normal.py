"""The likelihood of incomplete normal data: value, expected totals and moment gradient, from pattern aggregates.

With P = Sigma^-1 and, for pattern k, the map B_k that keeps observed deviations and fills missing ones with their
conditional mean, -P_mm^-1 P_mo d_o (missing side of the partitioned inverse; costs an m x m factor, m = number
missing), the sums over patterns

    T = sum_k n_k B_k (cov_k + d_k d_k') B_k',   C = sum_k n_k P_mm,k^-1,   s = sum_k n_k B_k d_k

give everything:

    loglik = -1/2 [cells log 2 pi + N log|Sigma| + sum_k n_k log|P_mm,k| + tr(P T)],
    d loglik = tr(G d Sigma) + g' d mu,   G = 1/2 (P (T + C) P - N P),   g = P s,

and T + C, s are the totals of the EM algorithm for the saturated model (Little & Rubin 2019, ch. 11).

A pattern with fewer observed than missing variables takes the other way to the same sums: with V_k = Sigma_oo,k^-1,
0 where missing, and W_k = cov_k + d_k d_k', its share of T + C is n_k [Sigma + Sigma (V_k W_k V_k - V_k) Sigma], that
of s is n_k Sigma V_k d_k, and log|P_mm,k| = log|Sigma_oo,k| - log|Sigma|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from fosa_sem.data.batches import Batch
from fosa_sem.data.patterns import MissingPatterns

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
        twice = P @ self.second @ P - self.n * P
        return P @ self.first, (twice + twice.T) / 4.0


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
    P, logdet = precision(cov)
    p, n, root = len(P), patterns.weight, np.sqrt(patterns.n)
    rows = patterns.rows.copy()
    np.multiply(patterns.mean - mean, patterns.root, out=rows[: len(root), :p])
    twice = patterns.n_cells * LOG_2PI + n * logdet
    first, second = np.zeros(p), np.zeros((p, p))
    few = [batch for batch in patterns.batches if batch.observed_side]
    if few:
        solved = np.zeros(rows.shape)
        logdets, inverse = _solve(few, _padded(cov, rows.shape[1]), rows, out=solved)
        n_few = sum(batch.n.sum() for batch in few)
        twice += logdets - n_few * logdet + float(np.vdot(rows, solved))
        solved = solved[:, :p]
        first += cov @ (root @ solved[: len(root)])
        second += n_few * cov + cov @ (solved.T @ solved - inverse[:p, :p]) @ cov
        for batch in few:  # what follows is for the others
            rows.reshape(-1)[batch.cells] = 0.0
    if len(few) < len(patterns.batches):
        padded = _padded(P, rows.shape[1])
        others = [batch for batch in patterns.batches if not batch.observed_side]
        logdets, inverse = _solve(others, padded, rows @ -padded, out=rows)
        twice += logdets
        second += inverse[:p, :p]
    filled = rows[:, :p]
    T = filled.T @ filled
    return NormalEvaluation(
        loglik=-0.5 * (twice + float(np.vdot(P, T))), n=n, precision=P, first=first + root @ filled[: len(root)],
        second=second + T,
    )  # fmt: skip


def independent_loglik(patterns: MissingPatterns, mean: FloatArray, variance: FloatArray) -> float:
    """The log-likelihood if the variables are uncorrelated: that of `evaluate`, variable by variable.

    Parameters
    ----------
    patterns : MissingPatterns
    mean, variance : ndarray, shape (p,)
        Variances above 0.
    """
    counts = patterns.n @ patterns.observed
    around = ((patterns.mean - mean) * patterns.root) ** 2
    squares = np.add.reduce(patterns.factor**2) + np.add.reduce(around)
    return -0.5 * float(patterns.n_cells * LOG_2PI + counts @ np.log(variance) + np.add.reduce(squares / variance))


def precision(cov: FloatArray) -> tuple[FloatArray, float]:
    """Inverse and log-determinant.

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``cov`` is not positive definite.
    """
    chol, failed = lapack.dpotrf(cov, lower=True)
    logdet = math.nan if failed else 2.0 * float(np.add.reduce(np.log(chol.diagonal())))
    if not math.isfinite(logdet):  # also catches NaN, which the factorisation may let pass
        raise np.linalg.LinAlgError("the covariance matrix is not positive definite")
    half, _ = lapack.dtrtri(chol, lower=True, overwrite_c=True)
    return half.T @ half, logdet


def divergence(mean: FloatArray, cov: FloatArray, other_mean: FloatArray, other_cov: FloatArray) -> float:
    """Twice the log-likelihood per row that complete data with some moments lose at others.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a covariance matrix is not positive definite.
    """
    P, logdet = precision(other_cov)
    away = mean - other_mean
    return float(logdet - precision(cov)[1] + np.vdot(P, cov) - len(mean) + away @ P @ away)


def pattern_precisions(patterns: MissingPatterns, cov: FloatArray) -> FloatArray:
    """V_k, the inverse of Sigma_oo of every pattern, 0 where something is missing, shape (K, p, p).

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``cov`` is not positive definite.
    """
    P, _ = precision(cov)
    p = len(P)
    V = np.empty((len(patterns.n), p, p))
    V[:] = P
    for batch in patterns.batches:
        padded = _padded(cov if batch.observed_side else P, patterns.rows.shape[1])
        index = batch.index.T
        inverse = _invert(padded.take(batch.place))[0].transpose(2, 0, 1)
        if batch.observed_side:
            whole = np.zeros((len(index), patterns.rows.shape[1], patterns.rows.shape[1]))
            whole[np.arange(len(index))[:, None, None], index[:, :, None], index[:, None, :]] = inverse
            V[batch.patterns] = whole[:, :p, :p]
        else:
            across = padded[:, :p].take(index, axis=0)
            V[batch.patterns] -= across.transpose(0, 2, 1) @ (inverse @ across)
    V *= patterns.observed[:, :, None] & patterns.observed[:, None, :]
    return V


def _padded(matrix: FloatArray, width: int) -> FloatArray:
    """With the made-up variables of `Batch`, shape (width, width)."""
    padded = np.zeros((width, width))
    padded.reshape(-1)[:: width + 1] = 1.0
    padded[: len(matrix), : len(matrix)] = matrix
    return padded


def _solve(batches: list[Batch], padded: FloatArray, rows: FloatArray, *, out: FloatArray) -> tuple[float, FloatArray]:
    """Sums over patterns, D_k being the inverse of a block of a matrix and 0 elsewhere.

    Parameters
    ----------
    batches : list of Batch
    padded : ndarray, shape (width, width)
        The matrix.
    rows : ndarray, shape (K + R, width)
    out : ndarray, shape (K + R, width)
        Its cells in the blocks become D_k times the row.

    Returns
    -------
    logdet : float
        sum n_k log|block_k|.
    inverse : ndarray, shape (width, width)
        sum n_k D_k.
    """
    logdet, total = 0.0, np.zeros(padded.size)
    for batch in batches:
        inverse, logdets = _invert(padded.take(batch.place))
        logdet += float(batch.n @ logdets)
        total += np.bincount(batch.place.reshape(-1), (batch.n * inverse).reshape(-1), padded.size)
        each = inverse.take(batch.owner, axis=2)
        out.reshape(-1)[batch.cells] = np.einsum("ijr,jr->ir", each, rows.take(batch.cells))
    if not math.isfinite(logdet):
        raise np.linalg.LinAlgError("the covariance matrix is numerically singular")
    return logdet, total.reshape(padded.shape)


def _invert(blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverses, shape (s, s, b), and log-determinants, shape (b,), of positive definite blocks, by the sweep operator.

    The last axis runs over blocks, so that every step is one operation on all of them: with small blocks this is
    several times faster than LAPACK block by block.
    """
    pivots, change = np.empty(blocks.shape[1:]), np.empty_like(blocks)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for j, pivot in enumerate(pivots):
            pivot[:] = blocks[j, j]
            row = blocks[j] / pivot
            blocks -= np.multiply(blocks[:, j, None], row, out=change)
            np.divide(-1.0, pivot, out=row[j])
            blocks[j] = blocks[:, j] = row
        logdets = np.add.reduce(np.log(pivots))
    return np.negative(blocks, out=blocks), logdets
