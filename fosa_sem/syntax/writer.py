"""Parameter table -> model string: every parameter written out in lavaan's syntax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fosa_sem.syntax.table import ParameterTable, Row


def write_table(table: ParameterTable) -> str:
    """The table as text; see `ParameterTable.to_syntax`."""
    lines: list[str] = []
    for group in range(1, table.ngroups + 1):
        if table.ngroups > 1:
            lines.append(f"group: {group}")
        lines += [_line(row) for row in table.rows if row.group == group and not row.exo]
    lines += [f"{s.lhs} {s.op} {s.rhs}" for s in table.relations]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    right = "1" if row.op == "~1" else row.rhs
    if row.op == "=~" and row.rhs == row.lhs:  # a latent variable without indicators
        return f"{row.lhs} =~ 0"
    modifiers = [_number(row.ustart) if not row.free else "NA"]
    if row.free and not math.isnan(row.ustart):
        modifiers.append(f"start({_number(row.ustart)})")
    bounds = {"lower": row.lower, "upper": row.upper}
    modifiers += [f"{kind}({_number(value)})" for kind, value in bounds.items() if math.isfinite(value)]
    if row.label:
        modifiers.append(f'label("{row.label}")')
    op = "~" if row.op == "~1" else row.op
    # One term per modifier: 0.6-14 does not read several modifiers before one variable.
    return f"{row.lhs} {op} " + " + ".join(f"{modifier}*{right}" for modifier in modifiers)


def _number(value: float) -> str:
    return repr(float(value))
