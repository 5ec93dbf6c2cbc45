"""The rows that an analysis uses, and why others were left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.checks import (
    as_float,
    check_all_values,
    check_names,
    check_table,
    check_values,
    quieted,
    take_column,
)
from fosa_sem.data.patterns import PIECE, MissingPatterns
from fosa_sem.errors import CoverageWarning, DataError, DroppedRowsWarning, SourceSpan

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

SMALL = 2**12
"""Cells of a table that is copied whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSample:
    """The rows of one group.

    Attributes
    ----------
    label : str
        Value of the group variable; empty if there is none.
    rows : ndarray of int, shape (n,)
        Positions in the user's table.
    values : ndarray, shape (n, p)
        NaN where missing; stored by columns.
    patterns : MissingPatterns
    """

    label: str
    rows: IntArray
    values: FloatArray
    patterns: MissingPatterns


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an analysis uses of a table.

    Attributes
    ----------
    variables : tuple of str, length p
    groups : tuple of GroupSample
        In order of first appearance.
    n_given : int
        Rows of the user's table.
    dropped : tuple of (reason, count)
    empty : ndarray of int
        Positions of the rows that were dropped only because nothing in them is observed.
    """

    variables: tuple[str, ...]
    groups: tuple[GroupSample, ...]
    n_given: int
    dropped: tuple[tuple[str, int], ...]
    empty: IntArray

    @property
    def n_used(self) -> int:
        """N."""
        return sum(g.patterns.n_rows for g in self.groups)

    def uncovered_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of variables that no row of some group observes together."""
        pairs: dict[tuple[str, str], None] = {}
        for group in self.groups:
            counts = group.patterns.pairwise_n
            if counts.all():
                continue
            a, b = np.nonzero(np.triu(counts == 0, 1))
            pairs.update({(self.variables[i], self.variables[j]): None for i, j in zip(a, b, strict=True)})
        return tuple(pairs)


def take_sample(
    data: pd.DataFrame, variables: Sequence[str], *, complete: Sequence[str] = (), listwise: bool = False,
    group: str | None = None, group_label: Sequence[str] = (), spans: dict[str, SourceSpan] | None = None,
) -> Sample:  # fmt: skip
    """Check the columns, drop the rows that cannot be used, and group the rest by pattern.

    Parameters
    ----------
    data : DataFrame
        Never changed.
    variables : sequence of str, length p
        Columns of the model.
    complete : sequence of str
        Columns in which a missing value drops the row (exogenous variables with ``fixed_x=True``).
    listwise : bool, default False
        ``complete`` are all of the variables, because the user asked for it.
    group : str, optional
        Column that holds the groups.
    group_label : sequence of str
        Which groups to use, in which order; all in order of first appearance by default.
    spans : mapping, optional
        Place of each variable in the model string, for messages.

    Returns
    -------
    Sample

    Warns
    -----
    DroppedRowsWarning
        Rows with no value at all, with a missing exogenous value, or without a group, each counted.
    CoverageWarning
        For pairs of variables that are never observed together.

    Raises
    ------
    DataError, ModelSpecificationError
        See `fosa_sem.data.checks`; also if too few rows are left.
    """
    data = check_table(data)
    check_names(data, [*variables, *([group] if group else [])], spans or {})
    columns = _columns(data, variables)
    labels = group_labels(data[group]) if group else None
    _check_group_label(labels, group_label)
    usable, dropped, empty = _usable_rows(columns, list(variables), complete, labels, group_label, listwise=listwise)
    _warn_dropped(dropped, len(data))
    if not usable.any():
        raise DataError(f"none of the {len(data)} rows can be used: " + "; ".join(f"{c} {r}" for r, c in dropped))
    if not (usable | empty).all():  # rows without any value do not change what the columns hold
        for column, name in zip(columns, variables, strict=True):
            check_values(column[usable], name)
    chosen = _groups(labels, usable, group_label)
    if len(chosen) == 1:
        groups: tuple[GroupSample, ...] = (_group_sample(*chosen[0], _compacted(columns, chosen[0][1]), variables),)
    else:
        groups = tuple(_group_sample(label, rows, columns.take(rows, axis=1), variables) for label, rows in chosen)
    if complete:
        empty[:] = False
    sample = Sample(
        variables=tuple(variables), groups=groups, n_given=len(data), dropped=dropped, empty=np.flatnonzero(empty)
    )
    _warn_uncovered(sample)
    return sample


def _columns(data: pd.DataFrame, variables: Sequence[str]) -> FloatArray:
    """Checked values of the variables, shape (p, rows)."""
    columns = np.empty((len(variables), len(data)))
    if not _at_once(data, variables, columns):
        _one_by_one(data, variables, columns)
    check_all_values(columns, variables)
    return columns


def _at_once(data: pd.DataFrame, variables: Sequence[str], columns: FloatArray) -> bool:
    """Fill in the values by way of a copy of the table, which is faster; False unless it is small and all numbers."""
    names, kinds = data.columns.tolist(), data.dtypes.tolist()
    if len(data) * len(names) > SMALL or not all(isinstance(k, np.dtype) and k.kind in "biuf" for k in kinds):
        return False
    place = {name: j for j, name in enumerate(names)}
    if not all(name in place for name in variables):  # a product of two columns has no place
        return False
    quieted(data.to_numpy(dtype=np.float64).T[[place[name] for name in variables]], out=columns)
    return True


