"""Tables and figures on what is missing where, and on whether it looks completely at random."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from fosa_sem.inference.mcar import MCAR_NOTE, McarTest
from fosa_sem.report import missing_plots
from fosa_sem.report.document import Block, Bullets, Figure, Paragraph, Section, Table
from fosa_sem.report.formatting import clean, decimal, p_apa, p_equation, percent, readable
from fosa_sem.report.records import FitReport, MissingReport
from fosa_sem.report.tables import of_label

MAX_DIFFERENCES = 20
NOTABLE = 0.20
"""Size of a standardised mean difference from which on it is emphasised (Cohen's small effect)."""
_MAX_PATTERNS = 10


def diagnostics_section(report: FitReport) -> Section:
    """Influx and outflux, differences between rows with and without values, Little's test, figures.

    Parameters
    ----------
    report : FitReport
        With `MissingReport`; the section is empty without one, and where nothing is missing.
    """
    missing = report.missing
    if missing is None or not report.missing_rates.gt(0).any():
        return Section(title="Diagnostics of missing values", blocks=())
    blocks: list[Block] = [*_uncovered(missing), _flux(missing.flux)]
    if len(missing.differences):
        blocks.append(differences_table(missing.differences))
    for index, test in enumerate(missing.mcar):
        if test is not None:
            blocks += [Paragraph(text=little_sentence(test, of_label(report.group_labels, index)))]
            blocks.append(contributions_table(test, of_label(report.group_labels, index)))
    if any(test is not None for test in missing.mcar):
        blocks.append(Paragraph(text=MCAR_NOTE))
    blocks.append(_patterns_figure(report))
    blocks += [_coverage_figure(f, of_label(report.group_labels, i)) for i, f in enumerate(report.coverage)]
    return Section(title="Diagnostics of missing values", blocks=tuple(blocks))


def little_sentence(test: McarTest, group: str = "") -> str:
    """Little's test as a sentence in APA style."""
    if test.df == 0:
        return f"Little's MCAR test{group}: not defined, since all rows share one pattern."
    result = f"χ²({test.df}, N = {test.n}) = {decimal(test.chisq, 2)}, {p_equation(test.pvalue)}"
    return f"Little's MCAR test{group}: {result}; {len(test.patterns)} missing-data patterns."


def differences_table(differences: pd.DataFrame) -> Table:
    """Standardised differences between rows that lack and rows that have a variable, the largest first.

    Parameters
    ----------
    differences : DataFrame
        See `fosa_sem.compare_missing`.
    """
    known = differences[differences["smd"].notna()]
    order = np.argsort(-known["smd"].abs().to_numpy(), kind="stable")
    shown = known.iloc[order[:MAX_DIFFERENCES]]
    rows = tuple(
        (
            clean(row["missing"]),
            clean(row["variable"]),
            str(row["n_missing"]),
            readable(row["mean_missing"]),
            str(row["n_observed"]),
            readable(row["mean_observed"]),
            decimal(row["smd"], 2),
            p_apa(row["pvalue"]),
        )
        for row in shown.to_dict("records")
    )
    notes = [
        f"SMD: difference of the means (missing less observed) in standard deviations; emphasised from {NOTABLE:.2f} "
        "on. p: Welch's test, not corrected for the number of comparisons. Differences speak against values missing "
        "completely at random, and for variables that the model or its auxiliary variables should hold."
    ]
    if len(known) > len(shown):
        notes.insert(0, f"The {len(shown)} largest in size of {len(known)} comparisons.")
    return Table(
        caption="Rows without a variable compared with rows that have it",
        columns=("Missing", "Compared on", "n without", "Mean", "n with", "Mean", "SMD", "p"),
        rows=rows,
        align="llrrrrrr",
        notes=tuple(notes),
        strong=frozenset((k, 6) for k, smd in enumerate(shown["smd"]) if abs(smd) >= NOTABLE),
    )


def contributions_table(test: McarTest, group: str = "") -> Table:
    """The patterns that contribute most to Little's chi-square."""
    names = [clean(name) for name in test.patterns.columns[:-2]]
    rows = []
    for row in test.patterns.head(_MAX_PATTERNS).itertuples(index=False, name=None):
        lacking = ", ".join(name for name, seen in zip(names, row[:-2], strict=True) if not seen) or "none"
        rows.append((lacking, str(row[-2]), decimal(float(row[-1]), 2), percent(float(row[-1]) / test.chisq)))
    more = len(test.patterns) - len(rows)
    return Table(
        caption=f"Contributions of patterns to Little's chi-square{group}",
        columns=("Missing variables", "Rows", "Chi-square", "Share"),
        rows=tuple(rows),
        align="lrrr",
        notes=(f"{more} more patterns contribute less.",) if more > 0 else (),
    )


def _uncovered(missing: MissingReport) -> tuple[Block, ...]:
    if not missing.uncovered:
        return ()
    text = (
        "These pairs of variables are never observed together. The data say nothing of their covariance; estimates "
        "that involve it rest on the model alone."
    )
    pairs = tuple(f"{clean(a)} and {clean(b)}" for a, b in missing.uncovered)
    return (Paragraph(text=text, warning=True), Bullets(items=pairs))


def _flux(flux: pd.DataFrame) -> Table:
    keys = [key for key in ("pobs", "influx", "outflux") if key in flux]
    headings = {"pobs": "Observed", "influx": "Influx", "outflux": "Outflux"}
    rows = tuple(
        (clean(name), percent(float(row["pobs"])), *(decimal(float(row[key]), 2) for key in keys[1:]))
        for name, row in zip(flux.index, flux.to_dict("records"), strict=True)
    )
    note = (
        "Influx: how well the missing values of a variable connect to observed values of others (0 where nothing is "
        "missing). Outflux: how well its observed values connect to missing values of others (1 where nothing is "
        "missing); a variable with low outflux helps little in predicting others."
    )
    return Table(
        caption="Influx and outflux",
        columns=("Variable", *(headings[key] for key in keys)),
        rows=rows,
        align="l" + "r" * len(keys),
        notes=(note,) if len(keys) > 1 else (),
    )


def _patterns_figure(report: FitReport) -> Figure:
    # By position, since a variable may itself be called "n" or "group"; patterns of all groups together.
    p = report.patterns.shape[1] - 1 - (len(report.group_labels) > 1)
    names = [str(name) for name in report.patterns.columns[:p]]
    observed = report.patterns.iloc[:, :p].to_numpy(dtype=float) > 0
    kinds, which = np.unique(observed, axis=0, return_inverse=True)
    n = np.bincount(which.ravel(), weights=report.patterns.iloc[:, p].to_numpy(dtype=float)).astype(int)
    top = int(np.argmax(n))
    lacking = ", ".join(name for name, seen in zip(names, kinds[top], strict=True) if not seen) or "nothing"
    return Figure(
        caption="Missing-data patterns",
        alt=f"{len(kinds)} patterns; the most frequent, with {n[top]} rows, lacks {clean(lacking)}.",
        draw=partial(missing_plots.patterns_figure, names, kinds, n),
    )


def _coverage_figure(frame: pd.DataFrame, group: str) -> Figure:
    values = frame.to_numpy(dtype=float)
    return Figure(
        caption=f"Coverage of pairs of variables{group}",
        alt=f"Shares of rows that have both of two variables, from {percent(values.min())} to {percent(values.max())}.",
        draw=partial(missing_plots.coverage_figure, frame),
    )
