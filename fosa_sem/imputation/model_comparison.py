"""Tests of nested models on imputed data."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.imputation.pooled_fits import PooledFits
from fosa_sem.imputation.pooled_measures import (
    check_method,
    likelihood_ratio,
    mean_factors,
    model_likelihoods,
    saturated_likelihoods,
)
from fosa_sem.imputation.pooled_sem import PooledSem
from fosa_sem.imputation.pooled_tests import RivMethod, TestMethod, as_chisquare, d1
from fosa_sem.imputation.pooling import check_m
from fosa_sem.inference.indices import upper_tail
from fosa_sem.syntax.table import ParameterTable, Row

Place = tuple[str, str, str, int]


def pool_lrt(
    fit0: PooledSem, fit1: PooledSem | None = None, *, method: TestMethod = "D4", riv: RivMethod = "positive",
    asymptotic: bool = False, dfcom: float = math.inf,
) -> pd.Series:  # fmt: skip
    """Compare two nested models, or one with the saturated model, on imputed data (semTools: ``lavTestLRT.mi``).

    Parameters
    ----------
    fit0, fit1 : PooledSem
        Fits to the same imputations, in either order. Without ``fit1`` the model is tested against the saturated one.
    method : {"D4", "D3", "D2", "D1"}, default "D4"
        D4: likelihood ratio on the stacked tables (Chan & Meng 2022). D3: at the pooled estimates (Meng & Rubin 1992).
        D2: from the m statistics alone (Li, Meng, Raghunathan & Rubin 1991). D1: Wald test of the pooled estimates
        (Li, Raghunathan & Rubin 1991), for models that differ in parameters fixed or held equal.
    riv : {"positive", "default", "robust"}, default "positive"
        How D4 estimates the relative increase in variance (mitml: ``ariv``): at least 0; whatever its sign; by the
        larger model alone, which also holds if the restricted one is wrong.
    asymptotic : bool, default False
        Give a chi-square as if the number of imputations were large, in place of F. With robust estimators, for which
        only this is defined, it is given beside the scaled chi-square.
    dfcom : float, default infinite
        Degrees of freedom that complete data would have, for D1 (Reiter 2007).

    Returns
    -------
    Series
        F, df1, df2, pvalue, riv and fmi, or chisq, df, pvalue, riv and fmi, of the imputations in which both models
        could be fitted; its name is the method.

    Raises
    ------
    OptionError
        For an unknown method, fits of different imputations, or models that are not nested.
    """
    check_method(fit0.fits, method, ("D1", "D2", "D3", "D4"))
    if riv not in ("positive", "default", "robust"):
        raise OptionError(f"riv must be 'positive', 'default' or 'robust', got {riv!r}")
    if fit1 is None:
        if method == "D1":
            raise OptionError("D1 tests parameters: give the larger model as fit1")
        test = likelihood_ratio(model_likelihoods(fit0.fits, method), saturated_likelihoods(fit0.fits), method, riv)
        return _with_scaling(test, fit0.fits, None, asymptotic=asymptotic)
    fits0, fits1 = _same_imputations(fit0, fit1)
    if fits0.template.df == fits1.template.df:
        raise OptionError(f"both models have {fits0.template.df} degrees of freedom, so that none restricts the other")
    if fits0.template.df < fits1.template.df:
        fits0, fits1 = fits1, fits0
    if method == "D1":
        contrast = restriction(fits0, fits1)
        start = _as_full(fits0, fits1.template.table)[0]
        test = d1(
            contrast.T @ (fits1.theta - start), contrast.T @ fits1.within @ contrast,
            contrast.T @ fits1.between @ contrast, fits1.m, dfcom,
        ).rename(method)  # fmt: skip
        return as_chisquare(test) if asymptotic else test
    test = likelihood_ratio(model_likelihoods(fits0, method), model_likelihoods(fits1, method), method, riv)
    return _with_scaling(test, fits0, fits1, asymptotic=asymptotic)


def _same_imputations(fit0: PooledSem, fit1: PooledSem) -> tuple[PooledFits, PooledFits]:
    """The fits to the imputations in which both succeeded."""
    both = [i for i in fit0.used if i in fit1.used]
    check_m(len(both))
    fits0, fits1 = (f.fits.only([f.used.index(i) for i in both]) for f in (fit0, fit1))
    names = (fits0.template.table.names.observed, fits1.template.table.names.observed)
    if fit0.m != fit1.m or fits0.template.sample.n_used != fits1.template.sample.n_used:
        raise OptionError("the models were fitted to different imputations")
    if set(names[0]) != set(names[1]):
        raise OptionError(
            f"nested models have the same observed variables: {', '.join(names[0])}; {', '.join(names[1])}"
        )
    order = [names[0].index(name) for name in names[1]]
    for a, b in zip(fits0.each, fits1.each, strict=True):
        pairs = zip(a.moments, b.moments, strict=True)
        if not all(np.allclose(m0[order], m1, rtol=1e-8, atol=1e-10 * np.abs(m1).max()) for (m0, _), (m1, _) in pairs):
            raise OptionError("the models were fitted to different imputations")
    if fits0.template.table.fixed_x != fits1.template.table.fixed_x:
        raise OptionError("one model has fixed_x=True and the other not; their likelihoods cannot be compared")
    return fits0, fits1


def _with_scaling(test: pd.Series, fits0: PooledFits, fits1: PooledFits | None, *, asymptotic: bool) -> pd.Series:
    """With a scaled test: the pooled chi-square over the average scaling factor of the difference."""
    if fits0.template.resolved.scaled_test is None:
        return as_chisquare(test) if asymptotic else test
    naive = as_chisquare(test)
    df = naive["df"]
    trace = fits0.template.df * mean_factors(fits0)[0]
    if fits1 is not None and fits1.template.df > 0:
        trace -= fits1.template.df * mean_factors(fits1)[0]
    factor = trace / df
    scaled = naive["chisq"] / factor if factor > 0 else math.nan
    return pd.Series(
        {
            **naive, "chisq.scaled": scaled, "df.scaled": df, "pvalue.scaled": upper_tail(scaled, df),
            "chisq.scaling.factor": factor,
        },
        name=test.name,
    )  # fmt: skip


# ---- D1: the restricted model within the parameters of the larger one --------------------------------------


def restriction(fits0: PooledFits, fits1: PooledFits) -> FloatArray:
    """Directions of the larger model's parameters that the restricted model closes, orthonormal, shape (k, df).

    Raises
    ------
    OptionError
        If the restricted model cannot be written as restrictions of parameters of the larger one.
    """
    _, slopes = _as_full(fits0, fits1.template.table)
    open_ = fits1.template.problem.tangent(fits1.theta)
    kept = slopes @ fits0.template.problem.tangent(fits0.theta)
    if np.linalg.matrix_rank(np.hstack([open_, kept])) > open_.shape[1]:
        raise OptionError("the models are not nested parameter by parameter; take D2, D3 or D4")
    basis = np.linalg.qr(open_)[0]
    inside = basis.T @ kept
    _, sizes, rows = np.linalg.svd(inside.T, full_matrices=True)
    rank = int((sizes > 1e-10 * max(sizes.max(initial=0.0), 1e-300)).sum())
    closed = np.asarray(basis @ rows[rank:].T)
    if closed.shape[1] != fits0.template.df - fits1.template.df:
        raise OptionError("the models are not nested parameter by parameter; take D2, D3 or D4")
    return closed


def _as_full(fits0: PooledFits, table1: ParameterTable) -> tuple[FloatArray, FloatArray]:
    """The restricted model's estimate as a theta of the larger model, shape (k1,), and its slopes, shape (k1, k0)."""
    table0 = fits0.template.table
    rows0 = {_place(row): row for row in table0.rows}
    rows1 = {_place(row): row for row in table1.rows}
    theta, slopes = np.zeros(table1.n_free), np.zeros((table1.n_free, table0.n_free))
    for place, row in rows1.items():
        restricted = rows0.get(place)
        if row.free and restricted is None:
            if row.op != "~~" and row.op != "~" and row.op != "=~":
                raise _not_nested(row)
            continue  # a parameter that is not written is 0
        if row.exo:
            continue
        if restricted is None:
            if row.ustart != 0.0:
                raise _not_nested(row)
            continue
        if row.free and restricted.free:
            theta[row.free - 1] = fits0.theta[restricted.free - 1]
            slopes[row.free - 1, restricted.free - 1] = 1.0
        elif row.free:
            theta[row.free - 1] = restricted.ustart
        elif restricted.free or not math.isclose(row.ustart, restricted.ustart, abs_tol=1e-12):
            raise _not_nested(row)
    for place, row in rows0.items():
        if place not in rows1 and (row.free or row.ustart != 0.0):
            raise _not_nested(row)
    return theta, slopes


def _not_nested(row: Row) -> OptionError:
    return OptionError(
        f"D1 compares parameters, and {row.lhs} {row.op} {row.rhs} has no counterpart in the other model; take "
        "D2, D3 or D4"
    )


def _place(row: Row) -> Place:
    if row.op == "~~":
        first, second = sorted((row.lhs, row.rhs))
        return first, row.op, second, row.group
    return row.lhs, row.op, row.rhs, row.group
