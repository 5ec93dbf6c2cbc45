"""Do pooled intervals of multiple imputations cover the truth, as FIML's do and those of single imputation do not?

    python -m tests.benchmarks.multiple_imputation [--replications 500] [--m 20] [--seed 1] [--jobs 2] [--timing]

Data sets of 300 rows lose 30% of the cells of most columns at random given complete ones (MAR). The same model imputes
and analyses. Beside the pooled estimates stand those of FIML, of one drawn table and of the table of conditional means.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from fosa_sem import SemResults, cfa, sem
from fosa_sem.errors import FosaError
from tests.benchmarks.coverage import (
    FACTOR_MODEL,
    PATH_MODEL,
    factor_scores,
    factor_truth,
    normal,
    path_scores,
    path_truth,
)

LEVEL = 0.95
ACCEPTED = (0.93, 0.97)
"""Coverage that is taken for right."""
MAX_BIAS = 0.02
"""Of an estimate, in standard deviations of the variable that it belongs to; all variables have one of about 1."""
METHODS = ("mi", "fiml", "drawn once", "conditional means")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A population that loses 30% of the cells of some columns, depending on others."""

    about: str
    model: str
    truth: dict[str, float]
    draw: Callable[[np.random.Generator], pd.DataFrame]
    incomplete: dict[str, str]


DESIGNS = {
    "factors": Design(
        about="3-factor CFA", model=FACTOR_MODEL, truth=factor_truth(), draw=lambda rng: factor_scores(rng, normal),
        incomplete={"x2": "x1", "x3": "x1", "x5": "x4", "x6": "x4", "x8": "x7", "x9": "x7"},
    ),
    "mediation": Design(
        about="mediation", model=PATH_MODEL, truth=path_truth(), draw=path_scores, incomplete={"m": "x", "y": "w"}
    ),
}  # fmt: skip


def hide(rng: np.random.Generator, table: pd.DataFrame, incomplete: dict[str, str]) -> pd.DataFrame:
    """MAR: on average 30% of the cells of a column, more where its complete neighbour is high."""
    table = table.copy()
    for column, by in incomplete.items():
        z = (table[by] - table[by].mean()) / table[by].std()
        rate = 1.0 / (1.0 + np.exp(1.0 - z))  # averages .30 over a standard normal z
        table[column] = table[column].mask(rng.random(len(table)) < rate)
    return table


def replicate(name: str, seed: int, index: int, m: int) -> dict[str, pd.DataFrame] | None:
    """Estimates of one data set by method, indexed by parameter; the same whatever the number of jobs."""
    design = DESIGNS[name]
    rng = np.random.default_rng([seed, index])
    data = hide(rng, design.draw(rng), design.incomplete)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # improper solutions are part of what is judged
        try:
            results = sem(design.model, data)
            imputer = sem(design.model, data, fixed_x=False)
            imputations = imputer.multiple_imputations(m, seed=index)
            frames = {
                "mi": imputations.fit(design.model).parameter_estimates(),
                "fiml": results.parameter_estimates(),
                "drawn once": sem(design.model, imputations.complete(1)).parameter_estimates(),
                "conditional means": sem(design.model, imputer.impute().to_frame()).parameter_estimates(),
            }
        except FosaError:
            return None
    return {method: _by_name(frame) for method, frame in frames.items()} if results.converged else None


def _by_name(frame: pd.DataFrame) -> pd.DataFrame:
    names = (frame["lhs"] + " " + frame["op"] + " " + frame["rhs"]).rename("parameter")
    return frame[["est", "se", "ci_lower", "ci_upper"]].set_index(names)


def simulate(name: str, replications: int, seed: int, jobs: int, m: int) -> list[dict[str, pd.DataFrame] | None]:
    work = (delayed(replicate)(name, seed, index, m) for index in range(replications))
    done: Iterator[dict[str, pd.DataFrame] | None] = Parallel(n_jobs=jobs, return_as="generator")(work)
    return list(tqdm(done, total=replications, desc=name, unit="data set"))


