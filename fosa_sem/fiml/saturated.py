"""Maximum likelihood moments without a structure (H1), by the EM algorithm with Anderson acceleration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml.normal import NormalEvaluation, evaluate
from fosa_sem.model.scaling import correlation_eigenvalues

FloatArray = NDArray[np.float64]
MomentPair = tuple[FloatArray, FloatArray]

TOLERANCE = 1e-9
"""On the squared distance of an EM step in the metric of the complete-data information (see `_distance`)."""
MAX_STEPS = 4000
MEMORY = 5
"""EM steps that an extrapolation rests on."""
DEPENDENCE = 1e-8
"""Smallest eigenvalue of the correlation matrix below which columns count as exactly dependent."""
INFLATED = 1e5
"""Sum of the variance inflation factors from which that eigenvalue is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturatedMoments:
    """Moments of the saturated model.

    Attributes
    ----------
    mean : ndarray, shape (p,)
    cov : ndarray, shape (p, p)
    loglik : float
        Before the last step, which at convergence gains less than the tolerance.
    converged : bool
    degenerate : bool
        Columns are exactly dependent: the likelihood has no finite maximum. EM was stopped at the (nearly) singular
        moments given.
    """

    mean: FloatArray
    cov: FloatArray
    loglik: float
    converged: bool
    degenerate: bool


def available_case_moments(patterns: MissingPatterns) -> MomentPair:
    """Mean and variance (divided by n) of each variable over the rows that have it, shapes (p,), (p,)."""
    seen = patterns.observed * patterns.n[:, None]
    count = seen.sum(axis=0)
    mean = (seen * patterns.mean).sum(axis=0) / count
    within = (patterns.factor**2).sum(axis=0)
    between = (seen * (patterns.mean - mean) ** 2).sum(axis=0)
    return mean, (within + between) / count


def saturated_moments(patterns: MissingPatterns, tolerance: float = TOLERANCE) -> SaturatedMoments:
    """EM from available-case moments, until scale-free convergence.

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
    mean, cov = _start(patterns)
    scale = np.sqrt(cov.diagonal())
    path = _Path(np.concatenate([scale, (scale * scale[:, None]).ravel()]), len(mean))
    ev = evaluate(patterns, mean, cov)
    for _ in range(MAX_STEPS):
        step = _em_step(ev, mean, cov)
        way = step[0] - mean, step[1] - cov
        # The variance inflation factors bound the eigenvalues: most matrices need no closer look.
        inflated = float(ev.precision.diagonal() @ cov.diagonal()) > INFLATED
        if inflated and correlation_eigenvalues(step[1])[0] < DEPENDENCE:
            break
        further = path.extrapolated(step, way)
        if _distance(ev, *way) < tolerance:
            mean, cov = further or step
            return SaturatedMoments(mean=mean, cov=cov, loglik=ev.loglik, converged=True, degenerate=False)
        ahead = _evaluated(patterns, further, ev.loglik) if further else None
        if further and not ahead:
            path.forget()
        found = ahead or _evaluated(patterns, step)
        if not found:
            break
        (mean, cov), ev = further if further and ahead else step, found
    else:
        return SaturatedMoments(mean=mean, cov=cov, loglik=ev.loglik, converged=False, degenerate=False)
    return SaturatedMoments(mean=step[0], cov=step[1], loglik=ev.loglik, converged=False, degenerate=True)


def _start(patterns: MissingPatterns) -> MomentPair:
    """Where an EM step from available-case means and variances without correlations leads."""
    mean, variance = available_case_moments(patterns)
    cov = patterns.cross_products(mean) / patterns.weight
    cov.reshape(-1)[:: len(cov) + 1] = variance
    return mean, cov if correlation_eigenvalues(cov)[0] > DEPENDENCE else np.diag(variance)


def _em_step(ev: NormalEvaluation, mean: FloatArray, cov: FloatArray) -> MomentPair:
    shift = ev.first / ev.n
    new = ev.second / ev.n - shift * shift[:, None]
    return mean + shift, (new + new.T) / 2.0


def _evaluated(patterns: MissingPatterns, moments: MomentPair, least: float = -math.inf) -> NormalEvaluation | None:
    """None where the covariance matrix is singular, or the likelihood lower than asked."""
    try:
        ev = evaluate(patterns, *moments)
    except np.linalg.LinAlgError:
        return None
    return ev if ev.loglik >= least else None


class _Path:
    """The last EM steps, in units of the variables, and where they would lead if their ways changed linearly."""

    def __init__(self, units: FloatArray, p: int) -> None:
        self.units = units
        self.p = p
        self.last: MomentPair | None = None
        self.count = 0
        self.bends, self.moves = np.zeros((2, MEMORY, len(units)))

    def forget(self) -> None:
        """Start anew."""
        self.last, self.count = None, 0

    def extrapolated(self, end: MomentPair, way: MomentPair) -> MomentPair | None:
        """Take the end and the way of an EM step; None if there is nothing to extrapolate from."""
        here = _flat(*end) / self.units
        change = _flat(*way) / self.units
        before, self.last = self.last, (here, change)
        if before is None:
            return None
        bend = change - before[1]
        length = math.sqrt(bend @ bend)
        if length == 0.0:
            return None
        at = self.count % MEMORY
        np.divide(bend, length, out=self.bends[at])
        np.divide(here - before[0], length, out=self.moves[at])
        self.count += 1
        bends, moves = self.bends[: self.count], self.moves[: self.count]
        gram = bends @ bends.T
        gram.reshape(-1)[:: len(gram) + 1] += 1e-12
        _, share, failed = lapack.dposv(gram, bends @ change)
        if failed:
            return None
        further = (here - share @ moves) * self.units
        return further[: self.p], further[self.p :].reshape(self.p, self.p)


def _flat(mean: FloatArray, cov: FloatArray) -> FloatArray:
    return np.concatenate([mean, cov.ravel()])


def _distance(ev: NormalEvaluation, mean: FloatArray, cov: FloatArray) -> float:
    """N [d' P d + tr(P D P D) / 2]: twice the gain in log-likelihood that the step promises, free of units."""
    scaled = ev.precision @ cov
    return ev.n * float(mean @ ev.precision @ mean + 0.5 * np.vdot(scaled, scaled.T))
