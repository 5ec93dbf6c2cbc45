"""Make holes in complete data by a known mechanism: MCAR, MAR or MNAR (Schouten, Lugtig & Vink 2018)."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from fosa_sem.data.missingness import observed_cells
from fosa_sem.errors import DataError, FosaWarning, OptionError
from fosa_sem.evaluate.ampute_plan import (
    LogisticType,
    Mechanism,
    Numbers,
    Rule,
    read_patterns,
    read_rules,
    read_weights,
)
from fosa_sem.evaluate.masking import numeric_columns, numeric_values, seeded_generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

_STREAM = 0x414D5055  # keeps our draws apart from those of a method that is given the same seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Amputation:
    """Data with holes, and how they came about (mice: an object of class ``mads``).

    Attributes
    ----------
    data : DataFrame, shape (n, p)
        The amputed data: same index and columns as the complete ones. A column of numbers that loses a cell has dtype
        float64.
    mask : DataFrame of bool, shape (n, p)
        True at the cells that were removed.
    patterns : DataFrame of int, shape (k, p)
        1 stays, 0 is removed; patterns that remove nothing are left out.
    freq : ndarray, shape (k,)
        Relative frequencies with which patterns got candidates; they sum to 1.
    weights : DataFrame, shape (k, p)
        Of the variables in the weighted sum scores; all 0 under MCAR.
    candidate : ndarray of int, shape (n,)
        Pattern (0-based) for which the row was a candidate.
    scores : ndarray, shape (n,)
        Standardised weighted sum scores, comparable within a pattern; NaN under MCAR.
    probability : ndarray, shape (n,)
        With which the row got its holes.
    proportion : float
        Expected share of rows with holes.
    """

    data: pd.DataFrame
    mask: pd.DataFrame
    patterns: pd.DataFrame
    freq: FloatArray
    weights: pd.DataFrame
    candidate: IntArray
    scores: FloatArray
    probability: FloatArray
    proportion: float


def ampute(
    data: pd.DataFrame, proportion: float = 0.5, mechanism: Mechanism = "MAR", *, patterns: Numbers | None = None,
    freq: Sequence[float] | None = None, weights: Numbers | None = None, std: bool = True,
    type: LogisticType | Sequence[LogisticType] = "RIGHT", odds: Numbers | None = None, by_cases: bool = True,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Remove values from complete data; `amputation` has the same arguments and tells how they were chosen.

    Returns
    -------
    DataFrame
        A copy of ``data`` with holes.

    Examples
    --------
    >>> complete = pd.DataFrame(np.random.default_rng(1).standard_normal((500, 3)), columns=["x", "y", "z"])
    >>> holes = ampute(complete, 0.3, "MAR", patterns=[[1, 0, 0]], seed=7)
    >>> bool(holes["x"].notna().all()), round(float(holes["y"].isna().mean()), 1)
    (True, 0.3)
    """
    return amputation(
        data, proportion, mechanism, patterns=patterns, freq=freq, weights=weights, std=std, type=type, odds=odds,
        by_cases=by_cases, seed=seed,
    ).data  # fmt: skip


