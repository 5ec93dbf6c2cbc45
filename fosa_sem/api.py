"""The functions a user calls: lavaan's names, meanings and defaults; they add names to what `inference.fit` does."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import pandas as pd

from fosa_sem.inference import fit
from fosa_sem.inference.options import FitKeywords, fit_options
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
