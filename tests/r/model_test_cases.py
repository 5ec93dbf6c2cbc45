"""What lavaan and semTools are asked about tests, reliability and bootstrap; run as a script, it stores their answers.

``python tests/r/model_test_cases.py`` needs R with lavaan, semTools and jsonlite.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from r_cases import PATHS, THREE_FACTORS, Case, adults, countries, pupils

from fosa_sem import datasets
from r_bridge.runtime import find_rscript

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

HERE = Path(__file__).parent
STORE = HERE / "model_test_references.json"


def complete_pupils() -> pd.DataFrame:
    return datasets.load_holzinger_swineford()


def few_adults() -> pd.DataFrame:
    return adults().iloc[:250]


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    table.__name__: table for table in (pupils, countries, adults, complete_pupils, few_adults)
}

LABELS = "visual =~ x1 + a*x2 + b*x3\ntextual =~ x4 + c*x5 + d*x6\nvisual ~~ r*textual\nproduct := a*b"
EQUAL = LABELS + "\na + b == 1.5\nc == d"
DEMOCRACY = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + a*y2 + b*y3 + c*y4
dem65 =~ y5 + a*y6 + b*y7 + c*y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
y1 ~~ y5
"""
ORTHOGONAL = THREE_FACTORS + "visual ~~ 0*textual + 0*speed\ntextual ~~ 0*speed"
APART = PATHS.replace("~~ hba1c", "~~ 0*hba1c")
PRESSURE = "pressure =~ systolic1 + systolic2 + systolic3\npressure ~ age + bmi + female"
CHAIN = "systolic1 ~ age + bmi\nhba1c ~ systolic1\nsystolic1 ~~ 0*hba1c"
SMALL = "dem60 =~ y1 + a*y2 + b*y3 + y4\nproduct := a*b\nsum := a + b"
SCHOOLS = {"group": "school"}
LISTWISE = {"missing": "listwise"}
WISHART = LISTWISE | {"likelihood": "wishart"}


def model(name: str, text: str, table: str, func: str = "cfa", **options: Any) -> Case:
    return Case(name=name, func=func, model=text, table=cache(TABLES[table]), options=options)


FITS = {
    case.name: case
    for case in (
        model("cfa", THREE_FACTORS, "pupils"),
        model("cfa_std", THREE_FACTORS, "pupils", std_lv=True),
        model("cfa_mlr", THREE_FACTORS, "pupils", estimator="MLR"),
        model("cfa_expected", THREE_FACTORS, "pupils", information="expected"),
        model("orthogonal", ORTHOGONAL, "pupils"),
        model("orthogonal_mlr", ORTHOGONAL, "pupils", estimator="MLR"),
        model("error", THREE_FACTORS + "x4 ~~ x9", "pupils"),
        model("error_mlr", THREE_FACTORS + "x4 ~~ x9", "pupils", estimator="MLR"),
        model("cross", THREE_FACTORS + "visual =~ x9\nx7 ~~ x8", "pupils"),
        model("second_order", THREE_FACTORS + "general =~ visual + textual + speed", "pupils"),
        model("causes", THREE_FACTORS + "x1 ~ ageyr\nvisual ~ sex", "pupils", "sem"),
        model("labels", LABELS, "pupils"),
        model("labels_mlr", LABELS, "pupils", estimator="MLR"),
        # nlminb ends in "false convergence" far from the maximum if asked for more than its default with constraints.
        model("equal", EQUAL, "pupils", control={"rel_tol": 1e-10}),
        model("bounded", THREE_FACTORS + "x4 ~~ lower(0.6)*x4", "pupils"),
        model("ordered", THREE_FACTORS.replace("x2", "a*x2") + "a > 0.1", "pupils"),
        model("democracy", DEMOCRACY, "countries", "sem"),
        model("two_stage", THREE_FACTORS, "pupils", missing="two.stage"),
        model("two_stage_orthogonal", ORTHOGONAL, "pupils", missing="two.stage"),
        model("schools", THREE_FACTORS, "pupils", **SCHOOLS),
        model("schools_equal", THREE_FACTORS, "pupils", **SCHOOLS, group_equal=["loadings", "intercepts"]),
        model("schools_mlr", THREE_FACTORS, "pupils", **SCHOOLS, estimator="MLR"),
        model("schools_equal_mlr", THREE_FACTORS, "pupils", **SCHOOLS, estimator="MLR", group_equal=["loadings"]),
        model("schools_wishart", THREE_FACTORS, "complete_pupils", **SCHOOLS, **WISHART, group_equal=["loadings"]),
        model("complete", THREE_FACTORS, "complete_pupils", **LISTWISE, meanstructure=False),
        model("complete_mlm", THREE_FACTORS, "complete_pupils", **LISTWISE, estimator="MLM"),
        model("complete_mlm_orthogonal", ORTHOGONAL, "complete_pupils", **LISTWISE, estimator="MLM"),
        model("complete_mlr", THREE_FACTORS, "complete_pupils", **LISTWISE, estimator="MLR"),
        model("complete_mlr_orthogonal", ORTHOGONAL, "complete_pupils", **LISTWISE, estimator="MLR"),
        model("apart", APART, "adults", "sem"),
        model("apart_free_x", APART, "adults", "sem", fixed_x=False),
        model("pressure", PRESSURE, "adults", "sem"),
        model("pressure_missing_x", PRESSURE.replace("bmi", "income_ratio"), "adults", "sem", missing="ml.x"),
        model("few_chain", CHAIN, "few_adults", "sem"),
        model("few_pressure", PRESSURE, "few_adults", "sem"),
        model("small_bootstrap", SMALL, "countries", se="bootstrap", bootstrap=80, iseed=11),
    )
}
"""Models to be fitted by both sides; ``iseed`` and ``control`` are for lavaan alone."""

