"""Fit measures in lavaan's order: which lines, under which heading, by which name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fosa_sem.report.records import Measures

Kind = Literal["number", "count", "p"]
VERSIONS = ("standard", "scaled", "robust")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRow:
    """One fit measure in its ordinary, scaled and robust version.

    Attributes
    ----------
    label, formal : str
        Wording of the text summary, and the full name for a written report.
    standard, scaled, robust : float or None
        None where the version does not exist.
    kind : {"number", "count", "p"}
        How to print it.
    """

    label: str
    formal: str
    standard: float | None
    scaled: float | None
    robust: float | None
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureBlock:
    """Fit measures under one heading: that of the text summary, and that of a written report."""

    title: str
    formal: str
    rows: tuple[MeasureRow, ...]


# (lavaan's name, wording of the text summary, full name, kind)
_Line = tuple[str, str, str, Kind]
_USER: tuple[_Line, ...] = (
    ("chisq", "Test statistic", "Chi-square of the model against the saturated model", "number"),
    ("df", "Degrees of freedom", "Degrees of freedom", "count"),
    ("pvalue", "P-value (Chi-square)", "p-value", "p"),
    ("chisq.scaling.factor", "Scaling correction factor", "Scaling correction factor", "number"),
)
_BASELINE: tuple[_Line, ...] = (
    ("baseline.chisq", "Test statistic", "Chi-square of the baseline against the saturated model", "number"),
    ("baseline.df", "Degrees of freedom", "Degrees of freedom", "count"),
    ("baseline.pvalue", "P-value", "p-value", "p"),
    ("baseline.chisq.scaling.factor", "Scaling correction factor", "Scaling correction factor", "number"),
)
_INCREMENTAL: tuple[_Line, ...] = (
    ("cfi", "Comparative Fit Index (CFI)", "Comparative fit index (CFI)", "number"),
    ("tli", "Tucker-Lewis Index (TLI)", "Tucker-Lewis index (TLI)", "number"),
)
_LIKELIHOOD: tuple[_Line, ...] = (
    ("logl", "Loglikelihood user model (H0)", "Log-likelihood of the model (H0)", "number"),
    ("scaling.factor.h0", "Scaling correction factor", "Scaling correction factor of H0", "number"),
    ("unrestricted.logl", "Loglikelihood unrestricted model (H1)", "Log-likelihood saturated (H1)", "number"),
    ("scaling.factor.h1", "Scaling correction factor", "Scaling correction factor of H1", "number"),
    ("aic", "Akaike (AIC)", "Akaike information criterion (AIC)", "number"),
    ("bic", "Bayesian (BIC)", "Bayesian information criterion (BIC)", "number"),
    ("bic2", "Sample-size adjusted Bayesian (SABIC)", "Sample-size adjusted BIC (SABIC)", "number"),
)
_SRMR: tuple[_Line, ...] = (("srmr", "SRMR", "Standardised root mean square residual (SRMR)", "number"),)
_SCALED_ONLY = frozenset(
    {"chisq.scaling.factor", "baseline.chisq.scaling.factor", "scaling.factor.h0", "scaling.factor.h1"}
)


def measure_blocks(measures: Measures) -> tuple[MeasureBlock, ...]:
    """Arrange fit measures as lavaan's summary does; names that are absent are left out.

    Parameters
    ----------
    measures : measures
        Values by lavaan's names.

    Returns
    -------
    tuple of MeasureBlock
        The first is the test of the user's model. Blocks without rows are left out.

    Notes
    -----
    lavaan: ``summary(fit, fit.measures = TRUE)``.
    """
    values = {str(name): float(value) for name, value in measures.items()}
    layout = (
        ("Model Test User Model", "Test of the model", _USER),
        ("Model Test Baseline Model", "Test of the baseline model", _BASELINE),
        ("User Model versus Baseline Model", "Model against baseline model", _INCREMENTAL),
        ("Loglikelihood and Information Criteria", "Log-likelihood and information criteria", _LIKELIHOOD),
        ("Root Mean Square Error of Approximation", "Error of approximation", _rmsea_lines(values)),
        ("Standardized Root Mean Square Residual", "Residuals", _SRMR),
    )
    blocks = (MeasureBlock(title=title, formal=formal, rows=_rows(values, lines)) for title, formal, lines in layout)
    return tuple(block for block in blocks if block.rows)


def value_of(measures: Measures, name: str, default: float = math.nan) -> float:
    """One fit measure as a float; `default` where the name is absent."""
    return float(measures[name]) if name in measures else default


def _rmsea_lines(values: dict[str, float]) -> tuple[_Line, ...]:
    level = f"{100 * values.get('rmsea.ci.level', 0.90):g}"
    close = values.get("rmsea.close.h0", 0.05)
    far = values.get("rmsea.notclose.h0", 0.08)
    formal = "Root mean square error of approximation (RMSEA)"
    interval = f"{level} Percent confidence interval"
    close_label, far_label = f"H_0: RMSEA <= {close:.3f}", f"H_0: RMSEA >= {far:.3f}"
    return (
        ("rmsea", "RMSEA", formal, "number"),
        ("rmsea.ci.lower", f"{interval} - lower", f"{level}% confidence interval, lower limit", "number"),
        ("rmsea.ci.upper", f"{interval} - upper", f"{level}% confidence interval, upper limit", "number"),
        ("rmsea.pvalue", f"P-value {close_label}", f"p-value of H0: RMSEA ≤ {close:g} (close fit)", "p"),
        ("rmsea.notclose.pvalue", f"P-value {far_label}", f"p-value of H0: RMSEA ≥ {far:g}", "p"),
    )


def _rows(measures: dict[str, float], lines: tuple[_Line, ...]) -> tuple[MeasureRow, ...]:
    rows = []
    for name, label, formal, kind in lines:
        plain, scaled, robust = measures.get(name), measures.get(f"{name}.scaled"), measures.get(f"{name}.robust")
        if plain is None and scaled is None and robust is None:
            continue
        if name in _SCALED_ONLY:
            plain, scaled = None, plain
        rows.append(MeasureRow(label=label, formal=formal, standard=plain, scaled=scaled, robust=robust, kind=kind))
    return tuple(rows)
