"""Tests of constraints at one fit: Wald tests of new ones, score tests of those in force or of parameters left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg

from fosa_sem.errors import InferenceWarning, ModelWarning, OptionError
from fosa_sem.fiml.information import InformationKind
from fosa_sem.inference.extension import (
    added_row,
    cell,
    check_tests_given,
    extended_model,
)
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.indices import upper_tail
from fosa_sem.inference.modification import add_standardized_changes
from fosa_sem.model.labels import label_values, row_jacobian
from fosa_sem.model.scaling import condition
from fosa_sem.syntax.expressions import Dual, evaluate
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.references import check_labels
from fosa_sem.syntax.statements import RELATIONS, Statement
from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]

REDUNDANT = 1e-10
"""Smallest over largest eigenvalue of the covariance matrix of constraints, on the correlation scale, to be regular."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaldTest:
    """A Wald test.

    Attributes
    ----------
    stat : float
    df : int
    pvalue : float
    se : str
        Kind of the standard errors that it rests on.
    """

    stat: float
    df: int
    pvalue: float
    se: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTest:
    """A score (Lagrange multiplier) test.

    Attributes
    ----------
    stat : float
        Of all constraints together.
    df : int
    pvalue : float
    univariate : DataFrame
        lhs op rhs x2 df pvalue: each constraint alone; with ``add`` and ``epc`` also epc.
    cumulative : DataFrame or None
        The constraints released one after the other, the largest first.
    epc : DataFrame or None
        lhs op rhs group est epc epv sepc_lv sepc_all sepc_nox: expected changes of all parameters.
    """

    stat: float
    df: int
    pvalue: float
    univariate: pd.DataFrame
    cumulative: pd.DataFrame | None = None
    epc: pd.DataFrame | None = None


def wald_test(fit: FimlFit, constraints: str) -> WaldTest:
    """Whether constraints hold, judged at a fit without them (lavaan: ``lavTestWald()``).

    Parameters
    ----------
    fit : FimlFit
    constraints : str
        ``a == b``, ``c == 0`` ... on the model's labels, one per line or ``;``; ``:=`` may name parts of them.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        With the place, also for labels that do not exist.
    OptionError
        For other statements, constraints that hold whatever the data say or that repeat each other, and fits without
        standard errors.

    Notes
    -----
    r' (R V R')^-1 r with the constraints' values r, their slopes R and the covariance matrix V of the estimates,
    robust if the fit's is.
    """
    check_tests_given(fit)
    if fit.vcov is None:
        raise OptionError("this fit has no standard errors, which a Wald test needs")
    if not isinstance(constraints, str) or not constraints.strip():
        raise OptionError("constraints must be a string such as 'a == b; c == 0'")
    statements = parse_model(constraints)
    for statement in statements:
        if statement.op not in ("==", ":="):
            raise OptionError(f"constraints must be equalities ('=='), got '{statement.lhs} {statement.op} ...'")
    tested = [s for s in statements if s.op == "=="]
    if not tested:
        raise OptionError("constraints holds no equality ('==')")
    table = replace(fit.table, relations=(*fit.table.definitions, *statements))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)  # said when the model was fitted
        check_labels(table)
    differences = constraint_differences(table, fit.estimates().astype(float), tested)
    value = np.array([d.value for d in differences])
    slopes = np.array([d.gradient for d in differences])
    spread = slopes @ fit.vcov @ slopes.T
    if not np.isfinite(value).all() or not np.isfinite(spread).all():
        raise OptionError("a constraint is not defined at the estimates")
    if condition(spread) < REDUNDANT:
        raise OptionError("the constraints repeat each other, or one holds already whatever the data say")
    stat = float(value @ np.linalg.solve(spread, value))
    return WaldTest(stat=stat, df=len(tested), pvalue=upper_tail(stat, len(tested)), se=fit.resolved.se)


