from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fosa_sem import FosaImputer, RefinerConfig, imputation_metrics, mask_cells, sem
from fosa_sem.datasets import load_holzinger_swineford, load_nhanes
from fosa_sem.errors import (
    CollinearityWarning,
    DataError,
    DependenceError,
    DroppedRowsWarning,
    ModelSpecificationError,
    OptionError,
)
from fosa_sem.imputer import _refiner_config

THREE_FACTORS = """
visual  =~ x1 + x2 + x3
textual =~ x4 + x5 + x6
speed   =~ x7 + x8 + x9
"""
TESTS = [f"x{i}" for i in range(1, 10)]
SHORT = RefinerConfig(epochs=3, width=8, heads=2, layers=1, folds=2)


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    """HS tests with 15% holes, and columns that the model does not name; an index that is not 0, 1, 2."""
    frame = load_holzinger_swineford()
    holes = np.random.default_rng(3).random((len(frame), 9)) < 0.15
    frame[TESTS] = frame[TESTS].mask(holes)
    return frame.set_index(pd.Index([f"p{i}" for i in range(len(frame))]))


@pytest.fixture(scope="module")
def plain(pupils: pd.DataFrame) -> FosaImputer:
    return FosaImputer(THREE_FACTORS, refiner=None).fit(pupils)


@pytest.fixture(scope="module")
def refining(pupils: pd.DataFrame) -> FosaImputer:
    return FosaImputer(THREE_FACTORS, refiner=SHORT).fit(pupils)


# ---- what is filled, and what is not touched ---------------------------------------------------------------


