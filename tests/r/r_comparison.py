"""Our results against lavaan's, quantity by quantity, each tolerance with its reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from fosa_sem import Moments, SemResults
from r_bridge.reference import LavaanReference

KEYS = ["lhs", "op", "rhs", "group"]


def aligned(ours: pd.DataFrame, lavaans: pd.DataFrame) -> pd.DataFrame:
    """Both tables row by row, lavaan's columns with the suffix ``_r``; a row on one side only is an error."""
    both = _keyed(ours).merge(_keyed(lavaans), on=KEYS, how="outer", suffixes=("", "_r"), indicator=True)
    alone = both[both["_merge"] != "both"]
    assert alone.empty, f"rows on one side only:\n{alone[[*KEYS, '_merge']]}"
    return both


def _keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """Covariances with their two names in alphabetical order; definitions without their formula."""
    frame = frame.copy()
    swap = (frame["op"] == "~~") & (frame["lhs"] > frame["rhs"])
    frame.loc[swap, ["lhs", "rhs"]] = frame.loc[swap, ["rhs", "lhs"]].to_numpy()
    frame.loc[frame["op"] == ":=", "rhs"] = ""
    return frame


def check_sample(ours: SemResults, lavaan: LavaanReference) -> None:
    assert ours.nobs_by_group == lavaan.nobs
    assert ours.npatterns_by_group == lavaan.npatterns
    assert ours.converged
    for mine, theirs in zip(ours.coverage(), lavaan.coverage, strict=True):
        # Counts over counts: equal but for the 15 digits that R writes.
        assert_allclose(mine.loc[theirs.index, theirs.columns], theirs, rtol=0, atol=1e-12)


def check_loglik(ours: SemResults, lavaan: LavaanReference) -> None:
    # At the maximum the log-likelihood is flat: an optimiser that stops 1e-3 standard errors short of it in
    # every parameter loses about k/2 * 1e-6, so 1e-4 only admits the same maximum of the same function.
    assert_allclose(ours.loglik, lavaan.loglik, rtol=0, atol=1e-4)
    assert ours.loglik >= lavaan.loglik - 1e-6


def check_estimates(ours: SemResults, lavaan: LavaanReference) -> None:
    both = aligned(ours.parameter_estimates(), lavaan.parameter_estimates)
    free = both["se_r"] > 0
    se = both["se_r"].where(free, 0.0)
    # A thousandth of a standard error is below what any table prints and above where two optimisers stop.
    # Fixed values and sample moments of exogenous variables involve no optimiser: digits of R's JSON only.
    allowed = np.where(free, np.minimum(1e-3 * se, 1e-4 * np.maximum(1.0, se)), 1e-9 * (1 + both["est_r"].abs()))
    wrong = both[(both["est"] - both["est_r"]).abs() > allowed]
    assert wrong.empty, wrong[[*KEYS, "est", "est_r", "se_r"]].to_string()


def check_standard_errors(ours: SemResults, lavaan: LavaanReference) -> None:
    both = aligned(ours.parameter_estimates(), lavaan.parameter_estimates)
    # lavaan takes the observed information from differences of its gradient, we analytically: about 1e-5
    # relative, and how it stopped adds as much as the estimates differ.
    assert_allclose(both["se"], both["se_r"], rtol=1e-3, atol=1e-9)
    # z = est/se is not compared: it follows from both. Near 0 its p-value moves by 0.8 per unit of z at most.
    tested = both["se_r"] > 0
    assert_allclose(both.loc[tested, "pvalue"], both.loc[tested, "pvalue_r"], rtol=0, atol=2e-3)
    limits = np.maximum(both["se_r"].to_numpy(), 1e-6)
    for end in ("ci_lower", "ci_upper"):
        # Estimate (1e-3 SE) plus 1.96 standard errors (1e-3 of each).
        assert (np.abs(both[end] - both[f"{end}_r"]) <= 3e-3 * limits).all(), end


def check_fit_measures(ours: SemResults, lavaan: LavaanReference) -> None:
    mine = ours.fit_measures()
    shared = [name for name in lavaan.fit_measures.index if name in mine.index]
    assert {"chisq", "df", "cfi", "tli", "rmsea", "srmr", "aic", "bic", "logl"} <= set(shared)
    exact = ["npar", "df", "baseline.df", "ntotal"]
    assert mine[exact].tolist() == lavaan.fit_measures[exact].tolist()
    for name in shared:
        theirs = float(lavaan.fit_measures[name])
        # Smooth functions of log-likelihoods, each known to about 1e-6, and of moments.
        assert_allclose(mine[name], theirs, rtol=0, atol=1e-3 * max(1.0, abs(theirs)), err_msg=name)
    for name in ("logl", "unrestricted.logl"):
        assert_allclose(mine[name], lavaan.fit_measures[name], rtol=0, atol=1e-4, err_msg=name)


def check_standardized(ours: SemResults, lavaan: LavaanReference) -> None:
    both = aligned(ours.standardized_solution(), lavaan.standardized_solution)
    # Quotients of estimates that agree to 1e-3 SE; standardised SEs are below about 0.2 here.
    assert_allclose(both["est_std"], both["est_std_r"], rtol=0, atol=3e-4)
    # lavaan differentiates the standardisation by differences. Its SE of what is 1 by definition is rounding.
    assert_allclose(both["se"], both["se_r"], rtol=2e-3, atol=1e-6)


def check_r_squared(ours: SemResults, lavaan: LavaanReference) -> None:
    keys = ["group", "variable"]
    mine = ours.r_squared().set_index(keys)["r2"].sort_index()
    theirs = lavaan.r_squared.set_index(keys)["r2"].sort_index()
    assert mine.index.tolist() == theirs.index.tolist()
    # As the standardised solution: 1 minus a standardised residual variance.
    assert_allclose(mine, theirs, rtol=0, atol=3e-4)


def check_moments(ours: SemResults, lavaan: LavaanReference) -> None:
    for mine, theirs in ((ours.implied(), lavaan.implied), (ours.sample_stats(), lavaan.saturated)):
        for a, b in zip(mine, theirs, strict=True):
            _check_moments(a, b)


def _check_moments(ours: Moments, lavaan: Moments) -> None:
    names = list(lavaan.cov.index)
    sd = np.sqrt(np.diag(lavaan.cov))
    assert sorted(names) == sorted(ours.cov.index)
    # In units of standard deviations. EM closes a fixed share of the distance per step: what is left when the
    # steps fall below 1e-10 can be some thousand times that.
    assert_allclose((ours.mean[names] - lavaan.mean) / sd, 0.0, rtol=0, atol=1e-4)
    assert_allclose((ours.cov.loc[names, names] - lavaan.cov) / np.outer(sd, sd), 0.0, rtol=0, atol=1e-4)


def check_scores(ours: SemResults, lavaan: LavaanReference) -> None:
    if lavaan.factor_scores.empty:
        assert ours.latent_names == ()
        return
    mine = ours.predict()
    assert set(lavaan.factor_scores.index) <= set(mine.index)
    theirs = lavaan.factor_scores[list(ours.latent_names)]
    spread = np.sqrt(np.mean(np.square(theirs.to_numpy(dtype=float)[~theirs.isna().any(axis=1)])))
    # Linear in the data, with weights that are smooth functions of the estimates.
    assert_allclose(mine.loc[theirs.index, theirs.columns], theirs, rtol=0, atol=1e-3 * spread)


CHECKS = (
    check_sample,
    check_loglik,
    check_estimates,
    check_standard_errors,
    check_fit_measures,
    check_standardized,
    check_r_squared,
    check_moments,
    check_scores,
)
