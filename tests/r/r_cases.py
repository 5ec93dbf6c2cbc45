"""Models on our bundled tables that lavaan and we fit, and the store of what lavaan found."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import fosa_sem
from fosa_sem import SemResults, datasets
from fosa_sem.errors import AdmissibilityWarning, DroppedRowsWarning
from r_bridge.reference import LavaanReference, lavaan_payload, read_reference

REFERENCES = Path(__file__).parent / "references"

TIGHT: dict[str, Any] = {
    "missing": "ml",
    # lavaan 0.6.14 stops the EM of the saturated model at an absolute change of 1e-5, whatever the units.
    "em_h1_iter_max": 50000,
    "em_h1_tol": 1e-10,
    # Beyond the default 1e-10 nlminb may end in "false convergence" at the maximum itself, which lavaan takes
    # for a failure unless told otherwise; whether it is the maximum is judged by the comparison.
    "control": {"rel_tol": 1e-13, "iter_max": 20000, "eval_max": 40000},
    "optim_force_converged": True,
}


WITHIN: dict[str, Any] = {
    # lavaan's augmented Lagrangian ends at a violation of 1e-6, which a multiplier turns into as much log-likelihood.
    "control": TIGHT["control"] | {"control_outer": {"tol": 1e-9}},
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A model, its table and the options that both sides get."""

    name: str
    func: str
    model: str
    table: Callable[[], pd.DataFrame]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return REFERENCES / f"{self.name}.json"

    def asked(self) -> dict[str, Any]:
        """What lavaan was asked; stored beside its answer, so that neither can change alone."""
        return {
            "func": self.func,
            "model": self.model,
            "options": TIGHT | self.options,
            "table_sha256": hashlib.sha256(self.table().to_csv(index=False).encode()).hexdigest(),
        }

    def answer(self) -> dict[str, Any]:
        """Ask lavaan now."""
        return lavaan_payload(self.model, self.table(), self.func, **(TIGHT | self.options))

    def stored(self) -> dict[str, Any]:
        return json.loads(self.file.read_text(encoding="utf-8"))

    def reference(self, answer: dict[str, Any]) -> LavaanReference:
        return read_reference(answer, self.table().index)

    def ours(self) -> SemResults:
        with warnings.catch_warnings():
            # Both sides drop rows without a value of an exogenous variable; the counts are compared.
            warnings.simplefilter("ignore", DroppedRowsWarning)
            # Of an estimate on the boundary of its constraints, which lavaan does not mention.
            warnings.simplefilter("ignore", AdmissibilityWarning)
            options = {name: value for name, value in self.options.items() if name != "control"}
            return getattr(fosa_sem, self.func)(self.model, self.table(), **options)


def with_holes(table: pd.DataFrame, columns: list[str], rate: float, seed: int) -> pd.DataFrame:
    """A copy in which each cell of the columns is missing completely at random."""
    holes = np.random.Generator(np.random.PCG64(seed)).random((len(table), len(columns))) < rate
    return table.assign(**table[columns].astype(float).mask(holes).to_dict("series"))


def pupils() -> pd.DataFrame:
    return with_holes(datasets.load_holzinger_swineford(), [f"x{i}" for i in range(1, 10)], 0.15, seed=1939)


def countries() -> pd.DataFrame:
    names = [*(f"y{i}" for i in range(1, 9)), "x1", "x2", "x3"]
    return with_holes(datasets.load_political_democracy(), names, 0.10, seed=1989)


def adults() -> pd.DataFrame:
    """Natural holes; a person in four, so that lavaan needs seconds rather than minutes."""
    return datasets.load_nhanes().iloc[::4]


THREE_FACTORS = """
visual  =~ x1 + x2 + x3
textual =~ x4 + x5 + x6
speed   =~ x7 + x8 + x9
"""
LABELLED_FACTORS = """
visual  =~ x1 + a*x2 + b*x3
textual =~ x4 + c*x5 + d*x6
speed   =~ x7 + x8 + x9
"""
PATHS = """
systolic1 ~ age + bmi + female
hba1c     ~ age + bmi
systolic1 ~~ hba1c
"""

CASES = (
    Case(name="pupils_cfa", func="cfa", model=THREE_FACTORS, table=pupils),
    Case(name="pupils_std_lv", func="cfa", model=THREE_FACTORS, table=pupils, options={"std_lv": True}),
    Case(name="pupils_two_schools", func="cfa", model=THREE_FACTORS, table=pupils, options={"group": "school"}),
    Case(
        name="countries_labels",
        func="sem",
        model="""
            ind60 =~ x1 + x2 + x3
            dem60 =~ y1 + a*y2 + b*y3 + c*y4
            dem65 =~ y5 + a*y6 + b*y7 + c*y8
            dem60 ~ ind60
            dem65 ~ ind60 + dem60
            y1 ~~ y5
            y2 ~~ y4 + y6
            y3 ~~ y7
            y4 ~~ y8
            y6 ~~ y8
        """,
        table=countries,
    ),
    Case(name="adults_path_fixed_x", func="sem", model=PATHS, table=adults),
    Case(name="adults_path_free_x", func="sem", model=PATHS, table=adults, options={"fixed_x": False}),
    Case(
        name="adults_mimic",
        func="sem",
        model="""
            pressure =~ systolic1 + systolic2 + systolic3
            pressure ~ age + bmi + female
        """,
        table=adults,
    ),
    Case(
        name="adults_growth",
        func="growth",
        model="""
            level =~ 1*diastolic1 + 1*diastolic2 + 1*diastolic3
            trend =~ 0*diastolic1 + 1*diastolic2 + 2*diastolic3
            level ~ age
            trend ~ age
        """,
        table=adults,
    ),
    Case(
        name="adults_mediation",
        func="sem",
        model="""
            waist  ~ a*income_ratio + age
            hba1c  ~ b*waist + c*income_ratio + age
            indirect := a*b
            total    := c + a*b
        """,
        table=adults,
        options={"fixed_x": False},
    ),
    Case(
        name="pupils_curved_equality",
        func="cfa",
        model=LABELLED_FACTORS + "a*b == 0.5\nr := c/d\nr == a",
        table=pupils,
        options=WITHIN,
    ),
    Case(
        name="pupils_inequalities",
        func="cfa",
        model=LABELLED_FACTORS
        + """
            x7 ~~ v7*x7
            x8 ~~ v8*x8
            b > a
            c < 3*d
            v7 > 0.01
            both := v7 + v8
            both > 1.5
        """,
        table=pupils,
        options=WITHIN,
    ),
    Case(
        name="pupils_bounds",
        func="cfa",
        model="""
            visual  =~ x1 + upper(0.5)*x2 + lower(0.1)*x3
            textual =~ x4 + lower(1.2)*x5 + lower(0)*x6
            speed   =~ x7 + x8 + x9
            x1 ~~ lower(0)*x1 + upper(5)*x1
            x9 ~~ lower(0.7)*x9
        """,
        table=pupils,
        options=WITHIN,
    ),
    Case(
        name="pupils_two_schools_constraints",
        func="cfa",
        model="""
            visual  =~ x1 + c(a1, a2)*x2 + c(b1, b2)*x3
            textual =~ x4 + c(e, e)*x5 + c(d1, d2)*x6
            a1 > a2 + 0.1
            b1*b2 == 0.6
            d1 < d2
        """,
        table=pupils,
        options=WITHIN | {"group": "school"},
    ),
)
