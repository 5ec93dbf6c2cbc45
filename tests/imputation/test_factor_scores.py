"""Factor scores: against their formulas, by pattern of missing values, for new rows; and what they imply."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, fitted

import fosa_sem
from fosa_sem import SemResults
from fosa_sem.errors import DataError, DroppedRowsWarning, ModelSpecificationError, OptionError

METHODS = ("regression", "bartlett")
MEASURED = ("cfa", "cfa_std_lv", "sem_labels", "mimic", "cross_loadings", "two_groups")


def measurement(results: SemResults) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loadings, residual covariances and latent covariances of a CFA of one group."""
    at = results.fit.problem.maps[0].matrices(results.fit.theta)
    p = len(results.fit.table.names.observed)
    return at.A[:p, p:], at.S[:p, :p], at.cov[p:, p:]


# ---- formulas -----------------------------------------------------------------------------------------------


def test_bartlett_scores_of_complete_rows_are_weighted_least_squares() -> None:
    results = fitted("cfa")
    data = BY_NAME["cfa"].data().dropna()
    loadings, theta, _ = measurement(results)
    weighted = np.linalg.solve(theta, loadings)
    error = np.linalg.inv(loadings.T @ weighted)
    expected = (data - results.implied()[0].mean).to_numpy() @ weighted @ error
    frame = results.predict(method="bartlett", newdata=data, append_se=True)
    assert list(frame.columns) == ["f", "g", "f_se", "g_se"]
    assert_allclose(frame[["f", "g"]], expected, rtol=1e-8, atol=1e-10)
    assert_allclose(frame[["f_se", "g_se"]], np.tile(np.sqrt(np.diag(error)), (len(data), 1)), rtol=1e-8)


@pytest.mark.parametrize("name", MEASURED)
def test_bartlett_scores_recover_latent_values_that_nothing_disturbs(name: str) -> None:
    # y = its mean given the latent values and x: then least squares has no residual, whatever is missing.
    results = fitted(name)
    names = results.fit.table.names
    rng = np.random.default_rng(11)
    parts, truth = [], []
    for g, ram in enumerate(results.fit.problem.maps):
        at = ram.matrices(results.fit.theta)
        p = len(names.observed)
        latent = rng.standard_normal((40, len(names.latent)))
        x = [names.observed.index(n) for n in names.observed_x]
        values = at.mean[:p] + (latent - at.mean[p:]) @ at.A[:p, p:].T
        values[:, x] = rng.standard_normal((40, len(x)))
        holes = rng.random(values.shape) < 0.4
        holes[:, x] = False
        frame = pd.DataFrame(np.where(holes, np.nan, values), columns=list(names.observed))
        parts.append(frame.assign(school=BY_NAME[name].groups[g]) if BY_NAME[name].groups else frame)
        truth.append(latent)
    scores = results.predict(method="bartlett", newdata=pd.concat(parts))[list(names.latent)].to_numpy()
    known = ~np.isnan(scores)
    assert 0.5 < known.mean() <= 1.0
    assert_allclose(scores[known], np.concatenate(truth)[known], rtol=1e-7, atol=1e-9)


def test_standard_errors_of_regression_scores_are_conditional_standard_deviations() -> None:
    results = fitted("cfa")
    data = BY_NAME["cfa"].data().iloc[:30]
    loadings, theta, psi = measurement(results)
    frame = results.predict(newdata=data, append_se=True)
    for i in range(30):
        seen = data.iloc[i].notna().to_numpy()
        cross = psi @ loadings[seen].T
        sigma = loadings[seen] @ psi @ loadings[seen].T + theta[np.ix_(seen, seen)]
        variance = np.diag(psi - cross @ np.linalg.solve(sigma, cross.T))
        assert_allclose(frame.iloc[i][["f_se", "g_se"]].astype(float), np.sqrt(variance), rtol=1e-8)


def test_the_more_is_missing_the_less_is_known() -> None:
    rows = BY_NAME["cfa"].data().dropna().iloc[[0] * 3].reset_index(drop=True)
    rows.loc[1, "x3"] = np.nan
    rows.loc[2, ["x2", "x3"]] = np.nan
    for method in METHODS:
        se = fitted("cfa").predict("lv", method, rows, append_se=True)["f_se"]  # type: ignore[arg-type]
        assert se.is_monotonic_increasing
        assert se.iloc[2] > 1.05 * se.iloc[0]


