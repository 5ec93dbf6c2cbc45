"""Sections on multiple imputations: how they were made, what was pooled, and sensitivity to the assumption."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.evaluate.sensitivity import CONCLUSIONS, Sensitivity
from fosa_sem.report import imputation_plots, sensitivity_plots
from fosa_sem.report.document import Block, Bullets, Code, Figure, Paragraph, Section, Table
from fosa_sem.report.formatting import DASH, clean, count, decimal, p_apa, readable
from fosa_sem.report.plots import MAX_PANELS
from fosa_sem.report.records import ImputedVariable, MultipleReport
from fosa_sem.report.tables import facts

_MEASURES = (
    ("chisq", "Chi-square"), ("df", "Degrees of freedom"), ("pvalue", "p-value"), ("cfi", "CFI"), ("tli", "TLI"),
    ("rmsea", "RMSEA"), ("rmsea.ci.lower", "RMSEA, lower limit"), ("rmsea.ci.upper", "RMSEA, upper limit"),
    ("srmr", "SRMR"),
)  # fmt: skip
_POOLING_NOTE = (
    "Pooled by Rubin's rules; t tests with the degrees of freedom of Barnard and Rubin (1999). FMI: fraction of "
    "missing information; RIV: relative increase in variance due to missing values."
)
_SETTLED_NOTE = (
    "An estimate has settled where adding imputations moves it by little of its standard error; its interval needs "
    "more imputations than the estimate itself."
)
_SHORT = {CONCLUSIONS[1]: "n.d."}


def multiple_section(report: MultipleReport) -> Section:
    """How imputations were made, observed against imputed values, and pooled estimates.

    Parameters
    ----------
    report : MultipleReport
    """
    blocks: list[Block] = list(facts("How missing values were imputed", report.settings))
    if report.imputation_model:
        blocks += [Paragraph(text="The imputation model:"), Code(text=report.imputation_model.strip("\n"))]
    if report.variables:
        blocks += [imputed_table(report.variables), _densities(report.variables), _strips(report.variables)]
    if report.estimates is not None:
        blocks += _pooled(report, report.estimates)
    return Section(title="Multiple imputation", blocks=tuple(blocks))


def sensitivity_sections(results: tuple[Sensitivity, ...]) -> tuple[Section, ...]:
    """One section on all analyses under values missing not at random; none without one."""
    blocks: list[Block] = []
    for result in results:
        blocks += [Paragraph(text=_what_was_shifted(result)), tipping_table(result), _tipping_figure(result)]
    if not blocks:
        return ()
    title = "Sensitivity to values missing not at random"
    return (Section(title=title, blocks=(*blocks, Paragraph(text=results[0].note))),)


def imputed_table(variables: tuple[ImputedVariable, ...]) -> Table:
    """Means and standard deviations of observed and imputed values, and how many imputed ones leave the observed range.

    Parameters
    ----------
    variables : tuple of ImputedVariable
    """
    rows = []
    for v in variables:
        means = [float(values.mean()) for values in v.imputed]
        pooled = np.concatenate(v.imputed)
        outside = float(((pooled < v.observed.min()) | (pooled > v.observed.max())).sum()) / len(v.imputed)
        rows.append(
            (
                clean(v.variable),
                str(v.observed.size),
                readable(float(v.observed.mean())),
                _sd(v.observed),
                str(v.imputed[0].size),
                readable(float(np.mean(means))),
                _sd(pooled),
                decimal(outside, 1),
            )
        )
    return Table(
        caption="Observed and imputed values",
        columns=("Variable", "Observed n", "Mean", "SD", "Imputed n", "Mean", "SD", "Outside"),
        rows=tuple(rows),
        align="lrrrrrrr",
        notes=(
            "Imputed: mean and SD over all imputations. Outside: imputed values per imputation that lie beyond the "
            "observed ones. Differences between observed and imputed values are to be expected where values are "
            "missing at random; ask whether the imputed ones are plausible.",
        ),
    )


def pooled_table(estimates: pd.DataFrame, level: float) -> Table:
    """Pooled estimates with their inference and missing information."""
    rows = tuple(
        (
            clean(row["term"]),
            readable(row["est"]),
            readable(row["se"]),
            decimal(row["t"], 2),
            _df(row["df"]),
            p_apa(row["pvalue"]),
            f"[{readable(row['ci_lower'])}, {readable(row['ci_upper'])}]",
            decimal(row["fmi"], 2),
            decimal(row["riv"], 2),
        )
        for row in estimates.to_dict("records")
    )
    return Table(
        caption="Pooled estimates",
        columns=("Parameter", "Estimate", "SE", "t", "df", "p", f"{100 * level:g}% CI", "FMI", "RIV"),
        rows=rows,
        align="lrrrrrrrr",
        notes=(_POOLING_NOTE,),
    )


def tipping_table(result: Sensitivity) -> Table:
    """Where each conclusion changes, per term, variable and direction."""
    unit = "standard deviations" if result.unit == "sd" else "units of the variable"
    table = result.tipping_points()
    rows: list[tuple[str, ...]] = []
    strong: set[tuple[int, int]] = set()
    for (term, variable, group), part in table.groupby(["term", "variable", "group"], sort=False):
        ways = {row["direction"]: row for row in part.to_dict("records")}
        name = f"{variable} [{group}]" if group else variable
        cells = [_way(ways.get(direction)) for direction in ("down", "up")]
        strong |= {(len(rows), j + 3) for j, d in enumerate(("down", "up")) if d in ways and ways[d]["becomes"]}
        start = str(part["conclusion"].iloc[0])
        rows.append((clean(term), clean(name), _SHORT.get(start, start), *cells))
    return Table(
        caption="Tipping points: shifts of imputed values at which a conclusion changes",
        columns=("Estimate", "Shifted", "At shift 0", "Downward", "Upward"),
        rows=tuple(rows),
        align="lllrr",
        notes=(
            f"Shifts in {unit}, of one variable (in one group) at a time; between shifts that were tried, where a "
            f"straight line through the limits of the {100 * result.level:g}% intervals reaches 0. n.d.: not "
            f"distinguishable from 0. Estimates pooled over {result.m} imputations.",
        ),
        strong=frozenset(strong),
    )


def _way(row: dict[Hashable, Any] | None) -> str:
    """What happens in one direction: the tipping point and the new conclusion, or how far nothing changes."""
    if row is None:
        return DASH
    if not row["becomes"]:
        return f"none to {readable(row['last'], 2)}"
    return f"{readable(row['tipping'], 2)}: {_SHORT.get(row['becomes'], row['becomes'])}"


def _what_was_shifted(result: Sensitivity) -> str:
    scale = " standard deviations" if result.unit == "sd" else ""
    parts = [
        f"{clean(a.name)} ({a.n_imputed} values) from {a.shifts[0]:g} to {a.shifts[-1]:g}{scale}" for a in result.axes
    ]
    return f"Imputed values were shifted, and the analysis repeated with each shift: {'; '.join(parts)}."


def _tipping_figure(result: Sensitivity) -> Figure:
    table = result.tipping_points()
    changed = sorted(set(table.loc[table["becomes"] != "", "term"]), key=list(result.terms).index)
    alt = f"Conclusions that change within the shifts: {clean(', '.join(changed))}." if changed else "No one changes."
    return Figure(
        caption="Estimates over shifts of imputed values",
        alt=f"Estimates with intervals over shifts, for {len(result.terms)} estimates. {alt}",
        draw=partial(sensitivity_plots.plot_sensitivity, result),
    )


def _pooled(report: MultipleReport, estimates: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = [Paragraph(text="Analysed in each completed table:"), Code(text=report.model.strip("\n"))]
    if report.failed:
        text = f"The model failed in {len(report.failed)} of {report.m} imputations, which are left out."
        blocks.append(Paragraph(text=text, warning=True))
        blocks.append(Bullets(items=tuple(f"Imputation {i}: {reason}" for i, reason in report.failed)))
    if report.lacking:
        text = "The analysis asks for what the imputation model rules out; estimates are drawn towards that model:"
        blocks += [Paragraph(text=text, warning=True), Bullets(items=report.lacking)]
    measures = [(label, _measure(name, report.fit_measures[name])) for name, label in _MEASURES if name in
                report.fit_measures.index]  # fmt: skip
    blocks += facts("Fit, from the chi-square pooled by D4", measures)
    blocks.append(pooled_table(estimates, report.ci_level))
    if report.path is not None and len(report.path):
        blocks.append(_path_figure(report.path))
    return blocks


def _measure(name: str, value: float) -> str:
    return p_apa(value) if name == "pvalue" else count(value) if name == "df" else decimal(value)


def _path_figure(path: pd.DataFrame) -> Figure:
    last, half = path["m"].max(), max(2, int(path["m"].max()) // 2)
    ends = path[path["m"] == last].set_index("term")
    moved = (ends["est"] - path[path["m"] == half].set_index("term")["est"]).abs() / ends["se"]
    return Figure(
        caption="Pooled estimates as imputations are added",
        alt=f"From {half} to {last} imputations, no estimate moves by more than {decimal(float(moved.max()), 2)} SE.",
        draw=partial(imputation_plots.pooling_figure, path),
        notes=(_SETTLED_NOTE,),
    )


def _densities(variables: tuple[ImputedVariable, ...]) -> Figure:
    names = ", ".join(clean(v.variable) for v in variables[:MAX_PANELS])
    return Figure(
        caption="Densities of observed and imputed values",
        alt=f"Densities of observed values and of each imputation, one panel per variable: {names}.",
        draw=partial(imputation_plots.densities_figure, variables),
        notes=_left_out(variables),
    )


def _strips(variables: tuple[ImputedVariable, ...]) -> Figure:
    shown = min(imputation_plots.MAX_STRIPS, len(variables[0].imputed))
    return Figure(
        caption="Observed and imputed values",
        alt=f"Points of the observed values and of the first {shown} imputations, one panel per variable.",
        draw=partial(imputation_plots.strips_figure, variables),
        notes=_left_out(variables),
    )


def _left_out(variables: tuple[ImputedVariable, ...]) -> tuple[str, ...]:
    more = len(variables) - MAX_PANELS
    return (f"{more} more variables are in the table only.",) if more > 0 else ()


def _sd(values: np.ndarray) -> str:
    return readable(float(values.std(ddof=1))) if values.size > 1 else DASH


def _df(value: float) -> str:
    return "> 1000" if value > 1000 else decimal(value, 1)
