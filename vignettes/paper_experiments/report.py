"""Make paper_experiments.md and its figures from results.csv and printed.csv; from the project's root:

python -m vignettes.paper_experiments.report
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vignettes.paper_experiments.run import RESULTS, pending
from vignettes.paper_experiments.settings import KEY, MCAR, METHODS, RIGHT, TABLES, Setting

FOLDER = Path(__file__).parent
CELL = [name for name in KEY if name != "seed"]
NAMES = {
    "mean": "column mean", "em": "FIML, saturated", "sem": "FIML, the model", "fosa": "FOSA",
    "fosa_paper": "FOSA, paper's settings",
}  # fmt: skip
SHOWN = {
    "R2": "R2",
    "RMSE": "RMSE",
    "MAE": "MAE",
    "W1": "W1",
    "KL": "KL",
    "cov_error": "cor. error",
    "cpu_seconds": "CPU s",
}
NOISE = 0.001  # differences in R2 up to this count as none
DATA = {"a": "pattern (a)", "b": "pattern (b)", "cdc": "survey"}

INTRODUCTION = """# The FOSA paper's experiments, redone

Deng & Jin (arXiv 2308.12388) fill missing cells by full-information maximum likelihood (FIML) and then by
self-attention. Here their experiments are run again with a FIML that is fitted to the incomplete table, as it should
be: the public code of the paper fills the holes with column means first. Each table has the column mean; the
conditional expectation under the saturated normal distribution and under the model, both by FIML; FOSA as
`FosaImputer` does it by default; and, in Tables 2 and 3 and for 300,000 rows, FOSA with the paper's settings (4
heads, width 64, 200 epochs, dropout .5, learning rate .001).

Scores are of the hidden cells, on the scale of each variable's standard deviation, the mean over variables and then
over seeds: R2 (explained share), RMSE, MAE, the Wasserstein distance W1 and KL(truth || imputed) of the
distributions, the error of the correlation matrix of the completed table, and processor time. KL and W1 judge a
conditional mean by a spread that it does not have.

**The paper's printed numbers.** They stand beside ours where `printed.csv` has them. The text of the paper could not
be read where this was made, only its abstract and the authors' summary, so that the file holds no more than the
running time for 300,000 rows, as this project's requirements quote it; a row added to the file appears in its table.

**Claims.** The authors' summary of the code claims "pronounced advantages over traditional FIML techniques,
encapsulating facets of accuracy, computational efficiency, and adaptability to diverse data structures", later
"especially on small and middle size dataset"; the abstract claims that the method "rectifies potential
mis-specifications in SEM". What holds of this is said at the end.

`python -m vignettes.paper_experiments.run` makes `results.csv` (it goes on where it stopped),
`python -m vignettes.paper_experiments.report` this text.
"""

SECTIONS = {
    "table 2": (
        "Table 2: simulated data",
        "A, B normal; (a) C = A + B, D = A - B, (b) C = A + 2B^2, D = AB; E = 2C + 3D + noise; 500 rows, 20% missing "
        "completely at random. The model E ~ A + B + C + D is saturated: it says nothing that the saturated normal "
        "distribution does not. In (a) columns are exactly dependent, and a ridge of a millionth is added.",
    ),
    "table 3": (
        "Table 3: the CDC's survey",
        "HeartDisease, BMI, PhysicalHealth, MentalHealth and SleepTime, first 50,000 rows, 40% missing completely at "
        "random; BMI is regressed on the others, again a saturated model.",
    ),
    "table 4": (
        "Table 4: rows by share of missing cells",
        "The survey's first n rows.",
    ),
    "misspecified": (
        "Section 5.1: a wrong model",
        "Once E (or BMI) is regressed on a single column; once no column is related to any other. (The paper's own "
        "wrong model could not be read.) The saturated distribution has no model to be wrong about.",
    ),
    "mechanisms": (
        "Missing at random, and not at random",
        "Left for later by the paper. 30% of the cells are missing by a logistic function (slope 1.5): of A or "
        "PhysicalHealth, which stay complete (MAR), or of the value itself (MNAR).",
    ),
    "rates": (
        "From 10 to 60% missing",
        "Left for later by the paper. The survey's first 50,000 rows, missing completely at random.",
    ),
}  # fmt: skip


def cell_means(results: pd.DataFrame, settings: Iterable[Setting]) -> pd.DataFrame:
    """Means of the settings' results over the seeds that all methods run there have, with the number of seeds."""
    wanted = pd.DataFrame([s.key for s in settings], columns=list(KEY))
    rows = wanted.merge(results[results["error"] == ""], on=list(KEY))
    methods = rows.groupby(CELL)["method"].transform("nunique")
    rows = rows[rows.groupby(list(KEY))["method"].transform("nunique") == methods]
    groups = rows.groupby([*CELL, "method"], sort=False)
    table = groups[list(SHOWN)].mean()
    table.insert(0, "seeds", groups["seed"].nunique())
    return table.reset_index()


