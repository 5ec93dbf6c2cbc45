"""Compare every fit of the external conformance cases with lavaan, run now, number by number.

    FOSA_SEM_CONFORMANCE=FOLDER python -m tests.benchmarks.crosscheck [--only TEXT]

Prints the verdict and the worst difference of every case, in units of what is allowed, and the worst of all. Ends with
exit code 1 if a number differs for an unknown reason. Needs R with lavaan, and rpy2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

import fosa_sem
from fosa_sem.errors import FosaError
from r_bridge import CrossCheck, crosscheck


def main(argv: list[str] | None = None) -> int:
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    args = parser.parse_args(argv)
    folder = os.environ.get("FOSA_SEM_CONFORMANCE")
    if not folder:
        sys.exit("FOSA_SEM_CONFORMANCE must name the folder of the conformance cases")
    warnings.simplefilter("ignore")  # of the cases themselves: dropped rows, negative variances
    worst: list[tuple[float, str]] = []
    wrong = 0
    for file in sorted(Path(folder, "open", "fit").glob("*.json")):
        if args.only not in file.stem:
            continue
        try:
            check = crosscheck(fit(json.loads(file.read_text(encoding="utf-8")), file.parents[1]))
        except FosaError as error:
            wrong += 1
            print(f"{file.stem:26} {type(error).__name__}: {' '.join(str(error).split())[:90]}", flush=True)
            continue
        wrong += not check.ok
        size, what = furthest(check)
        if check.converged:  # else lavaan's numbers are no reference
            worst.append((size, f"{file.stem}: {what}"))
        print(line(file.stem, check, size, what), flush=True)
    if worst:
        size, where = max(worst)
        print(f"\n{len(worst)} cases that lavaan fits; {wrong} cases are not as they should be.")
        print(f"The worst difference is {size:.3g} of its tolerance, {where}")
    return int(wrong > 0)


def fit(case: dict[str, Any], folder: Path) -> fosa_sem.SemResults:
    """Fit a case with its options under our names."""
    options = {name.replace(".", "_"): value for name, value in case["options"].items()}
    if "aux" in options:
        options["auxiliary"] = options.pop("aux")
    function = getattr(fosa_sem, case["function"].removesuffix(".auxiliary"))
    return function(case["model"], pd.read_csv(folder / case["data"]), **options)


def furthest(check: CrossCheck) -> tuple[float, str]:
    """The largest difference that is not a known one, in units of its tolerance."""
    table = check.table[~check.table["verdict"].str.startswith("known: ")]
    if table.empty:
        return 0.0, "nothing but known differences"
    allowed = table["tolerance"].where(table["tolerance"] > 0, 1.0)
    size = (table["difference"].abs() / allowed).fillna(float("inf"))
    row = table.loc[size.idxmax()]
    return float(size.max()), f"{row['quantity']} {row['name']}".strip()


def line(name: str, check: CrossCheck, size: float, what: str) -> str:
    """One case in one line."""
    known = check.table["verdict"][check.table["verdict"].str.startswith("known: ")]
    verdict = "ok" if check.ok else "DIFFERS"
    excused = f"; {len(known)} known: {', '.join(reason[7:50] for reason in known.unique())} ..." if len(known) else ""
    if not check.converged:
        return f"{name:26} {verdict:8} lavaan does not fit it{excused}"
    return f"{name:26} {verdict:8} {len(check.table):6} numbers, worst {size:9.3g} of the tolerance ({what}){excused}"


if __name__ == "__main__":
    sys.exit(main())