def test_bartlett_scores_are_unbiased_and_regression_scores_shrunken() -> None:
    entry = BY_NAME["cfa"]
    results = fitted("cfa")
    at = results.fit.problem.maps[0].matrices(results.fit.theta)
    rng = np.random.default_rng(2)
    drawn = at.mean + rng.standard_normal((20000, 8)) @ np.linalg.cholesky(at.cov).T
    rows = pd.DataFrame(drawn[:, :6], columns=list(entry.columns))
    slopes = {
        method: np.polyfit(drawn[:, 6], results.predict("lv", method, rows)["f"], 1)[0]  # type: ignore[arg-type]
        for method in METHODS
    }
    # Standard error of such a slope: about .4 / (sd of f, about 1) / sqrt(20000) = .003.
    assert slopes["bartlett"] == pytest.approx(1.0, abs=0.015)
    assert slopes["regression"] < 0.9


def test_latent_variables_that_a_row_does_not_determine_have_no_bartlett_score() -> None:
    rows = BY_NAME["cfa"].data().dropna().iloc[:3].copy()
    rows.loc[rows.index[1], ["x1", "x2", "x3"]] = np.nan
    rows.loc[rows.index[2]] = np.nan
    frame = fitted("cfa").predict(method="bartlett", newdata=rows, append_se=True)
    assert frame.notna().to_numpy().tolist() == [[True] * 4, [False, True, False, True], [False] * 4]
    # two factors, one value that depends on both: neither is determined
    crossed = BY_NAME["cross_loadings"].data().iloc[[0]].copy()
    crossed.loc[:, crossed.columns != "x4"] = np.nan
    assert fitted("cross_loadings").predict(method="bartlett", newdata=crossed).isna().all().all()
    # a factor of factors has no indicators of its own
    second = fitted("second_order").predict(method="bartlett")
    assert second["g"].isna().all()
    assert second[["a", "b", "c"]].notna().mean().min() > 0.9


def test_a_score_that_is_certain_has_no_standard_error() -> None:
    for method in METHODS:
        frame = fitted("single_indicator").predict(method=method, append_se=True)  # type: ignore[arg-type]
        seen = BY_NAME["single_indicator"].data()["x1"].notna()
        assert frame.loc[seen, "a_se"].isna().all()
        assert_allclose(
            frame.loc[seen, "a"].diff().dropna(), BY_NAME["single_indicator"].data().loc[seen, "x1"].diff().dropna()
        )


@pytest.mark.parametrize("method", METHODS)
def test_units_of_columns_do_not_matter(method: str) -> None:
    entry = BY_NAME["cfa"]
    data = entry.data()
    scaled = entry.fit(data * [1.0, 1e5, 1.0, 1.0, 1e-5, 1.0])
    a = scaled.predict(method=method, append_se=True)  # type: ignore[arg-type]
    b = fitted("cfa").predict(method=method, append_se=True)  # type: ignore[arg-type]
    assert (a.isna() == b.isna()).all().all()
    assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_the_same_without_a_mean_structure(method: str) -> None:
    # The mean of a latent variable is then what the means of its observed causes make of it, as in lavaan.
    entry = BY_NAME["mimic"]
    data = entry.data().dropna() + 2.0
    without = entry.fit(data, missing="listwise")
    assert without.implied()[0].mean is None
    with_means = entry.fit(data, missing="listwise", meanstructure=True)
    for kind in ("lv", "ov"):
        assert_allclose(
            without.predict(kind, method), with_means.predict(kind, method), rtol=1e-4, atol=1e-4  # type: ignore[arg-type]
        )  # fmt: skip


# ---- expected observed variables ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_expected_indicators_are_loadings_times_scores(method: str) -> None:
    results = fitted("cfa")
    loadings, _, _ = measurement(results)
    scores = results.predict(method=method)  # type: ignore[arg-type]
    expected = results.implied()[0].mean.to_numpy() + scores.to_numpy() @ loadings.T
    # f has no loading on x4: what f lacks leaves x4 alone
    expected = np.where(np.isnan(scores.to_numpy()) @ (loadings != 0).T > 0, np.nan, expected)
    f_alone = results.implied()[0].mean.to_numpy() + np.nan_to_num(scores.to_numpy()) @ loadings.T
    expected = np.where(np.isnan(expected), expected, f_alone)
    frame = results.predict("ov", method)  # type: ignore[arg-type]
    assert list(frame.columns) == list(BY_NAME["cfa"].columns)
    assert_allclose(frame, expected, rtol=1e-10)


