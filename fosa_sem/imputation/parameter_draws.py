"""Parameters drawn as the data leave them uncertain, the first half of a proper imputation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from fosa_sem.errors import ConvergenceError, FosaError, FosaWarning, OptionError
from fosa_sem.fiml.problem import ACTIVE, FitProblem
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.inference.fit import FimlFit, fit
from fosa_sem.model.scaling import correlation_eigenvalues

ParameterDraws = Literal["normal", "bootstrap"]

MAX_REDRAWS = 1000
"""Draws in vain for one imputation, after which the distribution drawn from is plainly not the right one."""
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


def draw_parameters(fit: FimlFit, data: pd.DataFrame, m: int, seed: int, kind: ParameterDraws) -> DrawnParameters:
    """Draw theta for each of m imputations.

    Parameters
    ----------
    fit : FimlFit
    data : DataFrame
        That the model was fitted to.
    m : int
    seed : int
        Imputation i has a random stream of its own, whatever m.
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
    if kind == "normal":
        draw = _normal_draws(fit)
    elif kind == "bootstrap":
        draw = _bootstrap_draws(fit, data)
    else:
        raise OptionError(f"parameter_draws must be 'normal' or 'bootstrap', got {kind!r}")
    thetas, redrawn = [], 0
    for i in range(m):
        rng = np.random.default_rng([seed, i, 0])
        for _ in range(MAX_REDRAWS if kind == "normal" else MAX_REDRAWS // 20):
            theta = draw(rng)
            if theta is not None and is_proper(fit.problem, theta):
                break
            redrawn += 1
        else:
            hint = f" {OFFER}." if kind == "normal" else ""
            raise ConvergenceError(
                f"no usable parameters in {redrawn} draws for imputation {i + 1}: the implied covariance matrix is not "
                f"positive definite, or the refit failed. The estimate lies at the edge of what is possible.{hint}"
            )
        thetas.append(theta)
    return DrawnParameters(theta=np.array(thetas).reshape(m, -1), redrawn=redrawn, kind=kind)


def is_proper(problem: FitProblem, theta: FloatArray) -> bool:
    """Whether the implied covariance matrices are positive definite, and theta keeps its inequalities and bounds."""
    try:
        if not all(correlation_eigenvalues(ram.moments(theta)[1])[0] > SMALLEST for ram in problem.maps):
            return False
        if len(problem.restrictions) == 0:
            return True
        inequalities = problem.distances(theta)[len(problem.restrictions.equalities) :]
    except np.linalg.LinAlgError:
        return False
    return bool((inequalities > -ACTIVE).all())


def _normal_draws(fit: FimlFit) -> Callable[[np.random.Generator], FloatArray | None]:
    if fit.vcov is None or not np.isfinite(fit.vcov).all():
        raise OptionError(f"no imputations from N(theta, vcov): {_why_no_vcov(fit)}; {OFFER}")
    scale = np.sqrt(np.clip(np.diag(fit.vcov), 0.0, None))
    unit = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(fit.vcov / np.outer(unit, unit))
    # Equality constraints leave directions without variance; anything below rounding is no covariance matrix.
    if values.size and values[0] < -1e-8 * max(values[-1], 1.0):
        raise OptionError(f"no imputations from N(theta, vcov): vcov has negative eigenvalues; {OFFER}")
    root = unit[:, None] * vectors * np.sqrt(np.clip(values, 0.0, None))
    return lambda rng: np.asarray(fit.theta + root @ rng.standard_normal(len(fit.theta)))


def _why_no_vcov(fit: FimlFit) -> str:
    if fit.options.ridge:
        return "columns are exactly dependent, and with the ridge the model was fitted with vcov is withheld"
    if fit.resolved.se == "none":
        return "the model was fitted with se='none'; refit without it"
    return "the information matrix is singular, so that vcov does not exist (see .audit)"


def _bootstrap_draws(fitted: FimlFit, data: pd.DataFrame) -> Callable[[np.random.Generator], FloatArray | None]:
    groups = [group.rows for group in fitted.sample.groups]

    def draw(rng: np.random.Generator) -> FloatArray | None:
        rows = np.concatenate([rng.choice(rows, size=len(rows)) for rows in groups])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FosaWarning)
            try:
                again = fit(fitted.model, data.iloc[rows], fitted.options)
            except (FosaError, np.linalg.LinAlgError):
                return None
        return again.theta if again.audit.maximum else None

    return draw
