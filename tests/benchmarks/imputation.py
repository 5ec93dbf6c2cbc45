"""How well do imputers fill hidden cells? FOSA beside its peers on the tasks T1 to T6 and NHANES.

    python -m tests.benchmarks.imputation [--tasks T1,T2,...] [--seeds 0-4] [--methods mean,em,fosa,...]
                                          [--out imputation_benchmark.csv] [--jobs 1]

Every task x seed x method runs in a process of its own and becomes a line of the CSV file at once; what is in the file
is not run again, so that a killed run goes on where it stopped (delete a line to repeat it). At the end the means over
seeds are printed with every seed's R2, and the goals that FOSA was set. Set OMP_NUM_THREADS=1 where there are more
runs at a time than spare cores. The chained tree ensembles take most of the
time: minutes per seed on T3 and T4, seconds on the others. CDC300 (300,000 rows) is run if it is named.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fosa_sem import imputation_metrics
from fosa_sem.evaluate.metrics import OVERALL
from fosa_sem.evaluate.metrics import SCORES as METRICS
from tests.benchmarks.imputation_methods import METHODS
from tests.benchmarks.imputation_tasks import SCORES, TASKS, score, task
from tests.benchmarks.resumable import RowFile, run_all

KEY = ("task", "seed", "method")
COLUMNS = (*KEY, *SCORES, *METRICS, "seconds", "cpu_seconds", "peak_mb", "error")
KNOWN = (*TASKS, "CDC300", "T1-MAR", "T1-MNAR", "T3-MAR", "T3-MNAR")


# ---- one cell of the table ---------------------------------------------------------------------------------


def row_file(path: Path) -> RowFile:
    """The table of all runs."""
    return RowFile(path=path, texts=("task", "method", "error"), columns=COLUMNS)


def run_one(name: str, seed: int, method: str) -> list[dict[str, object]]:
    """Fill one task by one method: its row of the file."""
    import sklearn.ensemble  # noqa: F401  both are loaded before the clock starts
    import torch  # noqa: F401

    made = task(name, seed)
    table = made.data
    row: dict[str, object] = {"task": name, "seed": seed, "method": method, "error": ""}
    wall, cpu = time.perf_counter(), _cpu_seconds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            filled = METHODS[method].make(made)(table, seed)
            row |= {"seconds": time.perf_counter() - wall, "cpu_seconds": _cpu_seconds() - cpu}
            metrics = imputation_metrics(made.truth, filled, made.mask)
            row |= score(made.truth, made.mask, filled).loc["MEAN"].to_dict()
            row |= metrics[metrics["variable"] == OVERALL].iloc[0][list(METRICS)].to_dict()
        except Exception as error:  # a method that fails is a result
            row["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    # Since the process started: the table and the packages loaded are in it.
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [row]


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


# ---- what is printed ---------------------------------------------------------------------------------------


def summary_text(rows: pd.DataFrame) -> str:
    """Means over seeds by task and method, and every seed's R2."""
    lines = []
    for name in dict.fromkeys(rows["task"]):
        of_task = rows[rows["task"] == name]
        lines.append(f"\n{name}")
        lines.append(
            f"{'method':>12} {'R2':>8} {'RMSE':>7} {'MAE':>7} {'W1':>7} {'KL':>7} {'cor.err':>8} "
            f"{'wall s':>8} {'CPU s':>8} {'MB':>6}  R2 by seed"
        )
        order = of_task.groupby("method")["R2"].mean().sort_values(ascending=False, na_position="last").index
        for method in order:
            lines += _method_lines(of_task[of_task["method"] == method], str(method))
    return "\n".join(lines)