def table_text(means: pd.DataFrame, printed: pd.DataFrame) -> str:
    """A Markdown table: a row per setting and method, the paper's number in brackets where there is one."""
    varying = [name for name in CELL if means[name].nunique() > 1 or name == "data"]
    lines = ["| " + " | ".join([*varying, "method", *SHOWN.values(), "seeds"]) + " |"]
    lines.append("|" + "---|" * (len(varying) + 2 + len(SHOWN)))
    for _, row in means.iterrows():
        where = [_place(name, row[name]) for name in varying]
        scores = [_number(name, float(row[name])) + _printed(printed, row, name) for name in SHOWN]
        lines.append("| " + " | ".join([*where, NAMES[row["method"]], *scores, str(row["seeds"])]) + " |")
    return "\n".join(lines)


def _place(name: str, value: object) -> str:
    if name == "data":
        return DATA[str(value)]
    if name == "rate":
        return f"{value:.0%}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(name: str, value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.1f}" if name == "cpu_seconds" else f"{value:.4f}" if name == "R2" else f"{value:.3f}"


def _printed(printed: pd.DataFrame, row: pd.Series, metric: str) -> str:
    same = printed["metric"] == metric
    for name in [*CELL, "method"]:
        same &= printed[name] == row[name]
    found = [f"{p.value:g} {p.remark}".strip() for p in printed[same].itertuples()]
    return f" (paper: {'; '.join(found)})" if found else ""


# ---- what holds --------------------------------------------------------------------------------------------


def differences(means: pd.DataFrame, method: str, start: str = "sem") -> pd.Series:
    """R2 of a method less that of its start, a value per setting."""
    wide = means.pivot(index=CELL, columns="method", values="R2").reindex(columns=[*METHODS])
    return (wide[method] - wide[start]).dropna()


def counted(change: pd.Series) -> str:
    """How often a difference is a gain, none, or a loss."""
    if change.empty:
        return "not known yet"
    gain, loss = change[change > NOISE], change[change < -NOISE]
    better = f"better in {len(gain)} of {len(change)} settings" + (f" (by up to {gain.max():.3f})" if len(gain) else "")
    worse = f"worse in {len(loss)}" + (f" (by up to {-loss.min():.3f})" if len(loss) else "")
    return f"{better}, {worse}, the same within {NOISE} in {len(change) - len(gain) - len(loss)}"


def conclusions(means: pd.DataFrame) -> list[str]:
    """Sentences about the claims, from the numbers."""
    right = means[means["model"] == RIGHT]
    at_random, others = right[right["mechanism"] == MCAR], right[right["mechanism"] != MCAR]
    survey = at_random[at_random["data"] == "cdc"]
    said = [
        "Accuracy. Under the paper's models and cells missing completely at random, R2 of FOSA is "
        f"{counted(differences(at_random, 'fosa'))}, compared with FIML; that of FOSA with the paper's settings is "
        f"{counted(differences(at_random, 'fosa_paper'))}.",
        _by_data(at_random),
        "Small and middle sizes. On the survey, R2 of FOSA less that of FIML by rows (mean over the shares of missing "
        f"cells): {_by_rows(survey)}.",
        f"Wrong models. {_wrong_models(means)}",
        f"Computational efficiency. {_times(survey)}",
    ]
    if len(others):
        said.append(
            "Other mechanisms. Under MAR and MNAR, R2 of FOSA is "
            f"{counted(differences(others, 'fosa'))}, compared with FIML. Held-out cells, by which the gates decide, "
            "are like the observed ones: under MNAR they speak for others than those that are missing."
        )
    return said


def _by_data(means: pd.DataFrame) -> str:
    parts = []
    for data, rows in means.groupby("data", sort=False):
        change = differences(rows, "fosa")
        if len(change):
            several = f" ({len(change)} settings)" if len(change) > 1 else ""
            parts.append(f"{DATA[str(data)]}: {change.mean():+.4f}{several}")
    return (
        f"Where it gains. R2 of FOSA less that of FIML: {'; '.join(parts) or 'not known yet'}. Nothing can beat the "
        "conditional expectation where data are linear and normal, as in (a)."
    )


