"""Scores of filled cells against the values that had been hidden."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.masking import (
    BoolArray,
    FloatArray,
    aligned_mask,
    check_unique_columns,
    numeric_values,
)

KL_BINS = 30
KL_CONSTANT = 1e-6  # added to every share, so that an empty bin does not make the divergence infinite
MAX_CATEGORIES = 10
OVERALL = "overall"
SCORES = ("mse", "rmse", "mae", "r2", "kl", "wasserstein", "cov_error")
COLUMNS = ("variable", "n_masked", "missing_rate", *SCORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredVariable:
    """One variable with hidden cells whose values are known.

    Attributes
    ----------
    name : column name
    truth : ndarray, shape (n,)
        NaN where nobody knows the value.
    completed : ndarray, shape (n,)
        ``truth`` with the imputed values at scored cells.
    scored : ndarray of bool, shape (n,)
        Hidden cells with a known value.
    hidden : ndarray of bool, shape (n,)
        Cells that the imputer did not see: hidden ones and natural holes.
    discrete : bool
        Whether the distribution is compared by category.
    """

    name: Hashable
    truth: FloatArray
    completed: FloatArray
    scored: BoolArray
    hidden: BoolArray
    discrete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationError:
    """Relative Frobenius distance between two correlation matrices.

    Attributes
    ----------
    per_variable : ndarray, shape (p,)
        That of each variable's row of the matrix.
    overall : float
        That of the whole matrix.
    """

    per_variable: FloatArray
    overall: float


def imputation_metrics(
    truth: pd.DataFrame,
    imputed: pd.DataFrame,
    mask: pd.DataFrame | BoolArray,
    *,
    discrete: Sequence[Hashable] | str | None = None,
) -> pd.DataFrame:
    """Score imputed values on cells that had been hidden from the imputer.

    Scored are the cells where ``mask`` is True and ``truth`` has a value. Errors are divided by the SD
    (divisor n) of the variable's remaining observed cells, those that the imputer could see.

    Parameters
    ----------
    truth : DataFrame, shape (n, p)
        The values before cells were hidden. It may have holes of its own; they are never scored.
    imputed : DataFrame
        The same rows in the same order, and at least the scored columns. Only its masked cells are read.
    mask : DataFrame or ndarray of bool, shape (n, p)
        True at hidden cells.
    discrete : sequence of column names, optional
        Variables whose distributions are compared by category; ``()`` for none. By default those with
        at most 10 distinct values in ``truth``, all whole numbers.

    Returns
    -------
    DataFrame
        One row per variable with scored cells, in the order of ``truth``, and last the row "overall":
        the sum of ``n_masked``, the distance of the whole matrix as ``cov_error``, and the mean over the
        variables, undefined ones left out, of every other column.

        ========================  ====================================================================
        variable                  column name
        n_masked                  number of scored cells
        missing_rate              share of cells that the imputer did not see: natural holes and masked
        mse, rmse, mae            of the standardised errors; rmse is the root of the row's mse, and
                                  overall the mean of the roots. NaN if the remaining cells have no spread
        r2                        1 - SSE / SST on the scored cells about their own mean; NaN if SST = 0
        kl                        KL(truth || imputed) of the scored cells in nats, see `kl_binned` and
                                  `kl_categories`
        wasserstein               W1 distance of the standardised scored values, see `wasserstein`
        cov_error                 distance of the correlation matrices, see `correlation_error`
        ========================  ====================================================================

    Raises
    ------
    DataError
        Shapes or labels do not fit, the mask hits no known cell, a masked cell of ``imputed`` is missing
        or infinite, a scored column is not numeric or has infinite values, a scored column is called
        "overall".
    OptionError
        ``discrete`` names an unknown column.

    Notes
    -----
    The completed data of ``cov_error`` are ``truth`` with the imputed values at scored cells: natural holes
    stay holes on both sides, so that both matrices come from the same cells, pair by pair, and what an
    imputer did elsewhere has no influence. Whether a score is defined depends on ``truth`` and ``mask``
    alone, so that the overall means of several imputers are over the same variables.
    """
    variables = scored_variables(truth, imputed, mask, discrete)
    distance = correlation_error(
        np.column_stack([v.truth for v in variables]), np.column_stack([v.completed for v in variables])
    )
    rows = [
        {"variable": v.name, "n_masked": int(v.scored.sum()), "missing_rate": float(v.hidden.mean())}
        | cell_scores(v)
        | {"cov_error": float(error)}
        for v, error in zip(variables, distance.per_variable, strict=True)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    overall: dict[Hashable, object] = {name: table[name].mean() for name in COLUMNS[2:]}
    overall |= {"variable": OVERALL, "n_masked": int(table["n_masked"].sum()), "cov_error": distance.overall}
    return pd.DataFrame([*rows, overall], columns=list(COLUMNS))


def scored_variables(
    truth: pd.DataFrame,
    imputed: pd.DataFrame,
    mask: pd.DataFrame | BoolArray,
    discrete: Sequence[Hashable] | str | None = None,
) -> list[ScoredVariable]:
    """Check the tables and collect the variables with scored cells; see `imputation_metrics`."""
    hidden = aligned_mask(truth, mask)
    check_unique_columns(imputed, "imputed")
    if len(imputed) != len(truth) or not imputed.index.equals(truth.index):
        raise DataError(
            f"imputed ({len(imputed)} rows) and truth ({len(truth)} rows) differ in their index; "
            "give the same rows in the same order"
        )
    discrete = [discrete] if isinstance(discrete, str) else discrete
    unknown = [name for name in discrete or () if name not in truth.columns]
    if unknown:
        raise OptionError(f"discrete names {unknown[0]!r}, which is not a column of truth")
    scored = hidden & truth.notna().to_numpy(dtype=bool)
    if not scored.any():
        raise DataError("the mask hits no cell that has a value in truth, so that nothing can be scored")
    return [
        _variable(truth, imputed, name, scored[:, j], hidden[:, j], discrete)
        for j, name in enumerate(truth.columns)
        if scored[:, j].any()
    ]


def _variable(
    truth: pd.DataFrame,
    imputed: pd.DataFrame,
    name: Hashable,
    scored: BoolArray,
    hidden: BoolArray,
    discrete: Sequence[Hashable] | None,
) -> ScoredVariable:
    if name == OVERALL:
        raise DataError(f"a column called {OVERALL!r} would be taken for the row of means; rename it")
    if name not in imputed.columns:
        raise DataError(f"imputed has no column {name!r}, which has masked cells")
    known = numeric_values(truth, name, "truth")
    if np.isinf(known).any():
        raise DataError(f"column {name!r} of truth has infinite values; make them missing")
    filled = numeric_values(imputed, name, "imputed")[scored]
    bad = int((~np.isfinite(filled)).sum())
    if bad:
        raise DataError(
            f"column {name!r} of imputed is missing or infinite at {bad} of {filled.size} masked cells; "
            "an imputer must fill every one"
        )
    completed = known.copy()
    completed[scored] = filled
    return ScoredVariable(
        name=name,
        truth=known,
        completed=completed,
        scored=scored,
        hidden=hidden | np.isnan(known),
        discrete=_looks_discrete(known) if discrete is None else name in discrete,
    )


def _looks_discrete(values: FloatArray) -> bool:
    distinct = np.unique(values[~np.isnan(values)])
    return distinct.size <= MAX_CATEGORIES and bool(np.all(distinct == np.round(distinct)))


def cell_scores(variable: ScoredVariable) -> dict[str, float]:
    """Scores of one variable that need no other variable: mse, rmse, mae, r2, kl, wasserstein."""
    truth, imputed = variable.truth[variable.scored], variable.completed[variable.scored]
    sd = _sd(variable.truth[~variable.hidden])
    error = imputed - truth
    mse = float(np.mean((error / sd) ** 2))
    if variable.discrete:
        kl = kl_categories(truth, imputed, np.unique(variable.truth[~np.isnan(variable.truth)]))
    else:
        kl = kl_binned(truth, imputed)
    return {
        "mse": mse,
        "rmse": float(np.sqrt(mse)),
        "mae": float(np.mean(np.abs(error / sd))),
        "r2": 1.0 - float(np.mean((error / _sd(truth)) ** 2)),
        "kl": kl,
        "wasserstein": wasserstein(truth, imputed) / sd,
    }


def _sd(values: FloatArray) -> float:
    """SD with divisor n; NaN, not a rounding error above 0, where all values are the same."""
    if values.size == 0 or values.min() == values.max():
        return np.nan
    return float(values.std())


def wasserstein(truth: FloatArray, imputed: FloatArray) -> float:
    """W1 distance of two samples of the same size: mean distance of their order statistics.

    Parameters
    ----------
    truth, imputed : ndarray, shape (m,)

    Returns
    -------
    float
        In the units of the values.
    """
    return float(np.mean(np.abs(np.sort(truth) - np.sort(imputed))))


def kl_binned(truth: FloatArray, imputed: FloatArray, bins: int = KL_BINS) -> float:
    """KL(truth || imputed) between histograms with common bins.

    Parameters
    ----------
    truth, imputed : ndarray, shape (m,)
        Imputed values outside the range of ``truth`` count in its first or last bin.
    bins : int, default 30
        Equal bins from the smallest to the largest value of ``truth``.

    Returns
    -------
    float
        In nats, after 1e-6 is added to every share and the shares are made to sum to 1; NaN if all values of
        ``truth`` are the same, for then there is no range to divide.
    """
    low, high = float(truth.min()), float(truth.max())
    if low == high:
        return np.nan
    p = np.histogram(truth, bins, range=(low, high))[0]
    q = np.histogram(np.clip(imputed, low, high), bins, range=(low, high))[0]
    return _kl(p, q)


def kl_categories(truth: FloatArray, imputed: FloatArray, categories: FloatArray) -> float:
    """KL(truth || imputed) between shares of categories.

    Parameters
    ----------
    truth, imputed : ndarray, shape (m,)
        Every value counts for the nearest category, the lower one if two are equally near.
    categories : ndarray, shape (k,)
        Distinct and ascending.

    Returns
    -------
    float
        In nats, after 1e-6 is added to every share and the shares are made to sum to 1.
    """
    borders = (categories[:-1] + categories[1:]) / 2
    p, q = (
        np.bincount(np.searchsorted(borders, values, side="left"), minlength=categories.size)
        for values in (truth, imputed)
    )
    return _kl(p, q)


def _kl(p_counts: np.ndarray, q_counts: np.ndarray) -> float:
    p, q = (counts / counts.sum() + KL_CONSTANT for counts in (p_counts, q_counts))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def correlation_error(truth: FloatArray, completed: FloatArray) -> CorrelationError:
    """Distance ||R_completed - R_truth|| / ||R_truth|| of two tables' correlation matrices (Frobenius).

    Parameters
    ----------
    truth, completed : ndarray, shape (n, p)
        With holes (NaN) at the same cells. Each correlation is over the rows that have both variables.

    Returns
    -------
    CorrelationError
        The unit diagonal counts in the norms, so that one variable alone has distance 0. A pair whose
        correlation in ``truth`` is undefined (fewer than two common rows, or no spread) is left out of
        both norms. Where only the completed variable has lost its spread, its correlation counts as 0.
    """
    defined, reference = _correlations(truth)
    _, other = _correlations(completed)
    squares = np.where(defined, (other - reference) ** 2, 0.0)
    norms = reference**2
    return CorrelationError(
        per_variable=np.sqrt(squares.sum(axis=1) / norms.sum(axis=1)),
        overall=float(np.sqrt(squares.sum() / norms.sum())),
    )


def _correlations(values: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Where the pairwise correlations are defined, and their values (1 on the diagonal, 0 if undefined)."""
    matrix = pd.DataFrame(values).corr(min_periods=2).to_numpy(copy=True)
    np.fill_diagonal(matrix, 1.0)
    return ~np.isnan(matrix), np.nan_to_num(matrix)
