"""The record that flows from the conditional expectations to the refiner: cells and a rule, no SEM words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Origin(IntEnum):
    """Where the value of a cell comes from."""

    OBSERVED = 0
    SEM = 1
    REFINED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalMoments:
    """Moments of the missing cells given the observed ones, for rows that share one pattern.

    Attributes
    ----------
    missing : ndarray of int, shape (m,)
        Columns that are missing.
    mean : ndarray, shape (n, m)
        E[missing | observed] per row.
    cov : ndarray, shape (m, m)
        Cov[missing | observed], the same for every row of the pattern.
    """

    missing: NDArray[np.intp]
    mean: FloatArray
    cov: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianRule:
    """Joint normal moments per group, and the conditional moments that they imply.

    Attributes
    ----------
    variables : tuple of str, length p
        Column names, in the order of the moments.
    means : tuple of ndarray, each (p,)
        One mean vector per group, on the data's scale.
    covs : tuple of ndarray, each (p, p)
        One covariance matrix per group, positive semi-definite.
    """

    variables: tuple[str, ...]
    means: tuple[FloatArray, ...]
    covs: tuple[FloatArray, ...]

    def pattern(self, rows: FloatArray, observed: BoolArray, group: int = 0) -> ConditionalMoments:
        """Conditional moments for rows that share one pattern.

        Parameters
        ----------
        rows : ndarray, shape (n, p)
            Values; those at missing columns are not read.
        observed : ndarray of bool, shape (p,)
            The pattern.
        group : int, default 0
            0-based group.

        Returns
        -------
        ConditionalMoments
        """
        mean, cov = self.means[group], self.covs[group]
        given, missing = np.flatnonzero(observed), np.flatnonzero(~observed)
        if given.size == 0:
            return ConditionalMoments(missing=missing, mean=np.tile(mean, (len(rows), 1)), cov=cov.copy())
        # Solving on the correlation scale keeps columns of very different units well conditioned.
        scale = np.sqrt(np.diag(cov))
        scale = np.where(scale > 0, scale, 1.0)
        corr = cov / np.outer(scale, scale)
        weights = np.linalg.lstsq(corr[np.ix_(given, given)], corr[np.ix_(given, missing)], rcond=None)[0]
        z = (rows[:, given] - mean[given]) / scale[given]
        fitted = mean[missing] + (z @ weights) * scale[missing]
        residual = corr[np.ix_(missing, missing)] - corr[np.ix_(missing, given)] @ weights
        residual = (residual + residual.T) / 2 * np.outer(scale[missing], scale[missing])
        return ConditionalMoments(missing=missing, mean=fitted, cov=residual)

    def conditional(
        self, values: FloatArray, observed: BoolArray, group: NDArray[np.intp] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Fill every missing cell with its conditional mean, and give its conditional SD.

        Parameters
        ----------
        values : ndarray, shape (n, p)
            Data; values at missing cells are not read.
        observed : ndarray of bool, shape (n, p)
            Which cells may be conditioned on.
        group : ndarray of int, shape (n,), optional
            0-based group of each row; all rows in group 0 by default.

        Returns
        -------
        mean : ndarray, shape (n, p)
            ``values`` at observed cells (the very same numbers), E[missing | observed] elsewhere.
        sd : ndarray, shape (n, p)
            0 at observed cells, the conditional standard deviation elsewhere.
        """
        mean = np.where(observed, values, np.nan)
        sd = np.zeros_like(mean)
        for rows, pattern, g in iterate_patterns(observed, group):
            if pattern.all():
                continue
            moments = self.pattern(values[rows], pattern, g)
            cells = np.ix_(rows, moments.missing)
            mean[cells] = moments.mean
            sd[cells] = np.sqrt(np.clip(np.diag(moments.cov), 0.0, None))
        return mean, sd


def iterate_patterns(
    observed: BoolArray, group: NDArray[np.intp] | None = None
) -> list[tuple[NDArray[np.intp], BoolArray, int]]:
    """Group rows by missing-data pattern and group.

    Parameters
    ----------
    observed : ndarray of bool, shape (n, p)
    group : ndarray of int, shape (n,), optional

    Returns
    -------
    list of (row indices, pattern of shape (p,), group)
    """
    if len(observed) == 0:
        return []
    keys = np.packbits(observed, axis=1)
    if group is not None:
        keys = np.hstack([keys, np.ascontiguousarray(group, dtype=np.int64)[:, None].view(np.uint8)])
    codes = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1]))).ravel()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    blocks = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return [
        (rows, observed[start], 0 if group is None else int(group[start]))
        for rows, start in zip(blocks, first, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A table whose holes are filled, with the provenance of every cell.

    Attributes
    ----------
    table : DataFrame
        The user's table, by reference; never changed. It may have further columns.
    values : ndarray, shape (n, p)
        Completed values of ``rule.variables``.
    observed : ndarray of bool, shape (n, p)
        True where the user's table has a value.
    mean, sd : ndarray, shape (n, p)
        Model-implied conditional mean and standard deviation (the value and 0 at observed cells).
    origin : ndarray of int8, shape (n, p)
        `Origin` of each cell.
    group : ndarray of int, shape (n,)
        0-based group of each row.
    rule : GaussianRule
        By which ``mean`` and ``sd`` were computed.
    """

    table: pd.DataFrame
    values: FloatArray
    observed: BoolArray
    mean: FloatArray
    sd: FloatArray
    origin: NDArray[np.int8]
    group: NDArray[np.intp]
    rule: GaussianRule

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the completed columns."""
        return self.rule.variables

    def refined(self, values: FloatArray) -> Completion:
        """Return the completion with new values at missing cells; observed cells stay as they are.

        Parameters
        ----------
        values : ndarray, shape (n, p)
            New values; those at observed cells are ignored.
        """
        new = np.where(self.observed, self.values, values)
        changed = ~self.observed & (new != self.values)
        origin = np.where(changed, np.int8(Origin.REFINED), self.origin)
        return replace(self, values=new, origin=origin)

    def to_frame(self) -> pd.DataFrame:
        """The user's table with the missing cells filled: same rows, index and columns.

        Returns
        -------
        DataFrame
            Observed cells and columns that the model does not name are those of the input.
            A column in which a cell was filled has dtype float64. Products (``x:z``) that the model computed are
            no columns of the table, and their filled values need not be the products of filled values.
        """
        frame = self.table.copy()
        for j, name in enumerate(self.variables):
            if name in frame and not self.observed[:, j].all():
                frame[name] = self.values[:, j]
        return frame
