"""The imputation tasks: complete data, cells to hide, the model, and the scores.

T1, T2: Experiment I of the FOSA paper (Deng & Jin, arXiv 2308.12388), patterns (a) and (b), 500 rows, 20% missing
completely at random. T3: its Experiment II, five columns of the CDC's survey of 2020, first 50,000 rows, 40%. T4: 17
columns of the same survey coded as numbers, 10,000 rows, 30%. T5: three correlated factors with three indicators each,
1,000 rows, 20%. T6: "T2-MAR" and "T2-MNAR", 30% missing by a logistic function of A, or of each column itself; the
suffixes work with T1 and T3 too. NHANES: adults of 2017-2018 with their natural holes, a tenth of the observed cells
hidden. CDC300: as T3, first 300,000 rows.

T3, T4 and CDC300 read ``heart_2020_cleaned.csv`` (or its .zip) from the folder in FOSA_SEM_DATA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import wasserstein_distance

from fosa_sem.datasets import load_heart2020, load_nhanes
from fosa_sem.evaluate.masking import hide_cells, mask_cells

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

RATE = {"T1": 0.2, "T2": 0.2, "T3": 0.4, "T4": 0.3, "T5": 0.2, "CDC300": 0.4}
DRIVER = {"T1": "A", "T2": "A", "T3": "PhysicalHealth"}  # what decides under MAR, and stays
MECHANISM_RATE = 0.3
TASKS = ("T1", "T2", "T2-MAR", "T2-MNAR", "T3", "T4", "T5", "NHANES")
SCORES = ("R2", "RMSE", "MAE", "W1", "KL")
KL_BINS, KL_CONSTANT = 30, 1e-6
_YES_NO = {"No": 0.0, "Yes": 1.0}
_HEALTH = ("Poor", "Fair", "Good", "Very good", "Excellent")
_DIABETIC = {"No": 0.0, "Yes": 1.0, "No, borderline diabetes": 0.5, "Yes (during pregnancy)": 0.5}
_NHANES = """
adiposity =~ waist + bmi + weight
systolic  =~ systolic1 + systolic2 + systolic3
adiposity ~ age + female
systolic  ~ adiposity + age + female
age       ~~ female
waist + weight ~ age + female
hba1c ~ adiposity + age + female
"""
_NHANES_COLUMNS = ["waist", "bmi", "weight", "systolic1", "systolic2", "systolic3", "age", "female", "hba1c"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One table to fill.

    Attributes
    ----------
    name : str
    truth : DataFrame, shape (n, p)
        All columns are the model's; natural holes are never hidden cells.
    mask : DataFrame of bool, shape (n, p)
        True at the hidden cells.
    model : str
        lavaan's syntax.
    func : {"sem", "cfa", "lavaan"}
        The function that a user would call.
    """

    name: str
    truth: pd.DataFrame
    mask: pd.DataFrame
    model: str
    func: Literal["sem", "cfa", "lavaan"]

    @property
    def data(self) -> pd.DataFrame:
        """What an imputer sees."""
        return hide_cells(self.truth, self.mask)


def task(full: str, seed: int) -> Task:
    """Make a task.

    Parameters
    ----------
    full : str
        Name, with "-MAR" or "-MNAR" for another mechanism than MCAR.
    seed : int
        Of simulated data and hidden cells.

    Raises
    ------
    KeyError
        There is no such task.
    DataError
        The CDC's file is not there.
    """
    name, _, mechanism = full.partition("-")
    if mechanism not in ("", "MAR", "MNAR") or (mechanism and name not in DRIVER):
        raise KeyError(full)
    truth, model, func = _SOURCES[name](seed)
    if name == "NHANES":
        mask = mask_cells(truth, 0.1, seed)
    else:
        mask = by_mechanism(truth, DRIVER[name], mechanism, seed) if mechanism else at_random(truth, RATE[name], seed)
    return Task(name=full, truth=truth, mask=mask, model=model, func=func)


def score(truth: pd.DataFrame, mask: pd.DataFrame, imputed: pd.DataFrame) -> pd.DataFrame:
    """Scores of the hidden cells, on the scale of the complete data's standard deviations.

    Parameters
    ----------
    truth, mask, imputed : DataFrame, shape (n, p)

    Returns
    -------
    DataFrame
        A row per variable with hidden cells and the row "MEAN"; columns R2, RMSE, MAE, W1 and KL. KL(truth || imputed)
        from 30 bins over the true values' range, with 1e-6 added to every share.
    """
    rows = {
        name: _cell_scores(truth[name].to_numpy(float), imputed[name].to_numpy(float), mask[name].to_numpy())
        for name in truth.columns[mask.any()]
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(SCORES))
    table.loc["MEAN"] = table.mean()
    return table


def _cell_scores(truth: FloatArray, imputed: FloatArray, hidden: BoolArray) -> list[float]:
    mean, sd = np.nanmean(truth), np.nanstd(truth)
    known, filled = (truth[hidden] - mean) / sd, (imputed[hidden] - mean) / sd
    edges = np.linspace(known.min(), known.max(), KL_BINS + 1)
    p, q = (
        np.histogram(values, edges)[0] / len(known) + KL_CONSTANT
        for values in (known, np.clip(filled, known.min(), known.max()))
    )
    p, q = p / p.sum(), q / q.sum()
    error = known - filled
    return [
        float(1 - (error**2).sum() / ((known - known.mean()) ** 2).sum()),
        float(np.sqrt((error**2).mean())),
        float(np.abs(error).mean()),
        float(wasserstein_distance(known, filled)),
        float((p * np.log(p / q)).sum()),
    ]


