"""Whether the correction of a variable is kept, decided by cells that took no part in training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.imputation.completion import FloatArray

MIN_CELLS = 10
# In standard errors: the pooled gain that opens every gate, the loss that closes one of them all the same, and the gain
# of its own that a variable needs otherwise.
POOLED_Z = 2.0
HARMFUL_Z = -1.0
OWN_Z = 2.5
# The mean squares of a variable are drawn to the pooled ones as if by so many cells of its own kind.
PRIOR_CELLS = 100.0


def decide_gates(
    variables: Sequence[str], column: NDArray[np.intp], residual: FloatArray, correction: FloatArray
) -> pd.DataFrame:
    """Decide per variable whether the correction is kept.

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
        Columns variable, gate (0 or 1), gain (mean reduction of the squared error by the full correction,
        standardised scale), se (its standard error) and n_heldout. gain is NaN without a cell, se with fewer
        than two.

    Notes
    -----
    The gains of all variables are pooled, and z = mean / standard error. If the pooled z exceeds 2, the correction is
    taken as real, and only variables with z below -1 are switched off. Otherwise a variable must speak for itself, by
    z above 2.5. Fewer than 10 cells are never evidence. A gate is 0 or 1: shares in between, by least squares, lost
    more accuracy than they protected.

    A gate is a statement about *observed* cells hidden at random (each hidden from the network's input as
    well). It carries over to missing cells as far as those resemble them; under MNAR it need not. It is about
    squared error: a correction that lowers it may still move covariances. Cells of one row are treated as
    independent.
    """
    gain = residual**2 - (residual - correction) ** 2
    evidence = [_evidence(gain[column == j]) for j in range(len(variables))]
    table = pd.DataFrame(evidence, columns=["gain", "se", "n_heldout"])
    z = _z(table["gain"].to_numpy(), table["se"].to_numpy())
    pooled_gain, pooled_se, _ = _evidence(gain)
    pooled = float(_z(np.array([pooled_gain]), np.array([pooled_se]))[0])
    keep = (z >= HARMFUL_Z) if pooled > POOLED_Z else (z > OWN_Z)
    keep &= table["n_heldout"].to_numpy() >= MIN_CELLS
    table.insert(0, "variable", list(variables))
    table.insert(1, "gate", keep.astype(np.float64))
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
