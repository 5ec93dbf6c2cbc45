"""Draws from normal distributions truncated to intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from fosa_sem.imputation.completion import FloatArray

SWEEPS = 50
"""Of the Gibbs sampler; few cells of a row are missing, and those within bounds forget their start quickly."""


def truncated_normal(low: FloatArray, high: FloatArray, uniform: FloatArray) -> FloatArray:
    """Standard normal numbers between limits, by inversion on the log scale, exact far out in the tails.

    Parameters
    ----------
    low, high, uniform : ndarray of one shape
        Limits, which may be infinite, and uniform numbers in (0, 1).

    Returns
    -------
    ndarray
    """
    mirrored = low > 0  # of the two tails the lower one has the accurate logarithms
    a, b = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    below, above = special.log_ndtr(a), special.log_ndtr(b)
    with np.errstate(divide="ignore", over="ignore"):
        share = np.exp(below - above)
    drawn = special.ndtri_exp(above + np.log(uniform + (1.0 - uniform) * share))
    return np.asarray(np.clip(np.where(mirrored, -drawn, drawn), low, high))


def truncated_residuals(
    precision: FloatArray, low: FloatArray, high: FloatArray, normals: Callable[[tuple[int, ...]], FloatArray]
) -> FloatArray:
    """Jointly normal residuals within limits, by Gibbs sampling (Geweke 1991).

    Parameters
    ----------
    precision : ndarray, shape (r, k, k)
        Of each row.
    low, high : ndarray, shape (r, k)
    normals : callable
        Gives standard normal numbers of a shape.

    Returns
    -------
    ndarray, shape (r, k)
    """
    k = low.shape[1]
    sd = 1.0 / np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    state = np.clip(0.0, low, high)
    for _ in range(SWEEPS):
        uniform = special.ndtr(normals(low.shape))
        for j in range(k):
            pull = np.einsum("rk,rk->r", precision[:, j], state) - precision[:, j, j] * state[:, j]
            mean = -pull * sd[:, j] ** 2
            a, b = (low[:, j] - mean) / sd[:, j], (high[:, j] - mean) / sd[:, j]
            drawn = mean + sd[:, j] * truncated_normal(a, b, uniform[:, j])
            state[:, j] = np.clip(drawn, low[:, j], high[:, j])  # adding the mean rounds
    return np.asarray(state)
