"""Rubin's rules: estimates of m completed tables become one, with standard errors that count the missing values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from fosa_sem.errors import OptionError
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.imputation.pooled_tests import d1

SMALLEST_LAMBDA = 1e-4
"""As in mice: without it, degrees of freedom are infinite where imputations agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarPooling:
    """Rubin's rules for each of several quantities by itself; arrays of shape (k,).

    Attributes
    ----------
    m : int
    within : ndarray
        Mean of the squared standard errors, U.
    between : ndarray
        Variance of the estimates over imputations, B, with divisor m - 1.
    dfcom : float
        Degrees of freedom that complete data would have.

    Notes
    -----
    Rubin (1987, ch. 3); degrees of freedom of Barnard & Rubin (1999), which are Rubin's own if ``dfcom`` is infinite.
    """

    m: int
    within: FloatArray
    between: FloatArray
    dfcom: float = math.inf

    @property
    def total(self) -> FloatArray:
        """T = U + (1 + 1/m) B."""
        return self.within + (1.0 + 1.0 / self.m) * self.between

    @property
    def riv(self) -> FloatArray:
        """Relative increase in variance due to missing values, (1 + 1/m) B / U."""
        return _ratio((1.0 + 1.0 / self.m) * self.between, self.within)

    @property
    def lambda_(self) -> FloatArray:
        """Share of the total variance that is due to missing values, (1 + 1/m) B / T."""
        return _ratio((1.0 + 1.0 / self.m) * self.between, self.total)

    @property
    def df(self) -> FloatArray:
        """Degrees of freedom."""
        share = np.maximum(self.lambda_, SMALLEST_LAMBDA)
        old = (self.m - 1) / share**2
        if math.isinf(self.dfcom):
            return np.asarray(old)
        observed = (self.dfcom + 1) / (self.dfcom + 3) * self.dfcom * (1 - share)
        return np.asarray(old * observed / (old + observed))

    @property
    def fmi(self) -> FloatArray:
        """Fraction of missing information, (riv + 2 / (df + 3)) / (1 + riv)."""
        return (self.riv + 2.0 / (self.df + 3.0)) / (1.0 + self.riv)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(whole, math.nan), where=whole > 0)


