"""Parameters drawn as the data leave them uncertain, the first half of a proper imputation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fosa_sem.errors import ConvergenceError, InferenceWarning, OptionError
from fosa_sem.fiml.problem import ACTIVE, FitProblem
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.resampling import resample
from fosa_sem.model.scaling import correlation_eigenvalues

ParameterDraws = Literal["normal", "bootstrap"]

MAX_REDRAWS = 1000
"""Draws in vain for one imputation, after which the distribution drawn from is plainly not the right one."""
MAX_SAMPLES = 16
"""Bootstrap samples per imputation, after which there are too few that can be used."""
SMALLEST = 1e-10
"""Eigenvalue of the implied correlation matrix below which it cannot be conditioned on."""
OFFER = "parameter_draws='bootstrap' refits the model to resampled rows instead and needs no covariance matrix"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnParameters:
    """One theta per imputation.

    Attributes
    ----------
    theta : ndarray, shape (m, k)
    redrawn : int
        Draws thrown away because the covariance matrix that they imply is not positive definite, because they break an
        inequality or bound of the model, or because a bootstrap sample could not be fitted.
    kind : {"normal", "bootstrap"}
    """

    theta: FloatArray
    redrawn: int
    kind: ParameterDraws


def draw_parameters(fit: FimlFit, m: int, seed: int, kind: ParameterDraws) -> DrawnParameters:
    """Draw theta for each of m imputations.

    Parameters
    ----------
    fit : FimlFit
    m : int
    seed : int
        Imputation i has the same parameters whatever m.
    kind : {"normal", "bootstrap"}
        From N(theta, vcov), or the estimates of samples of rows drawn with replacement within groups.

    Returns
    -------
    DrawnParameters

    Raises
    ------
    OptionError
        If the covariance matrix of theta is not available, with the reason.
    ConvergenceError
        If hardly any draw can be used.
    """
    if fit.options.ridge:
        raise OptionError(
            "no parameters can be drawn: columns are exactly dependent, and what is known of the parameters with the "
            "ridge that was added is withheld; leave one of the columns out of the model"
        )
    if kind == "normal":
        return _from_normal(fit, m, seed)
    if kind == "bootstrap":
        return _from_samples(fit, m, seed)
    raise OptionError(f"parameter_draws must be 'normal' or 'bootstrap', got {kind!r}")


def is_usable(problem: FitProblem, theta: FloatArray) -> bool:
    """Whether the implied covariance matrices are positive definite, and theta keeps its inequalities and bounds."""
    try:
        if not all(correlation_eigenvalues(ram.moments(theta)[1])[0] > SMALLEST for ram in problem.maps):
            return False
        if not problem.restrictions:
            return True
        inequalities = problem.distances(theta)[len(problem.restrictions.equalities) :]
    except np.linalg.LinAlgError:
        return False
    return bool((inequalities > -ACTIVE).all())


def _from_normal(fit: FimlFit, m: int, seed: int) -> DrawnParameters:
    root = _root_of_vcov(fit)
    thetas, redrawn = [], 0
    for i in range(m):
        rng = np.random.default_rng([seed, i, 0])
        for _ in range(MAX_REDRAWS):
            theta = fit.theta + root @ rng.standard_normal(len(fit.theta))
            if is_usable(fit.problem, theta):
                break
            redrawn += 1
        else:
            raise ConvergenceError(
                f"no usable parameters in {MAX_REDRAWS} draws for imputation {i + 1}: the implied covariance matrix is "
                f"not positive definite, so that the estimate lies at the edge of what is possible; {OFFER}"
            )
        thetas.append(theta)
    return DrawnParameters(theta=np.array(thetas).reshape(m, -1), redrawn=redrawn, kind="normal")


def _root_of_vcov(fit: FimlFit) -> FloatArray:
    """A matrix R with R R' = vcov, which equality constraints make singular."""
    if fit.vcov is None or not np.isfinite(fit.vcov).all():
        without = fit.resolved.se == "none"
        why = "the model was fitted with se='none'; refit without it" if without else "the information is singular"
        raise OptionError(f"no parameters can be drawn from N(theta, vcov), because there is no vcov: {why}; {OFFER}")
    scale = np.sqrt(np.clip(np.diag(fit.vcov), 0.0, None))
    unit = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(fit.vcov / np.outer(unit, unit))
    if values.size and values[0] < -1e-8 * max(float(values[-1]), 1.0):  # more than rounding
        raise OptionError(f"no parameters can be drawn from N(theta, vcov): vcov has negative eigenvalues; {OFFER}")
    return np.asarray(unit[:, None] * vectors * np.sqrt(np.clip(values, 0.0, None)))


def _from_samples(fit: FimlFit, m: int, seed: int) -> DrawnParameters:
    """The first m usable bootstrap samples."""
    n = max(m, 2)
    while n <= MAX_SAMPLES * max(m, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InferenceWarning)  # they are counted
            draws = resample(fit.problem, fit.theta, fit.resolved, n=n, seed=seed, verbose=False)
        usable = [b for b in np.flatnonzero(~draws.failed) if is_usable(fit.problem, draws.values[b])]
        if len(usable) >= m:
            redrawn = int(usable[m - 1]) + 1 - m
            return DrawnParameters(theta=draws.values[usable[:m]], redrawn=redrawn, kind="bootstrap")
        n *= 2
    raise ConvergenceError(
        f"only {len(usable)} of {n // 2} bootstrap samples have an estimate with a proper covariance matrix"
    )
