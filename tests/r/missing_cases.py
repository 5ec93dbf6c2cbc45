"""Tables whose missing data are described here and in R, and how R is asked."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.datasets import load_holzinger_swineford, load_nhanes

STORED = Path(__file__).with_name("missing_data.json")
SCRIPT = Path(__file__).with_name("missing_data.R")
SCORES = [f"x{number}" for number in range(1, 10)]


def tables() -> dict[str, pd.DataFrame]:
    """Tables by name: real holes, holes by rule, holes that depend on a score, and rows without any value."""
    adults = load_nhanes()[["age", "income_ratio", "bmi", "waist", "systolic2", "pulse", "hdl_cholesterol"]]
    pupils = load_holzinger_swineford()[SCORES]
    row, column = np.indices(pupils.shape)
    scattered = (row * 37 + column * 101 + row * column * 13) % 17 < 3
    scattered[::60] = True
    high = (pupils["x1"] > 5.0).to_numpy()[:, None] & (column >= 3) & (column <= 6) & (row % 3 > 0)
    return {"adults": adults, "pupils_rule": pupils.mask(scattered), "pupils_mar": pupils.mask(high)}


def ask_r() -> dict[str, Any]:
    """Versions of the R packages, and their answers by table."""
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables().items():
            table.to_csv(Path(folder, f"{name}.csv"), index=False)
        answered = Path(folder, "answers.json")
        subprocess.run(["Rscript", "--vanilla", str(SCRIPT), folder, str(answered)], check=True, capture_output=True)
        return json.loads(answered.read_text(encoding="utf-8"))


if __name__ == "__main__":
    STORED.write_text(json.dumps(ask_r(), indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
