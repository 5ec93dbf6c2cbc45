"""Likelihood ratio tests of models on imputed data, and the fit measures that rest on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.fiml.engines.native import NativeEngine
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.imputation.imputed_fit import loglik_at, mean_moments, stacked_moments
from fosa_sem.imputation.pooled_fits import PooledFits
from fosa_sem.imputation.pooled_tests import RivMethod, TestMethod, as_chisquare, d2, d3, d4
from fosa_sem.inference.assemble import MomentPair, on_moments
from fosa_sem.inference.baseline import reference_models
from fosa_sem.inference.indices import (
    incremental_measures,
    noncentral_measures,
    residual_measures,
    rmsea_measures,
    robust_rmsea_measures,
    upper_tail,
)

LIKELIHOOD_METHODS = ("D2", "D3", "D4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihoods:
    """Log-likelihoods of one model on m completed tables, conditional on exogenous variables if these are fixed.

    Attributes
    ----------
    each : ndarray, shape (m,)
        At each table's own estimates.
    pooled : float
        Mean over tables, at the pooled estimates.
    stacked : float
        Of all tables below each other at their estimates, divided by m; NaN if it is not needed.
    npar : int
    """

    each: FloatArray
    pooled: float
    stacked: float
    npar: int


def model_likelihoods(fits: PooledFits, method: TestMethod) -> Likelihoods:
    """Those of the model itself."""
    pooled = [ram.moments(fits.theta) for ram in fits.pooled.problem.maps]
    stacked = math.nan
    if method == "D4":
        problem = _stacked_problem(fits)
        theta = NativeEngine().estimate(problem).theta
        stacked = _stacked_loglik(fits, [ram.moments(theta) for ram in problem.maps])
    return Likelihoods(
        each=np.array([fit.loglik for fit in fits.each]), pooled=_mean_loglik(fits, pooled), stacked=stacked,
        npar=fits.template.npar,
    )  # fmt: skip


def saturated_likelihoods(fits: PooledFits) -> Likelihoods:
    """Those of the saturated model."""
    data = [fit.moments for fit in fits.each]
    return Likelihoods(
        each=np.array([fit.loglik + fit.chisq / 2.0 for fit in fits.each]),
        pooled=_mean_loglik(fits, mean_moments(data)), stacked=_stacked_loglik(fits, stacked_moments(data)),
        npar=fits.template.references.saturated_npar,
    )  # fmt: skip


def baseline_likelihoods(fits: PooledFits) -> Likelihoods:
    """Those of the baseline model, whose parameters are moments."""
    average = mean_moments([fit.baseline for fit in fits.each])
    stacked = reference_models(_stacked_problem(fits))
    return Likelihoods(
        each=np.array([fit.loglik + (fit.chisq - fit.chisq_baseline) / 2.0 for fit in fits.each]),
        pooled=_mean_loglik(fits, average), stacked=float((stacked.baseline - stacked.exogenous).sum()) / fits.m,
        npar=fits.template.references.baseline_npar,
    )  # fmt: skip


def _stacked_problem(fits: PooledFits) -> FitProblem:
    stacked = stacked_moments([fit.moments for fit in fits.each])
    return on_moments(fits.template.problem, (fits.template.n_rows * fits.m).tolist(), stacked)


def _stacked_loglik(fits: PooledFits, implied: Sequence[MomentPair]) -> float:
    """Log-likelihood of all tables below each other, over m."""
    stacked = stacked_moments([fit.moments for fit in fits.each])
    exogenous = float(reference_models(_stacked_problem(fits)).exogenous.sum()) / fits.m
    return loglik_at(fits.template.n_rows.tolist(), stacked, implied) - exogenous


def _mean_loglik(fits: PooledFits, implied: Sequence[MomentPair]) -> float:
    """Average over tables of the log-likelihood at pooled moments; without a mean structure means are each table's."""
    n, own_means = fits.template.n_rows.tolist(), not fits.template.table.meanstructure
    values = []
    for fit in fits.each:
        pairs = zip(fit.moments, implied, strict=True)
        at = [(mean if own_means else mu, sigma) for (mean, _), (mu, sigma) in pairs]
        values.append(loglik_at(n, fit.moments, at) - fit.exogenous)
    return float(np.mean(values))


def likelihood_ratio(
    restricted: Likelihoods, full: Likelihoods, method: TestMethod, riv: RivMethod = "positive"
) -> pd.Series:
    """Pool the likelihood ratio test of two nested models by D2, D3 or D4.

    Returns
    -------
    Series
        F, df1, df2, pvalue, riv, fmi; its name is the method.
    """
    m, df = len(full.each), full.npar - restricted.npar
    statistics = 2.0 * (full.each - restricted.each)
    if method == "D2":
        test = d2(statistics, df)
    elif method == "D3":
        test = d3(float(statistics.mean()), 2.0 * (full.pooled - restricted.pooled), df, m)
    else:
        test = d4(
            float(statistics.mean()), 2.0 * (full.stacked - restricted.stacked), df, m, riv=riv,
            mean_full=2.0 * float(full.each.mean()), stacked_full=2.0 * full.stacked, npar_full=full.npar,
        )  # fmt: skip
    return test.rename(method)


