"""The baseline model: variables uncorrelated, except for covariances with which every model starts.

Those are the covariances among exogenous observed variables, or those of auxiliary variables with all others
(DESCRIPTION_NOTES, ledger 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.fiml.engines.native import NativeEngine
from fosa_sem.fiml.information import lower_triangle
from fosa_sem.fiml.normal import evaluate
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.saturated import available_case_moments, saturated_moments
from fosa_sem.inference.tested import MomentPair, TestedModel, modelled_moments
from fosa_sem.model.compile import compile_ram
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.restrictions import Restrictions
from fosa_sem.syntax.table import ParameterTable, covariance_table

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceModels:
    """Log-likelihoods of the saturated and the baseline model, joint with exogenous variables, per group.

    Attributes
    ----------
    exogenous : ndarray, shape (G,)
        Log-likelihood of the exogenous variables alone, which conditional log-likelihoods leave out; 0 unless fixed.
    saturated, baseline : ndarray, shape (G,)
    saturated_npar, baseline_npar : int
    baseline_model : TestedModel
    plain_model : TestedModel
        The baseline model as it would be without auxiliary variables' free covariances: lavaan takes this one for the
        robust fit measures, also where a baseline model with auxiliary variables stands beside it.
    """

    exogenous: FloatArray
    saturated: FloatArray
    baseline: FloatArray
    saturated_npar: int
    baseline_npar: int
    baseline_model: TestedModel
    plain_model: TestedModel

    @property
    def plain_df(self) -> int:
        """Degrees of freedom of `plain_model`."""
        return self.saturated_npar - int(self.plain_model.basis.shape[0])


def reference_models(problem: FitProblem) -> ReferenceModels:
    """Evaluate both."""
    names = problem.table.names
    x = [] if problem.table.auxiliary else [names.observed.index(name) for name in names.observed_x]
    pairs = _free_pairs(problem.table)
    moments, exogenous = [], []
    for patterns, saturated in zip(problem.patterns, problem.saturated, strict=True):
        block = _exogenous(patterns, x, (saturated.mean, saturated.cov), fixed=problem.table.fixed_x)
        exogenous.append(block[2] if problem.table.fixed_x else 0.0)
        moments.append(_baseline(patterns, x, block[0], block[1]))
    plain = model = _as_tested(problem, tuple(moments), pairs)
    if problem.table.auxiliary:
        plain = _as_tested(problem, tuple(moments), [])
        moments = _fitted_baseline(problem, pairs)
        model = _as_tested(problem, tuple(moments), pairs)
    n_groups = len(problem.patterns)
    return ReferenceModels(
        exogenous=np.array(exogenous), saturated=np.array([s.loglik for s in problem.saturated]),
        baseline=model.logliks, saturated_npar=n_groups * int(modelled_moments(problem).sum()),
        baseline_npar=model.basis.shape[0], baseline_model=model, plain_model=plain,
    )  # fmt: skip


def _free_pairs(table: ParameterTable) -> list[tuple[int, int]]:
    """Covariances (i > j) that the baseline model leaves free."""
    names = table.names
    special = table.auxiliary or names.observed_x
    at = [names.observed.index(name) for name in special]
    others = range(len(names.observed)) if table.auxiliary else at
    return sorted({(max(i, j), min(i, j)) for i in at for j in others if i != j})


def _exogenous(
    patterns: MissingPatterns, x: list[int], saturated: MomentPair, *, fixed: bool
) -> tuple[FloatArray, FloatArray, float]:
    """Moments of the exogenous variables and their log-likelihood; fixed ones have those of the saturated model."""
    if not x:
        return np.zeros(0), np.zeros((0, 0)), 0.0
    block = patterns.of_columns(x)
    if fixed:
        mean, cov = saturated[0][x], saturated[1][np.ix_(x, x)]
        return mean, cov, evaluate(block, mean, cov).loglik
    moments = saturated_moments(block)
    return moments.mean, moments.cov, moments.loglik


def _baseline(patterns: MissingPatterns, x: list[int], x_mean: FloatArray, x_cov: FloatArray) -> MomentPair:
    mean, variance = available_case_moments(patterns)
    cov = np.diag(variance)
    mean[x] = x_mean
    cov[np.ix_(x, x)] = x_cov
    return mean, cov


def _fitted_baseline(problem: FitProblem, pairs: list[tuple[int, int]]) -> list[MomentPair]:
    """With auxiliary variables the baseline model has no closed form."""
    table = covariance_table(problem.table.names, pairs, problem.table.ngroups)
    maps = compile_ram(table)
    baseline = FitProblem(
        table=table, sample=problem.sample, maps=maps, patterns=problem.patterns, saturated=problem.saturated,
        equality=EqualityConstraints.from_table(table), restrictions=Restrictions.from_table(table),
    )  # fmt: skip
    theta = NativeEngine().estimate(baseline).theta
    return [ram.moments(theta) for ram in maps]


def _as_tested(problem: FitProblem, moments: tuple[MomentPair, ...], pairs: list[tuple[int, int]]) -> TestedModel:
    """At its maximum; its parameters are moments themselves, so that its slopes are zeros and ones."""
    p = len(problem.table.names.observed)
    row, col = lower_triangle(p)
    is_pair = np.isin(row * p + col, [i * p + j for i, j in pairs])
    free = np.concatenate([np.ones(p, dtype=bool), (row == col) | is_pair]) & modelled_moments(problem)
    own = np.eye(len(free))[:, free]
    k = own.shape[1]
    groups = len(moments)
    slopes = tuple(np.hstack([own if g == h else np.zeros_like(own) for h in range(groups)]) for g in range(groups))
    logliks = [evaluate(p, *m).loglik for p, m in zip(problem.patterns, moments, strict=True)]
    return TestedModel(
        moments=moments, slopes=slopes, curvature=np.zeros((groups * k,) * 2), basis=np.eye(groups * k),
        logliks=np.array(logliks), gradient=np.zeros(groups * k),
    )  # fmt: skip
