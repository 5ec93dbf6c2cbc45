"""Tests of several parameters at once on imputed data: D1 to D4, as functions of numbers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from fosa_sem.imputation.completion import FloatArray

TestMethod = Literal["D1", "D2", "D3", "D4"]
RivMethod = Literal["default", "positive", "robust"]


def d1(estimate: FloatArray, within: FloatArray, between: FloatArray, m: int, dfcom: float = math.inf) -> pd.Series:
    """Wald test that k quantities are 0 (Li, Raghunathan & Rubin 1991; mice: ``D1``).

    Parameters
    ----------
    estimate : ndarray, shape (k,)
        Pooled.
    within, between : ndarray, shape (k, k)
        Covariance matrices within and between imputations.
    m : int
    dfcom : float, default infinite
        Degrees of freedom that complete data would have (Reiter 2007).

    Returns
    -------
    Series
        F, df1, df2, pvalue, riv (average relative increase in variance), fmi (riv / (1 + riv)).
    """
    k = len(estimate)
    inverse = np.linalg.inv(within)
    riv = (1.0 + 1.0 / m) * float(np.trace(between @ inverse)) / k
    statistic = float(estimate @ inverse @ estimate) / (k * (1.0 + riv))
    df2 = _li_df(k * (m - 1), k, riv) if math.isinf(dfcom) else _reiter_df(k * (m - 1), riv, dfcom)
    return _f_test(statistic, k, df2, riv)


def d2(statistics: FloatArray, df: float) -> pd.Series:
    """Pool the chi-square statistics of the imputations (Li, Meng, Raghunathan & Rubin 1991; mice: ``D2``).

    Parameters
    ----------
    statistics : ndarray, shape (m,)
    df : float

    Returns
    -------
    Series
        As of `d1`.
    """
    m = len(statistics)
    riv = (1.0 + 1.0 / m) * float(np.var(np.sqrt(np.maximum(statistics, 0.0)), ddof=1))
    statistic = (float(np.mean(statistics)) / df - (m + 1) / (m - 1) * riv) / (1.0 + riv)
    df2 = df ** (-3.0 / m) * (m - 1) * (1.0 + 1.0 / riv) ** 2 if riv > 0 else math.inf
    return _f_test(max(statistic, 0.0), df, df2, riv)


def d3(mean_statistic: float, at_pooled: float, df: float, m: int) -> pd.Series:
    """Likelihood ratio test at pooled estimates (Meng & Rubin 1992; mice: ``D3``).

    Parameters
    ----------
    mean_statistic : float
        Mean of the m likelihood ratio statistics.
    at_pooled : float
        Mean of the statistics with the parameters of both models fixed at their pooled estimates.
    df : float
    m : int

    Returns
    -------
    Series
        As of `d1`.
    """
    riv = (m + 1) / (df * (m - 1)) * (mean_statistic - at_pooled)
    return _f_test(max(at_pooled / (df * (1.0 + riv)), 0.0), df, _li_df(df * (m - 1), df, riv), riv)


def d4(
    mean_statistic: float, stacked: float, df: float, m: int, *, riv: RivMethod = "positive",
    mean_full: float = math.nan, stacked_full: float = math.nan, npar_full: int = 0,
) -> pd.Series:  # fmt: skip
    """Likelihood ratio test on the stacked tables (Chan & Meng 2022; mitml: ``testModels(method = "D4")``).

    Parameters
    ----------
    mean_statistic : float
        Mean of the m likelihood ratio statistics.
    stacked : float
        Statistic of the table in which all imputations stand below each other, divided by m.
    df : float
    m : int
    riv : {"positive", "default", "robust"}, default "positive"
        How the increase in variance is estimated: from the statistics, at least 0; the same, whatever its sign; or from
        twice the log-likelihoods of the larger model, which holds under the alternative too.
    mean_full, stacked_full : float
        For "robust": twice the mean log-likelihood of the larger model, and twice that of the stacked table over m.
    npar_full : int
        For "robust": parameters of the larger model.

    Returns
    -------
    Series
        As of `d1`.
    """
    if riv == "robust":
        k = float(npar_full)
        increase = (m + 1) / (k * (m - 1)) * (mean_full - stacked_full)
    else:
        k = df
        increase = (m + 1) / (k * (m - 1)) * (mean_statistic - stacked)
        increase = max(increase, 0.0) if riv == "positive" else increase
    df2 = k * (m - 1) * (1.0 + 1.0 / increase) ** 2 if increase else math.inf
    return _f_test(max(stacked / (df * (1.0 + increase)), 0.0), df, df2, increase)


def as_chisquare(test: pd.Series) -> pd.Series:
    """The test as if the number of imputations were large: chisq, df, pvalue, riv, fmi (lavaan.mi: ``asymptotic``)."""
    chisq, df = test["F"] * test["df1"], test["df1"]
    values = {"chisq": chisq, "df": df, "pvalue": float(special.chdtrc(df, chisq)), "riv": test["riv"]}
    return pd.Series({**values, "fmi": test["fmi"]}, name=test.name)


def _f_test(statistic: float, df1: float, df2: float, riv: float) -> pd.Series:
    p = special.fdtrc(df1, df2, statistic) if math.isfinite(df2) else special.chdtrc(df1, statistic * df1)
    values = {"F": statistic, "df1": float(df1), "df2": float(df2), "pvalue": float(p), "riv": riv}
    return pd.Series({**values, "fmi": riv / (1.0 + riv)})


def _li_df(t: float, k: float, riv: float) -> float:
    """Denominator degrees of freedom of Li, Raghunathan & Rubin (1991), t = k (m - 1)."""
    if riv == 0:
        return math.inf
    if t > 4:
        return 4.0 + (t - 4.0) * (1.0 + (1.0 - 2.0 / t) / riv) ** 2
    return t * (1.0 + 1.0 / k) * (1.0 + 1.0 / riv) ** 2 / 2.0


def _reiter_df(t: float, riv: float, dfcom: float) -> float:
    """Those of Reiter (2007), which do not exceed the complete data's; t = k (m - 1) > 4."""
    a = riv * t / (t - 2.0)
    v = (dfcom + 1.0) / (dfcom + 3.0) * dfcom
    c0, c1, c2 = 1.0 / (t - 4.0), v - 2.0 * (1.0 + a), v - 4.0 * (1.0 + a)
    z = (
        1.0 / c2
        + c0 * a**2 * c1 / ((1.0 + a) ** 2 * c2)
        + c0 * (8.0 * a**2 * c1 / ((1.0 + a) * c2**2) + 4.0 * a**2 / ((1.0 + a) * c2))
        + c0 * (4.0 * a**2 / (c2 * c1) + 16.0 * a**2 * c1 / c2**3)
        + c0 * 8.0 * a**2 / c2**2
    )
    return 4.0 + 1.0 / z
