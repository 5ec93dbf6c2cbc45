"""What lavaan and semTools are asked about tests of models, and where their answers are stored.

``python tests/inference/model_test_cases.py`` asks again (needs R with lavaan, semTools and jsonlite).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "r"))

from r_cases import TIGHT, adults, countries, pupils

import fosa_sem
from fosa_sem import SemResults, datasets
from fosa_sem.errors import FosaWarning

HERE = Path(__file__).parent
STORE = HERE / "lavaan_tests.json"


@cache
def complete_pupils() -> pd.DataFrame:
    return datasets.load_holzinger_swineford()


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "pupils": cache(pupils), "countries": cache(countries), "adults": cache(adults),
    "complete_pupils": complete_pupils,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A model to be fitted by both sides."""

    model: str
    table: str
    func: str = "sem"
    options: dict[str, Any] = field(default_factory=dict)

    def ours(self) -> SemResults:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FosaWarning)
            return getattr(fosa_sem, self.func)(self.model, TABLES[self.table](), **self.options)

    def asked(self) -> dict[str, Any]:
        listwise = self.options.get("missing") == "listwise"
        plain = {k: v for k, v in TIGHT.items() if not (listwise and k == "missing")}
        options = {name.replace("_", "."): value for name, value in (plain | self.options).items()}
        options["control"] = {name.replace("_", "."): value for name, value in TIGHT["control"].items()}
        return {"func": self.func, "model": self.model, "table": self.table, "options": options}
