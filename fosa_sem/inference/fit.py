"""The whole way from a model string and a table to a solution: the one place where the stages are wired."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.sample import Sample
from fosa_sem.errors import ConvergenceError
from fosa_sem.fiml.engines.base import find_engine
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference import audit as auditing
from fosa_sem.inference.assemble import UNBOUNDED, assemble
from fosa_sem.inference.audit import Audit
from fosa_sem.inference.baseline import ReferenceModels, reference_models
from fosa_sem.inference.covariance import covariance_of_estimates
from fosa_sem.inference.identification import check_identified
from fosa_sem.inference.options import HESSIAN, FitOptions, ResolvedOptions
from fosa_sem.inference.resampling import Draws, resample
from fosa_sem.inference.saturated_information import SaturatedInformation
from fosa_sem.inference.scaled_tests import CorrectedTest, Scaling, corrected_test, scaling
from fosa_sem.inference.tested import TestedModel, information_about_theta, tested_model
from fosa_sem.model.labels import row_values
from fosa_sem.model.signs import orient_factors
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FimlFit:
    """A fitted model, in log-likelihood units; what tests need beyond it is computed when first asked for.

    Attributes
    ----------
    model : str
        The user's string.
    options : FitOptions
        As given; `resolved` has lavaan's defaults filled in.
    problem : FitProblem
        Table, data as patterns, saturated moments, likelihood.
    theta : ndarray, shape (k,)
        In the order of the table's free rows.
    tested : TestedModel
        The model's moments and slopes at theta.
    vcov : ndarray, shape (k, k), or None
        Of theta, by the kind of standard errors asked for; None if the information is singular or a ridge was added.
    saturated : SaturatedInformation
    references : ReferenceModels
    audit : Audit
    iterations : int or None
    notes : tuple of str
        What the reader of any output must know.
    draws : Draws or None
        Bootstrap draws of theta, for ``se="bootstrap"``.
    """

    model: str
    options: FitOptions
    resolved: ResolvedOptions
    problem: FitProblem
    theta: FloatArray
    tested: TestedModel
    vcov: FloatArray | None
    saturated: SaturatedInformation
    references: ReferenceModels
    audit: Audit
    iterations: int | None
    notes: tuple[str, ...]
    draws: Draws | None = None

    @property
    def table(self) -> ParameterTable:
        """The parameter table."""
        return self.problem.table

    @property
    def sample(self) -> Sample:
        """The rows used."""
        return self.problem.sample

    @property
    def npar(self) -> int:
        """Free parameters minus the rank of the equality constraints."""
        return len(self.theta) - self.problem.equality_rank(self.theta)

    @property
    def df(self) -> int:
        """Degrees of freedom against the saturated model."""
        return self.references.saturated_npar - self.npar

    @cached_property
    def has_test(self) -> bool:
        """Whether the saturated model exists, so that chi-square and what rests on it can be given."""
        bounded = not any(s.degenerate for s in self.problem.saturated)
        asked = self.resolved.test != "none"
        return asked and self.options.ridge == 0.0 and bounded and not self.sample.uncovered_pairs()

    @cached_property
    def n_rows(self) -> FloatArray:
        """Rows used per group, shape (G,)."""
        return np.array([float(g.patterns.n_rows) for g in self.sample.groups])

    @property
    def _weights(self) -> FloatArray:
        """Rows per group as the likelihood counts them, shape (G,)."""
        return np.array([p.weight for p in self.problem.patterns])

    @property
    def n_tests(self) -> float:
        """N of RMSEA and its kin: less one per group for ``likelihood="wishart"``."""
        return self.sample.n_used - (len(self.n_rows) if self.resolved.likelihood == "wishart" else 0)

    def _conditional(self, joint: FloatArray) -> float:
        return float(((joint - self.references.exogenous) * self.n_rows / self._weights).sum())

    @property
    def loglik(self) -> float:
        """Log-likelihood, conditional on exogenous variables if ``fixed_x``."""
        return self._conditional(self.tested.logliks)

    @property
    def loglik_saturated(self) -> float:
        """That of the saturated model."""
        return self._conditional(self.references.saturated)

    def _chisq(self, joint: FloatArray) -> FloatArray:
        factor = self.n_rows - 1.0 if self.resolved.likelihood == "wishart" else self.n_rows
        # A saturated model differs from H1 by rounding alone, which must not print as -1e-10.
        return np.maximum(2.0 * (self.references.saturated - joint), 0.0) * factor / self._weights

    @property
    def chisq_by_group(self) -> FloatArray:
        """2 (loglik H1 - loglik H0), each group's part, shape (G,)."""
        return self._chisq(self.tested.logliks)

    @property
    def chisq(self) -> float:
        """2 (loglik H1 - loglik H0)."""
        return float(self.chisq_by_group.sum())

    @property
    def fmin(self) -> float:
        """Half of chi-square per row, the value that lavaan minimises."""
        per_row = (self.references.saturated - self.tested.logliks) / self._weights
        return max(float(per_row @ self.n_rows), 0.0) / self.sample.n_used

    @property
    def chisq_baseline(self) -> float:
        """That of the baseline model."""
        return float(self._chisq(self.references.baseline).sum())

    @property
    def df_baseline(self) -> int:
        """Degrees of freedom of the baseline model."""
        return self.references.saturated_npar - self.references.baseline_npar

    @cached_property
    def scaling(self) -> Scaling:
        """Of the scaled test; there must be one."""
        return scaling(self.problem, self.tested, self.saturated, self.resolved)

    @cached_property
    def scaling_baseline(self) -> Scaling:
        """That of the baseline model."""
        return scaling(self.problem, self.references.baseline_model, self.saturated, self.resolved)

    def _corrected(self, model: TestedModel) -> CorrectedTest:
        robust = self.resolved.scaled_test is not None
        kind = self.resolved.information.kind
        return corrected_test(model, self.saturated, kind, robust=robust)

    @cached_property
    def corrected(self) -> CorrectedTest:
        """For the robust fit measures of FIML."""
        return self._corrected(self.tested)

    @cached_property
    def corrected_baseline(self) -> CorrectedTest:
        """That of the baseline model."""
        return self._corrected(self.references.plain_model)

    @cached_property
    def information(self) -> FloatArray:
        """Information about theta as the standard errors use it, shape (k, k)."""
        return information_about_theta(self.problem, self.tested, self.resolved.information)

    def estimates(self, theta: NDArray[np.inexact] | None = None) -> NDArray[np.inexact]:
        """Value of every row of the table, shape (rows,), at the estimate or another (complex) theta."""
        return row_values(self.table, self.theta if theta is None else theta)


