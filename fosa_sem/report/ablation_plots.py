"""Figure of an ablation or comparison: one score of every method, over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.metrics import OVERALL, SCORES
from fosa_sem.report.accuracy import METRIC_NAMES, method_name
from fosa_sem.report.formatting import clean, shorten
from fosa_sem.report.plots import BLUE, GREY, SMALL, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_ablation(comparison: pd.DataFrame, metric: str = "r2") -> Figure:
    """Draw one overall score of every method: a small dot per seed, a large one for their mean.

    Parameters
    ----------
    comparison : DataFrame
        As `fosa_sem.evaluate.ablation` and `fosa_sem.compare` return it.
    metric : {"mse", "rmse", "mae", "r2", "kl", "wasserstein", "cov_error"}, default "r2"

    Returns
    -------
    matplotlib.figure.Figure
        Methods from top to bottom in order of first appearance; the dashed line is the best mean.

    Raises
    ------
    OptionError
        For an unknown metric.
    DataError
        The table has no overall scores.
    MissingDependencyError
        Without matplotlib.
    """
    if metric not in SCORES:
        raise OptionError(f"metric must be one of {', '.join(SCORES)}, got {metric!r}")
    absent = [name for name in ("seed", "method", "variable", metric) if name not in comparison.columns]
    rows = comparison if absent else comparison[comparison["variable"] == OVERALL].dropna(subset=[metric])
    if absent or rows.empty:
        raise DataError("there are no overall scores to draw; give the table that compare() or ablation() returned")
    means = rows.groupby("method", sort=False)[metric].mean()
    places = dict(zip(means.index, range(len(means)), strict=True))
    figure = new_figure(7.2, 1.0 + 0.26 * len(means))
    axes = figure.subplots()
    axes.axvline(float(means.max() if metric == "r2" else means.min()), color="#555555", linewidth=0.8, linestyle="--")
    axes.scatter(rows[metric], rows["method"].map(places), s=14, color=GREY, label="one seed")
    axes.scatter(means, np.arange(len(means)), s=30, color=BLUE, zorder=3, label="mean of the seeds")
    names = [shorten(clean(method_name(str(name))), 32) for name in means.index]
    axes.set_yticks(np.arange(len(means)), labels=names, parse_math=False)
    axes.set_ylim(len(means) - 0.4, -0.6)
    better = "larger" if metric == "r2" else "smaller"
    dress(axes, title="", x=f"{METRIC_NAMES[metric]} of hidden cells, mean over variables ({better} is better)", y="")
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL)
    return figure