def test_observed_outcomes_are_expected_by_their_predictors() -> None:
    results = fitted("path_fixed_x")
    data = BY_NAME["path_fixed_x"].data()
    est = results.params
    frame = results.predict("ov")
    m = est["m~1"] + est["m~x1"] * data["x1"] + est["m~x2"] * data["x2"]
    empty = data[["m", "y"]].isna().all(axis=1) & data[["x1", "x2"]].isna().all(axis=1)
    assert not empty.any()
    assert_allclose(frame["m"], m, rtol=1e-10)
    assert_allclose(frame["y"], est["y~1"] + est["y~m"] * m + est["y~x1"] * data["x1"], rtol=1e-10)
    assert_allclose(frame[["x1", "x2"]], data[["x1", "x2"]])


def test_what_depends_on_a_missing_predictor_is_not_known() -> None:
    results = fitted("path_free_x")
    data = BY_NAME["path_free_x"].data()
    frame = results.predict("ov")
    missing = data["x2"].isna()
    assert missing.any()
    assert frame.loc[missing, ["m", "y", "x2"]].isna().all().all()
    assert frame.loc[data[["x1", "x2"]].notna().all(axis=1)].notna().all().all()


# ---- rows ---------------------------------------------------------------------------------------------------


def test_new_rows_without_a_fixed_exogenous_value_are_dropped_and_counted() -> None:
    rows = BY_NAME["mimic"].data().iloc[:5].copy()
    rows.loc[rows.index[2], "x2"] = np.nan
    for kind in ("lv", "ov"):
        with pytest.warns(DroppedRowsWarning, match="1 of 5 rows have no score"):
            scores = fitted("mimic").predict(kind, newdata=rows)  # type: ignore[arg-type]
        assert scores.index.tolist() == [0, 1, 3, 4]
        assert_allclose(scores, fitted("mimic").predict(kind).iloc[[0, 1, 3, 4]])  # type: ignore[arg-type]


def test_missing_exogenous_values_are_kept_where_the_fit_kept_them() -> None:
    entry = BY_NAME["mimic"]
    data = entry.data()
    data.loc[3, "x1"] = np.nan
    for further in ({"missing": "fiml.x"}, {"fixed_x": False}):
        results = entry.fit(data, **further)
        assert results.predict().index.equals(data.index)
        assert results.predict(newdata=data.iloc[[3]]).notna().all().all()


def test_products_of_columns_are_made_for_new_rows() -> None:
    rng = np.random.default_rng(8)
    x, z = rng.standard_normal((2, 300))
    f = 0.5 * x + 0.4 * x * z + rng.standard_normal(300)
    frame = pd.DataFrame(f[:, None] + 0.5 * rng.standard_normal((300, 3)), columns=["y1", "y2", "y3"])
    frame = frame.assign(x=x, z=z)
    results = fosa_sem.sem("f =~ y1 + y2 + y3\nf ~ x + z + x:z", frame)
    rows = frame.iloc[:4].assign(y1=np.nan)
    (scores,) = (results.predict(newdata=rows),)
    assert scores.shape == (4, 1)
    assert_allclose(results.predict(newdata=frame.iloc[:4]), results.predict().iloc[:4])


def test_repeated_index_labels_are_kept() -> None:
    data = BY_NAME["cfa"].data().iloc[[0, 1, 2]].set_axis(["a", "a", "b"])
    assert fitted("cfa").predict(newdata=data).index.tolist() == ["a", "a", "b"]
    assert fitted("cfa").augment(data).index.tolist() == ["a", "a", "b"]


def test_groups_are_named_beside_all_kinds_of_scores() -> None:
    data = BY_NAME["two_groups"].data()
    for kind in ("lv", "ov"):
        frame = fitted("two_groups").predict(kind, "bartlett")  # type: ignore[arg-type]
        assert frame.columns[0] == "group"
        assert frame["group"].tolist() == data["school"].tolist()


