"""The distribution of every missing cell after refinement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from fosa_sem.errors import OptionError
from fosa_sem.imputation.completion import Completion, FloatArray
from fosa_sem.refine.calibration import quantile
from fosa_sem.refine.heads import Prediction

IntArray = NDArray[np.intp]
PRIOR_FREEDOM = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictive:
    """Distributions of m missing cells, each given the observed cells of its row; cells of a row are not joint.

    Attributes
    ----------
    variables : tuple of str, length p
    row, column : ndarray of int, shape (m,)
        Where the cells are, in the order of rows and then columns.
    weight, mean, sd : ndarray, shape (m, C)
        Mixtures of normal distributions on the data's scale; of a discrete cell, the rule's normal distribution.
    levels : tuple of ndarray or None, length p
        Values that a discrete variable can take.
    probability : ndarray, shape (m, L)
        Of these values, 0 beyond a variable's number of levels; NaN for continuous cells.
    """

    variables: tuple[str, ...]
    row: IntArray
    column: IntArray
    weight: FloatArray
    mean: FloatArray
    sd: FloatArray
    levels: tuple[FloatArray | None, ...]
    probability: FloatArray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def discrete(self) -> NDArray[np.bool_]:
        """Cells with levels, shape (m,)."""
        return np.array([one is not None for one in self.levels], dtype=bool)[self.column]

    def expectation(self) -> FloatArray:
        """Expected values, shape (m,)."""
        values: FloatArray = (self.weight * self.mean).sum(axis=1)
        for cells, levels in self._discrete_cells():
            values[cells] = self.probability[cells, : len(levels)] @ levels
        return values

    def quantile(self, q: float) -> FloatArray:
        """Quantiles, shape (m,); of a discrete cell, the smallest value with at least this probability below it.

        Parameters
        ----------
        q : float
            In (0, 1).

        Raises
        ------
        OptionError
            q is out of range.
        """
        if not 0 < q < 1:
            raise OptionError(f"q={q!r} is not allowed; give a number between 0 and 1")
        return self._at(np.full(len(self), float(q)))

    def interval(self, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of central intervals of this probability, each of shape (m,)."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """One draw of every cell, shape (m,)."""
        return self._at(rng.uniform(1e-12, 1 - 1e-12, len(self)))

    def most_probable(self) -> FloatArray:
        """The most probable value of discrete cells, the expected value of others; shape (m,)."""
        values = self.expectation()
        for cells, levels in self._discrete_cells():
            values[cells] = levels[self.probability[cells, : len(levels)].argmax(axis=1)]
        return values

    def probabilities(self, variable: str) -> pd.DataFrame:
        """Probabilities of a discrete variable's levels.

        Parameters
        ----------
        variable : str

        Returns
        -------
        DataFrame
            One row per missing cell, indexed by the position of its row; one column per level.

        Raises
        ------
        OptionError
            The variable is unknown or not discrete.
        """
        levels = self.levels[self.variables.index(variable)] if variable in self.variables else None
        if levels is None:
            raise OptionError(f"{variable!r} is no discrete variable of the refiner; give levels= for it")
        cells = np.flatnonzero(self.column == self.variables.index(variable))
        return pd.DataFrame(self.probability[cells, : len(levels)], index=self.row[cells], columns=levels)

    def _discrete_cells(self) -> Iterable[tuple[IntArray, FloatArray]]:
        for j, levels in enumerate(self.levels):
            if levels is not None:
                yield np.flatnonzero(self.column == j), levels

    def _at(self, q: FloatArray) -> FloatArray:
        """The quantile of each cell at its own probability."""
        values = quantile((self.weight, self.mean, self.sd), q)
        for cells, levels in self._discrete_cells():
            below = self.probability[cells, : len(levels)].cumsum(axis=1)[:, :-1] < q[cells, None]
            values[cells] = levels[below.sum(axis=1)]
        return values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkCells:
    """What the networks say of some missing cells, on the data's scale.

    Attributes
    ----------
    cells : ndarray of int, shape (c,)
        Positions among the missing cells.
    correction : ndarray, shape (c,)
        Of the conditional mean, ungated.
    between : ndarray, shape (c,)
        Variance of the networks' corrections about their average.
    networks : int
    weight, mean, sd : ndarray, shape (c, C)
        Mixture of the deviation from the conditional mean.
    probability : ndarray, shape (c, L)
    """

    cells: IntArray
    correction: FloatArray
    between: FloatArray
    networks: int
    weight: FloatArray
    mean: FloatArray
    sd: FloatArray
    probability: FloatArray


def predictive(
    completion: Completion,
    gate: FloatArray,
    calibration: pd.DataFrame,
    levels: Mapping[str, FloatArray],
    floor: FloatArray,
    network: Iterable[NetworkCells],
    components: int,
) -> Predictive:
    """Put the distributions of all missing cells together.

    Parameters
    ----------
    completion : Completion
        With conditional means and sds.
    gate : ndarray, shape (p,)
    calibration : DataFrame
        As of `calibrate`.
    levels : mapping of str to ndarray
    floor : ndarray, shape (p,)
        Added to conditional sds where probabilities of levels are computed from them.
    network : iterable of NetworkCells
        Other cells have the rule's distribution.
    components : int
        C, of the networks.

    Notes
    -----
    The calibration is one of single networks, by which held-out cells are predicted; missing cells are predicted by the
    average of all. The mean squared error of the single ones is that of the average plus the variance between them
    (Krogh & Vedelsby, 1995, eq. 7), by which on the other hand the mixture of all is wider than theirs. So a cell's
    variance is that of a single network, calibrated, less that between them, at least what independent networks leave.
    That between K networks has K - 1 degrees of freedom in a cell and is drawn to its column's mean as if by 4 more.
    """
    row, column = np.nonzero(~completion.observed)
    mean, sd = completion.mean[row, column], completion.sd[row, column]
    scale = calibration["scale"].to_numpy(dtype=np.float64)[column]
    by_network = calibration["shape"].to_numpy() != "normal"
    each = tuple(levels.get(name) for name in completion.variables)
    weight = np.zeros((len(row), components))
    weight[:, 0] = 1.0
    means, sds = np.tile(mean[:, None], components), np.tile((sd * scale)[:, None], components)
    probability = _rule_probability(mean, sd + floor[column], column, each)
    parts = list(network)
    typical = _column_means(parts, column, len(gate))
    for part in parts:
        at = part.cells
        refined = mean[at] + gate[column[at]] * part.correction
        share = PRIOR_FREEDOM / (PRIOR_FREEDOM + part.networks - 1)
        between = gate[column[at]] ** 2 * (share * typical[column[at]] + (1 - share) * part.between)
        means[at] = refined[:, None]
        sds[at] = np.sqrt(_of_average(sds[at] ** 2, between[:, None], part.networks))
        own = by_network[column[at]]
        shaped = at[own]
        weight[shaped] = part.weight[own]
        deviation = part.mean[own] - part.correction[own, None]
        total = (part.weight[own] * (deviation**2 + part.sd[own] ** 2)).sum(axis=1)
        single = scale[shaped] ** 2 * (total - part.between[own])
        stretch = np.sqrt(_of_average(single, between[own], part.networks) / total)[:, None]
        means[shaped] = refined[own, None] + stretch * deviation
        sds[shaped] = stretch * part.sd[own]
        probability[shaped] = part.probability[own]
    probability[[each[j] is None for j in column]] = np.nan
    return Predictive(
        variables=completion.variables, row=row, column=column, weight=weight, mean=means, sd=sds, levels=each,
        probability=probability,
    )  # fmt: skip


def _column_means(parts: Iterable[NetworkCells], column: IntArray, p: int) -> FloatArray:
    """Mean variance between networks of each column's cells; 0 without cells."""
    total, number = np.zeros(p), np.zeros(p)
    for part in parts:
        total += np.bincount(column[part.cells], part.between, minlength=p)
        number += np.bincount(column[part.cells], minlength=p)
    return total / np.maximum(number, 1)


