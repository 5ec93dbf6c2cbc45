"""Analyses of stored imputations, by R and by us.

python tests/r/pooling_cases.py        stores R's answers anew (needs mice, semTools and mitml)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem import MultipleImputation, PooledSem

HERE = Path(__file__).parent
IMPUTATIONS = HERE / "references" / "imputations.csv"
ANSWERS = HERE / "references" / "pooling.json"
SCRIPT = HERE / "pooling.R"
R_PACKAGES = ("lavaan", "semTools", "mice", "mitml", "jsonlite")

FACTORS = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolingCase:
    """A larger and a smaller model.

    Attributes
    ----------
    kind : {"regression", "equations"}
    full, restricted : str
        Formulas of lm(), or models of lavaan.
    fun : str
        Function that fits them, in both languages.
    options : dict
        lavaan's arguments.
    ours : dict
        The same for us.
    wald : str
        The restriction as lavTestWald() takes it; empty if it is not compared.
    """

    kind: str
    full: str
    restricted: str
    fun: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    wald: str = ""

    def fits(self) -> tuple[PooledSem, PooledSem]:
        """Our fits of the larger and the smaller model."""
        mi = imputations()
        full, small = (
            mi.fit(model, func=self.fun, **self.ours)  # type: ignore[arg-type]
            for model in (self.full, self.restricted)
        )
        return full, small


CASES = {
    "lm": PoolingCase(kind="regression", full="y ~ x1 + x2 + x4", restricted="y ~ x1"),
    "listwise": PoolingCase(
        kind="equations", full=FACTORS + "\nf ~~ fg*g", restricted=FACTORS + "\nf ~~ 0*g", fun="cfa",
        ours={"missing": "listwise"}, wald="fg == 0",
    ),
    "means": PoolingCase(
        kind="equations", full=FACTORS, restricted="f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6\nf ~~ 0*g", fun="cfa",
        options={"missing": "fiml"},
    ),
    "groups": PoolingCase(
        kind="equations", full=FACTORS, restricted="f =~ x1 + c(a, a)*x2 + c(b, b)*x3\ng =~ x4 + x5 + x6",
        fun="cfa",
        options={"group": "school"}, ours={"group": "school", "missing": "listwise"},
    ),
    "mediation": PoolingCase(
        kind="equations", full="x4 ~ a*x1 + x2\ny ~ b*x4 + c*x1\nab := a*b", restricted="x4 ~ x1 + x2\ny ~ x4 + 0*x1",
        fun="sem", ours={"missing": "listwise"}, wald="c == 0",
    ),
    "robust": PoolingCase(
        kind="equations", full=FACTORS, restricted=FACTORS + "\nf ~~ 0*g", fun="cfa",
        options={"estimator": "MLR"}, ours={"estimator": "MLR", "missing": "listwise"},
    ),
}  # fmt: skip


@cache
def imputations() -> MultipleImputation:
    """Five imputations of 160 pupils' scores, drawn once and rounded to three decimals."""
    long = pd.read_csv(IMPUTATIONS)
    tables = [table.drop(columns=[".imp", ".id"]).reset_index(drop=True) for _, table in long.groupby(".imp")]
    return MultipleImputation.from_frames(tables[1:], tables[0])


def draw_imputations() -> None:
    """Store new imputations: all other stored numbers depend on them."""
    from fosa_sem import impute
    from fosa_sem.datasets import load_holzinger_swineford

    rng = np.random.default_rng(20)
    scores = load_holzinger_swineford().rename(columns={"x7": "y"})[["x1", "x2", "x3", "x4", "x5", "x6", "y", "school"]]
    table = scores.iloc[75:235].reset_index(drop=True).round(3)
    columns = table.columns[:7]
    table[columns] = table[columns].mask(rng.random((len(table), 7)) < 0.2)
    made = impute(table, FACTORS + "\ny ~ f + g", 5, seed=1)
    made.long(original=True).round(3).to_csv(IMPUTATIONS, index=False)


def ask_r(timeout: float = 300.0) -> dict[str, Any]:
    """R's answers to all cases, now."""
    rscript = shutil.which("Rscript")
    assert rscript is not None
    long = pd.read_csv(IMPUTATIONS)
    with tempfile.TemporaryDirectory() as folder:
        cases, data, answers = (Path(folder) / name for name in ("cases.json", "long.csv", "answers.json"))
        cases.write_text(json.dumps({name: asdict(case) for name, case in CASES.items()}))
        long[long[".imp"] > 0].to_csv(data, index=False)
        subprocess.run(
            [rscript, str(SCRIPT), str(cases), str(data), str(answers)], check=True, timeout=timeout,
            capture_output=True,
        )  # fmt: skip
        return json.loads(answers.read_text())


@cache
def stored() -> dict[str, Any]:
    """R's answers as they were stored."""
    return json.loads(ANSWERS.read_text())


if __name__ == "__main__":
    if not IMPUTATIONS.exists():
        draw_imputations()
    ANSWERS.write_text(json.dumps(ask_r(), indent=1) + "\n")
