"""Information matrices: of the moments (mean, then lower triangle of the covariance, row by row), and of theta.

With V_k the inverse of Sigma_oo of pattern k, padded with zeros, W_k = cov_k + d_k d_k' and d_k = mean_k - mu, minus
the second differential of the log-likelihood is

    sum_k n_k [ dmu' V dmu + 2 dmu' V dSigma V d + tr(dSigma V dSigma (V W V - V / 2)) ].

The sums over patterns of products of entries of two symmetric matrices are one matrix product over patterns; the
entries of the information are then picked from it, so that p = 40 variables with 1,000 patterns take about .1 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml.normal import pattern_precisions, precision
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.model.ram import RamMap, RamMatrices

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
InformationKind = Literal["observed", "expected", "first.order"]

CHUNK = 2_000_000
"""Numbers that a block of casewise scores may hold (16 MB)."""
PIECE = 2**18
"""Numbers that the precisions of some patterns may take (2 MB)."""
KEPT = 24
"""Variables up to which the places of `_pick` are kept (2 MB)."""


def moment_information(
    patterns: MissingPatterns,
    mean: FloatArray,
    cov: FloatArray,
    kind: InformationKind,
    values: FloatArray | None = None,
) -> FloatArray:
    """Information of all rows about the moments.

    Parameters
    ----------
    patterns : MissingPatterns
    mean : ndarray, shape (p,)
    cov : ndarray, shape (p, p)
        Where to evaluate.
    kind : {"observed", "expected", "first.order"}
        Minus the Hessian; its expectation given the patterns; the sum over rows of squared scores.
    values : ndarray, shape (N, p)
        The rows, for "first.order" only.

    Returns
    -------
    ndarray, shape (q, q), q = p + p (p + 1) / 2
        lavaan: ``lav_mvnorm_missing_information_*``, times N.
    """
    if kind == "first.order":
        assert values is not None
        return _first_order(patterns, mean, pattern_precisions(patterns, cov), values)
    p, (row, col) = len(mean), lower_triangle(len(mean))
    out = np.zeros((p + len(row),) * 2)
    mixed, products = np.zeros((p, len(row))), np.zeros((len(row),) * 2)
    for piece in patterns.pieces(PIECE):
        V, n = pattern_precisions(piece, cov), piece.n
        out[:p, :p] += (n @ V.reshape(len(n), -1)).reshape(p, p)
        flat = V[:, row, col]
        other = 0.5 * n[:, None] * flat
        if kind == "observed":
            u, squares = _pattern_scores(piece, mean, V)
            other = squares - other
            mixed += u.T @ flat
        products += flat.T @ other
    if kind == "observed":
        out[:p, p:] = _pick_mixed(mixed)
        out[p:, :p] = out[:p, p:].T
    out[p:, p:] = _pick(products, p)
    return out


def complete_information(cov: FloatArray, n: float) -> FloatArray:
    """Expected information about the moments that complete rows would give, shape (q, q).

    Parameters
    ----------
    cov : ndarray, shape (p, p)
        Where to evaluate.
    n : float
        Rows.
    """
    P, p = precision(cov)[0], len(cov)
    flat = P[lower_triangle(p)]
    out = np.zeros((p + len(flat),) * 2)
    out[:p, :p] = n * P
    out[p:, p:] = _pick(0.5 * n * flat[:, None] * flat, p)
    return out


def expected_forms(
    patterns: MissingPatterns, cov: FloatArray, changes: Sequence[tuple[FloatArray, FloatArray]]
) -> list[float]:
    """The quadratic forms of changes of the moments in their expected information.

    Parameters
    ----------
    patterns : MissingPatterns
    cov : ndarray, shape (p, p)
        Where to evaluate.
    changes : sequence of (mean, cov), shape (p,), (p, p)

    Returns
    -------
    list of float
        For each, sum over patterns of n [d' V d + tr(V D V D) / 2].
    """
    forms = [0.0] * len(changes)
    for piece in patterns.pieces(PIECE):
        V = pattern_precisions(piece, cov)
        for i, (mean_change, cov_change) in enumerate(changes):
            moved = V @ cov_change
            squares = 0.5 * np.einsum("kij,kji->k", moved, moved) + (V @ mean_change) @ mean_change
            forms[i] += float(piece.n @ squares)
    return forms


def _pattern_scores(patterns: MissingPatterns, mean: FloatArray, V: FloatArray) -> tuple[FloatArray, FloatArray]:
    """n V d, shape (K, p), and the lower triangle of n V W V, shape (K, p (p + 1) / 2)."""
    owner = patterns.row_pattern[len(V) :]
    d = patterns.deviations(mean)
    u = np.matmul(V, d[:, :, None])[:, :, 0]
    row, col = lower_triangle(len(mean))
    products = patterns.n[:, None] * u[:, row] * u[:, col]
    order = np.argsort(owner, kind="stable")
    size = max(1, CHUNK // V[0].size)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        ordered = owner[rows]
        moved = np.matmul(patterns.factor[rows, None, :], V[ordered])[:, 0]
        first = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
        products[ordered[first]] += np.add.reduceat(moved[:, row] * moved[:, col], first, axis=0)
    return patterns.n[:, None] * u, products


@cache
def lower_triangle(p: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the entries of a lower triangle, row by row; kept, and so not to be written to."""
    row, col = np.nonzero(np.tri(p, dtype=bool))
    row.flags.writeable = col.flags.writeable = False
    return row, col


@cache
def _places(p: int) -> tuple[IntArray, FloatArray]:
    """Where an entry of a symmetric matrix stands in its lower triangle, (p, p); 1/2 for each on the diagonal."""
    row, col = lower_triangle(p)
    places = np.zeros((p, p), dtype=np.intp)
    places[row, col] = places[col, row] = np.arange(len(row))
    weight = np.where(row == col, 0.5, 1.0)
    places.flags.writeable = weight.flags.writeable = False
    return places, weight


def _pick(sums: FloatArray, p: int) -> FloatArray:
    """Entry ((a, b), (c, d)) = tr(E_ab V E_cd M) from sums of V[., .] M[., .], E_ab being the symmetric unit matrix.

    The trace has four terms; symmetric in (a, b) and (c, d) as their sum over patterns is made, two of them suffice.
    """
    first, second, weights = _kept_pairs(p) if p <= KEPT else _pairs(p)
    both = (sums + sums.T).ravel()
    return np.asarray((both.take(first) + both.take(second)) * weights)


def _pairs(p: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Flat places of the sums ((b, c), (a, d)) and ((b, d), (a, c)) for all pairs (a, b), (c, d), and weights."""
    at, weight = _places(p)
    c, d = lower_triangle(p)
    of_a, of_b = at.take(c, axis=0), at.take(d, axis=0)
    first = of_b.take(c, axis=1) * len(c) + of_a.take(d, axis=1)
    second = of_b.take(d, axis=1) * len(c) + of_a.take(c, axis=1)
    weights = weight * weight[:, None]
    first.flags.writeable = second.flags.writeable = weights.flags.writeable = False
    return first, second, weights


_kept_pairs = lru_cache(maxsize=1)(_pairs)


def _pick_mixed(sums: FloatArray) -> FloatArray:
    """Entry (i, (c, d)) = (V E_cd u)_i from sums of u[.] V[., .]."""
    p = len(sums)
    at, weight = _places(p)
    c, d = lower_triangle(p)
    return np.asarray((sums[d, at[:, c]] + sums[c, at[:, d]]) * weight)


def moment_scores(
    patterns: MissingPatterns, mean: FloatArray, cov: FloatArray, values: FloatArray
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Scores of single rows about the moments, in blocks of rows.

    Parameters
    ----------
    patterns : MissingPatterns
        Of these rows.
    mean, cov : ndarray
    values : ndarray, shape (N, p)

    Yields
    ------
    rows : ndarray of int, shape (b,)
    scores : ndarray, shape (b, p + p (p + 1) / 2)
        d loglik_i / d (mean, lower triangle of cov).
    """
    V = pattern_precisions(patterns, cov)
    lower, weight = lower_triangle(len(mean)), _places(len(mean))[1]
    for rows, u in _row_scores(patterns, mean, V, values):
        products = u[:, lower[0]] * u[:, lower[1]]
        products -= V[:, lower[0], lower[1]][patterns.pattern_of_row[rows]]
        yield rows, np.hstack([u, products * weight])


def _row_scores(
    patterns: MissingPatterns, mean: FloatArray, V: FloatArray, values: FloatArray
) -> Iterator[tuple[IntArray, FloatArray]]:
    """V (y - mu) of every row, in blocks of rows that follow the order of the patterns."""
    order = np.argsort(patterns.pattern_of_row, kind="stable")
    pattern = patterns.pattern_of_row[order]
    size = max(1, CHUNK // (len(mean) * (len(mean) + 3) // 2))
    for start in range(0, len(order), size):
        rows, owner = order[start : start + size], pattern[start : start + size]
        deviations = np.nan_to_num(values[rows] - mean)
        edges = np.flatnonzero(np.diff(owner, prepend=-1, append=-1))
        for i, j in pairwise(edges):
            deviations[i:j] = deviations[i:j] @ V[owner[i]]
        yield rows, deviations


def _first_order(patterns: MissingPatterns, mean: FloatArray, V: FloatArray, values: FloatArray) -> FloatArray:
    """Sum of squared scores; what rows of a pattern share is taken out once per pattern."""
    p = len(mean)
    lower = lower_triangle(p)
    weight = np.concatenate([np.ones(p), _places(p)[1]])
    total = np.zeros((len(weight),) * 2)
    for _, u in _row_scores(patterns, mean, V, values):
        block = np.empty((len(u), len(weight)))
        block[:, :p] = u
        np.multiply(u[:, lower[0]], u[:, lower[1]], out=block[:, p:])
        total += block.T @ block
    first, products = _pattern_scores(patterns, mean, V)
    shared = np.hstack([np.zeros_like(first), V[:, lower[0], lower[1]]])
    crossed = np.hstack([first, products]).T @ shared
    total += (patterns.n[:, None] * shared).T @ shared - crossed - crossed.T
    return np.asarray(total * np.outer(weight, weight))


def moment_jacobian(ram: RamMap, theta: FloatArray | RamMatrices) -> FloatArray:
    """d (mean, lower triangle of cov) / d theta, shape (q, k) (lavaan: ``lavInspect(fit, "delta")``)."""
    d_mean, d_cov = ram.jacobian(theta)
    row, col = lower_triangle(ram.n_observed)
    return np.vstack([d_mean.T, d_cov[:, row, col].T])


def observed_information(problem: FitProblem, theta: FloatArray) -> FloatArray:
    """Negative Hessian of the log-likelihood, in closed form.

    Parameters
    ----------
    problem : FitProblem
    theta : ndarray, shape (k,)

    Returns
    -------
    ndarray, shape (k, k)
        lavaan: ``observed.information = "hessian"``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the implied covariance matrix is not positive definite.
    """
    total = np.zeros((len(theta), len(theta)))
    for group in problem.at(theta):
        slopes = moment_jacobian(group.ram, group.matrices)
        total += slopes.T @ moment_information(group.patterns, *group.moments, "observed") @ slopes
        total -= group.ram.curvature(group.matrices, *group.likelihood.moment_gradient())
    return (total + total.T) / 2.0