def fit(model: str, data: pd.DataFrame, options: FitOptions | None = None) -> FimlFit:
    """Fit a structural equation model to incomplete data.

    Parameters
    ----------
    model : str
        lavaan's model syntax.
    data : DataFrame
        With NaN (or another pandas missing value) in its holes; never changed.
    options : FitOptions, optional

    Returns
    -------
    FimlFit

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        The model string, with line and column.
    DataError
        Columns that cannot be used, too few rows.
    DependenceError
        A DataError: exactly dependent columns.
    IdentificationError
        The moments do not determine the parameters, which are named.
    ConvergenceError
        No finite estimate exists.
    OptionError, EngineError
    """
    options = options or FitOptions()
    engine = find_engine(options.engine)
    problem = assemble(parse_model(model), data, options)
    check_identified(problem)
    found = engine.estimate(problem)
    theta = orient_factors(problem.table, found.theta)
    try:
        tested = tested_model(problem, theta)
    except np.linalg.LinAlgError:
        tested = None
    if tested is None or not np.isfinite(theta).all() or not np.isfinite(tested.logliks).all():
        raise ConvergenceError(f"engine {engine.name!r} found no estimate with a finite likelihood")
    return evaluate_fit(
        model, problem, theta, options, tested=tested, iterations=found.iterations,
        notes=_notes(problem, options, found.note),
    )  # fmt: skip


def evaluate_fit(
    model: str, problem: FitProblem, theta: FloatArray, options: FitOptions, *, tested: TestedModel | None = None,
    iterations: int | None = None, notes: tuple[str, ...] = (),
) -> FimlFit:  # fmt: skip
    """Everything that is known at theta, whoever found it.

    Parameters
    ----------
    model : str
    problem : FitProblem
    theta : ndarray, shape (k,)
    options : FitOptions
    tested : TestedModel, optional
        The model at theta, where it is known.
    iterations : int, optional
    notes : tuple of str
    """
    resolved = options.resolve()
    tested = tested or tested_model(problem, theta)
    saturated = SaturatedInformation(problem=problem, missing=resolved.missing)
    hessian = information_about_theta(problem, tested, HESSIAN)
    inverse = tested.inverse(hessian)
    if problem.restrictions.bounds and inverse is None:
        # The likelihood does not bend down across an active bound, where lavaan has no standard errors: hold it.
        tested = replace(tested, basis=problem.tangent(theta, "all"))
        inverse = tested.inverse(hessian)
    found_audit = auditing.audit(problem, theta, hessian, tested, regular=inverse is not None)
    if not options.ridge:  # the dependence explains what the audit finds, and its own warning says so
        auditing.warn(found_audit)
    draws = None
    if options.ridge:
        vcov = None
    elif resolved.se == "bootstrap":
        draws = resample(problem, theta, resolved, n=options.bootstrap, seed=options.seed)
        vcov = draws.covariance()
    elif resolved.se == "standard" and resolved.information == HESSIAN:
        vcov = inverse
    else:
        vcov = covariance_of_estimates(problem, tested, saturated, resolved)
    return FimlFit(
        model=model, options=options, resolved=resolved, problem=problem, theta=theta, tested=tested, vcov=vcov,
        saturated=saturated, references=reference_models(problem), audit=found_audit, iterations=iterations,
        notes=notes, draws=draws,
    )  # fmt: skip


def _notes(problem: FitProblem, options: FitOptions, engine_note: str) -> tuple[str, ...]:
    notes = [engine_note] if engine_note else []
    pairs = problem.sample.uncovered_pairs()
    if pairs:
        shown = ", ".join(f"{a}-{b}" for a, b in pairs[:5])
        notes.append(
            f"Never observed together: {shown}. Chi-square and the indices that need the saturated model are not given."
        )
    if not options.ridge and any(s.degenerate for s in problem.saturated):
        notes.append(UNBOUNDED[0].upper() + UNBOUNDED[1:] + ".")
    if options.ridge:
        notes.append(
            f"Exactly dependent columns: a ridge of {options.ridge:g} of each variance was added; chi-square and "
            "standard errors are withheld."
        )
    if not all(s.converged or s.degenerate for s in problem.saturated):
        notes.append("The EM algorithm for the saturated model did not converge; chi-square is approximate.")
    return tuple(notes)
