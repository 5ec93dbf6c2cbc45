"""What is missing where in a table: patterns, pairs, coverage, influx and outflux, and who lacks what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_complex_dtype, is_numeric_dtype
from scipy import special

from fosa_sem.errors import DataError, OptionError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """Rows by which of a pair of variables they have; each table has shape (p, p), by name.

    Attributes
    ----------
    rr : DataFrame
        Both are observed.
    rm : DataFrame
        The variable of the row is observed, that of the column is missing.
    mr : DataFrame
        The variable of the row is missing, that of the column is observed.
    mm : DataFrame
        Both are missing.
    """

    rr: pd.DataFrame
    rm: pd.DataFrame
    mr: pd.DataFrame
    mm: pd.DataFrame


def observed_cells(data: pd.DataFrame) -> BoolArray:
    """Which cells of a table have a value.

    Parameters
    ----------
    data : DataFrame, shape (n, p)
        Columns of any type; what pandas counts as missing is missing.

    Returns
    -------
    ndarray of bool, shape (n, p)

    Raises
    ------
    DataError
        It is not a DataFrame, has no rows or no columns, or two columns share a name.
    """
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"data must be a pandas DataFrame, got {type(data).__name__}")
    if data.shape[0] == 0 or data.shape[1] == 0:
        raise DataError(f"data has {data.shape[0]} rows and {data.shape[1]} columns; at least one of each is needed")
    if not data.columns.is_unique:
        twice = data.columns[data.columns.duplicated()][0]
        raise DataError(f"column {twice!r} occurs more than once in the data; keep one")
    return data.notna().to_numpy(dtype=bool)


def md_pattern(data: pd.DataFrame) -> pd.DataFrame:
    """Missing-data patterns of a table (mice: ``md.pattern()``).

    Parameters
    ----------
    data : DataFrame, shape (n, p)
        Not changed.

    Returns
    -------
    DataFrame
        A row per pattern: 1 observed, 0 missing per variable, the variables with fewest holes first; then
        ``n_missing``, the number of missing variables, and ``n``, the number of rows. Order of rows and columns is
        that of mice, which prints ``n`` as row names and the holes per variable as a last row.

    Raises
    ------
    DataError
        See `observed_cells`.
    """
    missing = ~observed_cells(data)
    order = np.argsort(missing.sum(axis=0), kind="stable")
    packed = np.ascontiguousarray(np.packbits(missing[:, order], axis=1))  # bytes sort as the patterns do
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    patterns = missing[first][:, order]
    table = pd.DataFrame((~patterns).astype(int), columns=data.columns[order])
    # A variable may be called "n" too: what is counted always stands in the last two columns.
    table.insert(table.shape[1], "n_missing", patterns.sum(axis=1).astype(int), allow_duplicates=True)
    table.insert(table.shape[1], "n", counts, allow_duplicates=True)
    return table


def md_pairs(data: pd.DataFrame) -> PairCounts:
    """Rows in which both, one or none of each pair of variables is observed (mice: ``md.pairs()``).

    Parameters
    ----------
    data : DataFrame, shape (n, p)

    Returns
    -------
    PairCounts

    Raises
    ------
    DataError
        See `observed_cells`.
    """
    r = observed_cells(data).astype(np.int64)
    m = 1 - r

    def table(a: NDArray[np.int64], b: NDArray[np.int64]) -> pd.DataFrame:
        return pd.DataFrame(a.T @ b, index=data.columns, columns=data.columns)

    return PairCounts(rr=table(r, r), rm=table(r, m), mr=table(m, r), mm=table(m, m))


def coverage(data: pd.DataFrame) -> pd.DataFrame:
    """Share of the rows that have both of a pair of variables; on the diagonal the share that has the variable.

    Parameters
    ----------
    data : DataFrame, shape (n, p)

    Returns
    -------
    DataFrame, shape (p, p)

    Raises
    ------
    DataError
        See `observed_cells`.

    Notes
    -----
    All rows count, also empty ones; lavaan's ``lavInspect(fit, "coverage")`` and `SemResults.coverage` are about the
    rows that a fit uses.
    """
    return md_pairs(data).rr / len(data)


def uncovered_pairs(data: pd.DataFrame) -> tuple[tuple[Hashable, Hashable], ...]:
    """Pairs of variables that no row observes together: the data say nothing of their covariance.

    Parameters
    ----------
    data : DataFrame, shape (n, p)

    Returns
    -------
    tuple of (variable, variable)

    Raises
    ------
    DataError
        See `observed_cells`.
    """
    first, second = np.nonzero(np.triu(md_pairs(data).rr.to_numpy() == 0, 1))
    names = list(data.columns)
    return tuple((names[i], names[j]) for i, j in zip(first, second, strict=True))


def influx_outflux(data: pd.DataFrame) -> pd.DataFrame:
    """How well the holes of each variable connect to values elsewhere, and its values to others' holes.

    Parameters
    ----------
    data : DataFrame, shape (n, p)
        At least two columns.

    Returns
    -------
    DataFrame
        A row per variable (mice: ``flux()``; van Buuren 2018, section 4.1.3):

        - ``pobs``: share observed;
        - ``influx``: pairs in which the variable is missing and another observed, per observed value elsewhere (0 if
          complete, 1 if it is missing throughout and all others are observed);
        - ``outflux``: pairs in which it is observed and another missing, per missing value elsewhere (1 if complete);
        - ``ainb``, ``aout``: averages over the other variables of the share observed where it is missing, and of the
          share missing where it is observed;
        - ``fico``: share of rows with a hole among those that have it.

        NaN where a share is of nothing.

    Raises
    ------
    DataError
        See `observed_cells`; also for a single column.
    """
    pairs = md_pairs(data)
    if data.shape[1] < 2:
        raise DataError("influx and outflux are about pairs of variables; the data have one column")
    rr, rm, mr, mm = (table.to_numpy(dtype=float) for table in (pairs.rr, pairs.rm, pairs.mr, pairs.mm))
    observed = observed_cells(data)
    incomplete = np.asarray(~observed.all(axis=1))
    others = data.shape[1] - 1
    with np.errstate(invalid="ignore"):
        columns = {
            "pobs": observed.mean(axis=0),
            "influx": mr.sum(axis=1) / (mr + rr).sum(axis=1),
            "outflux": rm.sum(axis=1) / (rm + mm).sum(axis=1),
            "ainb": np.nansum(mr / (mr + mm), axis=1) / others,
            "aout": np.nansum(rm / (rm + rr), axis=1) / others,
            "fico": (observed & incomplete[:, None]).sum(axis=0) / observed.sum(axis=0),
        }
    return pd.DataFrame(columns, index=data.columns)


def compare_missing(data: pd.DataFrame, by: Sequence[Hashable] | str | None = None) -> pd.DataFrame:
    """Compare the rows that lack a variable with those that have it, on every other variable.

    Differences are evidence against values missing completely at random, and point to variables that belong into the
    imputation or analysis model; none of them can tell MAR from MNAR.

    Parameters
    ----------
    data : DataFrame, shape (n, p)
    by : sequence of column names, optional
        Variables whose holes divide the rows, of any type; all with holes by default.

    Returns
    -------
    DataFrame
        A row per variable in ``by`` and other column of numbers (text is not compared; code it as numbers):
        ``missing`` (the variable that divides), ``variable``, ``n_missing`` and ``n_observed`` (values in rows
        without and with it), ``mean_missing``, ``mean_observed``, ``sd_missing``, ``sd_observed``; ``smd``, the
        difference (missing minus observed) over the root of the mean of the two variances (Austin 2009); ``t``,
        ``df`` and ``pvalue`` of Welch's test (R: ``t.test()``). NaN where a side has fewer than two values, or no
        variation.

    Raises
    ------
    DataError
        See `observed_cells`.
    OptionError
        ``by`` names an unknown column, or one without holes or without values.
    """
    observed = observed_cells(data)
    names: list[Hashable] = list(data.columns)
    dividing = _dividing(names, observed, by)
    compared = [j for j, name in enumerate(names) if _is_number(data[name])]
    values = {j: data[names[j]].to_numpy(dtype=np.float64, na_value=np.nan) for j in compared}
    rows = []
    for i in dividing:
        for j in compared:
            if j != i:
                have = values[j][observed[:, i] & observed[:, j]]
                lack = values[j][~observed[:, i] & observed[:, j]]
                rows.append({"missing": names[i], "variable": names[j], **_difference(lack, have)})
    return pd.DataFrame(rows, columns=["missing", "variable", *_difference(np.empty(0), np.empty(0))])


def _is_number(column: pd.Series) -> bool:
    return bool(is_numeric_dtype(column)) and not is_complex_dtype(column)


def _dividing(names: list[Hashable], observed: BoolArray, by: Sequence[Hashable] | str | None) -> list[int]:
    splits = np.asarray(observed.any(axis=0) & ~observed.all(axis=0))
    if by is None:
        return [int(j) for j in np.flatnonzero(splits)]
    chosen = [by] if isinstance(by, str) else list(by)
    for name in chosen:
        if name not in names:
            raise OptionError(f"by names {name!r}, which is not a column of the data")
        if not splits[names.index(name)]:
            has = "no holes" if observed[:, names.index(name)].all() else "no values"
            raise OptionError(f"by names {name!r}, which has {has}: it does not divide the rows")
    return [names.index(name) for name in chosen]


def _difference(lack: FloatArray, have: FloatArray) -> dict[str, float]:
    """Means, spread, standardised difference and Welch's test of two samples."""
    mean = [float(x.mean()) if x.size else np.nan for x in (lack, have)]
    var = [float(x.var(ddof=1)) if x.size > 1 else np.nan for x in (lack, have)]
    gap, spread = mean[0] - mean[1], var[0] + var[1]
    smd = t = df = pvalue = np.nan
    if spread > 0:
        error = [var[0] / lack.size, var[1] / have.size]
        smd = gap / np.sqrt(spread / 2.0)
        t = gap / np.sqrt(sum(error))
        df = sum(error) ** 2 / (error[0] ** 2 / (lack.size - 1) + error[1] ** 2 / (have.size - 1))
        pvalue = float(2.0 * special.stdtr(df, -abs(t)))
    return {
        "n_missing": lack.size, "n_observed": have.size, "mean_missing": mean[0], "mean_observed": mean[1],
        "sd_missing": float(np.sqrt(var[0])), "sd_observed": float(np.sqrt(var[1])),
        "smd": float(smd), "t": float(t), "df": float(df), "pvalue": pvalue,
    }  # fmt: skip