def amputation(
    data: pd.DataFrame, proportion: float = 0.5, mechanism: Mechanism = "MAR", *, patterns: Numbers | None = None,
    freq: Sequence[float] | None = None, weights: Numbers | None = None, std: bool = True,
    type: LogisticType | Sequence[LogisticType] = "RIGHT", odds: Numbers | None = None, by_cases: bool = True,
    seed: int = 0,
) -> Amputation:  # fmt: skip
    """Remove values from complete data by a known mechanism (mice: ``ampute()``).

    Every row becomes a candidate for one pattern, at random with the frequencies ``freq``. Within the candidates of a
    pattern, a weighted sum score of the variables decides how probable it is that the row gets its holes.

    Parameters
    ----------
    data : DataFrame, shape (n, p)
        Complete; columns of numbers (under MCAR of any type). Not changed.
    proportion : float, default 0.5
        Expected share of rows with holes, above 0 and below 1; with ``by_cases=False`` share of cells.
    mechanism : {"MAR", "MCAR", "MNAR"}
        Which default ``weights`` are taken: 1 for the variables that stay (MAR) or go (MNAR). Under MCAR every
        candidate has the same probability.
    patterns : array of 0 and 1, shape (k, p) or (p,), optional
        1 stays, 0 is removed. By default one pattern per variable, which removes it alone. A DataFrame is taken by
        column names.
    freq : sequence of float, length k, optional
        Relative frequencies of the patterns; equal by default, scaled to sum to 1.
    weights : array, shape (k, p) or (p,), optional
        Of the variables in the sum scores, a row per pattern (one row serves all).
    std : bool, default True
        Standardise the variables (among the candidates of a pattern) before they are weighted.
    type : {"RIGHT", "LEFT", "MID", "TAIL"} or one per pattern
        Who loses values: rows with high, low, middling or extreme scores, by a logistic function of the score.
    odds : array, shape (k, q) or (q,), optional
        Instead of ``type``: odds of rows in the q quantile groups of the scores, from low to high; NaN at the end of a
        row for fewer groups.
    by_cases : bool, default True
        Whether ``proportion`` is of rows or of cells.
    seed : int, default 0
        Not negative; the same seed gives the same holes.

    Returns
    -------
    Amputation

    Raises
    ------
    OptionError
        An argument is outside what is allowed, or fits neither the data nor the patterns; a pattern removes
        everything under MAR; so many cells cannot be removed.
    DataError
        Values are missing already, a column is not numeric under MAR or MNAR, there are fewer than two columns, or
        scores take too few values for the quantile groups of ``odds``.

    Warns
    -----
    FosaWarning
        A pattern that removes nothing lowers ``proportion``; a pattern gets no candidate, or all of its candidates
        have the same score; odds ask for probabilities above 1, which are cut.

    Notes
    -----
    Probabilities are logistic(b + f(z)), z the standardised score, f(z) = z (RIGHT), -z (LEFT), .75 - abs(z) (MID),
    abs(z) - .75 (TAIL). mice finds the shift b for a standard normal z; here it is found for the scores at hand, so
    that the expected proportion is the one asked for with skewed scores too. Schouten, Lugtig & Vink (2018), *Journal
    of Statistical Computation and Simulation*, 88, 2909-2930.
    """
    names = _check_data(data, mechanism)
    rng = seeded_generator(seed, _STREAM)
    plan = read_patterns(patterns, freq, proportion, names, by_cases=by_cases)
    weight = read_weights(weights, plan, names, mechanism)
    rules = read_rules(type, odds, plan, mechanism)
    candidate = rng.choice(len(plan.stays), size=len(data), p=plan.freq)
    _warn_unused(candidate, len(plan.stays))
    probability, scores = np.full(len(data), plan.proportion), np.full(len(data), np.nan)
    if mechanism != "MCAR":
        values = data.to_numpy(dtype=np.float64)
        for k, rule in enumerate(rules):
            rows = np.flatnonzero(candidate == k)
            if rows.size:
                scores[rows] = _sum_scores(values[rows], weight[k], std)
                probability[rows] = _probabilities(scores[rows], rule, plan.proportion, k)
    mask = (rng.random(len(data)) < probability)[:, None] & ~plan.stays[candidate]
    return Amputation(
        data=_without(data, mask),
        mask=pd.DataFrame(mask, index=data.index, columns=data.columns),
        patterns=pd.DataFrame(plan.stays.astype(int), columns=data.columns),
        weights=pd.DataFrame(weight, columns=data.columns),
        freq=plan.freq, candidate=candidate, scores=scores, probability=probability, proportion=plan.proportion,
    )  # fmt: skip


def _check_data(data: pd.DataFrame, mechanism: str) -> list[Hashable]:
    if mechanism not in get_args(Mechanism):
        raise OptionError(f"mechanism must be one of {', '.join(get_args(Mechanism))}, got {mechanism!r}")
    observed = observed_cells(data)
    names: list[Hashable] = list(data.columns)
    if len(names) < 2:
        raise DataError("data has one column; at least two are needed to make holes in")
    if not observed.all():
        holed = names[int(np.argmin(observed.all(axis=0)))]
        raise DataError(f"column {holed!r} has holes; data must be complete (mask_cells takes data with holes)")
    numeric = set(numeric_columns(data))
    other = [name for name in names if name not in numeric]
    if other and mechanism != "MCAR":
        raise DataError(
            f"column {other[0]!r} has dtype {data[other[0]].dtype}: scores need numbers under {mechanism}; "
            "code it as numbers or leave it out"
        )
    return names


def _warn_unused(candidate: IntArray, n_patterns: int) -> None:
    unused = sorted(set(range(n_patterns)) - set(candidate.tolist()))
    if unused:
        shown = ", ".join(str(k + 1) for k in unused)
        message = f"no row became a candidate for pattern {shown}; use fewer patterns or more rows"
        warnings.warn(message, FosaWarning, stacklevel=3)


def _sum_scores(values: FloatArray, weight: FloatArray, std: bool) -> FloatArray:
    """Standardised weighted sums of one pattern's candidates; all 0 where they do not vary."""
    if len(values) < 2:
        return np.zeros(len(values))
    centred = values - values.mean(axis=0)
    size = np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    if std:
        sd = values.std(axis=0, ddof=1)
        varies = sd > 1e-12 * size
        centred, size = np.where(varies, centred / np.where(varies, sd, 1.0), 0.0), np.ones_like(size)
    scores = centred @ weight
    spread = float(scores.std(ddof=1))
    return scores / spread if spread > 1e-12 * float(size @ np.abs(weight)) else np.zeros(len(scores))


def _probabilities(scores: FloatArray, rule: Rule, proportion: float, pattern: int) -> FloatArray:
    if not scores.any():
        warnings.warn(
            f"all {len(scores)} candidates for pattern {pattern + 1} have the same score: each gets its holes with "
            f"probability {proportion:.3g}", FosaWarning, stacklevel=3,
        )  # fmt: skip
        return np.full(len(scores), proportion)
    return rule(scores, proportion)


def _without(data: pd.DataFrame, mask: BoolArray) -> pd.DataFrame:
    """Return a copy with holes where the mask is True."""
    frame, numeric = data.copy(), set(numeric_columns(data))
    for j, name in enumerate(data.columns):
        if mask[:, j].any():
            if name in numeric:
                frame[name] = np.where(mask[:, j], np.nan, numeric_values(data, name, "data"))
            else:
                frame[name] = data[name].mask(mask[:, j])
    return frame