def table_of(truth: pd.Series, found: list[pd.DataFrame]) -> pd.DataFrame:
    """Per parameter: bias, bias in standard deviations of the estimate, mean SE over that, and coverage."""
    est, se, low, high = (
        pd.DataFrame([frame.loc[truth.index, column] for frame in found]).reset_index(drop=True)
        for column in ("est", "se", "ci_lower", "ci_upper")
    )
    return pd.DataFrame(
        {
            "bias": est.mean() - truth,
            "bias/sd": (est.mean() - truth) / est.std(),
            "se/sd": se.mean() / est.std(),
            "coverage": ((low <= truth) & (truth <= high)).mean(),
        }
    )


def report(name: str, replications: list[dict[str, pd.DataFrame] | None]) -> None:
    design = DESIGNS[name]
    found = [r for r in replications if r is not None]
    truth = pd.Series(design.truth)
    tables = {method: table_of(truth, [r[method] for r in found]) for method in METHODS}
    error = math.sqrt(LEVEL * (1 - LEVEL) / len(found))
    print(f"\n{design.about}: {len(found)} of {len(replications)} data sets with an estimate")
    shown = pd.concat({"truth": truth.to_frame(""), **tables}, axis=1)
    print(shown.to_string(float_format=lambda value: f"{value:.3f}"))
    for method, table in tables.items():
        outside = ~table["coverage"].between(*ACCEPTED)
        print(
            f"{method:>18}: largest bias {table['bias'].abs().max():.3f}, coverage {table['coverage'].min():.3f} to "
            f"{table['coverage'].max():.3f}, mean {table['coverage'].mean():.3f}; {int(outside.sum())} of {len(table)} "
            f"outside {ACCEPTED[0]:.0%} to {ACCEPTED[1]:.0%}"
        )
    difference = pd.DataFrame([r["mi"].loc[truth.index, "est"] - r["fiml"].loc[truth.index, "est"] for r in found])
    spread = pd.DataFrame([r["fiml"].loc[truth.index, "est"] for r in found]).std()
    print(
        f"Monte-Carlo SE of a coverage {error:.3f}, of a mean estimate {1 / math.sqrt(len(found)):.3f} of its SD; MI "
        f"less FIML on average {(difference.mean() / spread).abs().max():.3f} SD at most"
    )
    biased = tables["mi"]["bias"].abs() > MAX_BIAS
    print(f"MI: {int(biased.sum())} of {len(truth)} parameters biased by more than {MAX_BIAS} SD of a variable")


def timing(m: int = 100, rows: int = 10_000, columns: int = 20) -> None:
    """How long m tables take, each made and thrown away."""
    rng = np.random.default_rng(0)
    names = [f"y{i}" for i in range(columns)]
    factors = rng.multivariate_normal(np.zeros(4), 0.4 + 0.6 * np.eye(4), rows)
    values = np.repeat(factors, columns // 4, axis=1) * 0.7 + 0.7 * rng.standard_normal((rows, columns))
    data = pd.DataFrame(values, columns=names).mask(rng.random((rows, columns)) < 0.2)
    blocks = np.array_split(names, 4)
    results: SemResults = cfa("\n".join(f"f{j} =~ {' + '.join(block)}" for j, block in enumerate(blocks)), data)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in results.multiple_imputations(m):
        pass
    print(
        f"\n{m} imputations of {rows} x {columns}, 20% missing, {results.npatterns_by_group[0]} patterns: "
        f"{time.process_time() - cpu:.1f} s of one core ({time.perf_counter() - wall:.1f} s by the clock)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--m", type=int, default=20, help="imputations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default=",".join(DESIGNS), help="comma-separated designs")
    parser.add_argument("--timing", action="store_true", help="measure the time of 100 large tables alone")
    given = parser.parse_args()
    names = [] if given.timing else given.only.split(",")
    unknown = [name for name in names if name not in DESIGNS]
    if unknown:
        parser.error(f"no design {unknown[0]!r}; there are {', '.join(DESIGNS)}")
    for name in names:
        report(name, simulate(name, given.replications, given.seed, given.jobs, given.m))
    timing()


if __name__ == "__main__":
    main()