@pytest.mark.parametrize("which", ["plain", "refining"])
def test_fills_every_modelled_hole_and_touches_nothing_else(
    which: str, pupils: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    before = pupils.copy(deep=True)
    imputer = request.getfixturevalue(which)
    completed = imputer.transform(pupils)
    pd.testing.assert_frame_equal(pupils, before)
    pd.testing.assert_index_equal(completed.index, pupils.index)
    assert list(completed.columns) == list(pupils.columns)
    assert not completed[TESTS].isna().any(axis=None)
    seen = pupils[TESTS].notna().to_numpy()
    assert (completed[TESTS].to_numpy()[seen] == pupils[TESTS].to_numpy()[seen]).all()
    others = [name for name in pupils.columns if name not in TESTS]
    pd.testing.assert_frame_equal(completed[others], pupils[others])


def test_without_refiner_values_are_the_conditional_expectations(plain: FosaImputer, pupils: pd.DataFrame) -> None:
    moments = sem(THREE_FACTORS, pupils, fixed_x=False).implied()[0]
    completed = plain.transform(pupils)
    for row in ("p0", "p7", "p150"):
        missing = pupils.loc[row, TESTS].isna().to_numpy()
        mean, cov = moments.mean.to_numpy(), moments.cov.to_numpy()
        deviation = pupils.loc[row, TESTS].to_numpy(dtype=float)[~missing] - mean[~missing]
        expected = mean[missing] + cov[np.ix_(missing, ~missing)] @ np.linalg.solve(
            cov[np.ix_(~missing, ~missing)], deviation
        )
        np.testing.assert_allclose(completed.loc[row, TESTS].to_numpy(dtype=float)[missing], expected, rtol=1e-9)
    assert plain.refined_ is plain.completion_
    assert plain.refiner_ is None


def test_refined_values_are_those_of_the_refiner(refining: FosaImputer, pupils: pd.DataFrame) -> None:
    assert refining.refiner_ is not None
    expected = refining.refiner_.refine(refining.completion_).to_frame()
    pd.testing.assert_frame_equal(refining.transform(pupils), expected)
    pd.testing.assert_frame_equal(refining.refined_.to_frame(), expected)


def test_exogenous_variables_are_filled_and_no_row_is_dropped() -> None:
    data = load_nhanes().iloc[:400]
    imputer = FosaImputer("systolic2 ~ waist + bmi + age", refiner=None).fit(data)
    assert imputer.sem_results_.nobs == 400
    assert not imputer.transform(data)[["systolic2", "waist", "bmi", "age"]].isna().any(axis=None)
    assert imputer.transform(data)["income_ratio"].isna().sum() == data["income_ratio"].isna().sum()


def test_fit_transform_is_fit_then_transform(pupils: pd.DataFrame, refining: FosaImputer) -> None:
    pd.testing.assert_frame_equal(clone(refining).fit_transform(pupils), refining.transform(pupils))


@pytest.mark.parametrize("which", ["plain", "refining"])
def test_new_rows_are_filled_one_by_one_as_together(
    which: str, pupils: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    imputer = request.getfixturevalue(which)
    together = imputer.transform(pupils.iloc[:5])
    for i in range(5):
        alone = imputer.transform(pupils.iloc[[i]])
        np.testing.assert_allclose(alone[TESTS], together[TESTS].iloc[[i]], rtol=1e-5)


@pytest.mark.parametrize("which", ["plain", "refining"])
def test_a_row_with_nothing_observed_gets_the_means(which: str, request: pytest.FixtureRequest) -> None:
    imputer = request.getfixturevalue(which)
    empty = pd.DataFrame([{name: np.nan for name in imputer.feature_names_in_}])
    means = imputer.sem_results_.implied()[0].mean[TESTS].to_numpy()
    np.testing.assert_allclose(imputer.transform(empty)[TESTS].to_numpy()[0], means, rtol=1e-12)


def test_groups_are_filled_by_their_own_moments(pupils: pd.DataFrame) -> None:
    data = pupils.dropna(subset=["x1"])
    imputer = FosaImputer("x1 ~~ x2", refiner=None, sem_options={"group": "school"}).fit(data)
    empty = data.iloc[[0, -1]].assign(x1=np.nan, x2=np.nan)
    first, second = imputer.sem_results_.implied()
    expected = np.array([first.mean[["x1", "x2"]], second.mean[["x1", "x2"]]])
    np.testing.assert_allclose(imputer.transform(empty)[["x1", "x2"]], expected, rtol=1e-12)


# ---- exactly dependent columns -----------------------------------------------------------------------------


def dependent_table() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(2, 500))
    c, d = a + b, a - b
    e = 2 * c + 3 * d + rng.normal(scale=0.5, size=500)
    truth = pd.DataFrame({"A": a, "B": b, "C": c, "D": d, "E": e})
    return truth, truth.mask(rng.random(truth.shape) < 0.2)


def test_dependent_columns_are_fitted_with_a_ridge_that_is_stated() -> None:
    truth, holes = dependent_table()
    model = "C ~ A + B\nD ~ A + B\nE ~ C + D"
    with pytest.raises(DependenceError, match="exactly dependent"):
        sem(model, holes, fixed_x=False)
    with pytest.warns(CollinearityWarning, match="ridge of 1e-06"):
        imputer = FosaImputer(model, refiner=None).fit(holes)
    results = imputer.sem_results_
    assert results.fit.options.ridge == 1e-6
    assert results.fit_measures(["chisq", "pvalue", "cfi", "rmsea"]).isna().all()
    assert results.bse.isna().all()
    assert "ridge of 1e-06" in " ".join(results.summary().split())
    completed = imputer.transform(holes)
    only_c = holes["C"].isna() & holes[["A", "B"]].notna().all(axis=1)
    np.testing.assert_allclose(completed["C"][only_c], (truth["A"] + truth["B"])[only_c], atol=1e-3)
    hidden = holes.isna().to_numpy()
    errors = (completed - truth).to_numpy()[hidden]
    assert 1 - np.mean(errors**2) / truth.to_numpy()[hidden].var() > 0.97


def test_other_faults_of_the_data_are_not_met_with_a_ridge(pupils: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="constant"):
        FosaImputer("x1 ~~ x2", refiner=None).fit(pupils.assign(x2=1.0))


def test_warnings_of_the_fit_reach_the_user(pupils: pd.DataFrame) -> None:
    data = pupils.copy()
    data.loc["p3", TESTS] = np.nan
    with pytest.warns(DroppedRowsWarning, match="1 of 301 rows"):
        imputer = FosaImputer(THREE_FACTORS, refiner=None).fit(data)
    means = imputer.sem_results_.implied()[0].mean[TESTS]
    np.testing.assert_allclose(imputer.transform(data).loc["p3", TESTS].astype(float), means, rtol=1e-12)


# ---- evaluation and report ---------------------------------------------------------------------------------


def test_metrics_are_those_of_a_fit_without_the_hidden_cells(pupils: pd.DataFrame, plain: FosaImputer) -> None:
    metrics = clone(plain).fit(pupils).evaluate(proportion=0.2, seeds=(5,))
    mask = mask_cells(pupils[TESTS], 0.2, 5)
    hidden = pupils[TESTS].mask(mask)
    expected = imputation_metrics(pupils[TESTS], sem(THREE_FACTORS, hidden).impute().to_frame(), mask)
    found = metrics[metrics["method"] == "sem"].drop(columns=["seed", "method"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)
    floor = imputation_metrics(pupils[TESTS], hidden.fillna(hidden.mean()), mask)
    means = metrics[metrics["method"] == "mean"].drop(columns=["seed", "method"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(means, floor)
    assert set(metrics["method"]) == {"mean", "sem"}


def test_metrics_are_there_only_once_asked_for_and_repeat(pupils: pd.DataFrame) -> None:
    imputer = FosaImputer(THREE_FACTORS, refiner=SHORT).fit(pupils)
    assert not hasattr(imputer, "metrics_")
    with pytest.raises(NotFittedError, match="evaluate"):
        _ = imputer.metrics_
    before = imputer.refined_.to_frame()
    metrics = imputer.evaluate(seeds=(0, 1))
    assert imputer.metrics_ is metrics
    assert list(dict.fromkeys(metrics["method"])) == ["mean", "sem", "refined"]
    assert set(metrics["seed"]) == {0, 1}
    pd.testing.assert_frame_equal(imputer.refined_.to_frame(), before)
    pd.testing.assert_frame_equal(imputer.evaluate(seeds=(0, 1)), metrics)
    assert not hasattr(imputer.fit(pupils), "metrics_")


def test_evaluation_with_groups_hides_no_group(pupils: pd.DataFrame) -> None:
    imputer = FosaImputer("x1 ~~ x2", refiner=None, sem_options={"group": "grade"})
    metrics = imputer.fit(pupils.dropna(subset=["grade", "x1"])).evaluate()
    assert set(metrics["variable"]) == {"x1", "x2", "overall"}


@pytest.mark.parametrize("proportion", [0.0, 1.0, 1.5])
def test_evaluation_refuses_a_proportion_out_of_range(plain: FosaImputer, proportion: float) -> None:
    with pytest.raises(OptionError, match="proportion"):
        plain.evaluate(proportion=proportion)


def test_report_holds_the_metrics_once_they_are_computed(pupils: pd.DataFrame, tmp_path) -> None:
    imputer = FosaImputer(THREE_FACTORS, refiner=SHORT).fit(pupils)
    without = imputer.report(tmp_path / "a.md").read_text(encoding="utf-8")
    imputer.evaluate()
    with_metrics = imputer.report(tmp_path / "b.md", notes=("A remark of mine.",)).read_text(encoding="utf-8")
    assert "Accuracy of imputed values" not in without
    assert "Accuracy of imputed values" in with_metrics
    assert "A remark of mine." in with_metrics
    assert "Gates of the refiner" in without
    assert imputer.report(tmp_path / "c.html").stat().st_size > 10_000
    with pytest.raises(OptionError):
        imputer.report(tmp_path / "c.xyz")


# ---- scikit-learn's manners --------------------------------------------------------------------------------


def test_names_out_are_names_in(plain: FosaImputer, pupils: pd.DataFrame) -> None:
    assert list(plain.feature_names_in_) == list(pupils.columns)
    assert plain.n_features_in_ == pupils.shape[1]
    assert list(plain.get_feature_names_out()) == list(pupils.columns)


def test_set_output_keeps_names_index_and_values(pupils: pd.DataFrame, plain: FosaImputer) -> None:
    framed = clone(plain).set_output(transform="pandas").fit(pupils).transform(pupils)
    pd.testing.assert_frame_equal(framed, plain.transform(pupils))


def test_pickled_imputer_fills_alike(refining: FosaImputer, pupils: pd.DataFrame) -> None:
    again = pickle.loads(pickle.dumps(refining))
    pd.testing.assert_frame_equal(again.transform(pupils), refining.transform(pupils))


def test_the_same_seed_gives_the_same_values(pupils: pd.DataFrame, refining: FosaImputer) -> None:
    again = FosaImputer(THREE_FACTORS, refiner=SHORT).fit(pupils)
    pd.testing.assert_frame_equal(again.refined_.to_frame(), refining.refined_.to_frame())


def test_seed_is_that_of_the_default_refiner_and_a_config_keeps_its_own(pupils: pd.DataFrame) -> None:
    imputer = FosaImputer(THREE_FACTORS, refiner=replace(SHORT, seed=1), seed=2).fit(pupils)
    assert imputer.refiner_ is not None
    assert imputer.refiner_.config.seed == 1
    assert _refiner_config("attention", imputer.completion_, 7) == RefinerConfig(seed=7)


@pytest.mark.parametrize(("verbose", "shown"), [(True, True), (False, False), (None, False)])
def test_progress_is_shown_on_request(
    pupils: pd.DataFrame, capsys: pytest.CaptureFixture[str], verbose: bool | None, shown: bool
) -> None:
    FosaImputer(THREE_FACTORS, refiner=SHORT, verbose=verbose).fit(pupils)
    assert ("epoch" in capsys.readouterr().err) is shown


def test_unfitted_imputer_says_so(pupils: pd.DataFrame, tmp_path) -> None:
    imputer = FosaImputer(THREE_FACTORS)
    for call in (
        lambda: imputer.transform(pupils),
        lambda: imputer.evaluate(),
        lambda: imputer.report(tmp_path / "a.txt"),
        lambda: imputer.metrics_,
    ):
        with pytest.raises(NotFittedError):
            call()


def test_a_failed_fit_leaves_the_imputer_as_it_was(pupils: pd.DataFrame) -> None:
    imputer = FosaImputer("x1 ~~ x2", refiner=None)
    with pytest.raises(DataError):
        imputer.fit(pupils.assign(x2="text"))
    with pytest.raises(NotFittedError):
        imputer.transform(pupils)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X: X.drop(columns="x4"), "x4"),
        (lambda X: X.drop(columns="id"), "id"),
        (lambda X: X.assign(extra=1), "extra"),
        (lambda X: X[X.columns[::-1]], "same order"),
        (lambda X: X.iloc[:0], "no rows"),
        (lambda X: X.assign(x4="a"), "x4"),
        (lambda X: X.assign(x4=np.inf), "infinite"),
        (lambda X: X.to_numpy(), "DataFrame"),
    ],
)
def test_transform_refuses_other_columns_and_bad_values(
    plain: FosaImputer, pupils: pd.DataFrame, change, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        plain.transform(change(pupils))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"refiner": "forest"}, "refiner"),
        ({"refiner": True}, "refiner"),
        ({"seed": -1}, "seed"),
        ({"func": "efa", "refiner": None}, "func"),
        ({"engine": "none", "refiner": None}, "engine"),
        ({"sem_options": {"fixed_x": True}}, "fixed_x"),
        ({"sem_options": {"engine": "native"}}, "engine"),
        ({"sem_options": {"meanstructure": False}}, "meanstructure"),
        ({"sem_options": {"std_lvv": True}, "refiner": None}, "std_lvv"),
    ],
)
def test_parameters_are_checked_when_fitting(pupils: pd.DataFrame, parameters: dict, said: str) -> None:
    imputer = FosaImputer(THREE_FACTORS, **parameters)
    with pytest.raises(OptionError, match=said):
        imputer.fit(pupils)


def test_an_unknown_variable_is_named(pupils: pd.DataFrame) -> None:
    with pytest.raises(ModelSpecificationError, match="x11"):
        FosaImputer("f =~ x1 + x2 + x11", refiner=None).fit(pupils)
