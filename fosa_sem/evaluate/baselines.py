"""Common ways to fill cells, for `fosa_sem.evaluate.experiment.compare`: ``(table, seed)`` to the completed table.

All read the numeric columns alone, give one completed table, and never a random draw: point predictions, to be judged
by the error of single cells.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.errors import DataError
from fosa_sem.evaluate.masking import FloatArray, numeric_columns, numeric_values
from fosa_sem.fiml.saturated import available_case_moments, saturated_moments
from fosa_sem.imputation.completion import GaussianRule
from fosa_sem.inference.ridge import RIDGE

Fill = Callable[[FloatArray], FloatArray]
ROUNDS = 10


def fill_numeric(data: pd.DataFrame, fill: Fill) -> pd.DataFrame:
    """Complete the numeric columns of a table by a function of their values.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    fill : callable
        From values of shape (n, p), NaN in the holes, to completed values of the same shape; only those in the holes
        are read.

    Returns
    -------
    DataFrame
        Same index and columns. A column in which a cell was filled has dtype float64.

    Raises
    ------
    DataError
        A numeric column with holes has no observed value, or two columns share a name.
    """
    names = numeric_columns(data)
    values = np.column_stack([numeric_values(data, name, "data") for name in names] or [np.zeros((len(data), 0))])
    holes = np.isnan(values)
    for place, name in enumerate(names):
        if holes[:, place].all() and len(data):
            raise DataError(f"column {name!r} has no observed value to learn from; leave it out")
    frame = data.copy()
    if holes.any():
        completed = fill(values)
        for j in np.flatnonzero(holes.any(axis=0)):
            frame[names[j]] = np.where(holes[:, j], completed[:, j], values[:, j])
    return frame


def column_mean(data: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Fill every hole with the mean of the column's observed values.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0
        Not used; it makes the function a method of `fosa_sem.evaluate.experiment.compare`.

    Returns
    -------
    DataFrame
        Same index and columns. A column in which a cell was filled has dtype float64.

    Raises
    ------
    DataError
        A numeric column with holes has no observed value, or two columns share a name.

    Notes
    -----
    mice calls it ``method = "mean"``, scikit-learn ``SimpleImputer(strategy="mean")``.
    """
    return fill_numeric(data, lambda values: np.broadcast_to(np.nanmean(values, axis=0), values.shape))


def saturated_fiml(data: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Fill every hole with its conditional expectation under the normal distribution of all numeric columns.

    Mean and covariance are the maximum likelihood estimates by EM, without any structure. What a structural equation
    model adds is the difference to this; what a non-linear method adds too.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0
        Not used.

    Returns
    -------
    DataFrame
        Same index and columns; a row with nothing observed gets the means.

    Raises
    ------
    DataError
        As `column_mean`.

    Notes
    -----
    Where columns are exactly dependent, a millionth of its variance is added to every column. Constant columns keep
    their value and inform no other. R: ``norm::em.norm`` and ``imp.norm`` without the draw.
    """
    return fill_numeric(data, _conditional_expectation)


def nearest_neighbours(data: pd.DataFrame, seed: int = 0, *, neighbours: int = 10) -> pd.DataFrame:
    """Fill every hole with the mean of the nearest rows that have the value, weighted by inverse distance.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0
        Not used.
    neighbours : int, default 10
        Rows averaged.

    Returns
    -------
    DataFrame
        Same index and columns.

    Raises
    ------
    DataError
        As `column_mean`.

    Notes
    -----
    scikit-learn's ``KNNImputer`` on standardised columns. Time and memory grow with the square of the rows.
    """
    from sklearn.impute import KNNImputer

    return fill_numeric(data, _standardised(KNNImputer(n_neighbors=neighbours, weights="distance").fit_transform))


def chained_ridge(data: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Fill by chained regressions with Bayesian ridge, ten rounds; scikit-learn's default imputer.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0

    Returns
    -------
    DataFrame
        Same index and columns.

    Raises
    ------
    DataError
        As `column_mean`.
    """
    from sklearn.linear_model import BayesianRidge

    return _chained(data, BayesianRidge(), seed)


def chained_extra_trees(data: pd.DataFrame, seed: int = 0, *, trees: int = 100, jobs: int = 1) -> pd.DataFrame:
    """Fill by chained regressions with extremely randomised trees, ten rounds.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0
    trees : int, default 100
        Per column and round.
    jobs : int, default 1
        Threads.

    Returns
    -------
    DataFrame
        Same index and columns.

    Raises
    ------
    DataError
        As `column_mean`.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    return _chained(data, ExtraTreesRegressor(n_estimators=trees, n_jobs=jobs, random_state=seed), seed)


def chained_forest(data: pd.DataFrame, seed: int = 0, *, trees: int = 100, jobs: int = 1) -> pd.DataFrame:
    """Fill by chained regressions with random forests, ten rounds, much as missForest does.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0
    trees : int, default 100
        Per column and round.
    jobs : int, default 1
        Threads.

    Returns
    -------
    DataFrame
        Same index and columns.

    Raises
    ------
    DataError
        As `column_mean`.

    Notes
    -----
    Stekhoven & Buehlmann (2012), *Bioinformatics*, 28, 112-118. As there, columns with few holes come first and a
    split looks at the square root of the number of columns; unlike there, the number of rounds is fixed.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(n_estimators=trees, max_features="sqrt", n_jobs=jobs, random_state=seed)
    return _chained(data, forest, seed)


def _chained(data: pd.DataFrame, regression: Any, seed: int) -> pd.DataFrame:
    """scikit-learn's IterativeImputer on standardised columns, for a fixed number of rounds."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401  its import is what enables the next one
    from sklearn.impute import IterativeImputer

    imputer = IterativeImputer(regression, max_iter=ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        # Trees never settle: the rounds end by their number, as is documented.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fill_numeric(data, _standardised(imputer.fit_transform))


def _standardised(fill: Fill) -> Fill:
    """Let a method work on columns with mean 0 and SD 1 (of the observed values)."""

    def filled(values: FloatArray) -> FloatArray:
        mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        sd = np.where(sd > 0, sd, 1.0)
        return np.asarray(fill((values - mean) / sd) * sd + mean)

    return filled


def _conditional_expectation(values: FloatArray) -> FloatArray:
    varies = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
    completed = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    if not varies.any():
        return completed
    columns = values[:, varies]
    completed[:, varies] = saturated_rule(columns).conditional(columns, ~np.isnan(columns))[0]
    return completed


def saturated_rule(values: FloatArray) -> GaussianRule:
    """The normal distribution of some columns by maximum likelihood, without a structure.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where missing; every column varies.

    Returns
    -------
    GaussianRule
        Its variables are called "0", "1" and so on. With exactly dependent columns, a millionth of its variance is
        added to every column.
    """
    patterns = MissingPatterns.from_values(values[~np.isnan(values).all(axis=1)])
    moments = saturated_moments(patterns)
    if moments.degenerate:
        moments = saturated_moments(patterns.with_ridge(RIDGE * available_case_moments(patterns)[1]))
    names = tuple(str(j) for j in range(values.shape[1]))
    return GaussianRule(variables=names, means=(moments.mean,), covs=(moments.cov,))
