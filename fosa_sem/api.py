"""The functions a user calls: lavaan's names, meanings and defaults; they add names to what `inference.fit` does."""

from __future__ import annotations

import difflib
from typing import TypedDict, Unpack

import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.inference import FitOptions, fit
from fosa_sem.results import SemResults
from fosa_sem.syntax.table import FunctionName


class FitKeywords(TypedDict, total=False):
    """Keyword arguments of `sem`, `cfa`, `growth` and `lavaan`.

    Attributes
    ----------
    missing : {"fiml", "ml", "direct"}, default "fiml"
        Full-information maximum likelihood. The one deliberate difference from lavaan's defaults (listwise).
    estimator : {"ML"}, default "ML"
    engine : str or Engine, default "native"
        "native", "semopy", or an object with ``name`` and ``estimate(problem)``. It finds the estimates;
        everything else is computed from them here.
    meanstructure : bool, optional
        Only True is possible with FIML; None means True.
    fixed_x : bool, optional
        Exogenous observed variables keep their sample moments, and rows in which one is missing are dropped
        (lavaan's default, True). False models them jointly and keeps every row.
    std_lv : bool, default False
        Fix latent variances to 1 instead of first loadings.
    orthogonal : bool, default False
        Fix the covariances of exogenous latent variables to 0.
    int_ov_free, int_lv_free, auto_fix_first, auto_fix_single, auto_var, auto_cov_lv_x, auto_cov_y : bool, optional
        lavaan's switches; None keeps the default of the function called.
    group : str, optional
        Column that holds the groups; all parameters differ between groups unless they share a label.
    """

    missing: str
    estimator: str
    engine: str | Engine
    meanstructure: bool | None
    fixed_x: bool | None
    std_lv: bool | None
    orthogonal: bool | None
    int_ov_free: bool | None
    int_lv_free: bool | None
    auto_fix_first: bool | None
    auto_fix_single: bool | None
    auto_var: bool | None
    auto_cov_lv_x: bool | None
    auto_cov_y: bool | None
    group: str | None


_OF_THE_FIT = ("missing", "estimator", "engine", "group")


def fit_options(func: FunctionName, options: FitKeywords) -> FitOptions:
    """Check keyword arguments and resolve them for one of lavaan's functions.

    Raises
    ------
    OptionError
        For an unknown option (with the closest known one), or a value out of range.
    """
    given = dict(options)
    for name in given:
        if name not in FitKeywords.__annotations__:
            close = difflib.get_close_matches(name, FitKeywords.__annotations__, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f": known are {', '.join(FitKeywords.__annotations__)}"
            raise OptionError(f"{func}() has no option {name!r}{hint}")
    if given.pop("meanstructure", None) not in (None, True):
        raise OptionError("meanstructure must be True or None: FIML fits the means too")
    of_the_fit = {name: given.pop(name) for name in _OF_THE_FIT if name in given}
    return FitOptions(func=func, table=given, **of_the_fit)  # type: ignore[arg-type]


def _fit(func: FunctionName, model: str, data: pd.DataFrame, options: FitKeywords) -> SemResults:
    return SemResults(fit=fit(model, data, fit_options(func, options)), data=data)


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
