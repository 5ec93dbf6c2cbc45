"""The parameter table: every parameter of the model, written or automatic, in lavaan's order and numbering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from fosa_sem.errors import SourceSpan
from fosa_sem.syntax.names import VariableNames
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.writer import write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One parameter.

    Attributes
    ----------
    lhs, op, rhs : str
    user : bool
        Written by the user.
    group : int
        1-based.
    free : int
        1-based index into theta, 0 if fixed.
    exo : bool
        A moment of an exogenous observed variable, taken from the sample.
    ustart : float
        Fixed value or the user's start; NaN if neither.
    lower, upper : float
        Bounds; infinite if none.
    label, plabel : str
        The user's label; lavaan's own (``.p1.``).
    span : SourceSpan or None
        Where the user wrote it.
    tie : str
        The plabel of the first free parameter that this one is equal to; empty if it stands alone.
    """

    lhs: str
    op: str
    rhs: str
    user: bool
    group: int
    free: int
    exo: bool
    ustart: float
    lower: float
    upper: float
    label: str
    plabel: str
    span: SourceSpan | None
    tie: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterTable:
    """All parameters of a model (lavaan: ``lavaanify``).

    Attributes
    ----------
    rows : tuple of Row
    relations : tuple of Statement
        The ``:=`` parameters and the constraints (``==``, ``<``, ``>``) that the user wrote, in their order; a
        definition may use earlier ones.
    names : VariableNames
    ngroups : int
    fixed_x : bool
    meanstructure : bool
        Without it the means are the sample's, and no intercept stands in the table.
    auxiliary : tuple of str
        Saturated correlates, last of the observed variables.
    """

    rows: tuple[Row, ...]
    relations: tuple[Statement, ...]
    names: VariableNames
    ngroups: int
    fixed_x: bool
    meanstructure: bool = True
    auxiliary: tuple[str, ...] = ()

    @property
    def definitions(self) -> tuple[Statement, ...]:
        """The ``:=`` parameters."""
        return tuple(s for s in self.relations if s.op == ":=")

    @property
    def constraints(self) -> tuple[Statement, ...]:
        """The constraints that the user wrote; shared labels are in `ties`."""
        return tuple(s for s in self.relations if s.op != ":=")

    @property
    def n_free(self) -> int:
        """Length of theta."""
        return max((row.free for row in self.rows), default=0)

    def free_rows(self) -> tuple[Row, ...]:
        """The rows of theta, in its order."""
        return tuple(row for row in self.rows if row.free)

    def free_names(self) -> list[str]:
        """Names of the free parameters, as those of lavaan's ``coef()``: the label, else ``f=~x2``, ``f=~x2.g2`` ..."""
        return [
            row.label or f"{row.lhs}{row.op}{row.rhs}" + (f".g{row.group}" if row.group > 1 else "")
            for row in self.free_rows()
        ]

    def ties(self) -> tuple[tuple[int, int], ...]:
        """Pairs of 0-based indices into theta that are equal, each with the first of its set, in lavaan's order."""
        sets: dict[str, list[int]] = {}
        for row in self.free_rows():
            sets.setdefault(row.tie or row.plabel, []).append(row.free - 1)
        several = sorted((members for members in sets.values() if len(members) > 1), key=lambda members: members[1])
        return tuple((members[0], other) for members in several for other in members[1:])

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
            id, lhs, op, rhs, user, block, group, free, ustart, exo, label, plabel, and lower or upper if there are
            such bounds (a fixed parameter's are its value, as in lavaan).
        """
        records: list[dict[str, object]] = [
            {
                "lhs": r.lhs, "op": r.op, "rhs": r.rhs, "user": int(r.user), "block": r.group, "group": r.group,
                "free": r.free, "ustart": r.ustart, "exo": int(r.exo), "label": r.label, "plabel": r.plabel,
                "lower": r.lower if r.free else r.ustart, "upper": r.upper if r.free else r.ustart,
            }
            for r in self.rows
        ]  # fmt: skip
        free = self.free_rows()
        special = [(s.lhs, s.op, s.rhs, 1, s.lhs if s.op == ":=" else "") for s in self.relations]
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
        unused = [kind for kind in ("lower", "upper") if not any(math.isfinite(getattr(r, kind)) for r in self.rows)]
        return frame.drop(columns=unused)

    def to_syntax(self) -> str:
        """Every parameter in lavaan's syntax, for ``parameter_table(text, "lavaan", fixed_x=self.fixed_x)``.

        Returns
        -------
        str
            Parses to the same parameters, free or fixed, with the same values, starts, bounds, labels and place in
            theta. Moments of fixed exogenous variables are left out: they come back by themselves. A row's own name
            (``.p2.``), where it serves as a label, is written ``p2``, because rows may be counted differently.

        Raises
        ------
        ModelSpecificationError
            If a formula names a moment that is left out.
        """
        return write_table(self)


def covariance_table(names: VariableNames, pairs: Sequence[tuple[int, int]], ngroups: int) -> ParameterTable:
    """A model of the observed variables alone: free means, variances, and some covariances.

    Parameters
    ----------
    names : VariableNames
    pairs : sequence of (int, int)
        Positions in ``names.observed`` that covary.
    ngroups : int
    """
    observed = names.observed
    cells = [(n, "~~", n) for n in observed] + [(observed[i], "~~", observed[j]) for i, j in pairs]
    cells += [(n, "~1", "") for n in observed]
    rows = [
        Row(
            lhs=lhs, op=op, rhs=rhs, user=True, group=group, free=place, exo=False, ustart=math.nan, lower=-math.inf,
            upper=math.inf, label="", plabel=f".p{place}.", span=None,
        )
        for place, (group, (lhs, op, rhs)) in enumerate(
            ((group, cell) for group in range(1, ngroups + 1) for cell in cells), start=1
        )
    ]  # fmt: skip
    alone = VariableNames(
        observed=observed, latent=(), observed_x=(), latent_x=(), pure_outcomes=(), composites=(), single_indicators=()
    )
    return ParameterTable(rows=tuple(rows), relations=(), names=alone, ngroups=ngroups, fixed_x=False)
