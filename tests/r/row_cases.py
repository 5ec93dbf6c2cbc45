"""Models whose residuals, factor scores and casewise values are compared; run as a script, it stores lavaan's."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from r_cases import CASES, THREE_FACTORS, Case, countries, pupils, with_holes

from fosa_sem import datasets
from r_bridge.runtime import find_rscript

HERE = Path(__file__).parent
ROWS_KEPT = 12
"""Rows per group that are stored: enough to meet several patterns, few enough to read."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowCase(Case):
    """A case of which lavaan is asked by ``row_values.R``."""

    @property
    def file(self) -> Path:
        return HERE / "row_references" / f"{self.name}.json"

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
        options = {name.replace("_", "."): value for name, value in (TIGHT | self.options).items()}
        options["control"] = {name.replace("_", "."): value for name, value in TIGHT["control"].items()}
        request = {"model": self.model, "func": self.func, "options": options, "rows": ROWS_KEPT}
        rscript = find_rscript()
        assert rscript is not None, "R is not here"
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
            self.table().to_csv(place / "data.csv", index=False, na_rep="NA")
            subprocess.run([rscript, str(HERE / "row_values.R"), folder], check=True, capture_output=True)
            answer: dict[str, Any] = json.loads((place / "result.json").read_text(encoding="utf-8"))
        return answer


def complete_pupils() -> pd.DataFrame:
    return datasets.load_holzinger_swineford()


def few_holes() -> pd.DataFrame:
    return with_holes(complete_pupils(), ["x1", "x5", "ageyr"], 0.05, seed=7)


def holes_in_x() -> pd.DataFrame:
    return with_holes(pupils(), ["ageyr"], 0.1, seed=5)


CAUSES = """
f =~ x1 + x2 + x3
g =~ x4 + x5 + x6
g ~ f + ageyr
f ~ ageyr + sex
"""
OUTCOME = """
f =~ x1 + x2 + x3
g =~ x4 + x5 + x6
g ~ f
x9 ~ f + ageyr
g ~~ 0*x9
"""
LABELS = next(case.model for case in CASES if case.name == "countries_labels")
EQUAL_SCHOOLS = {"group": "school", "group_equal": ["loadings", "intercepts"]}

ROW_CASES = (
    RowCase(name="pupils", func="cfa", model=THREE_FACTORS, table=pupils),
    RowCase(name="pupils_mlf", func="cfa", model=THREE_FACTORS, table=pupils, options={"estimator": "MLF"}),
    RowCase(
        name="schools_mlr", func="cfa", model=THREE_FACTORS, table=pupils, options=EQUAL_SCHOOLS | {"estimator": "MLR"}
    ),
    RowCase(
        name="schools_listwise", func="cfa", model=THREE_FACTORS, table=complete_pupils,
        options=EQUAL_SCHOOLS | {"missing": "listwise"},
    ),
    RowCase(name="causes", func="sem", model=CAUSES, table=pupils),
    RowCase(name="causes_free_x", func="sem", model=CAUSES, table=holes_in_x, options={"fixed_x": False}),
    RowCase(name="causes_missing_x", func="sem", model=CAUSES, table=holes_in_x, options={"missing": "ml.x"}),
    RowCase(name="causes_no_means", func="sem", model=CAUSES, table=complete_pupils, options={"missing": "listwise"}),
    RowCase(
        name="causes_dropped_rows", func="sem", model=CAUSES, table=few_holes,
        options={"missing": "listwise", "estimator": "MLR"},
    ),
    RowCase(
        name="wishart", func="cfa", model=THREE_FACTORS, table=complete_pupils,
        options={"missing": "listwise", "likelihood": "wishart", "meanstructure": True},
    ),
    RowCase(name="countries", func="sem", model=LABELS, table=countries),
    RowCase(name="outcome", func="sem", model=OUTCOME, table=pupils),
)  # fmt: skip


if __name__ == "__main__":
    for case in ROW_CASES:
        case.file.parent.mkdir(exist_ok=True)
        content = {"asked": case.asked(), "answer": case.answer()}
        case.file.write_text(json.dumps(content) + "\n", encoding="utf-8")
        sys.stdout.write(f"{case.file.name}\n")
