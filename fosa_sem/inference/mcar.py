"""Little's test of values missing completely at random."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.data.sample import take_sample
from fosa_sem.errors import ConvergenceWarning, DataError, DependenceError
from fosa_sem.fiml.saturated import saturated_moments

FloatArray = NDArray[np.float64]

MCAR_NOTE = (
    "Little's test asks whether means differ between missing-data patterns. A small p-value speaks against values "
    "missing completely at random (MCAR); a large one does not prove it. It says nothing about missing at random (MAR) "
    "against missing not at random (MNAR), which no test of the observed data can tell apart."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class McarTest:
    """Outcome of Little's test.

    Attributes
    ----------
    chisq : float
    df : int
        Observed variables summed over patterns, minus the number of variables.
    pvalue : float
    n : int
        Rows with at least one value.
    patterns : DataFrame
        A row per pattern, the largest contribution first: 1 observed, 0 missing per variable, ``n``, and
        ``contribution``, its part of ``chisq``.
    note : str
        What the test can and cannot say.
    """

    chisq: float
    df: int
    pvalue: float
    n: int
    patterns: pd.DataFrame
    note: str = MCAR_NOTE

    def __str__(self) -> str:
        tested = f"Little's MCAR test: chi-square({self.df}, N = {self.n}) = {self.chisq:.3f}, p = {self.pvalue:.4f}"
        return f"{tested}, {len(self.patterns)} patterns\n{textwrap.fill(self.note, 80)}"


def mcar_test(data: pd.DataFrame, variables: Sequence[str] | None = None) -> McarTest:
    """Test whether values are missing completely at random (Little 1988).

    Parameters
    ----------
    data : DataFrame, shape (n, p)
        Not changed.
    variables : sequence of str, optional
        Columns to use; all by default.

    Returns
    -------
    McarTest

    Raises
    ------
    DataError
        No value is missing, fewer than two variables are given, or a column cannot be used (see
        `fosa_sem.data.checks`).
    DependenceError
        Columns are exactly dependent: the saturated model has no estimate.

    Warns
    -----
    DroppedRowsWarning
        Rows without any value.
    CoverageWarning
        Pairs of variables that no row observes together.
    ConvergenceWarning
        EM for the saturated moments did not converge.

    Notes
    -----
    d2 = sum_k n_k (ybar_k - mu_k)' Sigma_kk^-1 (ybar_k - mu_k) over the patterns k, with the maximum likelihood
    moments mu, Sigma of the saturated normal model (covariances divide by N) at the variables that pattern k observes.
    R: ``naniar::mcar_test()``. Patterns with few rows make the chi-square approximation a rough one, and so do
    variables far from normal.
    """
    names = [str(name) for name in data.columns] if variables is None else list(variables)
    if len(names) < 2:
        raise DataError("Little's test needs at least two variables")
    sample = take_sample(data, names)
    patterns = sample.groups[0].patterns
    if patterns.observed.all():
        raise DataError("no value is missing in the rows used: there is nothing to test")
    saturated = saturated_moments(patterns)
    if saturated.degenerate:
        raise DependenceError("columns are exactly dependent: Little's test needs the saturated model; leave one out")
    if not saturated.converged:
        warnings.warn("EM for the saturated moments did not converge", ConvergenceWarning, stacklevel=2)
    return little_test(patterns, saturated.mean, saturated.cov, names)


def little_test(patterns: MissingPatterns, mean: FloatArray, cov: FloatArray, names: Sequence[str]) -> McarTest:
    """Little's test at given saturated moments; see `mcar_test` for the formula.

    Parameters
    ----------
    patterns : MissingPatterns
    mean : ndarray, shape (p,)
    cov : ndarray, shape (p, p)
        Positive definite.
    names : sequence of str, length p
    """
    contributions = np.array(
        [
            n * _distance(own[seen] - mean[seen], cov[np.ix_(seen, seen)])
            for seen, n, own in zip(patterns.observed, patterns.n, patterns.mean, strict=True)
        ]
    )
    chisq = float(contributions.sum())
    df = int(patterns.observed.sum()) - patterns.n_variables
    order = np.argsort(-contributions, kind="stable")
    table = pd.DataFrame(patterns.observed[order].astype(int), columns=list(names))
    # A variable may be called "n" too: what is counted always stands in the last two columns.
    table.insert(table.shape[1], "n", patterns.n[order].astype(int), allow_duplicates=True)
    table.insert(table.shape[1], "contribution", contributions[order], allow_duplicates=True)
    pvalue = float(special.chdtrc(df, chisq)) if df > 0 else np.nan
    return McarTest(chisq=chisq, df=df, pvalue=pvalue, n=patterns.n_rows, patterns=table)


def _distance(deviation: FloatArray, cov: FloatArray) -> float:
    return float(deviation @ np.linalg.solve(cov, deviation))
