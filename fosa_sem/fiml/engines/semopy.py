"""semopy as engine: our model in its language, on columns that we centre and scale, its theta mapped back by name.

Only its optimum is used. Its standard errors ignore that values are missing, its chi-square is not a likelihood
ratio, and its success flag can be wrong; all of these are computed here instead.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import EngineError
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.engines.units import Units, centres
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import starting_values
from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]

OPTIONS = {"ftol": 1e-10, "maxiter": 2000}
"""Of scipy's SLSQP, which semopy calls; its own default stops up to 1e-2 short in log-likelihood."""


class SemopyEngine:
    """`semopy.ModelMeans` with the FIML objective (its plain ``Model`` has no mean structure)."""

    name = "semopy"

    def estimate(self, problem: FitProblem) -> Estimates:
        """Translate, fit, translate back.

        Raises
        ------
        EngineError
            For several groups, or if semopy fails.
        """
        table = problem.table
        if table.constraints:
            used = sorted({f"'{s.op}'" for s in table.constraints})
            raise EngineError(
                f"the semopy engine knows equality by labels alone; use engine='native' for {', '.join(used)}"
            )
        if problem.restrictions.bounds:
            raise EngineError("the semopy engine has no bounds (lower(), upper()); use engine='native' for them")
        if table.ngroups > 1:
            raise EngineError("the semopy engine fits one group; use engine='native' for several")
        import semopy

        start = starting_values(problem)
        units = _choose_units(problem, start)
        names = _safe_names(table)
        start = units.scaled(table, start)
        try:
            with warnings.catch_warnings(), _quiet_log():
                warnings.simplefilter("ignore")  # numerical noise of trial points; the audit judges the result
                model = semopy.ModelMeans(_description(table, names, units), cov_diag=True)
                active = _set_starts(model, problem, start)
                model.fit(_scaled_data(problem, names, units), obj="ML", solver="SLSQP", options=dict(OPTIONS))
        except (ArithmeticError, LookupError, ValueError, np.linalg.LinAlgError, SyntaxError) as error:
            raise EngineError(f"semopy failed: {type(error).__name__}: {error}") from error
        values = dict(zip(active, (float(v) for v in model.param_vals), strict=True))
        theta = np.array([values[_owner(problem, row)] for row in table.free_rows()])
        return Estimates(
            theta=units.unscaled(table, theta),
            iterations=int(model.last_result.n_it),
            note=f"Estimates found by semopy {semopy.__version__}; all other numbers are computed from them.",
        )


@contextmanager
def _quiet_log() -> Iterator[None]:
    """semopy logs its own verdict, which nobody reads, to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _set_starts(model: Any, problem: FitProblem, start: FloatArray) -> list[str]:
    """Put our starts into the model, lift its bounds on variances, return its parameters in their order.

    Without a start semopy makes its own, which does not end for a factor whose loadings are all free.
    """
    ours = {_owner(problem, row): start[row.free - 1] for row in problem.table.free_rows()}
    active = [name for name, parameter in model.parameters.items() if parameter.active]
    if set(active) != set(ours):
        raise EngineError("semopy reads the model differently: it cannot express it; use engine='native'")
    for name in active:
        # lavaan's default has no bounds either: a negative variance is a finding, not something to hide.
        model.parameters[name].bound = (None, None)
        model.parameters[name].start = float(ours[name])
    return active


def _owner(problem: FitProblem, row: Row) -> str:
    """semopy's name of a free parameter; parameters tied by a label share it."""
    tied = {other: first for first, other in problem.table.ties()}
    return f"t{tied.get(row.free - 1, row.free - 1)}"


def _choose_units(problem: FitProblem, start: FloatArray) -> Units:
    """Centre and scale by the saturated moments, latent variables by their start, as far as constraints let us.

    Ties hold on the user's scale only if all variables share one scale. semopy rejects every point at which its
    objective, tr + log det, is negative: the common factor keeps it positive.
    """
    table, moments = problem.table, problem.saturated[0]
    names = table.names
    sd = np.sqrt(np.diag(moments.cov))
    if table.ties():
        sd = np.full_like(sd, math.exp(float(np.log(sd).mean())))
    logdet = float(np.linalg.slogdet(moments.cov / np.outer(sd, sd))[1])
    n_y = len(names.observed) - (len(names.observed_x) if table.fixed_x else 0)
    sd = sd / (1.5 * math.exp(max(0.0, -logdet / (2.0 * n_y))))
    latent_sd = dict.fromkeys(names.latent, float(sd[0]) if table.ties() else 1.0)
    if not table.ties():
        free = [r for r in table.free_rows() if r.op == "~~" and r.lhs == r.rhs and r.lhs in names.latent]
        latent_sd |= {r.lhs: math.sqrt(start[r.free - 1]) for r in free if start[r.free - 1] > 0}
    units = Units(
        centre=centres(table, moments.mean),
        scale={**dict(zip(names.observed, sd.tolist(), strict=True)), **latent_sd},
    )
    rows = table.free_rows()
    if any(not math.isclose(units.factor(rows[i]), units.factor(rows[j])) for i, j in table.ties()):
        raise EngineError("the semopy engine cannot tie parameters of different kinds by a label; use engine='native'")
    return units


def _safe_names(table: ParameterTable) -> dict[str, str]:
    """Names that semopy's grammar cannot misread."""
    observed = {name: f"v{i}" for i, name in enumerate(table.names.observed)}
    return observed | {name: f"f{i}" for i, name in enumerate(table.names.latent)}


def _description(table: ParameterTable, names: dict[str, str], units: Units) -> str:
    """Every parameter written out, so that semopy adds none of its own."""
    tied = {other: first for first, other in table.ties()}
    lines = []
    for row in table.rows:
        if row.exo or (row.op == "~1" and row.lhs in table.names.latent and not row.free):
            continue  # conditioned on, or a latent mean of 0, which semopy has by itself
        if row.free:
            multiplier = f"t{tied.get(row.free - 1, row.free - 1)}"
        else:
            value = row.ustart - (units.centre[row.lhs] if row.op == "~1" else 0.0)
            multiplier = np.format_float_positional(value / units.factor(row), trim="0")
        left, op, right = _relation(row, names)
        lines.append(f"{left} {op} {multiplier}*{right}")
    if table.names.latent:
        lines.append("DEFINE(latent) " + " ".join(names[name] for name in table.names.latent))
    written = {row.lhs for row in table.rows if row.op == "~~" and row.lhs == row.rhs}
    lines += [f"{safe} ~~ 0.0*{safe}" for name, safe in names.items() if name not in written]
    return "\n".join(lines)


def _relation(row: Row, names: dict[str, str]) -> tuple[str, str, str]:
    """A loading is written as a regression on a declared latent variable: ``=~`` would fix a loading unasked."""
    if row.op == "~1":
        return names[row.lhs], "~", "1"
    if row.op == "=~":
        return names[row.rhs], "~", names[row.lhs]
    return names[row.lhs], row.op, names[row.rhs]


def _scaled_data(problem: FitProblem, names: dict[str, str], units: Units) -> pd.DataFrame:
    """The rows that say something about theta: not those in which only fixed exogenous variables are observed."""
    table, values = problem.table, problem.sample.groups[0].values
    y = [j for j, n in enumerate(table.names.observed) if not (table.fixed_x and n in table.names.observed_x)]
    values = values[~np.isnan(values[:, y]).all(axis=1)]
    columns = enumerate(table.names.observed)
    return pd.DataFrame({names[n]: (values[:, j] - units.centre[n]) / units.scale[n] for j, n in columns})
