"""The section on imputed values: accuracy on masked cells, distributions, training and gates."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from fosa_sem.report import plots
from fosa_sem.report.accuracy import (
    best_methods,
    method_name,
    overall_accuracy,
    variable_accuracy,
)
from fosa_sem.report.dependence_section import dependence_blocks
from fosa_sem.report.document import Block, Figure, Paragraph, Section, Table
from fosa_sem.report.formatting import clean, count, decimal, percent, readable
from fosa_sem.report.records import Distribution, ImputationReport

_HEADINGS = {
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "kl": "KL",
    "wasserstein": "Wasserstein",
    "cov_error": "Cor. error",
}
_COVARIANCE_ERRORS = {"sem": "Covariance error, SEM", "refined": "Covariance error, refined"}
_METRIC_NOTE = (
    "MSE, RMSE: mean squared error and its root; MAE: mean absolute error; R²: explained variance; KL: "
    "Kullback-Leibler divergence; Wasserstein: distance between true and imputed distributions; Cor. error: "
    "relative Frobenius distance between the correlation matrices. Errors are in standard deviations of the "
    "variable's remaining observed cells; larger is better for R² only."
)
_PURPOSE = (
    "Standard errors, tests and fit measures of this report come from the likelihood of the observed data, "
    "never from imputed values. Imputed values are point predictions, not draws: by nature their spread is "
    "smaller than that of the data."
)


def imputation_section(imputation: ImputationReport) -> Section:
    """Tables and figures on the imputation; parts that are absent are left out.

    Parameters
    ----------
    imputation : ImputationReport
    """
    blocks: list[Block] = []
    if imputation.metrics is not None and len(imputation.metrics):
        blocks.append(overall_table(imputation.metrics))
        blocks += [_by_variable(imputation.metrics, metric) for metric in ("rmse", "r2")]
    if imputation.distributions:
        blocks.append(_distributions(imputation.distributions))
        blocks.append(_distribution_table(imputation.distributions))
    if imputation.adjustments is not None and len(imputation.adjustments):
        blocks.append(_adjustments(imputation.adjustments))
    if imputation.history is not None and len(imputation.history):
        blocks.append(_history(imputation.history))
    if imputation.gates is not None and len(imputation.gates):
        blocks += [_gates_figure(imputation.gates), _gates_table(imputation.gates)]
    if imputation.dependence is not None:
        blocks += dependence_blocks(imputation.dependence)
    lead = (Paragraph(text=_PURPOSE),) if blocks else ()
    return Section(title="Imputation", blocks=(*lead, *blocks))


def overall_table(metrics: pd.DataFrame) -> Table:
    """Every metric by method, averaged over variables and seeds, the best one emphasised.

    Parameters
    ----------
    metrics : DataFrame
        Long table of `ImputationReport.metrics`.
    """
    accuracy = overall_accuracy(metrics)
    best = best_methods(accuracy)
    several = accuracy.n_seeds > 1
    rows: list[tuple[str, ...]] = []
    strong: set[tuple[int, int]] = set()
    for method in map(str, accuracy.mean.index):
        strong |= {(len(rows), j) for j, name in enumerate(accuracy.mean.columns, 1) if best.get(name) == method}
        rows.append((clean(method_name(method)), *map(readable, _floats(accuracy.mean, method))))
        if several:
            rows.append(("\N{EM SPACE}SD over seeds", *map(readable, _floats(accuracy.sd, method))))
    seeds = f"{accuracy.n_seeds} seeds" if several else "one seed"
    return Table(
        caption="Accuracy of imputed values on masked cells",
        columns=("Method", *(_HEADINGS[name] for name in accuracy.mean.columns)),
        rows=tuple(rows),
        align="l" + "r" * len(accuracy.mean.columns),
        notes=(f"Means over variables; {seeds}. Emphasised: best of its column.", _METRIC_NOTE),
        strong=frozenset(strong),
    )


def _floats(frame: pd.DataFrame, method: str) -> list[float]:
    return [float(value) for value in frame.loc[method].to_numpy(dtype=float)]


def _by_variable(metrics: pd.DataFrame, metric: str) -> Table:
    means = variable_accuracy(metrics, metric)
    sizes = metrics.groupby("variable")["n_masked"].mean()
    rates = metrics.groupby("variable")["missing_rate"].mean()
    rows = tuple(
        (
            clean(name),
            count(round(float(sizes[name]))),
            percent(float(rates[name])),
            *(readable(float(value)) for value in means.loc[name]),
        )
        for name in means.index
    )
    return Table(
        caption=f"{_HEADINGS[metric]} by variable on masked cells",
        columns=("Variable", "Cells", "Missing", *(clean(method_name(str(method))) for method in means.columns)),
        rows=rows,
        align="lrr" + "r" * len(means.columns),
        notes=("Cells: masked cells per seed, on average. Missing: share of missing cells that the methods saw.",),
    )


def _moments(values: np.ndarray | None) -> tuple[str, str]:
    if values is None or values.size == 0:
        return ("", "")
    sd = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return (readable(float(values.mean())), readable(sd))


def _distributions(distributions: tuple[Distribution, ...]) -> Figure:
    names = ", ".join(clean(distribution.variable) for distribution in distributions[: plots.MAX_PANELS])
    notes = ["Densities of the observed values (filled) and of the values imputed at the missing cells (lines)."]
    if len(distributions) > plots.MAX_PANELS:
        notes.append(f"{len(distributions) - plots.MAX_PANELS} more variables are in the table only.")
    return Figure(
        caption="Observed and imputed distributions",
        alt=f"Histograms of observed and imputed values, one panel per variable: {names}.",
        draw=partial(plots.distributions_figure, distributions),
        notes=tuple(notes),
    )


def _distribution_table(distributions: tuple[Distribution, ...]) -> Table:
    refined = any(distribution.refined is not None for distribution in distributions)
    rows = []
    for d in distributions:
        cells = [clean(d.variable), str(d.observed.size), *_moments(d.observed), str(d.sem.size)]
        cells += [*_moments(d.sem), *(_moments(d.refined) if refined else ())]
        rows.append(tuple(cells))
    columns = ("Variable", "Observed n", "Mean", "SD", "Missing n", "SEM mean", "SEM SD")
    extra = ("Refined mean", "Refined SD") if refined else ()
    return Table(
        caption="Means and standard deviations of observed and imputed values",
        columns=columns + extra,
        rows=tuple(rows),
        align="l" + "r" * (len(columns) + len(extra) - 1),
    )


def _adjustments(adjustments: pd.DataFrame) -> Table:
    rows = tuple(
        (clean(row["variable"]), *(count(float(row[name])) for name in ("filled", "clipped", "rounded")))
        for row in adjustments.to_dict("records")
    )
    return Table(
        caption="Filled values moved to bounds and whole numbers",
        columns=("Variable", "Filled", "Clipped", "Rounded"),
        rows=rows,
        align="lrrr",
        notes=("Numbers of cells. Clipped: outside of the bounds; rounded: then no whole number.",),
    )


def _history(history: pd.DataFrame) -> Figure:
    held = history[["heldout_mse", "baseline_mse"]].dropna()
    alt = f"Training loss of the refiner over {len(history)} recorded epochs"
    if len(held):
        best = decimal(float(held["heldout_mse"].min()), 4)
        base = decimal(float(held["baseline_mse"].iloc[-1]), 4)
        alt += f"; smallest error on held-out cells {best}, that of the SEM alone {base}"
    return Figure(
        caption="Training of the refiner",
        alt=alt + ".",
        draw=partial(plots.history_figure, history),
        notes=("Held-out cells are observed cells that the refiner was not trained on.",),
    )


def _gates_figure(gates: pd.DataFrame) -> Figure:
    n_open = int((gates["gate"] > 0).sum())
    notes = ["Where the gate is closed, the value of the SEM stays."]
    if len(gates) > plots.MAX_GATES:
        notes.append(f"{len(gates) - plots.MAX_GATES} more variables are in the table only.")
    return Figure(
        caption="Gates of the refiner and their evidence",
        alt=f"Gain on held-out cells with one SE for {len(gates)} variables; {n_open} gates open.",
        draw=partial(plots.gates_figure, gates),
        notes=tuple(notes),
    )


def _gates_table(gates: pd.DataFrame) -> Table:
    covariances = [name for name in _COVARIANCE_ERRORS if name in gates]
    rows = tuple(
        (
            clean(row["variable"]),
            readable(float(row["gate"])),
            readable(float(row["gain"]), 4),
            readable(float(row["se"]), 4),
            count(float(row["n_heldout"])),
            *(readable(float(row[name]), 4) for name in covariances),
        )
        for row in gates.to_dict("records")
    )
    notes = [
        "Gain: mean drop of the squared error on held-out cells against the SEM alone. Held-out cells are observed "
        "ones, each hidden from the networks that predict it: gates speak for missing cells that are like them, and "
        "not for cells that are missing because of their values."
    ]
    if covariances:
        notes.append(
            "Covariance error: root mean square difference between the covariances of predicted and of true values "
            "with the other variables, on held-out cells; a gain in squared error may raise it."
        )
    return Table(
        caption="Gates of the refiner",
        columns=("Variable", "Gate", "Gain", "SE", "Held-out cells", *(_COVARIANCE_ERRORS[c] for c in covariances)),
        rows=rows,
        align="lrrrr" + "r" * len(covariances),
        notes=tuple(notes),
    )
