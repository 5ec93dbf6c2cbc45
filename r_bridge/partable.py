"""A parameter table of lavaan as a model string of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from fosa_sem.errors import DataError
from fosa_sem.syntax.names import VariableNames
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.table import ParameterTable, Row

_RELATIONS = ("==", "<", ">", ":=")
_NEEDED = ("lhs", "op", "rhs", "free", "ustart", "label", "plabel")


def model_of(table: pd.DataFrame) -> str:
    """Write a parameter table of lavaan (``parTable(fit)``) as a model for `fosa_sem.lavaan`.

    Parameters
    ----------
    table : DataFrame
        lavaan's columns.

    Returns
    -------
    str
        Every parameter but the moments of fixed exogenous variables, free or fixed, with starts, bounds, labels and
        constraints; equality that lavaan added for shared labels is in the labels.

    Raises
    ------
    DataError
        If a column is missing.
    ModelSyntaxError
        If a formula is not one of our language.
    """
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise DataError(f"this is no parameter table of lavaan: it has no column {missing[0]!r}")
    records = table.to_dict("records")
    rows = tuple(_row(record) for record in records if record["op"] not in _RELATIONS)
    tied = {row.plabel: row.label for row in rows}
    formulas = [
        f"{r['lhs']} {r['op']} {r['rhs']}"
        for r in records
        if r["op"] in _RELATIONS and not (r["op"] == "==" and _by_label(tied, r["lhs"], r["rhs"]))
    ]
    return ParameterTable(
        rows=rows,
        relations=parse_model("\n".join(formulas)) if formulas else (),
        names=VariableNames(
            observed=(), latent=(), observed_x=(), latent_x=(), pure_outcomes=(), composites=(), single_indicators=()
        ),
        ngroups=max((row.group for row in rows), default=1),
        fixed_x=any(row.exo for row in rows),
    ).to_syntax()


def _by_label(label_of: dict[str, str], lhs: str, rhs: str) -> bool:
    return bool(label_of.get(lhs)) and label_of[lhs] == label_of.get(rhs)


def _row(record: Mapping[Any, Any]) -> Row:
    def number(name: str, default: float) -> float:
        value = record.get(name, default)
        return default if value is None or pd.isna(value) else float(value)

    def text(name: str) -> str:
        value = record.get(name)
        return "" if value is None or pd.isna(value) else str(value)

    free = int(number("free", 0.0))
    return Row(
        lhs=text("lhs"), op=text("op"), rhs=text("rhs"), user=True, group=int(number("group", 1.0)), free=free,
        exo=bool(number("exo", 0.0)), ustart=number("ustart", math.nan), lower=number("lower", -math.inf) if free else
        -math.inf, upper=number("upper", math.inf) if free else math.inf, label=text("label"), plabel=text("plabel"),
        span=None,
    )  # fmt: skip