FOR_LAVAAN = ("iseed", "control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question; ``options`` are lavaan's, by lavaan's names."""

    kind: str
    fits: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        shown = "-".join(str(value).replace("\n", ";") for value in self.options.values())
        return "-".join([self.kind, *self.fits, *([shown] if shown else [])])

    def asked(self) -> dict[str, Any]:
        return {"kind": self.kind, "fit": self.fits[0], "fits": list(self.fits), "options": self.options}


def questions(kind: str, *fits: str, **options: Any) -> list[Question]:
    return [Question(kind=kind, fits=(fit,), options=options) for fit in fits]


def comparison(*fits: str, methods: tuple[str, ...] = ("default",)) -> list[Question]:
    return [Question(kind="compare", fits=fits, options={"method": method}) for method in methods]


BOTH = ("default", "satorra.bentler.2010")
QUESTIONS = (
    *questions(
        "modification", "cfa", "cfa_std", "cfa_mlr", "second_order", "causes", "equal", "democracy", "two_stage",
        "schools_equal", "schools_wishart", "complete", "apart", "apart_free_x", "pressure", "pressure_missing_x",
    ),
    *questions("modification", "cfa", power=True),
    *questions("modification", "democracy", **{"free.remove": False}),
    *questions("score", "schools_equal", "democracy", "equal", "schools_wishart"),
    *questions("score", "schools_equal", cumulative=True),
    *questions("score", "schools_equal", release=[2, 7]),
    *questions("score", "democracy", "equal", "schools_wishart", epc=True),
    *questions("score", "cfa", "schools_equal", add="visual =~ x9 + x7\nx2 ~~ x4", epc=True),
    *questions("score", "equal", add="visual =~ x4\nx1 ~~ x6", epc=True),
    *questions("score", "cfa", add="x1 ~~ x9", information="observed"),
    *questions("score", "bounded", add="visual =~ x9\nx4 ~~ x7", epc=True),
    *questions("refusal", "ordered", add="x1 ~~ x9"),
    *questions("wald", "labels", "labels_mlr", constraints="a == b"),
    *questions("wald", "labels", "labels_mlr", constraints="a == b\nc == d\nproduct == r"),
    *questions("wald", "labels_mlr", constraints="exp(c) == 2"),
    *questions("wald", "democracy", constraints="a == 1\nb - c == 0"),
    *questions(
        "fmi", "cfa", "cfa_expected", "labels", "democracy", "schools_equal", "apart", "apart_free_x", "pressure",
        "pressure_missing_x",
    ),
    *questions(
        "reliability", "cfa", "cfa_std", "cross", "second_order", "democracy", "schools", "two_stage", "complete"
    ),
    *questions("reliability", "cfa", "cross", total=True),
    *questions("composite", "cfa", "cross", "democracy"),
    *questions("bootstrap", "small_bootstrap", types=["perc", "norm", "basic", "bca.simple", "bca"], level=0.9),
    *questions("resampled", "few_chain", "few_pressure", draws=6),
    *comparison("cfa"),
    *comparison("cfa_mlr"),
    *comparison("orthogonal", "error", "cfa"),
    *comparison("orthogonal_mlr", "error_mlr", "cfa_mlr", methods=BOTH),
    *comparison("two_stage", "two_stage_orthogonal", methods=BOTH),
    *comparison("schools", "schools_equal"),
    *comparison("schools_equal_mlr", "schools_mlr", methods=BOTH),
    *comparison("complete_mlm_orthogonal", "complete_mlm", methods=(*BOTH, "satorra.2000")),
    *comparison("complete_mlr_orthogonal", "complete_mlr", methods=(*BOTH, "satorra.2000")),
)  # fmt: skip


def _lavaans(case: Case) -> dict[str, Any]:
    """What lavaan is asked to fit, by its own names."""
    options = {name.replace("_", "."): value for name, value in (TIGHT | case.options).items()}
    options["control"] = {
        name.replace("_", "."): value for name, value in (TIGHT["control"] | case.options.get("control", {})).items()
    }
    return {"func": case.func, "model": case.model, "table": case.table.__name__, "options": options}


def request() -> dict[str, Any]:
    return {
        "tables": list(TABLES),
        "fits": {name: _lavaans(case) for name, case in FITS.items()},
        "questions": [question.asked() for question in QUESTIONS],
    }


def asked() -> dict[str, Any]:
    """The request with the content of the tables, stored beside the answer."""
    prints = {name: hashlib.sha256(table().to_csv(index=False).encode()).hexdigest() for name, table in TABLES.items()}
    return request() | {"tables": prints}


def answer() -> dict[str, Any]:
    """Ask lavaan and semTools now."""
    rscript = find_rscript()
    assert rscript is not None, "R is not here"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "request.json").write_text(json.dumps(request()), encoding="utf-8")
        for name, table in TABLES.items():
            table().to_csv(place / f"{name}.csv", index=False, na_rep="NA")
        done = subprocess.run(
            [rscript, str(HERE / "model_test_values.R"), folder], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads((place / "answer.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    STORE.write_text(json.dumps({"asked": asked(), "answer": answer()}) + "\n", encoding="utf-8")
    sys.stdout.write(f"{STORE.name}: {len(QUESTIONS)} answers\n")
