"""What a report is made of: the numbers of one fit and of one imputation, filled in by the caller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """Everything a report says about one fitted model.

    Attributes
    ----------
    title : str
        First line of the report, for example the package and its version.
    model : str
        The model as the user wrote it.
    call : tuple of (label, value)
        What was asked, in the order to print: function, missing, estimator, engine, standard errors ...
    converged : bool
        Whether the estimate is certified as a maximum of the likelihood.
    iterations : int or None
        Iterations of the optimizer, if the engine tells.
    npar : int
        Number of free parameters (rows; equality constraints are not subtracted).
    n_equality : int
        Number of equality constraints.
    group_labels : tuple of str, length G
        Labels of the groups, in order of first appearance; one element without groups.
    n_given, n_used : int
        Rows in the data and rows in the analysis.
    n_by_group : tuple of int, length G
        Rows used per group.
    dropped : tuple of (reason, count)
        Why rows were left out.
    n_patterns : tuple of int, length G
        Missing-data patterns per group.
    patterns : DataFrame
        One row per pattern, most frequent first: a column per variable (1 observed, 0 missing), then ``n``,
        and ``group`` where there are several.
    coverage : tuple of DataFrame, length G
        Share of the rows used in which both variables are observed, shape (p, p), by name.
    missing_rates : Series, length p
        Share of the rows used in which the variable is missing.
    audit : tuple of (label, text)
        What was checked about the solution, and the outcome.
    fit_measures : Series
        Values by lavaan's names (``chisq``, ``rmsea.ci.lower``, ``cfi.robust`` ...); NaN where undefined.
    parameters : DataFrame
        Columns lhs op rhs label group est se z pvalue ci_lower ci_upper std_lv std_all free. ``se`` is 0 and
        ``z`` NaN for fixed parameters. ``group`` holds 1-based numbers, or labels if it is not numeric.
    r2 : DataFrame
        Columns group variable r2.
    notes : tuple of str
        Remarks for the end of the report.
    ci_level : float, default 0.95
        Level of ``ci_lower`` and ``ci_upper``.
    saturated : tuple of (mean, cov), default ()
        Per group, means (Series) and covariances (DataFrame) of the saturated model estimated by EM.
    residual_correlations : tuple of DataFrame, default ()
        Per group, observed (EM) minus model-implied correlations.
    chisq_by_group : tuple of float, default ()
        Each group's part of chi-square; empty for a single group, many groups, or without a test.
    statements : tuple of (prompt, text), default ()
        What only the analyst can say. Prompts of `PROMPTS` left out or empty are printed as not stated.
    """

    title: str
    model: str
    call: tuple[tuple[str, str], ...]
    converged: bool
    iterations: int | None
    npar: int
    n_equality: int
    group_labels: tuple[str, ...]
    n_given: int
    n_used: int
    n_by_group: tuple[int, ...]
    dropped: tuple[tuple[str, int], ...]
    n_patterns: tuple[int, ...]
    patterns: pd.DataFrame
    coverage: tuple[pd.DataFrame, ...]
    missing_rates: pd.Series
    audit: tuple[tuple[str, str], ...]
    fit_measures: pd.Series
    parameters: pd.DataFrame
    r2: pd.DataFrame
    notes: tuple[str, ...]
    ci_level: float = 0.95
    saturated: tuple[tuple[pd.Series, pd.DataFrame], ...] = ()
    residual_correlations: tuple[pd.DataFrame, ...] = ()
    chisq_by_group: tuple[float, ...] = ()
    statements: tuple[tuple[str, str], ...] = ()


PROMPTS = (
    "Assumed missing-data mechanism, and why",
    "Known reasons for missing values",
    "Was the model, and any change to it, planned in advance",
    "Where data and code can be found",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Values of one variable: observed, and imputed at the missing cells.

    Attributes
    ----------
    variable : str
    observed : ndarray, shape (n_observed,)
    sem : ndarray, shape (n_missing,)
        Conditional means under the model.
    refined : ndarray, shape (n_missing,), or None
        Values after refinement; None without a refiner.
    """

    variable: str
    observed: FloatArray
    sem: FloatArray
    refined: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputedVariable:
    """Values of one variable in multiple imputations.

    Attributes
    ----------
    variable : str
    observed : ndarray, shape (n_observed,)
    imputed : tuple of ndarray, length m, each (n_missing,)
    """

    variable: str
    observed: FloatArray
    imputed: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputationReport:
    """Everything a report says about one imputation.

    Attributes
    ----------
    metrics : DataFrame or None
        Long table: seed method variable n_masked missing_rate mse rmse mae r2 kl wasserstein cov_error, on
        masked observed cells. The variable ``"overall"`` is the mean over variables.
    history : DataFrame or None
        One row per epoch: epoch mse covariance l1 total heldout_mse baseline_mse; NaN where not evaluated.
    gates : DataFrame or None
        One row per variable: variable gate gain se n_heldout.
    distributions : tuple of Distribution
        Variables with missing cells.
    notes : tuple of str
    """

    metrics: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    gates: pd.DataFrame | None = None
    distributions: tuple[Distribution, ...] = ()
    notes: tuple[str, ...] = ()
