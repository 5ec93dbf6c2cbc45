"""How often weak data lead anywhere: certified maxima of ours beside the convergence of lavaan, run now.

    python -m tests.benchmarks.weak

Sixty seeded tables: two factors (correlation .3) of three indicators each, loadings .3, .45 or .6, 25 to 150 rows, 20%
of the cells missing. Needs R with lavaan, and rpy2.
"""

from __future__ import annotations

import sys
import warnings
from itertools import product

import numpy as np
import pandas as pd
from tqdm import tqdm

import fosa_sem
from fosa_sem.errors import FosaError
from r_bridge import fit_lavaan
from tests.benchmarks.workloads import factor_model, punch

MODEL = factor_model(2, 3)
ROWS, LOADINGS, SEEDS = (25, 50, 100, 150), (0.3, 0.45, 0.6), range(5)
SAME = 1e-4
"""Difference of log-likelihoods below which two maxima are the same: more than where lavaan's optimiser stops."""


def main() -> int:
    """Fit every table by both and print the counts."""
    warnings.simplefilter("ignore")  # of improper solutions, which are many here
    found = [_logliks(simulate(*cell)) for cell in tqdm(list(product(ROWS, LOADINGS, SEEDS)), unit="table")]
    theirs = [(ours, lavaans) for ours, lavaans in found if lavaans is not None]
    same = sum(ours is not None and ours > lavaans - SAME for ours, lavaans in theirs)
    others = [ours for ours, lavaans in found if lavaans is None]
    print(f"{len(found)} tables; lavaan converged in {len(theirs)}, ours at the same or a higher maximum in {same} of")
    print(f"these; of the other {len(others)} ours has a certified maximum in {sum(o is not None for o in others)}")
    return 0


def simulate(n: int, loading: float, seed: int) -> pd.DataFrame:
    """One table."""
    rng = np.random.default_rng((n, round(100 * loading), seed))
    factors = rng.standard_normal((n, 2))
    factors[:, 1] = 0.3 * factors[:, 0] + np.sqrt(1.0 - 0.3**2) * factors[:, 1]
    noise = rng.standard_normal((n, 6)) * np.sqrt(1.0 - loading**2)
    values = np.repeat(factors, 3, axis=1) * loading + noise
    return punch(pd.DataFrame(values, columns=[f"x{j + 1}" for j in range(6)]), 0.2, seed)


def _logliks(table: pd.DataFrame) -> tuple[float | None, float | None]:
    """Log-likelihoods of ours and of lavaan, None where there is no maximum."""
    try:
        results = fosa_sem.cfa(MODEL, table)
        ours = results.loglik if results.converged else None
    except FosaError:
        ours = None
    try:
        fit = fit_lavaan(MODEL, table, func="cfa", tables=["logLik"], missing="fiml")
        theirs = float(fit["logLik"]["value"].iloc[0]) if fit.converged else None
    except FosaError:
        theirs = None
    return ours, theirs


if __name__ == "__main__":
    sys.exit(main())
