"""Time the whole call, ``sem(model, data).summary()``, against lavaan's ``sem()`` and ``summary(fit.measures = TRUE)``.

    python -m tests.benchmarks.fiml [--only a,e] [--repeat 3] [--no-r] [--r-cache FILE] [--json FILE]

CPU seconds of one thread, each repeat in a process of its own, after imports and a small warm-up fit (both sides).
Memory is what the call adds to the resident memory at its peak, beside the size of the modelled columns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from fosa_sem import sem
from fosa_sem.errors import DataError, DroppedRowsWarning
from r_bridge.runtime import find_rscript, r_info
from tests.benchmarks.workloads import WARM_UP, WORKLOADS, Workload

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MEGABYTE = 2**20
HEADER = f"{'':7}{'ours s':>9}{'lavaan s':>10}{'ratio':>8}{'goal':>6}{'logl ours':>18}{'less lavaan':>13}"
HEADER += f"{'MB':>8}{'data':>7}"


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description="Time the whole call against lavaan.")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="comma-separated workloads")
    parser.add_argument("--repeat", type=int, default=3, help="processes per workload; their median counts")
    parser.add_argument("--no-r", action="store_true", help="ours alone")
    parser.add_argument("--r-cache", type=Path, help="file with lavaan's times of an earlier run on this machine")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--call", nargs=2, metavar=("NAME", "TABLE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.call:
        print(json.dumps(one_call(WORKLOADS[given.call[0]], pd.read_pickle(given.call[1]))))
        return
    names = given.only.split(",")
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    found = run(names, given.repeat, with_r=not given.no_r, cache=given.r_cache)
    print_table(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def run(names: list[str], repeat: int, *, with_r: bool, cache: Path | None) -> dict[str, dict[str, Any]]:
    """Measure each workload; one that cannot be run gives the reason."""
    r_missing = "" if with_r else "--no-r"
    if with_r and not r_info().r_version:
        r_missing = "R is not installed"
    elif with_r and r_info().r_problems:
        r_missing = r_info().r_problems[0].what
    known = json.loads(cache.read_text(encoding="utf-8")) if cache and cache.is_file() else {}
    found = {}
    with tqdm(names, unit="workload") as bar, tempfile.TemporaryDirectory() as folder:
        for name in bar:
            bar.set_description(name)
            try:
                table = WORKLOADS[name].table()
            except DataError as error:
                found[name] = {"skipped": str(error)}
                continue
            found[name] = ours(name, table, Path(folder), repeat)
            lavaan = known.get(name) and {**known[name], "cached": True}
            if not lavaan and not r_missing:
                bar.set_description(f"{name}, lavaan")
                lavaan = time_lavaan(WORKLOADS[name], table, Path(folder))
                if cache and "skipped" not in lavaan:
                    known[name] = lavaan
                    cache.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            found[name]["lavaan"] = lavaan or {"skipped": r_missing}
    return found


def ours(name: str, table: pd.DataFrame, folder: Path, repeat: int) -> dict[str, Any]:
    """Median over fresh processes."""
    path = folder / "table.pkl"
    table.to_pickle(path)
    command = [sys.executable, "-m", "tests.benchmarks.fiml", "--call", name, str(path)]
    runs = []
    for _ in range(repeat):
        done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"workload {name}: {done.stderr}")
        runs.append(json.loads(done.stdout))
    cpu = [r["cpu"] for r in runs]
    return {**runs[0], "cpu": statistics.median(cpu), "all_cpu": cpu, "peak": max(r["peak"] for r in runs)}


def one_call(workload: Workload, table: pd.DataFrame) -> dict[str, Any]:
    """What the fresh process does."""
    warnings.simplefilter("ignore", DroppedRowsWarning)
    sem(WARM_UP.model, WARM_UP.table()).summary()
    before = _reset_peak()
    start = time.process_time()
    results = sem(workload.model, table, **workload.options)
    results.summary()
    cpu = time.process_time() - start
    size = 8 * len(table) * len(results.fit.table.names.observed)
    return {
        "cpu": cpu, "peak": (_status("VmHWM") - before) / MEGABYTE, "data": size / MEGABYTE,
        "loglik": results.loglik, "converged": results.converged, "patterns": sum(results.npatterns_by_group),
        "npar": results.npar, "n": results.nobs,
    }  # fmt: skip


def _reset_peak() -> int:
    """Start Linux's record of the highest resident memory anew; return the present one in bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def time_lavaan(workload: Workload, table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Run lavaan in a fresh R."""
    for stem, model, frame in (("table", workload.model, table), ("warm_up", WARM_UP.model, WARM_UP.table())):
        frame.to_csv(folder / f"{stem}.csv", index=False)
        (folder / f"{'model' if stem == 'table' else stem}.txt").write_text(model + "\n", encoding="utf-8")
    options = {name.replace("_", "."): value for name, value in workload.options.items()}
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
    command = [find_rscript() or "Rscript", "--vanilla", str(Path(__file__).with_name("lavaan.R")), str(folder)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"skipped": f"lavaan failed: {done.stderr.strip()[-300:]}"}
    return dict(json.loads((folder / "lavaan.json").read_text(encoding="utf-8")))


def print_table(found: dict[str, dict[str, Any]]) -> None:
    """One line per workload."""
    print(f"Python {platform.python_version()}, {platform.machine()}; CPU seconds, one thread, whole call")
    print(HEADER)
    for name, own in found.items():
        if "skipped" in own:
            print(f"{name:7}skipped: {own['skipped']}")
            continue
        lavaan, goal = own["lavaan"], WORKLOADS[name].goal
        line = f"{name:7}{own['cpu']:9.3f}"
        if "skipped" in lavaan:
            line += f"{'-':>10}{'-':>8}{goal:6.0f}{own['loglik']:18.6f}{'-':>13}"
        else:
            ratio, gap = lavaan["cpu"] / own["cpu"], own["loglik"] - lavaan["loglik"]
            line += f"{lavaan['cpu']:10.2f}{ratio:8.1f}{goal:6.0f}{own['loglik']:18.6f}{gap:13.1e}"
        flags = [
            "" if own["converged"] else "NOT CONVERGED",
            "lavaan's time is of an earlier run" if lavaan.get("cached") else lavaan.get("skipped", ""),
        ]
        print(f"{line}{own['peak']:8.1f}{own['data']:7.1f}  {'; '.join(flag for flag in flags if flag)}".rstrip())


if __name__ == "__main__":
    main()
