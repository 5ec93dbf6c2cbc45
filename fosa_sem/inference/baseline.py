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
from fosa_sem.fiml.normal import evaluate, independent_loglik
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.saturated import DEPENDENCE, available_case_moments, saturated_moments
from fosa_sem.inference.tested import MomentPair, TestedModel, modelled_moments, saturated_pairs
from fosa_sem.model.compile import compile_ram
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.restrictions import Restrictions
from fosa_sem.model.scaling import correlation_eigenvalues
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
    for patterns, (mean, cov) in zip(problem.patterns, saturated_pairs(problem), strict=True):
        if x and problem.table.fixed_x:
            joint = mean[x], cov[np.ix_(x, x)]
            exogenous.append(evaluate(patterns.of_columns(x), *joint).loglik)
            moments.append(_baseline(patterns, x, _fixed_moments(patterns, x, joint)))
        else:
            exogenous.append(0.0)
            moments.append(_baseline(patterns, x, None))
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


def _fixed_moments(patterns: MissingPatterns, x: list[int], joint: MomentPair) -> MomentPair:
    """What the baseline model takes for the moments of fixed exogenous variables, some values of which may be missing.

    As in lavaan 0.6 those of available cases and pairs, not the EM moments ``joint`` that the other models take; but
    these where the former are no covariance matrix.
    """
    mean, cov = patterns.pairwise_moments()
    mean, cov = mean[x], cov[np.ix_(x, x)]
    return (mean, cov) if correlation_eigenvalues(cov)[0] > DEPENDENCE else joint


def _baseline(patterns: MissingPatterns, x: list[int], exogenous: MomentPair | None) -> MomentPair:
    """Each variable by itself, but for the exogenous ones: with these moments, or their own maximum."""
    mean, variance = available_case_moments(patterns)
    cov = np.diag(variance)
    if x and exogenous is None:
        found = saturated_moments(patterns.of_columns(x))
        exogenous = found.mean, found.cov
    if exogenous is not None:
        mean[x], cov[np.ix_(x, x)] = exogenous
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
    covary = np.eye(p, dtype=bool)
    for i, j in pairs:
        covary[i, j] = True
    free = np.concatenate([np.ones(p, dtype=bool), covary[row, col]]) & modelled_moments(problem)
    k, groups = int(free.sum()), len(moments)
    slopes = tuple(np.zeros((groups, len(free), groups * k)))
    for g, own in enumerate(slopes):
        own[free, g * k + np.arange(k)] = 1.0
    logliks = [
        evaluate(data, mean, cov).loglik if pairs else independent_loglik(data, mean, cov.diagonal())
        for data, (mean, cov) in zip(problem.patterns, moments, strict=True)
    ]
    return TestedModel(
        moments=moments, slopes=slopes, curvature=np.zeros((groups * k,) * 2), basis=np.eye(groups * k),
        logliks=np.array(logliks), gradient=np.zeros(groups * k),
    )  # fmt: skip
