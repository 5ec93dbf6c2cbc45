"""What a report is made of: the numbers of one fit and of one imputation, filled in by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.evaluate.sensitivity import Sensitivity
from fosa_sem.inference.mcar import McarTest
from fosa_sem.report.document import Section

if TYPE_CHECKING:
    from fosa_sem.refine.insight import Dependence

FloatArray = NDArray[np.float64]
Columns = Mapping[str, Sequence[Any]] | pd.DataFrame
"""A table as its columns by name: most are printed and forgotten, for which a DataFrame takes long to make."""
Measures = Mapping[str, float] | pd.Series
"""Fit measures by lavaan's names."""
_NO_TABLE, _NO_SERIES = pd.DataFrame(), pd.Series(dtype=float)


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
    audit : tuple of (label, text)
        What was checked about the solution, and the outcome.
    fit_measures : measures
        Values by lavaan's names (``chisq``, ``rmsea.ci.lower``, ``cfi.robust`` ...); NaN where undefined.
    parameters : columns
        lhs op rhs label group est se z pvalue ci_lower ci_upper std_lv std_all free. ``se`` is 0 and
        ``z`` NaN for fixed parameters. ``group`` holds 1-based numbers, or labels if it is not numeric.
    r2 : columns
        group variable r2.
    notes : tuple of str
        Remarks for the end of the report.
    ci_level : float, default 0.95
        Level of ``ci_lower`` and ``ci_upper``.
    patterns : DataFrame, default empty
        One row per pattern, most frequent first: a column per variable (1 observed, 0 missing), then ``n``,
        and ``group`` where there are several.
    coverage : tuple of DataFrame, length G, default ()
        Share of the rows used in which both variables are observed, shape (p, p), by name.
    missing_rates : Series, length p, default empty
        Share of the rows used in which the variable is missing.
    saturated : tuple of (mean, cov), default ()
        Per group, means (Series) and covariances (DataFrame) of the saturated model estimated by EM.
    residual_correlations : tuple of DataFrame, default ()
        Per group, observed (EM) minus model-implied correlations.
    chisq_by_group : tuple of float, default ()
        Each group's part of chi-square; empty for a single group, many groups, or without a test.
    statements : tuple of (prompt, text), default ()
        What only the analyst can say. Prompts of `PROMPTS` left out or empty are printed as not stated.
    further : tuple of Section, default ()
        Sections from elsewhere, such as a comparison with another program.
    missing : MissingReport or None, default None
        Diagnostics of the missing values.
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
    audit: tuple[tuple[str, str], ...]
    fit_measures: Measures
    parameters: Columns
    r2: Columns
    notes: tuple[str, ...]
    ci_level: float = 0.95
    patterns: pd.DataFrame = field(default_factory=lambda: _NO_TABLE)
    coverage: tuple[pd.DataFrame, ...] = ()
    missing_rates: pd.Series = field(default_factory=lambda: _NO_SERIES)
    saturated: tuple[tuple[pd.Series, pd.DataFrame], ...] = ()
    residual_correlations: tuple[pd.DataFrame, ...] = ()
    chisq_by_group: tuple[float, ...] = ()
    statements: tuple[tuple[str, str], ...] = ()
    further: tuple[Section, ...] = ()
    missing: MissingReport | None = None


PROMPTS = (
    "Was the model, and any change to it, planned in advance",
    "Planned handling of missing data",
    "Known reasons for missing values",
    "Assumed missing-data mechanism, and why",
    "Why these auxiliary variables, or none",
    "Result with complete rows only, and why it differs",
    "Which departures from missing at random are plausible",
    "Limits of interpretation",
    "Where data and code can be found",
)
"""What a report must say and only the analyst can (APA JARS-Quant, Appelbaum et al. 2018; TARMOS, Lee et al. 2021; van
Buuren 2018, section 12.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingReport:
    """Diagnostics of the missing values in the rows used.

    Attributes
    ----------
    flux : DataFrame, a row per variable
        See `fosa_sem.influx_outflux`.
    differences : DataFrame
        See `fosa_sem.compare_missing`.
    mcar : tuple of McarTest or None, length G
        Little's test per group; None where nothing is missing, or without saturated moments.
    uncovered : tuple of (variable, variable)
        Pairs that no row of some group observes together.
    """

    flux: pd.DataFrame
    differences: pd.DataFrame
    mcar: tuple[McarTest | None, ...]
    uncovered: tuple[tuple[str, str], ...]


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
class MultipleReport:
    """Everything a report says about multiple imputations and a model fitted to each.

    Attributes
    ----------
    m : int
        Imputations.
    settings : tuple of (label, value)
        How they were made.
    variables : tuple of ImputedVariable
    imputation_model : str
        Empty for imputations that were made elsewhere.
    model : str
        The analysis model; empty without a pooled fit.
    failed : tuple of (imputation, reason)
        Fits that are left out.
    lacking : tuple of str
        What the analysis asks for and the imputation model rules out.
    estimates : DataFrame or None
        Pooled estimates with the column ``term``, see `fosa_sem.imputation.pooling_path.pooled_terms`.
    fit_measures : Series
        Of the pooled chi-square, by lavaan's names; empty without.
    path : DataFrame or None
        How estimates settle, see `fosa_sem.pooling_path`.
    ci_level : float, default 0.95
    """

    m: int
    settings: tuple[tuple[str, str], ...]
    variables: tuple[ImputedVariable, ...]
    imputation_model: str = ""
    model: str = ""
    failed: tuple[tuple[int, str], ...] = ()
    lacking: tuple[str, ...] = ()
    estimates: pd.DataFrame | None = None
    fit_measures: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    path: pd.DataFrame | None = None
    ci_level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputationReport:
    """Everything a report says about imputed values.

    Attributes
    ----------
    metrics : DataFrame or None
        Long table: seed method variable n_masked missing_rate mse rmse mae r2 kl wasserstein cov_error, on
        masked observed cells. The variable ``"overall"`` is the mean over variables.
    history : DataFrame or None
        One row per epoch: epoch mse covariance l1 total heldout_mse baseline_mse; NaN where not evaluated.
    gates : DataFrame or None
        One row per variable: variable gate gain se n_heldout, and the covariance errors sem and refined if known.
    distributions : tuple of Distribution
        Variables with missing cells.
    adjustments : DataFrame or None
        One row per variable with bounds or whole numbers: variable filled clipped rounded.
    dependence : Dependence or None
        What the refiner uses.
    notes : tuple of str
    multiple : MultipleReport or None
        Multiple imputations, and what was pooled.
    sensitivity : tuple of Sensitivity
        Analyses under values missing not at random.
    """

    metrics: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    gates: pd.DataFrame | None = None
    distributions: tuple[Distribution, ...] = ()
    adjustments: pd.DataFrame | None = None
    dependence: Dependence | None = None
    notes: tuple[str, ...] = ()
    multiple: MultipleReport | None = None
    sensitivity: tuple[Sensitivity, ...] = ()
