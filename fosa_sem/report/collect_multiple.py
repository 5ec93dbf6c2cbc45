"""Multiple imputations and what was pooled -> the record that the renderers print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.evaluate.sensitivity import Sensitivity
from fosa_sem.imputation.congeniality import lacking
from fosa_sem.imputation.draws import ModelDraws
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.imputation.pooled_sem import PooledSem
from fosa_sem.imputation.pooling_path import of_interest, pooled_terms, pooling_path
from fosa_sem.report.records import ImputationReport, ImputedVariable, MultipleReport

_LIMITED = (
    ("integer", "Drawn as whole numbers"),
    ("matched", "Drawn by predictive mean matching"),
    ("ordinal", "Drawn as categories, by cutting a latent normal variable"),
)
_PATH = 25
"""Points of the path that shows how estimates settle."""


def collect_multiple(
    imputations: MultipleImputation, pooled: PooledSem | None = None, *, level: float = 0.95
) -> MultipleReport:
    """Everything a report says about multiple imputations and a model fitted to each.

    Parameters
    ----------
    imputations : MultipleImputation
    pooled : PooledSem, optional
        What `MultipleImputation.fit` gives.
    level : float, default 0.95
        Of the confidence intervals.

    Raises
    ------
    OptionError
        The pooled fit is of another number of imputations.
    """
    base = MultipleReport(
        m=imputations.m, settings=_settings(imputations), variables=imputed_variables(imputations), ci_level=level,
        imputation_model=imputations.model.model if imputations.model and imputations.draws else "",
    )  # fmt: skip
    if pooled is None:
        return base
    if pooled.m != imputations.m:
        raise OptionError(f"the pooled fit is of {pooled.m} imputations, and {imputations.m} are given")
    template, estimates = pooled.fits.template, pooled_terms(pooled, level)
    measures = pooled.fit_measures() if template.has_test else pd.Series(dtype=float)
    missing = lacking(template, imputations.model) if imputations.model is not None else ()
    return replace(
        base, model=template.model, failed=pooled.failed, lacking=missing, estimates=estimates,
        fit_measures=measures, path=pooling_path(pooled, of_interest(estimates), level, most=_PATH),
    )  # fmt: skip


def with_multiple(
    report: ImputationReport | None, imputations: MultipleImputation | None, pooled: PooledSem | None,
    sensitivity: Sensitivity | Sequence[Sensitivity],
) -> ImputationReport | None:  # fmt: skip
    """Add multiple imputations, a pooled fit and sensitivity analyses to what is said about imputed values.

    Raises
    ------
    OptionError
        A pooled fit without the imputations, or of another number of them.
    """
    results = (sensitivity,) if isinstance(sensitivity, Sensitivity) else tuple(sensitivity)
    if pooled is not None and imputations is None:
        raise OptionError("a pooled fit is reported with the imputations that it is of; give imputations too")
    multiple = None if imputations is None else collect_multiple(imputations, pooled)
    if multiple is None and not results:
        return report
    return replace(report or ImputationReport(), multiple=multiple, sensitivity=results)


def imputed_variables(
    imputations: MultipleImputation, variables: Sequence[str] | str | None = None
) -> tuple[ImputedVariable, ...]:
    """Observed and imputed values of the columns that have imputed cells; every table is made once.

    Raises
    ------
    OptionError
        A variable is unknown, not numeric, or has no imputed cells.
    """
    table, where = imputations.table, imputations.where
    able = [n for n in table.columns if where[n].any() and pd.api.types.is_numeric_dtype(table[n].dtype)]
    chosen = able if variables is None else [variables] if isinstance(variables, str) else list(variables)
    for name in chosen:
        if name not in able:
            raise OptionError(f"{name!r} is no column of numbers with imputed cells; there are {', '.join(able)}")
    rows = {name: where[name].to_numpy() for name in chosen}
    values: dict[str, list[np.ndarray]] = {name: [] for name in chosen}
    for completed in imputations:
        for name in chosen:
            values[name].append(_numbers(completed[name])[rows[name]])
    return tuple(
        ImputedVariable(variable=name, observed=_numbers(table[name].dropna()), imputed=tuple(values[name]))
        for name in chosen
    )


def _numbers(column: pd.Series) -> np.ndarray:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _settings(imputations: MultipleImputation) -> tuple[tuple[str, str], ...]:
    cells, model = int(imputations.where.to_numpy().sum()), imputations.model
    entries = [("Imputations", str(imputations.m)), ("Imputed cells", str(cells))]
    if imputations.draws is None:
        return (*entries, ("Imputation model", "imputations were made elsewhere, or changed since"))
    if model is not None:
        variables = ", ".join(model.table.names.observed)
        entries.append(("Imputation model", f"structural equation model of {variables}"))
        if model.table.auxiliary:
            entries.append(("Auxiliary variables", ", ".join(model.table.auxiliary)))
    return (*entries, *_how_drawn(imputations.draws))


def _how_drawn(draws: ModelDraws) -> list[tuple[str, str]]:
    parameters, rules = draws.parameters, draws.rules
    kind = "from N(estimate, covariance matrix)" if parameters.kind == "normal" else "by bootstrap of the rows"
    redrawn = f", {parameters.redrawn} redrawn because they cannot be used" if parameters.redrawn else ""
    entries = [
        ("Parameters drawn", f"{kind}, anew for each imputation{redrawn}"),
        ("Missing cells drawn", "jointly, given the drawn parameters and what the row shows"),
    ]
    for attribute, label in _LIMITED:
        names = [name for name, on in zip(draws.variables, getattr(rules, attribute), strict=True) if on]
        if names:
            entries.append((label, ", ".join(names)))
    bounded = [
        f"{name} [{low:g}, {high:g}]"
        for name, low, high, whole in zip(
            draws.variables, rules.limits.lower, rules.limits.upper, rules.integer, strict=True
        )
        if not whole and (np.isfinite(low) or np.isfinite(high))
    ]
    if bounded:
        entries.append(("Limits of drawn values", ", ".join(bounded)))
    if draws.adjustment is not None:
        entries.append(("Centre of the draws", "refined values, with spread calibrated on held-out cells"))
    return [*entries, ("Seed", str(draws.seed))]