def constraint_differences(table: ParameterTable, values: FloatArray, statements: Sequence[Statement]) -> list[Dual]:
    """Left side less right side of constraints, with gradients with respect to theta.

    Parameters
    ----------
    table : ParameterTable
    values : ndarray, shape (rows,)
    statements : sequence of Statement
    """
    known = label_values(table, values, row_jacobian(table))
    differences = []
    for statement in statements:
        left, right = (evaluate(formula, known, table.n_free) for formula in statement.formulas)
        differences.append(Dual(left.value - right.value, left.gradient - right.gradient))
    return differences


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tested:
    """Constraints beside the score and information of their parameters.

    Attributes
    ----------
    held : ndarray, shape (h, k)
        Slopes of constraints that stay in force throughout.
    released : ndarray, shape (r, k)
    names : DataFrame
        lhs op rhs of the released ones.
    score, information : ndarray, shape (k,), (k, k)
    """

    held: FloatArray
    released: FloatArray
    names: pd.DataFrame
    score: FloatArray
    information: FloatArray

    def change(self, released: Sequence[int]) -> FloatArray:
        """Newton step of the parameters if only these constraints are released, shape (k,)."""
        kept = np.vstack([self.held, np.delete(self.released, released, axis=0)])
        diagonal = np.diag(self.information)
        unit = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        basis = linalg.null_space(kept * unit) if len(kept) else np.eye(len(unit))
        reduced = basis.T @ (self.information * np.outer(unit, unit)) @ basis
        # Constraints may be all that identifies a parameter: along that direction the score is 0.
        inverse = linalg.pinvh(reduced, rtol=1e-10)
        return np.asarray(unit * (basis @ (inverse @ (basis.T @ (unit * self.score)))))

    def stat(self, released: Sequence[int]) -> float:
        return float(self.score @ self.change(released))


def score_test(
    fit: FimlFit, *, add: str | None = None, release: Sequence[int] | None = None, cumulative: bool = False,
    epc: bool = False, information: InformationKind = "expected",
) -> ScoreTest:  # fmt: skip
    """Score tests of equality constraints, or of parameters left out (lavaan: ``lavTestScore()``).

    Parameters
    ----------
    fit : FimlFit
    add : str, optional
        Parameters that the model lacks or fixes, in the model's language; all constraints stay in force.
    release : sequence of int, optional
        Numbers, from 1, of the equality constraints to test; all by default. Their order is that of the univariate
        table.
    cumulative : bool, default False
        Also release the constraints one after the other.
    epc : bool, default False
        Also give the expected changes of all parameters.
    information : {"expected", "observed", "first.order"}, default "expected"

    Raises
    ------
    OptionError
        Without equality constraints (or ``add``), for numbers out of range, with inequality constraints, and for
        parameters that are free already.
    ModelSyntaxError, ModelSpecificationError
        For ``add``.

    Warns
    -----
    InferenceWarning
        With robust standard errors: this test is not robust. With an estimate on a bound: the test does not hold it
        (as in lavaan), and so counts what it costs among the costs of the constraints.
    """
    if any(s.op in ("<", ">") for s in fit.table.constraints):
        raise OptionError("score tests are not available with inequality constraints")
    if add is not None and release is not None:
        raise OptionError("add and release cannot be given together")
    if fit.resolved.se != "standard":
        warnings.warn("the score test is the ordinary one, not robust", InferenceWarning, stacklevel=3)
    if fit.audit.active:
        bounds = "; ".join(fit.audit.active)
        warnings.warn(f"the score test also counts what the bound costs: {bounds}", InferenceWarning, stacklevel=3)
    rows, tested = _of_added(fit, add, information) if add is not None else _of_constraints(fit, release, information)
    every = range(len(tested.released))
    change = tested.change(every)
    stat, df = float(tested.score @ change), len(tested.released)
    univariate = _table(tested, [[r] for r in every])
    if add is not None and epc:
        univariate["epc"] = [tested.change([r])[len(fit.theta) + r] for r in every]
    ranked = univariate["x2"].sort_values(ascending=False, kind="stable").index
    return ScoreTest(
        stat=stat, df=df, pvalue=upper_tail(stat, df), univariate=univariate,
        cumulative=_table(tested, [list(ranked[: i + 1]) for i in every]) if cumulative else None,
        epc=_changes(fit, rows, change) if epc else None,
    )  # fmt: skip


def _table(tested: _Tested, released: Sequence[Sequence[int]]) -> pd.DataFrame:
    frame = tested.names.iloc[[r[-1] for r in released]].reset_index(drop=True)
    frame["x2"] = [tested.stat(r) for r in released]
    frame["df"] = [len(r) for r in released]
    frame["pvalue"] = [upper_tail(x, d) for x, d in zip(frame["x2"], frame["df"], strict=True)]
    return frame


