"""lavaan as engine: our parameter table on columns that we centre and scale, its theta mapped back by name.

Only its optimum is used; standard errors, tests and fit measures are computed from it here, as for any engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import EngineError
from fosa_sem.fiml.engines.base import Estimates
from fosa_sem.fiml.engines.units import Units, centres
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.syntax.table import ParameterTable, Row
from r_bridge.options import lavaan_names
from r_bridge.session import LOG, call, require_r

FloatArray = NDArray[np.float64]

DEFAULTS: dict[str, Any] = {
    # Nothing of what lavaan computes beside theta is used. The optimiser's tolerances are lavaan's own: where tighter
    # ones end in "false convergence", 0.6 tries again with scaled parameters, on which its constraints go wrong.
    "se": "none", "test": "none", "baseline": False, "h1": False, "check_post": False, "check_gradient": False,
}  # fmt: skip


class LavaanEngine:
    """R's lavaan, in this process, as ``engine="lavaan"``.

    Parameters
    ----------
    **options
        lavaan's, underscores for dots, such as ``optim_method="nlminb"`` or ``control={"rel_tol": 1e-10}``; they
        come before ours (`r_bridge.engine.DEFAULTS`). What the model and the data are is not up to them.
    """

    name = "lavaan"

    def __init__(self, **options: Any) -> None:
        self.options = options

    def estimate(self, problem: FitProblem) -> Estimates:
        """Translate, fit, translate back.

        Raises
        ------
        EngineError
            For data that lavaan cannot be given, or if lavaan stops, with its message.
        OptionError
            For an option that lavaan does not have.
        MissingDependencyError
            If R, lavaan or rpy2 is missing or does not fit; the message holds the cure.
        """
        require_r()
        table = problem.table
        units = _choose_units(problem)
        names = _safe_names(table)
        moments = _moments(problem, names, units)
        options = {**DEFAULTS, **self.options, "fixed_x": False, "meanstructure": table.meanstructure}
        if moments is None:
            options |= {"missing": "ml", "group": _GROUP if table.ngroups > 1 else None}
        answer = call(
            "engine_fit", table=_partable(table, names, units), moments=moments,
            data=None if moments else _data(problem, names, units), options=lavaan_names(options),
        )  # fmt: skip
        for text in answer.warnings:
            LOG.info("R: %s", text)
        found = {_key(*row[:4]): row[4] for row in answer.value["table"][_COLUMNS].itertuples(index=False)}
        rows = table.free_rows()
        scaled = [found[_key(names[row.lhs], row.op, names.get(row.rhs, ""), row.group)] for row in rows]
        return Estimates(
            theta=units.unscaled(table, np.array(scaled, dtype=float)),
            iterations=int(answer.value["iterations"][0]),
            note=f"Estimates found by lavaan {answer.value['version'][0]}; all other numbers are computed from them.",
        )


_GROUP = "group"
_COLUMNS = ["lhs", "op", "rhs", "group", "est"]


def _key(lhs: str, op: str, rhs: str, group: int) -> tuple[str, str, str, int]:
    return (*((rhs, op, lhs) if op == "~~" and lhs > rhs else (lhs, op, rhs)), int(group))


def _safe_names(table: ParameterTable) -> dict[str, str]:
    """Names that are names in any language and locale."""
    observed = {name: f"v{i}" for i, name in enumerate(table.names.observed)}
    return observed | {name: f"f{i}" for i, name in enumerate(table.names.latent)}


# ---- units -------------------------------------------------------------------------------------------------


def _choose_units(problem: FitProblem) -> Units:
    """Centre and scale by the saturated moments: lavaan 0.6 fails where standard deviations differ ten-thousandfold.

    Parameters that are equal must be so on every scale, which one scale for all may respect; formulas are about the
    user's scale.
    """
    table = problem.table
    names = (*table.names.observed, *table.names.latent)
    if table.constraints:
        return Units(centre=dict.fromkeys(names, 0.0), scale=dict.fromkeys(names, 1.0))
    centre = centres(table, np.mean([s.mean for s in problem.saturated], axis=0))
    sd = np.sqrt(np.mean([np.diag(s.cov) for s in problem.saturated], axis=0))
    own = _with_latent(table, dict(zip(table.names.observed, sd.tolist(), strict=True)))
    common = dict.fromkeys(names, math.exp(float(np.log(sd).mean())))
    choices = [Units(centre=centre, scale=scale) for scale in (own, common, dict.fromkeys(names, 1.0))]
    return next(units for units in choices if _respects_ties(table, units))


def _with_latent(table: ParameterTable, scale: dict[str, float]) -> dict[str, float]:
    """A factor has the scale of its first indicator, unless its variance is fixed."""
    fixed = {row.lhs for row in table.rows if row.op == "~~" and row.lhs == row.rhs and not row.free}
    first: dict[str, str] = {}
    for row in table.rows:
        if row.op == "=~":
            first.setdefault(row.lhs, row.rhs)

    def of(name: str, seen: tuple[str, ...] = ()) -> float:
        if name in scale:
            return scale[name]
        if name in fixed or name not in first or name in seen:
            return 1.0
        return of(first[name], (*seen, name))

    return scale | {name: of(name) for name in table.names.latent}


def _respects_ties(table: ParameterTable, units: Units) -> bool:
    rows = table.free_rows()
    return all(math.isclose(units.factor(rows[i]), units.factor(rows[j])) for i, j in table.ties())


# ---- table and data ----------------------------------------------------------------------------------------


def _partable(table: ParameterTable, names: dict[str, str], units: Units) -> pd.DataFrame:
    """The table in lavaan's columns. Exogenous moments are ordinary fixed parameters: the maximum is the same."""
    records = [_record(row, names, units) for row in table.rows if table.meanstructure or row.op != "~1"]
    free = table.free_rows()
    relations = [(s.lhs, s.op, s.rhs) for s in table.relations]
    relations += [(free[i].plabel, "==", free[j].plabel) for i, j in table.ties()]
    records += [
        {
            "lhs": lhs, "op": op, "rhs": rhs, "user": 1, "block": 0, "group": 0, "free": 0, "ustart": math.nan,
            "exo": 0, "label": lhs if op == ":=" else "", "plabel": "", "lower": math.nan, "upper": math.nan,
        }
        for lhs, op, rhs in relations
    ]  # fmt: skip
    frame = pd.DataFrame.from_records(records)
    unused = [bound for bound in ("lower", "upper") if not np.isfinite(frame[bound]).any()]
    return frame.drop(columns=unused)


