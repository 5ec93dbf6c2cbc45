"""Covariance and information matrices on the correlation scale, where eigenvalues do not depend on units."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def correlation(matrix: FloatArray) -> FloatArray:
    """A matrix with positive diagonal, scaled to a unit diagonal."""
    scale = np.sqrt(np.diag(matrix))
    return np.asarray(matrix / np.outer(scale, scale))


def correlation_eigenvalues(matrix: FloatArray) -> FloatArray:
    """Eigenvalues on the correlation scale, ascending; a single -inf if the diagonal is not positive and finite."""
    if not np.isfinite(matrix).all() or np.any(np.diag(matrix) <= 0):
        return np.array([-math.inf])
    return np.asarray(np.linalg.eigvalsh(correlation(matrix)))
