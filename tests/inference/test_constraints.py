"""Constraints and bounds from the model string to the numbers: closed forms, lavaan's values, warnings, errors.

Every number of lavaan and many models more are in ``tests/r``.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, fitted

from fosa_sem import SemResults, cfa, datasets, sem
from fosa_sem.errors import (
    AdmissibilityWarning,
    ConvergenceError,
    ConvergenceWarning,
    IdentificationError,
    ModelSpecificationError,
)
from fosa_sem.fiml.engines.base import Estimates


@pytest.fixture(scope="module")
def pair() -> pd.DataFrame:
    """Two complete columns with correlated values of different spread."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal(300)
    return pd.DataFrame({"x": x, "y": 0.6 * x + rng.standard_normal(300) + 2.0})


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    return datasets.load_holzinger_swineford()


def _edge(function, model: str, data: pd.DataFrame, **options: object) -> tuple[SemResults, str]:
    """A fit that must warn of an estimate on a boundary, and the warning."""
    with pytest.warns(AdmissibilityWarning, match="lies on the boundary") as caught:
        results = function(model, data, **options)
    return results, str(caught[0].message)


def _row(results: SemResults, lhs: str, op: str, rhs: str = "") -> pd.Series:
    table = results.parameter_estimates()
    return table[(table["lhs"] == lhs) & (table["op"] == op) & (table["rhs"] == rhs)].iloc[0]


# ---- closed forms --------------------------------------------------------------------------------------------


def test_a_mean_at_its_bound(pair: pd.DataFrame) -> None:
    bound = float(pair["y"].mean()) - 0.5
    results, _ = _edge(sem, f"y ~~ y\ny ~ m*1\nm < {bound!r}", pair)
    # sum (y - bound)^2 / n about the boundary; the variance's information is n / (2 v^2).
    variance = float(((pair["y"] - bound) ** 2).mean())
    assert_allclose(_row(results, "y", "~1")["est"], bound, rtol=1e-12)
    assert_allclose(_row(results, "y", "~~", "y")["est"], variance, rtol=1e-7)
    assert _row(results, "y", "~1")["se"] == 0.0
    assert np.isnan(_row(results, "y", "~1")["z"])
    expected = -0.5 * len(pair) * (np.log(2 * np.pi * variance) + 1.0)
    assert_allclose(results.loglik, expected, rtol=1e-12)


def test_a_slope_at_its_bound_is_the_regression_with_that_offset(pair: pd.DataFrame) -> None:
    results, _ = _edge(sem, "y ~ b*x\nb > 1", pair, fixed_x=True)
    offset = pair["y"] - pair["x"]
    assert_allclose(_row(results, "y", "~1")["est"], offset.mean(), rtol=1e-6)
    assert_allclose(_row(results, "y", "~~", "y")["est"], offset.var(ddof=0), rtol=1e-6)
    assert_allclose(_row(results, "y", "~1")["se"], offset.std(ddof=0) / np.sqrt(len(pair)), rtol=1e-6)


def test_an_active_inequality_is_the_equality_in_all_but_its_degrees_of_freedom() -> None:
    model, active = BY_NAME["inequality_active"], fitted("inequality_active")
    equal = cfa(model.model.replace("a > b", "a == b"), model.data())
    assert_allclose(active.coef(), equal.coef(), rtol=1e-6)
    assert_allclose(active.bse, equal.bse, rtol=1e-6)
    assert_allclose(active.fit_measures()["chisq"], equal.fit_measures()["chisq"], rtol=1e-9)
    assert active.npar == equal.npar + 1
    assert active.fit_measures()["df"] == equal.fit_measures()["df"] - 1


def test_inactive_constraints_change_nothing_at_all() -> None:
    model = BY_NAME["inequality_inactive"]
    free = cfa("f =~ x1 + a*x2 + b*x3 + x4\nx1 ~~ v*x1", model.data())
    assert (fitted("inequality_inactive").coef() == free.coef()).all()
    assert (fitted("inequality_inactive").bse == free.bse).all()


