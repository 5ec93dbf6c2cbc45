"""The report of a fit as sections of tables and notes, in the order in which a statistician asks."""

from __future__ import annotations

import math

from fosa_sem.report.checklist import checklist_section
from fosa_sem.report.diagnostic_sections import diagnostics_section
from fosa_sem.report.document import Block, Bullets, Code, Document, Paragraph, Section, Table, numbered
from fosa_sem.report.formatting import apa_unit, clean, count, decimal, p_apa, p_equation, readable
from fosa_sem.report.imputation_sections import imputation_section
from fosa_sem.report.measures import VERSIONS, MeasureRow, measure_blocks, value_of
from fosa_sem.report.missing_sections import missing_section
from fosa_sem.report.multiple_sections import multiple_section, sensitivity_sections
from fosa_sem.report.parameters import ParameterBlock, ParameterRow, group_blocks, model_wide_blocks, records_of_group
from fosa_sem.report.records import FitReport, ImputationReport, Measures
from fosa_sem.report.tables import facts, matrix_tables, of_label, undefined_note

_CAPTIONS = {"Latent Variables": "Loadings of latent variables"}
_HEADINGS: tuple[str, ...] = ("Parameter", "Label", "Estimate", "SE", "z", "p", "CI", "Std.lv", "Std.all")
_MODELS_NOTE = (
    "The saturated model leaves all means and covariances free; the baseline model frees means and "
    "variances, and covariances among exogenous variables only."
)


def build_document(report: FitReport, imputation: ImputationReport | None = None) -> Document:
    """Return the whole report as data, for any renderer to walk.

    Parameters
    ----------
    report : FitReport
    imputation : ImputationReport, optional

    Returns
    -------
    Document
        Tables and figures are numbered.
    """
    sections = [
        model_section(report),
        missing_section(report),
        diagnostics_section(report),
        estimation_section(report),
        fit_section(report),
        estimates_section(report),
        rsquare_section(report),
        local_fit_section(report),
        *imputed_sections(imputation),
        *report.further,
        notes_section(report, imputation),
        checklist_section(report, imputation),
    ]
    kept = tuple(section for section in sections if section.blocks)
    return numbered(Document(title=report.title, sections=kept))


def imputed_sections(imputation: ImputationReport | None) -> tuple[Section, ...]:
    """Sections on imputed values: single and multiple imputation, sensitivity.

    Parameters
    ----------
    imputation : ImputationReport or None
    """
    if imputation is None:
        return ()
    multiple = (multiple_section(imputation.multiple),) if imputation.multiple else ()
    return (imputation_section(imputation), *multiple, *sensitivity_sections(imputation.sensitivity))


def build_summary(report: FitReport) -> Document:
    """Return a short form: estimation, fit and estimates.

    Parameters
    ----------
    report : FitReport

    Returns
    -------
    Document
    """
    notes = Section(title="Notes", blocks=(Bullets(items=report.notes),) if report.notes else ())
    sections = (
        estimation_section(report),
        fit_section(report),
        estimates_section(report),
        rsquare_section(report),
        notes,
    )
    kept = tuple(section for section in sections if section.blocks)
    return numbered(Document(title=report.title, sections=kept))


def model_section(report: FitReport) -> Section:
    """Return the model text and what was asked."""
    asked = facts("What was asked", report.call)
    return Section(title="Model", blocks=(Code(text=report.model.strip("\n")), *asked))


def estimation_section(report: FitReport) -> Section:
    """Convergence, size and audit of the solution."""
    after = "" if report.iterations is None else f", after {report.iterations} iterations"
    blocks: list[Block] = []
    if not report.converged:
        text = "The estimate is not certified as a maximum of the likelihood. Read the audit before using it."
        blocks.append(Paragraph(text=text, warning=True))
    rows = (
        ("Converged", f"{'yes' if report.converged else 'NO'}{after}"),
        ("Rows used, of rows given", f"{report.n_used} of {report.n_given}"),
        ("Free parameters", str(report.npar)),
        ("Equality constraints", str(report.n_equality)),
        *report.audit,
    )
    return Section(title="Estimation", blocks=(*blocks, *facts("Solution and its audit", rows)))


def fit_section(report: FitReport) -> Section:
    """Fit measures in full names, and one sentence with the usual ones."""
    sentence = fit_sentence(report.fit_measures, report.n_used)
    paragraphs = (Paragraph(text=sentence),) if sentence else ()
    return Section(title="Fit of the model", blocks=(*paragraphs, *fit_tables(report.fit_measures)))


def fit_tables(measures: Measures) -> tuple[Table, ...]:
    """Return one table of all fit measures, a column per version; empty without measures.

    Parameters
    ----------
    measures : measures
        Values by lavaan's names.
    """
    blocks = measure_blocks(measures)
    everything = [row for block in blocks for row in block.rows]
    versions = [v for v in VERSIONS if any(getattr(row, v) is not None for row in everything)]
    rows: list[tuple[str, ...]] = []
    for block in blocks:
        rows.append((block.formal,))
        rows += [(row.formal, *(_measure(row, getattr(row, v)) for v in versions)) for row in block.rows]
    notes = [_MODELS_NOTE]
    if "robust" in versions:
        notes.append("Robust: corrected for missing data (Zhang & Savalei, 2023) or for non-normality.")
    table = Table(
        caption="Fit measures",
        columns=("Measure", *(name.capitalize() for name in versions)),
        rows=tuple(rows),
        align="l" + "r" * len(versions),
        notes=(*notes, *undefined_note(rows)),
    )
    return (table,) if rows else ()


