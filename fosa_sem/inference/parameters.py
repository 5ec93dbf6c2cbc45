"""The table of estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.standardized import (
    definitions,
    delta_se,
    inference_columns,
    name_columns,
    standardized_values,
)
from fosa_sem.model.labels import row_jacobian


def is_free(fit: FimlFit) -> list[bool]:
    """Which rows of `parameter_estimates` are free parameters, in the order of theta."""
    return [row.free > 0 for row in fit.table.rows] + [False] * len(fit.table.definitions)


def parameter_estimates(fit: FimlFit, *, level: float = 0.95, standardized: bool = False) -> pd.DataFrame:
    """Estimates with standard errors, z tests and intervals (lavaan: ``parameterEstimates()``).

    Parameters
    ----------
    fit : FimlFit
    level : float, default 0.95
        Of the intervals.
    standardized : bool, default False
        Add std_lv, std_all and std_nox.

    Returns
    -------
    DataFrame
        lhs op rhs label group est se z pvalue ci_lower ci_upper; se 0 and z NaN for what is fixed, group 0 for
        ``:=``.
    """
    jacobian = row_jacobian(fit.table)
    values = fit.estimates().astype(float)
    defined = definitions(fit, values, jacobian)
    names = name_columns(fit)
    label = [*(r.label for r in fit.table.rows), *(d.lhs for d in fit.table.definitions)]
    est = np.array([*values, *(d.value for d in defined)])
    se = delta_se(np.vstack([jacobian, *(d.gradient for d in defined)]), fit.vcov)
    columns: dict[str, Any] = {
        "lhs": names["lhs"], "op": names["op"], "rhs": names["rhs"], "label": label, "group": names["group"],
        "est": est, "se": se, **inference_columns(est, se, level),
    }  # fmt: skip
    if standardized:
        for column, kind in (("std_lv", "std.lv"), ("std_all", "std.all"), ("std_nox", "std.nox")):
            scaled = standardized_values(fit, fit.theta, kind).astype(float)  # type: ignore[arg-type]
            columns[column] = np.array([*scaled, *(d.value for d in definitions(fit, scaled, jacobian))])
    return pd.DataFrame(columns)
