"""RAM algebra: theta -> moments of observed and latent variables, and derivatives.

With directed effects A, covariances S and intercepts m of all v variables (observed first, then latent),
B = (I - A)^-1, the joint moments are  mean = B m  and  cov = B S B'  (McArdle & McDonald 1984); the observed
ones are their first p entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
Array = NDArray[Any]
MatrixName = Literal["A", "S", "m"]


class Cell(NamedTuple):
    """One entry of a matrix: free (an index into theta) or fixed (a value).

    Attributes
    ----------
    matrix : {"A", "S", "m"}
    row, col : int
        0-based; ``col`` is 0 for ``m``.
    theta : int
        0-based index, -1 if fixed.
    value : float
        If fixed.
    """

    matrix: MatrixName
    row: int
    col: int
    theta: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RamMatrices:
    """The matrices at one theta; ``total`` is B = (I - A)^-1.

    Attributes
    ----------
    A, S, total : ndarray, shape (v, v)
    m : ndarray, shape (v,)
    mean : ndarray, shape (v,)
        Joint mean B m.
    cov : ndarray, shape (v, v)
        Joint covariance B S B'.
    """

    A: Array
    S: Array
    m: Array
    total: Array
    mean: Array
    cov: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class RamMap:
    """Where the entries of theta stand in the matrices of one group, each in one cell at most.

    Attributes
    ----------
    n_observed, n_variables, n_theta : int
        p, v and k.
    base : ndarray, shape (2 v^2 + v,)
        Fixed values of A, S and m, one after the other; 0 at free entries.
    place, entry : ndarray of int, shape (cells,)
        Where the free entries stand in that (both triangles of S), and their indices into theta.
    effects, covariances, intercepts : ndarray of int, shape (cells, 3), (cells, 3), (cells, 2)
        Rows (row, col, theta index) of the free entries of A and S (S: once per pair), (row, theta) of m.
    sources : ndarray of int, shape (4, k)
        How the slopes of each entry of theta are put together (see `factored_jacobian`).
    depth : int
        Effects in the longest chain of them; v or more where effects run in a circle.
    sample_mean : ndarray, shape (p,), or None
        Without a mean structure: the mean of the observed variables, whatever theta; that of latent ones is what
        observed predictors make of it.
    """

    n_observed: int
    n_variables: int
    n_theta: int
    base: FloatArray
    place: IntArray
    entry: IntArray
    effects: IntArray
    covariances: IntArray
    intercepts: IntArray
    sources: IntArray
    depth: int
    sample_mean: FloatArray | None = None

    @classmethod
    def from_cells(
        cls, cells: Sequence[Cell], n_observed: int, n_variables: int, n_theta: int,
        sample_mean: FloatArray | None = None,
    ) -> RamMap:  # fmt: skip
        """Sort cells into fixed bases and free places."""
        v = n_variables
        offset = {"A": 0, "S": v * v, "m": 2 * v * v}
        base = [0.0] * (2 * v * v + v)
        entries: list[tuple[int, int]] = []
        free: dict[str, list[tuple[int, ...]]] = {"A": [], "S": [], "m": []}
        for cell in cells:
            if cell.matrix == "m":
                places = {offset["m"] + cell.row}
            else:
                mirrored = (cell.col, cell.row) if cell.matrix == "S" else (cell.row, cell.col)
                places = {offset[cell.matrix] + row * v + col for row, col in ((cell.row, cell.col), mirrored)}
            if cell.theta < 0:
                for at in places:
                    base[at] = cell.value
            else:
                entries += [(at, cell.theta) for at in places]
                where = (cell.row,) if cell.matrix == "m" else (cell.row, cell.col)
                free[cell.matrix].append((*where, cell.theta))
        place, entry = np.array(entries, dtype=np.intp).reshape(-1, 2).T.copy()
        arrows = {(cell.col, cell.row) for cell in cells if cell.matrix == "A" and (cell.theta >= 0 or cell.value)}
        effects, covariances = (np.array(free[name], dtype=np.intp).reshape(-1, 3) for name in ("A", "S"))
        intercepts = np.array(free["m"], dtype=np.intp).reshape(-1, 2)
        sources = _sources(effects, covariances, intercepts, v, n_theta)
        if sample_mean is not None:
            sources[0] = 3 * v
        return cls(
            n_observed=n_observed, n_variables=v, n_theta=n_theta, base=np.array(base), place=place, entry=entry,
            effects=effects, covariances=covariances, intercepts=intercepts, sources=sources, depth=_depth(arrows, v),
            sample_mean=sample_mean,
        )  # fmt: skip

    def matrices(self, theta: Array) -> RamMatrices:
        """Fill the matrices; complex theta is allowed (complex-step differentiation).

        Parameters
        ----------
        theta : ndarray, shape (k,)

        Raises
        ------
        numpy.linalg.LinAlgError
            If I - A is singular.
        """
        v = self.n_variables
        flat = self.base.astype(theta.dtype)
        flat[self.place] = theta.take(self.entry)
        (A, S), m = flat[: 2 * v * v].reshape(2, v, v), flat[2 * v * v :]
        total = _total_effects(A, self.depth)
        cov = total @ S @ total.T
        mean = total @ m
        if self.sample_mean is not None:
            p = self.n_observed
            mean[:p] = self.sample_mean
            mean[p:] = np.linalg.solve(np.eye(len(A) - p) - A[p:, p:], A[p:, :p] @ self.sample_mean)
        return RamMatrices(A=A, S=S, m=m, total=total, mean=mean, cov=(cov + cov.T) / 2)

    def _at(self, theta: Array | RamMatrices) -> RamMatrices:
        return theta if isinstance(theta, RamMatrices) else self.matrices(theta)

    def moments(self, theta: Array | RamMatrices) -> tuple[Array, Array]:
        """Mean (p,) and covariance (p, p) of the observed variables."""
        full = self._at(theta)
        return full.mean[: self.n_observed], full.cov[: self.n_observed, : self.n_observed]

    def pull_back(
        self, theta: FloatArray | RamMatrices, mean_gradient: FloatArray, cov_gradient: FloatArray
    ) -> FloatArray:
        """Chain rule from the observed moments to theta.

        Parameters
        ----------
        theta : ndarray, shape (k,), or RamMatrices
            A point, or its matrices where they are at hand; so for the methods below.
        mean_gradient : ndarray, shape (p,)
            g with d f = g' d mean.
        cov_gradient : ndarray, shape (p, p)
            Symmetric G with d f = tr(G d cov).

        Returns
        -------
        ndarray, shape (k,)
            d f / d theta.
        """
        at = self._at(theta)
        p = self.n_observed
        if self.sample_mean is not None:
            mean_gradient = np.zeros(p)
        total = at.total[:p]
        down = total.T @ cov_gradient  # B' F' G
        by_m = total.T @ mean_gradient
        by_A = 2.0 * (down @ at.cov[:p]) + by_m[:, None] * at.mean
        by_cell = np.concatenate([by_A.ravel(), (down @ total).ravel(), by_m])
        return np.asarray(np.bincount(self.entry, by_cell.take(self.place), self.n_theta), dtype=np.float64)

    def jacobian(self, theta: FloatArray | RamMatrices) -> tuple[FloatArray, FloatArray]:
        """Derivatives of the observed moments.

        Returns
        -------
        mean : ndarray, shape (k, p)
        cov : ndarray, shape (k, p, p)
        """
        d_mean, left, right = self.factored_jacobian(theta)
        half = left[:, :, None] * right[:, None, :]
        return d_mean, half + half.transpose(0, 2, 1)

    def factored_jacobian(self, theta: FloatArray | RamMatrices) -> FloatArray:
        """The same with the derivative of the covariance as left right' + right left': its rank is at most 2.

        Returns
        -------
        ndarray, shape (3, k, p)
            Mean, left and right.
        """
        at = self._at(theta)
        p = self.n_observed
        total = at.total[:p].T
        stacked = np.concatenate([total, 0.5 * total, at.cov[:, :p], np.zeros((1, p))])
        slopes = stacked.take(self.sources[:3], axis=0)
        slopes[0] *= np.concatenate([at.mean, np.ones(1)]).take(self.sources[3])[:, None]
        return slopes

    def curvature(
        self, theta: FloatArray | RamMatrices, mean_gradient: FloatArray, cov_gradient: FloatArray
    ) -> FloatArray:
        """Second derivatives of g' mean(theta) + tr(G cov(theta)) with g, G held fixed.

        What the Hessian of a function of the moments has beyond the curvature in the moments themselves.

        Parameters
        ----------
        theta, mean_gradient, cov_gradient
            As for `pull_back`.

        Returns
        -------
        ndarray, shape (k, k)

        Notes
        -----
        Moving A[c, d] moves B by B[:, c] B[d, :]; every entry is a sum of products of entries of B, K = B'F'GFB,
        L = B'F'GF cov, h = B'F'g and the joint moments.
        """
        at = self._at(theta)
        p = self.n_observed
        if self.sample_mean is not None:
            mean_gradient = np.zeros(p)
        B, cov, mean = at.total, at.cov, at.mean
        K = B[:p].T @ cov_gradient @ B[:p]
        L = B[:p].T @ cov_gradient @ cov[:p]
        h = B[:p].T @ mean_gradient
        c, d, effect = self.effects.T
        into, across = B[d].T, K[:, c]
        by_effect = np.zeros((self.n_theta, len(effect)))  # to which its transpose is added
        by_effect[effect] = into[c] * (2.0 * L[c[:, None], d].T + mean[d, None] * h[c]) + across[c] * cov[d[:, None], d]
        row, col, index = self.covariances.T
        by_effect[index] = np.where(row == col, 1.0, 2.0)[:, None] * (into[row] * across[col] + across[row] * into[col])
        row, index = self.intercepts.T
        by_effect[index] = into[row] * h[c]
        out = np.zeros((self.n_theta, self.n_theta))
        out[:, effect] = by_effect
        return out + out.T


def _sources(effects: IntArray, covariances: IntArray, intercepts: IntArray, v: int, n_theta: int) -> IntArray:
    """Rows of B', B' / 2, joint cov and 0, one below the other, that are the slopes of each entry of theta.

    Of the mean, and left and right of the covariance; then the entry of (joint mean, 1) by which that of the mean is
    multiplied, shape (4, n_theta).
    """
    sources = np.full((4, n_theta), 3 * v)
    sources[3] = v
    row, col, index = effects.T
    sources[:, index] = row, row, 2 * v + col, col
    row, col, index = covariances.T
    sources[1:3, index] = row, np.where(row == col, v + col, col)
    row, index = intercepts.T
    sources[0, index] = row
    return sources


def _depth(arrows: set[tuple[int, int]], v: int) -> int:
    """Arrows (cause, outcome) in the longest chain of them, v if there is no longest."""
    reached, depth = {outcome for _, outcome in arrows}, 0
    while reached and depth < v:
        reached, depth = {outcome for cause, outcome in arrows if cause in reached}, depth + 1
    return depth


def _total_effects(A: Array, depth: int) -> Array:
    """(I - A)^-1, which is the finite sum I + A + A^2 + ... where no effects run in a circle."""
    if depth < len(A):
        total = _one_plus(A.copy())
        for _ in range(1, depth):
            total = _one_plus(A @ total)
        return total
    one = np.eye(len(A))
    solve = lapack.zgesv if A.dtype.kind == "c" else lapack.dgesv  # less to call than the inverse
    _, _, inverse, failed = solve(one - A, one)
    if failed:
        raise np.linalg.LinAlgError("the directed effects have no finite total")
    return np.ascontiguousarray(inverse)


def _one_plus(A: Array) -> Array:
    """I + A, in its place."""
    A.reshape(-1)[:: len(A) + 1] += 1.0
    return A
