"""Linear equality constraints on theta, handled by optimising over what they leave free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualityConstraints:
    """theta = basis @ alpha, with alpha unrestricted.

    Attributes
    ----------
    basis : ndarray, shape (k, r)
        Full column rank; r = k minus the rank of the constraints.
    """

    basis: FloatArray

    @classmethod
    def from_table(cls, table: ParameterTable) -> EqualityConstraints:
        """Parameters that share a label are equal: one column per distinct free parameter."""
        owner = np.arange(table.n_free)
        for first, other in table.ties():
            owner[other] = first
        return cls(basis=(owner[:, None] == np.unique(owner)[None, :]).astype(float))

    @property
    def rank(self) -> int:
        """Number of restrictions."""
        return int(self.basis.shape[0] - self.basis.shape[1])

    def reduce(self, theta: FloatArray) -> FloatArray:
        """The alpha nearest to theta in least squares."""
        return np.asarray(np.linalg.lstsq(self.basis, theta, rcond=None)[0])

    def expand(self, alpha: FloatArray) -> FloatArray:
        """Theta at alpha."""
        return self.basis @ alpha
