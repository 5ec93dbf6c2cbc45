"""Do 95% intervals cover the truth, and does the test reject a true model in 5% of samples?

    python -m tests.benchmarks.coverage [--replications 1000] [--seed 1] [--jobs 2] [--only factors,mediation]

Data sets of 300 rows are drawn from known models, lose values, and are fitted by the same models.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from fosa_sem import sem
from fosa_sem.errors import FosaError

ROWS = 300
LEVEL = 0.95
ACCEPTED = (0.93, 0.97)
"""Coverage that is taken for right."""

Draw = Callable[[np.random.Generator], pd.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A population, how it loses values, and how it is analysed.

    Attributes
    ----------
    about : str
    model : str
        Of the population and of the analysis.
    truth : dict
        Value of every free and defined parameter, under "lhs op rhs".
    draw : callable
        Generator -> table with holes.
    options : dict
        Of `fosa_sem.sem`.
    """

    about: str
    model: str
    truth: dict[str, float]
    draw: Draw
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """What one data set gave; None in place of the record means that no estimate was found."""

    est: dict[str, float]
    se: dict[str, float]
    pvalue: float


# ---- populations -------------------------------------------------------------------------------------------

INDICATORS = {"f": ("x1", "x2", "x3"), "g": ("x4", "x5", "x6"), "h": ("x7", "x8", "x9")}
LOADINGS = dict(zip((f"x{i}" for i in range(1, 10)), (1.0, 0.8, 1.2, 1.0, 0.9, 1.1, 1.0, 0.7, 1.3), strict=True))
INTERCEPTS = {name: 0.5 * i for i, name in enumerate(LOADINGS)}
FACTOR_COV = np.array([[1.0, 0.4, 0.3], [0.4, 0.8, 0.35], [0.3, 0.35, 0.9]])
RESIDUAL = 0.7
FACTOR_MODEL = "\n".join(f"{factor} =~ {' + '.join(names)}" for factor, names in INDICATORS.items())
PATHS = {"m ~ x": 0.5, "m ~ w": 0.3, "y ~ m": 0.4, "y ~ x": 0.2}
PATH_MODEL = "m ~ a*x + w\ny ~ b*m + c*x\nindirect := a*b\ntotal := c + a*b"
PATH_RESIDUAL = 0.8


def factor_truth() -> dict[str, float]:
    truth = {f"{factor} =~ {name}": LOADINGS[name] for factor, names in INDICATORS.items() for name in names[1:]}
    truth |= {f"{name} ~1 ": value for name, value in INTERCEPTS.items()}
    truth |= {f"{name} ~~ {name}": RESIDUAL for name in LOADINGS}
    factors = list(INDICATORS)
    truth |= {f"{factors[i]} ~~ {factors[j]}": float(FACTOR_COV[i, j]) for i in range(3) for j in range(i, 3)}
    return truth


