"""Scaled chi-square statistics: how much larger the statistic is on average than chi-square, if data are not normal.

All traces use totals over rows, so that no factor N appears; sums over groups are implied by stacked slopes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.fiml.information import InformationKind
from fosa_sem.fiml.normal import divergence
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.covariance import squared_scores
from fosa_sem.inference.options import ResolvedOptions
from fosa_sem.inference.saturated_information import Matrices, SaturatedInformation
from fosa_sem.inference.tested import TestedModel, information_about_theta, pull_back

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Trace of U Gamma, which over the degrees of freedom is the scaling factor.

    Attributes
    ----------
    trace : float
    factor_h1, factor_h0 : float
        Scaling factors of the log-likelihoods (Yuan-Bentler tests), NaN for others.
    """

    trace: float
    factor_h1: float = math.nan
    factor_h0: float = math.nan


NO_SCALING = Scaling(trace=math.nan)


def scaling(
    problem: FitProblem, model: TestedModel, saturated: SaturatedInformation, options: ResolvedOptions
) -> Scaling:
    """The scaling of a model's test.

    Parameters
    ----------
    problem : FitProblem
    model : TestedModel
        The user's or the baseline model.
    saturated : SaturatedInformation
    options : ResolvedOptions
        With a scaled test.

    Returns
    -------
    Scaling
        NaN where the information is singular.
    """
    inverse = model.inverse(information_about_theta(problem, model, options.test_information))
    return NO_SCALING if inverse is None else scaling_given(problem, model, saturated, options, inverse)


def scaling_given(
    problem: FitProblem, model: TestedModel, saturated: SaturatedInformation, options: ResolvedOptions,
    inverse: FloatArray,
) -> Scaling:  # fmt: skip
    """As `scaling`, with the inverse information of theta, which need not be definite."""
    try:
        if options.test == "yuan.bentler.mplus":
            return _mplus(problem, model, saturated, options, inverse)
        if options.test == "yuan.bentler":
            return _yuan_bentler(problem, model, saturated, options, inverse)
        weights = saturated.weights(options.test_information, model.moments)
        gammas = saturated.moment_covariance(options.test_information.kind)
    except np.linalg.LinAlgError:
        return NO_SCALING
    return Scaling(trace=_trace(model, weights, gammas, inverse))


def _trace(model: TestedModel, weights: Matrices, gammas: Matrices, inverse: FloatArray) -> float:
    """tr(U Gamma) with U = W - W D E^-1 D' W, within groups."""
    total = sum(float((w * g).sum()) for w, g in zip(weights, gammas, strict=True))
    inner = pull_back(model, [w @ g @ w for w, g in zip(weights, gammas, strict=True)])
    return total - float((inner * inverse).sum())


def _mplus(
    problem: FitProblem, model: TestedModel, saturated: SaturatedInformation, options: ResolvedOptions,
    inverse: FloatArray,
) -> Scaling:  # fmt: skip
    """Difference of the traces of A^-1 B of both models (Asparouhov & Muthen 2005)."""
    kind = options.test_information.kind
    pairs = zip(saturated.information("first.order"), saturated.inverse(kind), strict=True)
    h1 = sum(float((b * a).sum()) for b, a in pairs)
    h0 = float((squared_scores(problem, model, options.information) * inverse).sum())
    return Scaling(
        trace=h1 - h0, factor_h1=h1 / (len(model.moments) * saturated.kept.sum()), factor_h0=h0 / len(inverse)
    )


def _yuan_bentler(
    problem: FitProblem, model: TestedModel, saturated: SaturatedInformation, options: ResolvedOptions,
    inverse: FloatArray,
) -> Scaling:  # fmt: skip
    """tr(U Gamma) with Gamma the sandwich of the saturated moments (Yuan & Bentler 2000)."""
    kind = options.test_information.kind
    meats = saturated.information("first.order")
    gammas = tuple(a @ b @ a for a, b in zip(saturated.inverse(kind), meats, strict=True))
    h1 = sum(float((b * a).sum()) for b, a in zip(meats, saturated.inverse(kind), strict=True))
    h0 = float((squared_scores(problem, model, options.test_information) * inverse).sum())
    weights = saturated.weights(options.test_information, model.moments)
    return Scaling(
        trace=_trace(model, weights, gammas, inverse),
        factor_h1=h1 / (len(model.moments) * saturated.kept.sum()), factor_h0=h0 / len(inverse),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedTest:
    """The complete-data chi-square of a FIML fit, and the trace that says how large it is on average.

    Attributes
    ----------
    chisq : float
        Of the implied moments against the saturated (EM) ones as if these came from complete rows.
    trace : float
        Over the degrees of freedom: c, by which population misfit is told from the loss of information.
    """

    chisq: float
    trace: float


def corrected_test(
    model: TestedModel, saturated: SaturatedInformation, kind: InformationKind, *, robust: bool
) -> CorrectedTest:
    """What CFI, TLI and RMSEA need so that missing data do not change what they measure (Zhang & Savalei 2023).

    Parameters
    ----------
    model : TestedModel
    saturated : SaturatedInformation
    kind : {"observed", "expected", "first.order"}
        Information from which the model's residuals are computed.
    robust : bool
        Allow for non-normal data, by squared scores (lavaan: "V3"; otherwise "V6").

    Returns
    -------
    CorrectedTest
        NaN where an information matrix is singular.
    """
    groups = zip(saturated.problem.patterns, saturated.at, model.moments, strict=True)
    chisq = sum(patterns.weight * divergence(*moments, *implied) for patterns, moments, implied in groups)
    complete = saturated.complete_information
    inverse = model.inverse(pull_back(model, saturated.information(kind)))
    if inverse is None:
        return CorrectedTest(chisq=chisq, trace=math.nan)
    try:
        lost = saturated.inverse("observed")
    except np.linalg.LinAlgError:
        return CorrectedTest(chisq=chisq, trace=math.nan)
    if not robust:
        parts = zip(complete, lost, model.slopes, strict=True)
        trace = sum(float(np.vdot(c, v) - np.vdot(c @ slopes, slopes @ inverse)) for c, v, slopes in parts)
        return CorrectedTest(chisq=chisq, trace=trace)
    return CorrectedTest(chisq=chisq, trace=_robust_trace(model, complete, lost, saturated, inverse))


def _robust_trace(
    model: TestedModel, complete: Matrices, lost: Matrices, saturated: SaturatedInformation, inverse: FloatArray
) -> float:
    """tr(C R J R) with R = A^-1 - D E^-1 D', all groups together: equality constraints tie their residuals."""
    slopes = np.vstack(model.slopes)
    residual = -slopes @ inverse @ slopes.T
    size = len(lost[0])
    for g, matrix in enumerate(lost):
        residual[g * size : (g + 1) * size, g * size : (g + 1) * size] += matrix
    total = 0.0
    meats = saturated.information("first.order")
    for g, c in enumerate(complete):
        for h, j in enumerate(meats):
            block = residual[g * size : (g + 1) * size, h * size : (h + 1) * size]
            total += float(((c @ block @ j) * block).sum())
    return total
