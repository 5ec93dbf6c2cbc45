"""The functions a user calls: lavaan's names, meanings and defaults; they add names to what `inference.fit` does."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Unpack, cast

import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.imputation.draws import DrawKeywords
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.inference import fit
from fosa_sem.inference.options import FitKeywords, fit_options
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
