"""Maximum likelihood moments without a structure (H1), by the EM algorithm with SQUAREM acceleration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml.normal import NormalEvaluation, evaluate
from fosa_sem.model.scaling import correlation_eigenvalues

FloatArray = NDArray[np.float64]

TOLERANCE = 1e-9
"""On the squared distance of an EM step in the metric of the complete-data information (see `_distance`)."""
MAX_CYCLES = 2000
DEPENDENCE = 1e-8
"""Smallest eigenvalue of the correlation matrix below which columns count as exactly dependent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturatedMoments:
    """Moments of the saturated model.

    Attributes
    ----------
    mean : ndarray, shape (p,)
    cov : ndarray, shape (p, p)
    loglik : float
    converged : bool
    degenerate : bool
        Columns are exactly dependent: the likelihood has no finite maximum. EM was stopped at the (nearly) singular
        moments given, one step after those of ``loglik``.
    """

    mean: FloatArray
    cov: FloatArray
    loglik: float
    converged: bool
    degenerate: bool


def available_case_moments(patterns: MissingPatterns) -> tuple[FloatArray, FloatArray]:
    """Mean and variance (divided by n) of each variable over the rows that have it, shapes (p,), (p,)."""
    seen = patterns.observed * patterns.n[:, None]
    count = seen.sum(axis=0)
    mean = (seen * patterns.mean).sum(axis=0) / count
    within = (patterns.factor**2).sum(axis=0)
    between = (seen * (patterns.mean - mean) ** 2).sum(axis=0)
    return mean, (within + between) / count


def saturated_moments(patterns: MissingPatterns) -> SaturatedMoments:
    """EM from available-case means and diagonal variances, until scale-free convergence.

    Parameters
    ----------
    patterns : MissingPatterns

    Returns
    -------
    SaturatedMoments

    Notes
    -----
    Each cycle takes two EM steps and one squared extrapolation (Varadhan & Roland 2008, scheme S3), kept only if
    the likelihood does not fall. lavaan stops at an absolute change of 1e-5 (``em.h1.tol``); this criterion is
    stricter and free of units.
    """
    mean, variance = available_case_moments(patterns)
    cov = np.diag(variance)
    ev = evaluate(patterns, mean, cov)
    for _ in range(MAX_CYCLES):
        step = _em_step(ev, mean, cov)
        if correlation_eigenvalues(step[1])[0] < DEPENDENCE:
            return SaturatedMoments(mean=step[0], cov=step[1], loglik=ev.loglik, converged=False, degenerate=True)
        if _distance(ev, step[0] - mean, step[1] - cov) < TOLERANCE:
            final = evaluate(patterns, *step)
            return SaturatedMoments(mean=step[0], cov=step[1], loglik=final.loglik, converged=True, degenerate=False)
        mean, cov, ev = _squarem(patterns, (mean, cov), step)
    return SaturatedMoments(mean=mean, cov=cov, loglik=ev.loglik, converged=False, degenerate=False)


def _em_step(ev: NormalEvaluation, mean: FloatArray, cov: FloatArray) -> tuple[FloatArray, FloatArray]:
    shift = ev.first / ev.n
    new = ev.second / ev.n - np.outer(shift, shift)
    return mean + shift, (new + new.T) / 2.0


def _squarem(
    patterns: MissingPatterns, start: tuple[FloatArray, FloatArray], first: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray, NormalEvaluation]:
    ev = evaluate(patterns, *first)
    second = _em_step(ev, *first)
    base = evaluate(patterns, *second)
    scale = np.sqrt(np.diag(start[1]))
    moves = [_standardised(first, start, scale), _standardised(second, first, scale)]
    bend = moves[1] - moves[0]
    if not bend.any():
        return *second, base
    length = max(1.0, float(np.linalg.norm(moves[0]) / np.linalg.norm(bend)))
    mean, cov = (
        a + 2 * length * (b - a) + length**2 * (c - 2 * b + a) for a, b, c in zip(start, first, second, strict=True)
    )
    try:
        jumped = evaluate(patterns, mean, cov)
    except np.linalg.LinAlgError:
        return *second, base
    if jumped.loglik < base.loglik:
        return *second, base
    return mean, cov, jumped


def _standardised(
    new: tuple[FloatArray, FloatArray], old: tuple[FloatArray, FloatArray], scale: FloatArray
) -> FloatArray:
    return np.concatenate([(new[0] - old[0]) / scale, ((new[1] - old[1]) / np.outer(scale, scale)).ravel()])


def _distance(ev: NormalEvaluation, mean: FloatArray, cov: FloatArray) -> float:
    """N [d' P d + tr(P D P D) / 2]: twice the gain in log-likelihood that the step promises, free of units."""
    scaled = ev.precision @ cov
    return ev.n * float(mean @ ev.precision @ mean + 0.5 * (scaled * scaled.T).sum())
