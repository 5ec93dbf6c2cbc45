"""Statements -> parameter table: automatic parameters, what is fixed, equality across groups, numbering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, combinations
from typing import TypeVar

from fosa_sem.errors import ModelSpecificationError, SourceSpan
from fosa_sem.syntax.groups import equal_across_groups, statements_of_groups
from fosa_sem.syntax.names import VariableNames, classify, order_covariance
from fosa_sem.syntax.options import TableOptions
from fosa_sem.syntax.references import check_labels, label_targets, tie_key
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import ParameterTable, Row

T = TypeVar("T")
Draft = tuple[Statement, bool]


def build_table(statements: Sequence[Statement], options: TableOptions, ngroups: int = 1) -> ParameterTable:
    """Add the automatic parameters, fix what the options fix, tie groups, and number the free parameters.

    Raises
    ------
    ModelSpecificationError
        For what the language has and the models of this package do not, and for labels that do not exist.
    """
    refuse_other_models(statements)
    relations = tuple(s for s in statements if not s.block)
    groups = statements_of_groups([s for s in statements if s.block], ngroups)
    names = classify(groups[0])
    rows: list[Row] = []
    for group, written in enumerate(groups, start=1):
        ordered = [order_covariance(s, names) for s in written]
        for statement, user in _with_automatic(ordered, names, options):
            row = _row(statement, user, group, ngroups, names, options, ordered)
            rows.append(replace(row, plabel=f".p{len(rows) + 1}."))
    rows = equal_across_groups(label_targets(rows), names, options)
    table = ParameterTable(
        rows=_numbered(_fix_with_label(rows)), relations=relations, names=names, ngroups=ngroups,
        fixed_x=options.fixed_x,
    )  # fmt: skip
    check_labels(table)
    return table


def refuse_other_models(statements: Sequence[Statement]) -> None:
    """Refuse by name what lavaan's language can say beyond continuous single-level models.

    Raises
    ------
    ModelSpecificationError
        With the place.
    """
    for s in statements:
        if s.op == "|":
            raise ModelSpecificationError(f"ordinal indicators are not supported yet: thresholds of {s.lhs!r}", s.span)
        if s.op == "~*~":
            raise ModelSpecificationError(f"scaling factors (~*~) of {s.lhs!r} belong to ordinal indicators", s.span)
        if s.op == ":" and s.lhs != "group":
            what = "multilevel models ('level:')" if s.lhs == "level" else "blocks other than groups ('block:')"
            raise ModelSpecificationError(f"{what} are not supported", s.left)
        if s.modifiers.efa:
            raise ModelSpecificationError(f"exploratory factors (efa()) are not supported: {s.lhs!r}", s.left)
        if s.modifiers.rv:
            raise ModelSpecificationError(f"random slopes (rv()) are not supported: {s.lhs} {s.op} {s.rhs}", s.span)
    if not any(s.block and s.op != ":" for s in statements):
        raise ModelSpecificationError("the model has no formula for any variable")


def _with_automatic(relations: Sequence[Statement], names: VariableNames, options: TableOptions) -> list[Draft]:
    """User rows, then automatic (co)variances, exogenous moments and intercepts, in lavaan's order."""
    nowhere = relations[0].span
    automatic: list[tuple[str, str, str]] = []
    explained = [n for n in names.observed if n not in names.observed_x]
    if options.auto_var:
        automatic += [(n, "~~", n) for n in (*explained, *names.latent)]
    if options.auto_cov_lv_x:
        automatic += [(a, "~~", b) for a, b in combinations(names.latent_x, 2)]
    if options.auto_cov_y:
        automatic += [(a, "~~", b) for a, b in combinations(names.pure_outcomes, 2)]
    x = names.observed_x
    automatic += [(a, "~~", b) for i, a in enumerate(x) for b in x[i:]]
    automatic += [(n, "~1", "") for n in (*names.observed, *names.latent)]
    written = {_identity(s.lhs, s.op, s.rhs) for s in relations}
    added = [
        Statement(lhs=lhs, op=op, rhs=rhs, block=1, span=nowhere, left=nowhere)
        for lhs, op, rhs in automatic
        if _identity(lhs, op, rhs) not in written
    ]
    return [*((s, True) for s in relations), *((s, False) for s in added)]


