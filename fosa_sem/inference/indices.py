"""Formulas of fit indices as functions of numbers, with lavaan's conventions at their limits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fosa_sem.fiml.information import lower_triangle

FloatArray = NDArray[np.float64]

RMSEA_LEVEL = 0.90
RMSEA_CLOSE, RMSEA_NOT_CLOSE = 0.05, 0.08
ROUNDING = 1e-8
"""Chi-square below it is rounding error of the log-likelihoods."""


def upper_tail(chisq: float, df: float) -> float:
    """P(X > chisq); NaN without degrees of freedom."""
    return float(special.chdtrc(df, chisq)) if df > 0 else math.nan


def incremental_measures(chisq: float, df: int, base: float, base_df: int) -> dict[str, float]:
    """Fit relative to the baseline model.

    CFI (Bentler 1990), TLI = NNFI (Tucker & Lewis 1973), RFI (Bollen 1986), NFI (Bentler & Bonett 1980), PNFI
    (James, Mulaik & Brett 1982), IFI (Bollen 1989), RNI (McDonald & Marsh 1990). Limits are lavaan's: without degrees
    of freedom CFI, TLI, RFI and NFI are 1, and RFI is 1 where it would be negative.
    """
    rfi = nfi = math.nan if math.isnan(chisq + base) else 1.0
    if base_df == 0:
        nfi = math.nan
    if df > 0:
        nfi = _ratio(base - chisq, base) if df <= base_df else math.nan
        gain = base / base_df - chisq / df if base_df > 0 else 0.0
        rfi = math.nan if df > base_df else 1.0 if gain < 0 else _ratio(gain, base / base_df)
    return {
        **noncentral_measures(chisq, df, base, base_df),
        "rfi": rfi,
        "nfi": nfi,
        "pnfi": df / base_df * _ratio(base - chisq, base) if base_df > 0 else math.nan,
        "ifi": 1.0 if base < df else _ratio(base - chisq, base - df),
    }


def noncentral_measures(
    chisq: float, df: int, base: float, base_df: int, factor: float = 1.0, base_factor: float = 1.0
) -> dict[str, float]:
    """CFI, TLI = NNFI and RNI, which compare what chi-square exceeds its expectation by.

    Parameters
    ----------
    chisq, df, base, base_df
        Of the model and of the baseline model.
    factor, base_factor : float, default 1
        What a correct model's chi-square is on average, per degree of freedom (robust versions: Brosseau-Liard &
        Savalei 2014; Zhang & Savalei 2023).
    """
    if math.isnan(factor + base_factor + chisq + base):
        return dict.fromkeys(("cfi", "tli", "nnfi", "rni"), math.nan)
    if df == 0:  # what an active inequality costs shows; as lavaan, without a correction that is 0 / 0
        factor = base_factor = 1.0
    over, base_over = chisq - factor * df, base - base_factor * base_df
    excess = over if over > ROUNDING else 0.0
    base_excess = max(base_over, excess, 0.0)
    tli = 1.0 - _ratio(over * base_df, base_over * df) if df > 0 else 1.0
    return {
        "cfi": 1.0 if base_excess == 0.0 else 1.0 - excess / base_excess,
        "tli": tli,
        "nnfi": tli,
        "rni": 1.0 - _ratio(over, base_over),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def rmsea_measures(chisq: float, df: float, n: float, n_groups: int) -> dict[str, float]:
    """RMSEA with its limits and tests of close and not close fit."""
    lower, upper = rmsea_interval(chisq, df, n, n_groups)
    return {
        "rmsea": rmsea(chisq, df, n, n_groups),
        "rmsea.ci.lower": lower,
        "rmsea.ci.upper": upper,
        "rmsea.pvalue": rmsea_pvalue(chisq, df, n, n_groups, RMSEA_CLOSE),
        "rmsea.notclose.pvalue": 1.0 - rmsea_pvalue(chisq, df, n, n_groups, RMSEA_NOT_CLOSE),
    }


def robust_rmsea_measures(chisq: float, df: int, factor: float, n: float, n_groups: int) -> dict[str, float]:
    """RMSEA of a chi-square that is ``factor`` times chi-square distributed (Li & Bentler 2006; Savalei 2018)."""
    if df > 0 and not factor > 0.0:  # lavaan takes the root of what is defined and leaves the rest out
        point = rmsea(chisq, df, n, n_groups, factor) if not math.isnan(factor) else math.nan
        limits = ("rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "rmsea.notclose.pvalue")
        return {"rmsea": point, **dict.fromkeys(limits, math.nan)}
    scaled = chisq / factor if df > 0 else chisq
    lower, upper = rmsea_interval(scaled, df, n, n_groups)
    root = math.sqrt(factor) if df > 0 else 1.0
    close, not_close = (rmsea_pvalue(scaled, df, n, n_groups, null / root) for null in (RMSEA_CLOSE, RMSEA_NOT_CLOSE))
    return {
        "rmsea": rmsea(chisq, df, n, n_groups, factor),
        "rmsea.ci.lower": lower * root,
        "rmsea.ci.upper": upper * root,
        "rmsea.pvalue": close,
        "rmsea.notclose.pvalue": 1.0 - not_close,
    }


def rmsea(chisq: float, df: float, n: float, n_groups: int = 1, factor: float = 1.0) -> float:
    """Root mean square error of approximation, with N and the sqrt(groups) factor of Steiger (1998); 0 if df = 0."""
    return math.sqrt(max((chisq - factor * df) / (df * n), 0.0) * n_groups) if df > 0 else 0.0


def rmsea_interval(
    chisq: float, df: float, n: float, n_groups: int = 1, level: float = RMSEA_LEVEL
) -> tuple[float, float]:
    """Confidence limits of RMSEA by inverting the noncentral chi-square (Browne & Cudeck 1993)."""
    if df < 1:
        return 0.0, 0.0
    tail = (1.0 - level) / 2.0
    limits = [_noncentrality(chisq, df, 1.0 - tail), _noncentrality(chisq, df, tail)]
    lower, upper = (math.sqrt(limit / (df * n) * n_groups) for limit in limits)
    return lower, upper


def _noncentrality(chisq: float, df: float, probability: float) -> float:
    """The noncentrality at which P(X <= chisq) is the given probability; 0 if even the central one is below it."""
    if special.chdtr(df, chisq) < probability:
        return 0.0
    return float(special.chndtrinc(chisq, df, probability))


def rmsea_pvalue(chisq: float, df: float, n: float, n_groups: int, null: float) -> float:
    """P(X > chisq) if RMSEA were ``null``: the test of close fit at .05."""
    if not df > 0:
        return math.nan
    return float(1.0 - special.chndtr(chisq, df, n * df * null**2 / n_groups))


def critical_n(chisq: float, df: int, n: float, alpha: float) -> float:
    """Hoelter's (1983) critical N; 1 without degrees of freedom."""
    if df == 0:
        return 1.0
    return float(special.chdtri(df, alpha) / (chisq / n) + 1.0) if chisq > 0 else math.inf


