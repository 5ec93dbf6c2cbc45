"""Effect coding: the scale of a factor is the average of its indicators' (Little, Slegers & Card 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fosa_sem.errors import SourceSpan
from fosa_sem.syntax.expressions import Node
from fosa_sem.syntax.names import VariableNames
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import Row

_NOWHERE = SourceSpan(1, 1, 1, "")


def effect_coding(
    rows: Sequence[Row], names: VariableNames, kinds: Sequence[str]
) -> tuple[list[Row], tuple[Statement, ...]]:
    """Constraints that let loadings average 1 and intercepts sum to 0, as lavaan's ``effect.coding`` does.

    Parameters
    ----------
    rows : sequence of Row
        Of all groups.
    names : VariableNames
    kinds : sequence of {"loadings", "intercepts"}

    Returns
    -------
    rows : list of Row
        With free means of the factors whose indicators' intercepts sum to 0, unless the user wrote them.
    constraints : tuple of Statement
        A factor with a loading (intercept) that is fixed has none.
    """
    rows, constraints = list(rows), []
    if not kinds:
        return rows, ()
    groups = {row.group: None for row in rows}
    for group, factor in ((group, factor) for group in groups for factor in names.latent):
        loadings = [row for row in rows if row.op == "=~" and row.lhs == factor and row.group == group]
        if "loadings" in kinds and loadings and all(row.free for row in loadings):
            constraints.append(_sum_is(loadings, len(loadings)))
        indicators = {row.rhs for row in loadings}
        intercepts = [row for row in rows if row.op == "~1" and row.lhs in indicators and row.group == group]
        if "intercepts" in kinds and intercepts and all(row.free for row in intercepts):
            constraints.append(_sum_is(intercepts, 0))
            is_mean = [r.op == "~1" and r.lhs == factor and r.group == group and not r.user for r in rows]
            rows = [
                replace(row, free=1, ustart=float("nan")) if mean else row
                for row, mean in zip(rows, is_mean, strict=True)
            ]
    return rows, tuple(constraints)


def _sum_is(rows: Sequence[Row], total: int) -> Statement:
    """The first parameter equals the total less the others."""
    first, *others = (Node("label", _NOWHERE, name=row.plabel) for row in rows)
    right = Node("number", _NOWHERE, value=float(total))
    for other in others:
        right = Node("call", _NOWHERE, name="-", parts=(right, other))
    text = "-".join([str(total), *(other.name for other in others)])
    return Statement(lhs=first.name, op="==", rhs=text, block=0, span=_NOWHERE, left=_NOWHERE, formulas=(first, right))
