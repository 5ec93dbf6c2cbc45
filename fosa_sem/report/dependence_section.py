"""What the refiner uses, beside what the model says: a heat map and a table of pairs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fosa_sem.report.document import Block, Figure, Table
from fosa_sem.report.formatting import clean, count, readable, shorten
from fosa_sem.report.missing_plots import label_columns
from fosa_sem.report.plots import SMALL, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from fosa_sem.refine.insight import Dependence

MOST_PAIRS = 20
_MAX_NUMBERS = 14  # variables up to which the cells of the matrix carry their numbers


def dependence_blocks(dependence: Dependence) -> list[Block]:
    """Figure and table.

    Parameters
    ----------
    dependence : Dependence
    """
    hints = dependence.hints
    figure = Figure(
        caption="What the refiner attends to",
        alt=f"Heat map of the attention between {len(dependence.matrix)} variables, signed by its effect.",
        draw=partial(dependence_figure, dependence.matrix, hints),
        notes=(
            "Row: the variable that is refined; column: the variable that informs. Mean attention with the sign of the "
            "mean effect, beyond what the model itself makes of it; 0 where the gate is closed. Framed: pairs with a "
            "hint in the table. Attention alone is no evidence of use.",
        ),
    )
    shown = (hints if len(hints) else dependence.pairs).head(MOST_PAIRS)
    return [figure, _table(shown, n_hints=len(hints), n_pairs=len(dependence.pairs))]


def _table(pairs: pd.DataFrame, *, n_hints: int, n_pairs: int) -> Table:
    rows = tuple(
        (
            clean(row["variable"]),
            clean(row["source"]),
            *(readable(float(row[name]), 3) for name in ("partial", "effect", "size", "loss", "se", "z")),
            count(float(row["cells"])),
            str(row["hint"]),
        )
        for row in pairs.to_dict("records")
    )
    if n_hints:
        said = f"{n_hints} of {n_pairs} pairs carry a hint; the {len(pairs)} with the largest z are shown."
    else:
        said = f"None of {n_pairs} pairs carries a hint; the {len(pairs)} with the largest z are shown."
    return Table(
        caption="Pairs that the refiner uses beyond the model",
        columns=("Variable", "Source", "Partial r", "Effect", "Size", "Loss", "SE", "z", "Cells", "Hint"),
        rows=rows,
        align="ll" + "r" * 7 + "l",
        notes=(
            said,
            "Partial r: under the model. Effect, size: mean and root mean square change of the refined value per "
            "change of the source, in SDs. Loss: growth of the squared error of held-out cells, in variances, if the "
            "source is permuted. A hint needs a z above the one-sided 5% point, Bonferroni corrected; 'not in the "
            "model': nothing in the model joins the pair; 'not linear': the model joins it, by a straight line only.",
        ),
    )


def dependence_figure(matrix: pd.DataFrame, hints: pd.DataFrame) -> MatplotlibFigure:
    """Draw a signed matrix: blue for negative, red for positive entries, a frame around pairs with a hint.

    Parameters
    ----------
    matrix : DataFrame, shape (p, p)
        NaN on the diagonal.
    hints : DataFrame
        Columns variable and source.
    """
    values = matrix.to_numpy(dtype=float)
    p = len(values)
    figure = new_figure(7.2, min(6.6, 1.2 + 0.32 * p))
    axes = figure.subplots()
    top = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    top = top or 1.0
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-top, vmax=top, edgecolor="white", linewidth=0.5
    )
    names = [shorten(clean(name), 16) for name in matrix.index]
    label_columns(axes, names)
    axes.set_yticks(np.arange(p) + 0.5, labels=names, parse_math=False)
    axes.set_ylim(p, 0)
    if p <= _MAX_NUMBERS:
        for i, j in np.argwhere(np.isfinite(values)):
            color = "white" if abs(values[i, j]) > 0.7 * top else "black"
            axes.annotate(f"{values[i, j]:.2f}", (j + 0.5, i + 0.5), ha="center", va="center", color=color,
                          fontsize=SMALL - 1)  # fmt: skip
    from matplotlib.patches import Rectangle

    for variable, source in zip(hints["variable"], hints["source"], strict=True):
        x, y = list(matrix.columns).index(source), list(matrix.index).index(variable)
        axes.add_patch(Rectangle((x + 0.06, y + 0.06), 0.88, 0.88, fill=False, edgecolor="black", linewidth=1.6))
    dress(axes, title="", x="informs", y="is refined")
    axes.tick_params(length=0)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=SMALL - 1)
    bar.outline.set_visible(False)
    return figure