# ---- complete data -----------------------------------------------------------------------------------------

Source = tuple[pd.DataFrame, str, Literal["sem", "cfa", "lavaan"]]


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(1000 + seed)


def experiment_one(pattern: Literal["a", "b"], seed: int, n: int = 500) -> Source:
    """The paper's simulated data, by its linear (a) or non-linear (b) pattern."""
    rng = _generator(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    c, d = (a + b, a - b) if pattern == "a" else (a + 2 * b**2, a * b)
    e = 2 * c + 3 * d + rng.normal(0, 0.5, n)
    return pd.DataFrame({"A": a, "B": b, "C": c, "D": d, "E": e}), "E ~ A + B + C + D", "sem"


def experiment_two(rows: int) -> Source:
    """The paper's five columns of the CDC's survey."""
    survey = _survey().head(rows)
    columns = ["HeartDisease", "BMI", "PhysicalHealth", "MentalHealth", "SleepTime"]
    frame = survey.assign(HeartDisease=survey["HeartDisease"].map(_YES_NO))[columns].astype(float)
    return frame, "BMI ~ PhysicalHealth + MentalHealth + HeartDisease + SleepTime", "sem"


def _seventeen_columns(seed: int) -> Source:
    survey = _survey().head(50_000)
    ages = {age: float(i) for i, age in enumerate(sorted(survey["AgeCategory"].unique()))}
    health = {word: float(i) for i, word in enumerate(_HEALTH)}
    codes = {"Sex": {"Female": 0.0, "Male": 1.0}, "AgeCategory": ages, "GenHealth": health, "Diabetic": _DIABETIC}
    frame = survey.head(10_000).drop(columns="Race")
    for name in frame:
        if frame[name].dtype.kind not in "fi":
            frame[name] = frame[name].map(codes.get(name, _YES_NO))
    frame = frame.astype(float)
    return frame, "GenHealth ~ " + " + ".join(name for name in frame if name != "GenHealth"), "sem"


def _three_factors(seed: int) -> Source:
    rng = _generator(seed)
    root = np.linalg.cholesky(np.full((3, 3), 0.4) + 0.6 * np.eye(3))
    factors = rng.normal(size=(1000, 3)) @ root.T
    values = np.repeat(factors, 3, axis=1) * 0.7 + rng.normal(size=(1000, 9)) * np.sqrt(1 - 0.49)
    model = "f1 =~ x1 + x2 + x3\nf2 =~ x4 + x5 + x6\nf3 =~ x7 + x8 + x9"
    return pd.DataFrame(values, columns=[f"x{j + 1}" for j in range(9)]), model, "cfa"


def _adults(seed: int) -> Source:
    return load_nhanes()[_NHANES_COLUMNS].astype(float), _NHANES, "sem"


@cache
def _survey() -> pd.DataFrame:
    return load_heart2020()


_SOURCES: dict[str, Callable[[int], Source]] = {
    "T1": lambda seed: experiment_one("a", seed),
    "T2": lambda seed: experiment_one("b", seed),
    "T3": lambda seed: experiment_two(50_000),
    "T4": _seventeen_columns,
    "T5": _three_factors,
    "NHANES": _adults,
    "CDC300": lambda seed: experiment_two(300_000),
}


# ---- which cells -------------------------------------------------------------------------------------------


def at_random(truth: pd.DataFrame, rate: float, seed: int) -> pd.DataFrame:
    """Cells missing completely at random, each with the same probability."""
    return truth.notna() & (np.random.default_rng(seed).random(truth.shape) < rate)


def by_mechanism(truth: pd.DataFrame, driver: str, mechanism: str, seed: int) -> pd.DataFrame:
    """Cells missing by a logistic function of the driver (MAR, the driver stays), or of their own value (MNAR)."""
    rng = np.random.default_rng(seed)
    z = ((truth - truth.mean()) / truth.std(ddof=0)).to_numpy()
    place = truth.columns.get_loc(driver)
    mask = np.zeros(truth.shape, dtype=bool)
    for j in range(truth.shape[1]):
        if mechanism == "MNAR":
            mask[:, j] = _logistic(z[:, j], MECHANISM_RATE, rng)
        elif j != place:
            mask[:, j] = _logistic(z[:, place], MECHANISM_RATE, rng)
    return pd.DataFrame(mask, index=truth.index, columns=truth.columns)


def _logistic(z: FloatArray, rate: float, rng: np.random.Generator, slope: float = 1.5) -> BoolArray:
    """Cells drawn with probability logistic(shift + slope z), the shift found by bisection for the rate."""
    low, high = -12.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if (1 / (1 + np.exp(-(middle + slope * z)))).mean() > rate else (middle, high)
    return rng.random(len(z)) < 1 / (1 + np.exp(-((low + high) / 2 + slope * z)))
