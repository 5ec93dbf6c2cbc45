"""The report as Markdown: tables in pipe syntax, figures by their description."""

from __future__ import annotations

import re

from fosa_sem.report.document import Block, Bullets, Code, Document, Figure, Paragraph, Table
from fosa_sem.report.records import FitReport, ImputationReport
from fosa_sem.report.sections import build_document

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#$&~])")
_RULES = {"l": ":---", "r": "---:", "c": ":---:"}


def report_markdown(report: FitReport, imputation: ImputationReport | None = None) -> str:
    """Return the whole report as Markdown (pipe tables); figures are replaced by their description.

    Parameters
    ----------
    report : FitReport
    imputation : ImputationReport, optional

    Returns
    -------
    str
        Ends with a newline.
    """
    return render(build_document(report, imputation))


def render(document: Document) -> str:
    """Render any document as Markdown.

    Parameters
    ----------
    document : Document
    """
    parts = [f"# {escape(document.title)}"]
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return a text without meaning to Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Figure():
            lines = [f"**{escape(block.caption)}**", escape(block.alt), *map(escape, block.notes)]
            return "\n\n".join(lines)
        case Code():
            return "\n".join("    " + line for line in block.text.splitlines())
        case Bullets():
            return "\n".join(f"- {escape(item)}" for item in block.items)
        case Paragraph():
            return f"**{escape(block.text)}**" if block.warning else escape(block.text)


def _table(table: Table) -> str:
    columns = table.columns or ("",) * len(table.align)
    lines = [_line(columns), _line(tuple(_RULES[side] for side in table.align), raw=True)]
    for i, row in enumerate(table.rows):
        cells = [escape(cell) for cell in row] + [""] * (len(columns) - len(row))
        marked = [
            f"**{cell}**" if (i, j) in table.strong or (len(row) == 1 and j == 0) else cell
            for j, cell in enumerate(cells)
        ]
        lines.append(_line(tuple(marked), raw=True))
    notes = "\n\n".join(escape(note) for note in table.notes)
    body = f"**{escape(table.caption)}**\n\n" + "\n".join(lines)
    return f"{body}\n\n{notes}" if notes else body


def _line(cells: tuple[str, ...], *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else escape(cell) for cell in cells) + " |"
