"""Figures of an imputation; data in, matplotlib figures out, without any global state of matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import MissingDependencyError
from fosa_sem.report.formatting import clean, shorten
from fosa_sem.report.records import Distribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
GREY, BLUE, ORANGE = "#c3c8ce", "#1f5a94", "#c4601d"
MAX_PANELS = 24
MAX_GATES = 60
_DISCRETE = 12
SMALL = 8


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the object-oriented API.

    Parameters
    ----------
    width, height : float
        Inches.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = 'figures need matplotlib: pip install "fosa-sem[report]"'
        raise MissingDependencyError(message) from error
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", h_pad=0.08)
    return figure


def distributions_figure(distributions: tuple[Distribution, ...]) -> Figure:
    """Observed against imputed values, one panel per variable.

    Parameters
    ----------
    distributions : tuple of Distribution
        The first `MAX_PANELS` are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = distributions[:MAX_PANELS]
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(7.2, 0.45 + 1.65 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, distribution in zip(axes, shown, strict=False):
        _draw_distribution(panel, distribution)
    for panel in axes[len(shown) :]:
        panel.set_axis_off()
    handles, labels = all_handles(axes)
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def history_figure(history: pd.DataFrame) -> Figure:
    """Draw the refiner's training loss, and its error on held-out cells against that of the SEM.

    Parameters
    ----------
    history : DataFrame
        Columns epoch total heldout_mse baseline_mse; NaN where not evaluated.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(7.2, 2.5)
    left, right = figure.subplots(1, 2)
    total = history[["epoch", "total"]].dropna()
    left.plot(total["epoch"], total["total"], color=BLUE, linewidth=1.2)
    dress(left, title="Training loss", x="epoch", y="total loss")
    held = history[["epoch", "heldout_mse", "baseline_mse"]].dropna()
    right.plot(
        held["epoch"],
        held["heldout_mse"],
        color=BLUE,
        linewidth=1.2,
        marker="o",
        markersize=3,
        label="refiner",
    )
    right.plot(held["epoch"], held["baseline_mse"], color="#555555", linewidth=1.2, linestyle="--", label="SEM alone")
    dress(right, title="Held-out cells", x="epoch", y="mean squared error")
    right.legend(frameon=False, fontsize=SMALL)
    return figure


def gates_figure(gates: pd.DataFrame) -> Figure:
    """Held-out gain of the refiner per variable, with one standard error; filled where the gate is open.

    Parameters
    ----------
    gates : DataFrame
        Columns variable gate gain se; the first `MAX_GATES` rows are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = gates.head(MAX_GATES)
    figure = new_figure(7.2, 1.0 + 0.24 * len(shown))
    axes = figure.subplots()
    gain, places = shown["gain"].to_numpy(dtype=float), np.arange(len(shown))
    is_open = shown["gate"].to_numpy(dtype=float) > 0
    axes.axvline(0.0, color="#555555", linewidth=0.8)
    axes.hlines(places, gain - shown["se"], gain + shown["se"], color=BLUE, linewidth=1.2)
    axes.scatter(gain[is_open], places[is_open], s=28, color=BLUE, zorder=3, label="gate open: refined")
    axes.scatter(
        gain[~is_open],
        places[~is_open],
        s=28,
        facecolor="white",
        edgecolor=BLUE,
        zorder=3,
        label="gate closed: SEM value kept",
    )
    names = [shorten(clean(name), 28) for name in shown["variable"]]
    axes.set_yticks(places, labels=names, parse_math=False)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    dress(axes, title="", x="drop in squared error on held-out cells (± 1 SE)", y="")
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL)
    return figure


def common_edges(values: FloatArray) -> FloatArray:
    """Histogram edges that suit all sources: one bin per value for few whole numbers, else 10 to 40 bins.

    Parameters
    ----------
    values : ndarray, shape (n,)
        All values to be drawn, pooled.

    Returns
    -------
    ndarray, shape (bins + 1,)
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    bins = min(max(len(np.histogram_bin_edges(values, "sturges")) + 5, 10), 40)
    return np.linspace(low, high, bins + 1)


def suitable_edges(observed: FloatArray, pooled: FloatArray) -> FloatArray:
    """Histogram edges: a bin per value if the observed ones are few whole numbers, else `common_edges`."""
    low, high = float(np.floor(pooled.min())), float(np.ceil(pooled.max()))
    if few_whole_numbers(observed) and high - low < 2 * _DISCRETE:
        return np.arange(low - 0.5, high + 1.0)
    return common_edges(pooled)


def few_whole_numbers(values: FloatArray) -> bool:
    """Whether a variable is better shown value by value."""
    levels = np.unique(values)
    return 0 < levels.size <= _DISCRETE and bool(np.all(levels == np.round(levels)))


def _draw_distribution(axes: Axes, distribution: Distribution) -> None:
    sources: list[tuple[str, FloatArray | None, dict[str, Any]]] = [
        ("observed", distribution.observed, {"fill": True, "color": GREY}),
        ("SEM (conditional mean)", distribution.sem, {"color": BLUE, "linewidth": 1.3}),
        ("refined", distribution.refined, {"color": ORANGE, "linewidth": 1.3, "linestyle": (0, (4, 1.5))}),
    ]
    pooled = np.concatenate([values for _, values, _ in sources if values is not None])
    if pooled.size:
        edges = suitable_edges(distribution.observed, pooled)
        for name, values, style in sources:
            if values is not None and values.size:
                density, _ = np.histogram(values, bins=edges, density=True)
                axes.stairs(density, edges, label=name, **style)
    dress(axes, title=shorten(clean(distribution.variable), 30), x="", y="")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def dress(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Give axes their title, labels and quiet lines."""
    # Names come from the user: a dollar sign in them is no mathematics.
    axes.set_title(title, fontsize=SMALL + 1, loc="left", parse_math=False)
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL - 1, length=3, color="#888888")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("#888888")


def all_handles(axes: NDArray[Any]) -> tuple[list[Any], list[str]]:
    """Return one legend entry per source, whichever panel has it."""
    found: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