def with_pooled_inference(
    frame: pd.DataFrame, value: str, pooling: ScalarPooling, se: FloatArray | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Add se, t, df, two-sided p-value and confidence limits to a frame with a column of estimates.

    Parameters
    ----------
    frame : DataFrame, k rows
    value : str
        Column of the estimates.
    pooling : ScalarPooling
    se : ndarray, shape (k,), optional
        The root of the total variance by default.
    level : float, default 0.95

    Returns
    -------
    DataFrame
        What is fixed has se 0 and NaN beside it.
    """
    if not 0.0 < level < 1.0:
        raise OptionError(f"level must lie between 0 and 1, got {level!r}")
    se = np.sqrt(pooling.total) if se is None else se
    free = se > 0
    t = np.divide(frame[value].to_numpy(dtype=float), se, out=np.full(len(frame), math.nan), where=free)
    width = np.where(free, special.stdtrit(pooling.df, 0.5 + level / 2.0) * se, se)
    return frame.assign(
        se=se, t=t, df=np.where(free, pooling.df, math.nan), pvalue=2.0 * special.stdtr(pooling.df, -np.abs(t)),
        ci_lower=frame[value] - width, ci_upper=frame[value] + width,
    )  # fmt: skip


def with_missing_information(frame: pd.DataFrame, pooling: ScalarPooling) -> pd.DataFrame:
    """Add riv, lambda and fmi."""
    fmi = np.where(pooling.within > 0, pooling.fmi, math.nan)
    return frame.assign(riv=pooling.riv, fmi=fmi).assign(**{"lambda": pooling.lambda_})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pooled:
    """Estimates of m analyses, pooled by Rubin's rules (mice: ``mipo``).

    Attributes
    ----------
    names : tuple of str, length k
    estimates : ndarray, shape (m, k)
    within : ndarray, shape (k, k)
        Mean covariance matrix, U-bar. Only its diagonal is known if standard errors were given; NaN elsewhere.
    dfcom : float
        Degrees of freedom that complete data would have.
    """

    names: tuple[str, ...]
    estimates: FloatArray
    within: FloatArray
    dfcom: float

    @property
    def m(self) -> int:
        """Number of analyses."""
        return len(self.estimates)

    @property
    def between(self) -> FloatArray:
        """Covariance matrix of the estimates over imputations, B, shape (k, k)."""
        return np.atleast_2d(np.cov(self.estimates, rowvar=False))

    @property
    def scalar(self) -> ScalarPooling:
        """Each estimate by itself."""
        return ScalarPooling(m=self.m, within=np.diag(self.within), between=np.diag(self.between), dfcom=self.dfcom)

    @property
    def params(self) -> pd.Series:
        """Mean estimates."""
        return pd.Series(self.estimates.mean(axis=0), index=list(self.names), name="est")

    @property
    def bse(self) -> pd.Series:
        """Standard errors, the roots of the total variances."""
        return pd.Series(np.sqrt(self.scalar.total), index=list(self.names), name="se")

    def cov_params(self) -> pd.DataFrame:
        """Total covariance matrix, U-bar + (1 + 1/m) B."""
        total = self.within + (1.0 + 1.0 / self.m) * self.between
        return pd.DataFrame(total, index=list(self.names), columns=list(self.names))

    def wald(self, names: Sequence[str]) -> pd.Series:
        """Test that several parameters are 0 together (D1; mice: ``D1``).

        Parameters
        ----------
        names : sequence of str
            Parameters that a smaller model lacks.

        Returns
        -------
        Series
            F, df1, df2, pvalue, riv, fmi; see `fosa_sem.imputation.pooled_tests.d1`.

        Raises
        ------
        OptionError
            For an unknown name, or if the analyses came without covariance matrices.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            raise OptionError(f"no parameter {unknown[0] if unknown else ''!r}; there are {', '.join(self.names)}")
        at = [self.names.index(name) for name in names]
        within = self.within[np.ix_(at, at)]
        if np.isnan(within).any():
            raise OptionError("the test needs covariance matrices; the analyses came with standard errors alone")
        estimate = self.estimates.mean(axis=0)[at]
        return d1(estimate, within, self.between[np.ix_(at, at)], self.m, self.dfcom).rename("D1")

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """The table of estimates (mice: ``summary(pool(fits), conf.int = TRUE)``).

        Returns
        -------
        DataFrame
            term est se t df pvalue ci_lower ci_upper riv lambda fmi.
        """
        frame = pd.DataFrame({"term": list(self.names), "est": self.params.to_numpy()})
        frame = with_missing_information(with_pooled_inference(frame, "est", self.scalar, level=level), self.scalar)
        return frame[[*frame.columns[:8], "riv", "lambda", "fmi"]]


def check_m(m: int) -> None:
    """Refuse to pool what cannot vary.

    Raises
    ------
    OptionError
    """
    if m < 2:
        raise OptionError(
            f"pooling needs at least two analyses of imputed data, got {m}: one says nothing of the variance between "
            "imputations"
        )


def pool(analyses: Sequence[Any] | pd.DataFrame, *, dfcom: float | None = None) -> Pooled:
    """Pool estimates of the same analysis on each of m completed tables by Rubin's rules (mice: ``pool``).

    Parameters
    ----------
    analyses : sequence or DataFrame
        One of each table: results with ``params`` and ``cov_params()`` (statsmodels) or ``vcov()`` (fits of this
        package), or pairs of estimates, shape (k,), with their covariance matrix, shape (k, k), or standard errors,
        shape (k,). Or a table with the columns term, estimate and std_error, one row for every term and analysis (mice:
        ``pool.table``).
    dfcom : float, optional
        Degrees of freedom that complete data would have; ``df_resid`` of the results if they have it, else infinite.

    Returns
    -------
    Pooled

    Raises
    ------
    OptionError
        For fewer than two analyses, and for analyses that differ in their terms.

    Examples
    --------
    >>> pool([([1.0], [0.5]), ([1.4], [0.5])]).to_frame().round(3)[["term", "est", "se"]]
      term  est   se
    0    0  1.2  0.608
    """
    if isinstance(analyses, pd.DataFrame):
        analyses = _split(analyses)
    pairs = [_estimates(analysis) for analysis in analyses]
    check_m(len(pairs))
    names = tuple(str(name) for name in pairs[0][0].index)
    for i, (estimates, _) in enumerate(pairs, start=1):
        if tuple(str(name) for name in estimates.index) != names:
            raise OptionError(f"analysis {i} has other terms than the first: {list(estimates.index)}, {list(names)}")
    covs = [cov for _, cov in pairs]
    for i, cov in enumerate(covs, start=1):
        if not np.isfinite(np.diag(cov)).all() or np.any(np.diag(cov) < 0):
            raise OptionError(f"analysis {i} has no standard errors; leave it out, and say so")
    if dfcom is None:
        known = [getattr(analysis, "df_resid", None) for analysis in analyses]
        numbers = [float(df) for df in known if df is not None]
        dfcom = min(numbers) if len(numbers) == len(pairs) else math.inf
    if not dfcom > 0:
        raise OptionError(f"dfcom must be greater than 0, got {dfcom!r}")
    values = np.array([estimates.to_numpy(dtype=float) for estimates, _ in pairs])
    return Pooled(names=names, estimates=values, within=np.mean(covs, axis=0), dfcom=float(dfcom))


def _estimates(analysis: Any) -> tuple[pd.Series, FloatArray]:
    if isinstance(analysis, tuple) and len(analysis) == 2:
        params, cov = analysis
    elif hasattr(analysis, "params"):
        params = analysis.params
        source = getattr(analysis, "cov_params", None) or getattr(analysis, "vcov", None)
        if source is None:
            raise OptionError(f"{type(analysis).__name__} has params, but neither cov_params() nor vcov()")
        cov = source()
    else:
        raise OptionError(
            f"cannot pool {type(analysis).__name__}: give results with params and cov_params(), or pairs of estimates "
            "and covariance matrices (or standard errors)"
        )
    series = params if isinstance(params, pd.Series) else pd.Series(np.asarray(params, dtype=float))
    matrix = np.asarray(cov, dtype=float)
    if matrix.ndim == 1:
        variances = matrix**2
        matrix = np.full((len(variances),) * 2, math.nan)
        np.fill_diagonal(matrix, variances)
    if matrix.shape != (len(series),) * 2:
        raise OptionError(f"{len(series)} estimates do not go with a covariance matrix of shape {matrix.shape}")
    return series, matrix


def _split(table: pd.DataFrame) -> list[tuple[pd.Series, FloatArray]]:
    """A long table of terms as one pair per analysis: the i-th row of every term is of analysis i."""
    absent = [name for name in ("term", "estimate", "std_error") if name not in table.columns]
    if absent:
        raise OptionError(f"a table to pool needs the columns term, estimate and std_error; {absent[0]!r} is missing")
    number = table.groupby("term", sort=False).cumcount()
    counts = table["term"].value_counts()
    if counts.nunique() > 1:
        raise OptionError(f"term {counts.index[-1]!r} has {counts.iloc[-1]} rows, {counts.index[0]!r} {counts.iloc[0]}")
    return [
        (part.set_index("term")["estimate"], part["std_error"].to_numpy(dtype=float))
        for _, part in table.groupby(number)
    ]
