"""Quantiles and densities of mixtures; shape and width of predicted distributions by held-out cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from fosa_sem.refine.calibration import HeldOut, calibrate, log_density, quantile


def random_mixture(k=40, c=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(c), k), rng.normal(scale=2, size=(k, c)), rng.uniform(0.1, 2, (k, c))


# ---- mixtures ----------------------------------------------------------------------------------------------


def test_quantiles_of_one_normal_are_closed_form():
    mean, sd = np.array([[0.0], [3.0], [-1e6]]), np.array([[1.0], [0.5], [1e3]])
    for q in (1e-6, 0.05, 0.5, 0.9, 1 - 1e-6):
        found = quantile((np.ones((3, 1)), mean, sd), q)
        assert_allclose(found, stats.norm(mean, sd).ppf(q)[:, 0], rtol=1e-9, atol=1e-9)


def test_quantiles_of_mixtures_have_their_probability_below():
    weight, mean, sd = random_mixture()
    for q in (0.001, 0.05, 0.5, 0.95):
        below = (weight * stats.norm(mean, sd).cdf(quantile((weight, mean, sd), q)[:, None])).sum(axis=1)
        assert_allclose(below, q, atol=1e-9)


def test_quantiles_of_a_mixture_are_those_of_its_draws():
    weight, mean, sd = np.array([0.2, 0.5, 0.3]), np.array([-2.0, 0.0, 1.0]), np.array([0.5, 1.0, 0.1])
    rng = np.random.default_rng(0)
    part = rng.choice(3, p=weight, size=400_000)
    draws = mean[part] + sd[part] * rng.standard_normal(400_000)
    mixture = weight[None], mean[None], sd[None]
    for q in (0.05, 0.25, 0.5, 0.9):
        at = quantile(mixture, q)
        error = math.sqrt(q * (1 - q) / 400_000) / np.exp(log_density(mixture, at))
        assert abs(np.quantile(draws, q) - at) < 4 * error


def test_each_cell_may_have_a_probability_of_its_own():
    mixture, q = random_mixture(), np.linspace(0.01, 0.99, 40)
    each = [quantile(tuple(part[[i]] for part in mixture), q[i])[0] for i in range(40)]
    assert_allclose(quantile(mixture, q), each, rtol=1e-12)


def test_components_without_weight_or_width_are_no_obstacle():
    weight, mean, sd = np.array([[0.6, 0.4, 0.0]]), np.array([[1.0, 2.0, 1e9]]), np.array([[0.0, 0.0, 1.0]])
    for q, expected in ((0.1, 1.0), (0.59, 1.0), (0.61, 2.0), (0.99, 2.0)):
        assert_allclose(quantile((weight, mean, sd), q), expected, atol=1e-9)


def test_log_density_is_scipys():
    weight, mean, sd = random_mixture()
    x = np.random.default_rng(1).normal(size=40)
    expected = np.log((weight * stats.norm(mean, sd).pdf(x[:, None])).sum(axis=1))
    assert_allclose(log_density((weight, mean, sd), x), expected, rtol=1e-10)
    unused = np.hstack([weight, np.zeros((40, 1))]), np.hstack([mean, mean[:, :1]]), np.hstack([sd, sd[:, :1]])
    assert_allclose(log_density(unused, x), expected, rtol=1e-10)


# ---- calibration -------------------------------------------------------------------------------------------


def held_out(column, residual, sd, correction=None, mixture=None, level_gain=None):
    k, zeros = len(column), np.zeros(len(column))
    return HeldOut(
        column=column,
        residual=residual,
        correction=zeros if correction is None else correction,
        sd=np.broadcast_to(np.asarray(sd, dtype=float), k).copy(),
        level_gain=zeros if level_gain is None else level_gain,
        mixture=mixture,
    )


def skewed(n, seed):
    """Draws of a mixture of mean 0 with a long right tail, and the mixture for each."""
    weight, mean, sd = np.array([0.8, 0.2]), np.array([-0.4, 1.6]), np.array([0.3, 1.0])
    rng = np.random.default_rng(seed)
    part = rng.choice(2, p=weight, size=n)
    return mean[part] + sd[part] * rng.standard_normal(n), tuple(np.tile(one, (n, 1)) for one in (weight, mean, sd))


def none(p):
    return np.zeros(p, dtype=bool)


def test_ninety_percent_intervals_cover_ninety_percent_of_the_cells_they_are_made_from():
    rng = np.random.default_rng(0)
    column, sd = np.repeat([0, 1, 2], [207, 1000, 30]), rng.uniform(0.5, 1.5, 1237)
    residual = sd * rng.standard_t(3, 1237) * np.array([0.3, 1.0, 4.0])[column]
    table = calibrate(["a", "b", "c"], held_out(column, residual, sd), np.zeros(3), none(3))
    assert table.columns.tolist() == ["variable", "shape", "spread", "scale", "coverage"]
    assert table["shape"].tolist() == ["normal"] * 3
    for j, n in enumerate([207, 1000, 30]):
        cells = column == j
        half = stats.norm.ppf(0.95) * table["scale"][j] * sd[cells]
        # the closed interval covers ceil(.9 (n + 1)) cells, the last of them at its end
        assert (np.abs(residual[cells]) <= half * (1 + 1e-9)).sum() == math.ceil(0.9 * (n + 1))
        before = stats.norm.ppf(0.95) * table["spread"][j] * sd[cells]
        assert_allclose(table["coverage"][j], (np.abs(residual[cells]) <= before).mean())


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_intervals_of_a_mixture_cover_ninety_percent_about_the_refined_value(gate):
    """The network knows the mean shift and is too narrow by a factor of 1.2."""
    noise, (weight, mean, sd) = skewed(900, 1)
    shift = 0.05 * np.random.default_rng(2).standard_normal(900)
    mixture = weight, mean / 1.2 + shift[:, None], sd / 1.2
    held = held_out(np.zeros(900, dtype=np.int64), noise + shift, 1.0, shift, mixture)
    table = calibrate(["a"], held, np.array([gate]), none(1))
    assert table["shape"].tolist() == ["mixture"]
    scale, error = table["scale"][0], noise + shift - gate * shift
    moved = weight, mean / 1.2, sd / 1.2
    low, high = scale * quantile(moved, 0.05), scale * quantile(moved, 0.95)
    inside = (error >= low - 1e-9) & (error <= high + 1e-9)
    assert inside.sum() == math.ceil(0.9 * 901)
    assert_allclose(scale, 1.2, atol=0.1)
    assert table["coverage"][0] < 0.88


def test_calibrated_intervals_cover_new_cells():
    """Conformal prediction: 90% of cells that were not used, up to two binomial errors of 2000 and 2000 cells."""
    rng = np.random.default_rng(5)
    sd = rng.uniform(0.5, 1.5, 4000)
    residual = sd * rng.standard_t(4, 4000)
    old = np.arange(4000) < 2000
    held = held_out(np.zeros(2000, dtype=np.int64), residual[old], sd[old])
    scale = calibrate(["a"], held, np.zeros(1), none(1))["scale"][0]
    inside = np.abs(residual[~old]) <= stats.norm.ppf(0.95) * scale * sd[~old]
    assert abs(inside.mean() - 0.9) < 2 * math.sqrt(2 * 0.09 / 2000)


def test_the_shape_is_the_one_that_held_out_cells_are_likelier_under():
    skew, mixture = skewed(500, 3)
    normal = np.random.default_rng(4).standard_normal(500) * skew.std()
    column = np.repeat([0, 1], 500)
    both = tuple(np.vstack([part, part]) for part in mixture)
    sd = np.full(1000, skew.std())
    table = calibrate(["a", "b"], held_out(column, np.r_[skew, normal], sd, mixture=both), np.zeros(2), none(2))
    assert table["shape"].tolist() == ["mixture", "normal"]


def test_a_mixture_that_says_the_same_is_not_taken():
    rng = np.random.default_rng(6)
    residual = rng.standard_normal(300)
    spread = float(np.sqrt(np.mean(residual**2)))
    mixture = np.full((300, 2), 0.5), np.zeros((300, 2)), np.full((300, 2), spread)
    held = held_out(np.zeros(300, dtype=np.int64), residual, 1.0, mixture=mixture)
    table = calibrate(["a"], held, np.zeros(1), none(1))
    assert_allclose(table["spread"], spread)
    assert table["shape"].tolist() == ["normal"]


def test_levels_are_taken_by_their_log_probabilities():
    rng = np.random.default_rng(7)
    column = np.repeat([0, 1, 2], [200, 200, 9])
    gain = rng.standard_normal(409) + np.array([0.3, -0.3, 3.0])[column]
    held = held_out(column, rng.standard_normal(409), 1.0, level_gain=gain)
    table = calibrate(["a", "b", "c"], held, np.zeros(3), ~none(3))
    assert table["shape"].tolist() == ["levels", "normal", "normal"]
    assert table["scale"].tolist() == [1.0, 1.0, 1.0]
    assert table["coverage"].isna().all()


def test_few_cells_and_cells_that_are_known_exactly_calibrate_nothing():
    column, sd = np.repeat([0, 1], [9, 50]), np.repeat([1.0, 1e-9], [9, 50])
    held = held_out(column, 5.0 * sd, sd)
    table = calibrate(["a", "b", "c"], held, np.zeros(3), none(3))
    assert table["shape"].tolist() == ["normal"] * 3
    assert table["scale"].tolist() == [1.0] * 3
    assert table["coverage"].isna().all()


def test_no_cells_at_all():
    empty = np.zeros(0)
    table = calibrate(["a"], held_out(empty.astype(np.int64), empty, empty), np.zeros(1), none(1))
    assert table.loc[0, ["shape", "spread", "scale"]].tolist() == ["normal", 1.0, 1.0]
