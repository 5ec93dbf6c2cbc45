"""Constraints that no linear substitution removes: nonlinear equalities, inequalities and bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ModelSpecificationError, SourceSpan
from fosa_sem.model.constraints import difference, linear_row
from fosa_sem.model.labels import row_name
from fosa_sem.syntax.expressions import Dual, evaluate, labels
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]

SIGN = {"==": 1.0, ">": 1.0, "<": -1.0}


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound of a free parameter: ``sign * (theta[index] - limit) >= 0``."""

    index: int
    sign: float
    limit: float
    name: str
    span: SourceSpan | None


@dataclass(frozen=True, slots=True)
class Symbol:
    """What a label in a formula stands for: ``theta[index]``, or a fixed value where the index is -1."""

    name: str
    index: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """Functions c of theta, the first of which must be 0 and the others at least 0; empty (and false) for most models.

    Their order: nonlinear equalities, inequalities that the user wrote as formulas, bounds.

    Attributes
    ----------
    symbols : tuple of Symbol
    definitions : tuple of Statement
        ``:=`` parameters, which formulas may use.
    equalities, inequalities : tuple of Statement
        Linear equalities are not among them (see `EqualityConstraints`).
    bounds : tuple of Bound
        lavaan: modifiers ``lower()`` and ``upper()``.
    linear : tuple of bool
        Which of all these are linear in theta.
    """

    symbols: tuple[Symbol, ...]
    definitions: tuple[Statement, ...]
    equalities: tuple[Statement, ...]
    inequalities: tuple[Statement, ...]
    bounds: tuple[Bound, ...]
    linear: tuple[bool, ...]

    @classmethod
    def from_table(cls, table: ParameterTable) -> Restrictions:
        """All constraints of a model except linear equalities.

        Raises
        ------
        ModelSpecificationError
            For a parameter that is fixed outside its own bounds.
        """
        equalities = tuple(s for s in table.constraints if s.op == "==" and linear_row(s, table) is None)
        inequalities = tuple(s for s in table.constraints if s.op != "==")
        bounds = _bounds(table)
        linear = [False for _ in equalities] + [linear_row(s, table) is not None for s in inequalities]
        return cls(
            symbols=_symbols(table, (*table.definitions, *equalities, *inequalities)), definitions=table.definitions,
            equalities=equalities, inequalities=inequalities, bounds=bounds,
            linear=(*linear, *(True for _ in bounds)),
        )  # fmt: skip

    def only(self, *, equalities: bool) -> Restrictions:
        """The nonlinear equalities alone, or nothing."""
        kept = self.equalities if equalities else ()
        return replace(self, equalities=kept, inequalities=(), bounds=(), linear=(False,) * len(kept))

    def __len__(self) -> int:
        return len(self.equalities) + len(self.inequalities) + len(self.bounds)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Those that are formulas, in their order."""
        return self.equalities + self.inequalities

    @property
    def names(self) -> tuple[str, ...]:
        """Every constraint as the user would write it."""
        return (*(f"{s.lhs} {s.op} {s.rhs}" for s in self.statements), *(b.name for b in self.bounds))

    @property
    def spans(self) -> tuple[SourceSpan | None, ...]:
        """Where every constraint stands."""
        return (*(s.span for s in self.statements), *(b.span for b in self.bounds))

    def at(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values and slopes of the constraint functions.

        Parameters
        ----------
        theta : ndarray, shape (k,)

        Returns
        -------
        values : ndarray, shape (len,)
            NaN where a formula is undefined.
        slopes : ndarray, shape (len, k)
        """
        values, slopes = np.zeros(len(self)), np.zeros((len(self), len(theta)))
        for i, dual in enumerate(self._formulas(theta)):
            values[i], slopes[i] = dual.value, dual.gradient
        for i, bound in enumerate(self.bounds, start=len(self.statements)):
            values[i] = bound.sign * (theta[bound.index] - bound.limit)
            slopes[i, bound.index] = bound.sign
        return values, slopes

    def _formulas(self, theta: FloatArray) -> list[Dual]:
        if not self.statements:
            return []
        known: dict[str, Dual] = {}
        for symbol in self.symbols:
            gradient = np.zeros(len(theta))
            if symbol.index >= 0:
                gradient[symbol.index] = 1.0
            known[symbol.name] = Dual(theta[symbol.index] if symbol.index >= 0 else symbol.value, gradient)
        for definition in self.definitions:
            known[definition.lhs] = evaluate(definition.formulas[0], known, len(theta))
        sides = [difference(s, known, len(theta)) for s in self.statements]
        return [
            Dual(SIGN[s.op] * d.value, SIGN[s.op] * d.gradient) for s, d in zip(self.statements, sides, strict=True)
        ]

    def curvature(self, theta: FloatArray, weights: FloatArray) -> FloatArray:
        """Hessian of the weighted sum of the constraint functions, by central differences of their slopes.

        Parameters
        ----------
        theta : ndarray, shape (k,)
        weights : ndarray, shape (len,)

        Returns
        -------
        ndarray, shape (k, k)
        """
        k, n = len(theta), len(self.statements)
        hessian = np.zeros((k, k))
        if not n or not weights[:n].any():
            return hessian
        for i, step in enumerate(1e-5 * np.maximum(1.0, np.abs(theta))):
            unit = np.zeros(k)
            unit[i] = step
            change = self.at(theta + unit)[1] - self.at(theta - unit)[1]
            hessian[i] = weights[:n] @ change[:n] / (2.0 * step)
        return (hessian + hessian.T) / 2.0


def _symbols(table: ParameterTable, statements: Sequence[Statement]) -> tuple[Symbol, ...]:
    """The labels that formulas use, the first row of a label speaking for it."""
    used = {node.name for s in statements for formula in s.formulas for node in labels(formula)}
    found: dict[str, Symbol] = {}
    for row in table.rows:
        for name in used.intersection((row.label, row.plabel)):
            found.setdefault(name, Symbol(name, row.free - 1, row.ustart))
    return tuple(found.values())


def _bounds(table: ParameterTable) -> tuple[Bound, ...]:
    bounds = []
    for row in table.rows:
        limits = [(1.0, row.lower, ">="), (-1.0, row.upper, "<=")]
        for sign, limit, op in ((sign, limit, op) for sign, limit, op in limits if math.isfinite(limit)):
            if row.free:
                bounds.append(Bound(row.free - 1, sign, limit, f"{row_name(row)} {op} {limit:g}", row.span))
            elif not row.exo and sign * (row.ustart - limit) < 0:
                raise ModelSpecificationError(
                    f"{row_name(row)} is fixed at {row.ustart:g}, outside its bound {limit:g}; free it with NA* or "
                    "leave the bound out",
                    row.span,
                )
    return tuple(bounds)
