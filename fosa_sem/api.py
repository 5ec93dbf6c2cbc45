"""The functions a user calls: lavaan's names, meanings and defaults; they add names to what `inference.fit` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack, cast

import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.imputation.draws import DrawKeywords
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.inference import fit
from fosa_sem.inference.bootstrap import Bootstrap, bootstrap_fit
from fosa_sem.inference.comparison import Comparison, Directions, Method, compare_fits
from fosa_sem.inference.constraint_tests import WaldTest, wald_test
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.options import FitKeywords, fit_options
from fosa_sem.inference.resampling import BootstrapType
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.results import SemResults
from fosa_sem.syntax.options import FunctionName


def _fit(func: FunctionName, model: str, data: pd.DataFrame, options: FitKeywords) -> SemResults:
    start = options.get("start")
    if isinstance(start, SemResults):
        chosen = replace(fit_options(func, {**options, "start": dict(start.coef())}), start_strict=False)
    else:
        chosen = fit_options(func, options)
    return SemResults(fit=fit(model, data, chosen), data=data)


def sem(model: str, data: pd.DataFrame, **options: Unpack[FitKeywords]) -> SemResults:
    """Fit a structural equation model to incomplete data (lavaan: ``sem()``).

    Parameters
    ----------
    model : str
        lavaan's model syntax: ``=~``, ``~``, ``~~``, ``~ 1``, ``:=``.
    data : DataFrame
        Missing values are NaN, None or pandas.NA. Columns that the model does not name are ignored; the table is
        never changed.
    **options
        See `FitKeywords`.

    Returns
    -------
    SemResults

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        The model string, with line and column.
    DataError
        Columns that cannot be used, too few rows, exactly dependent columns.
    IdentificationError
        The moments do not determine the parameters, which are named.
    ConvergenceError
        No finite estimate exists.
    OptionError, EngineError
        An option out of range; an engine that cannot express the model.
    """
    return _fit("sem", model, data, options)


def cfa(model: str, data: pd.DataFrame, **options: Unpack[FitKeywords]) -> SemResults:
    """Fit a confirmatory factor analysis (lavaan: ``cfa()``); arguments, result and errors as of `sem`."""
    return _fit("cfa", model, data, options)


def growth(model: str, data: pd.DataFrame, **options: Unpack[FitKeywords]) -> SemResults:
    """Fit a growth curve model: observed intercepts 0, latent means free (lavaan: ``growth()``); otherwise as `sem`."""
    return _fit("growth", model, data, options)


def lavaan(model: str, data: pd.DataFrame, **options: Unpack[FitKeywords]) -> SemResults:
    """Fit the model as written, with nothing added or fixed (lavaan: ``lavaan()``); otherwise as `sem`."""
    return _fit("lavaan", model, data, options)


def impute(
    data: pd.DataFrame, model: str, m: int = 20, *, seed: int = 0, func: FunctionName = "sem",
    refiner: Literal["attention"] | RefinerConfig | None = None, sem_options: FitKeywords | None = None,
    **options: Unpack[DrawKeywords],
) -> MultipleImputation:  # fmt: skip
    """Impute a table m times from a structural equation model fitted to it (mice: ``mice()``).

    Parameters
    ----------
    data : DataFrame
        Missing values are NaN, None or pandas.NA; never changed.
    model : str
        The imputation model in lavaan's syntax. It should allow for everything that an analysis will ask.
    m : int, default 20
    seed : int, default 0
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
        Whose defaults complete the model; exogenous variables are modelled too (``fixed_x=False``), so that all can
        be imputed.
    refiner : {"attention"} or RefinerConfig, optional
        See `SemResults.multiple_imputations`.
    sem_options : mapping, optional
        Further options of the fit: ``auxiliary``, ``group``, ``estimator`` ...
    **options
        See `DrawKeywords`.

    Returns
    -------
    MultipleImputation
        ``.complete(i)``, ``.fit(model)``, ``.apply(function)`` ...

    Raises
    ------
    FosaError
        As of `sem` and `SemResults.multiple_imputations`.

    Examples
    --------
    >>> from fosa_sem.datasets import load_nhanes
    >>> imputations = impute(load_nhanes(), "waist ~ bmi + age + female", m=5)
    >>> pooled = imputations.fit("waist ~ bmi + age")
    >>> pooled.parameter_estimates()[["rhs", "est", "se", "fmi"]]  # doctest: +SKIP
    """
    given = dict(sem_options or {})
    if given.pop("fixed_x", None) not in (None, False):
        raise OptionError("imputation needs fixed_x=False: exogenous variables have no distribution otherwise")
    results = _fit(func, model, data, cast(FitKeywords, {**given, "fixed_x": False}))
    return results.multiple_imputations(m, seed, refiner=refiner, **options)


def lrt(
    *fits: SemResults, method: Method = "default", a_method: Directions = "delta", names: Sequence[str] | None = None
) -> Comparison:
    """Compare nested models by their chi-square statistics (lavaan: ``lavTestLRT()``, ``anova()``).

    Parameters
    ----------
    *fits : SemResults
        In any order; they are ordered by their degrees of freedom. One alone is compared with the saturated model.
    method : str, default "default"
        "standard" for fits without, "satorra.bentler.2001" for fits with a scaled test. "satorra.bentler.2010" keeps
        the scaling factor positive by evaluating the less restricted model at the estimates of the other.
        "satorra.2000": exact for nested models, with complete rows (listwise).
    a_method : {"delta", "exact"}
        For "satorra.2000": what the more restricted model leaves open, from the slopes of the moments or from
        parameters of the same name.
    names : sequence of str, optional
        ``model 1``, ``model 2`` ... by default, in the order given.

    Returns
    -------
    Comparison
        ``.to_frame()`` is lavaan's table, ``.summary()`` its text.

    Raises
    ------
    OptionError
        For fits without chi-square, or fitted to other rows, likelihoods or tests.

    Warns
    -----
    InferenceWarning
        For models of different variables or equal degrees of freedom, fits that are no certified maxima, restricted
        models that fit better, and scaling factors that are not positive (the difference is then NaN).

    Notes
    -----
    Satorra & Bentler (2001, 2010), Satorra (2000), with shift (Asparouhov & Muthen 2010). Nested models are taken for
    granted: only their degrees of freedom and fit are looked at.
    """
    if isinstance(names, str):
        raise OptionError("names must hold one name per fit")
    shown = [f"model {i}" for i in range(1, len(fits) + 1)] if names is None else list(names)
    return compare_fits([_fitted(results) for results in fits], shown, method, a_method)


def wald(results: SemResults, constraints: str) -> WaldTest:
    """Wald test of constraints on the model's labels (lavaan: ``lavTestWald()``).

    Parameters
    ----------
    results : SemResults
    constraints : str
        ``a == b``, ``c == 0`` ..., one per line or ``;``; ``:=`` parameters of the model may stand in them.

    Returns
    -------
    WaldTest
        ``stat``, ``df``, ``pvalue``; robust if the standard errors of the fit are.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        With the place, also for labels that do not exist.
    OptionError
        For other statements, constraints that repeat each other or hold already, and fits without standard errors.
    """
    return wald_test(_fitted(results), constraints)


def bootstrap(
    results: SemResults, n: int = 1000, seed: int = 0, type: BootstrapType = "ordinary",
    statistic: Callable[[SemResults], Any] | None = None, n_jobs: int = 1, verbose: bool | None = None,
) -> Bootstrap:  # fmt: skip
    """Refit a model to resamples of its rows (lavaan: ``bootstrapLavaan()``).

    Parameters
    ----------
    results : SemResults
    n : int, default 1000
        Draws.
    seed : int, default 0
        The same seed gives the same draws, whatever ``n_jobs``.
    type : {"ordinary", "parametric"}, default "ordinary"
        Rows drawn with replacement within groups; or values drawn from the fitted model, with the holes of the data.
    statistic : callable, optional
        From a `SemResults` to a number, a sequence, a mapping or a Series of numbers, such as
        ``lambda r: r.fit_measures(["rmsea", "cfi"])``; the free parameters by default.
    n_jobs : int, default 1
        Processes; -1 for all cores.
    verbose : bool, optional
        Show a progress bar; None shows one on a terminal only.

    Returns
    -------
    Bootstrap
        ``.se``, ``.vcov``, ``.bias``, ``.conf_int(type, level)``, ``.to_frame()`` of the draws, ``.n_failed``.

    Raises
    ------
    OptionError
    ConvergenceError
        If more than half of the draws fail.

    Warns
    -----
    InferenceWarning
        Counts of draws that failed, and of draws with inadmissible solutions (which are kept).

    Notes
    -----
    Every draw is refitted by the native engine from the estimates. Fixed exogenous variables have their moments in the
    draw. Rows that the fit dropped are no part of it.
    """
    fitted = _fitted(results)
    given = None if statistic is None else _Statistic(statistic, results.data)
    return bootstrap_fit(fitted, n=n, seed=seed, type=type, statistic=given, n_jobs=n_jobs, verbose=verbose)


class _Statistic:
    """A function of results as one of a fit; an object, so that other processes can have it."""

    def __init__(self, statistic: Callable[[SemResults], Any], data: pd.DataFrame) -> None:
        self.statistic = statistic
        self.data = data

    def __call__(self, fitted: FimlFit) -> Any:
        return self.statistic(SemResults(fit=fitted, data=self.data))


def _fitted(results: SemResults) -> FimlFit:
    if not isinstance(results, SemResults):
        raise OptionError(f"expected the results of sem(), cfa(), growth() or lavaan(), got {type(results).__name__}")
    return results.fit