def _record(row: Row, names: dict[str, str], units: Units) -> dict[str, Any]:
    factor = units.factor(row)
    centre = units.centre[row.lhs] if row.op == "~1" else 0.0
    return {
        "lhs": names[row.lhs], "op": row.op, "rhs": names.get(row.rhs, ""), "user": 1, "block": row.group,
        "group": row.group, "free": row.free, "ustart": (row.ustart - centre) / factor, "exo": 0, "label": row.label,
        "plabel": row.plabel, "lower": row.lower / factor, "upper": row.upper / factor,
    }  # fmt: skip


def _data(problem: FitProblem, names: dict[str, str], units: Units) -> pd.DataFrame:
    """The rows of the likelihood, centred and scaled; groups under their numbers."""
    for group, patterns in zip(problem.sample.groups, problem.patterns, strict=True):
        if patterns is not group.patterns:
            raise EngineError("the lavaan engine knows no ridge added to the variances; use engine='native'")
    centre, scale = _vectors(problem, units)
    values = (np.vstack([group.values for group in problem.sample.groups]) - centre) / scale
    frame = pd.DataFrame(values, columns=[names[name] for name in problem.table.names.observed])
    if problem.table.ngroups > 1:
        sizes = [len(group.values) for group in problem.sample.groups]
        frame[_GROUP] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    return frame


def _moments(problem: FitProblem, names: dict[str, str], units: Units) -> dict[str, Any] | None:
    """Centred and scaled moments, where the likelihood is one of complete rows; None if rows have holes."""
    if any(len(p.n) > 1 or not p.observed.all() for p in problem.patterns):
        return None
    centre, scale = _vectors(problem, units)
    columns = [names[name] for name in problem.table.names.observed]
    covs = [pd.DataFrame(s.cov / np.outer(scale, scale), columns=columns) for s in problem.saturated]
    means = [(s.mean - centre) / scale for s in problem.saturated] if problem.table.meanstructure else None
    return {"cov": covs, "mean": means, "n": [float(g.patterns.n_rows) for g in problem.sample.groups]}


def _vectors(problem: FitProblem, units: Units) -> tuple[FloatArray, FloatArray]:
    names = problem.table.names.observed
    return np.array([units.centre[name] for name in names]), np.array([units.scale[name] for name in names])
