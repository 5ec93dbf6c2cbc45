"""Predictive distributions: put together by hand, and those of a fitted refiner."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from completions import SHORT, complete, masked_mse, mixed, with_gates
from numpy.testing import assert_allclose
from scipy import stats

from fosa_sem.errors import DataError, OptionError
from fosa_sem.refine.calibration import HeldOut, calibrate
from fosa_sem.refine.heads import FLOOR
from fosa_sem.refine.predictive import NetworkCells, Predictive, predictive
from fosa_sem.refine.refiner import AttentionRefiner

QS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@pytest.fixture(scope="module")
def fitted_case():
    """Completion and fitted refiner of data with a count; the first three rows are empty."""
    return fitted_to(0)


def fitted_to(seed):
    truth, mask, levels = mixed(seed=seed)
    mask[:3] = True
    completion = complete(truth.mask(mask))
    config = dataclasses.replace(SHORT, epochs=40, check_every=10, batch_size=128)
    return truth, mask, completion, AttentionRefiner(config=config, levels=levels).fit(completion)


def shaped(fitted, shape, count="levels", scale=1.3):
    """The same refiner with other shapes."""
    shapes = [count if name == "count" else shape for name in fitted.variables]
    return dataclasses.replace(fitted, calibration=fitted.calibration.assign(shape=shapes, scale=scale))


def by_hand():
    """Two continuous cells, one with a mixture, and two cells of three levels."""
    return Predictive(
        variables=("x", "k"),
        row=np.array([0, 1, 1, 4]),
        column=np.array([0, 0, 1, 1]),
        weight=np.array([[1.0, 0.0], [0.25, 0.75], [1.0, 0.0], [1.0, 0.0]]),
        mean=np.array([[2.0, 2.0], [0.0, 4.0], [1.2, 1.2], [1.2, 1.2]]),
        sd=np.array([[0.5, 0.5], [1.0, 0.5], [0.4, 0.4], [0.4, 0.4]]),
        levels=(None, np.array([0.0, 1.0, 5.0])),
        probability=np.array([[np.nan] * 3, [np.nan] * 3, [0.2, 0.5, 0.3], [0.0, 0.1, 0.9]]),
    )


# ---- by hand -----------------------------------------------------------------------------------------------


def test_expectations_and_most_probable_values_in_closed_form():
    made = by_hand()
    assert len(made) == 4
    assert made.discrete.tolist() == [False, False, True, True]
    assert_allclose(made.expectation(), [2.0, 3.0, 2.0, 4.6])
    assert_allclose(made.most_probable(), [2.0, 3.0, 1.0, 5.0])


def test_quantiles_in_closed_form():
    made = by_hand()
    for q in QS:
        continuous = made.quantile(q)[:2]
        assert_allclose(continuous[0], stats.norm(2, 0.5).ppf(q), atol=1e-9)
        below = 0.25 * stats.norm(0, 1).cdf(continuous[1]) + 0.75 * stats.norm(4, 0.5).cdf(continuous[1])
        assert_allclose(below, q, atol=1e-9)
    assert [made.quantile(q)[2] for q in (0.1, 0.3, 0.6, 0.75)] == [0.0, 1.0, 1.0, 5.0]
    assert [made.quantile(q)[3] for q in (0.05, 0.2)] == [1.0, 5.0]


def test_draws_follow_the_distribution():
    made, names = by_hand(), ("row", "column", "weight", "mean", "sd", "probability")
    often = dataclasses.replace(made, **{name: np.tile(getattr(made, name).T, 4000).T for name in names})
    draws = often.draw(np.random.default_rng(0)).reshape(4000, 4)
    assert_allclose(draws.mean(axis=0), made.expectation(), atol=4 * 2.2 / 4000**0.5)
    for q in (0.1, 0.5, 0.9):
        assert_allclose((draws[:, :2] <= made.quantile(q)[:2]).mean(axis=0), q, atol=4 * 0.5 / 4000**0.5)
    shares = (draws[:, 2, None] == [0.0, 1.0, 5.0]).mean(axis=0)
    assert_allclose(shares, [0.2, 0.5, 0.3], atol=4 * 0.5 / 4000**0.5)


def test_probabilities_are_a_table_of_levels():
    expected = pd.DataFrame([[0.2, 0.5, 0.3], [0.0, 0.1, 0.9]], index=[1, 4], columns=[0.0, 1.0, 5.0])
    pd.testing.assert_frame_equal(by_hand().probabilities("k"), expected)
    for name in ("x", "none"):
        with pytest.raises(OptionError, match=f"'{name}' is no discrete variable"):
            by_hand().probabilities(name)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_probability_out_of_range_is_refused(q):
    with pytest.raises(OptionError, match="between 0 and 1"):
        by_hand().quantile(q)


def test_intervals_are_pairs_of_quantiles():
    low, high = by_hand().interval(0.8)
    assert_allclose(low, by_hand().quantile(0.1), rtol=1e-12)
    assert_allclose(high, by_hand().quantile(0.9), rtol=1e-12)
    assert_allclose(by_hand().interval()[0], by_hand().quantile(0.05))


# ---- put together ------------------------------------------------------------------------------------------


def small_case():
    frame = pd.DataFrame({"x": [np.nan, 1.0, np.nan, 2.0], "k": [1.0, np.nan, np.nan, 0.0]})
    rng = np.random.default_rng(0)
    whole = pd.DataFrame(rng.normal(size=(30, 2)), columns=["x", "k"])
    return complete(frame, rule=complete(whole).rule)


def test_cells_without_a_network_have_the_rules_distribution():
    completion, levels = small_case(), {"k": np.array([0.0, 1.0])}
    calibration = pd.DataFrame({"shape": ["mixture", "levels"], "scale": [1.5, 1.0]})
    floor = np.full(2, FLOOR)
    made = predictive(completion, np.ones(2), calibration, levels, floor, [], components=3)
    assert list(zip(made.row, made.column, strict=True)) == [(0, 0), (1, 1), (2, 0), (2, 1)]
    x = made.column == 0
    mean, sd = completion.mean[made.row, made.column], completion.sd[made.row, made.column]
    for q in QS:
        assert_allclose(made.quantile(q)[x], stats.norm(mean[x], 1.5 * sd[x]).ppf(q), rtol=1e-9)
    density = stats.norm(mean[~x, None], sd[~x, None] + FLOOR).pdf(levels["k"])
    assert_allclose(made.probabilities("k"), density / density.sum(axis=1, keepdims=True), rtol=1e-9)
    assert np.isnan(made.probability[x]).all()


@pytest.mark.parametrize("between", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(("gate", "shape"), [(1.0, "mixture"), (0.0, "mixture"), (1.0, "normal"), (0.0, "normal")])
def test_a_networks_mixture_is_moved_to_the_refined_value_and_scaled(gate, shape, between):
    completion = small_case()
    weight, mean, sd = np.array([[0.3, 0.7]]), np.array([[-1.0, 1.0]]), np.array([[0.5, 0.2]])
    correction = (weight * mean).sum(axis=1)
    part = NetworkCells(
        cells=np.array([0]), correction=correction, between=np.array([between]), networks=2, weight=weight, mean=mean,
        sd=sd, probability=np.zeros((1, 0)),
    )  # fmt: skip
    calibration = pd.DataFrame({"shape": [shape, shape], "scale": [2.0, 1.0]})
    made = predictive(completion, np.array([gate, 0.0]), calibration, {}, np.full(2, FLOOR), [part], components=2)
    refined = completion.mean[0, 0] + gate * correction
    assert_allclose(made.expectation()[0], refined)
    variance = made.weight[0] @ (made.sd[0] ** 2 + made.mean[0] ** 2) - made.expectation()[0] ** 2
    own = weight[0] @ (sd[0] ** 2 + mean[0] ** 2) - correction[0] ** 2
    single = 4.0 * (own - between if shape == "mixture" else completion.sd[0, 0] ** 2)
    assert_allclose(variance, max(single - gate**2 * between, single / 2))
    others = slice(1, None)
    assert_allclose(made.expectation()[others], completion.mean[made.row, made.column][others])


def of_networks_that_differ(noise, completion, k=5):
    """Values that a table misses; what k networks, each with an error of its own, say of them; held-out cells of one.

    Single networks know their error: their distribution has the width of the noise and of their own error together.
    """
    rng, n, width = np.random.default_rng(7), len(completion.values), math.hypot(noise, 0.8)
    value, correction = rng.normal(scale=noise, size=n), rng.normal(scale=0.8, size=(n, k))
    held = HeldOut(
        column=np.zeros(n, dtype=np.int64), residual=value, correction=correction[:, 0], sd=completion.sd[:, 0],
        level_gain=np.zeros(n), mixture=(np.ones((n, 1)), correction[:, :1], np.full((n, 1), width)),
    )  # fmt: skip
    part = NetworkCells(
        cells=np.arange(n), correction=correction.mean(axis=1), between=correction.var(axis=1), networks=k,
        weight=np.full((n, k), 1 / k), mean=correction, sd=np.full((n, k), width), probability=np.zeros((n, 0)),
    )  # fmt: skip
    return completion.mean[:, 0] + value, part, held


@pytest.mark.parametrize("shape", ["mixture", "normal"])
@pytest.mark.parametrize("noise", [0.3, 1.0, 5.0])
def test_intervals_about_the_average_of_networks_cover_ninety_percent(noise, shape):
    frame = pd.DataFrame({"x": np.nan, "k": np.random.default_rng(1).normal(size=4000)})
    completion = complete(frame, rule=small_case().rule)
    truth, part, held = of_networks_that_differ(noise, completion)
    if shape == "normal":
        held = dataclasses.replace(held, mixture=None)
    calibration = calibrate(["x", "k"], held, np.ones(2), np.zeros(2, dtype=bool))
    made = predictive(completion, np.ones(2), calibration, {}, np.full(2, FLOOR), [part], components=5)
    low, high = made.interval(0.9)
    # 4,000 cells and as many that it is calibrated on: standard error .007
    assert_allclose(((low <= truth) & (truth <= high)).mean(), 0.9, atol=0.021)


# ---- of a fitted refiner -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["mixture", "normal"])
@pytest.mark.parametrize("gate", [1.0, [1.0, 0.0, 1.0, 0.0]])
def test_expectations_are_the_refined_values(fitted_case, shape, gate):
    _, mask, completion, fitted = fitted_case
    chosen = with_gates(shaped(fitted, shape), gate)
    made, refined = chosen.predictive(completion), chosen.refine(completion).values
    assert (made.row == np.nonzero(mask)[0]).all()
    assert (made.column == np.nonzero(mask)[1]).all()
    some = ~made.discrete
    # float32 networks; scale of the data about 1
    assert_allclose(made.expectation()[some], refined[made.row, made.column][some], atol=1e-5)
    counts = made.discrete & (made.row >= 3)  # not in empty rows, whose conditional mean is no mean of the levels
    assert_allclose(made.expectation()[counts], refined[made.row, made.column][counts], atol=1e-5)
    assert (refined != completion.mean)[3:][mask[3:]].any()


@pytest.mark.parametrize("shape", ["mixture", "normal"])
def test_quantiles_rise_with_the_probability(fitted_case, shape):
    *_, completion, fitted = fitted_case
    made = shaped(fitted, shape).predictive(completion)
    table = np.array([made.quantile(q) for q in QS])
    assert np.isfinite(table).all()
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(table, axis=0)[:, ~made.discrete] > 0).all()


def test_intervals_cover_what_was_hidden():
    covered = []
    for seed in range(4):
        truth, _, completion, fitted = fitted_to(seed)
        made = fitted.predictive(completion)
        low, high = made.interval(0.9)
        value = truth.to_numpy()[made.row, made.column]
        covered.append(((low <= value) & (value <= high))[~made.discrete & (made.row >= 3)].mean())
    # about 160 cells each, and twice as many that it is calibrated on: .03 each
    assert_allclose(np.mean(covered), 0.9, atol=0.045)


def test_a_count_that_depends_on_a_square_is_better_known_by_its_levels(fitted_case):
    truth, mask, completion, fitted = fitted_case
    row = fitted.calibration.set_index("variable").loc["count"]
    assert row["shape"] == "levels"
    assert np.isnan(row["coverage"])
    made, rule = fitted.predictive(completion), shaped(fitted, "normal", "normal").predictive(completion)
    value = truth["count"].to_numpy()
    found, start = (np.log(one.probabilities("count").to_numpy()) for one in (made, rule))
    at = value[mask[:, 2]].astype(int)
    assert found[np.arange(len(at)), at].mean() > start[np.arange(len(at)), at].mean()
    assert masked_mse(truth, mask, fitted.refine(completion)) < masked_mse(truth, mask, completion)


def test_probabilities_of_a_fitted_refiner_sum_to_one_and_choose_a_level(fitted_case):
    _, mask, completion, fitted = fitted_case
    made = fitted.predictive(completion)
    table = made.probabilities("count")
    assert table.index.tolist() == np.flatnonzero(mask[:, 2]).tolist()
    assert table.columns.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert_allclose(table.sum(axis=1), 1.0, rtol=1e-5)
    assert (made.most_probable()[made.discrete] == table.to_numpy().argmax(axis=1)).all()
    assert set(made.draw(np.random.default_rng(0))[made.discrete]) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_draws_repeat_by_their_seed(fitted_case):
    *_, completion, fitted = fitted_case
    made = fitted.predictive(completion)
    first = made.draw(np.random.default_rng(1))
    assert (fitted.predictive(completion).draw(np.random.default_rng(1)) == first).all()
    assert (made.draw(np.random.default_rng(2)) != first).mean() > 0.5


def test_empty_rows_and_untrained_refiners_have_the_rules_distribution(fitted_case):
    *_, completion, fitted = fitted_case
    normal = shaped(fitted, "normal", "normal")
    untrained = dataclasses.replace(normal, weights=None)
    made, plain = with_gates(normal, 1.0).predictive(completion), untrained.predictive(completion)
    empty = (made.row < 3) & ~made.discrete
    sd = 1.3 * completion.sd[made.row, made.column]
    for q in (0.1, 0.9):
        expected = stats.norm(completion.mean[made.row, made.column], sd).ppf(q)
        assert_allclose(made.quantile(q)[empty], expected[empty], rtol=1e-9)
        assert_allclose(plain.quantile(q)[~plain.discrete], expected[~plain.discrete], rtol=1e-9)
    assert_allclose(made.probabilities("count").iloc[:3], plain.probabilities("count").iloc[:3], rtol=1e-9)


def test_new_rows_other_columns_and_no_holes(fitted_case):
    *_, completion, fitted = fitted_case
    new = pd.DataFrame(
        [[0.5, np.nan, np.nan, 9.0], [1.0] * 4, [np.nan, 1e9, np.nan, np.nan]], columns=list(fitted.variables)
    )
    made = fitted.predictive(complete(new, rule=completion.rule))
    assert made.row.tolist() == [0, 0, 2, 2, 2]
    assert np.isfinite(made.draw(np.random.default_rng(0))).all()
    assert len(fitted.predictive(complete(new.iloc[1:2], rule=completion.rule))) == 0
    rule = dataclasses.replace(completion.rule, variables=("b", "a", "count", "skewed"))
    with pytest.raises(DataError, match="trained on the columns"):
        fitted.predictive(dataclasses.replace(completion, rule=rule))


def test_a_pickled_refiner_predicts_the_same(fitted_case):
    *_, completion, fitted = fitted_case
    again = pickle.loads(pickle.dumps(fitted)).predictive(completion)
    assert (again.quantile(0.3) == fitted.predictive(completion).quantile(0.3)).all()


def test_rows_in_parts_give_the_same(fitted_case, monkeypatch):
    """Cells find their rows again also where rows pass through the networks in parts."""
    *_, completion, fitted = fitted_case
    whole = fitted.predictive(completion)
    monkeypatch.setattr("fosa_sem.refine.training.CHUNK", 17)
    parts = fitted.predictive(completion)
    assert_allclose(parts.mean, whole.mean, atol=1e-5)
    assert_allclose(parts.probability, whole.probability, atol=1e-5)


def test_levels_of_an_unknown_variable_are_refused(fitted_case):
    *_, completion, _ = fitted_case
    with pytest.raises(OptionError, match="'height', which is no variable"):
        AttentionRefiner(config=SHORT, levels={"height": np.arange(3.0)}).fit(completion)


@pytest.mark.parametrize("levels", [[], [0.0, np.nan], [0.0, np.inf]])
def test_levels_that_are_none_or_not_finite_are_refused(fitted_case, levels):
    *_, completion, _ = fitted_case
    with pytest.raises(OptionError, match="levels of 'count': give at least one value"):
        AttentionRefiner(config=SHORT, levels={"count": np.array(levels)}).fit(completion)


def test_levels_may_come_in_any_order_and_more_than_once(fitted_case):
    *_, completion, _ = fitted_case
    config = dataclasses.replace(SHORT, epochs=1)
    one, two = (
        AttentionRefiner(config=config, levels={"count": np.array(levels)}).fit(completion)
        for levels in ([0, 1, 2, 3, 4], [4, 0, 2, 1, 3, 1])
    )
    assert (one.levels["count"] == two.levels["count"]).all()
    assert one.history.equals(two.history)
