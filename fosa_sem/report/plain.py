"""Any section as plain text at most 80 columns wide; figures by their description."""

from __future__ import annotations

import textwrap

from fosa_sem.report.document import Block, Bullets, Code, Figure, Paragraph, Section, Table
from fosa_sem.report.formatting import display_width, pad_left, pad_right, shorten

WIDTH = 80
_GAP = 2
_NARROWEST = 8  # columns of text are shortened to this before lines are broken up


def section_text(section: Section) -> str:
    """Render a section.

    Parameters
    ----------
    section : Section

    Returns
    -------
    str
        Without a newline at the end.
    """
    parts = [f"{section.title}:", *(_block(block) for block in section.blocks)]
    return "\n\n".join(part for part in parts if part)


def _block(block: Block) -> str:
    match block:
        case Table():
            return table_text(block)
        case Figure():
            return _wrap(f"[Figure] {block.caption}. {block.alt}")
        case Code():
            return textwrap.indent(block.text, "    ")
        case Bullets():
            return "\n".join(_wrap(item, "  - ", "    ") for item in block.items)
        case Paragraph():
            return _wrap(f"WARNING: {block.text}" if block.warning else block.text)


def table_text(table: Table) -> str:
    """Render a table: columns side by side where they fit, else two-column tables with wrapped values.

    Parameters
    ----------
    table : Table
    """
    lines = [_wrap(f"{table.caption}:")]
    widths = _widths(table)
    if len(table.align) == 2 and _total(widths) > WIDTH - 2:
        lines += _pairs(table)
    else:
        widths = _fitted(widths, table.align)
        if table.columns:
            lines.append(_line(table.columns, widths, table.align))
        lines += [f"  {row[0]}" if len(row) == 1 else _line(row, widths, table.align) for row in table.rows]
    lines += [_wrap(note) for note in table.notes]
    return "\n".join(lines)


def _widths(table: Table) -> list[int]:
    rows = [row for row in (table.columns, *table.rows) if len(row) == len(table.align)]
    return [max((display_width(row[j]) for row in rows), default=0) for j in range(len(table.align))]


def _total(widths: list[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _fitted(widths: list[int], align: str) -> list[int]:
    """Narrow the widest column of text, again and again, until the line fits."""
    widths = list(widths)
    while _total(widths) > WIDTH - 2:
        text = [j for j, side in enumerate(align) if side == "l" and widths[j] > _NARROWEST]
        widest = max(text or range(len(widths)), key=lambda j: widths[j])
        widths[widest] -= 1
    return widths


def _line(row: tuple[str, ...], widths: list[int], align: str) -> str:
    cells = [shorten(cell, width) for cell, width in zip(row, widths, strict=True)]
    padded = [
        pad_right(cell, width) if side == "l" else pad_left(cell, width)
        for cell, width, side in zip(cells, widths, align, strict=True)
    ]
    return ("  " + (" " * _GAP).join(padded)).rstrip()


def _pairs(table: Table) -> list[str]:
    """Labels with long values: the value wrapped below its label."""
    lines = []
    for row in table.rows:
        if len(row) == 1:
            lines.append(f"  {row[0]}")
        elif display_width(row[0]) + display_width(row[1]) + 6 <= WIDTH:
            lines.append(f"    {row[0]}: {row[1]}")
        else:
            lines += [f"    {row[0]}:", _wrap(row[1], "        ", "        ")]
    return lines


def _wrap(text: str, first: str = "  ", rest: str = "  ") -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, initial_indent=first, subsequent_indent=rest)
