"""Statements -> parameter table: automatic parameters, what is fixed, equality across groups, numbering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations
from typing import TypeVar

from fosa_sem.errors import ModelSpecificationError, SourceSpan
from fosa_sem.syntax.effect_coding import effect_coding
from fosa_sem.syntax.groups import (
    check_group_partial,
    is_equal_across_groups,
    scale_is_passed_on,
    statements_of_groups,
)
from fosa_sem.syntax.names import VariableNames, classify, order_covariance, with_auxiliary
from fosa_sem.syntax.options import TableOptions
from fosa_sem.syntax.references import check_labels, tie_equal
from fosa_sem.syntax.statements import NO_MODIFIERS, RELATIONS, Modifiers, Statement
from fosa_sem.syntax.table import ParameterTable, Row

T = TypeVar("T")
Draft = tuple[Statement, bool]


def build_table(
    statements: Sequence[Statement], options: TableOptions, ngroups: int = 1, auxiliary: Sequence[str] = ()
) -> ParameterTable:
    """Add the automatic parameters, fix what the options fix, tie groups, and number the free parameters.

    Parameters
    ----------
    statements : sequence of Statement
    options : TableOptions
    ngroups : int, default 1
    auxiliary : sequence of str
        Variables outside the model that covary freely with all of its observed ones and with each other.

    Raises
    ------
    ModelSpecificationError
        For what the language has and the models of this package do not, and for labels that do not exist.
    """
    refuse_other_models(statements)
    relations = tuple(s for s in statements if not s.block)
    groups = statements_of_groups([s for s in statements if s.block], ngroups)
    blocks = any(s.op == ":" for s in statements)
    rows: list[Row] = []
    n_free = 0
    roles = [with_auxiliary(classify(written), auxiliary) for written in groups]
    for group, (written, names) in enumerate(zip(groups, roles, strict=True), start=1):
        defaults = Defaults.of(
            [order_covariance(s, names) for s in written], names, options, group=1 if blocks else group,
            auxiliary=auxiliary,
        )  # fmt: skip
        for statement, user in defaults.drafts():
            row = _row(
                statement, user, group, 1 if blocks else ngroups, defaults, plabel=f".p{len(rows) + 1}.",
                place=n_free + 1,
            )  # fmt: skip
            rows.append(row)
            n_free += row.free > 0
    names = roles[0]
    check_group_partial(rows, options)
    rows, coding = effect_coding(rows, names, options.effect_coding)
    rest = set(auxiliary)  # whose moments no restriction touches
    tied = tie_equal(
        rows, lambda row: is_equal_across_groups(row, names, options) and rest.isdisjoint((row.lhs, row.rhs))
    )
    table = ParameterTable(
        rows=_numbered(tied), relations=(*relations, *coding), names=names, ngroups=ngroups, fixed_x=options.fixed_x,
        meanstructure=options.meanstructure, auxiliary=tuple(auxiliary),
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
    latent = {s.lhs for s in statements if s.op in ("=~", "<~")}
    for s in statements:
        product = s.op in RELATIONS and ":" in s.rhs and latent.intersection(s.rhs.split(":"))
        if product:
            raise ModelSpecificationError(
                f"products of latent variables are not supported: {sorted(product)[0]!r} in {s.rhs!r} is latent", s.span
            )
        if s.op == "|":
            raise ModelSpecificationError(f"ordinal indicators are not supported yet: thresholds of {s.lhs!r}", s.span)
        if s.op == "~*~":
            raise ModelSpecificationError(f"scaling factors (~*~) of {s.lhs!r} belong to ordinal indicators", s.span)
        if s.op == ":" and s.lhs != "group":
            what = "multilevel models ('level:')" if s.lhs == "level" else f"blocks other than groups ('{s.lhs}:')"
            raise ModelSpecificationError(f"{what} are not supported", s.left)
        if s.modifiers.efa:
            raise ModelSpecificationError(f"exploratory factors (efa()) are not supported: {s.lhs!r}", s.left)
        if s.modifiers.rv:
            raise ModelSpecificationError(f"random slopes (rv()) are not supported: {s.lhs} {s.op} {s.rhs}", s.span)
    if not any(s.block and s.op != ":" for s in statements):
        raise ModelSpecificationError(
            "the model has no formula for any variable: ':=', '==', '<' and '>' only relate its labels",
            statements[0].left,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What lavaan adds to the formulas of one group, and what it fixes unless a modifier says otherwise.

    Attributes
    ----------
    relations : tuple of Statement
        As the user wrote them.
    names : VariableNames
    options : TableOptions
    group : int
        1-based; 1 for every ``group:`` block.
    markers : frozenset of (str, str)
        Each latent variable with its first indicator.
    auxiliary : tuple of str
    """

    relations: tuple[Statement, ...]
    names: VariableNames
    options: TableOptions
    group: int
    markers: frozenset[tuple[str, str]]
    auxiliary: tuple[str, ...]

    @classmethod
    def of(
        cls, relations: Sequence[Statement], names: VariableNames, options: TableOptions, *, group: int,
        auxiliary: Sequence[str] = (),
    ) -> Defaults:  # fmt: skip
        """The defaults of these relations."""
        first = {s.lhs: s.rhs for s in reversed(relations) if s.op == "=~"}
        return cls(
            relations=tuple(relations), names=names, options=options, group=group, markers=frozenset(first.items()),
            auxiliary=tuple(auxiliary),
        )  # fmt: skip

    def drafts(self) -> list[Draft]:
        """User rows, then automatic (co)variances, exogenous moments and intercepts, in lavaan's order.

        Those of auxiliary variables come last, and are never fixed.
        """
        names, options = self.names, self.options
        modelled = [n for n in names.observed if n not in self.auxiliary]
        explained = [n for n in modelled if n not in names.observed_x]
        automatic = [(n, "~~", n) for n in (*explained, *names.latent)]
        if options.auto_cov_lv_x:
            automatic += [(a, "~~", b) for a, b in combinations(names.latent_x, 2)]
        if options.auto_cov_y:
            automatic += [(a, "~~", b) for a, b in combinations(names.pure_outcomes, 2)]
        x = names.observed_x
        automatic += [(a, "~~", b) for i, a in enumerate(x) for b in x[i:]]
        if options.meanstructure:
            automatic += [(n, "~1", "") for n in (*modelled, *names.latent)]
        written = {_identity(s.lhs, s.op, s.rhs) for s in self.relations}
        added = [draft for draft in automatic if _identity(*draft) not in written]
        extra = self.auxiliary
        saturated = [(a, "~~", b) for i, b in enumerate(extra) for a in extra[i:]]
        saturated += [(a, "~1", "") for a in extra] + [(a, "~~", n) for n in modelled for a in extra]
        nowhere = self.relations[0].span
        return [
            *((s, True) for s in self.relations),
            *(
                (Statement(lhs=lhs, op=op, rhs=rhs, block=1, span=nowhere, left=nowhere), user)
                for drafts, user in ((added, False), (saturated, True))
                for lhs, op, rhs in drafts
            ),
        ]

    def is_exogenous(self, s: Statement) -> bool:
        """Whether an automatic parameter is a moment taken from the sample."""
        x = self.names.observed_x
        return self.options.fixed_x and s.lhs in x and (s.op == "~1" or s.rhs in x)

    def value(self, s: Statement, user: bool) -> float | None:
        """The value at which a parameter is fixed, None if it is free."""
        names, options = self.names, self.options
        if s.op == "=~" and options.auto_fix_first and (s.lhs, s.rhs) in self.markers:
            return 1.0
        is_free_scale = not user and self.group > 1 and scale_is_passed_on(s.lhs, s.op, s.rhs, names, options)
        if is_free_scale:
            return None
        if s.op == "~~" and s.lhs == s.rhs:
            return self._variance(s.lhs, user)
        if user:
            return None
        if s.op == "~~":
            both_latent = s.lhs in names.latent and s.rhs in names.latent
            return 0.0 if options.orthogonal and both_latent else None
        if s.op == "~1":
            free = options.int_lv_free if s.lhs in names.latent else options.int_ov_free
            return None if free else 0.0
        return None

    def _variance(self, name: str, user: bool) -> float | None:
        names, options = self.names, self.options
        if not user and options.auto_var and options.auto_fix_single and name in names.single_indicators:
            return 0.0
        if options.std_lv and name in names.latent:
            return 1.0
        is_zero = not options.auto_var or name in names.composites
        return 0.0 if is_zero and not user else None


