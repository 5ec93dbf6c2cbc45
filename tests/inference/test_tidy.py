"""Broom's and statsmodels' names: views of numbers that stand elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, fitted

from fosa_sem.errors import DroppedRowsWarning, OptionError


def test_tidy_has_a_row_per_parameter_under_brooms_names() -> None:
    results = fitted("mediation")
    frame = results.tidy()
    estimates = results.parameter_estimates(standardized=True)
    assert list(frame.columns) == [
        "term", "op", "label", "group", "estimate", "std_error", "statistic", "p_value", "std_lv", "std_all", "std_nox",
    ]  # fmt: skip
    assert frame["term"].tolist()[:2] == ["m ~ x1", "y ~ m"]
    assert "m ~1" in frame["term"].tolist()
    assert "indirect := a*b" in frame["term"].tolist()
    for ours, theirs in (("estimate", "est"), ("std_error", "se"), ("statistic", "z"), ("p_value", "pvalue")):
        assert_allclose(frame[ours], estimates[theirs])
    assert_allclose(frame["std_all"], estimates["std_all"])


def test_tidy_gives_intervals_when_asked() -> None:
    frame = fitted("cfa").tidy(conf_int=True, conf_level=0.9)
    estimates = fitted("cfa").parameter_estimates(level=0.9)
    assert_allclose(frame[["conf_low", "conf_high"]], estimates[["ci_lower", "ci_upper"]])
    with pytest.raises(OptionError, match="level"):
        fitted("cfa").tidy(conf_level=95)


def test_glance_is_one_row_of_brooms_columns_and_the_robust_measures() -> None:
    data = BY_NAME["cfa"].data()
    data.iloc[4] = np.nan
    with pytest.warns(DroppedRowsWarning):
        results = BY_NAME["cfa"].fit(data, estimator="MLR")
    frame = results.glance()
    assert list(frame.columns) == [
        "agfi", "AIC", "BIC", "cfi", "chisq", "npar", "rmsea", "rmsea_conf_high", "srmr", "tli", "converged",
        "estimator", "ngroups", "missing_method", "nobs", "norig", "nexcluded", "chisq_scaled", "cfi_robust",
        "tli_robust", "rmsea_robust",
    ]  # fmt: skip
    assert len(frame) == 1
    row, measures = frame.iloc[0], results.fit_measures()
    for column, name in (("AIC", "aic"), ("rmsea_conf_high", "rmsea.ci.upper"), ("cfi_robust", "cfi.robust")):
        assert row[column] == measures[name]
    assert row["chisq_scaled"] == measures["chisq.scaled"]
    assert row[["converged", "estimator", "ngroups", "missing_method"]].tolist() == [True, "MLR", 1, "ml"]
    assert row[["nobs", "norig", "nexcluded", "npar"]].tolist() == [249, 250, 1, 19]


def test_glance_has_no_scaled_test_where_the_fit_has_none() -> None:
    assert np.isnan(fitted("cfa").glance()["chisq_scaled"].iloc[0])
    assert pd.api.types.is_integer_dtype(fitted("cfa").glance()["nobs"])


def test_statsmodels_names_are_views() -> None:
    results = fitted("cfa")
    measures = results.fit_measures()
    assert (results.llf, results.aic, results.bic) == (results.loglik, measures["aic"], measures["bic"])
    assert results.df == measures["df"] == 8
    pd.testing.assert_frame_equal(results.cov_params(), results.vcov())
    assert_allclose(results.zvalues, results.params / results.bse)
