"""The models and tables whose fits are timed; every table comes from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.datasets import load_heart2020, load_holzinger_swineford, load_political_democracy

HOLZINGER = "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
POLITICAL = """
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + y2 + y3 + y4
dem65 =~ y5 + y6 + y7 + y8
dem60 ~ ind60
dem65 ~ ind60 + dem60
y1 ~~ y5
y2 ~~ y4 + y6
y3 ~~ y7
y4 ~~ y8
y6 ~~ y8
"""
HEART = """
PhysicalHealth ~ BMI + SleepTime
MentalHealth ~ BMI + SleepTime
HeartDisease ~ BMI + PhysicalHealth + MentalHealth + SleepTime
PhysicalHealth ~~ MentalHealth
"""
HEART_COLUMNS = ["HeartDisease", "BMI", "PhysicalHealth", "MentalHealth", "SleepTime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model, its table, and what is asked of the whole call.

    Attributes
    ----------
    about : str
        One line.
    model : str
    table : callable
        Makes the DataFrame; raises DataError if its file is not there.
    goal : float
        Times faster than lavaan.
    options : dict
        Of `fosa_sem.sem`; lavaan takes them with dots for underscores.
    """

    about: str
    model: str
    table: Callable[[], pd.DataFrame]
    goal: float
    options: dict[str, Any] = field(default_factory=dict)


def punch(table: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Cells missing completely at random."""
    holes = np.random.default_rng(seed).random(table.shape) < share
    return table.mask(holes)


def punch_each(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """The same number of missing cells in every column."""
    rng = np.random.default_rng(seed)
    holes = np.zeros(table.shape, dtype=bool)
    for j in range(table.shape[1]):
        holes[rng.choice(len(table), count, replace=False), j] = True
    return table.mask(holes)


def simulate(n: int, n_factors: int, per_factor: int, share: float, seed: int) -> pd.DataFrame:
    """Correlated factors (.3), loadings .6 to .9, unit variances, holes at random."""
    rng = np.random.default_rng(seed)
    p = n_factors * per_factor
    correlation = np.full((n_factors, n_factors), 0.3) + 0.7 * np.eye(n_factors)
    factors = rng.standard_normal((n, n_factors)) @ np.linalg.cholesky(correlation).T
    loading = np.tile(np.linspace(0.9, 0.6, per_factor), n_factors)
    values = np.repeat(factors, per_factor, axis=1) * loading
    values += rng.standard_normal((n, p)) * np.sqrt(1.0 - loading**2) + 1.0
    table = pd.DataFrame(values, columns=[f"x{j + 1}" for j in range(p)])
    return punch(table, share, seed + 1)


def factor_model(n_factors: int, per_factor: int) -> str:
    """Every factor with its own indicators x1, x2, ..."""
    lines = []
    for f in range(n_factors):
        lines.append(f"f{f + 1} =~ " + " + ".join(f"x{f * per_factor + j + 1}" for j in range(per_factor)))
    return "\n".join(lines)


def heart() -> pd.DataFrame:
    """Five variables of the CDC's survey, 40% of the cells missing."""
    table = load_heart2020()[HEART_COLUMNS]
    table = table.assign(HeartDisease=(table["HeartDisease"] == "Yes").astype(float))
    return punch(table, 0.4, 6)


WORKLOADS = {
    "a": Workload(
        about="Holzinger-Swineford, 3 factors, 9 variables, n = 301, 60 cells of each column missing",
        model=HOLZINGER,
        table=lambda: punch_each(load_holzinger_swineford()[[f"x{j}" for j in range(1, 10)]], 60, 1),
        goal=50,
    ),
    "e": Workload(
        about="Political Democracy, n = 75, 10% missing",
        model=POLITICAL,
        table=lambda: punch(load_political_democracy(), 0.1, 2),
        goal=50,
    ),
    "b3k": Workload(
        about="3 factors, 9 variables, n = 3,000, 20% missing",
        model=factor_model(3, 3), table=lambda: simulate(3_000, 3, 3, 0.2, 3), goal=50,
    ),
    "b320k": Workload(
        about="3 factors, 9 variables, n = 320,000, 20% missing",
        model=factor_model(3, 3), table=lambda: simulate(320_000, 3, 3, 0.2, 3), goal=90,
    ),
    "c1k": Workload(
        about="5 factors, 20 variables, n = 1,000, 10% missing",
        model=factor_model(5, 4), table=lambda: simulate(1_000, 5, 4, 0.1, 4), goal=90,
    ),
    "c10k": Workload(
        about="5 factors, 20 variables, n = 10,000, 10% missing",
        model=factor_model(5, 4), table=lambda: simulate(10_000, 5, 4, 0.1, 4), goal=90,
    ),
    "d": Workload(
        about="8 factors, 40 variables, n = 2,000, 5% missing",
        model=factor_model(8, 5), table=lambda: simulate(2_000, 8, 5, 0.05, 5), goal=90,
    ),
    "f": Workload(
        about="CDC survey, path model of 5 variables, n = 319,795, 40% missing",
        model=HEART, table=heart, goal=50, options={"fixed_x": False},
    ),
}  # fmt: skip

WARM_UP = Workload(
    about="two factors of three variables, n = 200", model=factor_model(2, 3),
    table=lambda: simulate(200, 2, 3, 0.1, 7), goal=0,
)  # fmt: skip
