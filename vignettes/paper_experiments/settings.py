"""What is run: data, rows, missing cells and models of the FOSA paper's experiments, and what it left for later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from tests.benchmarks.imputation_tasks import DRIVER, Source, at_random, by_mechanism, experiment_one, experiment_two

METHODS = ("mean", "em", "sem", "fosa", "fosa_paper")
SOURCES = {"a": "T1", "b": "T2", "cdc": "T3"}
RIGHT, OMITTED, UNRELATED = "as in the paper", "a path left out", "nothing related"
MCAR = "MCAR"
MECHANISM_RATE = 0.3
FEW, SOME, MANY = (0,), (0, 1, 2), (0, 1, 2, 3, 4)

# One path where there should be more; the other columns are free among themselves.
OMITTED_MODELS = {
    "a": "E ~ C\nA ~~ B + C + D\nB ~~ C + D\nC ~~ D",
    "b": "E ~ C\nA ~~ B + C + D\nB ~~ C + D\nC ~~ D",
    "cdc": "BMI ~ SleepTime\nHeartDisease ~~ PhysicalHealth + MentalHealth + SleepTime\n"
    "PhysicalHealth ~~ MentalHealth + SleepTime\nMentalHealth ~~ SleepTime",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One table to fill.

    Attributes
    ----------
    data : {"a", "b", "cdc"}
        Experiment I with pattern (a) or (b); the CDC's survey.
    n : int
        Rows.
    rate : float
        Share of missing cells; with another mechanism than MCAR that of the columns which lose cells.
    mechanism : {"MCAR", "MAR", "MNAR"}
    model : str
        Which model is fitted.
    seed : int
    """

    data: str
    n: int
    rate: float
    mechanism: str = MCAR
    model: str = RIGHT
    seed: int

    @property
    def key(self) -> tuple[object, ...]:
        """Values in the order of `KEY`."""
        return self.data, self.n, self.rate, self.mechanism, self.model, self.seed


KEY = ("data", "n", "rate", "mechanism", "model", "seed")


def methods_of(setting: Setting) -> tuple[str, ...]:
    """What fills a table; with the paper's settings those of Tables 2 and 3, and the one whose time it prints."""
    printed = setting in {*table_2(), *table_3(), Setting(data="cdc", n=300_000, rate=0.4, seed=0)}
    return METHODS if printed else METHODS[:-1]


def source(setting: Setting) -> Source:
    """Complete data, the model that is fitted, and the function that completes it."""
    if setting.data == "cdc":
        truth, model, func = experiment_two(setting.n)
    else:
        truth, model, func = experiment_one("a" if setting.data == "a" else "b", setting.seed, setting.n)
    if setting.model == OMITTED:
        model = OMITTED_MODELS[setting.data]
    elif setting.model == UNRELATED:
        model, func = "\n".join(f"{name} ~~ {name}\n{name} ~ 1" for name in truth), "lavaan"
    return truth, model, func


def mask(truth: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Cells to hide."""
    if setting.mechanism == MCAR:
        return at_random(truth, setting.rate, setting.seed)
    return by_mechanism(truth, DRIVER[SOURCES[setting.data]], setting.mechanism, setting.seed)


# ---- the tables: which settings stand in which -------------------------------------------------------------


def table_2() -> Iterator[Setting]:
    """Experiment I: both patterns."""
    for data in ("a", "b"):
        yield from (Setting(data=data, n=500, rate=0.2, seed=seed) for seed in MANY)


def table_3() -> Iterator[Setting]:
    """Experiment II: the survey's first 50,000 rows, 40% missing."""
    yield from (Setting(data="cdc", n=50_000, rate=0.4, seed=seed) for seed in SOME)


def table_4() -> Iterator[Setting]:
    """Sample size by share of missing cells."""
    for n in (1_000, 10_000, 50_000, 100_000, 300_000):
        for rate in (0.2, 0.4, 0.6):
            yield from (Setting(data="cdc", n=n, rate=rate, seed=seed) for seed in (SOME if n <= 10_000 else FEW))


def misspecified() -> Iterator[Setting]:
    """A model that is wrong (section 5.1)."""
    for model in (OMITTED, UNRELATED):
        for data in ("a", "b"):
            yield from (Setting(data=data, n=500, rate=0.2, model=model, seed=seed) for seed in SOME)
        yield Setting(data="cdc", n=50_000, rate=0.4, model=model, seed=0)


def mechanisms() -> Iterator[Setting]:
    """Missing at random and not at random, which the paper leaves for later."""
    for data, n, seeds in (("a", 500, SOME), ("b", 500, SOME), ("cdc", 50_000, FEW)):
        for mechanism in ("MAR", "MNAR"):
            for seed in seeds:
                yield Setting(data=data, n=n, rate=MECHANISM_RATE, mechanism=mechanism, seed=seed)


def rates() -> Iterator[Setting]:
    """From 10 to 60% missing on the survey, which the paper leaves for later."""
    yield from (Setting(data="cdc", n=50_000, rate=rate, seed=0) for rate in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6))


TABLES = {
    "table 2": table_2, "table 3": table_3, "misspecified": misspecified, "mechanisms": mechanisms,
    "rates": rates, "table 4": table_4,
}  # fmt: skip
