"""Figures of what is missing where: patterns and coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fosa_sem.data.missingness import coverage, md_pattern
from fosa_sem.errors import OptionError
from fosa_sem.report.formatting import clean, shorten
from fosa_sem.report.plots import BLUE, ORANGE, SMALL, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PATTERNS = 30
_OBSERVED = "#d9e3ee"
_MAX_CELLS = 20  # variables up to which the cells of a coverage matrix carry their numbers


def plot_patterns(data: pd.DataFrame, max_patterns: int = MAX_PATTERNS) -> Figure:
    """Draw the missing-data patterns of a table, the most frequent first (mice: ``md.pattern(plot = TRUE)``).

    Parameters
    ----------
    data : DataFrame, shape (n, p)
    max_patterns : int, default 30
        Rarer patterns are left out; the title counts them.

    Returns
    -------
    matplotlib.figure.Figure
        Its ``savefig(path)`` writes a file.

    Raises
    ------
    DataError
        See `md_pattern`.
    OptionError
        ``max_patterns`` is below 1.
    MissingDependencyError
        Without matplotlib.
    """
    if max_patterns < 1:
        raise OptionError(f"max_patterns must be at least 1, got {max_patterns!r}")
    table = md_pattern(data)
    names = [str(name) for name in table.columns[:-2]]
    return patterns_figure(names, table.iloc[:, :-2].to_numpy() > 0, table.iloc[:, -1].to_numpy(), max_patterns)


def plot_coverage(data: pd.DataFrame) -> Figure:
    """Draw the share of rows that have both of each pair of variables; pairs that no row has are marked.

    Parameters
    ----------
    data : DataFrame, shape (n, p)

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        See `coverage`.
    MissingDependencyError
        Without matplotlib.
    """
    return coverage_figure(coverage(data))


def patterns_figure(
    names: list[str], observed: np.ndarray, n: np.ndarray, max_patterns: int = MAX_PATTERNS
) -> Figure:  # fmt: skip
    """Draw patterns as rows of light (observed) and dark (missing) cells, with bars of how often each occurs.

    Parameters
    ----------
    names : list of str, length p
    observed : ndarray of bool, shape (k, p)
    n : ndarray of int, shape (k,)
        Rows of each pattern.
    max_patterns : int
    """
    order = np.argsort(-n, kind="stable")[:max_patterns]
    shown, counts = observed[order], n[order]
    k = len(shown)
    figure = new_figure(7.2, 1.5 + 0.2 * k)
    grid, bars = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    grid.pcolormesh(shown.astype(float), cmap=ListedColormap([ORANGE, _OBSERVED]), vmin=0, vmax=1, edgecolor="white",
                    linewidth=0.8)  # fmt: skip
    holes = (~observed * n[:, None]).sum(axis=0)
    labels = [f"{shorten(clean(name), 16)} ({missing})" for name, missing in zip(names, holes, strict=True)]
    label_columns(grid, labels)
    grid.set_yticks(np.arange(k) + 0.5, labels=[str(int(count)) for count in (~shown).sum(axis=1)])
    grid.set_ylim(k, 0)
    dress(grid, title=_title(len(n), k), x="variable (rows that lack it)", y="variables missing")
    grid.tick_params(length=0)
    bars.barh(np.arange(k) + 0.5, counts, height=0.7, color=BLUE)
    for place, count in enumerate(counts):
        bars.annotate(f" {count}", (count, place + 0.5), va="center", fontsize=SMALL - 1)
    bars.margins(x=0.25)
    dress(bars, title="", x="rows", y="")
    bars.tick_params(labelleft=False)
    handles = [Patch(color=_OBSERVED, label="observed"), Patch(color=ORANGE, label="missing")]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL)
    return figure


def coverage_figure(frame: pd.DataFrame) -> Figure:
    """Draw a coverage matrix: dark where many rows have both variables, a frame around pairs that none has.

    Parameters
    ----------
    frame : DataFrame, shape (p, p)
        Shares, by name.
    """
    values = frame.to_numpy(dtype=float)
    p = len(values)
    figure = new_figure(7.2, min(6.6, 1.0 + 0.32 * p))
    axes = figure.subplots()
    mesh = axes.pcolormesh(values, cmap="Blues", vmin=0.0, vmax=1.0, edgecolor="white", linewidth=0.5)
    names = [shorten(clean(name), 16) for name in frame.index]
    label_columns(axes, names)
    axes.set_yticks(np.arange(p) + 0.5, labels=names, parse_math=False)
    axes.set_ylim(p, 0)
    if p <= _MAX_CELLS:
        for i, j in np.ndindex(values.shape):
            color = "white" if values[i, j] > 0.55 else "black"
            axes.annotate(f"{100 * values[i, j]:.0f}", (j + 0.5, i + 0.5), ha="center", va="center", color=color,
                          fontsize=SMALL - 1)  # fmt: skip
    from matplotlib.patches import Rectangle

    for i, j in np.argwhere(values == 0):
        axes.add_patch(Rectangle((j + 0.06, i + 0.06), 0.88, 0.88, fill=False, edgecolor=ORANGE, linewidth=1.6))
    title = "Per cent of rows that have both" + (" (framed: none has)" if (values == 0).any() else "")
    dress(axes, title=title, x="", y="")
    axes.tick_params(length=0)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8)
    bar.set_ticks([0, 0.5, 1], labels=["0%", "50%", "100%"], fontsize=SMALL - 1)
    bar.outline.set_visible(False)
    return figure


def _title(patterns: int, shown: int) -> str:
    return f"{patterns} patterns" + (f", the {shown} most frequent shown" if shown < patterns else "")


def label_columns(axes: Axes, labels: list[str]) -> None:
    """Write the names of a matrix's columns below it, steeply if they would touch."""
    steep = len(labels) > 6 or sum(map(len, labels)) > 60
    axes.set_xticks(
        np.arange(len(labels)) + 0.5, labels=labels, rotation=45 if steep else 0, ha="right" if steep else "center",
        rotation_mode="anchor", parse_math=False,
    )  # fmt: skip
