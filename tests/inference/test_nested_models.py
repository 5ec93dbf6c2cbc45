"""Chi-square differences and Wald tests: definitions, order, what cannot be compared."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from test_modification import TWO, two_factors

import fosa_sem
from fosa_sem import SemResults, datasets
from fosa_sem.errors import (
    InferenceWarning,
    ModelSpecificationError,
    ModelSyntaxError,
    OptionError,
)

APART = TWO + "\nf ~~ 0*g"
LABELS = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + d*x6\nratio := a/c"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return two_factors(250, 8, hole=0.1)


@pytest.fixture(scope="module")
def whole(data: pd.DataFrame) -> SemResults:
    return fosa_sem.cfa(TWO, data)


@pytest.fixture(scope="module")
def apart(data: pd.DataFrame) -> SemResults:
    return fosa_sem.cfa(APART, data)


@pytest.fixture(scope="module")
def labelled(data: pd.DataFrame) -> SemResults:
    return fosa_sem.cfa(LABELS, data)


def test_the_difference_is_twice_that_of_the_log_likelihoods(whole: SemResults, apart: SemResults) -> None:
    result = fosa_sem.lrt(apart, whole, names=("apart", "whole"))
    frame = result.to_frame()
    assert frame.index.tolist() == ["whole", "apart"]
    step = frame.loc["apart"]
    assert step["chisq_diff"] == pytest.approx(2 * (whole.loglik - apart.loglik), rel=1e-8)
    assert step["df_diff"] == 1
    assert step["pvalue"] == pytest.approx(stats.chi2.sf(step["chisq_diff"], 1), rel=1e-8)
    assert step["rmsea"] == pytest.approx(np.sqrt((step["chisq_diff"] - 1) / whole.nobs), rel=1e-8)
    assert_allclose(frame["aic"], [whole.aic, apart.aic])
    assert frame.loc["whole", ["chisq_diff", "df_diff", "pvalue", "rmsea"]].isna().all()
    assert fosa_sem.lrt(whole, apart, names=("whole", "apart")).to_frame().equals(frame)
    assert "Chi-Squared Difference Test" in result.summary()
    assert "apart" in result.summary()
    with pytest.raises(FrozenInstanceError):
        result.method = "other"  # type: ignore[misc]


def test_one_model_is_compared_with_the_saturated_one(whole: SemResults, data: pd.DataFrame) -> None:
    frame = fosa_sem.lrt(whole).to_frame()
    measures = whole.fit_measures()
    assert frame.index.tolist() == ["saturated", "model 1"]
    assert_allclose(frame["chisq"], [0.0, measures["chisq"]])
    assert frame["pvalue"].iloc[1] == pytest.approx(measures["pvalue"])
    robust = fosa_sem.cfa(TWO, data, estimator="MLR")
    assert fosa_sem.lrt(robust).to_frame()["chisq"].iloc[1] == pytest.approx(robust.fit_measures()["chisq.scaled"])


def test_scaled_differences(data: pd.DataFrame) -> None:
    free, held = (fosa_sem.cfa(model, data, estimator="MLR") for model in (TWO, APART))
    result = fosa_sem.lrt(free, held)
    step = result.steps[1]
    assert step is not None
    m, n = free.fit_measures(), held.fit_measures()
    factor = n["df"] * n["chisq.scaling.factor"] - m["df"] * m["chisq.scaling.factor"]
    assert step.factor == pytest.approx(factor, rel=1e-8)
    assert step.chisq == pytest.approx((n["chisq"] - m["chisq"]) / factor, rel=1e-8)
    assert "rmsea" not in result.to_frame()
    assert "satorra.bentler.2001" in result.summary()


def test_scaled_methods_agree_where_the_hypothesis_is_true() -> None:
    big = two_factors(3000, 2, hole=0.1)
    free, held = (fosa_sem.cfa(model, big, estimator="MLR") for model in (TWO, TWO + "\nf ~~ 0.4*g"))
    first, second = (
        fosa_sem.lrt(free, held, method=m).steps[1] for m in ("satorra.bentler.2001", "satorra.bentler.2010")
    )
    assert first is not None
    assert second is not None
    # Both factors estimate the same, which is 1 for normal data.
    assert second.factor == pytest.approx(first.factor, rel=0.1)
    assert first.factor == pytest.approx(1.0, abs=0.2)


def test_the_exact_test_knows_nested_parameters() -> None:
    complete = two_factors(250, 9)
    free, held = (fosa_sem.cfa(m, complete, estimator="MLM", missing="listwise") for m in (TWO, TWO + "\nf ~~ 0.4*g"))
    by_slopes, by_names = (
        fosa_sem.lrt(free, held, method="satorra.2000", a_method=a).steps[1] for a in ("delta", "exact")
    )
    assert by_slopes is not None
    assert by_names is not None
    # 0.4 is the population value, so that both fits are nearly the same point.
    assert by_slopes.chisq == pytest.approx(by_names.chisq, rel=0.05)
    turned = fosa_sem.cfa(
        "f =~ x1 + x2 + x3\ng =~ x5 + x4 + x6\nf ~~ 0.4*g", complete, estimator="MLM", missing="listwise"
    )
    with pytest.raises(OptionError, match="in which every parameter"):
        fosa_sem.lrt(free, turned, method="satorra.2000", a_method="exact")


def test_a_negative_scaling_factor_gives_no_test() -> None:
    rng = np.random.default_rng(1939)
    table = datasets.load_holzinger_swineford()[[f"x{i}" for i in range(1, 10)]]
    table = table.astype(float).mask(rng.random(table.shape) < 0.15)
    model = "v =~ x1 + x2 + x3\nt =~ x4 + x5 + x6\ns =~ x7 + x8 + x9"
    with pytest.warns(UserWarning, match="negative variance"):
        free = fosa_sem.cfa(model + "\nx7 ~~ x8", table, estimator="MLR")
    held = fosa_sem.cfa(model, table, estimator="MLR")
    with pytest.warns(InferenceWarning, match=r"not positive, so that it has no test; try .*2010"):
        frame = fosa_sem.lrt(free, held).to_frame()
    assert np.isnan(frame["chisq_diff"].iloc[1])
    assert np.isnan(frame["pvalue"].iloc[1])


def test_more_than_two_models(whole: SemResults, apart: SemResults, data: pd.DataFrame) -> None:
    least = fosa_sem.cfa(TWO + "\nx1 ~~ x6", data)
    frame = fosa_sem.lrt(apart, least, whole).to_frame()
    assert frame.index.tolist() == ["model 2", "model 3", "model 1"]
    assert frame["df"].tolist() == [7, 8, 9]
    assert_allclose(frame["chisq_diff"].iloc[1:], np.diff(frame["chisq"]))


def test_what_deserves_a_warning(whole: SemResults, data: pd.DataFrame) -> None:
    with pytest.warns(InferenceWarning, match="same degrees of freedom"):
        frame = fosa_sem.lrt(whole, fosa_sem.cfa(TWO, data)).to_frame()
    assert np.isnan(frame["pvalue"].iloc[1])
    one = fosa_sem.cfa("f =~ x1 + x2 + x3 + x4 + x5 + x6\nx1 ~~ x2", data)
    equal = fosa_sem.cfa("f =~ x1 + a*x2 + x3\ng =~ x4 + a*x5 + x6", data)
    with pytest.warns(InferenceWarning, match="fits better than a less restricted one"):
        fosa_sem.lrt(one, equal)
    with pytest.warns(InferenceWarning, match="needs fits with a scaled test"):
        assert fosa_sem.lrt(whole, equal, method="satorra.bentler.2010").method == "standard"


def test_models_of_other_variables_are_not_nested() -> None:
    complete = two_factors(200, 3)
    with pytest.warns(InferenceWarning, match="different observed variables"):
        fosa_sem.lrt(fosa_sem.cfa(TWO, complete), fosa_sem.cfa("f =~ x1 + x2 + x3 + x4", complete))


def test_what_cannot_be_compared(whole: SemResults, data: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="not fitted to the same rows"):
        fosa_sem.lrt(whole, fosa_sem.cfa(APART, data.iloc[:200]))
    with pytest.raises(OptionError, match="not fitted to the same rows"):
        fosa_sem.lrt(whole, fosa_sem.cfa(APART, data.sample(frac=1.0, random_state=1)))
    with pytest.raises(OptionError, match="different tests"):
        fosa_sem.lrt(whole, fosa_sem.cfa(APART, data, estimator="MLR"))
    with pytest.raises(OptionError, match="missing or likelihood differ"):
        fosa_sem.lrt(whole, fosa_sem.cfa(APART, data, missing="two.stage"))
    with pytest.raises(OptionError, match="no chi-square"):
        fosa_sem.lrt(whole, fosa_sem.cfa(APART, data, test="none"))
    complete = data.dropna()
    with pytest.warns(UserWarning, match="dropped"):
        plain = fosa_sem.cfa(TWO, data, missing="listwise")
    with pytest.raises(OptionError, match="mean structure"):
        fosa_sem.lrt(plain, fosa_sem.cfa(APART, complete, missing="listwise", meanstructure=True))
    with pytest.raises(OptionError, match="method must be one of"):
        fosa_sem.lrt(whole, method="sb")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="a_method must be one of"):
        fosa_sem.lrt(whole, a_method="sb")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="expected the results of"):
        fosa_sem.lrt(whole, "x")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="one name per fit"):
        fosa_sem.lrt(whole, names=("a", "b"))
    with pytest.raises(OptionError, match="one name per fit"):
        fosa_sem.lrt()
    robust = [fosa_sem.cfa(m, data, estimator="MLR") for m in (TWO, APART)]
    with pytest.raises(OptionError, match="needs complete rows"):
        fosa_sem.lrt(*robust, method="satorra.2000")
    with pytest.raises(OptionError, match="needs a scaled method"):
        fosa_sem.lrt(*robust, method="standard")


def test_a_wald_test_of_one_parameter_is_its_squared_z(labelled: SemResults) -> None:
    row = labelled.parameter_estimates().set_index("label").loc["c"]
    test = fosa_sem.wald(labelled, "c == 0")
    assert test.stat == pytest.approx(row["z"] ** 2, rel=1e-10)
    assert test.pvalue == pytest.approx(row["pvalue"], rel=1e-6)
    assert (test.df, test.se) == (1, "standard")
    away = fosa_sem.wald(labelled, "c == 0.9")
    assert away.stat == pytest.approx(((row["est"] - 0.9) / row["se"]) ** 2, rel=1e-10)
    ratio = labelled.parameter_estimates().set_index("label").loc["ratio"]
    assert fosa_sem.wald(labelled, "ratio == 1").stat == pytest.approx(
        ((ratio["est"] - 1) / ratio["se"]) ** 2, rel=1e-8
    )


def test_linear_hypotheses_may_be_written_in_many_ways(labelled: SemResults) -> None:
    first = fosa_sem.wald(labelled, "a == b; c == d")
    for other in ("c == d\nb == a", "2*a - 2*b == 0; a - b + c == d", "gap := a - b\ngap == 0\nc == d"):
        same = fosa_sem.wald(labelled, other)
        assert same.stat == pytest.approx(first.stat, rel=1e-8)
        assert same.df == 2


def test_wald_and_likelihood_ratio_agree_near_the_hypothesis() -> None:
    big = two_factors(4000, 2, hole=0.1)
    free, held = fosa_sem.cfa(LABELS, big), fosa_sem.cfa(LABELS + "\na == b\nc == d", big)
    step = fosa_sem.lrt(free, held).steps[1]
    assert step is not None
    assert fosa_sem.wald(free, "a == b\nc == d").stat == pytest.approx(step.chisq, rel=0.1, abs=0.05)


BAD_CONSTRAINTS = [
    ("", OptionError, "must be a string such as"),
    (None, OptionError, "must be a string such as"),
    ("a > 0", OptionError, "must be equalities"),
    ("f =~ x1", OptionError, "must be equalities"),
    ("half := a/2", OptionError, "no equality"),
    ("a == b; b == a", OptionError, "repeat each other"),
    ("a == a", OptionError, "holds already"),
    ("a == zz", ModelSpecificationError, "unknown label 'zz'"),
    ("a == ", ModelSyntaxError, "expected"),
    ("log(0 - a) == 1", OptionError, "not defined at the estimates"),
]


@pytest.mark.parametrize(("constraints", "error", "message"), BAD_CONSTRAINTS)
def test_bad_constraints(labelled: SemResults, constraints: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fosa_sem.wald(labelled, constraints)


def test_a_wald_test_needs_standard_errors(data: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="no standard errors"):
        fosa_sem.wald(fosa_sem.cfa(LABELS, data, se="none"), "a == b")
    with pytest.raises(OptionError, match="expected the results"):
        fosa_sem.wald("fit", "a == b")  # type: ignore[arg-type]
