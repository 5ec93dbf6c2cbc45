"""A fit as a whole: closed forms on models that have them, counts, certificate, standard errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2, norm
from zoo import BY_NAME, central_jacobian, fitted

from fosa_sem import cfa, lavaan, sem
from fosa_sem.errors import (
    AdmissibilityWarning,
    ConvergenceError,
    ConvergenceWarning,
    CoverageWarning,
    EngineError,
)
from fosa_sem.fiml.engines.base import Estimates


def _regression_frame(n: int = 200, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2)) @ [[1.0, 0.5], [0.0, 1.0]]
    y = 1.0 + x @ [0.7, -0.4] + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x1": x[:, 0], "x2": x[:, 1]})


def test_regression_on_complete_data_is_least_squares() -> None:
    frame = _regression_frame()
    design = np.column_stack([np.ones(200), frame[["x1", "x2"]]])
    beta, rss, *_ = np.linalg.lstsq(design, frame["y"], rcond=None)
    sigma2 = float(rss[0]) / 200
    results = sem("y ~ x1 + x2", frame)
    table = results.parameter_estimates().set_index(["lhs", "op", "rhs"])
    order = [("y", "~1", ""), ("y", "~", "x1"), ("y", "~", "x2")]
    assert_allclose(table.loc[order, "est"], beta, rtol=1e-7, atol=1e-9)
    assert_allclose(table.loc[order, "se"], np.sqrt(sigma2 * np.diag(np.linalg.inv(design.T @ design))), rtol=1e-5)
    assert_allclose(table.loc[("y", "~~", "y"), "est"], sigma2, rtol=1e-6)
    assert_allclose(table.loc[("y", "~~", "y"), "se"], sigma2 * np.sqrt(2 / 200), rtol=1e-5)
    assert_allclose(results.loglik, -100 * (np.log(2 * np.pi * sigma2) + 1), rtol=1e-10)
    assert_allclose(results.r_squared()["r2"], 1 - sigma2 / frame["y"].var(ddof=0), rtol=1e-6)


def test_missing_outcome_adds_nothing_to_a_regression_with_fixed_x() -> None:
    frame = _regression_frame()
    frame.loc[:49, "y"] = np.nan
    complete = sem("y ~ x1 + x2", frame.iloc[50:])
    with_holes = sem("y ~ x1 + x2", frame)
    free = complete.coef().index
    assert_allclose(with_holes.coef()[free], complete.coef()[free], rtol=1e-5)
    assert_allclose(with_holes.bse[free], complete.bse[free], rtol=1e-4)
    assert_allclose(with_holes.loglik, complete.loglik, rtol=1e-9)
    assert with_holes.nobs == 200


def test_saturated_model_reproduces_the_em_moments() -> None:
    results = fitted("mediation")
    for implied, sample in zip(results.implied(), results.sample_stats(), strict=True):
        assert_allclose(implied.cov, sample.cov, rtol=1e-3, atol=1e-4)
    measures = results.fit_measures()
    assert measures["df"] == 0
    assert measures["chisq"] == pytest.approx(0.0, abs=1e-4)
    assert np.isnan(measures["pvalue"])
    assert (measures["cfi"], measures["tli"], measures["rmsea"]) == (1.0, 1.0, 0.0)


def test_fiml_is_ml_on_complete_data() -> None:
    # The ML discrepancy function of covariances: F = log|Sigma| + tr(S Sigma^-1) - log|S| - p.
    zoo_model = BY_NAME["cfa"]
    frame = zoo_model.data().fillna(0.0)
    results = cfa(zoo_model.model, frame)
    S = np.cov(frame.to_numpy().T, bias=True)
    sigma = results.implied()[0].cov.to_numpy()
    f_ml = np.linalg.slogdet(sigma)[1] + np.trace(S @ np.linalg.inv(sigma)) - np.linalg.slogdet(S)[1] - len(S)
    assert_allclose(results.fit_measures("chisq")["chisq"], len(frame) * f_ml, rtol=1e-6)
    assert_allclose(results.implied()[0].mean, frame.mean(), rtol=1e-6)
    assert_allclose(results.sample_stats()[0].cov, S, rtol=1e-8)


def test_standard_errors_against_an_independent_hessian() -> None:
    # Second differences of the value alone: neither our gradient nor our information has a part in it.
    results = fitted("path_free_x")
    problem, theta = results.fit.problem, results.fit.theta
    steps = 0.02 * results.bse.to_numpy()
    k = len(theta)
    hessian = np.zeros((k, k))

    def value(shift: np.ndarray) -> float:
        return problem.value_and_gradient(theta + shift)[0]

    for i in range(k):
        for j in range(i + 1):
            a, b = np.eye(k)[i] * steps[i], np.eye(k)[j] * steps[j]
            hessian[i, j] = hessian[j, i] = (value(a + b) - value(a - b) - value(b - a) + value(-a - b)) / (
                4 * steps[i] * steps[j]
            )
    assert_allclose(results.bse, np.sqrt(np.diag(np.linalg.inv(-hessian))), rtol=1e-3)


def test_inference_columns_follow_from_estimate_and_se() -> None:
    frame = fitted("sem_labels").parameter_estimates(level=0.9)
    free = frame[frame["se"] > 0]
    assert_allclose(free["z"], free["est"] / free["se"])
    assert_allclose(free["pvalue"], 2 * norm.sf(np.abs(free["z"])), rtol=1e-8)
    assert_allclose(free["ci_upper"] - free["ci_lower"], 2 * norm.ppf(0.95) * free["se"])
    fixed = frame[frame["se"] == 0]
    assert fixed[["z", "pvalue"]].isna().all().all()
    assert (fixed["ci_lower"] == fixed["est"]).all()


def test_shared_labels_share_estimate_and_se() -> None:
    table = fitted("sem_labels").parameter_estimates()
    for _, rows in table[table["label"] != ""].groupby("label"):
        assert len(rows) == 2
        assert rows["est"].nunique() == 1
        assert_allclose(rows["se"].iloc[0], rows["se"].iloc[1])


def test_defined_parameters_by_the_delta_method() -> None:
    results = fitted("mediation")
    table = results.parameter_estimates().set_index("label")
    coef, vcov = results.coef(), results.vcov()
    labels = ["a", "b", "c"]
    a, b, c = coef[labels]
    gradient = np.array([b, a, 0.0])
    V = vcov.loc[labels, labels].to_numpy()
    assert_allclose(table.loc["indirect", "est"], a * b)
    assert_allclose(table.loc["indirect", "se"], np.sqrt(gradient @ V @ gradient))
    share = lambda t: t[0] * t[1] / (t[0] * t[1] + t[2])  # noqa: E731 - a formula, not a function
    slope = central_jacobian(share, np.array([a, b, c]))
    assert_allclose(table.loc["share", "est"], share([a, b, c]))
    assert_allclose(table.loc["share", "se"], np.sqrt(slope @ V @ slope), rtol=1e-6)
    assert table.loc["share", "group"] == 0


def test_standardized_solution_by_hand() -> None:
    results = fitted("single_indicator")
    est = results.parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
    std = results.standardized_solution().set_index(["lhs", "op", "rhs"])["est_std"]
    sd = np.sqrt(np.diag(results.implied()[0].cov))
    sd_y1 = sd[list(results.implied()[0].cov.columns).index("y1")]
    var_b = est["b", "~", "a"] ** 2 * est["a", "~~", "a"] + est["b", "~~", "b"]
    assert_allclose(std["b", "=~", "y1"], np.sqrt(var_b) / sd_y1)
    assert_allclose(std["b", "~", "a"], est["b", "~", "a"] * np.sqrt(est["a", "~~", "a"] / var_b))
    assert_allclose(std["b", "~~", "b"], est["b", "~~", "b"] / var_b)
    assert_allclose(std["y1", "~~", "y1"], est["y1", "~~", "y1"] / sd_y1**2)
    assert_allclose(std["y1", "~1", ""], est["y1", "~1", ""] / sd_y1)
    lv = results.standardized_solution("std.lv").set_index(["lhs", "op", "rhs"])["est_std"]
    assert_allclose(lv["b", "=~", "y1"], np.sqrt(var_b))
    assert_allclose(lv["y1", "~~", "y1"], est["y1", "~~", "y1"])


def test_standardized_se_by_the_delta_method() -> None:
    results = fitted("cfa")
    from fosa_sem.inference.standardized import standardized_values

    jacobian = central_jacobian(lambda t: standardized_values(results.fit, t), results.fit.theta).T
    expected = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, results.vcov().to_numpy(), jacobian))
    assert_allclose(results.standardized_solution()["se"], expected, rtol=1e-6, atol=1e-8)


def test_std_nox_leaves_exogenous_units_alone() -> None:
    results = fitted("path_fixed_x")
    keys = ["lhs", "op", "rhs"]
    nox = results.standardized_solution("std.nox").set_index(keys)["est_std"]
    full = results.standardized_solution("std.all").set_index(keys)["est_std"]
    cov = results.implied()[0].cov
    assert_allclose(full["m", "~", "x1"], nox["m", "~", "x1"] * np.sqrt(cov.loc["x1", "x1"]))
    assert_allclose(full["y", "~", "m"], nox["y", "~", "m"])
    assert_allclose(nox["x1", "~~", "x1"], cov.loc["x1", "x1"])


def test_chi_square_test_and_criteria_follow_from_the_likelihoods() -> None:
    results = fitted("cfa")
    m = results.fit_measures()
    assert_allclose(m["chisq"], 2 * (m["unrestricted.logl"] - m["logl"]))
    assert_allclose(m["pvalue"], chi2.sf(m["chisq"], m["df"]), rtol=1e-9)
    assert_allclose(m["aic"], -2 * m["logl"] + 2 * m["npar"])
    assert_allclose(m["bic"], -2 * m["logl"] + m["npar"] * np.log(m["ntotal"]))
    assert_allclose(m["bic2"], -2 * m["logl"] + m["npar"] * np.log((m["ntotal"] + 2) / 24))
    assert m["baseline.df"] == 15
    assert_allclose(m["fmin"] * 2 * m["ntotal"], m["chisq"])


def test_fixed_x_leaves_estimates_of_the_rest_alone_and_conditions_the_likelihood() -> None:
    frame = BY_NAME["path_fixed_x"].data()
    fixed, free = fitted("path_fixed_x"), sem(BY_NAME["path_fixed_x"].model, frame, fixed_x=False)
    shared = fixed.coef().index
    assert_allclose(free.coef()[shared], fixed.coef()[shared], rtol=1e-4, atol=1e-5)
    assert_allclose(free.bse[shared], fixed.bse[shared], rtol=1e-3)
    x = frame[["x1", "x2"]].to_numpy()
    log_x = -len(x) / 2 * (2 * np.log(2 * np.pi) + np.linalg.slogdet(np.cov(x.T, bias=True))[1] + 2)
    assert_allclose(free.loglik - fixed.loglik, log_x, rtol=1e-8)
    assert_allclose(free.fit_measures()["chisq"], fixed.fit_measures()["chisq"], rtol=1e-4, atol=1e-5)
    assert free.npar - fixed.npar == 5
    rows = fixed.parameter_estimates().set_index(["lhs", "op", "rhs"])
    assert rows.loc[("x1", "~~", "x2"), "se"] == 0
    assert_allclose(rows.loc[("x1", "~~", "x2"), "est"], np.cov(x.T, bias=True)[0, 1], rtol=1e-8)


def test_groups_without_shared_labels_are_separate_fits() -> None:
    frame = BY_NAME["two_groups"].data()
    model = "f =~ x1 + x2 + x3 + x4"
    both = cfa(model, frame, group="school")
    apart = [cfa(model, part) for _, part in frame.groupby("school", sort=False)]
    assert_allclose(both.loglik, sum(r.loglik for r in apart), rtol=1e-9)
    assert_allclose(both.fit_measures()["chisq"], sum(r.fit_measures()["chisq"] for r in apart), rtol=1e-4, atol=1e-4)
    assert_allclose(both.coef(), np.concatenate([r.coef() for r in apart]), rtol=1e-3, atol=1e-4)
    assert both.nobs_by_group == tuple(r.nobs for r in apart)
    assert [m.group for m in both.implied()] == ["south", "north"]


def test_negative_variance_is_a_warning_not_a_failure() -> None:
    rng = np.random.default_rng(4)
    cov = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.7], [0.9, 0.7, 1.0]])
    values = rng.standard_normal((300, 3))
    values -= values.mean(axis=0)
    values = values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T, bias=True))).T @ np.linalg.cholesky(cov).T
    with pytest.warns(AdmissibilityWarning, match="negative variance estimate: x1 ~~ x1"):
        results = cfa("f =~ x1 + x2 + x3", pd.DataFrame(values, columns=["x1", "x2", "x3"]))
    assert results.converged
    est = results.parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
    # Just identified: the factor variance is r12 r13 / r23, which exceeds 1.
    assert_allclose(est["x1", "~~", "x1"], 1 - 0.81 / 0.7, rtol=1e-5)
    r2 = results.r_squared().set_index("variable")["r2"]
    assert np.isnan(r2["x1"])
    assert r2["x2"] > 0


def test_a_pair_never_observed_together_leaves_estimates_and_withholds_the_test() -> None:
    frame = BY_NAME["cfa"].data()
    frame.loc[frame.index < 125, "x1"] = np.nan
    frame.loc[frame.index >= 125, "x6"] = np.nan
    frame = frame[frame.notna().any(axis=1)]
    with pytest.warns(CoverageWarning, match="x1-x6"):
        results = cfa(BY_NAME["cfa"].model, frame)
    assert results.converged
    assert np.isfinite(results.bse).all()
    m = results.fit_measures()
    for name in ("chisq", "pvalue", "cfi", "tli", "rmsea", "srmr", "unrestricted.logl", "baseline.chisq"):
        assert np.isnan(m[name]), name
    assert np.isfinite(m[["logl", "aic", "bic", "npar", "df"]]).all()
    assert any("x1-x6" in note for note in results.fit.notes)


class _Lazy:
    """An engine that stops at the start of the zoo's CFA."""

    name = "lazy"

    def __init__(self, theta: np.ndarray) -> None:
        self.theta = theta

    def estimate(self, problem: object) -> Estimates:
        return Estimates(theta=self.theta)