def test_a_curved_equality_is_its_own_substitution() -> None:
    # a b = 1 and b = 1 / a are the same model, and so is log a = -log b.
    data = BY_NAME["cfa"].data()
    model = "f =~ x1 + a*x2 + b*x3 + x4\n"
    product, inverse, logs = (cfa(model + c, data) for c in ("a*b == 1", "b == 1/a", "log(a) == -log(b)"))
    assert product.npar == 11
    for other in (inverse, logs):
        assert_allclose(other.coef(), product.coef(), rtol=1e-6, atol=1e-7)
        assert_allclose(other.bse, product.bse, rtol=1e-6)
    assert_allclose(product.coef()["a"] * product.coef()["b"], 1.0, rtol=1e-9)


def test_a_curved_scale_is_a_reparameterisation() -> None:
    # The loadings multiply to 1 instead of the first being 1: standardised, it is the same model.
    scaled = fitted("scaled_by_a_product")
    marker = cfa("f =~ x1 + x2 + x3 + x4", BY_NAME["scaled_by_a_product"].data())
    assert_allclose(scaled.loglik, marker.loglik, rtol=1e-12)
    for column in ("est_std", "se"):
        ours, theirs = scaled.standardized_solution()[column], marker.standardized_solution()[column]
        assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


def test_redundant_curved_equalities_count_once() -> None:
    data = BY_NAME["cfa"].data()
    results = cfa("f =~ x1 + a*x2 + b*x3 + x4\na*b == 1\n2*a*b == 2", data)
    assert results.npar == 11


# ---- lavaan 0.6.14 on the bundled Holzinger-Swineford table ------------------------------------------------------


# cfa(model, HolzingerSwineford1939, missing = "ml", control = list(rel.tol = 1e-13, control.outer = list(tol = 1e-9)))
LAVAAN_FORMULA = (
    (("textual", "=~", "x5"), 0.9, 0.0),
    (("textual", "=~", "x6"), 0.8408716750, 0.04575709721),
    (("x4", "~~", "x4"), 0.3193249528, 0.05114490233),
    (("x5", "~~", "x5"), 0.5192157658, 0.05534402799),
    (("x6", "~~", "x6"), 0.3785513932, 0.04765212330),
    (("textual", "~~", "textual"), 1.1566218712, 0.11302693869),
    (("x5", "~1"), 4.3405315638, 0.06955194720),
)
LAVAAN_BOUND = (
    (("textual", "=~", "x5"), 0.9, 0.05635846415),
    (("textual", "=~", "x6"), 0.8408716960, 0.04874435188),
    (("x4", "~~", "x4"), 0.3193249755, 0.05384928335),
    (("x5", "~~", "x5"), 0.5192157782, 0.06431306226),
    (("x6", "~~", "x6"), 0.3785513581, 0.04816811013),
    (("textual", "~~", "textual"), 1.1566217825, 0.11870601304),
    (("x5", "~1"), 4.3405315615, 0.06955194578),
)
LAVAAN_PINNED = (
    (("textual", "=~", "x4"), 1.2, 0.0),
    (("textual", "=~", "x5"), 1.3594723548, 0.0804126030),
    (("textual", "=~", "x6"), 1.1090191451, 0.0676597416),
    (("x4", "~~", "x4"), 0.3816831731, 0.0489044342),
    (("textual", "~~", "textual"), 0.6729037052, 0.0778807249),
    (("x5", "~1"), 4.3405315617, 0.0742579182),
)


def test_an_active_inequality_as_in_lavaan(pupils: pd.DataFrame) -> None:
    results, message = _edge(cfa, "textual =~ x4 + a*x5 + b*x6\na < 0.9", pupils)
    assert results.audit.active == results.audit.held == ("a < 0.9",)
    assert "standard errors hold a < 0.9 as an equality" in message
    assert results.npar == 9
    assert results.fit_measures()["df"] == 0
    for row, est, se in LAVAAN_FORMULA:
        found = _row(results, *row)
        assert_allclose([found["est"], found["se"]], [est, se], rtol=1e-4, atol=1e-7)


