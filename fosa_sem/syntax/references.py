"""Labels: which parameters they make equal, and whether those that formulas use exist."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fosa_sem.errors import ModelSpecificationError, ModelWarning
from fosa_sem.syntax.expressions import labels

if TYPE_CHECKING:
    from fosa_sem.syntax.table import ParameterTable, Row


def tie_equal(rows: Sequence[Row], is_shared: Callable[[Row], bool]) -> list[Row]:
    """Make parameters equal that share a label, that ``equal()`` names, or that groups share (as `lavaanify`).

    Each set carries its first parameter's own name (``.p2.``) as `tie`, and as label where the user gave none. If
    one of a set is fixed, all are fixed at the value of the first that is.

    Parameters
    ----------
    rows : sequence of Row
    is_shared : callable
        Whether a row without a label is equal to its first group's.

    Raises
    ------
    ModelSpecificationError
        If ``equal("f=~x9")`` names no parameter of the model.

    Warns
    -----
    ModelWarning
        If parameters of one label are fixed at different values.
    """
    if not any(row.label or row.group > 1 for row in rows):
        return list(rows)
    sets: dict[str, list[Row]] = {}
    for row, key in zip(rows, _keys(rows, is_shared), strict=True):
        sets.setdefault(key, []).append(row)
    tied = {row.plabel: new for members in sets.values() for row, new in zip(members, _tie(members), strict=True)}
    return [tied[row.plabel] for row in rows]


def _keys(rows: Sequence[Row], is_shared: Callable[[Row], bool]) -> list[str]:
    """What each parameter goes by: its label, else the name of the parameter itself, which ``equal()`` may use."""
    own = [_name(row) + (f".g{row.group}" if row.group > 1 and not is_shared(row) else "") for row in rows]
    keys: dict[str, str] = {}
    for row, name in zip(rows, own, strict=True):
        keys.setdefault(name, row.label or name)
        if row.op == "~~":
            keys.setdefault(name.replace(_name(row), f"{row.rhs}~~{row.lhs}"), row.label or name)
    found = []
    for row, name in zip(rows, own, strict=True):
        if "~" not in row.label:
            found.append(row.label or name)
        elif row.label not in keys:
            raise ModelSpecificationError(f"equal({row.label!r}) names no parameter of the model", row.span)
        else:
            found.append(keys[row.label])
    return found


def _name(row: Row) -> str:
    return f"{row.lhs}{row.op}{row.rhs}"


def _tie(members: Sequence[Row]) -> list[Row]:
    """One set of equal parameters; its bounds are the widest that one of them has."""
    first, *others = members
    if not others:
        return [first]
    fixed = [row for row in members if not row.free]
    if any(row.ustart != fixed[0].ustart for row in fixed if row.label and not math.isnan(row.ustart)):
        warnings.warn(
            f"the label {first.label!r} ties parameters that are fixed at different values; "
            f"{fixed[0].ustart:g}, the first, is used",
            ModelWarning,
            stacklevel=2,
        )
    if fixed:
        return [replace(row, free=0, ustart=fixed[0].ustart) for row in members]
    lower = min((row.lower for row in members if math.isfinite(row.lower)), default=-math.inf)
    upper = max((row.upper for row in members if math.isfinite(row.upper)), default=math.inf)
    return [
        replace(row, label=row.label or first.plabel, tie=first.plabel, lower=lower, upper=upper) for row in members
    ]


def check_labels(table: ParameterTable) -> None:
    """Every label that a formula uses must exist, and a definition needs a name of its own.

    Raises
    ------
    ModelSpecificationError
        With the closest label.

    Warns
    -----
    ModelWarning
        For a label that is also a variable: ``y ~ x*z`` labels the slope of z, where ``x:z`` may be meant.
    """
    _warn_of_variables_as_labels(table)
    known = {text for row in table.rows for text in (row.label, row.plabel) if text}
    for statement in table.relations:
        if statement.op == ":=" and statement.lhs in known:
            raise ModelSpecificationError(f"{statement.lhs!r} is already a label", statement.span)
        for node in (node for formula in statement.formulas for node in labels(formula)):
            if node.name not in known:
                raise ModelSpecificationError(_unknown(node.name, known), node.span)
        if statement.op == ":=":
            known.add(statement.lhs)


def _warn_of_variables_as_labels(table: ParameterTable) -> None:
    variables = {*table.names.observed, *table.names.latent}
    for label in dict.fromkeys(row.label for row in table.rows if row.label in variables):
        row = next(r for r in table.rows if r.label == label)
        shown = f"{row.lhs} {row.op} {label}*{row.rhs or 1}"
        warnings.warn(
            f"{label!r} is a variable and, in '{shown}', a label of the parameter; a product is written "
            f"'{label}:{row.rhs or 1}'",
            ModelWarning,
            stacklevel=2,
        )


def _unknown(name: str, known: set[str]) -> str:
    labels_only = sorted(text for text in known if not text.startswith(".p"))
    close = difflib.get_close_matches(name, labels_only, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f": the labels are {', '.join(labels_only)}"
    return f"unknown label {name!r} in the formula" + (hint if labels_only else ": the model has no labels")
