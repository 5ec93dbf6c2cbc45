"""Plain text at most 80 columns wide: the summary in lavaan's order, and imputation metrics."""

from __future__ import annotations

import textwrap
from functools import lru_cache

import pandas as pd

from fosa_sem.report.accuracy import METRIC_NAMES, method_name, overall_accuracy
from fosa_sem.report.checklist import checklist_section
from fosa_sem.report.diagnostic_sections import diagnostics_section
from fosa_sem.report.formatting import (
    DASH,
    cell,
    cells,
    clean,
    count,
    display_width,
    narrow,
    pad_left,
    pad_right,
    shorten,
)
from fosa_sem.report.measures import MeasureBlock, MeasureRow, measure_blocks
from fosa_sem.report.multiple_sections import multiple_section, sensitivity_sections
from fosa_sem.report.parameters import (
    ParameterBlock,
    ParameterRow,
    group_blocks,
    model_wide_blocks,
    records_of_group,
)
from fosa_sem.report.plain import WIDTH, section_text
from fosa_sem.report.records import FitReport, ImputationReport

_LABEL, _VALUE = 42, 12
_HEADINGS = {
    "est": "Estimate",
    "se": "Std.Err",
    "z": "z-value",
    "pvalue": "P(>|z|)",
    "ci_lower": "ci.lower",
    "ci_upper": "ci.upper",
    "std_lv": "Std.lv",
    "std_all": "Std.all",
    "fmi": "FMI",
}
_SHORT_HEADINGS = {**_HEADINGS, "ci_lower": "ci.low", "ci_upper": "ci.upp"}
_OF_ESTIMATES = frozenset({"se", "z", "pvalue", "ci_lower", "ci_upper", "fmi"})
_INFERENCE_LABELS = ("se", "standard error", "information", "observed information")


def summary_text(
    report: FitReport,
    *,
    fit_measures: bool = True,
    standardized: bool = True,
    rsquare: bool = True,
    fmi: bool = False,
    ci: bool = False,
) -> str:
    """Return the summary of a fit as plain text, at most 80 columns wide.

    Parameters
    ----------
    report : FitReport
    fit_measures : bool, default True
        Print fit measures beyond the test of the model.
    standardized : bool, default True
        Print the columns Std.lv and Std.all.
    rsquare : bool, default True
        Print the explained variance of endogenous variables.
    fmi : bool, default False
        Print the fraction of missing information, which the report must hold.
    ci : bool, default False
        Print confidence limits.

    Returns
    -------
    str
        Without a newline at the end.

    Notes
    -----
    lavaan: ``summary(fit, fit.measures = TRUE, standardized = TRUE, rsquare = TRUE, ci = FALSE)``. Fixed
    parameters show no standard error; a dash stands for what is not defined.
    """
    keys = ["est", "se", "z", "pvalue"]
    keys += ["ci_lower", "ci_upper"] * ci + ["std_lv", "std_all"] * standardized + ["fmi"] * fmi
    blocks = measure_blocks(report.fit_measures)
    paragraphs = [_header(report)]
    for block in blocks[: None if fit_measures else 1]:
        paragraphs.append(_measures(block))
        if block is blocks[0] and report.chisq_by_group:
            paragraphs.append(_chisq_by_group(report))
    paragraphs.append(_estimates_header(report))
    for index, label in enumerate(report.group_labels):
        if len(report.group_labels) > 1:
            paragraphs.append(f"\nGroup {index + 1} [{shorten(clean(label), 60)}]:")
        paragraphs += [_parameters(block, keys) for block in group_blocks(report, index)]
        if rsquare:
            paragraphs.append(_rsquare(report, index))
    paragraphs += [_parameters(block, keys) for block in model_wide_blocks(report)]
    paragraphs += [_audit(report.audit)]
    body = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    return "\n\n".join(part for part in (body, _notes(report.notes, DASH in body)) if part)


def metrics_text(imputation: ImputationReport) -> str:
    """Imputation metrics per method and the refiner's gates as plain text, at most 80 columns wide.

    Parameters
    ----------
    imputation : ImputationReport

    Returns
    -------
    str
        Without a newline at the end; empty where nothing was evaluated.
    """
    parts = []
    if imputation.metrics is not None:
        parts.append(accuracy_text(imputation.metrics))
    if imputation.gates is not None:
        parts.append(_gates(imputation.gates))
    parts.append(_notes(imputation.notes, any(DASH in part for part in parts)))
    return "\n\n".join(part for part in parts if part)


def report_text(report: FitReport, imputation: ImputationReport | None) -> str:
    """Return the summary, imputation metrics, what was found about missing and imputed values, and the checklist.

    Parameters
    ----------
    report : FitReport
    imputation : ImputationReport or None

    Returns
    -------
    str
        At most 80 columns wide, without a newline at the end.
    """
    parts = [summary_text(report, ci=True), metrics_text(imputation) if imputation else ""]
    multiple = imputation.multiple if imputation else None
    sections = [
        diagnostics_section(report),
        *([multiple_section(multiple)] if multiple else []),
        *sensitivity_sections(imputation.sensitivity if imputation else ()),
        *report.further,
        checklist_section(report, imputation),
    ]
    parts += [section_text(section) for section in sections if section.blocks]
    return "\n\n\n".join(part for part in parts if part)


