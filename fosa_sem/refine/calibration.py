"""How wide predicted distributions are in truth, measured on held-out cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.imputation.completion import BoolArray, FloatArray
from fosa_sem.refine.gate import MIN_CELLS, held_out_spread

LEVEL = 0.9
"""Central intervals of this probability are made to cover as many held-out cells."""
# Standard errors by which the network's distribution must be better than the rule's to be taken.
SHAPE_Z = 1.0
BISECTIONS = 40
# Conditional sds below this, on the standardised scale, come from exact dependence and measure nothing.
MIN_SD = 1e-6
# Cells of each variable that intervals are calibrated on.
MAX_CELLS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Held-out cells with what was predicted of them by the network that never learned them, standardised scale.

    Attributes
    ----------
    column : ndarray of int, shape (k,)
    residual : ndarray, shape (k,)
        Value minus conditional mean.
    correction : ndarray, shape (k,)
        Of the conditional mean, ungated.
    sd : ndarray, shape (k,)
        Conditional sd.
    level_gain : ndarray, shape (k,)
        Log probability of the true level under the network minus that under the rule; 0 for continuous variables.
    mixture : (weight, mean, sd) of ndarray, each of shape (k, C), or None
        Of the residual. None without a network.
    """

    column: NDArray[np.int64]
    residual: FloatArray
    correction: FloatArray
    sd: FloatArray
    level_gain: FloatArray
    mixture: tuple[FloatArray, ...] | None


def calibrate(variables: Sequence[str], held: HeldOut, gate: FloatArray, discrete: BoolArray) -> pd.DataFrame:
    """Choose the shape of each variable's distributions and measure their width.

    Parameters
    ----------
    variables : sequence of str, length p
    held : HeldOut
    gate : ndarray, shape (p,)
        Share of the correction that is kept.
    discrete : ndarray of bool, shape (p,)

    Returns
    -------
    DataFrame
        variable; shape: "normal" (around the refined value, with the rule's sd) or "mixture" (the network's, moved to
        the refined value), for discrete variables "levels" (the network's probabilities) or "normal" (those of a
        normal variable near the levels): the network's if held-out cells are more likely under it by a standard error;
        spread: root mean squared error as a share of the rule's sd; scale: by which deviations from the refined value
        are multiplied so that 90% intervals cover 90% of the held-out cells (split conformal: Lei et al., 2018);
        coverage: what they covered before, NaN for discrete variables and those with fewer than 10 cells.
    """
    p = len(variables)
    error = held.residual - gate[held.column] * held.correction
    spread = held_out_spread(p, held.column, error, held.sd)
    rows = []
    for j in range(p):
        cells = np.flatnonzero((held.column == j) & (held.sd > MIN_SD))
        if discrete[j]:
            rows.append(("levels" if _better(held.level_gain[held.column == j]) else "normal", 1.0, math.nan))
        elif cells.size < MIN_CELLS:
            rows.append(("normal", 1.0, math.nan))
        else:
            rows.append(_shape_and_scale(held, error, cells[:: -(-cells.size // MAX_CELLS)], spread[j], gate[j]))
    table = pd.DataFrame(rows, columns=["shape", "scale", "coverage"])
    table.insert(0, "variable", list(variables))
    table.insert(2, "spread", spread)
    return table


def _shape_and_scale(
    held: HeldOut, error: FloatArray, cells: NDArray[np.intp], spread: float, gate: float
) -> tuple[str, float, float]:
    """Shape, scale and coverage of a continuous variable."""
    own = error[cells]
    normal = (np.ones((cells.size, 1)), np.zeros((cells.size, 1)), held.sd[cells, None] * spread)
    if held.mixture is not None:
        weight, mean, width = (part[cells] for part in held.mixture)
        # About the refined value: the mixture without its own expectation.
        mixture = weight, mean - held.correction[cells, None], width
        factor, coverage = _factor(mixture, own)
        if math.isfinite(factor) and _better(log_density(mixture, own) - log_density(normal, own)):
            return "mixture", factor, coverage
    factor, coverage = _factor(normal, own)
    return "normal", factor * spread, coverage


def _factor(parts: tuple[FloatArray, ...], error: FloatArray) -> tuple[float, float]:
    """By what deviations must be multiplied for intervals to cover enough cells, and how many are covered before.

    An interval without the refined value in it, of a very skewed mixture, counts as one that covers nothing.
    """
    low, high = quantile(parts, (1 - LEVEL) / 2), quantile(parts, (1 + LEVEL) / 2)
    around = (low < 0) & (high > 0)
    ratio = np.full(len(error), np.inf)
    np.divide(error, np.where(error > 0, high, low), out=ratio, where=around)
    # The smallest factor that covers enough cells, one cell more for the next one (split conformal prediction).
    rank = min(len(error), math.ceil((len(error) + 1) * LEVEL))
    return float(np.sort(ratio)[rank - 1]), float((ratio <= 1).mean())


def _better(gain: FloatArray) -> bool:
    """Whether a mean gain is positive by a standard error."""
    if len(gain) < MIN_CELLS:
        return False
    return bool(gain.mean() > SHAPE_Z * gain.std(ddof=1) / math.sqrt(len(gain)) and gain.mean() > 0)


def log_density(mixture: tuple[FloatArray, ...], value: FloatArray) -> FloatArray:
    """Log density of mixtures of normal distributions (weight, mean, sd), each (k, C), at values of shape (k,)."""
    weight, mean, sd = mixture
    z = (value[:, None] - mean) / sd
    with np.errstate(divide="ignore"):
        parts = np.log(weight) - np.log(sd) - (z**2 + math.log(2 * math.pi)) / 2
    return np.asarray(special.logsumexp(parts, axis=1))


def quantile(mixture: tuple[FloatArray, ...], q: float | FloatArray) -> FloatArray:
    """Quantiles of mixtures of normal distributions (weight, mean, sd), each (k, C), by bisection; shape (k,)."""
    weight, mean, sd = mixture
    each = mean + sd * special.ndtri(np.broadcast_to(q, len(mean)))[:, None]
    used = weight > 0
    low = np.where(used, each, np.inf).min(axis=1)
    high = np.where(used, each, -np.inf).max(axis=1)
    safe = np.where(sd > 0, sd, 1.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        gap = middle[:, None] - mean
        below = np.where(sd > 0, special.ndtr(gap / safe), gap >= 0)
        up = (weight * below).sum(axis=1) < q
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return np.asarray((low + high) / 2)
