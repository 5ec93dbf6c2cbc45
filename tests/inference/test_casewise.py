"""Log-likelihoods and scores of single rows: what they sum to, and that they are what they are called."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from zoo import BY_NAME, NAMES, central_jacobian, fitted

import fosa_sem
from fosa_sem.errors import DroppedRowsWarning, OptionError
from fosa_sem.inference.casewise import loglik_of_rows


@pytest.mark.parametrize("name", NAMES)
def test_log_likelihoods_of_rows_sum_to_that_of_the_fit(name: str) -> None:
    results = fitted(name)
    rows = results.casewise_loglik()
    assert rows.index.equals(BY_NAME[name].data().index)
    assert rows.sum() == pytest.approx(results.loglik, rel=1e-12)


def test_they_sum_with_missing_exogenous_values_kept_or_modelled() -> None:
    entry = BY_NAME["mimic"]
    data = entry.data()
    data.loc[::7, "x1"] = np.nan
    data.loc[::21, "x2"] = np.nan
    for further in ({"missing": "fiml.x"}, {"fixed_x": False}):
        results = entry.fit(data, **further)
        assert results.casewise_loglik().sum() == pytest.approx(results.loglik, rel=1e-12)


def test_a_row_is_a_normal_density() -> None:
    results = fitted("cfa")
    data = BY_NAME["cfa"].data()
    (moments,) = results.implied()
    rows = results.casewise_loglik()
    for i in range(20):
        seen = data.iloc[i].notna().to_numpy()
        density = stats.multivariate_normal(moments.mean[seen], moments.cov.loc[seen, seen])
        assert rows.iloc[i] == pytest.approx(density.logpdf(data.iloc[i][seen]), rel=1e-10)


def test_a_row_with_exogenous_values_alone_adds_nothing() -> None:
    entry = BY_NAME["mimic"]
    data = entry.data()
    data.loc[3, ["y1", "y2", "y3", "y4"]] = np.nan
    assert entry.fit(data).casewise_loglik()[3] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["cfa", "mimic", "two_groups", "sem_labels", "path_fixed_x"])
def test_scores_are_the_slopes_of_the_log_likelihood(name: str) -> None:
    fit = fitted(name).fit

    def rows(theta: np.ndarray) -> np.ndarray:
        parts = [
            loglik_of_rows(g.values, *ram.moments(theta))
            for g, ram in zip(fit.sample.groups, fit.problem.maps, strict=True)
        ]
        return np.concatenate(parts)[np.argsort(np.concatenate([g.rows for g in fit.sample.groups]))]

    expected = central_jacobian(rows, fit.theta).T
    scores = fitted(name).scores(ignore_constraints=True, remove_duplicated=False)
    assert list(scores.columns) == list(fitted(name).coef().index)
    # Five-point differences of logarithms of the order 10 with steps of 1e-5.
    assert_allclose(scores, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_scores_sum_to_the_gradient(name: str) -> None:
    fit = fitted(name).fit
    scores = fitted(name).scores(ignore_constraints=True, remove_duplicated=False)
    gradient = fit.problem.value_and_gradient(fit.theta)[1]
    assert_allclose(scores.sum(), gradient, rtol=1e-6, atol=1e-9 * np.abs(scores.to_numpy()).sum(axis=0).max())


@pytest.mark.parametrize("name", ["two_groups", "sem_labels", "lavaan_function"])
def test_parameters_that_are_the_same_have_one_score(name: str) -> None:
    results = fitted(name)
    scores = results.scores()
    names = results.coef().index
    assert list(scores.columns) == list(dict.fromkeys(names))
    raw = results.scores(ignore_constraints=True, remove_duplicated=False)
    summed = raw.T.groupby(level=0, sort=False).sum().T
    assert_allclose(scores, summed, rtol=1e-8, atol=1e-8)
    # At the maximum along the constraints, in units of the scores' spread.
    assert np.abs(scores.sum() / np.sqrt((scores**2).sum())).max() < 1e-2


def test_other_constraints_leave_all_columns_and_are_projected_out() -> None:
    data = BY_NAME["cfa"].data()
    model = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + d*x6\na + b == c + d"
    results = fosa_sem.cfa(model, data)
    scores = results.scores()
    raw = results.scores(ignore_constraints=True)
    assert scores.shape == raw.shape == (results.nobs, len(results.coef()))
    gradient, free = raw.sum(), scores.sum()
    assert np.abs(gradient[["a", "b", "c", "d"]]).min() > 0.1
    assert np.abs(free).max() < 0.01 * np.abs(gradient).max()


def test_rows_that_were_dropped_have_no_scores_and_the_index_is_kept() -> None:
    data = BY_NAME["cfa"].data().set_axis([f"row {i}" for i in range(250)])
    data.iloc[5] = np.nan
    with pytest.warns(DroppedRowsWarning):
        results = fosa_sem.cfa(BY_NAME["cfa"].model, data)
    assert results.scores().index.equals(data.index.delete(5))
    assert results.casewise_loglik().index.equals(data.index.delete(5))


def test_rows_of_groups_stand_in_the_order_of_the_data() -> None:
    data = BY_NAME["two_groups"].data()
    results = fitted("two_groups")
    scores = results.scores(ignore_constraints=True, remove_duplicated=False)
    assert scores.index.equals(data.index)
    own = scores.columns.str.endswith(".g2")
    assert (scores.loc[data["school"] == "south", own] == 0.0).all().all()
    assert (scores.loc[data["school"] == "north", own] != 0.0).any().all()


def test_likelihoods_that_are_not_of_rows_are_refused() -> None:
    entry = BY_NAME["cfa"]
    two_stage = entry.fit(entry.data(), missing="two.stage")
    with pytest.raises(OptionError, match="no scores of single rows: two-stage"):
        two_stage.scores()
    with pytest.raises(OptionError, match="two-stage"):
        two_stage.casewise_loglik()
    wishart = entry.fit(entry.data().dropna(), missing="listwise", likelihood="wishart")
    with pytest.raises(OptionError, match="wishart"):
        wishart.casewise_loglik()
    assert_allclose(wishart.scores().sum(), 0.0, atol=1e-2)


def test_density_of_rows_with_nothing_observed_is_one() -> None:
    values = np.array([[np.nan, np.nan], [1.0, np.nan]])
    found = loglik_of_rows(values, np.zeros(2), np.eye(2))
    assert_allclose(found, [0.0, stats.norm.logpdf(1.0)])