@lru_cache
def _wrap(text: str, indent: str, first: str | None = None) -> str:
    start = indent if first is None else first
    return textwrap.fill(clean(text), WIDTH, initial_indent=start, subsequent_indent=indent)


def _fact(label: str, value: str) -> str:
    """One line with the value right-aligned as in lavaan; long ones go on, or wrap, instead of being cut."""
    label, value = "  " + clean(label), clean(value)
    room = _LABEL + _VALUE - display_width(label)
    if display_width(value) < room:
        return label + pad_left(value, room)
    if max(display_width(label) + 2, 28) + display_width(value) <= WIDTH:
        return label + " " * max(28 - display_width(label), 2) + value
    return f"{_wrap(label.strip(), '  ')}\n{_wrap(value, ' ' * 6)}"


def _columns(label: str, *values: str) -> str:
    shown = "".join([pad_left(value, _VALUE) for value in values])
    return (pad_right("  " + shorten(label, _LABEL - 3), _LABEL) + shown).rstrip()


def _asked(report: FitReport, *, inference: bool) -> list[str]:
    """Lines of the call: those on standard errors belong above the estimates, all others to the header."""
    return [
        _fact(label, value)
        for label, value in report.call
        if label.casefold().startswith(_INFERENCE_LABELS) == inference
    ]


def _header(report: FitReport) -> str:
    after = "" if report.iterations is None else f" after {report.iterations} iterations"
    status = f"Converged{after}"
    if not report.converged:
        status = f"NOT CONVERGED{after}: no number below should be used before reading the audit"
    lines = [_wrap(report.title, ""), _wrap(status, ""), "", *_asked(report, inference=False)]
    lines.append(_fact("Number of model parameters", str(report.npar)))
    if report.n_equality:
        lines.append(_fact("Number of equality constraints", str(report.n_equality)))
    return "\n".join([*lines, "", *_sample(report)])


def _sample(report: FitReport) -> list[str]:
    several = len(report.group_labels) > 1
    lines = [_fact("Number of observations", str(report.n_used))]
    if report.n_used != report.n_given:
        lines = [_columns("", "Used", "Given")]
        lines.append(_columns("Number of observations", str(report.n_used), str(report.n_given)))
        lines += [_fact(f"Dropped: {reason}", str(number)) for reason, number in report.dropped]
    if not several:
        return [*lines, _fact("Number of missing patterns", str(sum(report.n_patterns)))]
    for title, numbers in (("observations", report.n_by_group), ("missing patterns", report.n_patterns)):
        lines.append(f"  Number of {title} per group:")
        lines += [
            _fact(f"  {shorten(clean(label), 38)}", str(number))
            for label, number in zip(report.group_labels, numbers, strict=True)
        ]
    return lines


def _measures(block: MeasureBlock) -> str:
    """Return a block of fit measures: robust versions below the others, in the last column."""
    scaled = any(row.scaled is not None for row in block.rows)
    lines = [f"{block.title}:", _columns("", "Standard", "Scaled") if scaled else ""]
    for row in block.rows:
        values = [row.standard, row.scaled] if scaled else [row.standard]
        if any(value is not None for value in values):
            lines.append(_columns(row.label, *(_measure(row, value) for value in values)))
    robust = [row for row in block.rows if row.robust is not None]
    lines += [""] * bool(robust)
    blank = [""] * scaled
    lines += [_columns(_robust_label(row.label), *blank, _measure(row, row.robust)) for row in robust]
    return "\n".join(lines)


def _chisq_by_group(report: FitReport) -> str:
    lines = ["  Test statistic for each group:"]
    for label, value in zip(report.group_labels, report.chisq_by_group, strict=True):
        lines.append(_columns(f"  {shorten(clean(label), 36)}", narrow(value, _VALUE - 1)))
    return "\n".join(lines)


def _robust_label(label: str) -> str:
    if label.startswith("P-value H_0: "):
        return label.replace("H_0: ", "H_0: Robust ", 1)
    return label if "Percent" in label else f"Robust {label}"


def _measure(row: MeasureRow, value: float | None) -> str:
    if value is None:
        return ""
    return count(value) if row.kind == "count" else narrow(value, _VALUE - 1)


def _estimates_header(report: FitReport) -> str:
    asked = _asked(report, inference=True)
    return "\n".join(["Parameter Estimates:", "", *asked] if asked else ["Parameter Estimates:"])


