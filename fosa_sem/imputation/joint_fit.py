"""How an imputer fits its model: every row kept, categories coded, exact dependence met with a stated ridge."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from fosa_sem.data.checks import check_column_values, column_parts
from fosa_sem.errors import DataError, DependenceError, OptionError
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.imputation.categories import Asked, CategoricalColumn, categorical_columns
from fosa_sem.imputation.completion import Completion
from fosa_sem.inference import FimlFit, FitOptions, fit
from fosa_sem.inference.options import FitKeywords, fit_options
from fosa_sem.syntax.groups import relations_of_first_group
from fosa_sem.syntax.names import classify
from fosa_sem.syntax.options import FunctionName
from fosa_sem.syntax.parser import parse_model

RIDGE = 1e-6
"""Added to the variance of every column, as a share of it, if columns are exactly dependent."""


def named_columns(X: pd.DataFrame) -> pd.DataFrame:
    """Return the table if every column has a name of its own: unlike a fit, a transformer accounts for all of them.

    Raises
    ------
    DataError
    """
    odd = [c for c in X.columns if not isinstance(c, str)]
    if odd:
        raise DataError(f"column names must be strings; {odd[0]!r} is {type(odd[0]).__name__}: rename it")
    twice = X.columns[X.columns.duplicated()]
    if len(twice):
        raise DataError(f"column {twice[0]!r} occurs more than once in the data; keep one")
    return X


def joint_fit_options(func: FunctionName, engine: str | Engine, sem_options: Mapping[str, Any] | None) -> FitOptions:
    """Options of a fit that gives every variable a distribution.

    Parameters
    ----------
    func : str
    engine : str or Engine
    sem_options : mapping, optional
        As of `fosa_sem.sem`.

    Raises
    ------
    OptionError
        For an option out of range, the engine among ``sem_options``, or ``fixed_x=True``.
    """
    given = dict(sem_options or {})
    if "engine" in given:
        raise OptionError("sem_options has 'engine'; give it to FosaImputer itself")
    if given.pop("fixed_x", None) not in (None, False):
        raise OptionError(
            "sem_options may not change fixed_x=False: another value gives exogenous variables no distribution to fill "
            "them from; leave it out"
        )
    keywords = cast(FitKeywords, {**given, "engine": engine, "fixed_x": False})
    return fit_options(func, keywords)


def coded_categories(
    X: pd.DataFrame, model: str, options: FitOptions, asked: Asked
) -> tuple[tuple[CategoricalColumn, ...], FitOptions]:
    """Columns of categories, and the options with the indicators of nominal ones among the auxiliary variables.

    Parameters
    ----------
    X : DataFrame
    model : str
    options : FitOptions
    asked : "auto", mapping or None
        See `categorical_columns`, which also says what is raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit parses, and warns, too
        variables = classify(relations_of_first_group(parse_model(model))).observed
    columns = categorical_columns(X, variables, options.auxiliary, asked)
    nominal = {column.name: column.indicators for column in columns if column.kind == "nominal"}
    others = [name for name in options.auxiliary if name not in nominal]
    indicators = [name for names in nominal.values() for name in names]
    return columns, replace(options, auxiliary=(*others, *indicators)) if nominal else options


def fit_or_ridge(model: str, data: pd.DataFrame, options: FitOptions) -> FimlFit:
    """Fit; once more with a ridge, which warns, if columns are exactly dependent.

    Parameters
    ----------
    model : str
    data : DataFrame
    options : FitOptions
    """
    try:
        return fit(model, data, options)
    except DependenceError:
        return fit(model, data, replace(options, ridge=RIDGE))


def modelled_columns(completion: Completion) -> pd.DataFrame:
    """Return the columns that the model uses, as numbers with holes; of a product ``x:z``, its two columns."""
    table = completion.table
    names = dict.fromkeys(part for name in completion.variables for part in column_parts(table, name))
    return pd.DataFrame({name: check_column_values(table[name]) for name in names}, index=table.index)