def _of_average(single: FloatArray, between: FloatArray, networks: int) -> FloatArray:
    """Variance about the average of networks, from that about single ones and that between them."""
    return np.asarray(np.maximum(single - between, single / networks))


def _rule_probability(
    mean: FloatArray, sd: FloatArray, column: IntArray, levels: tuple[FloatArray | None, ...]
) -> FloatArray:
    """Probabilities of levels by the height of the rule's normal density at them: where the networks start from."""
    table = np.zeros((len(mean), max([0, *(len(one) for one in levels if one is not None)])))
    for j, one in enumerate(levels):
        cells = np.flatnonzero(column == j)
        if one is not None and cells.size:
            distance = (one - mean[cells, None]) / sd[cells, None]
            table[cells, : len(one)] = softmax(-(distance**2) / 2, axis=1)
    return table


def network_cells(
    prediction: Prediction, cells: NDArray[np.intp], at: tuple[NDArray[np.intp], NDArray[np.intp]], scale: FloatArray
) -> NetworkCells:
    """The networks' average distribution of cells at (row, column) of a prediction, on the data's scale."""

    def stacked(table: Tensor) -> FloatArray:
        """From (K, n, p, C) to (cells, K C)."""
        picked = table.cpu().numpy()[:, at[0], at[1]]
        return np.moveaxis(picked, 0, 1).reshape(len(cells), -1).astype(np.float64)

    mixture, levels = prediction.mixture, prediction.levels
    networks = mixture.mean.shape[0]
    probability = np.zeros((len(cells), 0))
    if levels is not None:
        probability = levels.log_probability.exp().mean(dim=0).cpu().numpy()[at].astype(np.float64)
    return NetworkCells(
        cells=cells,
        correction=scale * prediction.correction.mean(dim=0).cpu().numpy()[at].astype(np.float64),
        between=scale**2 * prediction.correction.var(dim=0, correction=0).cpu().numpy()[at].astype(np.float64),
        networks=networks,
        weight=stacked(mixture.log_weight.exp()) / networks,
        mean=scale[:, None] * stacked(mixture.mean),
        sd=scale[:, None] * stacked(mixture.log_scale.exp()),
        probability=probability,
    )
