"""Fit measures under lavaan's names; each formula stands once, as a function of numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.inference.fit import FimlFit

FloatArray = NDArray[np.float64]

RMSEA_LEVEL = 0.90
RMSEA_CLOSE, RMSEA_NOT_CLOSE = 0.05, 0.08


def fit_measures(fit: FimlFit) -> pd.Series:
    """All fit measures (lavaan: ``fitMeasures()``).

    Parameters
    ----------
    fit : FimlFit

    Returns
    -------
    Series
        Indexed by lavaan's names. NaN where the saturated model does not exist (a pair of variables never observed
        together, or a ridge).
    """
    values = likelihood_measures(fit)
    if not fit.has_test:
        names = [*_TEST_NAMES, *_RESIDUAL_NAMES]
        values.update(dict.fromkeys((n for n in names if n not in values), math.nan))
    else:
        values.update(test_measures(fit))
        values.update(residual_measures(fit))
    order = [name for name in _ORDER if name in values]
    return pd.Series({name: float(values[name]) for name in order}, name="value")


def likelihood_measures(fit: FimlFit) -> dict[str, float]:
    """Log-likelihood and information criteria (Akaike 1974; Schwarz 1978; Sclove 1987 for ``bic2``)."""
    n, npar = fit.sample.n_used, fit.npar
    return {
        "npar": npar,
        "df": fit.references.saturated_npar - npar,
        "baseline.df": fit.references.saturated_npar - fit.references.baseline_npar,
        "logl": fit.loglik,
        "aic": -2 * fit.loglik + 2 * npar,
        "bic": -2 * fit.loglik + npar * math.log(n),
        "bic2": -2 * fit.loglik + npar * math.log((n + 2) / 24),
        "ntotal": n,
        "rmsea.ci.level": RMSEA_LEVEL,
        "rmsea.close.h0": RMSEA_CLOSE,
        "rmsea.notclose.h0": RMSEA_NOT_CLOSE,
    }


def test_measures(fit: FimlFit) -> dict[str, float]:
    """Measures that rest on the chi-square statistic 2 (loglik H1 - loglik H0)."""
    refs, n, n_groups = fit.references, fit.sample.n_used, len(fit.sample.groups)
    # A saturated model differs from H1 by rounding alone, which must not print as -1e-10.
    chisq = max(2.0 * (refs.saturated - fit.loglik), 0.0)
    df = refs.saturated_npar - fit.npar
    base = 2.0 * (refs.saturated - refs.baseline)
    base_df = refs.saturated_npar - refs.baseline_npar
    lower, upper = rmsea_interval(chisq, df, n, n_groups)
    return {
        "fmin": chisq / n / 2,
        "chisq": chisq,
        "pvalue": _upper_tail(chisq, df),
        "baseline.chisq": base,
        "baseline.pvalue": _upper_tail(base, base_df),
        **incremental_measures(chisq, df, base, base_df),
        "unrestricted.logl": refs.saturated,
        "rmsea": rmsea(chisq, df, n, n_groups),
        "rmsea.ci.lower": lower,
        "rmsea.ci.upper": upper,
        "rmsea.pvalue": rmsea_pvalue(chisq, df, n, n_groups, RMSEA_CLOSE),
        "rmsea.notclose.pvalue": 1.0 - rmsea_pvalue(chisq, df, n, n_groups, RMSEA_NOT_CLOSE),
        "cn_05": critical_n(chisq, df, n, 0.05),
        "cn_01": critical_n(chisq, df, n, 0.01),
        "mfi": math.exp(-0.5 * (chisq - df) / n),
        "ecvi": chisq / n + 2 * fit.npar / n,
    }


def _upper_tail(chisq: float, df: int) -> float:
    return float(special.chdtrc(df, chisq)) if df > 0 else math.nan


def incremental_measures(chisq: float, df: int, base: float, base_df: int) -> dict[str, float]:
    """Fit relative to the baseline model.

    CFI (Bentler 1990), TLI = NNFI (Tucker & Lewis 1973), RFI (Bollen 1986), NFI (Bentler & Bonett 1980), PNFI
    (James, Mulaik & Brett 1982), IFI (Bollen 1989), RNI (McDonald & Marsh 1990). Limits are lavaan's: without degrees
    of freedom CFI, TLI, RFI and NFI are 1, and RFI is 1 where it would be negative.
    """
    excess, base_excess = max(chisq - df, 0.0), max(base - base_df, chisq - df, 0.0)
    tli, rfi, nfi = 1.0, 1.0, 1.0
    if df > 0:
        tli = 1.0 - _ratio((chisq - df) * base_df, (base - base_df) * df)
        nfi = _ratio(base - chisq, base) if df <= base_df else math.nan
        gain = base / base_df - chisq / df if base_df > 0 else 0.0
        rfi = math.nan if df > base_df else 1.0 if gain < 0 else _ratio(gain, base / base_df)
    return {
        "cfi": 1.0 if base_excess == 0.0 else 1.0 - excess / base_excess,
        "tli": tli,
        "nnfi": tli,
        "rfi": rfi,
        "nfi": nfi,
        "pnfi": df / base_df * _ratio(base - chisq, base) if base_df > 0 else math.nan,
        "ifi": 1.0 if base < df else _ratio(base - chisq, base - df),
        "rni": 1.0 - _ratio(chisq - df, base - base_df),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def rmsea(chisq: float, df: int, n: int, n_groups: int = 1) -> float:
    """Root mean square error of approximation, with N and the sqrt(groups) factor of Steiger (1998); 0 if df = 0."""
    return math.sqrt(max((chisq - df) / (df * n), 0.0) * n_groups) if df > 0 else 0.0


def rmsea_interval(chisq: float, df: int, n: int, n_groups: int = 1, level: float = RMSEA_LEVEL) -> tuple[float, float]:
    """Confidence limits of RMSEA by inverting the noncentral chi-square (Browne & Cudeck 1993)."""
    if df == 0:
        return 0.0, 0.0
    tail = (1.0 - level) / 2.0
    limits = [_noncentrality(chisq, df, 1.0 - tail), _noncentrality(chisq, df, tail)]
    lower, upper = (math.sqrt(limit / (df * n) * n_groups) for limit in limits)
    return lower, upper


def _noncentrality(chisq: float, df: int, probability: float) -> float:
    """The noncentrality at which P(X <= chisq) is the given probability; 0 if even the central one is below it."""
    if special.chdtr(df, chisq) < probability:
        return 0.0
    return float(special.chndtrinc(chisq, df, probability))


def rmsea_pvalue(chisq: float, df: int, n: int, n_groups: int, null: float) -> float:
    """P(X > chisq) if RMSEA were ``null``: the test of close fit at .05."""
    if df == 0:
        return math.nan
    return float(1.0 - special.chndtr(chisq, df, n * df * null**2 / n_groups))


def critical_n(chisq: float, df: int, n: int, alpha: float) -> float:
    """Hoelter's (1983) critical N; 1 without degrees of freedom."""
    if df == 0:
        return 1.0
    return float(special.chdtri(df, alpha) / (chisq / n) + 1.0) if chisq > 0 else math.inf


