"""Rows grouped once by which variables they have: all that the likelihood ever needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.batches import Batch, plan_batches

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

PIECE = 2**14
"""Rows copied at a time, so that memory stays small beside the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPatterns:
    """Sufficient statistics of incomplete normal data, per missing-data pattern.

    Attributes
    ----------
    observed : ndarray of bool, shape (K, p)
    n : ndarray, shape (K,)
        Rows of each pattern.
    mean : ndarray, shape (K, p)
        Means of the observed variables, 0 where missing.
    root : ndarray, shape (K, p)
        sqrt(n_k), 0 where missing.
    rows : ndarray, shape (K + R, width)
        Deviation rows, whose products are all that the likelihood needs: K rows of 0, for sqrt(n_k) (mean_k - mu), then
        ``factor``. The columns beyond p are made up for ``batches`` and 0.
    row_pattern : ndarray of int, shape (K + R,)
        Pattern of each of these rows.
    batches : tuple of Batch
        Patterns that miss something, as their linear algebra is done.
    n_cells : float
        Observed values.
    weight : float
        Sum of ``n``, which need not be a whole number where rows stand for others.
    pattern_of_row : ndarray of int, shape (N,)
        Pattern of each data row, in the order of the data.
    """

    observed: BoolArray
    n: FloatArray
    mean: FloatArray
    root: FloatArray
    rows: FloatArray
    row_pattern: IntArray
    batches: tuple[Batch, ...]
    n_cells: float
    weight: float
    pattern_of_row: IntArray

    @property
    def n_rows(self) -> int:
        """N."""
        return round(self.weight)

    @property
    def factor(self) -> FloatArray:
        """Stacked F_k with F_k' F_k = n_k cov_k (divided by n_k), 0 where missing, shape (R, p), K + R <= N."""
        return self.rows[len(self.n) :, : self.n_variables]

    @property
    def n_variables(self) -> int:
        """p."""
        return int(self.observed.shape[1])

    @property
    def pairwise_n(self) -> FloatArray:
        """Rows in which both of a pair are observed, shape (p, p)."""
        seen = self.observed.astype(float)
        return np.asarray((seen * self.n[:, None]).T @ seen)

    def deviations(self, center: FloatArray) -> FloatArray:
        """Means less a center, shape (p,); 0 where missing, shape (K, p)."""
        return np.where(self.observed, self.mean - center, 0.0)

    def cross_products(self, center: FloatArray) -> FloatArray:
        """Sums of the products of deviations from a center, shape (p,), over the rows that have both, shape (p, p)."""
        deviations, factor = self.deviations(center), self.factor
        return np.asarray(factor.T @ factor + (deviations * self.n[:, None]).T @ deviations)

    def pairwise_moments(self) -> tuple[FloatArray, FloatArray]:
        """Available-case means (p,), and covariances (p, p) over the rows that have both, about their own means.

        Covariances are unbiased per pair, times (N - 1) / N; NaN for a pair that fewer than two rows have (R:
        ``cov(use = "pairwise")``).
        """
        counts = self.pairwise_n
        center = (self.n @ self.mean) / np.diag(counts)
        sums = (self.deviations(center) * self.n[:, None]).T @ self.observed
        cross = self.cross_products(center)
        with np.errstate(divide="ignore", invalid="ignore"):
            cov = np.where(counts > 1, (cross - sums * sums.T / counts) / (counts - 1.0), np.nan)
        return center + np.diag(sums) / np.diag(counts), cov * (1.0 - 1.0 / self.weight)

    @classmethod
    def from_values(cls, values: FloatArray) -> MissingPatterns:
        """Group the rows of a table.

        Parameters
        ----------
        values : ndarray, shape (N, p)
            NaN where missing; every row has at least one value.
        """
        columns = np.ascontiguousarray(values.T)  # no copy of a table that is stored by columns
        order, starts = _sorted_rows(columns)
        observed = ~np.isnan(values[order[starts[:-1]]])
        n = np.diff(starts)
        pattern_of_row = np.empty(len(order), dtype=np.intp)
        pattern_of_row[order] = np.repeat(np.arange(len(n)), n)
        large = n > observed.sum(axis=1)
        rows = np.flatnonzero(np.repeat(~large, n))
        mean = np.zeros(observed.shape)
        mean[~large], factor = _contrasts(columns.take(order[rows], axis=1), n[~large])
        factors, owners = [factor], [np.repeat(np.flatnonzero(~large), n[~large] - 1)]
        for k in np.flatnonzero(large):
            seen = np.flatnonzero(observed[k])
            mean[k, seen], products = _cross_products(columns, seen, order[starts[k] : starts[k + 1]])
            factors.append(np.zeros((len(seen), len(columns))))
            factors[-1][:, seen] = _root(products)
            owners.append(np.full(len(seen), k))
        return cls._assemble(
            observed, n.astype(float), mean, np.concatenate(factors), np.concatenate(owners), pattern_of_row
        )

    @classmethod
    def from_moments(cls, n: float, mean: FloatArray, cov: FloatArray) -> MissingPatterns:
        """Complete data with these moments (covariance divided by n)."""
        seen = np.ones((1, len(mean)), dtype=bool)
        rows = np.zeros(len(mean), dtype=np.intp)
        factor = _root(n * cov)
        return cls._assemble(seen, np.array([float(n)]), mean[None, :], factor, rows, np.zeros(0, dtype=np.intp))

    def with_ridge(self, variances: FloatArray) -> MissingPatterns:
        """Patterns as if independent noise of these variances, shape (p,), were added to every observed cell."""
        pattern, column = np.nonzero(self.observed)
        noise = np.zeros((len(pattern), self.n_variables))
        noise[np.arange(len(pattern)), column] = np.sqrt(self.n[pattern] * variances[column])
        owner = np.concatenate([self.row_pattern[len(self.n) :], pattern])
        factor = np.vstack([self.factor, noise])
        return self._assemble(self.observed, self.n, self.mean, factor, owner, self.pattern_of_row)

    def of_columns(self, columns: Sequence[int]) -> MissingPatterns:
        """Patterns of some columns alone; rows that have none of them are left out, patterns may repeat."""
        seen = self.observed[:, columns]
        kept: BoolArray = np.asarray(seen.any(axis=1))
        place = np.cumsum(kept) - 1
        owner = self.row_pattern[len(self.n) :]
        rows = kept[owner]
        return self._assemble(
            seen[kept], self.n[kept], self.mean[kept][:, columns], self.factor[rows][:, columns], place[owner[rows]],
            np.zeros(0, dtype=np.intp),
        )  # fmt: skip

    def pieces(self, numbers: int) -> Iterator[MissingPatterns]:
        """The patterns in pieces with p x p numbers for each pattern: at most so many, and one pattern at least."""
        size = max(1, numbers // self.n_variables**2)
        if size >= len(self.n):
            yield self
            return
        owner = self.row_pattern[len(self.n) :]
        for start in range(0, len(self.n), size):
            some = slice(start, start + size)
            rows = (owner >= start) & (owner < start + size)
            yield self._assemble(
                self.observed[some], self.n[some], self.mean[some], self.factor[rows], owner[rows] - start,
                np.zeros(0, dtype=np.intp),
            )  # fmt: skip

    @classmethod
    def _assemble(
        cls, observed: BoolArray, n: FloatArray, mean: FloatArray, factor: FloatArray,
        owner: IntArray, pattern_of_row: IntArray, *, observed_side: bool | None = None,
    ) -> MissingPatterns:  # fmt: skip
        row_pattern = np.concatenate([np.arange(len(n)), owner]).astype(np.intp)
        width, batches = plan_batches(observed, n, row_pattern, observed_side)
        rows = np.zeros((len(row_pattern), width))
        rows[len(n) :, : mean.shape[1]] = factor
        return cls(
            observed=observed, n=n, mean=mean, root=np.sqrt(n)[:, None] * observed, rows=rows,
            row_pattern=row_pattern, batches=batches,
            n_cells=float(n @ observed.sum(axis=1)), weight=float(n.sum()), pattern_of_row=pattern_of_row,
        )  # fmt: skip


def _sorted_rows(columns: FloatArray) -> tuple[IntArray, IntArray]:
    """Order of the rows, shape (N,), in which those with the same holes follow each other, and where patterns start.

    The starts, shape (K + 1,), end with N. Sixteen columns make one 16-bit word, because numpy sorts these by radix.
    """
    halves = np.packbits(np.isnan(columns), axis=0, bitorder="little").astype(np.uint16)
    words = halves[::2]
    words[: len(halves) // 2] |= halves[1::2] << np.uint16(8)
    order = np.lexsort(words)
    new = np.ones(len(order) + 1, dtype=bool)
    new[1:-1] = False
    for word in words:
        ordered = word[order]
        new[1:-1] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(new)


def _contrasts(columns: FloatArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    """Means, shape (K, p), and orthonormal contrasts with them, shape (sum of n - 1, p), of consecutive runs of rows.

    A reflection that turns (1, ..., 1) / sqrt(n) into the last axis turns the deviations d_i of a run into
    d_i + d_n / (sqrt(n) - 1), i < n, with the same cross-products.
    """
    rows = np.ascontiguousarray(columns.T)
    rows[np.isnan(rows)] = 0.0
    if not len(n):
        return rows, rows
    ends = np.cumsum(n)
    mean = np.add.reduceat(rows, ends - n, axis=0) / n[:, None]
    rows -= np.repeat(mean, n, axis=0)
    several = n > 1
    share = rows[ends[several] - 1] / (np.sqrt(n[several]) - 1.0)[:, None]
    others = np.ones(len(rows), dtype=bool)
    others[ends - 1] = False
    rows = rows[others]
    rows += np.repeat(share, n[several] - 1, axis=0)
    return mean, rows


def _cross_products(columns: FloatArray, seen: IntArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Means, shape (q,), and cross-products of deviations, shape (q, q), of some columns in some rows.

    Deviations are taken from the mean of the first piece, and the rest of the way to the mean is corrected at the end.
    """
    total, products = np.zeros(len(seen)), np.zeros((len(seen), len(seen)))
    shift = total
    for start in range(0, len(rows), PIECE):
        block = columns.take(rows[start : start + PIECE], axis=1)[seen]
        if start == 0:
            shift = block.mean(axis=1)
        block -= shift[:, None]
        total += block.sum(axis=1)
        products += block @ block.T
    rest = total / len(rows)
    return shift + rest, products - len(rows) * np.outer(rest, rest)


def _root(products: FloatArray) -> FloatArray:
    """F with F'F = products, shape (q, q), also if they are singular."""
    try:
        return np.asarray(np.linalg.cholesky(products).T)
    except np.linalg.LinAlgError:
        size = np.sqrt(np.diag(products))
        scale = np.where(size > 0, size, 1.0)
        values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
        return np.asarray((vectors * np.sqrt(np.clip(values, 0.0, None))).T * scale)