def check_method(fits: PooledFits, method: object, allowed: tuple[str, ...] = LIKELIHOOD_METHODS) -> None:
    """Refuse tests that are not defined.

    Raises
    ------
    OptionError
    """
    if method not in allowed:
        raise OptionError(f"method must be one of {', '.join(allowed)}, got {method!r}")
    if method in LIKELIHOOD_METHODS and not fits.template.has_test:
        raise OptionError("the fits have no chi-square (test='none', or no saturated model)")
    if method in ("D3", "D4") and fits.template.resolved.likelihood == "wishart":
        raise OptionError(f"method={method!r} needs likelihood='normal'; D2 pools the chi-squares themselves")


def pooled_fit_measures(fits: PooledFits, method: TestMethod) -> pd.Series:
    """Fit measures of pooled fits; see `PooledSem.fit_measures`.

    Notes
    -----
    Every measure is computed from the pooled chi-square as if the number of imputations were large, like lavaan.mi
    does; residuals are those of the pooled estimates against the average moments. Scaled statistics are the pooled ones
    over the average scaling factor.
    """
    check_method(fits, method)
    model, full, base = model_likelihoods(fits, method), saturated_likelihoods(fits), baseline_likelihoods(fits)
    n, npar, n_groups = fits.template.n_tests, fits.template.npar, len(fits.template.n_rows)
    test, df = _against(model, full, method)
    base_test, base_df = _against(base, full, method)
    values = {
        "npar": npar, "chisq": test["chisq"], "df": df, "pvalue": upper_tail(test["chisq"], df), "riv": test["riv"],
        "fmi": test["fmi"], "baseline.chisq": base_test["chisq"], "baseline.df": base_df,
        "baseline.pvalue": upper_tail(base_test["chisq"], base_df),
        **incremental_measures(test["chisq"], df, base_test["chisq"], base_df),
        "logl": model.pooled, "unrestricted.logl": full.pooled, "aic": -2 * model.pooled + 2 * npar,
        "bic": -2 * model.pooled + npar * math.log(n), "bic2": -2 * model.pooled + npar * math.log((n + 2) / 24),
        "ntotal": n,
        **rmsea_measures(test["chisq"], df, n, n_groups), **_residuals(fits),
        "mfi": math.exp(-0.5 * (test["chisq"] - df) / n), **_gamma_hat(fits, test["chisq"], df),
    }  # fmt: skip
    if fits.template.resolved.scaled_test is not None:
        values |= _scaled(fits, test["chisq"], df, base_test["chisq"], base_df)
    return pd.Series({name: float(value) for name, value in values.items()}, name="value")


def _against(model: Likelihoods, full: Likelihoods, method: TestMethod) -> tuple[pd.Series, int]:
    """Pooled chi-square against the saturated model; 0 without degrees of freedom."""
    df = full.npar - model.npar
    if df == 0:
        return pd.Series({"chisq": 0.0, "df": 0.0, "pvalue": math.nan, "riv": math.nan, "fmi": math.nan}), 0
    return as_chisquare(likelihood_ratio(model, full, method)), df


def _residuals(fits: PooledFits) -> dict[str, float]:
    average = mean_moments([fit.moments for fit in fits.each])
    implied = fits.pooled.tested.moments
    means = fits.template.table.meanstructure
    groups = [residual_measures(*s, *i, means=means) for s, i in zip(average, implied, strict=True)]
    weights = fits.template.n_rows / fits.template.sample.n_used
    values = {name: sum(w * g[name] for w, g in zip(weights, groups, strict=True)) for name in groups[0]}
    return values | {"srmr": values["srmr_bentler"]}


def _gamma_hat(fits: PooledFits, chisq: float, df: int) -> dict[str, float]:
    """Steiger's (1989) gamma hat, which semTools reports with imputed data."""
    p, groups = len(fits.template.table.names.observed), len(fits.template.n_rows)
    value = p / (p + 2.0 * (chisq - df) / fits.template.n_tests)
    adjusted = 1.0 - (groups * p * (p + 1) / 2.0 / df) * (1.0 - value) if df > 0 else 1.0
    return {"gammaHat": value, "adjGammaHat": adjusted}


def mean_factors(fits: PooledFits) -> tuple[float, float]:
    """Average scaling factors of the tests of the model and of the baseline model."""
    df, base_df = fits.template.df, fits.template.df_baseline
    factor = float(np.mean([fit.trace for fit in fits.each])) / df if df > 0 else math.nan
    base = float(np.mean([fit.trace_baseline for fit in fits.each])) / base_df if base_df > 0 else math.nan
    return factor, base


def _scaled(fits: PooledFits, chisq: float, df: int, base: float, base_df: int) -> dict[str, float]:
    n, n_groups = fits.template.n_tests, len(fits.template.n_rows)
    factor, base_factor = mean_factors(fits)
    scaled, base_scaled = (chisq / factor if df > 0 else chisq), base / base_factor
    rmsea = rmsea_measures(chisq, factor * df, n, n_groups)
    robust = noncentral_measures(chisq, df, base, base_df, factor, base_factor)
    robust |= robust_rmsea_measures(chisq, df, factor, n, n_groups)
    return {
        "chisq.scaled": scaled, "df.scaled": df, "pvalue.scaled": upper_tail(scaled, df),
        "chisq.scaling.factor": factor, "baseline.chisq.scaled": base_scaled, "baseline.df.scaled": base_df,
        "baseline.pvalue.scaled": upper_tail(base_scaled, base_df), "baseline.chisq.scaling.factor": base_factor,
        **{f"{k}.scaled": v for k, v in incremental_measures(scaled, df, base_scaled, base_df).items()},
        **{f"{k}.scaled": v for k, v in rmsea.items()}, **{f"{k}.robust": v for k, v in robust.items()},
    }  # fmt: skip