def _by_rows(means: pd.DataFrame) -> str:
    change = differences(means[means["rate"].isin([0.2, 0.4, 0.6])], "fosa").groupby("n").mean()
    return ", ".join(f"{n:,}: {value:+.4f}" for n, value in change.items()) or "not known yet"


def _wrong_models(means: pd.DataFrame) -> str:
    parts = []
    wrong = means[means["model"] != RIGHT]
    for (data, model), rows in wrong.groupby(["data", "model"], sort=False):
        r2 = rows.set_index("method")["R2"]
        if {"em", "sem", "fosa"} <= set(r2.index):
            lost, back = r2["em"] - r2["sem"], r2["fosa"] - r2["sem"]
            parts.append(
                f"{DATA[data]}, {model}: FIML loses {lost:.3f} to the saturated distribution, FOSA gains {back:+.3f}"
            )
    return ("; ".join(parts) + ".") if parts else "Not run yet."


def _times(means: pd.DataFrame) -> str:
    large = means[(means["n"] == means["n"].max()) & (means["rate"] == 0.4)]
    seconds = large.set_index("method")["cpu_seconds"].dropna()
    taken = ", ".join(f"{NAMES[m]} {seconds[m]:.1f} s" for m in ("sem", "fosa", "fosa_paper") if m in seconds)
    if not taken:
        return "Not known yet."
    about = f"On {large['n'].max():,} rows of the survey, 40% missing: {taken}."
    if {"sem", "fosa"} <= set(seconds.index):
        times = seconds["fosa"] / max(seconds["sem"], 0.1)
        about += f" FOSA contains the FIML fit and takes {times:.0f} times as long."
    return about


# ---- figures -----------------------------------------------------------------------------------------------


def figure(means: pd.DataFrame, x: str, label: str, path: Path) -> None:
    """R2 of the methods over one column, everything else the same."""
    drawn = Figure(figsize=(6.4, 2.9), layout="constrained")
    axes = drawn.subplots()
    for method, color in (("mean", "#888888"), ("sem", "#1f5a94"), ("fosa", "#c4601d"), ("fosa_paper", "#7a9e3f")):
        rows = means[means["method"] == method].sort_values(x)
        axes.plot(rows[x], rows["R2"], marker="o", markersize=4, linewidth=1.2, color=color, label=NAMES[method])
    if x == "n":
        axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("R2 of hidden cells")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    drawn.savefig(path, dpi=110)


FIGURES: dict[str, tuple[str, str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "rates": ("rate", "share of missing cells", lambda means: means),
    "table 4": ("n", "rows (40% missing)", lambda means: means[means["rate"] == 0.4]),
}


def text(results: pd.DataFrame, printed: pd.DataFrame) -> str:
    """The vignette, from what was run."""
    parts, done = [INTRODUCTION], set(results[[*KEY, "method"]].itertuples(index=False, name=None))
    for name, (title, about) in SECTIONS.items():
        means = cell_means(results, TABLES[name]())
        left = len(pending([name], done))
        parts.append(
            f"## {title}\n\n{about}\n" + (f"\n({left} of its settings are not complete yet.)\n" if left else "")
        )
        if len(means):
            parts.append(table_text(means, printed) + "\n")
        x, label, _ = FIGURES.get(name, ("data", "", None))
        if name in FIGURES and means[x].nunique() > 1:
            parts.append(f"![R2 by {label}]({x}.png)\n")
    everything = cell_means(results, dict.fromkeys(s for make in TABLES.values() for s in make()))
    parts.append("## What holds\n\n" + "\n".join(f"- {sentence}" for sentence in conclusions(everything)) + "\n")
    left = len(pending(list(TABLES), done))
    parts.append(
        f"Filling these tables took {results['cpu_seconds'].sum() / 60:.0f} CPU minutes as far as they were counted; "
        + (f"{left} settings are left to run." if left else "that is the whole run.")
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the text and draw the figures."""
    results, path = RESULTS.read(), FOLDER / "paper_experiments.md"
    path.write_text(text(results, pd.read_csv(FOLDER / "printed.csv")), encoding="utf-8")
    for name, (x, label, chosen) in FIGURES.items():
        means = cell_means(results, TABLES[name]())
        if means[x].nunique() > 1:
            figure(chosen(means), x, label, FOLDER / f"{x}.png")
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
