"""Model and data -> the problem that engines solve: rows, patterns, saturated moments, parameter table, RAM maps."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.data.sample import GroupSample, Sample, take_sample
from fosa_sem.errors import (
    CollinearityWarning,
    CoverageWarning,
    DataError,
    DependenceError,
    ModelSpecificationError,
    OptionError,
    SourceSpan,
)
from fosa_sem.fiml.normal import evaluate
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.saturated import TOLERANCE, SaturatedMoments, available_case_moments, saturated_moments
from fosa_sem.inference.dependence import linear_relations
from fosa_sem.inference.options import TWO_STAGE, FitOptions, ResolvedOptions
from fosa_sem.model.compile import compile_ram
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.restrictions import Restrictions
from fosa_sem.syntax.build import build_table, refuse_other_models
from fosa_sem.syntax.groups import relations_of_first_group
from fosa_sem.syntax.names import VariableNames, classify, with_auxiliary
from fosa_sem.syntax.options import TableOptions
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]
MomentPair = tuple[FloatArray, FloatArray]

UNBOUNDED = (
    "too few rows have enough values for the saturated model, whose likelihood grows without bound: chi-square and the "
    "indices that need it are not given"
)


def assemble(statements: tuple[Statement, ...], data: pd.DataFrame, options: FitOptions) -> FitProblem:
    """Wire the stages up to the likelihood.

    Raises
    ------
    ModelSpecificationError, DataError, OptionError
        See `fosa_sem.inference.fit.fit`.
    """
    resolved = options.resolve()
    switches = options.table_options(has_intercepts=any(s.op == "~1" for s in statements))
    refuse_other_models(statements)
    names = with_auxiliary(classify(relations_of_first_group(statements)), options.auxiliary)
    if not names.observed:
        raise ModelSpecificationError("the model has no formula for an observed variable")
    _check_latent(names, data)
    if resolved.missing in TWO_STAGE and switches.fixed_x and names.observed_x:
        raise OptionError(
            f"missing={options.missing!r} needs fixed_x=False: two-stage standard errors have no fixed moments"
        )
    sample = take_sample(
        data, names.observed, complete=_complete(names, resolved, switches), listwise=resolved.missing == "listwise",
        group=options.group, group_label=options.group_label, spans=_spans(statements),
    )  # fmt: skip
    table = build_table(statements, switches, len(sample.groups), options.auxiliary)
    patterns, saturated = _likelihood(names, sample, resolved, options.ridge)
    if switches.fixed_x and names.observed_x:
        table = table.with_exogenous([exogenous_moments(names, s.mean, s.cov) for s in saturated])
    if options.start is not None:
        table = _with_start(table, options.start, strict=options.start_strict)
    return FitProblem(
        table=table, sample=sample, maps=compile_ram(table, [s.mean for s in saturated]), patterns=patterns,
        saturated=saturated, equality=EqualityConstraints.from_table(table),
        restrictions=Restrictions.from_table(table),
    )  # fmt: skip


def _complete(names: VariableNames, resolved: ResolvedOptions, switches: TableOptions) -> tuple[str, ...]:
    """Columns in which a missing value drops the row."""
    if resolved.missing == "listwise":
        return names.observed
    return names.observed_x if switches.fixed_x and resolved.missing == "ml" else ()


def _likelihood(
    names: VariableNames, sample: Sample, resolved: ResolvedOptions, ridge: float
) -> tuple[tuple[MissingPatterns, ...], tuple[SaturatedMoments, ...]]:
    """What the likelihood is made of, and the saturated model on it."""
    patterns = tuple(group.patterns for group in sample.groups)
    # A likelihood at the moments themselves is flat there; one that takes them for data is not.
    tolerance = 1e-16 if resolved.missing in TWO_STAGE else TOLERANCE
    saturated = tuple(saturated_moments(p, tolerance) for p in patterns)
    _check_dependence(names, patterns, saturated, ridge)
    if ridge:
        patterns = tuple(p.with_ridge(ridge * available_case_moments(p)[1]) for p in patterns)
        saturated = tuple(saturated_moments(p) for p in patterns)
    if resolved.missing in TWO_STAGE:
        patterns = tuple(
            MissingPatterns.from_moments(p.n_rows, s.mean, s.cov) for p, s in zip(patterns, saturated, strict=True)
        )
        saturated = tuple(saturated_moments(p) for p in patterns)
    if resolved.likelihood == "wishart":
        # the sum of the groups' N - 1, shared out by their N, as in lavaan
        share = 1.0 - len(patterns) / sample.n_used
        patterns = tuple(
            MissingPatterns.from_moments(p.n_rows * share, s.mean, s.cov * p.n_rows / (p.n_rows - 1))
            for p, s in zip(patterns, saturated, strict=True)
        )
        saturated = tuple(saturated_moments(p) for p in patterns)
    return patterns, saturated


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


def on_moments(problem: FitProblem, n: Sequence[float], moments: Sequence[MomentPair]) -> FitProblem:
    """The same model for complete data with other moments.

    Parameters
    ----------
    problem : FitProblem
    n : sequence of float, one per group
        Rows.
    moments : sequence of (mean, cov), one per group
        Covariances divided by n.
    """
    patterns = tuple(MissingPatterns.from_moments(rows, *pair) for rows, pair in zip(n, moments, strict=True))
    saturated = tuple(
        SaturatedMoments(mean=mean, cov=cov, loglik=evaluate(p, mean, cov).loglik, converged=True, degenerate=False)
        for p, (mean, cov) in zip(patterns, moments, strict=True)
    )
    table = problem.table
    if table.fixed_x and table.names.observed_x:
        table = table.with_exogenous([exogenous_moments(table.names, *pair) for pair in moments])
    maps = compile_ram(table, [s.mean for s in saturated])
    return replace(problem, table=table, maps=maps, patterns=patterns, saturated=saturated)


def exogenous_moments(names: VariableNames, mean: FloatArray, cov: FloatArray) -> dict[tuple[str, str], float]:
    """Means, under (name, ""), and covariances of the exogenous variables."""
    at = {name: names.observed.index(name) for name in names.observed_x}
    values = {(a, b): float(cov[i, j]) for a, i in at.items() for b, j in at.items()}
    values.update({(a, ""): float(mean[i]) for a, i in at.items()})
    return values


def refilled(
    problem: FitProblem, groups: tuple[GroupSample, ...], resolved: ResolvedOptions, *, moments: bool
) -> FitProblem:
    """The same model on other rows, such as those of a bootstrap draw.

    Parameters
    ----------
    problem : FitProblem
    groups : tuple of GroupSample
        As many as the problem has.
    resolved : ResolvedOptions
    moments : bool
        Compute the saturated moments also where the likelihood does not need them; otherwise those of ``problem``
        stay.

    Raises
    ------
    DependenceError
        If columns have become exactly dependent, and moments are computed.
    """
    table, names = problem.table, problem.table.names
    sample = replace(problem.sample, groups=groups)
    # Rows with holes stand for themselves in FIML, and exogenous variables have none unless missing="fiml.x".
    if not moments and resolved.missing == "ml":
        patterns, saturated = tuple(g.patterns for g in groups), problem.saturated
        exogenous = [g.patterns.pairwise_moments() for g in groups]
    else:
        patterns, saturated = _likelihood(names, sample, resolved, ridge=0.0)
        exogenous = [(s.mean, s.cov) for s in saturated]
    if table.fixed_x and names.observed_x:
        table = table.with_exogenous([exogenous_moments(names, *pair) for pair in exogenous])
    return replace(
        problem, table=table, sample=sample, maps=compile_ram(table, [s.mean for s in saturated]), patterns=patterns,
        saturated=saturated,
    )  # fmt: skip


def _with_start(table: ParameterTable, start: Mapping[str, float], *, strict: bool) -> ParameterTable:
    """The table with the caller's starting values."""
    names = table.free_names()
    unknown = [name for name in start if name not in names]
    if unknown and strict:
        close = difflib.get_close_matches(str(unknown[0]), names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise OptionError(f"start names {unknown[0]!r}, which is no free parameter of the model{hint}")
    at = {row.plabel: start[name] for row, name in zip(table.free_rows(), names, strict=True) if name in start}
    rows = [replace(row, ustart=float(at.get(row.plabel, row.ustart))) for row in table.rows]
    return replace(table, rows=tuple(rows))


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
    columns = data.columns.tolist() if isinstance(data, pd.DataFrame) else []
    clash = [name for name in names.latent if name in columns]
    if clash:
        raise DataError(f"{clash[0]!r} is a latent variable of the model and a column of the data; rename one of them")
