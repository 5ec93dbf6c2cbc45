"""The covariance matrix of the estimates, by kind of standard errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.options import InformationOptions, ResolvedOptions
from fosa_sem.inference.saturated_information import SaturatedInformation
from fosa_sem.inference.tested import (
    TestedModel,
    information_about_moments,
    information_about_theta,
    pull_back,
    saturated_pairs,
)

FloatArray = NDArray[np.float64]


def covariance_of_estimates(
    problem: FitProblem, model: TestedModel, saturated: SaturatedInformation, options: ResolvedOptions
) -> FloatArray | None:
    """Covariance matrix of theta, shape (k, k); None if the information is singular, or if ``se`` is "none".

    Parameters
    ----------
    problem : FitProblem
    model : TestedModel
        The user's, at the estimate.
    saturated : SaturatedInformation
    options : ResolvedOptions

    Notes
    -----
    "standard": inverse information. "robust.huber.white": E^-1 B E^-1 with B the sum of squared scores of the rows
    (Huber 1967; Yuan & Bentler 2000). "robust.sem", "two.stage", "robust.two.stage": E^-1 D'W Gamma W D E^-1 with D the
    slopes of the moments, W their weight in the likelihood and Gamma the covariance matrix of the saturated moments.
    """
    if options.se == "none":
        return None
    bread = model.inverse(information_about_theta(problem, model, options.information))
    if bread is None or options.se == "standard":
        return bread
    if options.se == "robust.huber.white":
        return np.asarray(bread @ squared_scores(problem, model, options.information) @ bread)
    weights = saturated.weights(options.information, model.moments)
    gammas = saturated.moment_covariance(options.information.kind)
    meat = pull_back(model, [w @ g @ w for w, g in zip(weights, gammas, strict=True)])
    return np.asarray(bread @ meat @ bread)


def squared_scores(problem: FitProblem, model: TestedModel, information: InformationOptions) -> FloatArray:
    """Sum over rows of squared scores about theta, shape (k, k)."""
    at = model.moments if information.moments == "structured" else saturated_pairs(problem)
    return pull_back(model, information_about_moments(problem, "first.order", at))
