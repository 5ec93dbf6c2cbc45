"""Figures of multiple imputations: observed against imputed values, and how pooled estimates settle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import OptionError
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.imputation.pooled_sem import PooledSem
from fosa_sem.imputation.pooling import Pooled
from fosa_sem.imputation.pooling_path import of_interest, pooled_terms, pooling_path
from fosa_sem.report.collect_multiple import imputed_variables
from fosa_sem.report.formatting import clean, shorten
from fosa_sem.report.plots import (
    BLUE,
    GREY,
    MAX_PANELS,
    ORANGE,
    SMALL,
    all_handles,
    dress,
    few_whole_numbers,
    new_figure,
    suitable_edges,
)
from fosa_sem.report.records import ImputedVariable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
MAX_STRIPS = 10
_POINTS = 250  # of one strip; more cannot be told apart
_BINS = 512


def plot_densities(imputations: MultipleImputation, variables: Sequence[str] | str | None = None) -> Figure:
    """Densities of observed and imputed values, a line per imputation (mice: ``densityplot()``).

    Parameters
    ----------
    imputations : MultipleImputation
    variables : sequence of str, optional
        Columns with imputed cells; all by default, of which the first 24 are drawn.

    Returns
    -------
    matplotlib.figure.Figure
        Its ``savefig(path)`` writes a file. Few whole numbers are shown as shares of each value.

    Raises
    ------
    OptionError
        A variable is unknown, not numeric, or has no imputed cells.
    MissingDependencyError
        Without matplotlib.
    """
    return densities_figure(imputed_variables(imputations, variables))


def plot_strips(imputations: MultipleImputation, variables: Sequence[str] | str | None = None) -> Figure:
    """Observed values (number 0) beside the values of each imputation, as points (mice: ``stripplot()``).

    Parameters
    ----------
    imputations : MultipleImputation
        The first 10 imputations are drawn.
    variables : sequence of str, optional
        Columns with imputed cells; all by default, of which the first 24 are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    OptionError
        A variable is unknown, not numeric, or has no imputed cells.
    MissingDependencyError
        Without matplotlib.
    """
    return strips_figure(imputed_variables(imputations, variables))


def plot_pooling(pooled: PooledSem | Pooled, terms: Sequence[str] | str | None = None, level: float = 0.95) -> Figure:
    """Pooled estimates and their intervals from the first 2, 3, ..., m imputations.

    Parameters
    ----------
    pooled : PooledSem or Pooled
        See `pooling_path`.
    terms : sequence of str, optional
        Estimates to draw; by default regressions and defined parameters, or loadings if there are none.
    level : float, default 0.95

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    OptionError
        For an unknown term.
    MissingDependencyError
        Without matplotlib.
    """
    return pooling_figure(pooling_path(pooled, of_interest(pooled_terms(pooled)) if terms is None else terms, level))


def densities_figure(variables: tuple[ImputedVariable, ...]) -> Figure:
    """Draw the densities of observed values (filled) and of each imputation (lines), one panel per variable."""
    figure, axes = _panels(len(variables), "variables")
    for panel, variable in zip(axes, variables, strict=False):
        pooled = np.concatenate([variable.observed, *variable.imputed])
        if few_whole_numbers(variable.observed):
            edges = suitable_edges(variable.observed, pooled)
            panel.stairs(np.histogram(variable.observed, edges, density=True)[0], edges, fill=True, color=GREY,
                         label="observed")  # fmt: skip
            for values in variable.imputed:
                panel.stairs(np.histogram(values, edges, density=True)[0], edges, color=ORANGE, linewidth=0.8,
                             alpha=0.6, label="imputed")  # fmt: skip
        else:
            _draw_densities(panel, variable, pooled)
        dress(panel, title=_panel_title(variable), x="", y="")
        panel.set_yticks([])
        panel.set_ylim(bottom=0)
        panel.spines["left"].set_visible(False)
    _legend(figure, axes)
    return figure


def strips_figure(variables: tuple[ImputedVariable, ...]) -> Figure:
    """Draw the observed values at 0 and the values of the first imputations at 1, 2, ..."""
    figure, axes = _panels(len(variables), "variables")
    rng = np.random.default_rng(0)  # places points beside each other; no value depends on it
    for panel, variable in zip(axes, variables, strict=False):
        for i, values in enumerate((variable.observed, *variable.imputed[:MAX_STRIPS])):
            shown = values if len(values) <= _POINTS else rng.choice(values, _POINTS, replace=False)
            places = i + rng.uniform(-0.22, 0.22, len(shown))
            color, label = (BLUE, "observed") if i == 0 else (ORANGE, "imputed")
            panel.scatter(places, shown, s=5, color=color, alpha=0.45, linewidth=0, label=label)
        count = min(len(variable.imputed), MAX_STRIPS)
        panel.set_xticks([0, *range(1, count + 1)], labels=["obs.", *map(str, range(1, count + 1))])
        dress(panel, title=_panel_title(variable), x="", y="")
    _legend(figure, axes)
    return figure


def pooling_figure(path: pd.DataFrame) -> Figure:
    """Draw each estimate with its confidence band over the number of imputations.

    Parameters
    ----------
    path : DataFrame
        Columns term m est ci_lower ci_upper; the first 24 terms are drawn.
    """
    terms = list(dict.fromkeys(path["term"]))
    figure, axes = _panels(len(terms), "terms")
    for panel, term in zip(axes, terms, strict=False):
        rows = path[path["term"] == term]
        panel.fill_between(rows["m"], rows["ci_lower"], rows["ci_upper"], color=GREY, alpha=0.5, linewidth=0,
                           label="confidence interval")  # fmt: skip
        panel.plot(rows["m"], rows["est"], color=BLUE, linewidth=1.2, marker="o", markersize=2.5,
                   label="pooled estimate")  # fmt: skip
        if rows["ci_lower"].min() <= 0 <= rows["ci_upper"].max():
            panel.axhline(0.0, color="#555555", linewidth=0.8, linestyle=":")
        panel.xaxis.get_major_locator().set_params(integer=True)
        dress(panel, title=shorten(clean(term), 30), x="imputations", y="")
    _legend(figure, axes)
    return figure


def density(values: FloatArray, grid: FloatArray) -> FloatArray:
    """Gaussian kernel density on a grid of equal steps, from binned values.

    Parameters
    ----------
    values : ndarray, shape (n,)
    grid : ndarray, shape (g,)
        Reaches beyond the values.

    Returns
    -------
    ndarray, shape (g,)
        Bandwidth by Silverman's rule of thumb (R: ``density(bw = "nrd0")``).
    """
    step = grid[1] - grid[0]
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    iqr = float(np.subtract(*np.percentile(values, [75, 25]))) / 1.34
    bandwidth = 0.9 * (min(spread, iqr) or spread or step) * values.size**-0.2
    counts = np.histogram(values, np.append(grid - step / 2, grid[-1] + step / 2))[0]
    reach = max(1, min(math.ceil(4 * bandwidth / step), len(grid) - 1))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / bandwidth) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="full")[reach:-reach]
    return np.asarray(smooth / (values.size * step))


def _draw_densities(panel: Axes, variable: ImputedVariable, pooled: FloatArray) -> None:
    low, high = float(pooled.min()), float(pooled.max())
    margin = 0.15 * (high - low) or 1.0
    grid = np.linspace(low - margin, high + margin, _BINS)
    panel.fill_between(grid, density(variable.observed, grid), color=GREY, linewidth=0, label="observed")
    for values in variable.imputed:
        if values.size > 1:
            panel.plot(grid, density(values, grid), color=ORANGE, linewidth=0.8, alpha=0.6, label="imputed")


def _panel_title(variable: ImputedVariable) -> str:
    return f"{shorten(clean(variable.variable), 24)} ({len(variable.imputed[0])} imputed)"


def _panels(number: int, what: str) -> tuple[Figure, NDArray[np.object_]]:
    if number == 0:
        raise OptionError(f"there are no {what} to draw")
    shown = min(number, MAX_PANELS)
    columns = min(3, shown)
    rows = math.ceil(shown / columns)
    figure = new_figure(7.2, 0.45 + 1.75 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in axes[shown:]:
        panel.set_axis_off()
    return figure, axes


def _legend(figure: Figure, axes: NDArray[np.object_]) -> None:
    handles, labels = all_handles(axes)
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
