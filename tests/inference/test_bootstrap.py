"""Bootstrap: what a draw is, seeds and processes, closed forms, intervals, failures, bad input."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from test_modification import TWO, two_factors

import fosa_sem
from fosa_sem import SemResults
from fosa_sem.errors import ConvergenceError, FosaWarning, InferenceWarning, OptionError
from fosa_sem.inference import resampling

DEFINED = "f =~ x1 + a*x2 + b*x3\nproduct := a*b\nratio := a/b"


@pytest.fixture(autouse=True)
def _few_and_improper_draws_are_fine_here() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "too few bootstrap draws|.* inadmissible solutions", InferenceWarning)
        yield


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return two_factors(120, 11, hole=0.1)


@pytest.fixture(scope="module")
def results(data: pd.DataFrame) -> SemResults:
    return fosa_sem.cfa(DEFINED, data)


def test_a_draw_is_the_fit_of_the_rows_drawn(data: pd.DataFrame) -> None:
    grouped = data.assign(
        school=np.where(np.arange(len(data)) % 3, "a", "b"), age=np.random.default_rng(1).normal(10, 2, len(data))
    )
    model = "f =~ x1 + x2 + x3\nf ~ age"
    fitted = fosa_sem.sem(model, grouped, group="school")
    draws = fosa_sem.bootstrap(fitted, n=3, seed=7).to_frame()
    groups = fitted.fit.sample.groups
    for number in range(3):
        rows = resampling._rows(7, number, [len(g.rows) for g in groups])
        drawn = grouped.iloc[np.concatenate([g.rows[r] for g, r in zip(groups, rows, strict=True)])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FosaWarning)  # improper draws
            again = fosa_sem.sem(model, drawn.reset_index(drop=True), group="school")
        # Two climbs to the same maximum, from different starts.
        assert_allclose((again.coef() - draws.iloc[number]) / fitted.bse, 0.0, atol=1e-4)


def test_seeds_and_processes(results: SemResults) -> None:
    one = fosa_sem.bootstrap(results, n=24, seed=3)
    again = fosa_sem.bootstrap(results, n=24, seed=3)
    several = fosa_sem.bootstrap(results, n=24, seed=3, n_jobs=2)
    assert_array_equal(one.draws.values, again.draws.values)
    assert_array_equal(one.draws.values, several.draws.values)
    # More draws add to the first.
    assert_array_equal(fosa_sem.bootstrap(results, n=10, seed=3).draws.values, one.draws.values[:10])
    assert not np.allclose(fosa_sem.bootstrap(results, n=24, seed=4).draws.values, one.draws.values)


def test_mean_and_variance_of_one_variable_in_closed_form(rng: np.random.Generator) -> None:
    values = rng.standard_normal(200)
    fitted = fosa_sem.sem("y ~~ y", pd.DataFrame({"y": values, "x": values}))
    found = fosa_sem.bootstrap(fitted, n=300, seed=1)
    # Efron's ideal bootstrap of a mean: sd / sqrt(N). That of n draws has a relative error of 1 / sqrt(2 n) = 4 %.
    assert found.se["y~1"] == pytest.approx(values.std() / np.sqrt(200), rel=0.15)
    draws = found.to_frame()["y~1"]
    for number in (0, 1):
        assert draws[number] == pytest.approx(values[resampling._rows(1, number, [200])[0]].mean(), abs=1e-6)
    assert found.bias["y~1"] == pytest.approx(draws.mean() - values.mean(), abs=1e-8)
    assert found.vcov.loc["y~1", "y~1"] == pytest.approx(draws.var(ddof=0), rel=1e-10)


def test_standard_errors_by_bootstrap(data: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)
        fitted = fosa_sem.cfa(DEFINED, data, se="bootstrap", bootstrap=60, seed=5)
        free = fosa_sem.bootstrap(fosa_sem.cfa(DEFINED, data), n=60, seed=5)
    assert fitted.fit.draws is not None
    assert_allclose(fitted.vcov(), free.vcov, rtol=1e-6, atol=1e-10)
    assert_allclose(fitted.bse, free.se, rtol=1e-6)
    table = fitted.parameter_estimates()
    draws = fitted.fit.draws.successful
    product = draws[:, 0] * draws[:, 1]
    row = table.set_index("lhs").loc["product"]
    assert row["se"] == pytest.approx(product.std(ddof=1), rel=1e-8)
    assert row["est"] == pytest.approx(fitted.coef()["a"] * fitted.coef()["b"])
    assert row["ci_lower"] < row["est"] < row["ci_upper"]
    assert row["z"] == pytest.approx(row["est"] / row["se"])
    fixed = table["se"] == 0
    assert_allclose(table.loc[fixed, "ci_lower"], table.loc[fixed, "est"])
    wide = fitted.parameter_estimates(level=0.99)
    assert (wide["ci_lower"] <= table["ci_lower"]).all()
    assert (wide["ci_upper"] >= table["ci_upper"]).all()
    text = fitted.summary()
    assert "Bootstrap" in text
    assert "60" in text


def test_intervals_of_symmetric_draws_agree(rng: np.random.Generator) -> None:
    values = rng.standard_normal(60)
    fitted = fosa_sem.sem("y ~~ y", pd.DataFrame({"y": values}))
    found = fosa_sem.bootstrap(fitted, n=300, seed=2)
    half = stats.norm.ppf(0.95) * values.std() / np.sqrt(60)
    for kind in ("perc", "norm", "basic", "bca.simple", "bca"):
        limits = found.conf_int(kind, 0.9).loc["y~1"]  # type: ignore[arg-type]
        # Means are nearly normal. The standard error of a 5 % quantile of 300 draws is sqrt(.05 x .95 / 300) / .103, an
        # eighth of a standard error; three of those.
        assert_allclose(limits, [values.mean() - half, values.mean() + half], atol=0.375 * half / 1.645)
        assert kind in found.summary(kind)  # type: ignore[arg-type]


def test_percentiles_are_order_statistics(results: SemResults) -> None:
    found = fosa_sem.bootstrap(results, n=99, seed=2)
    column = np.sort(found.to_frame()["a"])
    assert_allclose(found.conf_int("perc", 0.9).loc["a"], column[[4, 94]])  # ranks 100 x .05 and 100 x .95
    assert_allclose(found.conf_int("basic", 0.9).loc["a"], 2 * results.coef()["a"] - column[[94, 4]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InferenceWarning, match="the extreme ones are the limits"):
            found.conf_int("perc", 0.999)


def test_any_statistic_can_be_resampled(results: SemResults) -> None:
    found = fosa_sem.bootstrap(results, n=5, statistic=lambda r: r.fit_measures(["chisq", "logl"]))
    assert found.names == ("chisq", "logl")
    assert_allclose(found.estimate, results.fit_measures(["chisq", "logl"]))
    assert found.to_frame().notna().all(axis=None)
    alpha = fosa_sem.bootstrap(results, n=5, statistic=lambda r: r.reliability()["alpha"].iloc[0])
    assert alpha.names == ("t1",)
    plain = fosa_sem.bootstrap(results, n=5, statistic=lambda r: list(r.coef()))
    assert_allclose(plain.draws.values, fosa_sem.bootstrap(results, n=5).draws.values, rtol=1e-10)
    named = fosa_sem.bootstrap(results, n=5, statistic=lambda r: {"x": r.loglik})
    assert named.names == ("x",)


def test_parametric_draws_come_from_the_model(results: SemResults) -> None:
    found = fosa_sem.bootstrap(results, n=150, seed=1, type="parametric")
    # The model is true in its own draws: inverse information describes them, but for the error of 150 draws.
    assert_allclose(found.se[["x1~1", "x2~1", "x3~1"]], results.bse[["x1~1", "x2~1", "x3~1"]], rtol=0.25)
    holes = np.isnan(results.fit.sample.groups[0].values)
    (drawn,) = resampling._simulated(results.fit.problem, results.fit.theta, np.random.default_rng(1))
    assert_array_equal(np.isnan(drawn), holes)
    with pytest.raises(OptionError, match="need draws of rows"):
        found.conf_int("bca")


def test_failed_and_inadmissible_draws_are_counted(results: SemResults, monkeypatch: pytest.MonkeyPatch) -> None:
    real = resampling.estimate_nearby
    calls = {"n": 0}

    def sometimes(*arguments: object) -> object:
        calls["n"] += 1
        return None if calls["n"] % 4 == 0 else real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(resampling, "estimate_nearby", sometimes)
    monkeypatch.setattr(resampling, "is_proper", lambda *_: False)
    with pytest.warns(InferenceWarning) as caught:
        found = fosa_sem.bootstrap(results, n=20)
    texts = [str(w.message) for w in caught]
    assert texts == [
        "5 of 20 bootstrap draws failed and are left out",
        "15 of 20 bootstrap draws have inadmissible solutions, which are kept",
    ]
    assert (found.n_failed, found.n_improper) == (5, 15)
    assert found.to_frame().isna().all(axis=1).sum() == 5
    assert len(found.draws.successful) == 15
    monkeypatch.setattr(resampling, "estimate_nearby", lambda *_: None)
    with pytest.raises(ConvergenceError, match="20 of 20 bootstrap draws failed"):
        fosa_sem.bootstrap(results, n=20)


def test_a_negative_variance_is_inadmissible() -> None:
    rng = np.random.default_rng(5)
    factor = rng.standard_normal(60)
    frame = pd.DataFrame(
        {"y1": factor + 0.05 * rng.standard_normal(60), "y2": factor + rng.standard_normal(60),
         "y3": factor + rng.standard_normal(60)}
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fosa_sem.bootstrap(fosa_sem.cfa("f =~ y1 + y2 + y3", frame), n=60)
    negative = (found.to_frame()["y1~~y1"] < 0).sum()
    assert negative > 5
    assert found.n_improper >= negative
    assert any("inadmissible" in str(w.message) for w in caught)


BAD = [
    ({"n": 1}, "n must be a whole number from 2 on"),
    ({"n": 10.0}, "n must be a whole number"),
    ({"n": True}, "n must be a whole number"),
    ({"seed": -1}, "seed must be a whole number from 0 on"),
    ({"type": "bayesian"}, "type must be one of ordinary, parametric"),
    ({"n_jobs": 0}, "n_jobs must be a number of processes"),
    ({"n_jobs": -2}, "n_jobs must be a number of processes"),
    ({"statistic": lambda r: "text"}, "statistic must give numbers"),
    ({"statistic": lambda r: []}, "finite numbers at the fit itself"),
    ({"statistic": lambda r: float("nan")}, "finite numbers at the fit itself"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options(results: SemResults, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        fosa_sem.bootstrap(results, **options)


def test_bad_intervals(results: SemResults) -> None:
    found = fosa_sem.bootstrap(results, n=10)
    with pytest.raises(OptionError, match="one of perc, norm"):
        found.conf_int("student")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="level must lie between"):
        found.conf_int("perc", 1.0)
    with pytest.raises(OptionError, match=r"more successful draws \(10\) than rows"):
        found.conf_int("bca")
    with pytest.raises(OptionError, match="expected the results of"):
        fosa_sem.bootstrap("results")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (TWO, {"missing": "listwise"}),
        (TWO, {"missing": "two.stage"}),
        ("f =~ x1 + x2 + x3\nf ~ x4", {"missing": "fiml.x"}),
        ("f =~ x1 + a*x2 + a*x3\nx4 ~ b*f + x5\nb > 0.2", {}),
    ],
)
def test_draws_of_other_likelihoods_are_refits_too(data: pd.DataFrame, model: str, options: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)
        if options.get("missing") == "two.stage":
            fitted = fosa_sem.cfa(model, data, **options)  # type: ignore[arg-type]
        else:
            fitted = fosa_sem.sem(model, data, **options)  # type: ignore[arg-type]
        draws = fosa_sem.bootstrap(fitted, n=3, seed=1).to_frame()
        (group,) = fitted.fit.sample.groups
        for number in range(3):
            (rows,) = resampling._rows(1, number, [len(group.rows)])
            again = getattr(fosa_sem, fitted.fit.options.func)(
                model, data.iloc[group.rows[rows]].reset_index(drop=True), **options
            )
            unit = fitted.bse.where(fitted.bse > 0, 1.0)  # 0 on an active constraint
            assert_allclose((again.coef() - draws.iloc[number]) / unit, 0.0, atol=1e-3)
