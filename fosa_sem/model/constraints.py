"""Linear equality constraints on theta, handled by optimising over what they leave free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

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
        Full column rank; r = k minus the rank of the constraints. The identity without constraints.
    offset : ndarray, shape (k,)
    """

    basis: FloatArray
    offset: FloatArray

    @classmethod
    def from_table(cls, table: ParameterTable) -> EqualityConstraints:
        """Shared labels, and the linear ``==`` constraints of the model; `Restrictions` has the others.

        Raises
        ------
        ModelSpecificationError
            For constraints that contradict each other.
        """
        one, ties = np.eye(table.n_free), table.ties()
        linear = [found for s in table.constraints if s.op == "==" and (found := linear_row(s, table)) is not None]
        if not linear:
            for first, other in ties:
                one[other] = one[first]
            basis = np.delete(one, [other for _, other in ties], axis=1) if ties else one
            return cls(basis=basis, offset=np.zeros(len(one)))
        rows = np.array([*(one[i] - one[j] for i, j in ties), *(row for row, _ in linear)])
        values = np.array([*(0.0 for _ in ties), *(value for _, value in linear)])
        basis, offset = _solve(rows, values, table)
        return cls(basis=basis, offset=offset)

    @property
    def rank(self) -> int:
        """Number of restrictions."""
        return int(self.basis.shape[0] - self.basis.shape[1])

    def reduce(self, theta: FloatArray) -> FloatArray:
        """The alpha nearest to theta in least squares."""
        if not self.rank:
            return theta - self.offset
        # The free parameters are rows of the identity in the basis, so that its normal equations are regular.
        gram, right = self.basis.T @ self.basis, self.basis.T @ (theta - self.offset)
        return np.asarray(lapack.dposv(gram, right, lower=True)[1])

    def expand(self, alpha: FloatArray) -> FloatArray:
        """Theta at alpha."""
        return np.asarray(self.offset + (self.basis @ alpha if self.rank else alpha))


def linear_row(statement: Statement, table: ParameterTable) -> tuple[FloatArray, float] | None:
    """Row r and value c if a constraint reads r' theta = c (or ``<``, ``>``): its slopes do not change.

    Points of either sign and of different size are tried, so that ``abs()`` and ``max()`` do not pass for linear.
    """
    k = table.n_free
    rng = np.random.default_rng(0)
    signs = np.vstack([np.ones(k), -np.ones(k), np.sign(rng.uniform(-1.0, 1.0, (2, k)))])
    points = signs * rng.uniform(0.5, 2.0, (4, k)) * np.array([[1.0], [1.0], [1.0], [10.0]])
    jacobian = row_jacobian(table)
    sides = [difference(statement, label_values(table, row_values(table, point), jacobian), k) for point in points]
    first = sides[0].gradient
    scale = 1.0 + np.abs(first)
    if not all(np.allclose(side.gradient / scale, first / scale, rtol=0, atol=1e-9) for side in sides):
        return None
    value = first @ points[0] - sides[0].value
    return (first, float(value)) if np.isfinite(value) else None


def difference(statement: Statement, known: Mapping[str, Dual], k: int) -> Dual:
    """Left side less right side of a constraint, with its gradient."""
    left, right = (evaluate(formula, known, k) for formula in statement.formulas)
    return Dual(left.value - right.value, left.gradient - right.gradient)


def _solve(rows: FloatArray, values: FloatArray, table: ParameterTable) -> tuple[FloatArray, FloatArray]:
    """Basis and offset by pivoted QR: some parameters become linear functions of the others."""
    k = table.n_free
    q, r, order = linalg.qr(rows, pivoting=True)
    size = np.abs(np.diag(r))
    rank = int((size > 1e-10 * max(size.max(initial=0.0), 1e-300)).sum())
    right = q.T @ values
    if np.abs(right[rank:]).max(initial=0.0) > 1e-8 * (1.0 + np.abs(values).max()):
        raise ModelSpecificationError(
            "the equality constraints contradict each other", table.constraints[0].span if table.constraints else None
        )
    dependent, free = order[:rank], np.sort(order[rank:])
    basis, offset = np.zeros((k, k - rank)), np.zeros(k)
    basis[free, np.arange(k - rank)] = 1.0
    basis[dependent] = -linalg.solve_triangular(r[:rank, :rank], r[:rank, rank:][:, np.argsort(order[rank:])])
    offset[dependent] = linalg.solve_triangular(r[:rank, :rank], right[:rank])
    return basis, offset
