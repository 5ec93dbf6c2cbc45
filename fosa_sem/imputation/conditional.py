"""A fitted model -> the Gaussian rule of its variables -> completed tables."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler:
    """All that it takes to fill the holes of rows: columns, groups and moments, and nothing of the rows fitted to.

    Attributes
    ----------
    rule : GaussianRule
        Its variables are columns of the table, or products ``x:z`` of two.
    group : str or None
        Column that holds the groups.
    labels : tuple of str
        Of the groups, in the order of the rule's moments; one empty string without groups.
    fixed : tuple of str
        Variables without a distribution (exogenous ones with ``fixed_x=True``), which must be complete.
    """

    rule: GaussianRule
    group: str | None
    labels: tuple[str, ...]
    fixed: tuple[str, ...]

    @classmethod
    def from_fit(cls, fit: FimlFit) -> Filler:
        """That of a fitted model."""
        return cls(
            rule=observed_rule(fit), group=fit.options.group, labels=tuple(g.label for g in fit.sample.groups),
            fixed=fit.table.names.observed_x if fit.table.fixed_x else (),
        )  # fmt: skip

    def check(self) -> None:
        """Check that labels, means and covariances belong together.

        Raises
        ------
        DataError
        """
        p, rule = len(self.rule.variables), self.rule
        shapes = [(mean.shape, cov.shape) for mean, cov in zip(rule.means, rule.covs, strict=True)]
        if shapes != [((p,), (p, p))] * len(self.labels):
            raise DataError(
                f"moments of {p} variables in {len(self.labels)} group(s) are asked for, got shapes {shapes}"
            )

    def read(self, data: pd.DataFrame) -> tuple[FloatArray, IntArray]:
        """Values of the variables, shape (n, p), and 0-based group of each row, shape (n,).

        Raises
        ------
        DataError
            As in fitting, and for a missing or unknown value of the group variable.
        OptionError
            If a value of a variable without a distribution is missing.
        """
        values, group = _read(data, self.rule.variables, self.group, self.labels)
        for name in self.fixed:
            holes = int(np.isnan(values[:, self.rule.variables.index(name)]).sum())
            if holes:
                raise OptionError(
                    f"exogenous variable {name!r} has {holes} missing value(s), and the model was fitted with "
                    "fixed_x=True, which gives it no distribution; refit with fixed_x=False"
                )
        return values, group

    def complete(self, data: pd.DataFrame) -> Completion:
        """Fill the holes of a table with E[missing | observed].

        Parameters
        ----------
        data : DataFrame
            Any rows; never changed.

        Returns
        -------
        Completion
            Every row of ``data``. A row with nothing observed gets the means of its group.

        Raises
        ------
        DataError, OptionError
            As `read`.
        """
        values, group = self.read(data)
        observed = ~np.isnan(values)
        mean, sd = self.rule.conditional(values, observed, group)
        origin = np.where(observed, np.int8(Origin.OBSERVED), np.int8(Origin.SEM))
        return Completion(
            table=data, values=mean, observed=observed, mean=mean, sd=sd, origin=origin, group=group, rule=self.rule
        )


def _read(
    data: pd.DataFrame, names: tuple[str, ...], group: str | None, labels: tuple[str, ...]
) -> tuple[FloatArray, IntArray]:
    data = check_table(data)
    check_names(data, [*names, *([group] if group else [])], {})
    values = np.column_stack([check_column_values(take_column(data, name)) for name in names])
    if group is None:
        return values, np.zeros(len(data), dtype=np.intp)
    missing = int(data[group].isna().sum())
    if missing:
        raise DataError(f"{missing} row(s) have no value of the group variable {group!r}; drop them first")
    known = {label: i for i, label in enumerate(labels)}
    given = group_labels(data[group])
    unknown = [v for v in given if v not in known]
    if unknown:
        raise DataError(f"group {unknown[0]!r} was not in the data the model was fitted to: {', '.join(labels)}")
    return values, np.array(given.map(known), dtype=np.intp)  # a copy: pandas' own is read-only


def read_rows(fit: FimlFit, data: pd.DataFrame) -> tuple[FloatArray, IntArray]:
    """Values of the model's variables, shape (n, p), and 0-based group of each row, shape (n,).

    Raises
    ------
    DataError
        As in fitting, and for a missing or unknown value of the group variable.
    """
    labels = tuple(g.label for g in fit.sample.groups)
    return _read(data, fit.table.names.observed, fit.options.group, labels)


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
    return Filler.from_fit(fit).complete(data)
