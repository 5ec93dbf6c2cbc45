"""A fitted model with parameters added at their fixed values: what score tests look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import IdentificationError, OptionError
from fosa_sem.fiml.information import InformationKind, moment_jacobian
from fosa_sem.fiml.normal import evaluate
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.options import InformationOptions
from fosa_sem.model.compile import compile_ram
from fosa_sem.model.scaling import inverse_on
from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedModel:
    """Score and information where the fitted model ended, with further parameters freed.

    Attributes
    ----------
    rows : tuple of Row
        The table's, then the added ones; all are free.
    theta : ndarray, shape (k + e,)
        The k estimates, then the values at which the e others are held.
    score : ndarray, shape (k + e,)
        Slope of the log-likelihood.
    information : ndarray, shape (k + e, k + e)
    basis : ndarray, shape (k, r)
        Directions of the k estimates that the constraints leave open.
    """

    rows: tuple[Row, ...]
    theta: FloatArray
    score: FloatArray
    information: FloatArray
    basis: FloatArray

    @property
    def n_estimated(self) -> int:
        """k."""
        return len(self.basis)

    def left_over(self) -> FloatArray:
        """Information about the added parameters that the estimated ones do not explain, shape (e, e).

        Raises
        ------
        IdentificationError
            If the information about the model's own parameters is singular.
        """
        k = self.n_estimated
        inverse = inverse_on(self.basis, self.information[:k, :k])
        if inverse is None:
            raise IdentificationError("score tests need a regular information matrix, which this model does not have")
        across = self.information[k:, :k]
        return np.asarray(self.information[k:, k:] - across @ inverse @ across.T)


def check_tests_given(fit: FimlFit) -> None:
    """Refuse tests of a fit to data with a ridge.

    Raises
    ------
    OptionError
    """
    if fit.options.ridge:
        raise OptionError("columns are exactly dependent and a ridge was added: tests of this fit are withheld")


def extended_model(fit: FimlFit, added: Sequence[Row], kind: InformationKind = "expected") -> ExtendedModel:
    """Free all fixed parameters of a model, and add others at 0.

    Parameters
    ----------
    fit : FimlFit
    added : sequence of Row
        Not in the table.
    kind : {"expected", "observed", "first.order"}
        Of the information; the observed one is that of the likelihood's Hessian.

    Returns
    -------
    ExtendedModel
    """
    check_tests_given(fit)
    table = _all_free(fit.table, added)
    values = np.concatenate([fit.estimates().astype(float), np.zeros(len(added))])
    theta = np.empty(table.n_free)
    theta[[row.free - 1 for row in table.rows]] = values
    maps = compile_ram(table, [s.mean for s in fit.problem.saturated])
    options = InformationOptions(kind=kind, observed="hessian", moments=fit.resolved.information.moments)
    weights = fit.saturated.weights(options, fit.tested.moments)
    score, information = np.zeros(len(theta)), np.zeros((len(theta),) * 2)
    for ram, patterns, moments, weight in zip(maps, fit.problem.patterns, fit.tested.moments, weights, strict=True):
        slopes, gradient = moment_jacobian(ram, theta), evaluate(patterns, *moments).moment_gradient()
        score += ram.pull_back(theta, *gradient)
        information += slopes.T @ weight @ slopes
        if kind == "observed":
            information -= ram.curvature(theta, *gradient)
    # lavaan takes N also where the likelihood counts N - 1 rows (wishart)
    scale = fit.sample.n_used / sum(p.weight for p in fit.problem.patterns)
    return ExtendedModel(
        rows=table.rows, theta=theta, score=scale * score, information=scale * information, basis=fit.tested.basis
    )


def _all_free(table: ParameterTable, added: Sequence[Row]) -> ParameterTable:
    """The table with every row free; its own parameters keep their places in theta."""
    place, rows = table.n_free, []
    for row in (*table.rows, *added):
        place += not row.free
        rows.append(replace(row, free=row.free or place, ustart=math.nan))
    return replace(table, rows=tuple(rows), relations=())


def missing_rows(table: ParameterTable) -> list[Row]:
    """Parameters that the table's operators could have and that it lacks, in lavaan's order (``lav_partable_full``)."""
    known = {cell(row) for row in table.rows}
    found = []
    for group in range(1, table.ngroups + 1):
        rows = (added_row(*place, group) for place in _places(table))
        found += [row for row in rows if cell(row) not in known]
    return found


def added_row(lhs: str, op: str, rhs: str, group: int) -> Row:
    """A parameter outside the model."""
    return Row(
        lhs=lhs, op=op, rhs=rhs, user=False, group=group, free=0, exo=False, ustart=0.0, lower=-math.inf,
        upper=math.inf, label="", plabel="", span=None,
    )  # fmt: skip


def cell(row: Row) -> tuple[str, ...]:
    """Where a parameter acts, whichever way it is written: ``f =~ x`` and ``x ~ f`` are one slope."""
    group = str(row.group)
    if row.op == "~~":
        return (group, "~~", *sorted((row.lhs, row.rhs)))
    if row.op == "~1":
        return (group, "~1", row.lhs)
    return (group, "~", row.rhs, row.lhs) if row.op == "=~" else (group, "~", row.lhs, row.rhs)


def _places(table: ParameterTable) -> list[tuple[str, str, str]]:
    names = table.names
    own = [row for row in table.rows if row.group == 1]
    indicators = {row.rhs for row in own if row.op == "=~"}
    outcomes = [row.lhs for row in own if row.op == "~"]
    in_equations = list(dict.fromkeys([*outcomes, *(row.rhs for row in own if row.op in ("~", "<~"))]))
    explained = [n for n in names.observed if n not in names.observed_x]
    loadings = [(f, "=~", n) for f in names.latent for n in explained if n not in in_equations]
    pairs = [(a, b) for a, b in combinations_with_replacement(explained, 2) if {a, b} <= indicators]
    pairs += combinations_with_replacement(names.observed_x, 2)
    pairs += combinations_with_replacement(names.latent, 2)
    slopes = [
        (a, "~", b) for a in in_equations for b in in_equations
        if a != b and not (a in indicators and a in names.observed and b in names.latent)
    ]  # fmt: skip
    means = [(n, "~1", "") for n in (*names.observed, *names.latent)] if table.meanstructure else []
    return [*loadings, *((a, "~~", b) for a, b in pairs), *slopes, *means]
