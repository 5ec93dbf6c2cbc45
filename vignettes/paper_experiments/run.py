"""Run the experiments; from the project's root, with the CDC's file in the folder that FOSA_SEM_DATA names:

    python -m vignettes.paper_experiments.run [--only "table 2,rates"] [--methods mean,fosa] [--jobs 1]

Results land in results.csv beside this script, and what is there is not run again. `report` makes the text of them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

from fosa_sem import imputation_metrics
from fosa_sem.evaluate.metrics import OVERALL
from tests.benchmarks.imputation_methods import METHODS as IMPUTERS
from tests.benchmarks.imputation_tasks import SCORES, Task, score
from tests.benchmarks.resumable import RowFile, run_all
from vignettes.paper_experiments.settings import KEY, METHODS, TABLES, Setting, mask, methods_of, source

COLUMNS = (*KEY, "method", *SCORES, "cov_error", "cpu_seconds", "error")
RESULTS = RowFile(
    path=Path(__file__).with_name("results.csv"), texts=("data", "mechanism", "model", "method", "error"),
    columns=COLUMNS,
)  # fmt: skip


def run_one(setting: Setting, methods: Sequence[str] = METHODS) -> list[dict[str, object]]:
    """Fill one table by every method: a row each."""
    import torch  # noqa: F401  loaded before the clock starts

    truth, model, func = source(setting)
    task = Task(name="", truth=truth, mask=mask(truth, setting), model=model, func=func)
    return [_row(setting, task, method) for method in methods]


def _row(setting: Setting, task: Task, method: str) -> dict[str, object]:
    row: dict[str, object] = dict(zip(KEY, setting.key, strict=True)) | {"method": method, "error": ""}
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            filled = IMPUTERS[method].make(task)(task.data, setting.seed)
        except Exception as error:  # a method that fails is a result
            return row | {"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    metrics = imputation_metrics(task.truth, filled, task.mask).set_index("variable").loc[OVERALL]
    scores = score(task.truth, task.mask, filled).loc["MEAN"]
    return row | {
        name: round(float(value), 6) for name, value in [*scores.items(), ("cov_error", metrics["cov_error"])]
    }


def pending(
    names: Sequence[str], done: Collection[tuple[object, ...]], methods: Sequence[str] = METHODS
) -> list[tuple[Setting, tuple[str, ...]]]:
    """Settings and the methods without results, in the order of the tables; done are values of `KEY` and method."""
    wanted = dict.fromkeys(setting for name in names for setting in TABLES[name]())
    left = {
        setting: tuple(m for m in methods_of(setting) if m in methods and (*setting.key, m) not in done)
        for setting in wanted
    }
    return [(setting, missing) for setting, missing in left.items() if missing]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(TABLES), help=f"of {', '.join(TABLES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--seeds", type=int, help="only the first so many seeds")
    parser.add_argument("--jobs", type=int, default=1, help="settings at a time (default: 1)")
    given = parser.parse_args()
    names, methods = given.only.split(","), given.methods.split(",")
    for name, known in [*((n, tuple(TABLES)) for n in names), *((m, METHODS) for m in methods)]:
        if name not in known:
            parser.error(f"no {name!r}; there are {', '.join(known)}")
    left = pending(names, RESULTS.done((*KEY, "method")), methods)
    run_all(run_one, [work for work in left if given.seeds is None or work[0].seed < given.seeds], RESULTS, given.jobs)


if __name__ == "__main__":
    main()
