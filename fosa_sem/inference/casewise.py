"""What single rows say: their log-likelihoods, and their scores about the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.data.sample import GroupSample
from fosa_sem.errors import OptionError
from fosa_sem.fiml.information import moment_scores
from fosa_sem.fiml.normal import LOG_2PI
from fosa_sem.inference.covariance import squared_scores
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.options import TWO_STAGE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasewiseScores:
    """Scores of the rows used, in the order of the data.

    Attributes
    ----------
    rows : ndarray of int, shape (N,)
        Positions in the user's table.
    columns : tuple of str
        Parameters, each with its name in ``coef()``.
    values : ndarray, shape (N, columns)
    """

    rows: IntArray
    columns: tuple[str, ...]
    values: FloatArray


def rows_used(fit: FimlFit) -> tuple[IntArray, IntArray]:
    """Positions in the user's table of the rows used, ascending, and where each stands among the groups' rows."""
    rows = np.concatenate([g.rows for g in fit.sample.groups])
    order = np.argsort(rows)
    return rows[order], order


def casewise_loglik(fit: FimlFit) -> tuple[IntArray, FloatArray]:
    """Log-likelihoods of the rows used, conditional on exogenous variables if these are fixed.

    Returns
    -------
    rows : ndarray of int, shape (N,)
        Positions in the user's table, ascending.
    values : ndarray, shape (N,)

    Raises
    ------
    OptionError
        If the likelihood is not one of rows (two stages; ``likelihood="wishart"``; a ridge).
    """
    _check_rows(fit, "log-likelihoods")
    if fit.resolved.likelihood == "wishart":
        raise OptionError("there are no log-likelihoods of single rows with likelihood='wishart'")
    names = fit.table.names
    fixed = [names.observed.index(x) for x in names.observed_x] if fit.table.fixed_x else []
    parts = []
    for group, (mean, cov) in zip(fit.sample.groups, fit.tested.moments, strict=True):
        values = loglik_of_rows(group.values, mean, cov, group.patterns)
        if fixed:
            values -= loglik_of_rows(group.values[:, fixed], mean[fixed], cov[np.ix_(fixed, fixed)])
        parts.append(values)
    rows, order = rows_used(fit)
    return rows, np.concatenate(parts)[order]


def loglik_of_rows(
    values: FloatArray, mean: FloatArray, cov: FloatArray, patterns: MissingPatterns | None = None
) -> FloatArray:
    """Normal log-density of what is observed of every row, shape (N,); 0 where nothing is.

    Parameters
    ----------
    values : ndarray, shape (N, p)
        NaN where missing.
    mean, cov : ndarray, shape (p,), (p, p)
    patterns : MissingPatterns, optional
        Of these rows; found by default.
    """
    out = np.zeros(len(values))
    some = np.flatnonzero(~np.isnan(values).all(axis=1))
    if patterns is None:
        patterns = MissingPatterns.from_values(values[some])
    order = np.argsort(patterns.pattern_of_row, kind="stable")
    ends = np.cumsum(np.bincount(patterns.pattern_of_row, minlength=len(patterns.n)))[:-1]
    for observed, members in zip(patterns.observed, np.split(some[order], ends), strict=True):
        factor = np.linalg.cholesky(cov[np.ix_(observed, observed)])
        z = (values[members][:, observed] - mean[observed]) @ np.linalg.inv(factor).T
        out[members] = -0.5 * (z * z).sum(axis=1) - np.log(np.diag(factor)).sum() - 0.5 * observed.sum() * LOG_2PI
    return out


def casewise_scores(
    fit: FimlFit, *, ignore_constraints: bool = False, remove_duplicated: bool = True
) -> CasewiseScores:
    """Scores of the rows used (lavaan: ``lavScores()``).

    Parameters
    ----------
    fit : FimlFit
    ignore_constraints, remove_duplicated : bool
        As for `fosa_sem.SemResults.scores`.

    Raises
    ------
    OptionError
        If the likelihood is not one of rows (two stages, a ridge).
    """
    _check_rows(fit, "scores")
    parts = [
        _group_scores(fit, group, mean, cov, slopes)
        for group, (mean, cov), slopes in zip(fit.sample.groups, fit.tested.moments, fit.tested.slopes, strict=True)
    ]
    rows, order = rows_used(fit)
    values = np.concatenate(parts)[order]
    names = fit.table.free_names()
    basis = fit.tested.basis
    if basis.shape[0] == basis.shape[1]:
        return CasewiseScores(rows=rows, columns=tuple(names), values=values)
    if not ignore_constraints:
        values = _projected(fit, values)
    merged = _duplicates(basis) if remove_duplicated else None
    if merged is not None:
        values = values @ merged
        names = [names[i] for i in np.argmax(merged, axis=0)]
    return CasewiseScores(rows=rows, columns=tuple(names), values=values)


def _check_rows(fit: FimlFit, what: str) -> None:
    if fit.resolved.missing in TWO_STAGE:
        raise OptionError(f"there are no {what} of single rows: two-stage estimates maximise no likelihood of rows")
    if fit.options.ridge:
        raise OptionError(f"there are no {what} of single rows: a ridge was added to the data's moments")


def _group_scores(
    fit: FimlFit, group: GroupSample, mean: FloatArray, cov: FloatArray, slopes: FloatArray
) -> FloatArray:
    """d loglik_i / d theta of a group's rows, shape (n, k)."""
    out = np.empty((len(group.values), slopes.shape[1]))
    # A wishart likelihood sums deviations from the mean over n - 1; their products are taken as that much larger.
    n = len(group.values)
    factor = np.sqrt(n / (n - 1.0)) if fit.resolved.likelihood == "wishart" else 1.0
    slopes = np.vstack([slopes[: len(mean)] / factor, slopes[len(mean) :]])
    values = group.values if factor == 1.0 else mean + factor * (group.values - mean)
    for rows, scores in moment_scores(group.patterns, mean, cov, values):
        out[rows] = scores @ slopes
    return out


def _projected(fit: FimlFit, values: FloatArray) -> FloatArray:
    """Scores less what the constraints hold against them, in the metric of their own squares."""
    information = squared_scores(fit.problem, fit.tested, fit.resolved.information)
    inverse = fit.tested.inverse(information)
    if inverse is None:
        return np.full_like(values, np.nan)
    return np.asarray(values @ inverse @ information)


def _duplicates(basis: FloatArray) -> FloatArray | None:
    """Which parameters are one and the same, shape (k, r); None if the constraints say something else."""
    merged = np.round(basis)
    if not np.allclose(basis, merged, rtol=0, atol=1e-9) or not ((merged == 1.0).sum(axis=1) == 1).all():
        return None
    if np.abs(merged).sum() != len(merged):
        return None
    return np.asarray(merged[:, np.argsort(np.argmax(merged, axis=0))])
