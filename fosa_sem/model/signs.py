"""The direction of factors whose sign the model leaves open."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fosa_sem.syntax.expressions import labels
from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]


def orient_factors(table: ParameterTable, theta: FloatArray) -> FloatArray:
    """Turn factors round so that their first free loading is positive, where nothing else fixes the sign.

    A factor may be turned only if every parameter that would change sign with it is free, unlabelled and without
    a start, bounds or constraints, or fixed at 0 (ledger 11). The likelihood is the same.

    Parameters
    ----------
    table : ParameterTable
    theta : ndarray, shape (k,)

    Returns
    -------
    ndarray, shape (k,)
    """
    theta = theta.copy()
    for rows in open_signs(table):
        if theta[rows[0].free - 1] < 0:
            index = [row.free - 1 for row in rows if row.free]
            theta[index] = -theta[index]
    return theta


def open_signs(table: ParameterTable) -> tuple[tuple[Row, ...], ...]:
    """Factors whose sign the model leaves open: the parameters that change sign with each.

    Returns
    -------
    tuple of tuple of Row
        Group by group, one tuple per factor; the first free loading of the factor comes first.
    """
    named = {node.name for s in table.constraints for formula in s.formulas for node in labels(formula)}
    found = []
    for group in range(1, table.ngroups + 1):
        rows = [row for row in table.rows if row.group == group]
        for factor in table.names.latent:
            odd = [row for row in rows if _changes_sign(row, factor)]
            first = next((r for r in odd if r.op == "=~" and r.lhs == factor and r.free), None)
            if first is not None and all(_may_turn(row, named) for row in odd):
                found.append((first, *(row for row in odd if row is not first)))
    return tuple(found)


def _changes_sign(row: Row, factor: str) -> bool:
    if row.op == "~1":
        return row.lhs == factor
    return (row.lhs == factor) != (row.rhs == factor)


def _may_turn(row: Row, named: set[str]) -> bool:
    if row.free:
        bounded = math.isfinite(row.lower) or math.isfinite(row.upper)
        return not (row.label or bounded or row.plabel in named) and bool(np.isnan(row.ustart))
    return row.ustart == 0.0
