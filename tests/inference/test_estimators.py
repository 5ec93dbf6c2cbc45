"""Ways of handling missing values and non-normality: what must hold between them, whatever the data."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME

import fosa_sem
from fosa_sem import SemResults
from fosa_sem.errors import DataError, DroppedRowsWarning, OptionError
from fosa_sem.fiml.information import moment_information
from fosa_sem.fiml.saturated import saturated_moments

NINE = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"


@pytest.fixture(scope="module")
def holes() -> pd.DataFrame:
    return BY_NAME["cfa"].data()


@pytest.fixture(scope="module")
def complete(holes: pd.DataFrame) -> pd.DataFrame:
    return holes.fillna(holes.mean() + 0.1)


def _fit(data: pd.DataFrame, **options: object) -> SemResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedRowsWarning)
        return fosa_sem.cfa(NINE, data, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["ML", "MLR", "MLF"])
def test_on_complete_data_listwise_is_fiml(complete: pd.DataFrame, estimator: str) -> None:
    kind = {"ML": "observed", "MLR": "observed", "MLF": "first.order"}[estimator]
    both = [
        _fit(complete, missing=missing, estimator=estimator, information=kind, meanstructure=True)
        for missing in ("fiml", "listwise")
    ]
    assert_allclose(both[0].coef(), both[1].coef(), rtol=1e-7, atol=1e-7)
    assert_allclose(both[0].bse, both[1].bse, rtol=1e-6)
    shared = both[0].fit_measures().index.intersection(both[1].fit_measures().index)
    shared = [name for name in shared if not name.endswith(".robust")]
    assert_allclose(both[0].fit_measures()[shared], both[1].fit_measures()[shared], rtol=1e-5, atol=1e-6)


def test_listwise_uses_the_complete_rows_alone(holes: pd.DataFrame) -> None:
    with pytest.warns(DroppedRowsWarning, match="listwise deletion"):
        results = fosa_sem.cfa(NINE, holes, missing="listwise")
    assert results.nobs == len(holes.dropna())
    assert_allclose(results.coef(), _fit(holes.dropna(), missing="listwise").coef(), rtol=1e-10)
    assert list(results.fit.table.free_names()) == [n for n in results.coef().index if "~1" not in n]
    assert results.implied()[0].mean is None
    assert results.predict().shape == (results.nobs, 2)


def test_without_means_nothing_but_their_count_changes(complete: pd.DataFrame) -> None:
    without, with_means = (_fit(complete, missing="listwise", meanstructure=m) for m in (False, True))
    assert with_means.npar - without.npar == 6
    assert_allclose(without.coef(), with_means.coef()[without.coef().index], rtol=1e-6)
    assert_allclose(without.loglik, with_means.loglik, rtol=1e-10)
    for name in ("chisq", "df", "cfi", "rmsea", "baseline.chisq"):
        assert_allclose(without.fit_measures()[name], with_means.fit_measures()[name], rtol=1e-6)
    assert_allclose(without.predict(), with_means.predict(), rtol=1e-5, atol=1e-6)


def test_wishart_scales_covariances_and_the_test(complete: pd.DataFrame) -> None:
    n = len(complete)
    normal, wishart = (_fit(complete, missing="listwise", likelihood=kind) for kind in ("normal", "wishart"))
    is_cov = ["~~" in name for name in normal.coef().index]
    scale = np.where(is_cov, n / (n - 1), 1.0)
    assert_allclose(wishart.coef(), normal.coef() * scale, rtol=1e-6, atol=1e-9)
    assert_allclose(wishart.fit_measures()["chisq"], normal.fit_measures()["chisq"] * (n - 1) / n, rtol=1e-8)


@pytest.mark.parametrize("missing", ["two.stage", "robust.two.stage"])
def test_two_stage_fits_the_em_moments(holes: pd.DataFrame, missing: str) -> None:
    results = _fit(holes, missing=missing)
    em = results.sample_stats()[0]
    # FIML stops EM where its likelihood is flat, within 1e-9 of the maximum; two-stage needs the moments themselves
    fiml = _fit(holes)
    scale = np.sqrt(np.diag(em.cov))
    assert_allclose((em.cov - fiml.sample_stats()[0].cov) / np.outer(scale, scale), 0.0, rtol=0, atol=1e-5)
    exact = saturated_moments(fiml.fit.sample.groups[0].patterns, 1e-20)
    assert_allclose(em.cov, exact.cov, rtol=1e-8)
    root = np.linalg.cholesky(em.cov.to_numpy())
    rng = np.random.default_rng(1)
    white = rng.standard_normal((len(holes), 6))
    white -= white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(white.T @ white / len(white))).T
    same_moments = pd.DataFrame(white @ root.T + em.mean.to_numpy(), columns=em.cov.columns)
    assert_allclose(results.coef(), _fit(same_moments).coef(), rtol=1e-5, atol=1e-6)
    assert_allclose(results.fit_measures()["chisq"], _fit(same_moments).fit_measures()["chisq"], rtol=1e-6)


def test_on_complete_data_two_stage_standard_errors_are_those_of_expected_information(
    complete: pd.DataFrame,
) -> None:
    # Gamma is then the inverse weight: the sandwich collapses to the unstructured expected information
    two_stage = _fit(complete, missing="two.stage")
    plain = _fit(complete, information="expected", h1_information="unstructured")
    assert_allclose(two_stage.bse, plain.bse, rtol=1e-6)
    assert_allclose(two_stage.fit_measures()["chisq.scaling.factor"], 1.0, rtol=1e-6)


def test_fiml_x_is_fiml_where_no_exogenous_value_is_missing() -> None:
    model = BY_NAME["path_fixed_x"]
    data = model.data()
    plain, kept = (fosa_sem.sem(model.model, data, missing=m) for m in ("fiml", "fiml.x"))
    assert_allclose(kept.coef(), plain.coef(), rtol=1e-8)
    assert_allclose(kept.fit_measures(), plain.fit_measures(), rtol=1e-8, equal_nan=True)


def test_fiml_x_keeps_rows_without_exogenous_values() -> None:
    model = BY_NAME["path_free_x"]
    data = model.data()
    kept = fosa_sem.sem(model.model, data, missing="fiml.x")
    joint = fosa_sem.sem(model.model, data, fixed_x=False)
    assert kept.nobs == joint.nobs == len(data)
    moments = kept.implied()[0].cov.loc[["x1", "x2"], ["x1", "x2"]]
    assert_allclose(moments, kept.sample_stats()[0].cov.loc[["x1", "x2"], ["x1", "x2"]])
    assert kept.npar == joint.npar - 5


def test_pairwise_moments_that_no_data_can_have_are_not_taken_for_the_baseline() -> None:
    rng = np.random.default_rng(6)
    z = rng.standard_normal((90, 3))
    # each pair is seen together in its own third, with a correlation that the other two rule out
    part = np.repeat([0, 1, 2], 30)
    z[part == 0, 1] = z[part == 0, 0] + 0.1 * z[part == 0, 1]
    z[part == 1, 2] = z[part == 1, 0] + 0.1 * z[part == 1, 2]
    z[part == 2, 2] = -z[part == 2, 1] + 0.1 * z[part == 2, 2]
    for third, column in enumerate((2, 1, 0)):
        z[np.flatnonzero(part == third)[3:], column] = np.nan
    data = pd.DataFrame(z, columns=["x1", "x2", "x3"]).assign(y=lambda d: d["x1"].fillna(0) + rng.standard_normal(90))
    results = fosa_sem.sem("y ~ x1 + x2 + x3", data, missing="fiml.x")
    pairwise = results.fit.problem.patterns[0].pairwise_moments()[1][1:, 1:]
    assert np.linalg.eigvalsh(pairwise)[0] < 0
    assert_allclose(
        results.fit.references.baseline_model.moments[0][1][1:, 1:], results.sample_stats()[0].cov.iloc[1:, 1:]
    )
    assert np.isfinite(results.fit_measures()["baseline.chisq"])


@pytest.mark.parametrize("estimator", ["MLR", "MLF"])
def test_estimates_do_not_depend_on_the_estimator(holes: pd.DataFrame, estimator: str) -> None:
    plain, other = _fit(holes), _fit(holes, estimator=estimator)
    assert (plain.coef() == other.coef()).all()
    assert plain.loglik == other.loglik
    assert np.abs(np.log(other.bse / plain.bse)).max() < 0.5
    assert not np.allclose(other.bse, plain.bse, rtol=1e-3)


def test_first_order_standard_errors_are_those_of_squared_scores(holes: pd.DataFrame) -> None:
    results = _fit(holes, estimator="MLF")
    fit = results.fit
    group = fit.sample.groups[0]
    squares = moment_information(group.patterns, *fit.tested.moments[0], "first.order", group.values)
    slopes = fit.tested.slopes[0]
    assert_allclose(results.vcov(), np.linalg.inv(slopes.T @ squares @ slopes), rtol=1e-6, atol=1e-12)


def test_sandwich_is_bread_meat_bread(holes: pd.DataFrame) -> None:
    bread = _fit(holes).vcov().to_numpy()
    meat = np.linalg.inv(_fit(holes, estimator="MLF").vcov())
    assert_allclose(_fit(holes, estimator="MLR").vcov(), bread @ meat @ bread, rtol=1e-6, atol=1e-12)


def test_auxiliary_variables_change_nothing_about_complete_data(complete: pd.DataFrame) -> None:
    extra = complete.assign(a=complete["x1"] + complete["x4"] ** 2, b=complete["x5"] - complete["x2"] ** 2)
    plain, with_extra = _fit(complete), _fit(extra, auxiliary=("a", "b"))
    names = plain.coef().index
    assert_allclose(with_extra.coef()[names], plain.coef(), rtol=1e-5, atol=1e-6)
    assert_allclose(with_extra.bse[names], plain.bse, rtol=1e-4)
    assert_allclose(with_extra.fit_measures()["chisq"], plain.fit_measures()["chisq"], rtol=1e-6)
    assert with_extra.fit_measures()["df"] == plain.fit_measures()["df"]


def test_auxiliary_variables_help_where_values_are_missing(holes: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    truth = BY_NAME["cfa"].data(seed=1)
    extra = truth.assign(a=truth["x1"].fillna(0.0) + 0.1 * rng.standard_normal(len(truth)))
    masked = extra.assign(x1=truth["x1"].mask(rng.random(len(truth)) < 0.5))
    assert _fit(masked, auxiliary="a").bse["x1~1"] < _fit(masked).bse["x1~1"]


# Written out, they are residual covariances, which need not form a covariance matrix; lavaan warns, too.
@pytest.mark.filterwarnings("ignore::fosa_sem.errors.AdmissibilityWarning")
def test_auxiliary_variables_are_the_covariances_written_out() -> None:
    mimic = BY_NAME["mimic"]
    rng = np.random.default_rng(4)
    data = mimic.data()
    data["a"] = data["y1"].fillna(0.0) + rng.standard_normal(len(data))
    data["b"] = data["x1"] + rng.standard_normal(len(data))
    covariances = [f"a ~~ a + b + {' + '.join(mimic.columns)}", f"b ~~ b + {' + '.join(mimic.columns)}"]
    written = fosa_sem.sem("\n".join([mimic.model, *covariances, "x1 ~~ x1 + x2", "x2 ~~ x2"]), data)
    asked = fosa_sem.sem(mimic.model, data, auxiliary=("a", "b"))
    assert asked.npar == written.npar
    assert_allclose(asked.loglik, written.loglik, atol=1e-6)
    assert_allclose(asked.fit_measures()["chisq"], written.fit_measures()["chisq"], atol=1e-5)
    names = ["f~x1", "f~x2", "f=~y2", "y1~~y1", "f~~f", "x1~~x1"]
    assert_allclose(asked.coef()[names], written.coef()[names], rtol=1e-4, atol=1e-5)
    assert_allclose(asked.bse[names], written.bse[names], rtol=1e-4)
    # none is exogenous beside them, so that all are standardised
    solutions = [asked.standardized_solution(kind)["est_std"] for kind in ("std.all", "std.nox")]
    assert_allclose(*solutions)


def test_no_equality_across_groups_touches_auxiliary_variables() -> None:
    groups = BY_NAME["three_groups"]
    data = groups.data()
    data["a"] = data["school"].map(
        {label: i for i, label in enumerate(data["school"].unique())}
    ) + np.random.default_rng(5).standard_normal(len(data))
    kinds = ("loadings", "intercepts", "residuals", "residual.covariances")
    results = fosa_sem.cfa(groups.model, data, group="school", group_equal=kinds, auxiliary="a")
    means = [moments.mean["a"] for moments in results.implied()]
    assert_allclose(means, data.groupby("school", sort=False)["a"].mean(), atol=0.1)
    plain = fosa_sem.cfa(groups.model, data, group="school", group_equal=kinds)
    assert results.fit_measures()["df"] == plain.fit_measures()["df"]


def test_latent_means_without_a_mean_structure_are_what_the_predictors_give() -> None:
    mimic = BY_NAME["mimic"]
    data = mimic.data().dropna() + 3.0
    without, with_means = (
        fosa_sem.sem(mimic.model, data, missing="listwise", meanstructure=means) for means in (False, True)
    )
    assert abs(with_means.predict()["f"].mean()) > 0.5
    assert_allclose(without.predict(), with_means.predict(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kinds", ["loadings", True])
def test_effect_coding_is_the_same_model_on_another_scale(holes: pd.DataFrame, kinds: object) -> None:
    marker, coded = _fit(holes), _fit(holes, effect_coding=kinds)
    assert_allclose(coded.loglik, marker.loglik, rtol=1e-10)
    assert coded.npar == marker.npar
    table = coded.parameter_estimates()
    for factor in ("f", "g"):
        assert_allclose(table.loc[(table["op"] == "=~") & (table["lhs"] == factor), "est"].mean(), 1.0, rtol=1e-10)
    if kinds is True:
        first = table[(table["op"] == "~1") & table["lhs"].isin(["x1", "x2", "x3"])]
        assert_allclose(first["est"].sum(), 0.0, atol=1e-8)


def test_group_label_orders_and_selects_groups() -> None:
    model = BY_NAME["two_groups"]
    data = model.data()
    plain = model.fit(data)
    assert [m.group for m in plain.implied()] == ["south", "north"]
    turned = model.fit(data, group_label=("north", "south"))
    assert [m.group for m in turned.implied()] == ["north", "south"]
    assert_allclose(turned.loglik, plain.loglik, rtol=1e-10)
    with pytest.raises(DataError, match="group_label names 'east'"):
        model.fit(data, group_label=("north", "east"))
    third = data.assign(school=np.where(np.arange(len(data)) % 3 == 0, "east", data["school"]))
    chosen = model.fit(third, group_label=("north", "south"))
    assert chosen.nobs == int((third["school"] != "east").sum())
    assert "group_label does not name" in chosen.summary()


def test_starting_values_are_taken_and_checked(holes: pd.DataFrame) -> None:
    plain = _fit(holes)
    assert_allclose(_fit(holes, start=plain).coef(), plain.coef(), rtol=1e-6, atol=1e-7)
    assert_allclose(_fit(holes, start={"f=~x2": 0.9}).coef(), plain.coef(), rtol=1e-5, atol=1e-6)
    shorter = fosa_sem.cfa("f =~ x1 + x2 + x3", holes)
    assert_allclose(_fit(holes, start=shorter).coef(), plain.coef(), rtol=1e-5, atol=1e-6)
    with pytest.raises(OptionError, match=r"start names 'f=~x22', .*did you mean 'f=~x2'"):
        _fit(holes, start={"f=~x22": 0.9})
    with pytest.raises(OptionError, match="start must map names"):
        _fit(holes, start=[0.5, 0.5])


def test_tests_and_standard_errors_can_be_left_out(holes: pd.DataFrame) -> None:
    results = _fit(holes, se="none", test="none")
    assert results.bse.isna().all()
    assert np.isnan(results.fit_measures()["chisq"])
    assert results.converged
    assert "Standard errors" in results.summary()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"missing": "pairwise"}, "missing must be one of"),
        ({"estimator": "WLS"}, "estimator must be one of"),
        ({"se": "jackknife"}, "se must be one of"),
        ({"test": "browne"}, "test must be one of"),
        ({"information": "guess"}, "information must be one of"),
        ({"information": ("observed", "observed", "observed")}, "one value or a pair"),
        ({"likelihood": "wishart"}, "listwise"),
        ({"estimator": "MLM"}, "complete rows"),
        ({"test": "satorra.bentler"}, "complete rows"),
        ({"missing": "two.stage", "se": "standard"}, "its own standard errors"),
        ({"missing": "two.stage", "estimator": "MLF"}, "does not go with"),
        ({"se": "two.stage"}, "belongs to missing"),
        ({"estimator": "MLR", "information": "first.order"}, "'observed' or 'expected'"),
        ({"auxiliary": "x1"}, "is a variable of the model"),
        ({"auxiliary": ("x1", "x1")}, "twice"),
        ({"missing": "listwise", "auxiliary": "x9"}, "auxiliary variables need missing='fiml'"),
        ({"meanstructure": False}, "need the means"),
        ({"effect_coding": "means"}, "effect_coding has no kind 'means'"),
        ({"effect_coding": True, "std_lv": True}, "choose one"),
        ({"group_label": ("a", "b")}, "name that in group"),
        ({"bootstrap": 1}, "at least 2"),
        ({"seed": -1}, "seed"),
        ({"se": "bootstrap", "estimator": "MLR"}, "estimator='ML'"),
    ],
)
def test_options_that_cannot_be(holes: pd.DataFrame, options: dict, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        _fit(holes, **options)


def test_an_auxiliary_column_must_exist(holes: pd.DataFrame) -> None:
    with pytest.raises(fosa_sem.errors.ModelSpecificationError, match=r"'x66' is not a column.*'x6'"):
        _fit(holes, auxiliary="x66")


def test_intercepts_in_the_model_need_a_mean_structure(holes: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match="intercepts"):
        fosa_sem.cfa(NINE + "\nx1 ~ 1", holes.dropna(), missing="listwise", meanstructure=False)


def test_wishart_with_groups_shares_out_their_degrees_of_freedom() -> None:
    # a saturated model per group: its log-likelihood has the closed form of unbiased covariances
    model = BY_NAME["two_groups"]
    data = model.data().fillna(0.0).iloc[:-3]
    saturated = "\n".join(f"{a} ~~ {b}" for i, a in enumerate(model.columns) for b in model.columns[i:])
    results = fosa_sem.lavaan(
        saturated, data, missing="listwise", likelihood="wishart", group="school", meanstructure=False
    )
    expected = 0.0
    for label in ("south", "north"):
        rows = data.loc[data["school"] == label, list(model.columns)]
        logdet = np.linalg.slogdet(rows.cov())[1]
        expected -= 0.5 * len(rows) * (4 * np.log(2 * np.pi) + logdet + 4)
    assert_allclose(results.loglik, expected, rtol=1e-10)
    assert_allclose(results.fit_measures()["chisq"], 0.0, atol=1e-8)
