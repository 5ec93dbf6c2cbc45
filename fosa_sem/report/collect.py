"""A fit, a completion and its evaluation -> the records that the renderers print."""

from __future__ import annotations

import math
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fosa_sem.data.diagnostics import coverage_table, missing_rates, pattern_table
from fosa_sem.imputation.completion import Completion
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.fit_measures import measure_values
from fosa_sem.inference.parameters import is_free, parameter_columns
from fosa_sem.inference.standardized import explained_variance
from fosa_sem.model.scaling import correlation
from fosa_sem.report.collect_missing import collect_missing
from fosa_sem.report.document import Section
from fosa_sem.report.records import Distribution, FitReport, ImputationReport

if TYPE_CHECKING:
    from fosa_sem.refine.insight import Dependence


@cache
def package_version() -> str:
    """Version of the installed package; empty when run from a source tree."""
    try:
        return version("fosa-sem")
    except PackageNotFoundError:
        return ""


MISSING_NOTE = (
    "Missing values: full-information maximum likelihood is the default here (lavaan's is listwise deletion); it "
    "assumes that values are missing at random given the variables of the model."
)
_TWO_STAGE_NOTE = (
    "Missing values: the EM moments of the saturated model were fitted as if complete; standard errors and test allow "
    "for what is missing. Values are assumed to be missing at random."
)
_LISTWISE_NOTE = (
    "Missing values: rows with a hole were left out (listwise deletion), which assumes that values are missing "
    "completely at random."
)
_MISSING = {
    "ml": ("full-information maximum likelihood (fiml)", MISSING_NOTE),
    "ml.x": ("full-information maximum likelihood, exogenous rows kept (fiml.x)", MISSING_NOTE),
    "listwise": ("listwise deletion", _LISTWISE_NOTE),
    "two.stage": ("two-stage maximum likelihood (two.stage)", _TWO_STAGE_NOTE),
    "robust.two.stage": ("robust two-stage maximum likelihood (robust.two.stage)", _TWO_STAGE_NOTE),
}
_SE = {
    "standard": "Standard", "robust.huber.white": "Sandwich", "robust.sem": "Robust (Satorra-Bentler)",
    "two.stage": "Two-stage", "robust.two.stage": "Robust two-stage", "bootstrap": "Bootstrap", "none": "None",
}  # fmt: skip
_TESTS = {
    "satorra.bentler": "Satorra-Bentler correction",
    "yuan.bentler": "Yuan-Bentler correction",
    "yuan.bentler.mplus": "Yuan-Bentler correction (Mplus variant)",
}
_MANY_GROUPS = 12
"""Groups whose parts of chi-square are still listed."""


def collect_fit(
    fit: FimlFit,
    *,
    level: float = 0.95,
    statements: tuple[tuple[str, str], ...] = (),
    fmi: bool = False,
    diagnostics: bool = False,
    further: tuple[Section, ...] = (),
) -> FitReport:
    """Everything a report says about a fit.

    Parameters
    ----------
    fit : FimlFit
    level : float, default 0.95
        Of the confidence intervals.
    statements : tuple of (prompt, text)
        What only the analyst can say; prompts left out print as not stated.
    fmi : bool, default False
        Hold the fraction of missing information.
    diagnostics : bool, default False
        Whether to hold also what a summary does not print: patterns, moments, residuals, missing values examined.
    further : tuple of Section
        Sections from elsewhere.
    """
    estimates = parameter_columns(fit, level=level, scales=("std.lv", "std.all"), fmi=fmi)
    return FitReport(
        title=f"fosa_sem {package_version()}".strip(),
        model=fit.model,
        call=_call(fit),
        converged=fit.audit.maximum,
        iterations=fit.iterations,
        npar=len(fit.theta),
        n_equality=len(fit.theta) - fit.npar,
        group_labels=tuple(g.label for g in fit.sample.groups),
        n_given=fit.sample.n_given,
        n_used=fit.sample.n_used,
        n_by_group=tuple(g.patterns.n_rows for g in fit.sample.groups),
        dropped=fit.sample.dropped,
        n_patterns=tuple(len(g.patterns.n) for g in fit.sample.groups),
        audit=_audit(fit),
        fit_measures=measure_values(fit, goodness=False),
        parameters={**_listed(estimates), "free": is_free(fit)},
        r2=_listed(explained_variance(fit)),
        notes=(_MISSING[fit.resolved.missing][1], *fit.notes),
        chisq_by_group=tuple(fit.chisq_by_group) if fit.has_test and 1 < len(fit.n_rows) <= _MANY_GROUPS else (),
        ci_level=level,
        statements=statements,
        further=further,
        **(_details(fit) if diagnostics else {}),
    )


def _listed(columns: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: column.tolist() if isinstance(column, np.ndarray) else column for name, column in columns.items()}


