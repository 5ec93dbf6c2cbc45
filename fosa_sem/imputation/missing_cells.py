"""Normal draws of missing cells given the observed ones, for all rows of a table at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.imputation.completion import BoolArray, FloatArray, iterate_patterns
from fosa_sem.imputation.truncated import truncated_residuals

IntArray = NDArray[np.intp]
Normals = Callable[[tuple[int, ...]], FloatArray]
"""Standard normal numbers of a shape; the generator's method."""

TRIES = 10
"""Joint draws of a row before a Gibbs sampler looks for values within the bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of one group that miss equally many cells, k of them, in K patterns.

    Attributes
    ----------
    group : int
    rows : ndarray of int, shape (r,)
    patterns : ndarray of int, shape (K, k)
        Missing columns.
    owner : ndarray of int, shape (r,)
        Pattern of each row.
    """

    group: int
    rows: IntArray
    patterns: IntArray
    owner: IntArray

    @property
    def columns(self) -> IntArray:
        """Missing columns of each row, shape (r, k)."""
        return self.patterns[self.owner]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Missing cells of a batch under one set of moments: draws are ``centre + residual``.

    Attributes
    ----------
    centre : ndarray, shape (r, k)
        Conditional means.
    residual : ndarray, shape (r, k)
        Drawn jointly from the conditional covariance matrix of each row.
    sd : ndarray, shape (r, k)
        Conditional standard deviations.
    """

    centre: FloatArray
    residual: FloatArray
    sd: FloatArray


def missing_batches(observed: BoolArray, group: IntArray) -> tuple[Batch, ...]:
    """Rows with holes, by group and number of holes.

    Parameters
    ----------
    observed : ndarray of bool, shape (n, p)
    group : ndarray of int, shape (n,)
        0-based.
    """
    found: dict[tuple[int, int], list[tuple[IntArray, IntArray]]] = {}
    for rows, pattern, g in iterate_patterns(observed, group):
        missing = np.flatnonzero(~pattern)
        if missing.size:
            found.setdefault((g, missing.size), []).append((rows, missing))
    return tuple(
        Batch(
            group=g, rows=np.concatenate([rows for rows, _ in parts]), patterns=np.array([m for _, m in parts]),
            owner=np.repeat(np.arange(len(parts)), [len(rows) for rows, _ in parts]),
        )
        for (g, _), parts in found.items()
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMoments:
    """Moments of one group, ready for conditioning.

    Attributes
    ----------
    mean, scale : ndarray, shape (p,)
        Means and standard deviations.
    precision : ndarray, shape (p, p)
        Inverse of the correlation matrix.
    root : ndarray, shape (p, p)
        Lower Cholesky factor of the precision.
    """

    mean: FloatArray
    scale: FloatArray
    precision: FloatArray
    root: FloatArray

    @classmethod
    def from_moments(cls, mean: FloatArray, cov: FloatArray) -> GroupMoments:
        """Invert on the correlation scale, which is well conditioned whatever the units.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the covariance matrix is not positive definite.
        """
        if not np.all(np.diag(cov) > 0.0):
            raise np.linalg.LinAlgError("a variance is not positive")
        scale = np.sqrt(np.diag(cov))
        inverse = np.linalg.inv(np.linalg.cholesky(cov / np.outer(scale, scale)))
        precision = inverse.T @ inverse
        return cls(mean=mean, scale=scale, precision=precision, root=np.asarray(np.linalg.cholesky(precision)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of each column, infinite where there are none; shape (p,)."""

    lower: FloatArray
    upper: FloatArray

    @property
    def bounded(self) -> BoolArray:
        """Columns that have a limit."""
        return np.isfinite(self.lower) | np.isfinite(self.upper)


def draw_batch(
    batch: Batch, values: FloatArray, observed: BoolArray, moments: GroupMoments, normals: Normals, *,
    shift: FloatArray | None = None, spread: FloatArray | None = None, bounds: Bounds | None = None,
) -> Cells:  # fmt: skip
    """Draw the missing cells of a batch jointly, given what each row shows.

    Parameters
    ----------
    batch : Batch
    values : ndarray, shape (n, p)
        Those at missing cells are not read.
    observed : ndarray of bool, shape (n, p)
    moments : GroupMoments
        Of the batch's group.
    normals : callable
        Gives standard normal numbers of a shape.
    shift : ndarray, shape (n, p), optional
        Added to the conditional means.
    spread : ndarray, shape (p,), optional
        Factors of the conditional standard deviations.
    bounds : Bounds, optional
        The draws come from the normal distribution truncated to these limits.

    Notes
    -----
    With P the precision matrix and m the missing columns, the conditional covariance is C = P_mm^-1 and the mean
    mu_m - C (P d)_m, with d the observed deviations and 0 elsewhere. If u has covariance P, then C u_m has covariance
    C P_mm C = C: all rows draw u by one matrix product.
    """
    rows, columns = batch.rows, batch.columns
    deviations = np.where(observed[rows], (values[rows] - moments.mean) / moments.scale, 0.0)
    pulls = np.take_along_axis(deviations @ moments.precision, columns, axis=1)
    pushes = np.take_along_axis(normals((len(rows), values.shape[1])) @ moments.root.T, columns, axis=1)
    block = moments.precision[batch.patterns[:, :, None], batch.patterns[:, None, :]]
    covs: FloatArray = np.asarray(np.linalg.inv(block))
    both: FloatArray = np.matmul(covs[batch.owner], np.stack([-pulls, pushes], axis=2))
    scale = moments.scale[columns]
    centre = moments.mean[columns] + scale * both[:, :, 0]
    if shift is not None:
        centre += shift[rows[:, None], columns]
    if spread is not None:
        scale = scale * spread[columns]
    residual = both[:, :, 1]
    if bounds is not None and bounds.bounded[batch.patterns].any():
        low, high = (limit[columns] for limit in (bounds.lower, bounds.upper))
        residual = _within(batch, (low - centre) / scale, (high - centre) / scale, residual, covs, moments, normals)
    variances = np.diagonal(covs, axis1=1, axis2=2)
    return Cells(centre=centre, residual=residual * scale, sd=scale * np.sqrt(variances)[batch.owner])


def _within(
    batch: Batch, low: FloatArray, high: FloatArray, residual: FloatArray, covs: FloatArray, moments: GroupMoments,
    normals: Normals,
) -> FloatArray:  # fmt: skip
    """Redraw the standardised residuals of rows that leave their limits, all of shape (r, k)."""
    for _ in range(TRIES):
        outside = np.flatnonzero(((residual < low) | (residual > high)).any(axis=1))
        if outside.size == 0:
            return residual
        owner, columns = batch.owner[outside], batch.columns[outside]
        pushes = normals((len(outside), len(moments.mean))) @ moments.root.T
        pushes = np.take_along_axis(pushes, columns, axis=1)
        residual[outside] = np.matmul(covs[owner], pushes[:, :, None])[:, :, 0]
    outside = np.flatnonzero(((residual < low) | (residual > high)).any(axis=1))
    if outside.size:
        columns = batch.columns[outside]
        precision = moments.precision[columns[:, :, None], columns[:, None, :]]
        residual[outside] = truncated_residuals(precision, low[outside], high[outside], normals)
    return residual
