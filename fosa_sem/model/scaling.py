"""Covariance and information matrices on the correlation scale, where eigenvalues do not depend on units."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

FloatArray = NDArray[np.float64]


def correlation(matrix: FloatArray) -> FloatArray:
    """A matrix with positive diagonal, scaled to a unit diagonal."""
    scale = np.sqrt(matrix.diagonal())
    return np.asarray(matrix / (scale * scale[:, None]))


def correlation_eigenvalues(matrix: FloatArray) -> FloatArray:
    """Eigenvalues on the correlation scale, ascending; a single -inf if the diagonal is not positive and finite."""
    if not np.isfinite(matrix).all() or (matrix.diagonal() <= 0).any():
        return np.array([-math.inf])
    return np.asarray(np.linalg.eigvalsh(correlation(matrix)))


SINGULAR = 1e-10
"""Smallest eigenvalue of an information matrix on the correlation scale, relative to the largest, to be regular."""


def condition(information: FloatArray) -> float:
    """Smallest over largest eigenvalue on the correlation scale; -inf where that scale does not exist."""
    return spread_of(correlation_eigenvalues(information))


def spread_of(eigenvalues: FloatArray) -> float:
    """Smallest over largest of ascending eigenvalues, 1 of none; -inf if they are not finite."""
    if not len(eigenvalues):
        return 1.0
    return float(eigenvalues[0] / eigenvalues[-1]) if np.isfinite(eigenvalues).all() else -math.inf


def regular_inverse(matrix: FloatArray, least: float) -> FloatArray | None:
    """Inverse of a symmetric matrix; None if its `condition` is below ``least``.

    Parameters
    ----------
    matrix : ndarray, shape (k, k)
    least : float
        Above 0.
    """
    if not matrix.size:
        return matrix
    diagonal = matrix.diagonal()
    if not np.isfinite(matrix).all() or (diagonal <= 0).any():
        return None
    scale = 1.0 / np.sqrt(diagonal)
    units = scale * scale[:, None]
    root, failed = lapack.dpotrf(matrix * units, lower=True)
    if failed:
        return None
    half, _ = lapack.dtrtri(root, lower=True, overwrite_c=True)
    inverse = half.T @ half
    # The norm of the inverse and the trace bound the eigenvalues: most matrices need no closer look.
    if 1.0 / (len(half) * math.sqrt(np.vdot(inverse, inverse))) < least and condition(matrix) < least:
        return None
    return np.asarray(inverse * units)


def within(basis: FloatArray, matrix: FloatArray) -> FloatArray:
    """basis' matrix basis, where a square basis, of all directions, is the identity."""
    return matrix if basis.shape[0] == basis.shape[1] else np.asarray(basis.T @ matrix @ basis)


def inverse_on(basis: FloatArray, information: FloatArray) -> FloatArray | None:
    """Inverse of an information matrix in the directions of a basis, shape (k, k); None if singular or indefinite.

    Parameters
    ----------
    basis : ndarray, shape (k, r)
    information : ndarray, shape (k, k)
    """
    inverse = regular_inverse(within(basis, information), SINGULAR)
    return None if inverse is None else within(basis.T, inverse)