def _details(fit: FimlFit) -> dict[str, Any]:
    """Fields of `FitReport` that only written reports print."""
    names = pd.Index(fit.table.names.observed)
    patterns = pattern_table(fit.sample)
    if len(patterns) > 1:
        for part, group in zip(patterns, fit.sample.groups, strict=True):
            part.insert(part.shape[1], "group", group.label, allow_duplicates=True)
    return {
        "patterns": pd.concat(patterns, ignore_index=True) if len(patterns) > 1 else patterns[0],
        "coverage": coverage_table(fit.sample),
        "missing_rates": missing_rates(fit.sample),
        "saturated": tuple(
            (pd.Series(s.mean, index=names), pd.DataFrame(s.cov, index=names, columns=names))
            for s in fit.problem.saturated
        ),
        "residual_correlations": _residual_correlations(fit),
        "missing": collect_missing(fit),
    }


def _residual_correlations(fit: FimlFit) -> tuple[pd.DataFrame, ...]:
    """EM correlations less model-implied ones, per group (lavaan: ``residuals(type = "cor.bollen")``)."""
    names = pd.Index(fit.table.names.observed)
    tables = []
    for ram, saturated in zip(fit.problem.maps, fit.problem.saturated, strict=True):
        implied = ram.moments(fit.theta)[1]
        difference = correlation(saturated.cov) - correlation(implied)
        tables.append(pd.DataFrame(difference, index=names, columns=names))
    return tuple(tables)


def _call(fit: FimlFit) -> tuple[tuple[str, str], ...]:
    x = ", ".join(fit.table.names.observed_x)
    resolved = fit.resolved
    entries = [
        ("Function", fit.options.func),
        ("Estimator", fit.options.estimator),
        ("Missing data", _MISSING[resolved.missing][0]),
        ("Engine", fit.options.engine_name),
        *_inference(fit),
    ]
    if resolved.likelihood == "wishart":
        entries.append(("Likelihood", "Wishart: unbiased covariances, N - 1"))
    if not fit.table.meanstructure:
        entries.append(("Means", "not modelled"))
    if resolved.scaled_test is not None:
        entries.append(("Scaled test", _TESTS[resolved.scaled_test]))
    if x:
        how = "fixed at their sample moments" if fit.table.fixed_x else "modelled jointly (fixed_x = False)"
        entries.append(("Exogenous variables", f"{x}: {how}"))
    if fit.table.auxiliary:
        entries.append(("Auxiliary variables", ", ".join(fit.table.auxiliary)))
    if fit.options.group:
        entries.append(("Group variable", fit.options.group))
    return tuple(entries)


def _inference(fit: FimlFit) -> list[tuple[str, str]]:
    """How standard errors come about, in the words of lavaan's summary."""
    information = fit.resolved.information
    missing = fit.vcov is None and fit.resolved.se != "none"
    entries = [("Standard errors", "Not available" if missing else _SE[fit.resolved.se])]
    if fit.draws is not None:
        entries.append(("Bootstrap draws", f"{len(fit.draws.failed)}, of which {fit.draws.failed.sum()} failed"))
    if fit.resolved.se in ("none", "bootstrap"):
        return entries
    sandwich = fit.resolved.se == "robust.huber.white"
    entries.append(("Information bread" if sandwich else "Information", information.kind.capitalize()))
    if information.kind == "observed":
        entries.append(("Observed information based on", information.observed.capitalize()))
    if information.kind != "observed" or information.observed == "h1":
        entries.append(("Information saturated (h1) model", information.moments.capitalize()))
    return entries


def _audit(fit: FimlFit) -> tuple[tuple[str, str], ...]:
    found = fit.audit
    stationarity = "not defined" if math.isnan(found.stationarity) else f"{found.stationarity:.1e}"
    entries = [
        ("Maximum of the likelihood", "yes" if found.maximum else "NO: do not interpret the estimates"),
        ("Scaled gradient g' I⁻¹ g", f"{stationarity} (0 at a maximum)"),
        ("Information matrix", f"smallest/largest eigenvalue {found.information_condition:.1e}"),
        ("Implied correlations", f"smallest eigenvalue {found.smallest_eigenvalue:.3g}"),
        ("Negative variances", ", ".join(found.negative_variances) or "none"),
    ]
    if found.improper_latent:
        entries.append(("Latent covariance matrix", "not positive definite"))
    if found.flat:
        entries.append(("Not determined by the data", ", ".join(found.flat)))
    return tuple(entries)


def collect_imputation(
    completion: Completion,
    refined: Completion | None = None,
    *,
    metrics: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    gates: pd.DataFrame | None = None,
    adjustments: pd.DataFrame | None = None,
    dependence: Dependence | None = None,
    notes: tuple[str, ...] = (),
) -> ImputationReport:
    """Everything a report says about an imputation: distributions of the filled cells, accuracy, gates."""
    distributions = []
    for j, name in enumerate(completion.variables):
        seen = completion.observed[:, j]
        if not seen.all():
            distributions.append(
                Distribution(
                    variable=name,
                    observed=np.asarray(completion.values[seen, j]),
                    sem=np.asarray(completion.values[~seen, j]),
                    refined=None if refined is None else np.asarray(refined.values[~seen, j]),
                )
            )
    return ImputationReport(
        metrics=metrics, history=history, gates=gates, distributions=tuple(distributions), adjustments=adjustments,
        dependence=dependence, notes=notes,
    )  # fmt: skip
