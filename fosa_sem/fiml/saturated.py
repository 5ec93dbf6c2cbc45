"""Maximum likelihood moments without a structure (H1), by the EM algorithm with Anderson acceleration."""

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
MAX_STEPS = 4000
MEMORY = 5
"""EM steps that an extrapolation rests on."""
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


def saturated_moments(patterns: MissingPatterns, tolerance: float = TOLERANCE) -> SaturatedMoments:
    """EM from available-case means and diagonal variances, until scale-free convergence.

    Parameters
    ----------
    patterns : MissingPatterns
    tolerance : float, default 1e-9
        Twice the gain in log-likelihood that the last step may promise.

    Returns
    -------
    SaturatedMoments

    Notes
    -----
    An EM step is followed by an extrapolation from the last few (Anderson 1965; Walker & Ni 2011), kept only if the
    likelihood does not fall; otherwise the plain step is taken and the extrapolation starts anew. lavaan stops at an
    absolute change of 1e-5 (``em.h1.tol``); this criterion is stricter and free of units.
    """
    mean, variance = available_case_moments(patterns)
    cov, scale = np.diag(variance), np.sqrt(variance)
    units = np.concatenate([scale, np.outer(scale, scale).ravel()])
    ev = evaluate(patterns, mean, cov)
    steps: list[tuple[FloatArray, FloatArray]] = []
    for _ in range(MAX_STEPS):
        step = _em_step(ev, mean, cov)
        if correlation_eigenvalues(step[1])[0] < DEPENDENCE:
            return SaturatedMoments(mean=step[0], cov=step[1], loglik=ev.loglik, converged=False, degenerate=True)
        if _distance(ev, step[0] - mean, step[1] - cov) < tolerance:
            final = evaluate(patterns, *step)
            return SaturatedMoments(mean=step[0], cov=step[1], loglik=final.loglik, converged=True, degenerate=False)
        steps = [*steps[-MEMORY:], (_flat(*step) / units, _flat(step[0] - mean, step[1] - cov) / units)]
        further = None
        if len(steps) > 1:
            further = _extrapolated(patterns, steps, units, ev.loglik)
            steps = steps if further else []
        mean, cov, ev = further or (*step, evaluate(patterns, *step))
    return SaturatedMoments(mean=mean, cov=cov, loglik=ev.loglik, converged=False, degenerate=False)


def _em_step(ev: NormalEvaluation, mean: FloatArray, cov: FloatArray) -> tuple[FloatArray, FloatArray]:
    shift = ev.first / ev.n
    new = ev.second / ev.n - shift * shift[:, None]
    return mean + shift, (new + new.T) / 2.0


def _extrapolated(
    patterns: MissingPatterns, steps: list[tuple[FloatArray, FloatArray]], units: FloatArray, least: float
) -> tuple[FloatArray, FloatArray, NormalEvaluation] | None:
    """Where the last EM steps (end, way) would lead if their ways changed linearly; None if that is no gain."""
    ends, ways = (np.array(part) for part in zip(*steps, strict=True))
    bends = ways[1:] - ways[:-1]
    length = np.sqrt(np.einsum("ij,ij->i", bends, bends))
    if not length.all():
        return None
    bends /= length[:, None]
    gram = bends @ bends.T + 1e-12 * np.eye(len(bends))
    share = np.linalg.solve(gram, bends @ ways[-1]) / length
    p = patterns.n_variables
    end = (ends[-1] - share @ (ends[1:] - ends[:-1])) * units
    mean, cov = end[:p], end[p:].reshape(p, p)
    try:
        ev = evaluate(patterns, mean, cov)
    except np.linalg.LinAlgError:
        return None
    return (mean, cov, ev) if ev.loglik >= least else None


def _flat(mean: FloatArray, cov: FloatArray) -> FloatArray:
    return np.concatenate([mean, cov.ravel()])


def _distance(ev: NormalEvaluation, mean: FloatArray, cov: FloatArray) -> float:
    """N [d' P d + tr(P D P D) / 2]: twice the gain in log-likelihood that the step promises, free of units."""
    scaled = ev.precision @ cov
    return ev.n * float(mean @ ev.precision @ mean + 0.5 * np.vdot(scaled, scaled.T))
