"""How much of the correction is kept for each variable, decided by cells that took no part in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.imputation.completion import FloatArray

MIN_CELLS = 10
POOLED_Z = 2.0
LEVEL = 0.05
# The least-squares coefficient of a variable is drawn to the pooled one as if by so many cells of its own kind.
PRIOR_CELLS = 100.0


def decide_gates(
    variables: Sequence[str], column: NDArray[np.intp], residual: FloatArray, correction: FloatArray
) -> pd.DataFrame:
    """Decide per variable which share of the correction is kept.

    Parameters
    ----------
    variables : sequence of str, length p
        Names.
    column : ndarray of int, shape (k,)
        Variable of each held-out cell.
    residual : ndarray, shape (k,)
        Held-out value minus its conditional mean, standardised scale.
    correction : ndarray, shape (k,)
        The network's full correction of that conditional mean, same scale.

    Returns
    -------
    DataFrame
        Columns variable, gate (in [0, 1]), gain (mean reduction of the squared error by the full correction,
        standardised scale), se (its standard error) and n_heldout. gain is NaN without a cell, se with fewer
        than two.

    Notes
    -----
    First, is there evidence? The gains of all variables are pooled, and z = mean / standard error. If the
    pooled z exceeds 2, the correction is taken as real, and only variables whose own held-out error it does not
    lower are switched off. Otherwise a variable must speak for itself: z above the one-sided 5 % point, Bonferroni
    corrected for the number of variables. Fewer than 10 cells are never evidence.

    Then, how much? The least-squares coefficient of the residual on the correction, drawn to the pooled
    coefficient by the weight of 100 cells of that variable and cut to [0, 1].

    A gate is a statement about *observed* cells hidden at random (each hidden from the network's input as
    well). It carries over to missing cells as far as those resemble them; under MNAR it need not. It is about
    squared error: a correction that lowers it may still move covariances. Cells of one row are treated as
    independent.
    """
    p = len(variables)
    gain = residual**2 - (residual - correction) ** 2
    table = pd.DataFrame([_evidence(gain[column == j]) for j in range(p)], columns=["gain", "se", "n_heldout"])
    z = _z(table["gain"].to_numpy(), table["se"].to_numpy())
    pooled_gain, pooled_se, _ = _evidence(gain)
    pooled = float(_z(np.array([pooled_gain]), np.array([pooled_se]))[0])
    alone = NormalDist().inv_cdf(1 - LEVEL / max(p, 1))
    keep = (z > 0) if pooled > POOLED_Z else (z > alone)
    keep &= table["n_heldout"].to_numpy() >= MIN_CELLS
    gate = np.where(keep, _coefficients(p, column, residual, correction), 0.0)
    table.insert(0, "variable", list(variables))
    table.insert(1, "gate", gate)
    return table


def _evidence(gain: FloatArray) -> tuple[float, float, int]:
    """Mean gain, its standard error and the number of cells."""
    n = len(gain)
    mean = float(gain.mean()) if n else math.nan
    se = float(gain.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return mean, se, n


def _z(gain: FloatArray, se: FloatArray) -> FloatArray:
    """Gain over standard error; 0 where there is no evidence either way."""
    known = np.isfinite(gain) & (np.nan_to_num(se) > 0)
    return np.divide(gain, se, out=np.zeros_like(gain), where=known)


def _coefficients(p: int, column: NDArray[np.intp], residual: FloatArray, correction: FloatArray) -> FloatArray:
    """Least-squares coefficients of residual on correction, shrunken to the pooled one, in [0, 1]."""
    cross = np.bincount(column, residual * correction, minlength=p)
    square = np.bincount(column, correction**2, minlength=p)
    if square.sum() == 0:
        return np.zeros(p)
    pooled = cross.sum() / square.sum()
    cells = np.maximum(np.bincount(column, minlength=p), 1)
    prior = PRIOR_CELLS * square / cells
    weight = np.where(square > 0, square + prior, 1.0)
    coefficients: FloatArray = np.clip((cross + prior * pooled) / weight, 0.0, 1.0)
    return coefficients


def held_out_spread(p: int, column: NDArray[np.intp], error: FloatArray, sd: FloatArray) -> FloatArray:
    """Root mean squared error of held-out cells over their conditional standard deviation, per variable.

    Parameters
    ----------
    p : int
        Number of variables.
    column : ndarray of int, shape (k,)
        Variable of each held-out cell.
    error : ndarray, shape (k,)
        Held-out value minus its corrected conditional mean, standardised scale.
    sd : ndarray, shape (k,)
        Conditional standard deviation, same scale.

    Returns
    -------
    ndarray, shape (p,)
        1 where there is nothing to go by. A variable's mean squares are drawn to the pooled ratio as if by 100 cells.
    """
    variance = np.bincount(column, sd**2, minlength=p)
    if not variance.sum() > 0:
        return np.ones(p)
    pooled = (error**2).sum() / (sd**2).sum()
    cells = np.maximum(np.bincount(column, minlength=p), 1)
    prior = PRIOR_CELLS * np.where(variance > 0, variance / cells, 1.0)
    return np.asarray(np.sqrt((np.bincount(column, error**2, minlength=p) + prior * pooled) / (variance + prior)))
