"""Masked-cell metrics averaged over seeds, one row per method."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from fosa_sem.evaluate.metrics import OVERALL, SCORES

METRIC_NAMES = {
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R2",
    "kl": "KL",
    "wasserstein": "Wasser.",
    "cov_error": "Cor.err",
}
_METHOD_NAMES = {"mean": "Column mean", "sem": "SEM", "refined": "SEM + refiner"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Overall metrics by method.

    Attributes
    ----------
    mean, sd : DataFrame, index: method, columns: those of `SCORES` that were computed
        Mean and standard deviation over seeds; the deviation is NaN with one seed.
    n_seeds : int
    """

    mean: pd.DataFrame
    sd: pd.DataFrame
    n_seeds: int


def method_name(method: str) -> str:
    """Return the name of a method as printed; unknown ones as they are."""
    return _METHOD_NAMES.get(method, method)


def overall_accuracy(metrics: pd.DataFrame) -> Accuracy:
    """Average the overall rows over seeds, methods in order of first appearance.

    Parameters
    ----------
    metrics : DataFrame
        Long table of `ImputationReport.metrics`.
    """
    overall = metrics[metrics["variable"] == OVERALL]
    columns = [name for name in SCORES if name in metrics.columns]
    grouped = overall.groupby("method", sort=False)[columns]
    n_seeds = overall["seed"].nunique() if "seed" in overall.columns else 1
    return Accuracy(mean=grouped.mean(), sd=grouped.std(), n_seeds=n_seeds)


def variable_accuracy(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric averaged over seeds: a row per variable, a column per method.

    Parameters
    ----------
    metrics : DataFrame
        Long table of `ImputationReport.metrics`.
    metric : str
        A column of it.
    """
    rows = metrics[metrics["variable"] != OVERALL]
    means = rows.groupby(["variable", "method"], sort=False)[metric].mean().unstack("method")
    return means.reindex(index=rows["variable"].unique(), columns=metrics["method"].unique())


def best_methods(accuracy: Accuracy) -> dict[str, str]:
    """Return the best method per metric: the largest R2, the smallest of any other; ties name none."""
    best: dict[str, str] = {}
    for name in accuracy.mean.columns:
        values = accuracy.mean[name].dropna()
        extreme = values.max() if name == "r2" else values.min()
        winners = values.index[values == extreme]
        if len(winners) == 1 and len(values) > 1:
            best[name] = str(winners[0])
    return best
