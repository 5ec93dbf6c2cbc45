"""The reporting checklist: what a reader must be told, what this report says of it, and what only the analyst knows."""

from __future__ import annotations

import pandas as pd

from fosa_sem.report.document import Section, Table
from fosa_sem.report.formatting import clean, decimal, p_equation, percent
from fosa_sem.report.records import PROMPTS, FitReport, ImputationReport

NOT_STATED = "not stated by the analyst"
_ABSENT = "not in this report"
_PLANNED, _HANDLING, _REASONS, _MECHANISM, _AUXILIARY, _COMPLETE, _DEPARTURES, _LIMITS, _DATA = PROMPTS
_SOURCES = (
    "After JARS-Quant (Appelbaum et al., 2018), TARMOS (Lee et al., 2021) and van Buuren (2018, section 12.2). What "
    "only the analyst can say is printed as not stated where it was not given."
)
_ALWAYS = [
    ("Missing at random", "cannot be tested with the observed data"),
    ("Equivalent models", "fit as well as this one; fit is no proof of cause"),
]


def checklist_section(report: FitReport, imputation: ImputationReport | None) -> Section:
    """Return the checklist as a table of parts, items and answers.

    Parameters
    ----------
    report : FitReport
    imputation : ImputationReport or None
    """
    said = {prompt: text.strip() for prompt, text in report.statements if text.strip()}

    def analyst(prompt: str) -> tuple[str, str]:
        return prompt, said.get(prompt, NOT_STATED)

    auxiliary = ("Auxiliary variables", dict(report.call).get("Auxiliary variables", "none"))
    parts: list[tuple[str, list[tuple[str, str]]]] = [
        ("Plan", [analyst(_PLANNED), analyst(_HANDLING)]),
        ("Missing data", [*_amount(report), analyst(_REASONS), *_differences(report)]),
        ("Assumptions", [analyst(_MECHANISM), auxiliary, analyst(_AUXILIARY)]),
        ("Method", _method(report)),
        ("Imputation", _imputation(imputation)),
        ("Results", [("Estimates with standard errors and intervals", "in Parameter estimates"), analyst(_COMPLETE)]),
        ("Sensitivity", [*_sensitivity(imputation), analyst(_DEPARTURES)]),
        ("Interpretation", [*_ALWAYS, analyst(_LIMITS)]),
        ("Data and code", [("Software", report.title), analyst(_DATA)]),
    ]
    others = [(prompt, text) for prompt, text in said.items() if prompt not in PROMPTS]
    if others:
        parts.append(("Further statements by the analyst", others))
    rows: list[tuple[str, ...]] = []
    for part, items in parts:
        rows.append((part,))
        rows += [(clean(item), clean(answer)) for item, answer in items]
    table = Table(
        caption="Reporting checklist", columns=("Item", "Answer"), rows=tuple(rows), align="ll", notes=(_SOURCES,)
    )
    return Section(title="Reporting checklist", blocks=(table,))


def _amount(report: FitReport) -> list[tuple[str, str]]:
    dropped = "; ".join(f"{count} {reason}" for reason, count in report.dropped) or "none dropped"
    items = [("Rows", f"{report.n_used} used of {report.n_given} given; {dropped}")]
    if len(report.missing_rates):
        rates = report.missing_rates
        most = f"most in {clean(rates.idxmax())} ({percent(float(rates.max()))})" if rates.max() > 0 else "none"
        items.append(("Missing cells", f"{percent(float(rates.mean()))}, {most}; {sum(report.n_patterns)} patterns"))
    if report.coverage:
        lowest = min(float(frame.to_numpy().min()) for frame in report.coverage)
        items.append(("Smallest coverage of a pair", percent(lowest)))
    return items


def _differences(report: FitReport) -> list[tuple[str, str]]:
    missing = report.missing
    if missing is None:
        return [("Rows with and without values compared", _ABSENT)]
    tests = [test for test in missing.mcar if test is not None]
    smd = missing.differences["smd"].abs().max()
    largest = "none possible" if pd.isna(smd) else f"largest standardised difference {decimal(float(smd), 2)}"
    little = ", ".join(p_equation(test.pvalue) for test in tests)
    return [
        ("Rows with and without values compared", largest),
        ("Little's test of missing completely at random", little or "not defined here"),
    ]


def _method(report: FitReport) -> list[tuple[str, str]]:
    wanted = ("Estimator", "Missing data", "Standard errors", "Information", "Information bread", "Exogenous variables")
    items = [(label, value) for label, value in report.call if label in wanted]
    return [*items, ("Estimate is a certified maximum", "yes" if report.converged else "NO")]


def _imputation(imputation: ImputationReport | None) -> list[tuple[str, str]]:
    multiple = imputation.multiple if imputation else None
    if multiple is None:
        return [("Multiple imputation", _ABSENT)]
    items = [*multiple.settings]
    if multiple.estimates is not None:
        fits = f"{multiple.m - len(multiple.failed)} of {multiple.m} fits pooled by Rubin's rules"
        items.append(("Pooling", fits))
        fmi = multiple.estimates["fmi"]
        items.append(("Largest fraction of missing information", decimal(float(fmi.max()), 2)))
        items.append(("Imputation model allows for the analysis", "NO: " + ", ".join(multiple.lacking)
                      if multiple.lacking else "nothing found that it rules out"))  # fmt: skip
    return items


def _sensitivity(imputation: ImputationReport | None) -> list[tuple[str, str]]:
    results = imputation.sensitivity if imputation else ()
    items = []
    for result in results:
        table = result.tipping_points()
        changed = [term for term in result.terms if (table.loc[table["term"] == term, "becomes"] != "").any()]
        which = f": {', '.join(changed)}" if changed else ""
        shown = f"{len(changed)} of {len(result.terms)} conclusions change{which}"
        names = ", ".join(axis.name for axis in result.axes)
        items.append((f"Shifts of {names}", shown))
    return items or [("Analysis under values missing not at random", _ABSENT)]
