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


SINGULAR = 1e-10
"""Smallest eigenvalue of an information matrix on the correlation scale, relative to the largest, to be regular."""


def condition(information: FloatArray) -> float:
    """Smallest over largest eigenvalue on the correlation scale; -inf where that scale does not exist."""
    if information.size == 0:
        return 1.0
    values = correlation_eigenvalues(information)
    return float(values[0] / values[-1]) if np.isfinite(values).all() else -math.inf


def inverse_on(basis: FloatArray, information: FloatArray) -> FloatArray | None:
    """Inverse of an information matrix in the directions of a basis, shape (k, k); None if singular or indefinite.

    Parameters
    ----------
    basis : ndarray, shape (k, r)
    information : ndarray, shape (k, k)
    """
    reduced = basis.T @ information @ basis
    if not np.isfinite(reduced).all() or condition(reduced) < SINGULAR:
        return None
    scale = 1.0 / np.sqrt(np.diag(reduced))
    inverse = np.linalg.inv(reduced * np.outer(scale, scale)) * np.outer(scale, scale)
    return np.asarray(basis @ inverse @ basis.T)