def _one_by_one(data: pd.DataFrame, variables: Sequence[str], columns: FloatArray) -> None:
    """Fill in the values."""
    scattered = []
    for column, name in zip(columns, variables, strict=True):
        values = as_float(take_column(data, name))
        if values.flags.c_contiguous:
            quieted(values, out=column)
        else:
            scattered.append((column, values))
    # Columns that the table stores by rows are copied together, piece by piece, so that each row is fetched once.
    for start in range(0, len(data) if scattered else 0, PIECE):
        for column, values in scattered:
            quieted(values[start : start + PIECE], out=column[start : start + PIECE])


def _compacted(columns: FloatArray, rows: IntArray) -> FloatArray:
    """Some rows alone, shape (p, n), in the same memory: a second copy of a large table would be the peak of a fit."""
    if len(rows) == columns.shape[1]:
        return columns
    flat, n = columns.reshape(-1), len(rows)
    for j, column in enumerate(columns):
        flat[j * n : (j + 1) * n] = column[rows]
    return flat[: len(columns) * n].reshape(len(columns), n)


def _usable_rows(
    columns: FloatArray, variables: list[str], complete: Sequence[str], group: pd.Series | None,
    group_label: Sequence[str], *, listwise: bool,
) -> tuple[BoolArray, tuple[tuple[str, int], ...], BoolArray]:  # fmt: skip
    """Which rows are used, why others are not, and which are not only because nothing in them is observed."""
    missing = np.isnan(columns)
    usable = np.ones(columns.shape[1], dtype=bool)
    empty = np.asarray(missing.all(axis=0))
    reasons: list[tuple[str, BoolArray]] = [("empty rows", empty)]
    if group is not None:
        reasons.insert(0, (f"rows without a value of the group variable {group.name!r}", group.isna().to_numpy()))
        if group_label:
            others = group.notna() & ~group.isin(list(group_label))
            reasons.insert(1, (NOT_CHOSEN, others.to_numpy()))
        empty = empty & ~np.any([bad for _, bad in reasons[:-1]], axis=0)
    if listwise:
        reasons.append(("rows with a missing value (listwise deletion)", np.asarray(missing.any(axis=0))))
    elif complete:
        at = [variables.index(name) for name in complete]
        shown = ", ".join(complete)
        reasons.append(
            (f"rows with a missing exogenous variable ({shown}; fixed_x=True)", np.asarray(missing[at].any(axis=0)))
        )
    dropped = []
    for reason, bad in reasons:
        count = int((usable & bad).sum())
        usable &= ~bad
        if count:
            dropped.append((reason, count))
    return usable, tuple(dropped), empty


NOT_CHOSEN = "rows of groups that group_label does not name"


def _check_group_label(labels: pd.Series | None, group_label: Sequence[str]) -> None:
    known = [] if labels is None else list(labels.dropna().unique())
    absent = [label for label in group_label if label not in known]
    if absent:
        raise DataError(f"group_label names {absent[0]!r}, which no row has; the groups are {', '.join(known)}")


def _warn_dropped(dropped: tuple[tuple[str, int], ...], n_given: int) -> None:
    for reason, count in dropped:
        if reason == NOT_CHOSEN:
            continue
        warnings.warn(f"{count} of {n_given} rows were dropped: {reason}", DroppedRowsWarning, stacklevel=2)


def group_labels(group: pd.Series) -> pd.Series:
    """Groups as text: 2 and 2.0 are the same group, whatever dtype the holes of the column gave it."""
    return group.map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v), na_action="ignore")


def _groups(
    group: pd.Series | None, usable: NDArray[np.bool_], group_label: Sequence[str]
) -> list[tuple[str, IntArray]]:
    if group is None:
        return [("", np.flatnonzero(usable))]
    codes, found = pd.factorize(group.to_numpy())  # in order of first appearance, be it in a row that is dropped
    rows = np.flatnonzero(usable)
    codes = codes[rows]
    levels = [level for i, level in enumerate(found) if (codes == i).any()]
    absent = [label for label in group_label if label not in levels]
    if absent:
        known = ", ".join(str(level) for level in levels)
        raise DataError(f"group {absent[0]!r} of group_label has no row that can be used; {known} have")
    if len(levels) < 2:
        raise DataError(f"group variable {group.name!r} has {len(levels)} group with data; at least two are needed")
    if group_label:
        levels = list(group_label)
    return [(level, rows[codes == list(found).index(level)]) for level in levels]


def _group_sample(label: str, rows: IntArray, columns: FloatArray, variables: Sequence[str]) -> GroupSample:
    where = f" in group {label!r}" if label else ""
    if label:
        for column, name in zip(columns, variables, strict=True):
            try:
                check_values(column, name)
            except DataError as error:
                raise DataError(f"group {label!r}: {error}") from None
    if len(rows) <= len(variables):
        raise DataError(
            f"{len(rows)} usable rows{where} for {len(variables)} variables; "
            f"at least {len(variables) + 1} are needed for the saturated model"
        )
    return GroupSample(label=label, rows=rows, values=columns.T, patterns=MissingPatterns.from_values(columns.T))


def _warn_uncovered(sample: Sample) -> None:
    pairs = sample.uncovered_pairs()
    if pairs:
        shown = ", ".join(f"{a}-{b}" for a, b in pairs[:5]) + (" ..." if len(pairs) > 5 else "")
        warnings.warn(
            f"{len(pairs)} pair(s) of variables never observed together: {shown}; their covariance rests on the model "
            "alone, and chi-square and fit indices, which need the saturated model, are not available",
            CoverageWarning,
            stacklevel=2,
        )
