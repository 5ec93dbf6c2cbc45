"""The parameter table arranged as a statistician reads it: loadings, regressions, covariances ..."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fosa_sem.report.formatting import clean
from fosa_sem.report.records import Columns, FitReport

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRow:
    """One parameter, ready to print.

    Attributes
    ----------
    name : str
        Right-hand side, or the variable of a mean or variance; a leading dot marks a residual.
    label : str
    values : dict
        The row of the table; est se z pvalue ci_lower ci_upper std_lv std_all fmi are floats, NaN where undefined.
    fixed : bool
        Whether it has no standard error because it was not estimated.
    """

    name: str
    label: str
    values: Record
    fixed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """Parameters that share a left-hand side; `heading` is empty where every row names its own variable."""

    heading: str
    rows: tuple[ParameterRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterBlock:
    """Parameters of one kind."""

    title: str
    groups: tuple[ParameterGroup, ...]


VALUES = ("est", "se", "z", "pvalue", "ci_lower", "ci_upper", "std_lv", "std_all", "fmi")
_OWN_NAME = frozenset({"Intercepts", "Variances"})
_ORDER = (
    "Latent Variables",
    "Composites",
    "Regressions",
    "Covariances",
    "Intercepts",
    "Variances",
    "Other Parameters",
)
_TITLES = {"=~": "Latent Variables", "<~": "Composites", "~": "Regressions", "~1": "Intercepts"}
_MODEL_WIDE = {":=": "Defined Parameters", "==": "Constraints", "<": "Constraints", ">": "Constraints"}


def records_of_group(columns: Columns, labels: tuple[str, ...], index: int) -> list[Record]:
    """Rows of one group, a dict each.

    Parameters
    ----------
    columns : columns
        With or without ``group``, which holds 1-based numbers or labels.
    labels : tuple of str
        Labels of all groups.
    index : int
        0-based group.

    Returns
    -------
    list of dict
        All rows where there is one group or no column ``group``.
    """
    records = _records(columns)
    if "group" not in columns or len(labels) == 1:
        return records
    return [record for record in records if record["group"] in (index + 1, labels[index])]


def group_blocks(report: FitReport, index: int) -> tuple[ParameterBlock, ...]:
    """Return the parameters of one group, by kind, in lavaan's order.

    Parameters
    ----------
    report : FitReport
    index : int
        0-based group.

    Returns
    -------
    tuple of ParameterBlock
        Without defined parameters and constraints, which belong to no group.
    """
    own = records_of_group(_with_numbers(report.parameters), report.group_labels, index)
    records = [record for record in own if record["op"] not in _MODEL_WIDE]
    endogenous = {r["rhs"] for r in records if r["op"] == "=~"}
    endogenous |= {r["lhs"] for r in records if r["op"] in ("~", "<~")}
    by_title: dict[str, list[Record]] = {title: [] for title in _ORDER}
    for record in records:
        by_title[_title(record)].append(record)
    return tuple(_block(title, rows, endogenous) for title, rows in by_title.items() if rows)


def model_wide_blocks(report: FitReport) -> tuple[ParameterBlock, ...]:
    """Return defined parameters and constraints, which belong to no group.

    Returns
    -------
    tuple of ParameterBlock
    """
    by_title: dict[str, list[ParameterRow]] = {title: [] for title in dict.fromkeys(_MODEL_WIDE.values())}
    some = not _MODEL_WIDE.keys().isdisjoint(report.parameters["op"])
    for record in _records(_with_numbers(report.parameters)) if some else ():
        if record["op"] not in _MODEL_WIDE:
            continue
        title = _MODEL_WIDE[str(record["op"])]
        defined = title == "Defined Parameters"
        name = clean(record["lhs"])
        if not defined:
            name = f"{name} {record['op']} {clean(record['rhs'])}"
        by_title[title].append(ParameterRow(name=name, label="", values=record, fixed=not defined))
    return tuple(
        ParameterBlock(title=title, groups=(ParameterGroup(heading="", rows=tuple(rows)),))
        for title, rows in by_title.items()
        if rows
    )


def _records(columns: Columns) -> list[Record]:
    names = [str(name) for name in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]


def _title(record: Record) -> str:
    if record["op"] == "~~":
        return "Variances" if record["lhs"] == record["rhs"] else "Covariances"
    return _TITLES.get(str(record["op"]), "Other Parameters")


def _block(title: str, records: list[Record], endogenous: set[object]) -> ParameterBlock:
    residual = title in {"Covariances", "Intercepts", "Variances"}

    def shown(name: object) -> str:
        return ("." if residual and name in endogenous else "") + clean(name)

    groups: dict[str, list[ParameterRow]] = {}
    for record in records:
        own = title in _OWN_NAME
        heading = "" if own else f"{shown(record['lhs'])} {record['op']}"
        name = shown(record["lhs"] if own else record["rhs"])
        fixed = not record["free"] and not record["se"] > 0
        row = ParameterRow(name=name, label=clean(record["label"]), values=record, fixed=fixed)
        groups.setdefault(heading, []).append(row)
    return ParameterBlock(
        title=title,
        groups=tuple(ParameterGroup(heading=heading, rows=tuple(rows)) for heading, rows in groups.items()),
    )


def _with_numbers(columns: Columns) -> dict[str, Any]:
    """The columns, and those of `VALUES` as floats, NaN where undefined."""
    found: dict[str, Any] = {name: columns[name] for name in map(str, columns)}
    undefined = [math.nan] * len(found["op"])
    return found | {key: _floats(found[key]) if key in found else undefined for key in VALUES}


def _floats(column: Sequence[Any]) -> Sequence[float]:
    if set(map(type, column)) == {float}:
        return column
    return [math.nan if value is None or value is pd.NA else float(value) for value in column]
