"""Filled cells are conditional normal means; observed cells are untouched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from zoo import BY_NAME, NAMES, fitted

from fosa_sem import Completion, GaussianRule, cfa, sem
from fosa_sem.errors import DataError, DroppedRowsWarning, ModelSpecificationError, OptionError
from fosa_sem.imputation.completion import Origin, iterate_patterns


def _rule(p: int = 4, seed: int = 1) -> GaussianRule:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((p, p))
    return GaussianRule(
        variables=tuple(f"x{i}" for i in range(p)),
        means=(rng.standard_normal(p),),
        covs=(root @ root.T + np.eye(p),),
    )


def test_rule_is_the_textbook_formula_for_every_pattern() -> None:
    rule = _rule()
    mean, cov = rule.means[0], rule.covs[0]
    row = np.array([1.0, -2.0, 0.5, 3.0])
    for code in range(16):
        seen = np.array([bool(code & (1 << j)) for j in range(4)])
        filled, sd = rule.conditional(row[None, :], seen[None, :])
        o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
        weights = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
        assert_allclose(filled[0, m], mean[m] + weights @ (row[o] - mean[o]), rtol=1e-10)
        residual = cov[np.ix_(m, m)] - weights @ cov[np.ix_(o, m)]
        assert_allclose(sd[0, m], np.sqrt(np.diag(residual)), rtol=1e-10)
        assert_array_equal(filled[0, o], row[o])
        assert (sd[0, o] == 0).all()


def test_what_stands_at_missing_cells_is_never_read() -> None:
    rule = _rule()
    row, seen = np.array([[1.0, np.nan, 2.0, np.inf]]), np.array([[True, False, True, False]])
    other = np.array([[1.0, 7.0, 2.0, -1e300]])
    assert_array_equal(rule.conditional(row, seen)[0], rule.conditional(other, seen)[0])


def test_a_singular_covariance_fills_dependent_columns_exactly() -> None:
    rng = np.random.default_rng(2)
    base = rng.standard_normal((2, 5))
    B = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    rule = GaussianRule(variables=("a", "b", "c"), means=(np.zeros(3),), covs=(B @ B.T,))
    rows = (B @ base).T
    filled, sd = rule.conditional(np.where([True, True, False], rows, np.nan), np.tile([True, True, False], (5, 1)))
    assert_allclose(filled, rows, atol=1e-12)
    assert_allclose(sd[:, 2], 0, atol=1e-7)


def test_conditional_mean_is_least_squares_regression_on_complete_data() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.standard_normal((300, 3)) @ rng.standard_normal((3, 3)) + 5, columns=["a", "b", "c"])
    results = sem("a ~~ b + c\nb ~~ c", frame)
    new = pd.DataFrame({"a": [np.nan, np.nan], "b": [4.0, 6.5], "c": [5.0, np.nan]})
    filled = results.impute(new).to_frame()
    for row, given in ((0, ["b", "c"]), (1, ["b"])):
        design = np.column_stack([np.ones(300), frame[given]])
        beta = np.linalg.lstsq(design, frame["a"], rcond=None)[0]
        assert_allclose(filled.loc[row, "a"], beta @ [1.0, *new.loc[row, given]], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_observed_cells_come_back_bit_for_bit(name: str) -> None:
    results, data = fitted(name), BY_NAME[name].data()
    before = data.copy(deep=True)
    completion = results.impute(data)
    frame = completion.to_frame()
    variables = list(results.fit.table.names.observed)
    seen = data[variables].notna().to_numpy()
    assert_array_equal(frame[variables].to_numpy()[seen], data[variables].to_numpy()[seen])
    assert frame[variables].notna().all().all()
    assert frame.index.equals(data.index)
    assert list(frame.columns) == list(data.columns)
    assert (completion.sd[seen] == 0).all()
    assert (completion.sd[~seen] > 0).all()
    assert ((completion.origin == Origin.OBSERVED) == seen).all()
    assert ((completion.origin == Origin.SEM) == ~seen).all()
    pd.testing.assert_frame_equal(data, before)


def test_groups_are_filled_by_their_own_moments() -> None:
    results, data = fitted("two_groups"), BY_NAME["two_groups"].data()
    frame = results.impute().to_frame()
    for moments in results.implied():
        rows = (data["school"] == moments.group) & data["x1"].isna() & data[["x2", "x3", "x4"]].notna().all(axis=1)
        given = ["x2", "x3", "x4"]
        weights = np.linalg.solve(moments.cov.loc[given, given], moments.cov.loc[given, "x1"])
        expected = moments.mean["x1"] + (data.loc[rows, given] - moments.mean[given]) @ weights
        assert rows.any()
        assert_allclose(frame.loc[rows, "x1"], expected, rtol=1e-9)


def test_a_row_with_nothing_observed_gets_the_means() -> None:
    results = fitted("cfa")
    new = pd.DataFrame(np.full((1, 6), np.nan), columns=[f"x{i}" for i in range(1, 7)], index=["only"])
    completion = results.impute(new)
    assert_allclose(completion.to_frame().loc["only"], results.implied()[0].mean)
    assert_allclose(completion.sd[0], np.sqrt(np.diag(results.implied()[0].cov)))


def test_rows_dropped_in_the_fit_are_filled_too() -> None:
    data = BY_NAME["cfa"].data()
    data.loc[5] = np.nan
    with pytest.warns(DroppedRowsWarning):
        results = cfa(BY_NAME["cfa"].model, data)
    frame = results.impute().to_frame()
    assert len(frame) == len(data)
    assert_allclose(frame.loc[5], results.implied()[0].mean)


def test_other_columns_pass_through_untouched() -> None:
    data = BY_NAME["cfa"].data()
    data.insert(2, "note", pd.Categorical(["a", None] * 125))
    data["when"] = pd.Timestamp("2020-01-01")
    frame = fitted("cfa").impute(data).to_frame()
    pd.testing.assert_series_equal(frame["note"], data["note"])
    pd.testing.assert_series_equal(frame["when"], data["when"])
    assert list(frame.columns) == list(data.columns)


def test_a_column_without_holes_keeps_its_type() -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.integers(0, 10, (100, 3)), columns=["a", "b", "c"])
    frame["c"] = frame["c"].where(rng.random(100) > 0.2)
    out = sem("a ~~ b + c\nb ~~ c", frame).impute().to_frame()
    assert out["a"].dtype == frame["a"].dtype
    assert out["c"].notna().all()


def test_missing_fixed_exogenous_values_cannot_be_filled() -> None:
    new = BY_NAME["path_fixed_x"].data().head(3)
    new.iloc[0, new.columns.get_loc("x1")] = np.nan
    with pytest.raises(OptionError, match=r"'x1' has 1 missing.*refit with fixed_x=False"):
        fitted("path_fixed_x").impute(new)


def test_new_data_are_checked() -> None:
    results = fitted("cfa")
    data = BY_NAME["cfa"].data()
    with pytest.raises(ModelSpecificationError, match="'x6' is not a column"):
        results.impute(data.drop(columns="x6"))
    with pytest.raises(DataError, match="infinite"):
        results.impute(data.assign(x1=np.inf))
    with pytest.raises(DataError, match="DataFrame"):
        results.impute([1, 2])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no rows"):
        results.impute(data.head(0))


def test_group_values_of_new_data_are_checked() -> None:
    data = BY_NAME["two_groups"].data()
    with pytest.raises(DataError, match="'west' was not in the data"):
        fitted("two_groups").impute(data.assign(school="west"))
    with pytest.raises(DataError, match="3 row\\(s\\) have no value of the group"):
        fitted("two_groups").impute(data.assign(school=data["school"].where(data.index > 2)))


def test_refined_replaces_missing_cells_only_and_marks_them() -> None:
    completion = fitted("cfa").impute()
    refined = completion.refined(completion.values + 1.0)
    assert isinstance(refined, Completion)
    assert_array_equal(refined.values[refined.observed], completion.values[completion.observed])
    assert_allclose(refined.values[~refined.observed], completion.values[~completion.observed] + 1.0)
    assert (refined.origin[~refined.observed] == Origin.REFINED).all()
    assert (completion.refined(completion.values).origin == completion.origin).all()


def test_patterns_cover_every_row_once_and_know_groups() -> None:
    rng = np.random.default_rng(9)
    seen, group = rng.random((50, 3)) < 0.6, rng.integers(0, 2, 50)
    blocks = iterate_patterns(seen, group)
    assert sorted(np.concatenate([rows for rows, _, _ in blocks])) == list(range(50))
    for rows, pattern, g in blocks:
        assert (seen[rows] == pattern).all()
        assert (group[rows] == g).all()
    assert iterate_patterns(np.zeros((0, 3), dtype=bool)) == []


# ---- factor scores ------------------------------------------------------------------------


def test_scores_of_complete_rows_are_the_regression_method() -> None:
    results = fitted("cfa")
    est = results.parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
    lam = np.array(
        [[est["f", "=~", f"x{i}"], 0.0] for i in (1, 2, 3)] + [[0.0, est["g", "=~", f"x{i}"]] for i in (4, 5, 6)]
    )
    psi = np.array([[est["f", "~~", "f"], est["f", "~~", "g"]], [est["f", "~~", "g"], est["g", "~~", "g"]]])
    moments = results.implied()[0]
    data = BY_NAME["cfa"].data().dropna()
    expected = (data - moments.mean).to_numpy() @ np.linalg.inv(moments.cov) @ lam @ psi
    scores = results.predict(newdata=data)
    assert list(scores.columns) == ["f", "g"]
    assert scores.index.equals(data.index)
    assert_allclose(scores, expected, rtol=1e-8, atol=1e-10)


def test_scores_exist_for_every_row_with_a_value() -> None:
    scores = fitted("second_order").predict()
    assert scores.notna().all().all()
    assert list(scores.columns) == ["a", "b", "c", "g"]


def test_scoring_one_row_or_an_empty_one() -> None:
    data = BY_NAME["cfa"].data()
    one = fitted("cfa").predict(newdata=data.iloc[[3]])
    assert_allclose(one, fitted("cfa").predict().loc[[3]])
    nothing = data.iloc[[3, 4]].copy()
    nothing.iloc[1] = np.nan
    scores = fitted("cfa").predict(newdata=nothing)
    assert scores.iloc[0].notna().all()
    assert scores.iloc[1].isna().all()


def test_scores_know_their_group() -> None:
    data = BY_NAME["two_groups"].data()
    scores = fitted("two_groups").predict()
    assert list(scores["group"]) == list(data["school"])


def test_empty_rows_have_no_score_and_keep_their_place() -> None:
    # lavPredict() has a row of NA there too
    data = BY_NAME["cfa"].data()
    data.index = pd.Index([f"row {i}" for i in range(len(data))])
    data.iloc[5] = np.nan
    with pytest.warns(DroppedRowsWarning):
        results = cfa(BY_NAME["cfa"].model, data)
    scores = results.predict()
    assert scores.index.equals(data.index)
    assert scores.isna().any(axis=1).to_numpy().nonzero()[0].tolist() == [5]


def test_scores_skip_the_rows_that_the_fit_dropped_for_x() -> None:
    entry = BY_NAME["mimic"]
    data = entry.data()
    x = entry.complete[0]
    data.loc[data.index[3], x] = np.nan
    with pytest.warns(DroppedRowsWarning):
        results = entry.fit(data)
    assert results.predict().index.equals(data.index.delete(3))


def test_no_latent_variables_no_scores() -> None:
    with pytest.raises(OptionError, match="no latent variables"):
        fitted("path_free_x").predict()