def residual_measures(fit: FimlFit) -> dict[str, float]:
    """Root mean square residuals of the saturated moments; several groups are averaged with weights n_g.

    srmr (Bentler 1995), crmr (Bollen 1989; Maydeu-Olivares 2017), srmr_mplus, rmr, and the versions without means.
    """
    weights = [g.patterns.n_rows / fit.sample.n_used for g in fit.sample.groups]
    per_group = []
    for ram, saturated in zip(fit.problem.maps, fit.problem.saturated, strict=True):
        mean, cov = ram.moments(fit.theta)
        per_group.append(_residual_measures(saturated.mean, saturated.cov, mean, cov))
    names = per_group[0]
    values = {k: sum(w * g[k] for w, g in zip(weights, per_group, strict=True)) for k in names}
    values["srmr"] = values["srmr_bentler"]
    return values


def _residual_measures(m: FloatArray, S: FloatArray, mu: FloatArray, Sigma: FloatArray) -> dict[str, float]:
    p = len(m)
    lower = np.tril_indices(p)
    pairs = p * (p + 1) / 2
    s, sigma = np.sqrt(np.diag(S)), np.sqrt(np.diag(Sigma))
    bentler = (S - Sigma) / np.outer(s, s)
    correlation = S / np.outer(s, s) - Sigma / np.outer(sigma, sigma)
    mplus = correlation + np.diag((np.diag(S) - np.diag(Sigma)) / np.diag(S))
    raw = S - Sigma
    # lavaan 0.6 scales both means of crmr by the sample standard deviation, those of srmr_mplus each by its own.
    means = {"rmr": m - mu, "srmr_bentler": (m - mu) / s, "crmr": (m - mu) / s, "srmr_mplus": m / s - mu / sigma}
    covs = {"rmr": raw, "srmr_bentler": bentler, "crmr": correlation, "srmr_mplus": mplus}
    out = {}
    for name, residual in covs.items():
        squares = float((residual[lower] ** 2).sum())
        count = pairs - p if name == "crmr" else pairs
        out[name] = math.sqrt((squares + float((means[name] ** 2).sum())) / (count + p))
        out[f"{name}_nomean"] = math.sqrt(squares / count) if count else 0.0
    return out


_TEST_NAMES = (
    "fmin", "chisq", "pvalue", "baseline.chisq", "baseline.pvalue", "cfi", "tli", "nnfi", "rfi", "nfi", "pnfi", "ifi",
    "rni", "unrestricted.logl", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "rmsea.notclose.pvalue",
    "cn_05", "cn_01", "mfi", "ecvi",
)  # fmt: skip
_RESIDUAL_NAMES = (
    "rmr", "rmr_nomean", "srmr", "srmr_bentler", "srmr_bentler_nomean", "crmr", "crmr_nomean", "srmr_mplus",
    "srmr_mplus_nomean",
)  # fmt: skip
_ORDER = (
    "npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli", "nnfi",
    "rfi", "nfi", "pnfi", "ifi", "rni", "logl", "unrestricted.logl", "aic", "bic", "ntotal", "bic2", "rmsea",
    "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.ci.level", "rmsea.pvalue", "rmsea.close.h0", "rmsea.notclose.pvalue",
    "rmsea.notclose.h0", *_RESIDUAL_NAMES, "cn_05", "cn_01", "mfi", "ecvi",
)  # fmt: skip