def _constraint_rows(fit: FimlFit) -> tuple[FloatArray, pd.DataFrame]:
    """Slopes and names of the equality constraints: those written, then those of shared labels."""
    k, free = len(fit.theta), fit.table.free_rows()
    written = fit.table.constraints
    differences = constraint_differences(fit.table, fit.estimates().astype(float), written)
    slopes = [d.gradient for d in differences] + [np.eye(k)[i] - np.eye(k)[j] for i, j in fit.table.ties()]
    names = [(s.lhs, s.op, s.rhs) for s in written] + [
        (free[i].plabel, "==", free[j].plabel) for i, j in fit.table.ties()
    ]
    return np.array(slopes).reshape(-1, k), pd.DataFrame(names, columns=["lhs", "op", "rhs"])


def _of_constraints(
    fit: FimlFit, release: Sequence[int] | None, information: InformationKind
) -> tuple[Sequence[Row], _Tested]:
    slopes, names = _constraint_rows(fit)
    if not len(slopes):
        raise OptionError("the model has no equality constraints; name parameters to be added in add")
    chosen = list(range(1, len(slopes) + 1)) if release is None else list(release)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(1, len(slopes) + 1)):
        raise OptionError(f"release must hold different numbers from 1 to {len(slopes)}, got {release!r}")
    index = [number - 1 for number in chosen]
    model, k = extended_model(fit, (), information), len(fit.theta)
    tested = _Tested(
        held=np.delete(slopes, index, axis=0), released=slopes[index], names=names.iloc[index].reset_index(drop=True),
        score=model.score[:k], information=model.information[:k, :k],
    )  # fmt: skip
    return fit.table.rows, tested


def _of_added(fit: FimlFit, add: str, information: InformationKind) -> tuple[Sequence[Row], _Tested]:
    known = {cell(row): row for row in fit.table.rows}
    variables = {*fit.table.names.observed, *fit.table.names.latent}
    statements = parse_model(add)
    for s in statements:
        if s.op not in (*RELATIONS, "~1") or not {s.lhs, s.rhs} <= {*variables, ""}:
            raise OptionError(f"add must hold relations of the model's variables, got '{s.lhs} {s.op} {s.rhs}'")
    added: list[Row] = []
    for group in range(1, fit.table.ngroups + 1):
        for s in statements:
            row = added_row(s.lhs, s.op, s.rhs, group)
            row = known.get(cell(row), row)
            if row.free or row.exo:
                raise OptionError(f"'{row.lhs} {row.op} {row.rhs}' is a parameter of the model already")
            added.append(row)
    model = extended_model(fit, [row for row in added if cell(row) not in known], information)
    place = {cell(row): row.free - 1 for row in model.rows}
    k = len(fit.theta)
    chosen = [*range(k), *(place[cell(row)] for row in added)]
    held, _ = _constraint_rows(fit)
    tested = _Tested(
        held=np.hstack([held, np.zeros((len(held), len(added)))]), released=np.eye(k + len(added))[k:],
        names=pd.DataFrame(
            [
                (f"{r.lhs}{r.op}{r.rhs}" + (f".g{r.group}" if r.group > 1 else ""), "==", f"{r.ustart:g}")
                for r in added
            ],
            columns=["lhs", "op", "rhs"],
        ),
        score=model.score[chosen], information=model.information[np.ix_(chosen, chosen)],
    )  # fmt: skip
    others = [row for row in fit.table.rows if cell(row) not in {cell(a) for a in added}]
    numbered = [replace(row, free=k + 1 + i) for i, row in enumerate(added)]
    return [*others, *numbered], tested


def _changes(fit: FimlFit, rows: Sequence[Row], change: FloatArray) -> pd.DataFrame:
    """Expected changes of the parameters, and the values that they lead to."""
    k = len(fit.theta)
    theta = np.concatenate([fit.theta, np.zeros(len(change) - k)])
    frame = pd.DataFrame([(r.lhs, r.op, r.rhs, r.group) for r in rows], columns=["lhs", "op", "rhs", "group"])
    frame["est"] = [r.ustart if not r.free or (r.free > k and r.plabel) else theta[r.free - 1] for r in rows]
    frame["epc"] = [change[r.free - 1] if r.free else np.nan for r in rows]
    frame["epv"] = frame["est"] + frame["epc"]
    add_standardized_changes(frame, fit, rows, frame["est"].to_numpy())
    return frame
