"""Residuals of the moments: the saturated model's less the fitted model's, and how large they are for chance."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import OptionError
from fosa_sem.fiml.information import lower_triangle
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.moments import Moments, named_moments
from fosa_sem.inference.options import TWO_STAGE
from fosa_sem.inference.tested import MomentPair, pull_back

FloatArray = NDArray[np.float64]
ResidualType = Literal[
    "raw", "cor", "cor.bollen", "cor.bentler", "standardized", "standardized.mplus", "normalized"
]  # fmt: skip

NEGLIGIBLE = 1e-5
"""A residual this small, in standard deviations, is none; so lavaan, in the units of the data."""
DETERMINED = 1e-8
"""A residual has no spread if its variance is below this share of that of the saturated moment."""


def residuals(fit: FimlFit, kind: ResidualType = "raw") -> tuple[Moments, ...]:
    """Residuals of means and covariances, per group (lavaan: ``residuals()``).

    Parameters
    ----------
    fit : FimlFit
    kind : str, default "raw"
        As ``type`` of `fosa_sem.SemResults.residuals`.

    Returns
    -------
    tuple of Moments
        NaN where the saturated model has no such moment, because no row has the pair.

    Raises
    ------
    OptionError
        For an unknown kind.

    Notes
    -----
    With moments m, their covariance matrix Gamma, their weight W in the likelihood and the slopes D of the model, the
    residual is Q (m - m0) to first order, Q = I - D (D'WD)^-1 D'W, and its covariance matrix Q Gamma Q'
    ("standardized"; Bentler & Dijkstra 1985). "standardized.mplus" has Gamma - D V D' instead, V being the covariance
    matrix of the estimates, which need not be positive; "normalized" has Gamma.
    """
    if kind not in get_args(ResidualType):
        raise OptionError(f"type must be one of {', '.join(get_args(ResidualType))}; got {kind!r}")
    pairs = []
    for g, (observed, implied) in enumerate(zip(fit.saturated.at, fit.tested.moments, strict=True)):
        if kind.startswith("cor"):
            observed, implied = _rescaled(observed, implied, own=kind != "cor.bentler")
        mean, cov = observed[0] - implied[0], observed[1] - implied[1]
        pairs.append(_known(fit, g, mean, cov))
    if kind in ("standardized", "standardized.mplus", "normalized"):
        pairs = _divided(fit, kind, pairs)
    return named_moments(fit, pairs)


def _rescaled(observed: MomentPair, implied: MomentPair, *, own: bool) -> tuple[MomentPair, MomentPair]:
    """Both in units of the saturated standard deviations; implied covariances in their own, if ``own``."""
    sd = np.sqrt(np.diag(observed[1]))
    sd_implied = np.sqrt(np.diag(implied[1])) if own else sd
    return (
        (observed[0] / sd, observed[1] / np.outer(sd, sd)),
        (implied[0] / sd, implied[1] / np.outer(sd_implied, sd_implied)),
    )


def _known(fit: FimlFit, group: int, mean: FloatArray, cov: FloatArray) -> MomentPair:
    """NaN for what the saturated model cannot tell."""
    if fit.problem.saturated[group].degenerate:
        return np.full_like(mean, np.nan), np.full_like(cov, np.nan)
    return mean, np.where(fit.sample.groups[group].patterns.pairwise_n > 0, cov, np.nan)


def _divided(fit: FimlFit, kind: ResidualType, pairs: list[MomentPair]) -> list[MomentPair]:
    """Raw residuals over their standard errors."""
    p = len(pairs[0][0])
    row, col = lower_triangle(p)
    out = []
    variances = _variances(fit, kind)
    for (mean, cov), (_, observed), spread in zip(pairs, fit.saturated.at, variances, strict=True):
        sd = np.sqrt(np.diag(observed))
        raw = np.concatenate([mean, cov[row, col]])
        absent = np.abs(raw) < NEGLIGIBLE * np.concatenate([sd, sd[row] * sd[col]])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(spread > 0.0, raw / np.sqrt(spread), np.where(absent, 0.0, np.nan))
        ratio[np.isnan(spread)] = np.nan
        matrix = np.zeros((p, p))
        matrix[row, col] = matrix[col, row] = ratio[p:]
        out.append((ratio[:p], matrix))
    return out


def _variances(fit: FimlFit, kind: ResidualType) -> list[FloatArray]:
    """Variances of the residuals, per group, shape (q,); 0 or less where there is none, NaN if not available."""
    unknown = [np.full(len(slopes), np.nan) for slopes in fit.tested.slopes]
    if fit.options.ridge or fit.sample.uncovered_pairs() or any(s.degenerate for s in fit.problem.saturated):
        return unknown
    try:
        gammas = _moment_covariance(fit)
    except np.linalg.LinAlgError:
        return unknown
    if kind == "normalized":
        return [np.diag(gamma).copy() for gamma in gammas]
    if kind == "standardized.mplus":
        if fit.vcov is None:
            return unknown
        left = [gamma - slopes @ fit.vcov @ slopes.T for gamma, slopes in zip(gammas, fit.tested.slopes, strict=True)]
    else:
        weights = fit.saturated.weights(fit.resolved.information, fit.tested.moments)
        inverse = fit.tested.inverse(pull_back(fit.tested, weights))
        if inverse is None:
            return unknown
        left = []
        for gamma, slopes, weight in zip(gammas, fit.tested.slopes, weights, strict=True):
            Q = np.eye(len(gamma)) - slopes @ inverse @ slopes.T @ weight
            left.append(Q @ gamma @ Q.T)
    return [
        np.where(np.abs(np.diag(rest)) > DETERMINED * np.diag(gamma), np.diag(rest), 0.0)
        for rest, gamma in zip(left, gammas, strict=True)
    ]


def _moment_covariance(fit: FimlFit) -> tuple[FloatArray, ...]:
    """Covariance matrix of the saturated moments, of the kind that the standard errors are."""
    kind = fit.resolved.information.kind
    if fit.resolved.missing in TWO_STAGE:
        return fit.saturated.moment_covariance(kind)
    inverse = fit.saturated.inverse(kind)
    if fit.resolved.se not in ("robust.huber.white", "robust.sem"):
        return inverse
    return tuple(a @ b @ a for a, b in zip(inverse, fit.saturated.information("first.order"), strict=True))
