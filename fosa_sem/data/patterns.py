"""Rows grouped once by which variables they have: all that the likelihood ever needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Patterns with the same number m of missing variables, so that their linear algebra can be stacked.

    Attributes
    ----------
    patterns : ndarray of int, shape (b,)
    missing : ndarray of int, shape (b, m)
        Columns missing in each.
    rows : ndarray of int, shape (r,)
        Deviation rows (see `MissingPatterns.row_pattern`) that belong to these patterns.
    owner : ndarray of int, shape (r,)
        Position of each such row's pattern in ``patterns``.
    """

    patterns: IntArray
    missing: IntArray
    rows: IntArray
    owner: IntArray


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
    factor : ndarray, shape (R, p)
        Stacked F_k with F_k' F_k = n_k cov_k (divided by n_k), 0 where missing; no more rows than the data.
    row_pattern : ndarray of int, shape (K + R,)
        Pattern of each deviation row: the K mean deviations, then the rows of ``factor``.
    batches : tuple of Batch
        Patterns that miss something, grouped by how many variables they miss.
    pattern_of_row : ndarray of int, shape (N,)
        Pattern of each data row, in the order of the data.
    """

    observed: BoolArray
    n: FloatArray
    mean: FloatArray
    factor: FloatArray
    row_pattern: IntArray
    batches: tuple[Batch, ...]
    pattern_of_row: IntArray

    @property
    def n_rows(self) -> int:
        """N."""
        return round(float(self.n.sum()))

    @property
    def n_variables(self) -> int:
        """p."""
        return int(self.observed.shape[1])

    @property
    def pairwise_n(self) -> FloatArray:
        """Rows in which both of a pair are observed, shape (p, p)."""
        seen = self.observed.astype(float)
        return np.asarray((seen * self.n[:, None]).T @ seen)

    def pairwise_moments(self) -> tuple[FloatArray, FloatArray]:
        """Available-case means (p,), and covariances (p, p) over the rows that have both, about their own means.

        Covariances are unbiased per pair, times (N - 1) / N; NaN for a pair that fewer than two rows have (R:
        ``cov(use = "pairwise")``).
        """
        counts = self.pairwise_n
        center = (self.n @ self.mean) / np.diag(counts)
        shifted = np.where(self.observed, self.mean - center, 0.0)
        sums = (shifted * self.n[:, None]).T @ self.observed
        cross = self.factor.T @ self.factor + (shifted * self.n[:, None]).T @ shifted
        with np.errstate(divide="ignore", invalid="ignore"):
            cov = np.where(counts > 1, (cross - sums * sums.T / counts) / (counts - 1.0), np.nan)
        return center + np.diag(sums) / np.diag(counts), cov * (1.0 - 1.0 / self.n.sum())

    @classmethod
    def from_values(cls, values: FloatArray) -> MissingPatterns:
        """Group the rows of a table.

        Parameters
        ----------
        values : ndarray, shape (N, p)
            NaN where missing; every row has at least one value.
        """
        seen = ~np.isnan(values)
        codes = np.packbits(seen, axis=1)
        width = -(-codes.shape[1] // 8) * 8
        padded = np.zeros((len(codes), width), dtype=np.uint8)
        padded[:, : codes.shape[1]] = codes
        words = padded.view(np.uint64)
        key = words[:, 0] if words.shape[1] == 1 else words.view(np.dtype((np.void, width))).ravel()
        _, first, pattern = np.unique(key, return_index=True, return_inverse=True)
        order = np.argsort(pattern, kind="stable")
        n = np.bincount(pattern)
        starts = np.concatenate([[0], np.cumsum(n)])
        observed = seen[first]
        filled = np.where(seen, values, 0.0)[order]
        mean = np.add.reduceat(filled, starts[:-1], axis=0) / n[:, None]
        factors, owners = [], []
        for k in np.flatnonzero(n > 1):
            block = _factor(filled[starts[k] : starts[k + 1]] - mean[k], observed[k])
            factors.append(block)
            owners.append(np.full(len(block), k))
        factor = np.vstack(factors) if factors else np.zeros((0, values.shape[1]))
        owner = np.concatenate(owners) if owners else np.zeros(0, dtype=np.intp)
        return cls._assemble(observed, n.astype(float), mean, factor, owner, pattern)

    @classmethod
    def from_moments(cls, n: float, mean: FloatArray, cov: FloatArray) -> MissingPatterns:
        """Complete data with these moments (covariance divided by n)."""
        values, vectors = np.linalg.eigh(cov)
        factor = (vectors * np.sqrt(n * np.clip(values, 0.0, None))).T
        seen = np.ones((1, len(mean)), dtype=bool)
        rows = np.zeros(len(factor), dtype=np.intp)
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

    @classmethod
    def _assemble(
        cls, observed: BoolArray, n: FloatArray, mean: FloatArray, factor: FloatArray,
        owner: IntArray, pattern_of_row: IntArray,
    ) -> MissingPatterns:  # fmt: skip
        row_pattern = np.concatenate([np.arange(len(n)), owner]).astype(np.intp)
        n_missing = (~observed).sum(axis=1)
        batches = []
        for m in np.unique(n_missing[n_missing > 0]):
            patterns = np.flatnonzero(n_missing == m)
            position = np.full(len(n), -1, dtype=np.intp)
            position[patterns] = np.arange(len(patterns))
            rows = np.flatnonzero(position[row_pattern] >= 0)
            batches.append(
                Batch(
                    patterns=patterns,
                    missing=np.nonzero(~observed[patterns])[1].reshape(-1, m),
                    rows=rows,
                    owner=position[row_pattern[rows]],
                )
            )
        return cls(
            observed=observed, n=n, mean=mean, factor=factor, row_pattern=row_pattern,
            batches=tuple(batches), pattern_of_row=pattern_of_row,
        )  # fmt: skip


def _factor(deviations: FloatArray, observed: BoolArray) -> FloatArray:
    """A matrix with the cross-products of the deviations and at most as many rows as observed variables."""
    q = int(observed.sum())
    if len(deviations) <= q:
        return deviations
    factor = np.zeros((q, deviations.shape[1]))
    factor[:, observed] = np.linalg.qr(deviations[:, observed], mode="r")
    return factor
