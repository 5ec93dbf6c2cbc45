"""Fraction of missing information and reliability: closed forms, limits, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from test_modification import TWO, two_factors
from zoo import NAMES, fitted

import fosa_sem
from fosa_sem.errors import FosaWarning, InferenceWarning, OptionError


def test_nothing_missing_means_no_missing_information() -> None:
    frame = fosa_sem.cfa(TWO, two_factors(200, 1)).parameter_estimates(fmi=True)
    fixed = frame["se"] == 0
    assert fixed.any()
    assert frame.loc[fixed, "fmi"].isna().all()
    # Observed information at the EM moments, which are the sample's own.
    assert_allclose(frame.loc[~fixed, "fmi"], 0.0, atol=1e-5)


def test_the_mean_of_a_variable_alone_loses_its_missing_share(rng: np.random.Generator) -> None:
    values = rng.standard_normal((400, 2))
    values[:120, 0] = np.nan
    results = fosa_sem.sem("a ~~ 0*b", pd.DataFrame(values, columns=["a", "b"]), information="expected")
    fmi = results.parameter_estimates(fmi=True).set_index(["lhs", "op"])["fmi"]
    # Variances v / 280 and v / 400 of the mean, 2 v^2 / 280 and 2 v^2 / 400 of the variance.
    assert_allclose(fmi[[("a", "~1"), ("b", "~1")]], [0.3, 0.0], atol=1e-9)
    assert_allclose(fmi[("a", "~~")].dropna(), 0.3, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_expected_missing_information_lies_between_0_and_1(name: str) -> None:
    results = fitted(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        fmi = results.parameter_estimates(fmi=True)["fmi"].dropna()
    # Observed information varies with the data: a parameter may seem to gain a little.
    assert ((fmi > -0.5) & (fmi < 1.0)).all()


@pytest.mark.parametrize(
    "options", [{"estimator": "MLR"}, {"missing": "listwise"}, {"estimator": "MLF"}, {"se": "none"}]
)
def test_where_missing_information_is_not_defined(options: dict[str, str]) -> None:
    results = fosa_sem.cfa(TWO, two_factors(150, 2), **options)  # type: ignore[arg-type]
    with pytest.warns(InferenceWarning, match="fraction of missing information"):
        frame = results.parameter_estimates(fmi=True)
    assert frame["fmi"].isna().all()


def test_the_summary_shows_missing_information() -> None:
    results = fosa_sem.cfa(TWO, two_factors(200, 1, hole=0.2))
    text = results.summary(fmi=True)
    assert "FMI" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "FMI" not in results.summary()
    row = results.parameter_estimates(fmi=True).iloc[1]
    line = next(line for line in text.splitlines() if line.split()[:1] == ["x2"])
    assert line.split()[-1] == f"{row['fmi']:.3f}"


def test_reliability_in_closed_form() -> None:
    results = fosa_sem.cfa(TWO, two_factors(300, 4, hole=0.1), std_lv=True)
    table, coef = results.reliability(), results.coef()
    cov = results.sample_stats()[0].cov.to_numpy()
    implied = results.implied()[0].cov.to_numpy()
    for place, (factor, names) in enumerate((("f", ("x1", "x2", "x3")), ("g", ("x4", "x5", "x6")))):
        loadings = np.array([coef[f"{factor}=~{n}"] for n in names])
        errors = np.array([coef[f"{n}~~{n}"] for n in names])
        block = slice(3 * place, 3 * place + 3)
        row = table[table["factor"] == factor].iloc[0]
        true = loadings.sum() ** 2
        assert row["omega"] == pytest.approx(true / (true + errors.sum()))
        assert row["omega2"] == pytest.approx(true / implied[block, block].sum())
        assert row["omega3"] == pytest.approx(true / cov[block, block].sum())
        assert row["avevar"] == pytest.approx((loadings**2).sum() / ((loadings**2) + errors).sum())
        k, own = 3, cov[block, block]
        assert row["alpha"] == pytest.approx(k / (k - 1) * (1 - np.trace(own) / own.sum()))


def test_parallel_indicators_have_the_alpha_of_omega() -> None:
    data = two_factors(300, 4)
    model = "f =~ 1*x1 + 1*x2 + 1*x3\nx1 ~~ e*x1\nx2 ~~ e*x2\nx3 ~~ e*x3"
    row = fosa_sem.cfa(model, data, missing="listwise").reliability().iloc[0]
    # Maximum likelihood reproduces the sum of all covariances and of all variances.
    assert row["omega"] == pytest.approx(row["alpha"], rel=1e-6)
    assert row["omega3"] == pytest.approx(row["omega"], rel=1e-6)


def test_rows_of_the_reliability_table() -> None:
    data = two_factors(300, 5).assign(school=lambda d: np.where(np.arange(len(d)) % 2, "a", "b"))
    results = fosa_sem.cfa(TWO + "\nf =~ x4", data, group="school")
    table = results.reliability()
    assert table.columns.tolist() == ["group", "factor", "alpha", "omega", "omega2", "omega3", "avevar"]
    assert table[["group", "factor"]].to_numpy().tolist() == [[1, "f"], [1, "g"], [2, "f"], [2, "g"]]
    assert table["avevar"].isna().all()  # x4 belongs to both factors
    assert results.reliability(total=True)["factor"].tolist() == ["f", "g", "total"] * 2
    assert results.reliability(omit_factors="g", total=True)["factor"].tolist() == ["f", "f"]


def test_factors_of_factors_and_single_indicators() -> None:
    rng = np.random.default_rng(3)
    general = rng.standard_normal((400, 1))
    factors = general + 0.6 * rng.standard_normal((400, 3))
    values = np.repeat(factors, 3, axis=1) + 0.7 * rng.standard_normal((400, 9))
    data = pd.DataFrame(values, columns=[f"y{i}" for i in range(1, 10)])
    model = "a =~ y1 + y2 + y3\nb =~ y4 + y5 + y6\nc =~ y7 + y8 + y9\ng =~ a + b + c"
    with pytest.warns(InferenceWarning, match="factors of latent variables: g"):
        table = fosa_sem.cfa(model, data).reliability()
    assert table["factor"].tolist() == ["a", "b", "c"]
    single = fosa_sem.cfa("a =~ y1 + y2 + y3\ns =~ y4", data)
    assert single.reliability()["factor"].tolist() == ["a"]


def test_bad_reliability() -> None:
    data = two_factors(150, 2)
    with pytest.raises(OptionError, match="no latent variables"):
        fosa_sem.sem("x1 ~ x2", data).reliability()
    with pytest.raises(OptionError, match="'h', which is no factor"):
        fosa_sem.cfa(TWO, data).reliability(omit_factors=["h"])
    assert issubclass(InferenceWarning, FosaWarning)
