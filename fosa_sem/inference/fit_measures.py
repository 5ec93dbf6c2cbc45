"""Fit measures of a fit under lavaan's names; the formulas stand in `fosa_sem.inference.indices`."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from fosa_sem.fiml.information import expected_forms, lower_triangle
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.indices import (
    RMSEA_CLOSE,
    RMSEA_LEVEL,
    RMSEA_NOT_CLOSE,
    critical_n,
    incremental_measures,
    noncentral_measures,
    residual_measures,
    rmsea_measures,
    robust_rmsea_measures,
    upper_tail,
)
from fosa_sem.inference.scaled_tests import Scaling
from fosa_sem.inference.tested import saturated_pairs


def fit_measures(fit: FimlFit) -> pd.Series:
    """All fit measures (lavaan: ``fitMeasures()``).

    Parameters
    ----------
    fit : FimlFit

    Returns
    -------
    Series
        Indexed by lavaan's names. Scaled versions stand beside a scaled test, robust ones there and for FIML. NaN where
        the saturated model does not exist (a pair of variables never observed together, or a ridge).
    """
    return pd.Series(measure_values(fit), name="value")


def measure_values(fit: FimlFit, *, goodness: bool = True) -> dict[str, float]:
    """What `fit_measures` gives; without ``goodness``, GFI and its kin (which no report prints) are left out."""
    values = likelihood_measures(fit)
    if fit.has_test:
        values |= _chisquare_measures(fit) | _residual_measures(fit)
        values |= _goodness_measures(fit) if goodness else {}
    absent = _absent(fit) | (set() if goodness else _GOODNESS)
    return {name: float(values.get(name, math.nan)) for name in _ORDER if name not in absent}


def _absent(fit: FimlFit) -> set[str]:
    """Measures that do not belong to a fit; others do, also where they are not defined."""
    scaled = fit.resolved.scaled_test is not None
    absent: set[str] = set() if scaled else _SCALED
    if not scaled or fit.resolved.test == "satorra.bentler" or fit.df <= 0:
        absent = absent | {"scaling.factor.h0", "scaling.factor.h1"}
    return absent if scaled or fit.resolved.is_fiml else absent | _ROBUST


def likelihood_measures(fit: FimlFit) -> dict[str, float]:
    """Log-likelihood and information criteria (Akaike 1974; Schwarz 1978; Sclove 1987 for ``bic2``)."""
    n, npar, loglik = fit.sample.n_used, fit.npar, fit.loglik
    return {
        "npar": npar,
        "df": fit.df,
        "baseline.df": fit.df_baseline,
        "logl": loglik,
        "aic": -2 * loglik + 2 * npar,
        "bic": -2 * loglik + npar * math.log(n),
        "bic2": -2 * loglik + npar * math.log((n + 2) / 24),
        "ntotal": n,
        "rmsea.ci.level": RMSEA_LEVEL,
        "rmsea.close.h0": RMSEA_CLOSE,
        "rmsea.notclose.h0": RMSEA_NOT_CLOSE,
    }


def _chisquare_measures(fit: FimlFit) -> dict[str, float]:
    """Measures that rest on chi-square, with their scaled and robust versions."""
    n, chisq, df = fit.n_tests, fit.chisq, fit.df
    base, base_df = fit.chisq_baseline, fit.df_baseline
    values = {
        "fmin": fit.fmin,
        "chisq": chisq,
        "pvalue": upper_tail(chisq, df),
        "baseline.chisq": base,
        "baseline.pvalue": upper_tail(base, base_df),
        **incremental_measures(chisq, df, base, base_df),
        "unrestricted.logl": fit.loglik_saturated,
        **rmsea_measures(chisq, df, n, len(fit.n_rows)),
        "cn_05": critical_n(chisq, df, n, 0.05),
        "cn_01": critical_n(chisq, df, n, 0.01),
        "mfi": math.exp(-0.5 * (chisq - df) / n),
        "ecvi": chisq / n + 2 * fit.npar / n,
    }
    if fit.resolved.scaled_test is not None:
        values |= _scaled_measures(fit)
    if fit.resolved.is_fiml:
        values |= _corrected_measures(fit)
    return values


def _scaled_measures(fit: FimlFit) -> dict[str, float]:
    """Measures of the scaled statistics, and the robust ones of complete rows."""
    df, base_df, n, n_groups = fit.df, fit.df_baseline, fit.n_tests, len(fit.n_rows)
    factor, base_factor = scaling_factor(fit.scaling, df), scaling_factor(fit.scaling_baseline, base_df)
    chisq = fit.chisq / factor if df > 0 else fit.chisq
    base = fit.chisq_baseline / base_factor if base_df > 0 else fit.chisq_baseline
    rmsea = rmsea_measures(fit.chisq, fit.scaling.trace, n, n_groups)
    if df == 0:
        rmsea = dict.fromkeys(rmsea, math.nan)
    values = {
        "chisq.scaled": chisq,
        "df.scaled": df,
        "pvalue.scaled": upper_tail(chisq, df),
        "chisq.scaling.factor": factor,
        "baseline.chisq.scaled": base,
        "baseline.df.scaled": base_df,
        "baseline.pvalue.scaled": upper_tail(base, base_df),
        "baseline.chisq.scaling.factor": base_factor,
        "scaling.factor.h1": fit.scaling.factor_h1,
        "scaling.factor.h0": fit.scaling.factor_h0,
        **_suffixed(incremental_measures(chisq, df, base, base_df), ".scaled"),
        **_suffixed(rmsea, ".scaled"),
    }
    robust = noncentral_measures(fit.chisq, df, fit.chisq_baseline, base_df, factor, base_factor)
    robust |= robust_rmsea_measures(fit.chisq, df, factor, n, n_groups)
    return values | _suffixed(robust, ".robust")


def scaling_factor(scaling: Scaling, df: int) -> float:
    """Trace over degrees of freedom; NaN without any, or where it is negative."""
    factor = scaling.trace / df if df > 0 else math.nan
    return factor if factor >= 0 else math.nan


def _corrected_measures(fit: FimlFit) -> dict[str, float]:
    """Robust measures of FIML fits, normal or not (Zhang & Savalei 2023)."""
    df, base_df, plain_df = fit.df, fit.df_baseline, fit.references.plain_df
    test, base = fit.corrected, fit.corrected_baseline
    factor = test.trace / df if df > 0 else 1.0
    base_factor = base.trace / plain_df if plain_df > 0 and df > 0 else 1.0
    robust = noncentral_measures(test.chisq, df, base.chisq, base_df, factor, base_factor)
    robust |= robust_rmsea_measures(test.chisq, df, factor, fit.n_tests, len(fit.n_rows))
    return _suffixed(robust, ".robust")


def _suffixed(values: dict[str, float], suffix: str) -> dict[str, float]:
    return {f"{name}{suffix}": value for name, value in values.items()}


def _residual_measures(fit: FimlFit) -> dict[str, float]:
    """Root mean square residuals; several groups are averaged with weights n_g."""
    means = fit.table.meanstructure
    per_group = [
        residual_measures(*saturated, *implied, means=means)
        for saturated, implied in zip(saturated_pairs(fit.problem), fit.tested.moments, strict=True)
    ]
    weights = fit.n_rows / fit.sample.n_used
    values = {name: sum(w * g[name] for w, g in zip(weights, per_group, strict=True)) for name in per_group[0]}
    return values | {"srmr": values["srmr_bentler"]}


def _goodness_measures(fit: FimlFit) -> dict[str, float]:
    """GFI, AGFI (Joreskog & Sorbom 1981) and PGFI (Mulaik et al. 1989), weighted by the expected information.

    Of several groups, GFI is the average with weights n_g.
    """
    kept = fit.saturated.kept
    p = len(fit.table.names.observed)
    lower = lower_triangle(p)
    cov_kept = np.zeros((p, p))
    cov_kept[lower] = kept[p:]
    cov_kept = np.maximum(cov_kept, cov_kept.T)
    structured = fit.resolved.information.moments == "structured"
    gfi, n_moments = 0.0, 0
    groups = zip(fit.n_rows, fit.problem.patterns, saturated_pairs(fit.problem), fit.tested.moments, strict=True)
    for n, patterns, (m, S), (mu, Sigma) in groups:
        at = Sigma if structured else S
        # lavaan 0.6 compares with what each pair of variables shows by itself, 0.7 with the EM moments
        m, S = patterns.pairwise_moments()
        changes = [((m - mu) * kept[:p], (S - Sigma) * cov_kept), (m * kept[:p], S * cov_kept)]
        left, all_of_it = expected_forms(patterns, at, changes)
        gfi += n / fit.sample.n_used * (1.0 - left / all_of_it)
        n_moments += len(lower[0]) + (p if fit.table.meanstructure else 0)
    return {
        "gfi": gfi,
        "agfi": 1.0 - n_moments / fit.df * (1.0 - gfi) if fit.df > 0 else 1.0,
        "pgfi": fit.df / n_moments * gfi,
    }


_GOODNESS = {"gfi", "agfi", "pgfi"}
_ORDER = (
    "npar", "fmin", "chisq", "df", "pvalue", "chisq.scaled", "df.scaled", "pvalue.scaled", "chisq.scaling.factor",
    "baseline.chisq", "baseline.df", "baseline.pvalue", "baseline.chisq.scaled", "baseline.df.scaled",
    "baseline.pvalue.scaled", "baseline.chisq.scaling.factor", "cfi", "tli", "cfi.scaled", "tli.scaled", "cfi.robust",
    "tli.robust", "nnfi", "rfi", "nfi", "pnfi", "ifi", "rni", "nnfi.scaled", "rfi.scaled", "nfi.scaled", "pnfi.scaled",
    "ifi.scaled", "rni.scaled", "nnfi.robust", "rni.robust", "logl", "unrestricted.logl", "aic", "bic", "ntotal",
    "bic2", "scaling.factor.h1", "scaling.factor.h0", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.ci.level",
    "rmsea.pvalue", "rmsea.close.h0", "rmsea.notclose.pvalue", "rmsea.notclose.h0", "rmsea.scaled",
    "rmsea.ci.lower.scaled", "rmsea.ci.upper.scaled", "rmsea.pvalue.scaled", "rmsea.notclose.pvalue.scaled",
    "rmsea.robust", "rmsea.ci.lower.robust", "rmsea.ci.upper.robust", "rmsea.pvalue.robust",
    "rmsea.notclose.pvalue.robust", "rmr", "rmr_nomean", "srmr", "srmr_bentler", "srmr_bentler_nomean", "crmr",
    "crmr_nomean", "srmr_mplus", "srmr_mplus_nomean", "cn_05", "cn_01", "gfi", "agfi", "pgfi", "mfi", "ecvi",
)  # fmt: skip
_SCALED = {name for name in _ORDER if name.endswith((".scaled", "scaling.factor"))}
_ROBUST = {name for name in _ORDER if name.endswith(".robust")}