def fit_sentence(measures: Measures, n: int) -> str:
    """Return the usual fit indices as one sentence in APA style; undefined ones are left out.

    Parameters
    ----------
    measures : measures
    n : int
        Rows used.

    Returns
    -------
    str
        Empty without a chi-square.
    """
    scaled = ".scaled" if "chisq.scaled" in measures else ""

    def get(name: str) -> float:
        return value_of(measures, name + scaled, value_of(measures, name))

    if math.isnan(get("chisq")):
        return ""
    test = f"{'scaled ' if scaled else ''}χ²({count(get('df'))}, N = {n}) = {decimal(get('chisq'), 2)}"
    parts = [test if math.isnan(get("pvalue")) else f"{test}, {p_equation(get('pvalue'))}"]
    for name in ("cfi", "tli", "rmsea"):
        if not math.isnan(get(name)):
            parts.append(f"{name.upper()} = {apa_unit(get(name))}")
    if not math.isnan(get("rmsea.ci.lower")) and not math.isnan(get("rmsea.ci.upper")):
        level = 100 * value_of(measures, "rmsea.ci.level", 0.90)
        limits = f"{apa_unit(get('rmsea.ci.lower'))}, {apa_unit(get('rmsea.ci.upper'))}"
        parts[-1] += f", {level:g}% CI [{limits}]"
    if not math.isnan(value_of(measures, "srmr")):
        parts.append(f"SRMR = {apa_unit(value_of(measures, 'srmr'))}")
    return "; ".join(parts) + "."


def estimates_section(report: FitReport) -> Section:
    """One table per kind of parameter and group, defined parameters last."""
    blocks: list[Block] = []
    for index in range(len(report.group_labels)):
        blocks += [
            _estimates(block, report, of_label(report.group_labels, index)) for block in group_blocks(report, index)
        ]
    blocks += [_estimates(block, report, "") for block in model_wide_blocks(report)]
    if blocks:
        blocks.insert(0, Paragraph(text=_legend(report)))
    return Section(title="Parameter estimates", blocks=tuple(blocks))


def rsquare_section(report: FitReport) -> Section:
    """Explained variance of the endogenous variables, a column per group."""
    several = len(report.group_labels) > 1
    groups = [records_of_group(report.r2, report.group_labels, g) for g in range(len(report.group_labels))]
    values = [{record["variable"]: record["r2"] for record in group} for group in groups]
    names = list(dict.fromkeys(name for group in values for name in group))
    if not names:
        return Section(title="Explained variance", blocks=())
    table = Table(
        caption="Explained variance (R²) of endogenous variables",
        columns=("Variable", *(map(clean, report.group_labels) if several else ("R²",))),
        rows=tuple((clean(name), *(decimal(float(group.get(name, math.nan))) for group in values)) for name in names),
        align="l" + "r" * len(groups),
    )
    return Section(title="Explained variance", blocks=(table,))


def local_fit_section(report: FitReport) -> Section:
    """Residual correlations, those beyond .10 emphasised."""
    blocks: list[Block] = []
    for index, frame in enumerate(report.residual_correlations):
        caption = f"Residual correlations, observed minus implied{of_label(report.group_labels, index)}"
        note = "Emphasised: larger than .10 in size."
        blocks += matrix_tables(frame, caption, note, strong=lambda value: abs(value) > 0.10)
    return Section(title="Local fit", blocks=tuple(blocks))


def notes_section(report: FitReport, imputation: ImputationReport | None) -> Section:
    """Remarks of the fit and of the imputation."""
    items = report.notes + (imputation.notes if imputation else ())
    return Section(title="Notes", blocks=(Bullets(items=items),) if items else ())


def _measure(row: MeasureRow, value: float | None) -> str:
    if value is None:
        return ""
    if row.kind == "p":
        return p_apa(value)
    return count(value) if row.kind == "count" else readable(value)


def _legend(report: FitReport) -> str:
    return (
        "SE: standard error; z: estimate divided by its SE; p: two-sided p-value; "
        f"CI: {100 * report.ci_level:g}% confidence interval; Std.lv: latent variables standardised; "
        "Std.all: latent and observed variables standardised. Parameters without SE are fixed. "
        "A dot before a name marks a residual mean, variance or covariance."
    )


def _estimates(block: ParameterBlock, report: FitReport, group: str) -> Table:
    if block.title == "Constraints":
        return _constraints(block)
    rows: list[tuple[str, ...]] = []
    for family in block.groups:
        rows += [(family.heading,)] if family.heading else []
        rows += [_cells(row) for row in family.rows]
    headings, align = _HEADINGS, "ll" + "r" * 7
    if not any(row.label for family in block.groups for row in family.rows):
        headings, align = (headings[0], *headings[2:]), align[1:]
        rows = [row if len(row) == 1 else (row[0], *row[2:]) for row in rows]
    return Table(
        caption=_CAPTIONS.get(block.title, block.title.capitalize()) + group,
        columns=tuple(f"{100 * report.ci_level:g}% CI" if name == "CI" else name for name in headings),
        rows=tuple(rows),
        align=align,
        notes=undefined_note(rows),
    )


def _constraints(block: ParameterBlock) -> Table:
    rows = tuple((row.name, readable(row.values["est"])) for family in block.groups for row in family.rows)
    return Table(caption="Constraints", columns=("Constraint", "Slack"), rows=rows, align="lr")


def _cells(row: ParameterRow) -> tuple[str, ...]:
    value = row.values
    tested = (
        ("", "", "", "")
        if row.fixed
        else (
            readable(value["se"]),
            decimal(value["z"], 2),
            p_apa(value["pvalue"]),
            f"[{readable(value['ci_lower'])}, {readable(value['ci_upper'])}]",
        )
    )
    standardised = (decimal(value["std_lv"]), decimal(value["std_all"]))
    return (row.name, row.label, readable(value["est"]), *tested, *standardised)
