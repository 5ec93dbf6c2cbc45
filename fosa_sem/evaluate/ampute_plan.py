"""What `ampute` is asked for, checked: patterns, their frequencies and weights, and who loses values."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special

from fosa_sem.errors import DataError, FosaWarning, OptionError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Mechanism: TypeAlias = Literal["MCAR", "MAR", "MNAR"]
LogisticType: TypeAlias = Literal["RIGHT", "LEFT", "MID", "TAIL"]
Numbers: TypeAlias = Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[np.generic] | pd.DataFrame
Rule: TypeAlias = Callable[[FloatArray, float], FloatArray]
"""From standardised scores of a pattern's candidates and the proportion asked for to probabilities."""

_CENTRE = 0.75  # about the mean of |z| of a standard normal z; mice's constant
_REACH = 60.0  # a logistic shift beyond which every probability is 0 or 1
_SHAPES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "RIGHT": lambda z: z,
    "LEFT": lambda z: -z,
    "MID": lambda z: _CENTRE - np.abs(z),
    "TAIL": lambda z: np.abs(z) - _CENTRE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Patterns that remove something.

    Attributes
    ----------
    stays : ndarray of bool, shape (k, p)
    freq : ndarray, shape (k,)
        Sums to 1.
    proportion : float
        Expected share of rows with holes.
    given : int
        Patterns that the user gave, also those that remove nothing.
    kept : ndarray of int, shape (k,)
        Which of them these are.
    """

    stays: BoolArray
    freq: FloatArray
    proportion: float
    given: int
    kept: npt.NDArray[np.intp]

    def rows(self, matrix: FloatArray, what: str) -> FloatArray:
        """One row per pattern, of a matrix with one row for all, or one for each of those given or kept."""
        if len(matrix) == 1:
            return np.repeat(matrix, len(self.stays), axis=0)
        if len(matrix) == self.given:
            return matrix[self.kept]
        if len(matrix) == len(self.stays):
            return matrix
        raise OptionError(f"{what} has {len(matrix)} rows; give one, or one for each of the {self.given} patterns")


def read_patterns(
    patterns: Numbers | None, freq: Sequence[float] | None, proportion: float, names: Sequence[Hashable], *,
    by_cases: bool,
) -> Patterns:  # fmt: skip
    """Check patterns and frequencies, and drop patterns that remove nothing, with a warning.

    Raises
    ------
    OptionError
        They hold other numbers than allowed, do not fit each other or the data, or remove nothing; or so many cells
        cannot be removed.
    """
    if isinstance(proportion, bool) or not isinstance(proportion, (int, float)) or not 0 < proportion < 1:
        raise OptionError(f"proportion must be a number above 0 and below 1, got {proportion!r}")
    stays = 1.0 - np.eye(len(names)) if patterns is None else _of_variables(patterns, names, "patterns")
    if not np.isin(stays, (0.0, 1.0)).all():
        raise OptionError("patterns must hold 0 (removed) and 1 (stays) only")
    share = np.ones(len(stays)) if freq is None else _numbers(freq, "freq")[0]
    if share.shape != (len(stays),) or not np.isfinite(share).all() or (share < 0).any() or share.sum() == 0:
        raise OptionError(f"freq must hold {len(stays)} numbers, one per pattern, none negative and not all 0")
    kept = np.flatnonzero((stays == 0).any(axis=1))
    left = float(share[kept].sum() / share.sum())
    if left == 0:
        raise OptionError("the patterns remove nothing; put a 0 where values are to go missing")
    if left < 1:
        proportion *= left
        warnings.warn(
            f"patterns without a 0 remove nothing: the proportion with holes becomes {proportion:.3g}",
            FosaWarning, stacklevel=4,
        )  # fmt: skip
    removed, freq_kept = stays[kept].astype(bool), share[kept] / share[kept].sum()
    if not by_cases:
        proportion = _share_of_rows(proportion, removed, freq_kept)
    return Patterns(stays=removed, freq=freq_kept, proportion=float(proportion), given=len(stays), kept=kept)


def read_weights(
    weights: Numbers | None, patterns: Patterns, names: Sequence[Hashable], mechanism: Mechanism
) -> FloatArray:
    """Weights of the variables in each pattern's scores, shape (k, p); zeros under MCAR.

    Raises
    ------
    OptionError
        They do not fit, are all 0 for a pattern, or are given under MCAR; a pattern leaves nothing to MAR.
    """
    if mechanism == "MCAR":
        if weights is not None:
            raise OptionError("weights have no meaning under MCAR; leave them out, or choose MAR or MNAR")
        return np.zeros(patterns.stays.shape)
    if mechanism == "MAR" and not patterns.stays.any(axis=1).all():
        raise OptionError("a pattern that removes every variable leaves nothing on which MAR could depend")
    if weights is None:
        return (patterns.stays if mechanism == "MAR" else ~patterns.stays).astype(float)
    matrix = patterns.rows(_of_variables(weights, names, "weights"), "weights")
    if not matrix.any(axis=1).all():
        raise OptionError("weights has a row of zeros only; every pattern needs a variable on which it depends")
    return matrix


def read_rules(
    type: LogisticType | Sequence[LogisticType], odds: Numbers | None, patterns: Patterns, mechanism: Mechanism
) -> list[Rule]:
    """For each pattern, how scores become probabilities.

    Raises
    ------
    OptionError
        Unknown types, odds that are negative or all 0, numbers of them that do not fit, or odds under MCAR.
    """
    if odds is None:
        types = [type] * patterns.given if isinstance(type, str) else list(type)
        if not set(types) <= set(_SHAPES):
            raise OptionError(f"type must be one of {', '.join(_SHAPES)}, or one per pattern; got {type!r}")
        which = patterns.rows(np.arange(float(len(types)))[:, None], "type")[:, 0]
        return [_logistic(_SHAPES[types[int(k)]]) for k in which]
    if mechanism == "MCAR":
        raise OptionError("odds have no meaning under MCAR; leave them out, or choose MAR or MNAR")
    rows = [row[~np.isnan(row)] for row in patterns.rows(_numbers(odds, "odds"), "odds")]
    if any((row < 0).any() or not np.isfinite(row).all() or row.sum() == 0 for row in rows):
        raise OptionError("odds must be finite, not negative, and not all 0 in a row")
    return [_by_quantile(row) for row in rows]


def _of_variables(given: Numbers, names: Sequence[Hashable], what: str) -> FloatArray:
    """Rows of one finite number per variable; a DataFrame is taken by its column names."""
    if isinstance(given, pd.DataFrame):
        if set(given.columns) != set(names) or given.shape[1] != len(names):
            raise OptionError(f"{what} must have the columns of the data")
        given = given[list(names)].to_numpy()
    matrix = _numbers(given, what)
    if matrix.shape[1] != len(names):
        raise OptionError(f"{what} has {matrix.shape[1]} columns and the data {len(names)}; they must agree")
    if not np.isfinite(matrix).all():
        raise OptionError(f"{what} must hold finite numbers")
    return matrix


def _numbers(given: object, what: str) -> FloatArray:
    try:
        matrix = np.atleast_2d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        raise OptionError(f"{what} must hold numbers, in rows of the same length") from None
    if matrix.ndim != 2 or matrix.size == 0:
        raise OptionError(f"{what} must be a matrix, got shape {matrix.shape}")
    return matrix


def _share_of_rows(proportion: float, stays: BoolArray, freq: FloatArray) -> float:
    """Share of rows with holes that removes the share of cells, to which patterns contribute by their frequency."""
    rows = float((proportion * stays.shape[1] * freq / (~stays).sum(axis=1)).sum())
    if rows >= 1:
        raise OptionError(
            f"a proportion {proportion:.3g} of the cells would need holes in {rows:.0%} of the rows with these "
            "patterns; lower it, or let patterns remove more variables"
        )
    return rows


def _logistic(shape: Callable[[FloatArray], FloatArray]) -> Rule:
    def probabilities(z: FloatArray, proportion: float) -> FloatArray:
        pull = shape(z)
        reach = _REACH + float(np.abs(pull).max())
        shift = optimize.brentq(lambda b: special.expit(b + pull).mean() - proportion, -reach, reach, xtol=1e-10)
        return np.asarray(special.expit(shift + pull))

    return probabilities


def _by_quantile(odds: FloatArray) -> Rule:
    def probabilities(z: FloatArray, proportion: float) -> FloatArray:
        edges = np.quantile(z, np.linspace(0.0, 1.0, len(odds) + 1))
        if np.any(np.diff(edges) <= 0):
            raise DataError(
                f"the scores take too few values for {len(odds)} quantile groups; give fewer odds, or weights on more "
                "variables"
            )
        wanted = len(odds) * proportion * odds / odds.sum()
        if (wanted > 1).any():
            warnings.warn(
                "odds ask for probabilities above 1, which are cut: fewer rows get holes", FosaWarning, stacklevel=5
            )
        # A score on an edge belongs to the group above it, the largest to the last.
        group = np.clip(np.searchsorted(edges, z, side="right") - 1, 0, len(odds) - 1)
        return np.asarray(np.minimum(wanted, 1.0)[group])

    return probabilities