def test_an_estimate_that_is_no_maximum_is_told_whatever_the_engine_says() -> None:
    model = BY_NAME["cfa"]
    theta = fitted("cfa").fit.theta + 0.05
    with pytest.warns(ConvergenceWarning, match="not a maximum"):
        results = cfa(model.model, model.data(), engine=_Lazy(theta))
    assert not results.converged
    assert results.audit.stationarity > 1e-2


def test_an_estimate_without_a_likelihood_is_an_error() -> None:
    model = BY_NAME["cfa"]
    with pytest.raises(ConvergenceError, match="'lazy' found no estimate"):
        cfa(model.model, model.data(), engine=_Lazy(np.full(19, -1.0)))


def test_impossible_starts_are_an_error_that_says_so() -> None:
    frame = BY_NAME["cfa"].data()[["x1", "x3"]].dropna(how="all")
    with pytest.raises(ConvergenceError, match="start"):
        lavaan("x1 ~~ x1 + -9*x3\nx3 ~~ x3\nx1 ~ 1\nx3 ~ 1", frame)


def test_starts_do_not_move_the_maximum() -> None:
    frame = BY_NAME["cfa"].data()
    other = cfa(BY_NAME["cfa"].model.replace("x2", "start(2)*x2").replace("x5", "start(0.3)*x5"), frame)
    assert_allclose(other.loglik, fitted("cfa").loglik, rtol=1e-10)
    assert_allclose(other.coef(), fitted("cfa").coef(), rtol=1e-4, atol=1e-5)


