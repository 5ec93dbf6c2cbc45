"""The whole way from a model string and a table to a FIML solution: the one place where the stages are wired."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.data.sample import Sample, take_sample
from fosa_sem.errors import (
    CollinearityWarning,
    ConvergenceError,
    CoverageWarning,
    DataError,
    DependenceError,
    ModelSpecificationError,
    SourceSpan,
)
from fosa_sem.fiml.engines.base import find_engine
from fosa_sem.fiml.information import observed_information
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.saturated import SaturatedMoments, available_case_moments, saturated_moments
from fosa_sem.inference import audit as auditing
from fosa_sem.inference.audit import Audit
from fosa_sem.inference.baseline import ReferenceModels, reference_models
from fosa_sem.inference.dependence import linear_relations
from fosa_sem.inference.identification import check_identified
from fosa_sem.inference.options import FitOptions
from fosa_sem.model.compile import compile_ram
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.labels import row_values
from fosa_sem.model.signs import orient_factors
from fosa_sem.syntax.build import build_table, refuse_other_models
from fosa_sem.syntax.groups import relations_of_first_group
from fosa_sem.syntax.names import VariableNames, classify
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]

UNBOUNDED = (
    "too few rows have enough values for the saturated model, whose likelihood grows without bound: chi-square and the "
    "indices that need it are not given"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FimlFit:
    """A model fitted by full-information maximum likelihood, in log-likelihood units.

    Attributes
    ----------
    model : str
        The user's string.
    options : FitOptions
    problem : FitProblem
        Table, data as patterns, saturated moments, likelihood.
    theta : ndarray, shape (k,)
        In the order of the table's free rows.
    vcov : ndarray, shape (k, k), or None
        Inverse observed information; None if singular, or if a ridge was added.
    loglik : float
        Conditional on exogenous variables if ``fixed_x``.
    references : ReferenceModels
    audit : Audit
    iterations : int or None
    notes : tuple of str
        What the reader of any output must know.
    """

    model: str
    options: FitOptions
    problem: FitProblem
    theta: FloatArray
    vcov: FloatArray | None
    loglik: float
    references: ReferenceModels
    audit: Audit
    iterations: int | None
    notes: tuple[str, ...]

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
        return len(self.theta) - self.problem.equality.rank

    @property
    def has_test(self) -> bool:
        """Whether the saturated model exists, so that chi-square and what rests on it can be given."""
        bounded = not any(s.degenerate for s in self.problem.saturated)
        return self.options.ridge == 0.0 and bounded and not self.sample.uncovered_pairs()

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
    statements = parse_model(model)
    problem = assemble(statements, data, options)
    check_identified(problem)
    found = engine.estimate(problem)
    theta = orient_factors(problem.table, found.theta)
    joint = problem.value_and_gradient(theta)[0]
    if not np.isfinite(theta).all() or not np.isfinite(joint):
        raise ConvergenceError(f"engine {engine.name!r} found no estimate with a finite likelihood")
    information = observed_information(problem, theta)
    vcov = auditing.covariance_of_estimates(problem, theta, information)
    found_audit = auditing.audit(problem, theta, information, vcov)
    if not options.ridge:  # the dependence explains what the audit finds, and its own warning says so
        auditing.warn(found_audit)
    references = reference_models(problem)
    return FimlFit(
        model=model, options=options, problem=problem, theta=theta,
        vcov=None if options.ridge else vcov,
        loglik=joint - references.loglik_x, references=references, audit=found_audit,
        iterations=found.iterations, notes=_notes(problem, options, found.note),
    )  # fmt: skip


def assemble(statements: tuple[Statement, ...], data: pd.DataFrame, options: FitOptions) -> FitProblem:
    """Model and data -> the problem that engines solve."""
    switches = options.table_options()
    refuse_other_models(statements)
    names = classify(relations_of_first_group(statements))
    if not names.observed:
        raise ModelSpecificationError("the model has no formula for an observed variable")
    _check_latent(names, data)
    sample = take_sample(
        data, names.observed, complete=names.observed_x if switches.fixed_x else (), group=options.group,
        spans=_spans(statements),
    )  # fmt: skip
    table = build_table(statements, switches, len(sample.groups))
    patterns = tuple(group.patterns for group in sample.groups)
    saturated = tuple(saturated_moments(p) for p in patterns)
    _check_dependence(names, patterns, saturated, options.ridge)
    if options.ridge:
        patterns = tuple(p.with_ridge(options.ridge * available_case_moments(p)[1]) for p in patterns)
        saturated = tuple(saturated_moments(p) for p in patterns)
    if switches.fixed_x and names.observed_x:
        table = table.with_exogenous([_exogenous_moments(names, s) for s in saturated])
    return FitProblem(
        table=table, sample=sample, maps=compile_ram(table), patterns=patterns, saturated=saturated,
        equality=EqualityConstraints.from_table(table),
    )  # fmt: skip


def _check_dependence(
    names: VariableNames, patterns: tuple[MissingPatterns, ...], saturated: tuple[SaturatedMoments, ...], ridge: float
) -> None:
    """Tell columns that are exactly dependent from a saturated model that has too few rows for its holes."""
    degenerate = [(p, s) for p, s in zip(patterns, saturated, strict=True) if s.degenerate]
    found = [(p, r) for p, s in degenerate for r in linear_relations(names.observed, s.cov, 1e-5)]
    relations = "; ".join(r.text for p, r in found if r.is_shown_by(p))
    if relations and not ridge:
        raise DependenceError(
            f"columns are exactly dependent, so the likelihood has no maximum: {relations}; "
            "leave one of them out of the model"
        )
    if relations:
        warnings.warn(
            f"columns are exactly dependent ({relations}); a ridge of {ridge:g} of each variance was added: "
            "imputations are usable, chi-square and standard errors are withheld",
            CollinearityWarning,
            stacklevel=3,
        )
    elif degenerate:
        warnings.warn(UNBOUNDED, CoverageWarning, stacklevel=3)


def _exogenous_moments(names: VariableNames, moments: SaturatedMoments) -> dict[tuple[str, str], float]:
    at = {name: names.observed.index(name) for name in names.observed_x}
    values = {(a, b): float(moments.cov[i, j]) for a, i in at.items() for b, j in at.items()}
    values.update({(a, ""): float(moments.mean[i]) for a, i in at.items()})
    return values


def _spans(statements: tuple[Statement, ...]) -> dict[str, SourceSpan]:
    """Where each variable first stands on a right-hand side, else the place of its first formula."""
    spans: dict[str, SourceSpan] = {}
    for s in statements:
        if s.op in ("=~", "<~", "~", "~~"):
            spans.setdefault(s.rhs, s.span)
    for s in statements:
        if s.block:
            spans.setdefault(s.lhs, s.left)
    return spans


def _check_latent(names: VariableNames, data: pd.DataFrame) -> None:
    columns = set(data.columns) if isinstance(data, pd.DataFrame) else set()
    clash = [name for name in names.latent if name in columns]
    if clash:
        raise DataError(f"{clash[0]!r} is a latent variable of the model and a column of the data; rename one of them")


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