def _identity(lhs: str, op: str, rhs: str) -> tuple[str, ...]:
    return (op, *sorted((lhs, rhs))) if op == "~~" else (op, lhs, rhs)


def _row(
    statement: Statement, user: bool, group: int, ngroups: int,
    names: VariableNames, options: TableOptions, relations: Sequence[Statement],
) -> Row:  # fmt: skip
    fixed, exo = _automatic_value(statement, user, names, options, relations)
    free, ustart = (0, fixed) if fixed is not None else (1, math.nan)
    modifiers, span = statement.modifiers, statement.span
    given = _for_group(modifiers.fixed, group, ngroups, span)
    if given is not None:
        free, ustart = (1, math.nan) if math.isnan(given) else (0, given)
    start = _for_group(modifiers.start, group, ngroups, span)
    if start is not None and not math.isnan(start):
        ustart = start  # also where the parameter is fixed: lavaan fixes a marker at its start()
    lower = _for_group(modifiers.lower, group, ngroups, span)
    upper = _for_group(modifiers.upper, group, ngroups, span)
    row = Row(
        lhs=statement.lhs, op=statement.op, rhs=statement.rhs, user=user, group=group,
        free=free, exo=exo, ustart=ustart, lower=-math.inf if lower is None else lower,
        upper=math.inf if upper is None else upper, label=_for_group(modifiers.label, group, ngroups, span) or "",
        plabel="", span=span if user else None,
    )  # fmt: skip
    if row.lower > row.upper:
        raise ModelSpecificationError(f"lower bound {row.lower:g} lies above upper bound {row.upper:g}", span)
    return row


def _for_group(values: tuple[T, ...], group: int, ngroups: int, span: SourceSpan) -> T | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    if len(values) != ngroups:
        raise ModelSpecificationError(
            f"a modifier with {len(values)} entries, but the number of groups is {ngroups}", span
        )
    return values[group - 1]


def _automatic_value(
    s: Statement, user: bool, names: VariableNames, options: TableOptions, relations: Sequence[Statement]
) -> tuple[float | None, bool]:
    """The value at which a parameter is fixed unless a modifier says otherwise, and whether it is exogenous."""
    is_variance = s.op == "~~" and s.lhs == s.rhs
    if s.op == "=~" and options.auto_fix_first and s is next(r for r in relations if r.op == "=~" and r.lhs == s.lhs):
        return 1.0, False
    if is_variance and s.lhs in names.latent and s.lhs not in names.composites and options.std_lv:
        return 1.0, False
    if user:
        return None, False
    if options.fixed_x and s.lhs in names.observed_x and (s.op == "~1" or s.rhs in names.observed_x):
        return math.nan, True
    if is_variance and (s.lhs in names.composites or (options.auto_fix_single and s.lhs in names.single_indicators)):
        return 0.0, False
    both_latent_x = s.lhs in names.latent_x and s.rhs in names.latent_x
    if s.op == "~~" and s.lhs != s.rhs and options.orthogonal and both_latent_x:
        return 0.0, False
    if s.op == "~1" and not (options.int_lv_free if s.lhs in names.latent else options.int_ov_free):
        return 0.0, False
    return None, False


def _fix_with_label(rows: Sequence[Row]) -> list[Row]:
    """A parameter that shares its label with a fixed one is fixed at the same value, as in lavaan."""
    keys = [tie_key(row, rows) for row in rows]
    values: dict[str, float] = {}
    for key, row in zip(keys, rows, strict=True):
        if key and not row.free and not row.exo:
            values.setdefault(key, row.ustart)
    return [
        replace(row, free=0, ustart=values[key]) if row.free and key in values else row
        for key, row in zip(keys, rows, strict=True)
    ]


def _numbered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Free parameters get their place in theta, from 1."""
    places = accumulate(int(row.free > 0) for row in rows)
    return tuple(replace(row, free=place if row.free else 0) for row, place in zip(rows, places, strict=True))