def _identity(lhs: str, op: str, rhs: str) -> tuple[str, ...]:
    return (op, *sorted((lhs, rhs))) if op == "~~" else (op, lhs, rhs)


def _row(
    statement: Statement, user: bool, group: int, ngroups: int, defaults: Defaults, *, plabel: str, place: int
) -> Row:
    """``place`` is that of the parameter in theta if it is free."""
    exo = not user and defaults.is_exogenous(statement)
    fixed = math.nan if exo else defaults.value(statement, user)
    free, ustart = (0, fixed) if fixed is not None else (place, math.nan)
    span = statement.span
    row = Row(
        lhs=statement.lhs, op=statement.op, rhs=statement.rhs, user=user, group=group,
        free=free, exo=exo, ustart=ustart, lower=-math.inf, upper=math.inf, label="", plabel=plabel,
        span=span if user and statement.lhs not in defaults.auxiliary else None,
    )  # fmt: skip
    return row if statement.modifiers is NO_MODIFIERS else _modified(row, statement.modifiers, span, ngroups, place)


def _modified(row: Row, modifiers: Modifiers, span: SourceSpan, ngroups: int, place: int) -> Row:
    """The row with what the user wrote before ``*``."""
    group, free, ustart = row.group, row.free, row.ustart
    given = _for_group(modifiers.fixed, group, ngroups, span)
    if given is not None:
        free, ustart = (place, math.nan) if math.isnan(given) else (0, given)
    start = _for_group(modifiers.start, group, ngroups, span)
    if start is not None and not math.isnan(start):
        ustart = start  # also where the parameter is fixed: lavaan fixes a marker at its start()
    lower = _for_group(modifiers.lower, group, ngroups, span)
    upper = _for_group(modifiers.upper, group, ngroups, span)
    label = _for_group(modifiers.label, group, ngroups, span) or ""
    row = replace(
        row, free=free, ustart=ustart, lower=-math.inf if lower is None else lower,
        upper=math.inf if upper is None else upper, label="".join(label.split()),
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


def _numbered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Free parameters get their place in theta, from 1: those after a row that ties have fixed, a new one."""
    places = accumulate(int(row.free > 0) for row in rows)
    return tuple(
        row if row.free in (0, place) else replace(row, free=place) for row, place in zip(rows, places, strict=True)
    )
