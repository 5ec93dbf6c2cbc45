"""Parameter table -> model string: every parameter written out in lavaan's syntax."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from fosa_sem.errors import ModelSpecificationError

if TYPE_CHECKING:
    from fosa_sem.syntax.table import ParameterTable, Row

PLABEL = re.compile(r"(?<![\w.])\.p(\d+)\.(?![\w.])")


def write_table(table: ParameterTable) -> str:
    """The table as text; see `ParameterTable.to_syntax`.

    Raises
    ------
    ModelSpecificationError
        If a formula names the sample moment of a fixed exogenous variable by its row (``.p7.``).
    """
    labels = _written_labels(table)
    lines: list[str] = []
    for group in range(1, table.ngroups + 1):
        if table.ngroups > 1:
            lines.append(f"group: {group}")
        lines += [_line(row, labels[row.plabel]) for row in table.rows if row.group == group and not row.exo]
    formulas = (f"{s.lhs} {s.op} {s.rhs}" for s in table.relations)
    lines += [PLABEL.sub(lambda found: labels.get(found[0]) or found[0], formula) for formula in formulas]
    return "\n".join(lines) + "\n"


def _written_labels(table: ParameterTable) -> dict[str, str]:
    """The label of each row.

    A row's own name (``.p2.``) counts rows, so in another table it may be another row's: where it stands as a label
    or in a formula, ``p2`` is written for it.
    """
    taken = {row.label for row in table.rows} | {s.lhs for s in table.relations}
    stem = "p"
    while any(f"{stem}{i}" in taken for i in range(1, len(table.rows) + 1)):
        stem += "_"
    _refuse_sample_moments(table)
    used = {found[0] for s in table.relations for side in (s.lhs, s.rhs) for found in PLABEL.finditer(side)}

    def written(row: Row) -> str:
        own = row.label or (row.plabel if row.plabel in used else "")
        if "~" in own:  # the name of another parameter, by equal()
            own = next(r.label or r.plabel for r in table.rows if r.plabel == row.tie) if row.tie else ""
        return PLABEL.sub(rf"{stem}\1", own)

    return {row.plabel: written(row) for row in table.rows}


def _refuse_sample_moments(table: ParameterTable) -> None:
    moments = {row.plabel: f"{row.lhs}{row.op}{row.rhs}" for row in table.rows if row.exo}
    for s in table.relations:
        named = next((m[0] for m in PLABEL.finditer(f"{s.lhs} {s.rhs}") if m[0] in moments), None)
        if named:
            raise ModelSpecificationError(
                f"{named} is the sample moment {moments[named]!r}, which a model string cannot name", s.span
            )


def _line(row: Row, label: str) -> str:
    right = "1" if row.op == "~1" else row.rhs
    if row.op == "=~" and row.rhs == row.lhs:  # a latent variable without indicators
        return f"{row.lhs} =~ 0"
    modifiers = [_number(row.ustart) if not row.free else "NA"]
    if row.free and not math.isnan(row.ustart):
        modifiers.append(f"start({_number(row.ustart)})")
    bounds = {"lower": row.lower, "upper": row.upper}
    modifiers += [f"{kind}({_number(value)})" for kind, value in bounds.items() if math.isfinite(value)]
    if label:
        quote = "'" if '"' in label else '"'
        modifiers.append(f"label({quote}{label}{quote})")
    op = "~" if row.op == "~1" else row.op
    # One term per modifier: 0.6-14 does not read several modifiers before one variable.
    return f"{row.lhs} {op} " + " + ".join(f"{modifier}*{right}" for modifier in modifiers)


def _number(value: float) -> str:
    return repr(float(value))
