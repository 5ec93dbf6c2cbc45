"""Values and derivatives of what formulas may name: parameters by their labels, and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fosa_sem.syntax.expressions import Dual, evaluate
from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]
Array = NDArray[Any]


def row_name(row: Row) -> str:
    """A parameter as the user would write it; from the second group on with its number."""
    return f"{row.lhs} {row.op} {row.rhs}".strip() + (f" (group {row.group})" if row.group > 1 else "")


def row_values(table: ParameterTable, theta: Array) -> Array:
    """Value of every row of the table, shape (rows,); theta, shape (k,), may be complex."""
    known = theta.tolist()
    return np.array([known[row.free - 1] if row.free else row.ustart for row in table.rows], dtype=theta.dtype)


def row_jacobian(table: ParameterTable) -> FloatArray:
    """d row / d theta, shape (rows, k): zeros and ones."""
    jacobian = np.zeros((len(table.rows), table.n_free))
    for i, row in enumerate(table.rows):
        if row.free:
            jacobian[i, row.free - 1] = 1.0
    return jacobian


def label_values(table: ParameterTable, values: Array, jacobian: FloatArray) -> dict[str, Dual]:
    """What labels, plabels and ``:=`` parameters stand for, with gradients with respect to theta.

    Parameters
    ----------
    table : ParameterTable
    values : ndarray, shape (rows,)
        Of the rows, on any scale (standardised ones give standardised definitions).
    jacobian : ndarray, shape (rows, k)
        d values / d theta.
    """
    known: dict[str, Dual] = {}
    for row, value, gradient in zip(table.rows, values, jacobian, strict=True):
        for name in (row.label, row.plabel):
            if name:
                known.setdefault(name, Dual(float(value), gradient))
    for definition in table.definitions:
        known[definition.lhs] = evaluate(definition.formulas[0], known, table.n_free)
    return known
