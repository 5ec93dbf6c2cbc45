"""What the model predicts of observed cells from the rest of their rows: for matching, and for categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fosa_sem.imputation.completion import FloatArray, iterate_patterns
from fosa_sem.imputation.missing_cells import GroupMoments

IntArray = NDArray[np.intp]


def leave_one_out(values: FloatArray, columns: Sequence[int], moments: GroupMoments) -> tuple[FloatArray, FloatArray]:
    """Conditional mean and SD of each observed cell given the other observed cells of its row.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        Rows of one group; NaN where missing.
    columns : sequence of int, length c
        Whose cells are predicted.
    moments : GroupMoments

    Returns
    -------
    mean, sd : ndarray, shape (n, c)
        NaN at missing cells.

    Notes
    -----
    With Q the inverse of the covariance matrix of a row's observed cells and d their deviations, the mean is
    y_j - (Q d)_j / Q_jj and the variance 1 / Q_jj.
    """
    mean, sd = np.full((len(values), len(columns)), np.nan), np.full((len(values), len(columns)), np.nan)
    z = (values - moments.mean) / moments.scale
    corr = np.linalg.inv(moments.precision)
    place = {column: c for c, column in enumerate(columns)}
    for rows, pattern, _ in iterate_patterns(~np.isnan(values)):
        seen = np.flatnonzero(pattern)
        wanted = [(i, place[j]) for i, j in enumerate(seen.tolist()) if j in place]
        if not wanted:
            continue
        at, into = (np.array(part) for part in zip(*wanted, strict=True))
        inverse = np.linalg.inv(corr[np.ix_(seen, seen)])
        own = inverse[at, at]
        mean[np.ix_(rows, into)] = z[np.ix_(rows, seen[at])] - z[np.ix_(rows, seen)] @ inverse[:, at] / own
        sd[np.ix_(rows, into)] = 1.0 / np.sqrt(own)
    location, scale = moments.mean[list(columns)], moments.scale[list(columns)]
    return location + scale * mean, scale * sd


def thresholds(column: FloatArray, mean: FloatArray, sd: FloatArray, categories: FloatArray) -> FloatArray:
    """Cuts of a normal variable at which its predictions give the observed cells the shares that they have.

    Parameters
    ----------
    column, mean, sd : ndarray, shape (n,)
        Observed cells with their predictions.
    categories : ndarray, shape (c,)
        Ascending, all of them observed.

    Returns
    -------
    ndarray, shape (c - 1,)
        Ascending: a drawn value above the first i cuts is category i + 1.

    Notes
    -----
    The cut below category c solves mean_i Phi((cut - mean_i) / sd_i) = share of cells below c. Because predictions are
    conditional on what the rows show, this holds for data that are missing at random too, unlike cuts at the
    quantiles of the observed cells (compare the adaptive rounding of Bernaards, Belin & Schafer 2007).
    """
    from scipy import optimize  # slow to load, and not needed by most imputations

    span = 40.0 * sd.max()
    cuts = []
    for category in categories[1:]:
        share = float((column < category).mean())

        def excess(cut: float, share: float = share) -> float:
            return float(special.ndtr((cut - mean) / sd).mean()) - share

        cuts.append(optimize.brentq(excess, mean.min() - span, mean.max() + span, xtol=1e-10 * float(sd.max())))
    return np.array(cuts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Donors:
    """Observed cells of one column and group, with what the model predicts of them.

    Attributes
    ----------
    predicted, values : ndarray, shape (n,)
    """

    predicted: FloatArray
    values: FloatArray

    def draw(self, wanted: FloatArray, quantile: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
        """Values of donors with a similar prediction (predictive mean matching, Rubin 1986; Little 1988).

        Parameters
        ----------
        wanted : ndarray, shape (r,)
            Predictions of the missing cells.
        quantile : ndarray, shape (r,)
            Uniform numbers that choose among the k nearest donors, ordered by their values. Each donor is as likely as
            the others; numbers that depend on each other carry the dependence of the cells of a row over to the
            values chosen.
        k : int
            Donors to choose from; all of them if there are fewer.
        rng : numpy.random.Generator
            Chooses among donors with the same prediction.

        Returns
        -------
        ndarray, shape (r,)
        """
        n = len(self.values)
        k = min(k, n)
        order = rng.permutation(n)
        order = order[np.argsort(self.predicted[order], kind="stable")]
        predicted, values = self.predicted[order], self.values[order]
        first = np.searchsorted(predicted, wanted)
        window = np.clip(first - k, 0, max(n - 2 * k, 0))[:, None] + np.arange(min(2 * k, n))
        distance = np.abs(predicted[window] - wanted[:, None])
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :k]
        found = np.sort(values[np.take_along_axis(window, nearest, axis=1)], axis=1)
        chosen = np.minimum((quantile * k).astype(np.intp), k - 1)
        return np.asarray(found[np.arange(len(wanted)), chosen])