def residual_measures(
    m: FloatArray, S: FloatArray, mu: FloatArray, Sigma: FloatArray, *, means: bool = True
) -> dict[str, float]:
    """Root mean square residuals of one group.

    srmr_bentler (Bentler 1995), crmr (Bollen 1989; Maydeu-Olivares 2017), srmr_mplus, rmr, and those without means.

    Parameters
    ----------
    m, S : ndarray, shape (p,), (p, p)
        Saturated moments.
    mu, Sigma : ndarray, shape (p,), (p, p)
        Implied moments.
    means : bool, default True
        The model has a mean structure.
    """
    p = len(m)
    lower = lower_triangle(p)
    pairs = p * (p + 1) / 2
    s, sigma = np.sqrt(S.diagonal()), np.sqrt(Sigma.diagonal())
    raw, unit = S - Sigma, s * s[:, None]
    correlation = S / unit - Sigma / (sigma * sigma[:, None])
    mplus = correlation.copy()
    mplus.reshape(-1)[:: p + 1] += raw.diagonal() / S.diagonal()
    covs = {"rmr": raw, "srmr_bentler": raw / unit, "crmr": correlation, "srmr_mplus": mplus}
    # lavaan 0.6 scales both means of crmr by the sample standard deviation, those of srmr_mplus each by its own.
    of_means = {"rmr": m - mu, "srmr_bentler": (m - mu) / s, "crmr": (m - mu) / s, "srmr_mplus": m / s - mu / sigma}
    out = {}
    for name, residual in covs.items():
        squares = float((residual[lower] ** 2).sum())
        count = pairs - p if name == "crmr" else pairs
        nomean = math.sqrt(squares / count) if count else math.nan
        total = math.sqrt((squares + float((of_means[name] ** 2).sum())) / (count + p))
        out[name] = total if means else nomean
        out[f"{name}_nomean"] = nomean
    return out