def test_an_object_that_is_no_engine_is_refused() -> None:
    from fosa_sem.errors import OptionError

    with pytest.raises(OptionError, match="engine must be"):
        cfa(BY_NAME["cfa"].model, BY_NAME["cfa"].data(), engine=3)  # type: ignore[arg-type]
    assert issubclass(EngineError, RuntimeError)


def test_a_model_without_free_parameters_is_evaluated_not_fitted() -> None:
    frame = _regression_frame()
    results = lavaan("x1 ~~ 1*x1\nx1 ~ 0*1", frame)
    assert results.npar == 0
    assert results.converged
    assert_allclose(results.loglik, norm.logpdf(frame["x1"]).sum(), rtol=1e-12)
    saturated = norm.logpdf(frame["x1"], frame["x1"].mean(), frame["x1"].std(ddof=0)).sum()
    assert_allclose(results.fit_measures()["chisq"], 2 * (saturated - results.loglik), rtol=1e-9)
    assert len(results.standardized_solution()) == 2
    assert results.vcov().shape == (0, 0)


def test_a_factor_fixed_without_variance_has_no_standardized_values_and_no_numpy_warning() -> None:
    frame = BY_NAME["growth"].data()
    model = "i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4\ns ~~ 0*s + 0*i"
    from fosa_sem import growth

    std = growth(model, frame).standardized_solution().set_index(["lhs", "op", "rhs"])["est_std"]
    assert not np.isfinite(std["s", "~1", ""])
    assert np.isfinite(std["i", "~1", ""])


