"""A document as data: sections of tables, figures and text that any renderer can walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of finished strings.

    Attributes
    ----------
    caption : str
    columns : tuple of str
        Headings; empty for a list of labels and values.
    rows : tuple of tuple of str
        Cells. A row of one cell is a subheading that spans the table.
    align : str
        One of "l", "r", "c" per column.
    notes : tuple of str
        Lines under the table.
    strong : frozenset of (row, column)
        Cells to emphasise.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    notes: tuple[str, ...] = ()
    strong: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure that is drawn only when a renderer asks for it.

    Attributes
    ----------
    caption : str
    alt : str
        What the figure shows, in words.
    draw : callable
        Returns the matplotlib figure.
    notes : tuple of str
        Lines under the figure.
    """

    caption: str
    alt: str
    draw: Callable[[], MplFigure]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One paragraph of plain text; `warning` sets it apart."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Text to be shown as it is, in a fixed-width face."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullets:
    """A list of remarks."""

    items: tuple[str, ...]


Block = Table | Figure | Paragraph | Code | Bullets


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled sequence of blocks."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A titled sequence of sections."""

    title: str
    sections: tuple[Section, ...]


def numbered(document: Document) -> Document:
    """Give tables and figures their numbers, which run through the document.

    Parameters
    ----------
    document : Document

    Returns
    -------
    Document
        The same document with captions that begin with "Table 1." or "Figure 1.".
    """
    counts = {"Table": 0, "Figure": 0}

    def number(block: Block) -> Block:
        if not isinstance(block, Table | Figure):
            return block
        kind = type(block).__name__
        counts[kind] += 1
        return replace(block, caption=f"{kind} {counts[kind]}. {block.caption}")

    sections = tuple(
        replace(section, blocks=tuple(number(block) for block in section.blocks)) for section in document.sections
    )
    return replace(document, sections=sections)