# ---- augment ------------------------------------------------------------------------------------------------


def test_augment_puts_scores_expected_values_and_residuals_beside_the_data() -> None:
    entry = BY_NAME["mimic"]
    data = entry.data().assign(other="word")
    before = data.copy()
    data.loc[3, "x1"] = np.nan
    before.loc[3, "x1"] = np.nan
    with pytest.warns(DroppedRowsWarning):
        results = entry.fit(data)
    frame = results.augment()
    ys = ["y1", "y2", "y3", "y4"]
    assert list(frame.columns) == [*data.columns, "f", *(f"_fitted_{y}" for y in ys), *(f"_resid_{y}" for y in ys)]
    pd.testing.assert_frame_equal(frame[list(data.columns)], before)
    pd.testing.assert_frame_equal(data, before)
    assert frame.loc[3, "f":].isna().all()
    used = frame.drop(index=3)
    assert_allclose(used["f"], results.predict()["f"])
    assert_allclose(used[[f"_fitted_{y}" for y in ys]], results.predict("ov")[ys])
    assert_allclose(used["_resid_y1"], used["y1"] - used["_fitted_y1"])
    assert (used["_resid_y1"].isna() == used["y1"].isna()).all()


def test_augment_takes_new_rows_and_either_method() -> None:
    rows = BY_NAME["cfa"].data().iloc[:4]
    frame = fitted("cfa").augment(rows, method="bartlett")
    assert_allclose(frame[["f", "g"]], fitted("cfa").predict(method="bartlett", newdata=rows))


def test_augment_needs_no_latent_variables() -> None:
    frame = fitted("path_fixed_x").augment()
    assert list(frame.columns[-4:]) == ["_fitted_m", "_fitted_y", "_resid_m", "_resid_y"]


def test_augment_does_not_overwrite_columns() -> None:
    rows = BY_NAME["cfa"].data().assign(_fitted_x1=0.0)
    with pytest.raises(DataError, match="column '_fitted_x1' already"):
        fitted("cfa").augment(rows)


# ---- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"type": "yhat"}, OptionError, "type must be 'lv' or 'ov', got 'yhat'"),
        ({"type": None}, OptionError, "type must be"),
        ({"method": "EBM"}, OptionError, "method must be one of regression, bartlett; got 'EBM'"),
        ({"method": None}, OptionError, "method"),
        ({"type": "ov", "method": "ml"}, OptionError, "method"),
        ({"type": "ov", "append_se": True}, OptionError, "append_se needs type='lv'"),
        ({"newdata": [1]}, DataError, "DataFrame"),
        ({"newdata": pd.DataFrame({"x1": [1.0]})}, ModelSpecificationError, "is not a column"),
        ({"type": "ov", "newdata": pd.DataFrame({"x1": [1.0]})}, ModelSpecificationError, "is not a column"),
    ],
)
def test_predict_refuses_what_it_cannot_give(arguments: dict[str, object], kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        fitted("cfa").predict(**arguments)  # type: ignore[arg-type]


def test_text_and_infinite_values_in_new_rows_are_refused() -> None:
    rows = BY_NAME["cfa"].data().iloc[:3]
    with pytest.raises(DataError):
        fitted("cfa").predict(newdata=rows.assign(x1="word"))
    with pytest.raises(DataError):
        fitted("cfa").augment(rows.assign(x1=np.inf))
    with pytest.raises(OptionError, match="no latent variables"):
        fitted("path_free_x").predict(method="bartlett")


def test_new_rows_of_a_group_that_was_not_fitted_are_refused() -> None:
    rows = BY_NAME["two_groups"].data().iloc[:3]
    with pytest.raises(DataError, match="'east' was not in the data"):
        fitted("two_groups").predict(newdata=rows.assign(school="east"))
    with pytest.raises(DataError, match="no value of the group variable"):
        fitted("two_groups").predict(newdata=rows.assign(school=None))


def test_a_table_without_rows_is_refused() -> None:
    nothing = BY_NAME["cfa"].data().iloc[:0]
    with pytest.raises(DataError, match="no rows"):
        fitted("cfa").predict(newdata=nothing)
    with pytest.raises(DataError, match="no rows"):
        fitted("cfa").augment(nothing)
