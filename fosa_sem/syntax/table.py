"""The parameter table: every parameter of the model, written or automatic, in lavaan's order and numbering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations
from typing import Literal, TypeVar

import pandas as pd

from fosa_sem.errors import ModelSpecificationError, OptionError, SourceSpan
from fosa_sem.syntax.expressions import labels
from fosa_sem.syntax.names import VariableNames, classify, order_covariance
from fosa_sem.syntax.parser import Statement, parse_model
from fosa_sem.syntax.references import label_targets, tie_key

T = TypeVar("T")
FunctionName = Literal["sem", "cfa", "growth", "lavaan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """Which parameters are added and fixed automatically (lavaan's ``model.type = "sem"`` by default).

    Attributes
    ----------
    fixed_x : bool
        Exogenous observed variables keep their sample moments.
    std_lv : bool
        Latent variances are 1 and first loadings free.
    orthogonal : bool
        Exogenous latent variables do not covary.
    int_ov_free, int_lv_free : bool
        Observed intercepts / latent means are free.
    auto_fix_first, auto_fix_single, auto_var, auto_cov_lv_x, auto_cov_y : bool
        lavaan's ``auto.*`` switches.
    """

    fixed_x: bool = True
    std_lv: bool = False
    orthogonal: bool = False
    int_ov_free: bool = True
    int_lv_free: bool = False
    auto_fix_first: bool = True
    auto_fix_single: bool = True
    auto_var: bool = True
    auto_cov_lv_x: bool = True
    auto_cov_y: bool = True

    @classmethod
    def for_function(cls, func: FunctionName, **given: bool | None) -> TableOptions:
        """Options of ``sem``, ``cfa``, ``growth`` or ``lavaan``; ``None`` keeps that function's default.

        Raises
        ------
        OptionError
            For an unknown function or option, or a value that is not a bool.
        """
        if func not in ("sem", "cfa", "growth", "lavaan"):
            raise OptionError(f"func must be 'sem', 'cfa', 'growth' or 'lavaan', got {func!r}")
        unknown = sorted(set(given) - set(cls.__dataclass_fields__))
        if unknown:
            raise OptionError(f"unknown option {unknown[0]!r}: known are {', '.join(cls.__dataclass_fields__)}")
        chosen = {name: value for name, value in given.items() if value is not None}
        for name, value in chosen.items():
            if not isinstance(value, bool):
                raise OptionError(f"{name} must be True, False or None, got {value!r}")
        base: dict[str, bool] = {}
        if func == "growth":
            base = {"int_ov_free": False, "int_lv_free": True}
        elif func == "lavaan":
            base = dict.fromkeys((n for n in cls.__dataclass_fields__ if n.startswith(("auto", "int"))), False)
        if chosen.get("std_lv") and "auto_fix_first" not in chosen:
            base["auto_fix_first"] = False
        return cls(**{**base, **chosen})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One parameter.

    Attributes
    ----------
    lhs, op, rhs : str
    user : bool
        Written by the user.
    group : int
        1-based; 0 for ``:=``.
    free : int
        1-based index into theta, 0 if fixed.
    exo : bool
        A moment of an exogenous observed variable, taken from the sample.
    ustart : float
        Fixed value or the user's start; NaN if neither.
    label, plabel : str
        The user's label; lavaan's own (``.p1.``).
    span : SourceSpan or None
        Where the user wrote it.
    """

    lhs: str
    op: str
    rhs: str
    user: bool
    group: int
    free: int
    exo: bool
    ustart: float
    label: str
    plabel: str
    span: SourceSpan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterTable:
    """All parameters of a model (lavaan: ``lavaanify``).

    Attributes
    ----------
    rows : tuple of Row
    definitions : tuple of Statement
        The ``:=`` parameters, in order; a later one may use earlier ones.
    names : VariableNames
    ngroups : int
    fixed_x : bool
    """

    rows: tuple[Row, ...]
    definitions: tuple[Statement, ...]
    names: VariableNames
    ngroups: int
    fixed_x: bool

    @property
    def n_free(self) -> int:
        """Length of theta."""
        return max((row.free for row in self.rows), default=0)

    def free_rows(self) -> tuple[Row, ...]:
        """The rows of theta, in its order."""
        return tuple(row for row in self.rows if row.free)

    def ties(self) -> tuple[tuple[int, int], ...]:
        """Pairs of 0-based indices into theta that share a label, each with the label's first."""
        first: dict[str, int] = {}
        pairs = []
        for row in self.free_rows():
            key = tie_key(row, self.rows)
            if key and first.setdefault(key, row.free - 1) != row.free - 1:
                pairs.append((first[key], row.free - 1))
        return tuple(pairs)

    def with_exogenous(self, moments: Sequence[Mapping[tuple[str, str], float]]) -> ParameterTable:
        """The table with the sample moments of exogenous variables filled in.

        Parameters
        ----------
        moments : sequence of mapping, one per group
            ``(lhs, rhs)`` to covariance and ``(lhs, "")`` to mean.
        """
        rows = [replace(row, ustart=moments[row.group - 1][row.lhs, row.rhs]) if row.exo else row for row in self.rows]
        return replace(self, rows=tuple(rows))

    def to_frame(self) -> pd.DataFrame:
        """The table under lavaan's column names, with its ``==`` rows for shared labels.

        Returns
        -------
        DataFrame
            id, lhs, op, rhs, user, block, group, free, ustart, exo, label, plabel.
        """
        records: list[dict[str, object]] = [
            {
                "lhs": r.lhs, "op": r.op, "rhs": r.rhs, "user": int(r.user), "block": r.group, "group": r.group,
                "free": r.free, "ustart": r.ustart, "exo": int(r.exo), "label": r.label, "plabel": r.plabel,
            }
            for r in self.rows
        ]  # fmt: skip
        free = self.free_rows()
        special = [(d.lhs, ":=", d.rhs, 1, d.lhs) for d in self.definitions]
        special += [(free[i].plabel, "==", free[j].plabel, 2, "") for i, j in self.ties()]
        records += [
            {
                "lhs": lhs, "op": op, "rhs": rhs, "user": user, "block": 0, "group": 0,
                "free": 0, "ustart": math.nan, "exo": 0, "label": label, "plabel": "",
            }
            for lhs, op, rhs, user, label in special
        ]  # fmt: skip
        frame = pd.DataFrame.from_records(records)
        frame.insert(0, "id", range(1, len(frame) + 1))
        return frame


def parameter_table(
    model: str, func: FunctionName = "sem", *, ngroups: int = 1, meanstructure: bool = True, **options: bool | None
) -> ParameterTable:
    """Read a model string into its full parameter table (lavaan: ``lavaanify``).

    Parameters
    ----------
    model : str
        lavaan's model syntax.
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
        Whose automatic parameters to add.
    ngroups : int, default 1
    meanstructure : bool, default True
        Must be True: every estimator of this package fits means (lavaan adds them with missing data too).
    **options : bool
        Fields of `TableOptions`; ``fixed_x`` is False by default, as in ``lavaanify`` (but not in ``sem``).

    Returns
    -------
    ParameterTable

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        With line and column.
    OptionError
        For options that do not exist or are out of range.
    """
    if not isinstance(ngroups, int) or ngroups < 1:
        raise OptionError(f"ngroups must be a positive integer, got {ngroups!r}")
    if meanstructure is not True:
        raise OptionError(f"meanstructure must be True: FIML fits the means too; got {meanstructure!r}")
    options.setdefault("fixed_x", False)
    return build_table(parse_model(model), TableOptions.for_function(func, **options), ngroups)


def parse(model: str) -> pd.DataFrame:
    """What the user wrote, row by row, with nothing added (lavaan: ``lavParseModelString``).

    Parameters
    ----------
    model : str

    Returns
    -------
    DataFrame
        lhs, op, rhs, block, fixed, start, label; the entries of ``c(...)`` are joined by ``;``.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        With line and column.
    """
    statements = parse_model(model)
    return pd.DataFrame(
        [
            {
                "lhs": s.lhs, "op": s.op, "rhs": s.rhs, "block": 0 if s.op == ":=" else 1,
                "fixed": ";".join(_shown(v) for v in s.modifiers.fixed),
                "start": ";".join(_shown(v) for v in s.modifiers.start),
                "label": ";".join(s.modifiers.label),
            }
            for s in statements
        ],
        columns=["lhs", "op", "rhs", "block", "fixed", "start", "label"],
    )  # fmt: skip


def _shown(value: float) -> str:
    return "NA" if math.isnan(value) else f"{value:.15g}"


def build_table(statements: Sequence[Statement], options: TableOptions, ngroups: int = 1) -> ParameterTable:
    """Add the automatic parameters, fix what the options fix, and number the free ones."""
    relations = [s for s in statements if s.op != ":="]
    definitions = tuple(s for s in statements if s.op == ":=")
    if not relations:
        raise ModelSpecificationError("the model defines parameters but has no formula for any variable")
    names = classify(relations)
    relations = [order_covariance(s, names) for s in relations]
    drafts = _with_automatic(relations, names, options)
    rows: list[Row] = []
    for group in range(1, ngroups + 1):
        for statement, user in drafts:
            row = _row(statement, user, group, ngroups, names, options, relations)
            rows.append(replace(row, plabel=f".p{len(rows) + 1}."))
    table = ParameterTable(
        rows=_numbered(_fix_with_label(label_targets(rows))),
        definitions=definitions,
        names=names,
        ngroups=ngroups,
        fixed_x=options.fixed_x,
    )
    _check_labels(table)
    return table


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


def _with_automatic(
    relations: Sequence[Statement], names: VariableNames, options: TableOptions
) -> list[tuple[Statement, bool]]:
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
        Statement(lhs=lhs, op=op, rhs=rhs, span=nowhere, left=nowhere)
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
    modifiers = statement.modifiers
    given = _for_group(modifiers.fixed, group, ngroups, statement.span)
    if given is not None:
        free, ustart = (1, math.nan) if math.isnan(given) else (0, given)
    start = _for_group(modifiers.start, group, ngroups, statement.span)
    if start is not None and not math.isnan(start):
        ustart = start  # also where the parameter is fixed: lavaan fixes a marker at its start()
    return Row(
        lhs=statement.lhs, op=statement.op, rhs=statement.rhs, user=user, group=group,
        free=free, exo=exo, ustart=ustart, label=_for_group(modifiers.label, group, ngroups, statement.span) or "",
        plabel="", span=statement.span if user else None,
    )  # fmt: skip


def _for_group(values: tuple[T, ...], group: int, ngroups: int, span: SourceSpan) -> T | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    if len(values) != ngroups:
        raise ModelSpecificationError(
            f"a modifier with {len(values)} entries, but the number of groups is {ngroups}",
            span,
        )
    return values[group - 1]


def _automatic_value(
    s: Statement, user: bool, names: VariableNames, options: TableOptions, relations: Sequence[Statement]
) -> tuple[float | None, bool]:
    """The value at which a parameter is fixed unless a modifier says otherwise, and whether it is exogenous."""
    loadings = [r for r in relations if r.op == "=~"]
    if s.op == "=~" and options.auto_fix_first and s is next(r for r in loadings if r.lhs == s.lhs):
        return 1.0, False
    if s.op == "~~" and s.lhs == s.rhs and s.lhs in names.latent and options.std_lv:
        return 1.0, False
    if user:
        return None, False
    if options.fixed_x and s.lhs in names.observed_x and (s.op == "~1" or s.rhs in names.observed_x):
        return math.nan, True
    if s.op == "~~" and s.lhs == s.rhs and options.auto_fix_single and _is_single_indicator(s.lhs, loadings):
        return 0.0, False
    both_latent_x = s.lhs in names.latent_x and s.rhs in names.latent_x
    if s.op == "~~" and s.lhs != s.rhs and options.orthogonal and both_latent_x:
        return 0.0, False
    is_latent = s.lhs in names.latent
    if s.op == "~1" and not (options.int_lv_free if is_latent else options.int_ov_free):
        return 0.0, False
    return None, False


def _is_single_indicator(name: str, loadings: Sequence[Statement]) -> bool:
    factors = [s.lhs for s in loadings if s.rhs == name]
    return any(sum(s.lhs == factor for s in loadings) == 1 for factor in factors)


def _check_labels(table: ParameterTable) -> None:
    """Every label of a definition must exist."""
    known = {row.label for row in table.rows if row.label}
    for definition in table.definitions:
        if definition.lhs in known:
            raise ModelSpecificationError(f"{definition.lhs!r} is already a label", definition.span)
        for node in labels(definition.formula) if definition.formula else ():
            if node.name not in known:
                raise ModelSpecificationError(f"unknown label {node.name!r} in the formula", node.span)
        known.add(definition.lhs)
