"""A fitted model -> the Gaussian rule of its variables -> completed tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.checks import check_column_values, check_names, check_table, take_column
from fosa_sem.data.sample import group_labels
from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.completion import Completion, GaussianRule, Origin
from fosa_sem.inference.fit import FimlFit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def observed_rule(fit: FimlFit) -> GaussianRule:
    """Model-implied joint moments of the observed variables."""
    moments = [ram.moments(fit.theta) for ram in fit.problem.maps]
    return GaussianRule(
        variables=fit.table.names.observed, means=tuple(m for m, _ in moments), covs=tuple(c for _, c in moments)
    )


def joint_rule(fit: FimlFit) -> GaussianRule:
    """Model-implied joint moments of the observed and latent variables."""
    joint = [ram.matrices(fit.theta) for ram in fit.problem.maps]
    return GaussianRule(
        variables=(*fit.table.names.observed, *fit.table.names.latent),
        means=tuple(j.mean for j in joint),
        covs=tuple(j.cov for j in joint),
    )


def read_rows(fit: FimlFit, data: pd.DataFrame) -> tuple[FloatArray, IntArray]:
    """Values of the model's variables, shape (n, p), and 0-based group of each row, shape (n,).

    Raises
    ------
    DataError
        As in fitting, and for a missing or unknown value of the group variable.
    """
    data = check_table(data)
    names = fit.table.names.observed
    group = fit.options.group
    check_names(data, [*names, *([group] if group else [])], {})
    values = np.column_stack([check_column_values(take_column(data, name)) for name in names])
    if group is None:
        return values, np.zeros(len(data), dtype=np.intp)
    labels = [g.label for g in fit.sample.groups]
    missing = int(data[group].isna().sum())
    if missing:
        raise DataError(f"{missing} row(s) have no value of the group variable {group!r}; drop them first")
    known = {label: i for i, label in enumerate(labels)}
    given = group_labels(data[group])
    unknown = [v for v in given if v not in known]
    if unknown:
        raise DataError(f"group {unknown[0]!r} was not in the data the model was fitted to: {', '.join(labels)}")
    return values, np.asarray(given.map(known), dtype=np.intp)


def read_imputable(fit: FimlFit, data: pd.DataFrame) -> tuple[FloatArray, IntArray]:
    """As `read_rows`, for rows whose holes are to be filled.

    Raises
    ------
    DataError
        As `read_rows`.
    OptionError
        If a value of an exogenous variable is missing and the model was fitted with ``fixed_x=True``.
    """
    values, group = read_rows(fit, data)
    if fit.table.fixed_x:
        for name in fit.table.names.observed_x:
            holes = int(np.isnan(values[:, fit.table.names.observed.index(name)]).sum())
            if holes:
                raise OptionError(
                    f"exogenous variable {name!r} has {holes} missing value(s), and the model was fitted with "
                    "fixed_x=True, which gives it no distribution; refit with fixed_x=False"
                )
    return values, group


def complete(fit: FimlFit, data: pd.DataFrame) -> Completion:
    """Fill the holes of a table with E[missing | observed] under the fitted model.

    Parameters
    ----------
    fit : FimlFit
    data : DataFrame
        The rows fitted, or new ones; never changed.

    Returns
    -------
    Completion
        Every row of ``data``. A row with nothing observed gets the model's means.

    Raises
    ------
    OptionError
        If a value of an exogenous variable is missing and the model was fitted with ``fixed_x=True``, which gives
        these variables no distribution.
    """
    values, group = read_imputable(fit, data)
    observed = ~np.isnan(values)
    rule = observed_rule(fit)
    mean, sd = rule.conditional(values, observed, group)
    origin = np.where(observed, np.int8(Origin.OBSERVED), np.int8(Origin.SEM))
    return Completion(
        table=data, values=mean, observed=observed, mean=mean, sd=sd, origin=origin, group=group, rule=rule
    )