def _parameters(block: ParameterBlock, keys: list[str]) -> str:
    """Return a block of parameters; the name field grows with the names as far as 80 columns allow."""
    keys = ["est"] if block.title == "Constraints" else keys
    width = 9 if len(keys) <= 6 else 8
    needed = max(_needed(row) for group in block.groups for row in group.rows)
    field = min(max(needed, 18 if width == 9 else 16), WIDTH - width * len(keys))
    headings = _HEADINGS if width == 9 else _SHORT_HEADINGS
    first = {"est": "Slack"} if block.title == "Constraints" else {}
    names = "".join(pad_left(first.get(key, headings[key]), width) for key in keys)
    lines = [f"{block.title}:", " " * field + names]
    for group in block.groups:
        if group.heading:
            name, op = group.heading.rsplit(" ", 1)
            dot = "" if name.startswith(".") else " "
            lines.append(f" {dot}{shorten(name, WIDTH - 6)} {op}")
        lines += [_parameter(row, keys, field=field, width=width) for row in group.rows]
    return "\n".join(lines)


def _needed(row: ParameterRow) -> int:
    label = min(display_width(row.label), 8) + 3 if row.label else 0
    return 4 + display_width(row.name) + label + 1


def _parameter(row: ParameterRow, keys: list[str], *, field: int, width: int) -> str:
    indent = "   " if row.name.startswith(".") else "    "
    if row.label:  # which gives way to the name, down to four columns
        label = f"({shorten(row.label, min(max(field - display_width(row.name) - 7, 4), 8))})"
        named = field - display_width(label)
        head = pad_right(indent + shorten(row.name, named - len(indent) - 1), named) + label
    else:
        head = pad_right(indent + shorten(row.name, field - len(indent)), field)
    if row.fixed:
        shown = [" " * width if key in _OF_ESTIMATES else cell(row.values[key], width) for key in keys]
        return (head + "".join(shown)).rstrip()
    return head + cells([row.values[key] for key in keys], width)


def _rsquare(report: FitReport, index: int) -> str:
    rows = records_of_group(report.r2, report.group_labels, index)
    if not rows:
        return ""
    names = [clean(row["variable"]) for row in rows]
    field = min(max(18, *(display_width(name) + 5 for name in names)), WIDTH - 9)
    lines = ["R-Square:", " " * field + pad_left("Estimate", 9)]
    for name, row in zip(names, rows, strict=True):
        lines.append(pad_right("    " + shorten(name, field - 5), field) + cell(row["r2"], 9))
    return "\n".join(lines)


def _audit(audit: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(["Audit of the Solution:", "", *(_fact(*pair) for pair in audit)]) if audit else ""


def _notes(notes: tuple[str, ...], dashes: bool) -> str:
    if dashes:
        notes = (*notes, f"{DASH}: not defined for this model and these data.")
    lines = [_wrap(note, "     ", f"  {number}. ") for number, note in enumerate(notes, 1)]
    return "\n".join(["Notes:", "", *lines]) if lines else ""


def accuracy_text(metrics: pd.DataFrame) -> str:
    """Scores per method as plain text of 80 columns.

    Parameters
    ----------
    metrics : DataFrame
        As of `fosa_sem.compare`.

    Returns
    -------
    str
        Without a newline at the end.
    """
    accuracy = overall_accuracy(metrics)
    field, width = 17, 9
    lines = ["Imputation Accuracy on Masked Cells:"]
    lines.append(" " * field + "".join(pad_left(METRIC_NAMES[c], width) for c in accuracy.mean.columns))
    for method in map(str, accuracy.mean.index):
        means = accuracy.mean.loc[method].to_numpy(dtype=float)
        name = pad_right("  " + shorten(clean(method_name(method)), field - 3), field)
        lines.append(name + cells(list(means), width))
        if accuracy.n_seeds > 1:
            sds = accuracy.sd.loc[method].to_numpy(dtype=float)
            lines.append(pad_right("    (SD)", field) + cells(list(sds), width))
    seeds = "one seed" if accuracy.n_seeds == 1 else f"{accuracy.n_seeds} seeds, with the SD over seeds"
    lines += [
        "",
        _wrap(f"Means over variables and {seeds}. Larger is better for R2, smaller elsewhere.", "  "),
    ]
    return "\n".join(lines)


def _gates(gates: pd.DataFrame) -> str:
    names = [clean(name) for name in gates["variable"]]
    field = min(max(22, *(display_width(name) + 3 for name in names)), WIDTH - 40)
    headings = ("Gate", "Gain", "SE", "Held out")
    lines = ["Gates of the Refiner:", " " * field + "".join(pad_left(text, 10) for text in headings)]
    for name, row in zip(names, gates.to_dict("records"), strict=True):
        values = [narrow(float(row[key]), 9) for key in ("gate", "gain", "se")]
        shown = "".join(pad_left(value, 10) for value in (*values, count(float(row["n_heldout"]))))
        lines.append(pad_right("  " + shorten(name, field - 3), field) + shown)
    lines += [
        "",
        _wrap("Gain: drop of the squared error on held-out cells. Gate 0: the SEM value stays.", "  "),
    ]
    return "\n".join(lines)