def test_inequalities_without_room_between_them_identify_as_in_lavaan(pupils: pd.DataFrame) -> None:
    results, _ = _edge(cfa, "textual =~ NA*x4 + a*x4 + x5 + x6\na < 1.2\na > 1.2", pupils)
    assert results.converged
    assert results.npar == 10
    assert results.fit_measures()["df"] == -1  # inequalities do not count
    for row, est, se in LAVAAN_PINNED:
        found = _row(results, *row)
        assert_allclose([found["est"], found["se"]], [est, se], rtol=1e-4, atol=1e-7)
    with pytest.raises(IdentificationError):  # bounds are no part of standard errors; lavaan has NA
        cfa("textual =~ NA*x4 + lower(1.2)*x4 + upper(1.2)*x4 + x5 + x6", pupils)


def test_an_active_bound_as_in_lavaan(pupils: pd.DataFrame) -> None:
    results, message = _edge(cfa, "textual =~ x4 + upper(0.9)*x5 + x6", pupils)
    assert results.audit.active == ("textual =~ x5 <= 0.9",)
    assert results.audit.held == ()
    assert "standard errors take no account of the bound textual =~ x5 <= 0.9" in message
    for row, est, se in LAVAAN_BOUND:
        found = _row(results, *row)
        assert_allclose([found["est"], found["se"]], [est, se], rtol=1e-4)
    assert _row(results, "textual", "=~", "x5")["est"] == 0.9
    assert np.isnan(_row(results, "textual", "=~", "x5")["pvalue"])


def test_a_bound_across_which_the_likelihood_does_not_bend_is_held() -> None:
    # Independent columns: lavaan's information is indefinite here and its standard errors are NA.
    data = pd.DataFrame(np.random.default_rng(5).standard_normal((120, 4)), columns=["x1", "x2", "x3", "x4"])
    results, message = _edge(cfa, "f =~ x1 + x2 + x3 + x4\nf ~~ lower(0.3)*f", data)
    assert results.audit.maximum
    assert results.audit.held == ("f ~~ f >= 0.3",)
    assert "hold f ~~ f >= 0.3 as an equality" in message
    assert _row(results, "f", "~~", "f")["se"] == 0.0
    assert (results.bse.drop("f~~f") > 0).all()