def _method_lines(rows: pd.DataFrame, method: str) -> list[str]:
    done = rows[rows["error"] == ""].sort_values("seed")
    lines = []
    if len(done):
        mean = done[[*SCORES, "cov_error", "seconds", "cpu_seconds", "peak_mb"]].mean()
        by_seed = [f"{seed}: {r2:.4f}" for seed, r2 in zip(done["seed"], done["R2"], strict=True)]
        lines.append(
            f"{method:>12} {mean['R2']:>8.4f} {mean['RMSE']:>7.4f} {mean['MAE']:>7.4f} {mean['W1']:>7.4f} "
            f"{mean['KL']:>7.3f} {mean['cov_error']:>8.4f} {mean['seconds']:>8.1f} {mean['cpu_seconds']:>8.1f} "
            f"{mean['peak_mb']:>6.0f}  {'  '.join(by_seed)}"
        )
    failed = rows[rows["error"] != ""]
    if len(failed):
        seeds = ", ".join(map(str, failed["seed"]))
        lines.append(f"{method:>12} failed (seed {seeds}): {failed['error'].iloc[0][:90]}")
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What FOSA was asked for on a task: a score of the mean over seeds, at least (or at most) a bound."""

    task: str
    column: str
    bound: Callable[[pd.DataFrame], float]
    text: str
    at_most: bool = False


def _starts_less(margin: float) -> Callable[[pd.DataFrame], float]:
    """The better of saturated FIML and the SEM, less a margin; NaN if neither was run."""
    return lambda rows: rows[rows["method"].isin(["em", "sem"])].groupby("method")["R2"].mean().max() - margin


GOALS = (
    Goal(task="T1", column="R2", bound=_starts_less(0.001), text="R2 not below EM/SEM by more than .001"),
    Goal(task="T5", column="R2", bound=_starts_less(0.001), text="R2 not below EM/SEM by more than .001"),
    Goal(task="T2", column="R2", bound=lambda rows: 0.86, text="R2 at least .860"),
    Goal(task="T2-MAR", column="R2", bound=lambda rows: 0.36, text="R2 at least .360"),
    Goal(task="T3", column="R2", bound=lambda rows: 0.040, text="R2 at least .0400"),
    Goal(task="T4", column="R2", bound=lambda rows: 0.126, text="R2 at least .1260"),
    Goal(task="T2", column="seconds", bound=lambda rows: 25, text="a fit under 25 s of wall time", at_most=True),
    Goal(task="CDC300", column="seconds", bound=lambda rows: 28, text="the whole run under 28 s", at_most=True),
    Goal(task="CDC300", column="peak_mb", bound=lambda rows: 2000, text="memory under 2 GB", at_most=True),
    Goal(task="CDC300", column="R2", bound=lambda rows: 0.040, text="R2 at least .0400, as on T3"),
)


def goals_text(rows: pd.DataFrame) -> str:
    """Every goal with what was reached: met, not met, or not run."""
    lines = ["\nGoals of fosa (means over the seeds run)"]
    for goal in GOALS:
        of_task = rows[(rows["task"] == goal.task) & (rows["error"] == "")]
        found = of_task[of_task["method"] == "fosa"][goal.column]
        bound = goal.bound(of_task) if len(found) else math.nan
        lines.append(f"{goal.task:>8}  {goal.text:<40} {_verdict(found, bound, goal)}")
    return "\n".join(lines)


def _verdict(found: pd.Series, bound: float, goal: Goal) -> str:
    if found.empty or math.isnan(bound):
        return "not run"
    value = float(found.mean())
    met = value <= bound if goal.at_most else value >= bound
    digits = 4 if goal.column == "R2" else 1
    return f"{'met' if met else 'NOT MET'}: {value:.{digits}f} (bound {bound:.{digits}f}, {len(found)} seeds)"


# ---- command line ------------------------------------------------------------------------------------------


def parse_seeds(text: str) -> list[int]:
    """ "0-2,7" to [0, 1, 2, 7]."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.imputation", description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"of {', '.join(KNOWN)}")
    parser.add_argument("--seeds", type=parse_seeds, default="0-4", help="as in 0-4 or 0,3 (default: 0-4)")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--out", type=Path, default=Path("imputation_benchmark.csv"), help="file to go on with")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    given = parser.parse_args(argv)
    tasks, methods = given.tasks.split(","), given.methods.split(",")
    for name, known in [*((t, KNOWN) for t in tasks), *((m, tuple(METHODS)) for m in methods)]:
        if name not in known:
            parser.error(f"no {name!r}; there are {', '.join(known)}")
    for method in list(methods):
        reason = METHODS[method].why_not()
        if reason:
            print(f"skipped: {method}: {reason}")
            methods.remove(method)
    file = row_file(given.out)
    done = file.done(KEY)
    wanted = [(name, seed, method) for name in tasks for seed in given.seeds for method in methods]
    run_all(run_one, [key for key in wanted if key not in done], file, given.jobs)
    rows = file.read()
    shown = rows[rows["task"].isin(tasks) & rows["method"].isin(methods) & rows["seed"].isin(given.seeds)]
    print(summary_text(shown))
    print("\n" + "\n".join(f"{name:>12}  {METHODS[name].about}" for name in methods))
    print(goals_text(shown))


if __name__ == "__main__":
    main()
