"""A comparison with lavaan in words: a section for reports, and the same as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fosa_sem.report.document import Block, Bullets, Paragraph, Section, Table
from fosa_sem.report.formatting import readable
from fosa_sem.report.plain import section_text

if TYPE_CHECKING:
    from r_bridge.comparison import CrossCheck

SHOWN = 20
"""Differing numbers that are listed."""


def report_section(check: CrossCheck) -> Section:
    """The comparison as a section for `SemResults.report`."""
    blocks: list[Block] = [Paragraph(text=_verdict(check), warning=not check.ok), _quantities(check)]
    blocks += _listed(check, "differs", "Numbers that differ")
    blocks += _known(check)
    notes = _notes(check)
    blocks += [Bullets(items=notes)] if notes else []
    return Section(title="Comparison with lavaan", blocks=tuple(blocks))


def summary_text(check: CrossCheck) -> str:
    """The section as text of 80 columns."""
    return section_text(report_section(check))


def _verdict(check: CrossCheck) -> str:
    table, versions = check.table, check.versions
    differ = int((table["verdict"] == "differs").sum())
    known = int(table["verdict"].str.startswith("known: ").sum())
    where = ", ".join(f"{name} {number}" for name, number in versions.items())
    outcome = "All agree" if not differ else f"{differ} DIFFER" if differ > 1 else "One DIFFERS"
    excused = f", {known} of them but for known differences" if known and not differ else ""
    return f"{len(table)} numbers compared ({where}). {outcome}{excused}."


def _quantities(check: CrossCheck) -> Table:
    found = check.by_quantity()
    counts = [name for name in ("differ", "known") if found[name].any()]
    rows = tuple(
        (str(name), str(row["numbers"]), readable(float(row["worst"]), 2), f"{row['tolerance']:g}", str(row["unit"]),
         *(str(row[count] or "") for count in counts))
        for name, row in zip(found.index, found.to_dict("records"), strict=True)
    )  # fmt: skip
    return Table(
        caption="Largest difference (ours - lavaan) per quantity",
        columns=("Quantity", "n", "Worst", "Allowed", "In units of", *(count.capitalize() for count in counts)),
        rows=rows,
        align="lrrrl" + "r" * len(counts),
    )


def _listed(check: CrossCheck, verdict: str, caption: str) -> list[Block]:
    rows = check.table[check.table["verdict"] == verdict]
    if rows.empty:
        return []
    size = (rows["difference"].abs() / rows["tolerance"]).fillna(float("inf"))
    rows = rows.iloc[size.argsort(kind="stable")[::-1]]
    more = () if len(rows) <= SHOWN else (f"The {SHOWN} largest of {len(rows)}; .to_frame() has all.",)
    return [_numbers(rows.head(SHOWN), caption, more)]


def _numbers(rows: pd.DataFrame, caption: str, notes: tuple[str, ...]) -> Table:
    cells = tuple(
        (_where(row), readable(float(row["ours"])), readable(float(row["lavaan"])), readable(float(row["difference"])))
        for row in rows.to_dict("records")
    )
    return Table(
        caption=caption, columns=("Number", "Ours", "lavaan", "Difference"), rows=cells, align="lrrr", notes=notes
    )


def _where(row: Mapping[Any, Any]) -> str:
    group = f" [{row['group']}]" if row["group"] else ""
    return f"{row['quantity']}: {row['name']}{group}"


def _known(check: CrossCheck) -> list[Block]:
    verdicts = check.table["verdict"][check.table["verdict"].str.startswith("known: ")]
    counts = verdicts.value_counts(sort=False)
    items = tuple(f"Known ({n}): {str(verdict).removeprefix('known: ')}" for verdict, n in counts.items())
    return [Bullets(items=items)] if items else []


def _notes(check: CrossCheck) -> tuple[str, ...]:
    notes = [f"lavaan was called as {check.call}, with tight tolerances."]
    if not check.converged:
        notes.append("lavaan's optimiser did not converge: its numbers are no reference here.")
    if check.turned:
        names = ", ".join(check.turned)
        notes.append(
            f"The model leaves the sign of these factors open, and lavaan had them the other way round: {names}."
        )
    notes += [f"lavaan has no {name} for this fit: {text}" for name, text in check.failures.items()]
    notes += [f"lavaan: {text}" for text in check.warnings]
    return tuple(notes)
