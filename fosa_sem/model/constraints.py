"""Linear equality constraints on theta, handled by optimising over what they leave free."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fosa_sem.errors import ModelSpecificationError
from fosa_sem.model.labels import label_values, row_jacobian, row_values
from fosa_sem.syntax.expressions import Dual, evaluate
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualityConstraints:
    """theta = offset + basis @ alpha, with alpha unrestricted.

    Attributes
    ----------
    basis : ndarray, shape (k, r)
        Full column rank; r = k minus the rank of the constraints.
    offset : ndarray, shape (k,)
    """

    basis: FloatArray
    offset: FloatArray

    @classmethod
    def from_table(cls, table: ParameterTable) -> EqualityConstraints:
        """Shared labels, and the ``==`` constraints of the model.

        Raises
        ------
        ModelSpecificationError
            For constraints that this package cannot fit yet (not linear, ``<``, ``>``, bounds), and for
            constraints that contradict each other.
        """
        _refuse(table)
        k = table.n_free
        rows = [np.eye(k)[i] - np.eye(k)[j] for i, j in table.ties()]
        values = [0.0] * len(rows)
        for statement in table.constraints:
            row, value = _linear(statement, table)
            rows.append(row)
            values.append(value)
        basis, offset = _solve(np.array(rows).reshape(len(rows), k), np.array(values), table)
        return cls(basis=basis, offset=offset)

    @property
    def rank(self) -> int:
        """Number of restrictions."""
        return int(self.basis.shape[0] - self.basis.shape[1])

    def reduce(self, theta: FloatArray) -> FloatArray:
        """The alpha nearest to theta in least squares."""
        return np.asarray(np.linalg.lstsq(self.basis, theta - self.offset, rcond=None)[0])

    def expand(self, alpha: FloatArray) -> FloatArray:
        """Theta at alpha."""
        return np.asarray(self.offset + self.basis @ alpha)


def _refuse(table: ParameterTable) -> None:
    for statement in table.constraints:
        if statement.op != "==":
            raise ModelSpecificationError("models with inequality constraints cannot be fitted yet", statement.span)
    for row in table.free_rows():
        if math.isfinite(row.lower) or math.isfinite(row.upper):
            raise ModelSpecificationError("models with bounds cannot be fitted yet", row.span)


def _linear(statement: Statement, table: ParameterTable) -> tuple[FloatArray, float]:
    """Row r and value c of a constraint r' theta = c, by its derivative at two points."""
    k = table.n_free
    points = np.random.default_rng(0).uniform(0.5, 2.0, (2, k))
    first, second = (_difference(statement, table, point) for point in points)
    scale = 1.0 + np.abs(first.gradient)
    same = np.allclose(first.gradient / scale, second.gradient / scale, rtol=0, atol=1e-9)
    if not same or not math.isfinite(first.value):
        raise ModelSpecificationError("models with nonlinear equality constraints cannot be fitted yet", statement.span)
    return first.gradient, float(first.gradient @ points[0] - first.value)


def _difference(statement: Statement, table: ParameterTable, theta: FloatArray) -> Dual:
    """Left side less right side, with its gradient."""
    known = label_values(table, row_values(table, theta), row_jacobian(table))
    left, right = (evaluate(formula, known, table.n_free) for formula in statement.formulas)
    return Dual(left.value - right.value, left.gradient - right.gradient)


def _solve(rows: FloatArray, values: FloatArray, table: ParameterTable) -> tuple[FloatArray, FloatArray]:
    """Basis and offset by pivoted QR: some parameters become linear functions of the others."""
    k = table.n_free
    if not len(rows):
        return np.eye(k), np.zeros(k)
    q, r, order = linalg.qr(rows, pivoting=True)
    size = np.abs(np.diag(r))
    rank = int((size > 1e-10 * max(size.max(initial=0.0), 1e-300)).sum())
    right = q.T @ values
    if np.abs(right[rank:]).max(initial=0.0) > 1e-8 * (1.0 + np.abs(values).max()):
        raise ModelSpecificationError(
            "the equality constraints contradict each other", table.constraints[0].span if table.constraints else None
        )
    dependent, free = order[:rank], order[rank:]
    basis, offset = np.zeros((k, k - rank)), np.zeros(k)
    basis[free, np.arange(k - rank)] = 1.0
    basis[dependent] = -linalg.solve_triangular(r[:rank, :rank], r[:rank, rank:])
    offset[dependent] = linalg.solve_triangular(r[:rank, :rank], right[:rank])
    return basis, offset