def path_truth() -> dict[str, float]:
    a, b, c = PATHS["m ~ x"], PATHS["y ~ m"], PATHS["y ~ x"]
    residuals = {"m ~~ m": PATH_RESIDUAL, "y ~~ y": PATH_RESIDUAL, "m ~1 ": 0.0, "y ~1 ": 0.0}
    return PATHS | residuals | {"indirect := a*b": a * b, "total := c+a*b": c + a * b}


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def skewed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Chi-square with 3 degrees of freedom, standardised: skewness 1.63, excess kurtosis 4."""
    return (rng.chisquare(3.0, shape) - 3.0) / math.sqrt(6.0)


def factor_scores(rng: np.random.Generator, noise: Callable[..., np.ndarray]) -> pd.DataFrame:
    loadings = np.zeros((9, 3))
    for j, names in enumerate(INDICATORS.values()):
        loadings[[list(LOADINGS).index(name) for name in names], j] = [LOADINGS[name] for name in names]
    factors = noise(rng, ROWS, 3) @ np.linalg.cholesky(FACTOR_COV).T
    values = factors @ loadings.T + math.sqrt(RESIDUAL) * noise(rng, ROWS, 9)
    return pd.DataFrame(values, columns=list(LOADINGS)) + INTERCEPTS


def hide_at_random(rng: np.random.Generator, table: pd.DataFrame, columns: list[str], by: list[str]) -> pd.DataFrame:
    """MAR: a fifth to a third of the cells, more of them where a complete column is high."""
    z = (table[by] - table[by].mean()) / table[by].std()
    for i, column in enumerate(columns):
        rate = 1.0 / (1.0 + np.exp(1.2 - z[by[i % len(by)]]))
        table[column] = table[column].mask(rng.random(len(table)) < rate)
    return table


def hide_completely_at_random(rng: np.random.Generator, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    table[columns] = table[columns].mask(rng.random((len(table), len(columns))) < 0.2)
    return table


def draw_factors(rng: np.random.Generator) -> pd.DataFrame:
    return hide_at_random(rng, factor_scores(rng, normal), ["x2", "x3", "x5", "x6", "x8", "x9"], ["x1", "x4", "x7"])


def draw_skewed(rng: np.random.Generator) -> pd.DataFrame:
    return hide_completely_at_random(rng, factor_scores(rng, skewed), list(LOADINGS))


def path_scores(rng: np.random.Generator) -> pd.DataFrame:
    x = rng.standard_normal(ROWS)
    w = 0.3 * x + rng.standard_normal(ROWS)
    m = PATHS["m ~ x"] * x + PATHS["m ~ w"] * w + math.sqrt(PATH_RESIDUAL) * rng.standard_normal(ROWS)
    y = PATHS["y ~ m"] * m + PATHS["y ~ x"] * x + math.sqrt(PATH_RESIDUAL) * rng.standard_normal(ROWS)
    return pd.DataFrame({"x": x, "w": w, "m": m, "y": y})


def draw_path(rng: np.random.Generator) -> pd.DataFrame:
    return hide_at_random(rng, path_scores(rng), ["m", "y"], ["x", "w"])


DESIGNS = {
    "factors": Design(
        about="3 factors, normal, MAR, ML", model=FACTOR_MODEL, truth=factor_truth(), draw=draw_factors
    ),
    "mediation": Design(
        about="mediation, exogenous fixed, normal, MAR, ML", model=PATH_MODEL, truth=path_truth(), draw=draw_path
    ),
    "skewed": Design(
        about="3 factors, skewed, 20% MCAR, MLR", model=FACTOR_MODEL, truth=factor_truth(), draw=draw_skewed,
        options={"estimator": "MLR"},
    ),
    "skewed_ml": Design(
        about="the same data, ML (whose intervals and test suppose normal data)", model=FACTOR_MODEL,
        truth=factor_truth(), draw=draw_skewed,
    ),
}  # fmt: skip


# ---- the simulation ----------------------------------------------------------------------------------------


def replicate(name: str, seed: int, index: int) -> Replication | None:
    """One data set; the same for a seed and index, whatever the number of jobs."""
    design = DESIGNS[name]
    data = design.draw(np.random.default_rng([seed, index]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # improper solutions are part of what is judged
        try:
            fit = sem(design.model, data, **design.options)
        except FosaError:
            return None
        rows = fit.parameter_estimates()
        measures = fit.fit_measures()
    if not fit.converged:
        return None
    key = rows["lhs"] + " " + rows["op"] + " " + rows["rhs"]
    return Replication(
        est=dict(zip(key, rows["est"], strict=True)), se=dict(zip(key, rows["se"], strict=True)),
        pvalue=float(measures.get("pvalue.scaled", measures["pvalue"])),
    )  # fmt: skip


def simulate(name: str, replications: int, seed: int, jobs: int) -> list[Replication | None]:
    work = (delayed(replicate)(name, seed, index) for index in range(replications))
    done: Iterator[Replication | None] = Parallel(n_jobs=jobs, return_as="generator")(work)
    return list(tqdm(done, total=replications, desc=name, unit="fit"))


def table_of(design: Design, found: list[Replication]) -> pd.DataFrame:
    """Per parameter: truth, bias in standard deviations, mean SE over SD of the estimates, coverage."""
    est = pd.DataFrame([r.est for r in found])[list(design.truth)]
    se = pd.DataFrame([r.se for r in found])[list(design.truth)]
    truth = pd.Series(design.truth)
    half = 1.959963984540054 * se
    return pd.DataFrame(
        {
            "truth": truth,
            "bias/sd": (est.mean() - truth) / est.std(),
            "se/sd": se.mean() / est.std(),
            "coverage": ((est - truth).abs() <= half).mean(),
        }
    )


def report(design: Design, found: list[Replication | None]) -> None:
    kept = [r for r in found if r is not None]
    print(f"\n{design.about}: {len(kept)} of {len(found)} data sets with an estimate")
    if not kept:
        return
    table = table_of(design, kept)
    wrong = ~table["coverage"].between(*ACCEPTED)
    shown = table.assign(outside=wrong.map({True: "<-", False: ""}))
    print(shown.to_string(float_format=lambda value: f"{value:.3f}"))
    error = math.sqrt(LEVEL * (1 - LEVEL) / len(kept))
    print(
        f"coverage {table['coverage'].min():.3f} to {table['coverage'].max():.3f}, mean {table['coverage'].mean():.3f} "
        f"(Monte-Carlo SE of one {error:.3f}); {int(wrong.sum())} of {len(table)} outside "
        f"{ACCEPTED[0]:.0%} to {ACCEPTED[1]:.0%}"
    )
    pvalues = np.array([r.pvalue for r in kept])
    print(f"chi-square rejects at .05: {(pvalues < 0.05).mean():.3f} (Monte-Carlo SE {error:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default=",".join(DESIGNS), help="comma-separated designs")
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = [name for name in names if name not in DESIGNS]
    if unknown:
        parser.error(f"no design {unknown[0]!r}; there are {', '.join(DESIGNS)}")
    for name in names:
        report(DESIGNS[name], simulate(name, given.replications, given.seed, given.jobs))


if __name__ == "__main__":
    main()
