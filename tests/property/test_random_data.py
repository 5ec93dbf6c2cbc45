"""Properties on random tables and random formulas."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from fosa_sem import GaussianRule, parse
from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.errors import FosaError
from fosa_sem.fiml.normal import evaluate

QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table with holes, a mean and a covariance matrix."""
    p, n = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.2, 0.6, 0.9]))
    holes = rng.random((n, p)) < share
    holes[np.arange(n), rng.integers(0, p, n)] = False
    root = rng.standard_normal((p, p))
    values = rng.standard_normal((n, p)) * 3
    return np.where(holes, np.nan, values), rng.standard_normal(p), root @ root.T + 0.1 * np.eye(p)


@QUICK
@given(tables())
def test_loglik_is_the_casewise_sum(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    values, mean, cov = case
    expected = 0.0
    for row in values:
        seen = np.flatnonzero(~np.isnan(row))
        expected += multivariate_normal(mean[seen], cov[np.ix_(seen, seen)]).logpdf(row[seen])
    assert_allclose(evaluate(MissingPatterns.from_values(values), mean, cov).loglik, expected, rtol=1e-9, atol=1e-9)


@QUICK
@given(tables())
def test_filling_keeps_what_is_observed_and_lowers_no_spread_below_zero(
    case: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    values, mean, cov = case
    rule = GaussianRule(variables=tuple(map(str, range(len(mean)))), means=(mean,), covs=(cov,))
    seen = ~np.isnan(values)
    filled, sd = rule.conditional(values, seen)
    assert_array_equal(filled[seen], values[seen])
    assert np.isfinite(filled).all()
    assert (sd[seen] == 0).all()
    assert (sd <= np.sqrt(np.diag(cov)) * (1 + 1e-9)).all()


@QUICK
@given(st.text(alphabet="fxy12 ~=:+*(),\"'#;\n.^-<>|c", max_size=40))
def test_any_text_is_read_or_refused_with_our_own_error(text: str) -> None:
    try:
        rows = parse(text)
    except FosaError:
        return
    assert isinstance(rows, pd.DataFrame)
    assert len(rows) > 0


@QUICK
@given(st.text(max_size=60))
def test_any_unicode_is_read_or_refused_with_our_own_error(text: str) -> None:
    try:
        parse(text)
    except FosaError:
        return
