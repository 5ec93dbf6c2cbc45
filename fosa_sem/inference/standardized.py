"""Standardised solutions and explained variance, with delta-method standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.errors import OptionError
from fosa_sem.inference.fit import FimlFit
from fosa_sem.model.labels import label_values
from fosa_sem.syntax.expressions import Dual
from fosa_sem.syntax.table import Row

Array = NDArray[np.inexact]
FloatArray = NDArray[np.float64]
StandardizedType = Literal["std.all", "std.lv", "std.nox"]

HELD = 1e-14
"""Variance of a function of parameters, as a share of what it would be without covariances, that is only rounding."""


def standardized_values(fit: FimlFit, theta: Array, kind: StandardizedType = "std.all") -> Array:
    """Standardised value of every row of the table, shape (rows,); theta may be complex.

    ``std.lv`` scales by the latent standard deviations alone, ``std.all`` by all, ``std.nox`` by all but those of
    exogenous observed variables. Variances are divided by the total variance, covariances by the residual standard
    deviations of both variables (so that they are residual correlations), as in lavaan.
    """
    return standardize_rows(fit, fit.table.rows, fit.estimates(theta), theta, kind)


def standardize_rows(
    fit: FimlFit, rows: Sequence[Row], values: Array, theta: Array, kind: StandardizedType = "std.all"
) -> Array:
    """Standardise any values of rows, which may stand outside the table, by the moments that the model has at theta."""
    out = values.copy()
    for group, point in enumerate(fit.problem.at(theta), start=1):
        variance = point.matrices.cov.diagonal()
        # The root of a negative variance would be imaginary, which complex steps take for a derivative.
        total = np.sqrt(np.where(np.real(variance) >= 0.0, variance, np.nan))
        names = (*fit.table.names.observed, *fit.table.names.latent)
        scale = dict(zip(names, total, strict=True))
        # beside auxiliary variables, with which all covary, none is exogenous (as in lavaan)
        exogenous = () if fit.table.auxiliary else fit.table.names.observed_x
        for name in fit.table.names.observed:
            if kind == "std.lv" or (kind == "std.nox" and name in exogenous):
                scale[name] = np.ones((), dtype=total.dtype)[()]
        at = {_place(row): i for i, row in enumerate(rows) if row.group == group}
        with np.errstate(divide="ignore", invalid="ignore"):  # a variable without variance has no standardised values
            for i in at.values():
                out[i] = _standardize(rows[i], values[i], values, at, scale)
                if kind == "std.nox" and rows[i].op == "~" and rows[i].lhs in fit.table.names.observed_x:
                    out[i] /= total[names.index(rows[i].lhs)]  # an outcome is scaled, as in lavaan, whatever else it is
    return out


def _place(row: Row) -> tuple[str, str, str]:
    return row.lhs, row.op, row.rhs


def _standardize(
    row: Row, value: complex, values: Array, at: dict[tuple[str, str, str], int], scale: dict[str, complex]
) -> complex:
    if row.op == "=~":
        return value * scale[row.lhs] / scale[row.rhs]
    if row.op in ("~", "<~"):
        return value * scale[row.rhs] / scale[row.lhs]
    if row.op == "~1":
        return value / scale[row.lhs]
    if row.lhs == row.rhs:
        return value / scale[row.lhs] ** 2
    for name in (row.lhs, row.rhs):
        place = at.get((name, "~~", name))
        residual: complex = values[place] if place is not None else 0.0
        if scale[name] != 1.0:  # exactly 1: this type of solution leaves the variable in its units
            value = value / np.sqrt(residual if np.real(residual) >= 0 else -residual) if residual else math.nan
    return value


def complex_jacobian(fit: FimlFit, kind: StandardizedType) -> FloatArray:
    """d standardised / d theta, shape (rows, k), exact to rounding by complex steps."""
    step = 1e-30
    columns = [
        np.imag(standardized_values(fit, fit.theta + 1j * step * unit, kind)) / step for unit in np.eye(len(fit.theta))
    ]
    return np.array(columns).reshape(len(fit.theta), len(fit.table.rows)).T


def definitions(fit: FimlFit, values: Array, jacobian: FloatArray) -> list[Dual]:
    """Value and gradient with respect to theta of every ``:=`` parameter, from those of the rows."""
    if not fit.table.definitions:
        return []
    known = label_values(fit.table, values, jacobian)
    return [known[definition.lhs] for definition in fit.table.definitions]


def delta_se(jacobian: FloatArray, vcov: FloatArray | None) -> FloatArray:
    """Standard errors sqrt(diag(J V J')); 0 for what is fixed or what constraints hold, NaN without vcov."""
    fixed = ~jacobian.any(axis=1)
    if vcov is None:
        return np.where(fixed, 0.0, math.nan)
    variance = (jacobian @ vcov * jacobian).sum(axis=1)
    alone = jacobian**2 @ np.diag(vcov)
    return np.sqrt(np.where(variance <= HELD * alone, 0.0, variance))  # NaN stays NaN


def inference_columns(values: FloatArray, se: FloatArray, level: float = 0.95) -> dict[str, FloatArray]:
    """Columns z, pvalue (two-sided), ci_lower and ci_upper; z is NaN where there is no standard error."""
    if not 0.0 < level < 1.0:
        raise OptionError(f"level must lie between 0 and 1, got {level!r}")
    width = special.ndtri(0.5 + level / 2.0) * se
    z = values / np.where(se > 0, se, np.nan)
    return {"z": z, "pvalue": 2.0 * special.ndtr(-np.abs(z)), "ci_lower": values - width, "ci_upper": values + width}


def name_columns(fit: FimlFit) -> dict[str, list[str | int]]:
    """Columns lhs, op, rhs and group (0 for ``:=``) of a table of all rows and definitions."""
    rows = [(r.lhs, r.op, r.rhs, r.group) for r in fit.table.rows]
    rows += [(d.lhs, d.op, d.rhs, 0) for d in fit.table.definitions]
    return {name: [row[i] for row in rows] for i, name in enumerate(("lhs", "op", "rhs", "group"))}


def standardized_solution(fit: FimlFit, kind: StandardizedType = "std.all", level: float = 0.95) -> pd.DataFrame:
    """Standardised solution (lavaan: ``standardizedSolution()``).

    Returns
    -------
    DataFrame
        lhs op rhs group est_std se z pvalue ci_lower ci_upper; group 0 for ``:=``.

    Raises
    ------
    OptionError
        For an unknown type.
    """
    if kind not in get_args(StandardizedType):
        raise OptionError(f"type must be one of {', '.join(get_args(StandardizedType))}, got {kind!r}")
    values = standardized_values(fit, fit.theta, kind)
    jacobian = complex_jacobian(fit, kind)
    defined = definitions(fit, values, jacobian)
    # A standardised value that is constant (a loading of a factor alone) has slopes of pure rounding.
    largest = np.abs(np.nan_to_num(jacobian)).max(axis=0, initial=1e-300)
    jacobian[np.abs(jacobian) < 1e-12 * largest] = 0.0
    scaled = np.array([*values.astype(float), *(d.value for d in defined)])
    se = delta_se(np.vstack([jacobian, *(d.gradient for d in defined)]), fit.vcov)
    return pd.DataFrame({**name_columns(fit), "est_std": scaled, "se": se, **inference_columns(scaled, se, level)})


def r_squared(fit: FimlFit) -> pd.DataFrame:
    """Explained variance of every endogenous variable (lavaan: ``lavInspect(fit, "rsquare")``).

    Returns
    -------
    DataFrame
        group, variable, r2: 1 - residual variance / model-implied variance; NaN where the residual variance is
        negative.
    """
    columns = explained_variance(fit)
    return pd.DataFrame({**columns, "variable": pd.Series(columns["variable"], dtype=object)})


def explained_variance(fit: FimlFit) -> dict[str, Any]:
    """The columns of `r_squared` by name."""
    explained = {r.rhs for r in fit.table.rows if r.op == "=~"} | {r.lhs for r in fit.table.rows if r.op == "~"}
    names = (*fit.table.names.observed, *fit.table.names.latent)
    values = fit.estimates()
    rows = []
    for group, point in enumerate(fit.problem.at(fit.theta), start=1):
        total = np.diag(point.matrices.cov)
        residual = {
            r.lhs: float(v)
            for r, v in zip(fit.table.rows, values, strict=True)
            if r.op == "~~" and r.lhs == r.rhs and r.group == group
        }
        for i, name in enumerate(names):
            left = residual.get(name, 0.0)
            if name in explained:
                rows.append((group, name, 1.0 - left / float(total[i]) if left >= 0 else math.nan))
    groups, variables, shares = zip(*rows, strict=True) if rows else ((), (), ())
    return {"group": np.array(groups, dtype=np.int64), "variable": list(variables), "r2": np.array(shares, dtype=float)}
