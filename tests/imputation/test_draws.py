"""Draws of parameters and of missing cells: their distributions, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from fosa_sem import SemResults, impute, sem
from fosa_sem.errors import ConvergenceError, DataError, OptionError
from fosa_sem.imputation.completion import GaussianRule
from fosa_sem.imputation.conditional import observed_rule
from fosa_sem.imputation.missing_cells import Bounds, GroupMoments, draw_batch, missing_batches
from fosa_sem.imputation.parameter_draws import draw_parameters
from fosa_sem.imputation.predictions import Donors, leave_one_out, thresholds
from fosa_sem.imputation.truncated import truncated_normal, truncated_residuals

MEAN = np.array([1.0, -2.0, 30.0, 0.0])
COV = np.array([[1.0, 0.5, 3.0, 0.2], [0.5, 2.0, -4.0, 0.3], [3.0, -4.0, 40.0, 1.0], [0.2, 0.3, 1.0, 0.7]])
MODEL = "f =~ x1 + x2 + x3 + x4"


@pytest.fixture
def results(one_factor: pd.DataFrame) -> SemResults:
    return sem(MODEL, one_factor)


# ---- cells -------------------------------------------------------------------------------------------------


def drawn_rows(values: np.ndarray, n: int, **options: object) -> np.ndarray:
    """The same incomplete row drawn n times."""
    table = np.tile(values, (n, 1))
    observed = ~np.isnan(table)
    moments = GroupMoments.from_moments(MEAN, COV)
    normals = np.random.default_rng(3).standard_normal
    for batch in missing_batches(observed, np.zeros(n, dtype=np.intp)):
        cells = draw_batch(batch, table, observed, moments, normals, **options)  # type: ignore[arg-type]
        table[batch.rows[:, None], batch.columns] = cells.centre + cells.residual
    return table


@pytest.mark.parametrize("row", [[1.5, np.nan, np.nan, 0.4], [np.nan] * 4, [np.nan, 1.0, 25.0, np.nan]])
def test_draws_have_the_conditional_moments(row: list[float]) -> None:
    n = 40_000
    values = np.array(row)
    drawn = drawn_rows(values, n)
    rule = GaussianRule(variables=("a", "b", "c", "d"), means=(MEAN,), covs=(COV,))
    expected = rule.pattern(values[None, :], ~np.isnan(values))
    missing = expected.missing
    sd = np.sqrt(np.diag(expected.cov))
    # five standard errors of a mean and of a covariance of normal draws
    assert np.all(np.abs(drawn[:, missing].mean(axis=0) - expected.mean[0]) < 5 * sd / np.sqrt(n))
    error = np.abs(np.cov(drawn[:, missing], rowvar=False) - expected.cov)
    assert np.all(error < 5 * np.sqrt(2 / n) * np.outer(sd, sd))
    assert np.all(drawn[:, ~np.isnan(values)] == values[~np.isnan(values)])


def test_shift_and_spread_change_centre_and_sd_of_the_draws() -> None:
    row = np.array([1.5, np.nan, np.nan, 0.4])
    plain = drawn_rows(row, 500)
    moved = drawn_rows(row, 500, shift=np.full((500, 4), 2.0), spread=np.array([1.0, 3.0, 0.5, 1.0]))
    centre = drawn_rows(row, 500, spread=np.zeros(4))
    assert_allclose(moved - centre - [0, 2, 2, 0], (plain - centre) * [1.0, 3.0, 0.5, 1.0], atol=1e-9)


def test_missing_batches_hold_every_missing_cell_once(rng: np.random.Generator) -> None:
    observed = rng.random((300, 5)) < 0.6
    group = rng.integers(0, 2, 300).astype(np.intp)
    seen = np.zeros((300, 5), dtype=int)
    for batch in missing_batches(observed, group):
        assert np.all(group[batch.rows] == batch.group)
        seen[batch.rows[:, None], batch.columns] += 1
    assert np.array_equal(seen, (~observed).astype(int))


def test_bounded_cells_have_the_truncated_distribution() -> None:
    row = np.array([1.5, np.nan, np.nan, 0.4])
    infinite = np.full(4, np.inf)
    low, high = -infinite.copy(), infinite.copy()
    low[1], high[1] = -1.0, -0.5  # about 1.3 SD out, so that most draws are repeated
    drawn = drawn_rows(row, 8000, bounds=Bounds(lower=low, upper=high))
    rule = GaussianRule(variables=("a", "b", "c", "d"), means=(MEAN,), covs=(COV,))
    expected = rule.pattern(row[None, :], ~np.isnan(row))
    m, s = expected.mean[0], np.sqrt(np.diag(expected.cov))
    exact = stats.truncnorm((low[1] - m[0]) / s[0], (high[1] - m[0]) / s[0], m[0], s[0])
    assert stats.kstest(drawn[:, 1], exact.cdf).pvalue > 0.001
    # the other cell of the row follows its regression on the bounded one
    slope = expected.cov[1, 0] / expected.cov[0, 0]
    residual = drawn[:, 2] - m[1] - slope * (drawn[:, 1] - m[0])
    left = np.sqrt(expected.cov[1, 1] - slope * expected.cov[1, 0])
    assert stats.kstest(residual / left, "norm").pvalue > 0.001


def test_truncated_residuals_match_rejection_sampling(rng: np.random.Generator) -> None:
    cov = np.array([[1.0, 0.7], [0.7, 1.0]])
    low, high = np.array([0.2, -np.inf]), np.array([np.inf, 0.3])
    proposals = rng.multivariate_normal(np.zeros(2), cov, 200_000)
    kept = proposals[((proposals >= low) & (proposals <= high)).all(axis=1)]
    n = 5000
    precision = np.tile(np.linalg.inv(cov), (n, 1, 1))
    drawn = truncated_residuals(precision, np.tile(low, (n, 1)), np.tile(high, (n, 1)), rng.standard_normal)
    for j in range(2):
        assert stats.ks_2samp(drawn[:, j], kept[:, j]).pvalue > 0.001
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(np.corrcoef(kept.T)[0, 1], abs=0.06)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (3.0, np.inf), (-np.inf, -4.0), (30.0, 31.0), (-40.0, -39.0)])
def test_truncated_normals_stay_inside_and_have_the_right_mean(low: float, high: float) -> None:
    uniform = (np.arange(20_000) + 0.5) / 20_000
    drawn = truncated_normal(np.full(20_000, low), np.full(20_000, high), uniform)
    assert np.all((drawn >= low) & (drawn <= high))
    assert len(np.unique(drawn)) > 19_000
    if min(abs(low), abs(high)) < 10:
        assert drawn.mean() == pytest.approx(stats.truncnorm(low, high).mean(), abs=1e-3)
    else:  # far out the density falls like exp(-|limit| x)
        edge = low if low > 0 else high
        assert abs(drawn.mean() - edge) == pytest.approx(1 / abs(edge), rel=0.01)


# ---- predictions -------------------------------------------------------------------------------------------


def test_cells_are_predicted_from_the_others_of_their_row(rng: np.random.Generator) -> None:
    values = rng.multivariate_normal(MEAN, COV, 30)
    values[rng.random((30, 4)) < 0.3] = np.nan
    mean, sd = leave_one_out(values, [0, 2], GroupMoments.from_moments(MEAN, COV))
    rule = GaussianRule(variables=("a", "b", "c", "d"), means=(MEAN,), covs=(COV,))
    for c, j in enumerate([0, 2]):
        for i in range(30):
            if np.isnan(values[i, j]):
                assert np.isnan(mean[i, c])
                continue
            hidden = ~np.isnan(values[[i]])
            hidden[0, j] = False
            expected_mean, expected_sd = rule.conditional(values[[i]], hidden)
            assert mean[i, c] == pytest.approx(expected_mean[0, j], rel=1e-9)
            assert sd[i, c] == pytest.approx(expected_sd[0, j], rel=1e-9)


def test_thresholds_reproduce_the_shares(rng: np.random.Generator) -> None:
    mean, sd = rng.normal(2.0, 1.0, 500), rng.uniform(0.5, 1.0, 500)
    column = np.digitize(mean + sd * rng.standard_normal(500), [1.0, 2.5]).astype(float)
    cuts = thresholds(column, mean, sd, np.array([0.0, 1.0, 2.0]))
    for category, cut in zip((1.0, 2.0), cuts, strict=True):
        assert stats.norm.cdf((cut - mean) / sd).mean() == pytest.approx((column < category).mean(), abs=1e-9)
    assert_allclose(cuts, [1.0, 2.5], atol=0.25)  # the cuts that made the data, to about three standard errors


def test_donors_are_the_nearest_and_equally_likely(rng: np.random.Generator) -> None:
    predicted = np.array([0.0, 1.0, 1.1, 1.2, 5.0, 6.0])
    donors = Donors(predicted=predicted, values=predicted * 10)
    uniform = (np.arange(3000) + 0.5) / 3000
    chosen = donors.draw(np.full(3000, 1.05), uniform, 3, rng)
    values, counts = np.unique(chosen, return_counts=True)
    assert values.tolist() == [10.0, 11.0, 12.0]
    assert counts.tolist() == [1000, 1000, 1000]
    assert donors.draw(np.array([100.0, -100.0]), np.array([0.99, 0.01]), 1, rng).tolist() == [60.0, 0.0]
    assert set(donors.draw(np.zeros(50), rng.random(50), 99, rng)) <= set(donors.values)


# ---- parameters --------------------------------------------------------------------------------------------


def test_parameters_are_drawn_from_their_normal_distribution(results: SemResults) -> None:
    drawn = draw_parameters(results.fit, 4000, 5, "normal")
    root = np.linalg.cholesky(np.linalg.inv(results.fit.vcov))
    z = (drawn.theta - results.fit.theta) @ root
    # a rejection here and there narrows the distribution by much less than these limits
    assert np.all(np.abs(z.mean(axis=0)) < 5 / np.sqrt(4000))
    assert_allclose(np.cov(z, rowvar=False), np.eye(z.shape[1]), atol=0.12)


def test_equality_constraints_hold_in_every_draw(one_factor: pd.DataFrame) -> None:
    results = sem("f =~ x1 + a*x2 + a*x3 + b*x4\nb == 0.5*a", one_factor)
    drawn = draw_parameters(results.fit, 20, 0, "normal").theta
    a, b = (results.coef().index.tolist().index(name) for name in ("a", "b"))
    assert_allclose(drawn[:, b], 0.5 * drawn[:, a], rtol=1e-6)
    assert drawn[:, a].std() > 0.02


def test_draws_that_break_a_bound_are_thrown_away(one_factor: pd.DataFrame) -> None:
    limit = sem(MODEL, one_factor).coef()["f=~x2"] - 0.02
    results = sem(f"f =~ x1 + lower({limit})*x2 + x3 + x4", one_factor)
    drawn = draw_parameters(results.fit, 50, 0, "normal")
    place = results.coef().index.tolist().index("f=~x2")
    assert drawn.theta[:, place].min() >= limit - 1e-3
    assert drawn.redrawn > 10


def test_improper_parameters_are_redrawn_and_counted(one_factor: pd.DataFrame) -> None:
    results = sem(MODEL, one_factor)
    wide = replace(results.fit, vcov=results.fit.vcov * 60.0)
    drawn = draw_parameters(wide, 30, 1, "normal")
    assert drawn.redrawn > 0
    for theta in drawn.theta:
        assert np.linalg.eigvalsh(wide.problem.maps[0].moments(theta)[1])[0] > 0
    theta = results.fit.theta.copy()
    theta[results.coef().index.tolist().index("x1~~x1")] = -50.0
    with pytest.raises(ConvergenceError, match=r"not positive definite.*bootstrap"):
        draw_parameters(replace(results.fit, theta=theta), 2, 1, "normal")


def test_bootstrap_draws_do_without_vcov(one_factor: pd.DataFrame) -> None:
    results = sem(MODEL, one_factor, se="none")
    with pytest.raises(OptionError, match=r"se='none'.*parameter_draws='bootstrap'"):
        results.multiple_imputations(2)
    drawn = draw_parameters(results.fit, 30, 2, "bootstrap")
    plain = sem(MODEL, one_factor)
    # the spread of 30 draws is known to about 13%; normal data, so that both kinds of standard errors agree
    ratio = drawn.theta.std(axis=0, ddof=1) / plain.bse.to_numpy()
    assert 0.6 < np.median(ratio) < 1.5
    assert np.array_equal(draw_parameters(results.fit, 5, 2, "bootstrap").theta, drawn.theta[:5])


def test_a_singular_information_matrix_is_explained(results: SemResults) -> None:
    with pytest.raises(OptionError, match=r"information is singular.*bootstrap"):
        draw_parameters(replace(results.fit, vcov=None), 2, 0, "normal")
    with pytest.raises(OptionError, match="'normal' or 'bootstrap'"):
        results.multiple_imputations(2, parameter_draws="posterior")  # type: ignore[typeddict-item]


# ---- tables ------------------------------------------------------------------------------------------------


def test_imputation_i_does_not_depend_on_m_and_seeds_differ(results: SemResults) -> None:
    few, many = results.multiple_imputations(2, seed=4), results.multiple_imputations(5, seed=4)
    pd.testing.assert_frame_equal(few.complete(2), many.complete(2))
    assert not few.complete(1).equals(few.complete(2))
    assert not few.complete(1).equals(results.multiple_imputations(2, seed=5).complete(1))


def test_observed_cells_stay_and_all_others_are_filled(results: SemResults, one_factor: pd.DataFrame) -> None:
    before = one_factor.copy()
    table = results.multiple_imputations(1).complete(1)
    assert table.notna().all().all()
    pd.testing.assert_frame_equal(table.where(one_factor.notna()), one_factor)
    pd.testing.assert_frame_equal(one_factor, before)


def test_rows_without_any_value_are_drawn_from_the_model(results: SemResults) -> None:
    empty = pd.DataFrame(np.nan, index=range(3000), columns=["x1", "x2", "x3", "x4"])
    drawn = results.multiple_imputations(1, data=empty).complete(1).to_numpy()
    rule = observed_rule(results.fit)
    # theta is drawn too, which moves the moments by its standard errors
    assert_allclose(drawn.mean(axis=0), rule.means[0], atol=0.4)
    assert_allclose(np.cov(drawn, rowvar=False), rule.covs[0], atol=0.6)


def test_every_group_is_drawn_from_its_own_moments(rng: np.random.Generator) -> None:
    data = pd.DataFrame({"x": rng.normal(0, 1, 400), "g": ["a", "b"] * 200})
    data["y"] = data["x"] * np.where(data["g"] == "a", 1.0, -1.0) + np.where(data["g"] == "a", 0.0, 50.0)
    data["y"] += 0.3 * rng.standard_normal(400)
    data.loc[::5, "y"] = np.nan
    results = sem("y ~ x", data, group="g", fixed_x=False)
    table = results.multiple_imputations(1).complete(1)
    filled = table[data["y"].isna()]
    expected = np.where(filled["g"] == "a", filled["x"], 50.0 - filled["x"])
    assert np.abs(filled["y"] - expected).max() < 2.0


def test_exogenous_holes_need_a_model_of_them(rng: np.random.Generator) -> None:
    data = pd.DataFrame(rng.standard_normal((60, 2)), columns=["x", "y"])
    data.loc[:5, "x"] = np.nan
    with pytest.warns(Warning, match="dropped"):
        results = sem("y ~ x", data)
    with pytest.raises(OptionError, match="refit with fixed_x=False"):
        results.multiple_imputations(2)
    assert impute(data, "y ~ x", 2).complete(2)["x"].notna().all()
    with pytest.raises(OptionError, match="fixed_x=False"):
        impute(data, "y ~ x", 2, sem_options={"fixed_x": True})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"m": 0}, OptionError, "m must be a whole number from 1 on"),
        ({"m": 2.0}, OptionError, "m must be"),
        ({"seed": -1}, OptionError, "seed must be"),
        ({"bound": {"x1": (0, 1)}}, OptionError, "no option 'bound'"),
        ({"bounds": {"x9": (0, 1)}}, OptionError, "bounds names 'x9'"),
        ({"bounds": {"x1": (3, 1)}}, OptionError, "lower limit 3 is not below"),
        ({"bounds": {"x1": (0.9, 1.1)}}, DataError, "outside its bounds"),
        ({"bounds": {"x1": 3}}, OptionError, "must be .low, high."),
        ({"bounds": {"x1": (float("nan"), 1)}}, OptionError, "not below"),
        ({"integers": "x1"}, DataError, "no whole numbers"),
        ({"pmm": "x1", "integers": ("x1",)}, OptionError, "'x1' is named in pmm and in integers"),
        ({"pmm": "z"}, OptionError, "pmm names 'z'"),
        ({"ordinal": "x1"}, OptionError, "distinct values, too many"),
        ({"ordinal": {"x1": (1, 2, 3)}}, DataError, "never observed"),
        ({"donors": 0}, OptionError, "donors must be"),
        ({"refiner": "network"}, OptionError, "refiner must be"),
    ],
)  # fmt: skip
def test_bad_options(results: SemResults, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        results.multiple_imputations(**options)


def test_new_rows_must_be_of_the_kind_that_was_seen(rng: np.random.Generator) -> None:
    data = pd.DataFrame({"x": rng.integers(0, 3, 80), "y": rng.standard_normal(80)})
    data.loc[:20, "y"] = np.nan
    results = sem("y ~ x", data, fixed_x=False)
    for options, row, message in (
        ({"ordinal": "x"}, {"x": 7.0, "y": np.nan}, "the value 7, which is none of its categories .0, 1, 2."),
        ({"bounds": {"x": (0, 2)}}, {"x": 7.0, "y": np.nan}, "outside its bounds"),
        ({"integers": "x"}, {"x": 0.5, "y": np.nan}, "no whole numbers"),
    ):
        with pytest.raises(DataError, match=message):
            results.multiple_imputations(1, data=pd.DataFrame([row]), **options)  # type: ignore[arg-type]
