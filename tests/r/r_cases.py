"""Models on our bundled tables that lavaan and we fit, and the store of what lavaan found."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import fosa_sem
from fosa_sem import SemResults, datasets
from fosa_sem.errors import AdmissibilityWarning, DroppedRowsWarning
from r_bridge.comparison import question
from r_bridge.lavaan import PER_ROW, LavaanFit, read_fit
from r_bridge.session import call

REFERENCES = Path(__file__).parent / "references"
ROWS_KEPT = 20
"""Rows per group whose factor scores and filled cells are stored: enough to meet several patterns."""
KNOWN_OPTIONS = (
    "missing", "estimator", "likelihood", "information", "observed.information", "h1.information", "se", "test",
    "group", "group.equal", "group.partial", "group.label", "meanstructure", "fixed.x", "std.lv", "effect.coding",
    "em.h1.iter.max", "em.h1.tol", "control",
)  # fmt: skip
"""lavaan's names of the options used here, so that a question can be put together without R."""


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

    def asked(self, results: SemResults) -> dict[str, Any]:
        """What lavaan is asked, by its digest; stored beside its answer, so that neither can change alone."""
        asked = question(results, KNOWN_OPTIONS)
        plain = {name: asked[name] for name in ("model", "func", "tight")}
        # The tolerance of EM follows the data; to all digits it would follow the last one of a sum.
        options = {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in asked["options"].items()}
        table = hashlib.sha256(asked["data"].to_csv(index=False).encode()).hexdigest()
        return json.loads(json.dumps({**plain, "options": options, "table_sha256": table}))

    def answer(self, results: SemResults) -> LavaanFit:
        """Ask lavaan now."""
        answer = call("exact_tables", **question(results))
        return read_fit(answer.value, results.data.index, answer.warnings)

    def stored(self) -> dict[str, Any]:
        return json.loads(self.file.read_text(encoding="utf-8"))

    def ours(self) -> SemResults:
        with warnings.catch_warnings():
            # Both sides drop rows without a value of an exogenous variable; the counts are compared.
            warnings.simplefilter("ignore", DroppedRowsWarning)
            # Of an estimate on the boundary of its constraints, which lavaan does not mention.
            warnings.simplefilter("ignore", AdmissibilityWarning)
            return getattr(fosa_sem, self.func)(self.model, self.table(), **self.options)


# ---- the store ---------------------------------------------------------------------------------------------


def shortened(fit: LavaanFit) -> LavaanFit:
    """With the first rows of each group only, and no more digits of the largest table than are of use."""
    keep = fit["cases"].groupby("group", sort=False).cumcount().to_numpy() < ROWS_KEPT
    tables = {name: table[keep] if name in PER_ROW else table for name, table in fit.tables.items()}
    if "vcov" in tables:  # by far the largest, of which 3 digits are compared
        tables["vcov"] = tables["vcov"].map(lambda value: float(f"{value:.8g}"))
    return replace(fit, tables=tables)


def to_json(fit: LavaanFit) -> dict[str, Any]:
    """Plain values; None for NA."""
    plain = {name: table.reset_index() for name, table in fit.tables.items()}
    tables = {
        name: {"columns": list(table.columns), "data": list(table.itertuples(index=False, name=None))}
        for name, table in plain.items()
    }
    levels = {name: table.index.nlevels for name, table in fit.tables.items()}
    return json.loads(
        json.dumps({
            "versions": dict(fit.versions), "converged": fit.converged, "iterations": fit.iterations,
            "group_labels": fit.group_labels, "warnings": fit.warnings, "turned": fit.turned, "levels": levels,
            "tables": tables,
        }, default=lambda value: None if value is pd.NA else str(value)),
        parse_constant=lambda constant: None if constant == "NaN" else float(constant),
    )  # fmt: skip


def from_json(content: dict[str, Any]) -> LavaanFit:
    """The record of `to_json`."""
    tables = {}
    for name, table in content["tables"].items():
        rows = [[math.nan if value is None else value for value in row] for row in table["data"]]
        frame = pd.DataFrame(rows, columns=table["columns"])
        index = list(frame.columns[: content["levels"][name]])
        tables[name] = frame.set_index(index).rename_axis(index=[None] * len(index))
    return LavaanFit(
        versions=content["versions"], converged=content["converged"], iterations=content["iterations"],
        group_labels=tuple(content["group_labels"]), warnings=tuple(content["warnings"]),
        turned=tuple(content["turned"]), tables=tables,
    )  # fmt: skip


# ---- tables ------------------------------------------------------------------------------------------------


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
        options={"group": "school"},
    ),
)
