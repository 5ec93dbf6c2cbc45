"""Tables that several sections need: labels with values, symmetric matrices, keys for variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from fosa_sem.report.document import Table
from fosa_sem.report.formatting import DASH, apa_unit, clean, percent

MAX_MATRIX = 16
MAX_PAIRS = 20


def facts(caption: str, pairs: Iterable[tuple[str, str]]) -> tuple[Table, ...]:
    """Return labels and their values as a table; empty without pairs.

    Parameters
    ----------
    caption : str
    pairs : iterable of (label, value)
    """
    rows = tuple((clean(label), clean(value)) for label, value in pairs)
    return (Table(caption=caption, columns=(), rows=rows, align="ll"),) if rows else ()


def of_label(labels: tuple[str, ...], index: int) -> str:
    """Return an ending for captions that names the group, empty where there is one."""
    return f", group {clean(labels[index])}" if len(labels) > 1 else ""


def undefined_note(rows: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what a dash means, if there is one among the cells."""
    dashes = any(DASH in cell for row in rows for cell in row)
    return (f"{DASH} not defined for this model and these data.",) if dashes else ()


def numbered_names(names: Iterable[object]) -> list[str]:
    """Names with their number, as rows of a matrix whose columns show the numbers only."""
    return [f"{number}. {clean(name)}" for number, name in enumerate(names, 1)]


def matrix_tables(
    frame: pd.DataFrame,
    caption: str,
    note: str,
    *,
    strong: Callable[[float], bool],
    diagonal: bool = False,
    shares: bool = False,
) -> tuple[Table, ...]:
    """Return a symmetric matrix as its lower triangle, or its most extreme pairs where it is too wide.

    Parameters
    ----------
    frame : DataFrame, shape (p, p)
    caption, note : str
    strong : callable
        Which values to emphasise.
    diagonal : bool, default False
        Whether the diagonal says anything.
    shares : bool, default False
        Print percentages, and list the smallest pairs; else two decimals, and list the largest in size.

    Returns
    -------
    tuple of Table
        Empty for fewer than two variables.
    """
    if len(frame) < 2:
        return ()
    if len(frame) > MAX_MATRIX:
        return (_pairs(frame, caption, note, strong=strong, shares=shares),)
    values = frame.to_numpy(dtype=float)
    p = len(frame)
    rows = tuple(
        (
            name,
            *(_cell(values[i, j], shares) if j < i + diagonal else DASH * (i == j) for j in range(p)),
        )
        for i, name in enumerate(numbered_names(frame.index))
    )
    emphasised = frozenset((i, j + 1) for i in range(p) for j in range(i + diagonal) if strong(values[i, j]))
    columns = ("Variable", *(str(number) for number in range(1, p + 1)))
    return (Table(caption=caption, columns=columns, rows=rows, align="l" + "r" * p, notes=(note,), strong=emphasised),)


def _cell(value: float, shares: bool) -> str:
    return percent(value, 0).rstrip("%") if shares else apa_unit(value, 2)


def _pairs(frame: pd.DataFrame, caption: str, note: str, *, strong: Callable[[float], bool], shares: bool) -> Table:
    values = frame.to_numpy(dtype=float)
    first, second = np.tril_indices(len(frame), -1)
    size = values[first, second] if shares else -np.abs(values[first, second])
    order = np.argsort(size, kind="stable")[:MAX_PAIRS]
    names = [clean(name) for name in frame.index]
    rows = tuple((names[second[k]], names[first[k]], _cell(values[first[k], second[k]], shares)) for k in order)
    emphasised = frozenset((row, 2) for row, k in enumerate(order) if strong(values[first[k], second[k]]))
    more = f"The {len(order)} {'smallest' if shares else 'largest in size'} of {len(first)} pairs."
    return Table(
        caption=caption,
        columns=("Variable", "with", "%" if shares else "Value"),
        rows=rows,
        align="llr",
        notes=(more, note),
        strong=emphasised,
    )