def test_equal_modifier_ties_the_estimates() -> None:
    frame = BY_NAME["cfa"].data()
    by_name = cfa('f =~ x1 + x2 + equal("f=~x2")*x3', frame[["x1", "x2", "x3"]].dropna(how="all"))
    by_label = cfa("f =~ x1 + a*x2 + a*x3", frame[["x1", "x2", "x3"]].dropna(how="all"))
    assert by_name.loglik == by_label.loglik
    assert by_name.npar == by_label.npar == 8


def test_a_negative_factor_variance_leaves_the_other_standardized_values_their_standard_errors() -> None:
    # x1 and x2 correlate negatively, so the variance of their common factor with loadings 1 is negative.
    rng = np.random.default_rng(6)
    x1 = rng.standard_normal(300)
    frame = pd.DataFrame({"x1": x1, "x2": -0.4 * x1 + rng.standard_normal(300)})
    with pytest.warns(AdmissibilityWarning, match="f ~~ f"):
        results = cfa("f =~ 1*x1 + 1*x2", frame)
    std = results.standardized_solution().set_index(["lhs", "op", "rhs"])
    assert std.loc[("f", "=~", "x1"), ["est_std", "se"]].isna().all()
    est, cov = results.parameter_estimates().set_index(["lhs", "op", "rhs"]), results.implied()[0].cov
    assert_allclose(std.loc[("x1", "~~", "x1"), "est_std"], est.loc[("x1", "~~", "x1"), "est"] / cov.loc["x1", "x1"])
    # theta / (psi + theta) by the delta method.
    names = ["x1~~x1", "f~~f"]
    theta, psi = results.coef()[names]
    slope = np.array([psi, -theta]) / (psi + theta) ** 2
    se = np.sqrt(slope @ results.vcov().loc[names, names].to_numpy() @ slope)
    assert_allclose(std.loc[("x1", "~~", "x1"), "se"], se, rtol=1e-8)
    r2 = results.r_squared().set_index("variable")["r2"]
    assert r2["x1"] < 0
