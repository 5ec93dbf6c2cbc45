"""Factor scores of rows with holes, by pattern of missing values, and what they imply for observed variables."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import DataError, DroppedRowsWarning, OptionError
from fosa_sem.imputation.completion import iterate_patterns
from fosa_sem.imputation.conditional import joint_rule, read_rows
from fosa_sem.inference.fit import FimlFit
from fosa_sem.model.ram import RamMatrices

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
ScoreMethod = Literal["regression", "bartlett"]

NO_VARIANCE = 1e-8
"""A score has no standard error if its variance is below this share of that of the latent variable."""


def factor_scores(
    fit: FimlFit, data: pd.DataFrame, method: ScoreMethod = "regression", *, append_se: bool = False
) -> pd.DataFrame:
    """Factor scores of every row (lavaan: ``lavPredict()``).

    Parameters
    ----------
    fit : FimlFit
    data : DataFrame
        Never changed.
    method : {"regression", "bartlett"}, default "regression"
        See `fosa_sem.SemResults.predict`.
    append_se : bool, default False
        Add a column ``<name>_se`` for every latent variable.

    Returns
    -------
    DataFrame
        Columns ``group`` if there are several, and the latent variables. Same index as ``data``, less rows without a
        value of a fixed exogenous variable; NaN where nothing is observed.

    Raises
    ------
    OptionError
        For an unknown method, or a model without latent variables.
    """
    latent = fit.table.names.latent
    if not latent:
        raise OptionError("the model has no latent variables, so there are no factor scores")
    rows, values, group = _rows_to_score(fit, data)
    scores, se = _scores(fit, values, group, method)
    frame = pd.DataFrame(scores, columns=list(latent), index=data.index[rows])
    if append_se:
        frame[[f"{name}_se" for name in latent]] = se
    return _with_group(fit, frame, group)


def expected_values(fit: FimlFit, data: pd.DataFrame, method: ScoreMethod = "regression") -> pd.DataFrame:
    """What the model expects of the observed variables of every row, given its factor scores.

    Parameters
    ----------
    fit, data, method
        As for `factor_scores`.

    Returns
    -------
    DataFrame
        Columns ``group`` if there are several, and the observed variables; index as for `factor_scores`. Predictors
        that nothing explains have their own values. NaN where something that a variable depends on is not known.
    """
    rows, values, group = _rows_to_score(fit, data)
    expected = _expected(fit, values, group, _scores(fit, values, group, method)[0])
    frame = pd.DataFrame(expected, columns=list(fit.table.names.observed), index=data.index[rows])
    return _with_group(fit, frame, group)


def augment(
    fit: FimlFit, data: pd.DataFrame, at: IntArray | None = None, method: ScoreMethod = "regression"
) -> pd.DataFrame:
    """A table with factor scores, expected values and residuals beside it (broom: ``augment()``).

    Parameters
    ----------
    fit : FimlFit
    data : DataFrame
        Never changed.
    at : ndarray of int, optional
        Positions of the rows that can be scored; all by default.
    method
        As for `factor_scores`.

    Returns
    -------
    DataFrame
        All rows and columns of ``data``, the latent variables, and ``_fitted_<name>`` and ``_resid_<name>`` of every
        observed variable that the model explains; NaN in rows that are not scored.

    Raises
    ------
    DataError
        If the table has a column of such a name.
    """
    at = np.arange(len(data)) if at is None else at
    rows, values, group = _rows_to_score(fit, data.iloc[at])
    scores, _ = _scores(fit, values, group, method)
    names = fit.table.names
    _, predictors = _effects(fit.problem.maps[0].matrices(fit.theta), len(names.observed))
    explained = [j for j in range(len(names.observed)) if j not in predictors]
    expected = _expected(fit, values, group, scores)[:, explained]
    new = [*names.latent]
    new += [f"_{what}_{names.observed[j]}" for what in ("fitted", "resid") for j in explained]
    clash = [name for name in new if name in data.columns]
    if clash:
        raise DataError(f"the data have a column {clash[0]!r} already; rename it to augment them")
    columns = np.full((len(data), len(new)), np.nan)
    columns[at[rows]] = np.hstack([scores, expected, values[:, explained] - expected])
    return pd.concat([data, pd.DataFrame(columns, columns=new, index=data.index)], axis=1)


def _expected(fit: FimlFit, values: FloatArray, group: IntArray, scores: FloatArray) -> FloatArray:
    """Expected observed variables, shape (n, p)."""
    p = values.shape[1]
    out = np.empty_like(values)
    for g, ram in enumerate(fit.problem.maps):
        rows = group == g
        at = ram.matrices(fit.theta)
        effects, predictors = _effects(at, p)
        causes = (
            np.hstack([scores[rows], values[rows][:, predictors]]) - at.mean[[*range(p, len(at.mean)), *predictors]]
        )
        unknown = np.isnan(causes).astype(float) @ (effects != 0.0).T > 0
        out[rows] = np.where(unknown, np.nan, at.mean[:p] + np.nan_to_num(causes) @ effects.T)
    out[np.isnan(values).all(axis=1)] = np.nan
    return out


def _effects(at: RamMatrices, p: int) -> tuple[FloatArray, list[int]]:
    """Effects on the observed variables of latent ones and of observed predictors that nothing explains.

    Returns
    -------
    effects : ndarray, shape (p, latent + predictors)
        Not by way of other latent variables, whose scores are given.
    predictors : list of int
    """
    arrows = at.A[:p] != 0.0
    predictors = np.flatnonzero(~arrows.any(axis=1) & (at.A[:, :p] != 0.0).any(axis=0)).tolist()
    through_observed = np.linalg.inv(np.eye(p) - at.A[:p, :p])
    return through_observed @ np.hstack([at.A[:p, p:], np.eye(p)[:, predictors]]), predictors


def _rows_to_score(fit: FimlFit, data: pd.DataFrame) -> tuple[IntArray, FloatArray, IntArray]:
    """Positions, values (n, p) and group (n,) of the rows; those without a fixed exogenous value are left out."""
    values, group = read_rows(fit, data)
    names = fit.table.names
    needed = names.observed_x if fit.table.fixed_x and fit.resolved.missing != "ml.x" else ()
    usable = np.asarray(~np.isnan(values[:, [names.observed.index(name) for name in needed]]).any(axis=1))
    if not usable.all():
        warnings.warn(
            f"{(~usable).sum()} of {len(data)} rows have no score: an exogenous variable is missing "
            f"({', '.join(names.observed_x)}; fixed_x=True gives it no distribution)",
            DroppedRowsWarning,
            stacklevel=4,
        )
    return np.flatnonzero(usable), values[usable], group[usable]


def _with_group(fit: FimlFit, frame: pd.DataFrame, group: IntArray) -> pd.DataFrame:
    if fit.options.group is not None:
        frame.insert(0, "group", [fit.sample.groups[g].label for g in group])
    return frame


def _scores(fit: FimlFit, values: FloatArray, group: IntArray, method: ScoreMethod) -> tuple[FloatArray, FloatArray]:
    """Scores and their standard errors, each (n, latent); NaN where nothing is observed."""
    if method not in get_args(ScoreMethod):
        raise OptionError(f"method must be one of {', '.join(get_args(ScoreMethod))}; got {method!r}")
    n, p = values.shape
    scores = np.full((n, len(fit.table.names.latent)), np.nan)
    variance = np.full_like(scores, np.nan)
    if method == "regression":
        padded = np.hstack([values, scores])
        mean, sd = joint_rule(fit).conditional(padded, ~np.isnan(padded), group)
        some = ~np.isnan(values).all(axis=1)
        scores[some], variance[some] = mean[some, p:], sd[some, p:] ** 2
    else:
        _bartlett(fit, values, group, scores, variance)
    total = np.array([np.diag(ram.matrices(fit.theta).cov)[p:] for ram in fit.problem.maps])[group]
    return scores, np.sqrt(np.where(variance > NO_VARIANCE * total, variance, np.nan))


def _bartlett(fit: FimlFit, values: FloatArray, group: IntArray, scores: FloatArray, variance: FloatArray) -> None:
    """Fill in weighted least-squares scores, pattern by pattern.

    With the effects L of latent variables and predictors on what is observed, and its covariance matrix Sigma, scores
    are the latent mean plus (L' Sigma^-1 L)^-1 L' Sigma^-1 (y - mu), with error variance (L' Sigma^-1 L)^-1 less the
    latent variance (Bartlett 1937); the predictors' part of the solution is their own values. Latent variables that
    the values observed do not determine have no score.
    """
    p, latent = values.shape[1], scores.shape[1]
    matrices = [ram.matrices(fit.theta) for ram in fit.problem.maps]
    effects = [_effects(at, p)[0] for at in matrices]
    for rows, observed, g in iterate_patterns(~np.isnan(values), group):
        at, seen = matrices[g], np.flatnonzero(observed)
        whiten = np.linalg.inv(np.linalg.cholesky(at.cov[np.ix_(seen, seen)]))
        L = whiten @ effects[g][seen]
        # With columns of length 1 the rank does not depend on units.
        size = np.linalg.norm(L, axis=0)
        size[size == 0.0] = 1.0
        inverse = np.linalg.pinv(L / size, rcond=1e-8)
        determined = np.isclose(np.diag(inverse @ L / size), 1.0, rtol=0, atol=1e-6)[:latent]
        solution = (values[np.ix_(rows, seen)] - at.mean[seen]) @ (inverse @ whiten).T / size
        error = (inverse * inverse).sum(axis=1) / size**2
        scores[rows] = np.where(determined, at.mean[p:] + solution[:, :latent], np.nan)
        variance[rows] = np.where(determined, error[:latent] - np.diag(at.cov)[p:], np.nan)