# ---- what is refused, and what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraints", "kind", "words"),
    [
        ("a > 2\na < 1", ModelSpecificationError, "contradict each other: .* a > 2; a < 1"),
        ("a > 2\nb < 1\nb > a", ModelSpecificationError, "contradict each other"),
        ("1 < 0", ModelSpecificationError, "contradict each other: .* 1 < 0"),
        ("a == b\na > b + 1", ModelSpecificationError, "contradict each other"),
        ("a^2 == -1", ConvergenceError, r"no values of the parameters were found that meet a\^2 == -1"),
        ("a == log(-1)", ConvergenceError, r"no values .* a == log\(-1\)"),
        ("a > log(b - 9)", ConvergenceError, r"no values .* a > log\(b-9\)"),
    ],
)
def test_constraints_that_cannot_be_met(constraints: str, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        cfa("f =~ x1 + a*x2 + b*x3 + x4\n" + constraints, BY_NAME["cfa"].data())


def test_contradictions_point_into_the_model() -> None:
    with pytest.raises(ModelSpecificationError) as caught:
        cfa("f =~ x1 + a*x2 + x3\na > 2\na < 1", BY_NAME["cfa"].data())
    assert caught.value.line == 2


def test_starts_outside_the_constraints_are_moved() -> None:
    # So does lavaan: a start is a hint, a bound is not.
    data = BY_NAME["cfa"].data()
    plain, _ = _edge(cfa, "f =~ x1 + upper(0.5)*x2 + x3 + x4", data)
    moved, _ = _edge(cfa, "f =~ x1 + start(3)*upper(0.5)*x2 + x3 + x4", data)
    assert_allclose(moved.coef(), plain.coef(), rtol=1e-5)


def test_a_factor_with_free_loadings_needs_more_than_an_inequality() -> None:
    data = BY_NAME["cfa"].data()
    for room in ("a > b", "a > 1\na < 2", "a > 1\nb < 2\na > b", "a > 1"):
        with pytest.raises(IdentificationError):
            cfa("f =~ NA*x1 + a*x1 + b*x2 + x3 + x4\n" + room, data)
    assert cfa("f =~ NA*x1 + a*x1 + b*x2 + x3 + x4\na^2 + b^2 == 2", data).converged


def test_an_estimate_that_violates_its_constraints_is_not_certified() -> None:
    class Careless:
        name = "careless"

        def estimate(self, problem) -> Estimates:
            return Estimates(theta=free.fit.theta)

    data = BY_NAME["inequality_active"].data()
    free = cfa("f =~ x1 + a*x2 + b*x3 + x4", data)
    with pytest.warns(ConvergenceWarning, match="does not meet a > b"):
        results = cfa(BY_NAME["inequality_active"].model, data, engine=Careless())
    assert not results.converged
    assert results.audit.violated == ("a > b",)


def test_a_point_short_of_the_constrained_maximum_is_not_certified() -> None:
    class Timid:
        """Stays where the loadings are equal although they need not be."""

        name = "timid"

        def estimate(self, problem) -> Estimates:
            return Estimates(theta=equal.fit.theta)

    data = BY_NAME["inequality_active"].data()
    equal = cfa("f =~ x1 + a*x2 + b*x3 + x4\na == b", data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = cfa("f =~ x1 + a*x2 + b*x3 + x4\na < b", data, engine=Timid())
    # The multiplier has the wrong sign: the likelihood rises into the admissible region.
    assert not results.converged
    assert results.audit.stationarity > 0.01
    assert any("not a maximum" in str(w.message) for w in caught)


# ---- improper solutions ----------------------------------------------------------------------------------------


def test_a_negative_variance_is_named() -> None:
    with pytest.warns(AdmissibilityWarning, match="negative variance estimate: x1 ~~ x1"):
        results = cfa(BY_NAME["heywood"].model, BY_NAME["heywood"].data())
    assert results.audit.negative_variances == ("x1 ~~ x1",)
    assert results.converged


def test_residual_covariances_that_no_variables_have_are_named() -> None:
    # The residuals of x1 and x2 are one and the same; in this sample they correlate a little beyond 1.
    rng = np.random.default_rng(2)
    f, same = rng.standard_normal((2, 200))
    e = rng.standard_normal((200, 4))
    x3, x4, x5 = (f + e[:, i] for i in (2, 3, 1))
    data = pd.DataFrame({"x1": 0.5 * f + same, "x2": -0.5 * f + same, "x3": x3, "x4": x4, "x5": x5})
    with pytest.warns(AdmissibilityWarning, match=r"residuals of the observed variables is not positive .* x1, x2"):
        results = cfa("f =~ x3 + x4 + x5 + x1 + x2\nx1 ~~ x2", data)
    assert set(results.audit.improper_residual) == {"x1", "x2"}
    assert results.audit.smallest_eigenvalue > 0


def test_fixed_exogenous_variables_have_no_residuals() -> None:
    assert fitted("path_fixed_x").audit.improper_residual == ()


def test_factors_that_correlate_beyond_one() -> None:
    rng = np.random.default_rng(8)
    f = rng.standard_normal((150, 1))
    data = pd.DataFrame(f + rng.standard_normal((150, 6)), columns=[f"x{i}" for i in range(1, 7)])
    with pytest.warns(AdmissibilityWarning, match="latent variables is not positive definite"):
        results = cfa("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nf ~~ 1.5*g", data)
    assert results.audit.improper_latent


def test_the_rank_of_the_information_is_reported() -> None:
    assert fitted("cfa").audit.information_rank == 19
    assert fitted("inequality_active").audit.information_rank == 11
    assert fitted("curved_equality").audit.information_rank == 6
