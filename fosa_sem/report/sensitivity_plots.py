"""Figure of a sensitivity analysis: estimates over shifts, and where conclusions change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import OptionError
from fosa_sem.evaluate.sensitivity import CONCLUSIONS, Sensitivity
from fosa_sem.report.formatting import clean, shorten
from fosa_sem.report.plots import BLUE, GREY, ORANGE, SMALL, all_handles, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_TERMS = 8
_COLORS = (ORANGE, "#eef0f2", BLUE)  # below 0, not distinguishable, above 0


def plot_sensitivity(result: Sensitivity, terms: Sequence[str] | str | None = None) -> Figure:
    """Draw estimates and intervals over the shifts, with the tipping points; for two axes, the conclusions as a map.

    Parameters
    ----------
    result : Sensitivity
    terms : sequence of str, optional
        Which estimates; by default the first 8.

    Returns
    -------
    matplotlib.figure.Figure
        Its ``savefig(path)`` writes a file. A panel per term and axis (all other shifts 0); with two axes a third panel
        maps the conclusion of each combination.

    Raises
    ------
    OptionError
        For an unknown term.
    MissingDependencyError
        Without matplotlib.
    """
    chosen = list(result.terms)[:MAX_TERMS] if terms is None else [terms] if isinstance(terms, str) else list(terms)
    for term in chosen:
        if term not in result.terms:
            raise OptionError(f"no estimate {term!r}; there are {', '.join(result.terms)}")
    tipping = result.tipping_points()
    figure, places = _layout(len(chosen), len(result.axes))
    for panels, term in zip(places, chosen, strict=True):
        for i, axis in enumerate(result.axes):
            rows = result.along(i, term)
            of_axis = (tipping["term"] == term) & (tipping["variable"] == axis.variable)
            found = tipping.loc[of_axis & (tipping["group"] == axis.group), "tipping"].dropna()
            _draw_line(panels[i], rows[axis.column].to_numpy(), rows, found.to_numpy(dtype=float))
            unit = " (SD)" if result.unit == "sd" else ""
            dress(panels[i], title=shorten(clean(term), 28), x=f"shift of {shorten(clean(axis.name), 24)}{unit}", y="")
        if len(result.axes) == 2:
            _draw_map(panels[2], result, term)
    handles, labels = all_handles(places.ravel())
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def _layout(terms: int, axes: int) -> tuple[Figure, NDArray[np.object_]]:
    """A row of panels per term; with one axis, three terms side by side. Shape (terms, panels of a term)."""
    if axes > 1:
        figure = new_figure(7.2, 0.6 + 1.8 * terms)
        return figure, figure.subplots(terms, axes + (axes == 2), squeeze=False)
    columns = min(terms, 3)
    lines = math.ceil(terms / columns)
    figure = new_figure(7.2, 0.6 + 1.9 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for unused in panels[terms:]:
        unused.set_axis_off()
    return figure, panels[:terms, None]


def _draw_line(panel: Axes, shifts: np.ndarray, rows: pd.DataFrame, tipping: np.ndarray) -> None:
    panel.fill_between(shifts, rows["ci_lower"], rows["ci_upper"], color=GREY, alpha=0.5, linewidth=0,
                       label="confidence interval")  # fmt: skip
    panel.plot(shifts, rows["est"], color=BLUE, linewidth=1.2, marker="o", markersize=3, label="pooled estimate")
    panel.axhline(0.0, color="#555555", linewidth=0.8)
    panel.axvline(0.0, color="#555555", linewidth=0.8, linestyle=":")
    for place in tipping:
        panel.axvline(place, color=ORANGE, linewidth=1.3, linestyle="--", label="tipping point")
        # Away from the line at 0, unless that leads out of the panel.
        room = 0.2 * np.ptp(shifts)
        side = 1 if place < shifts[0] + room or 0 < place < shifts[-1] - room else -1
        panel.annotate(f"{place:.2f}", (place, 0.97), xycoords=("data", "axes fraction"), xytext=(3 * side, 0),
                       textcoords="offset points", ha="left" if side > 0 else "right", va="top", fontsize=SMALL - 1,
                       color=ORANGE)  # fmt: skip


def _draw_map(panel: Axes, result: Sensitivity, term: str) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    x, y = (axis.column for axis in result.axes)
    rows = result.estimates[result.estimates["term"] == term]
    codes = rows["conclusion"].map({name: k for k, name in enumerate(CONCLUSIONS)})
    grid = rows.assign(code=codes).pivot_table(index=y, columns=x, values="code")
    panel.pcolormesh(grid.to_numpy(), cmap=ListedColormap(_COLORS), vmin=0, vmax=2, edgecolor="white", linewidth=1.0)
    panel.set_xticks(np.arange(grid.shape[1]) + 0.5, labels=[f"{v:g}" for v in grid.columns])
    panel.set_yticks(np.arange(grid.shape[0]) + 0.5, labels=[f"{v:g}" for v in grid.index])
    first, second = (shorten(clean(axis.name), 22) for axis in result.axes)
    dress(panel, title="conclusion", x=f"shift of {first}", y=f"shift of {second}")
    for k in sorted(set(codes)):
        panel.add_patch(Rectangle((0, 0), 0, 0, color=_COLORS[k], label=CONCLUSIONS[k]))
