"""The table of estimates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.inference.bootstrap import IntervalType, row_intervals
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.fmi import missing_information
from fosa_sem.inference.standardized import (
    StandardizedType,
    definitions,
    delta_se,
    inference_columns,
    name_columns,
    standardize_rows,
)
from fosa_sem.model.labels import row_jacobian


def is_free(fit: FimlFit) -> list[bool]:
    """Which rows of `parameter_estimates` are free parameters, in the order of theta."""
    return [row.free > 0 for row in fit.table.rows] + [False] * len(fit.table.definitions)


def parameter_estimates(
    fit: FimlFit, *, level: float = 0.95, standardized: bool = False, fmi: bool = False,
    boot_ci_type: IntervalType = "perc",
) -> pd.DataFrame:  # fmt: skip
    """Estimates with standard errors, z tests and intervals (lavaan: ``parameterEstimates()``).

    Parameters
    ----------
    fit : FimlFit
    level : float, default 0.95
        Of the intervals.
    standardized : bool, default False
        Add std_lv, std_all and std_nox.
    fmi : bool, default False
        Add the fraction of missing information.
    boot_ci_type : {"perc", "norm", "basic", "bca.simple", "bca"}, default "perc"
        Kind of the intervals of a fit with ``se="bootstrap"``.

    Returns
    -------
    DataFrame
        lhs op rhs label group est se z pvalue ci_lower ci_upper; se 0 and z NaN for what is fixed, pvalue NaN
        on a bound, group 0 for ``:=``.
    """
    scales: tuple[StandardizedType, ...] = ("std.lv", "std.all", "std.nox") if standardized else ()
    columns = parameter_columns(fit, level=level, scales=scales, fmi=fmi, boot_ci_type=boot_ci_type)
    return pd.DataFrame(columns)


def parameter_columns(
    fit: FimlFit, *, level: float = 0.95, scales: Sequence[StandardizedType] = (), fmi: bool = False,
    boot_ci_type: IntervalType = "perc",
) -> dict[str, Any]:  # fmt: skip
    """The columns of `parameter_estimates` by name, lists of text and numbers or arrays of float.

    ``scales`` are the standardised solutions to add, as columns std_lv, std_all, std_nox.
    """
    jacobian = row_jacobian(fit.table)
    values = fit.estimates().astype(float)
    defined = definitions(fit, values, jacobian)
    names = name_columns(fit)
    label = [*(r.label for r in fit.table.rows), *(d.lhs for d in fit.table.definitions)]
    est = np.array([*values, *(d.value for d in defined)])
    slopes = np.vstack([jacobian, *(d.gradient for d in defined)])
    se = delta_se(slopes, fit.vcov)
    limits = None
    if fit.draws is not None:
        limits, of_definitions = row_intervals(fit, est, boot_ci_type, level)
        se[len(values) :] = of_definitions
    columns: dict[str, Any] = {
        "lhs": names["lhs"], "op": names["op"], "rhs": names["rhs"], "label": label, "group": names["group"],
        "est": est, "se": se, **inference_columns(est, se, level),
    }  # fmt: skip
    if limits is not None:
        columns["ci_lower"], columns["ci_upper"] = limits.T
    # A Wald test knows nothing of a bound that stops the estimate: lavaan gives no p-value there.
    columns["pvalue"][_rows_at_bounds(fit)] = np.nan
    for kind in scales:
        scaled = standardize_rows(fit, fit.table.rows, values, fit.theta, kind)
        columns[kind.replace(".", "_")] = np.array([*scaled, *(d.value for d in definitions(fit, scaled, jacobian))])
    if fmi:
        columns["fmi"] = missing_information(fit, slopes)
    return columns


def _rows_at_bounds(fit: FimlFit) -> list[int]:
    """Rows of free parameters that lie on a bound of theirs."""
    bounded = [
        i for i, row in enumerate(fit.table.rows) if row.free and (math.isfinite(row.lower) or math.isfinite(row.upper))
    ]
    if not bounded:
        return []
    values = fit.estimates()
    return [
        i
        for i in bounded
        if np.isclose(values[i], (fit.table.rows[i].lower, fit.table.rows[i].upper), rtol=0, atol=1e-8).any()
    ]
