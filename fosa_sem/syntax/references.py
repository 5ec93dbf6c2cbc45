"""Labels: what they tie, and whether those that formulas use exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fosa_sem.errors import ModelSpecificationError
from fosa_sem.syntax.expressions import labels

if TYPE_CHECKING:
    from fosa_sem.syntax.table import ParameterTable, Row


def tie_key(row: Row, rows: Sequence[Row]) -> str:
    """The label under which a row is tied: that of the parameter its own label names, else its own label."""
    target = _target(row, rows)
    return row.label if target is None else target.label or target.plabel


def label_targets(rows: Sequence[Row]) -> list[Row]:
    """Rows in which a parameter that others name has its own name (``.p2.``) as label, as in lavaan.

    Raises
    ------
    ModelSpecificationError
        If a label such as ``"f=~x9"`` names no parameter of the model.
    """
    targets = {target.plabel for row in rows if (target := _target(row, rows)) is not None}
    return [replace(row, label=row.plabel) if row.plabel in targets and not row.label else row for row in rows]


def _target(row: Row, rows: Sequence[Row]) -> Row | None:
    if "~" not in row.label:
        return None
    wanted = "".join(row.label.split())
    for candidate in rows:
        names = {f"{candidate.lhs}{candidate.op}{candidate.rhs}"}
        if candidate.op == "~~":
            names.add(f"{candidate.rhs}~~{candidate.lhs}")
        if wanted in names:
            return candidate
    raise ModelSpecificationError(f"equal({row.label!r}) names no parameter of the model", row.span)


def check_labels(table: ParameterTable) -> None:
    """Every label that a formula uses must exist, and a definition needs a name of its own.

    Raises
    ------
    ModelSpecificationError
        With the closest label.
    """
    known = {text for row in table.rows for text in (row.label, row.plabel) if text}
    for statement in table.relations:
        if statement.op == ":=" and statement.lhs in known:
            raise ModelSpecificationError(f"{statement.lhs!r} is already a label", statement.span)
        for node in (node for formula in statement.formulas for node in labels(formula)):
            if node.name not in known:
                close = difflib.get_close_matches(node.name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ModelSpecificationError(f"unknown label {node.name!r} in the formula{hint}", node.span)
        if statement.op == ":=":
            known.add(statement.lhs)
