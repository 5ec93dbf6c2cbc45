"""Rows by pattern: nothing of the data that the likelihood needs is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fosa_sem.data.patterns import MissingPatterns


def _table(n: int, p: int, share: float = 0.25, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, p)) @ rng.standard_normal((p, p)) + rng.standard_normal(p) * 5
    holes = rng.random((n, p)) < share
    holes[np.arange(n), rng.integers(0, p, n)] = False
    return np.where(holes, np.nan, values)


@pytest.mark.parametrize(("n", "p"), [(60, 4), (200, 3), (30, 9), (40, 70), (5, 2)])
def test_patterns_reproduce_counts_means_and_cross_products(n: int, p: int) -> None:
    values = _table(n, p)
    patterns = MissingPatterns.from_values(values)
    assert patterns.n_rows == n
    assert patterns.n_variables == p
    assert len(np.unique(patterns.observed, axis=0)) == len(patterns.n)
    owner = patterns.row_pattern[len(patterns.n) :]
    assert len(patterns.factor) <= n
    for k, seen in enumerate(patterns.observed):
        rows = values[(~np.isnan(values) == seen).all(axis=1)]
        assert patterns.n[k] == len(rows)
        assert_allclose(patterns.mean[k, seen], rows[:, seen].mean(axis=0), rtol=1e-12)
        assert (patterns.mean[k, ~seen] == 0).all()
        deviations = rows[:, seen] - rows[:, seen].mean(axis=0)
        factor = patterns.factor[owner == k]
        assert_allclose(factor[:, seen].T @ factor[:, seen], deviations.T @ deviations, atol=1e-10 * n)
        assert (factor[:, ~seen] == 0).all()
        assert (patterns.pattern_of_row == k).sum() == len(rows)


def test_rows_are_matched_to_their_pattern_in_the_order_of_the_data() -> None:
    values = _table(80, 5)
    patterns = MissingPatterns.from_values(values)
    assert (patterns.observed[patterns.pattern_of_row] == ~np.isnan(values)).all()


def test_pairwise_n_counts_rows_with_both() -> None:
    values = _table(50, 4)
    seen = (~np.isnan(values)).astype(float)
    assert_allclose(MissingPatterns.from_values(values).pairwise_n, seen.T @ seen)


def test_batches_cover_every_incomplete_pattern_once() -> None:
    patterns = MissingPatterns.from_values(_table(120, 5, 0.4))
    covered = np.concatenate([b.patterns for b in patterns.batches])
    assert sorted(covered) == list(np.flatnonzero(~patterns.observed.all(axis=1)))
    for batch in patterns.batches:
        assert (~np.take_along_axis(patterns.observed[batch.patterns], batch.missing, axis=1)).all()
        assert (patterns.row_pattern[batch.rows] == batch.patterns[batch.owner]).all()


def test_complete_data_is_one_pattern_without_batches() -> None:
    patterns = MissingPatterns.from_values(np.random.default_rng(1).standard_normal((20, 3)))
    assert len(patterns.n) == 1
    assert patterns.batches == ()


def test_from_moments_holds_exactly_these_moments() -> None:
    rng = np.random.default_rng(2)
    root = rng.standard_normal((4, 4))
    cov, mean = root @ root.T, rng.standard_normal(4)
    patterns = MissingPatterns.from_moments(37, mean, cov)
    assert patterns.n_rows == 37
    assert_allclose(patterns.mean[0], mean)
    assert_allclose(patterns.factor.T @ patterns.factor, 37 * cov, rtol=1e-12, atol=1e-12)


def test_with_ridge_adds_the_variance_to_every_pattern() -> None:
    values = _table(60, 3)
    plain = MissingPatterns.from_values(values)
    noise = np.array([0.5, 0.0, 2.0])
    ridged = plain.with_ridge(noise)
    for k, seen in enumerate(plain.observed):
        before = plain.factor[plain.row_pattern[len(plain.n) :] == k]
        after = ridged.factor[ridged.row_pattern[len(plain.n) :] == k]
        assert_allclose(after.T @ after, before.T @ before + np.diag(plain.n[k] * noise * seen), atol=1e-12)
    assert_allclose(ridged.mean, plain.mean)
    assert_allclose(plain.factor, MissingPatterns.from_values(values).factor)


def test_row_order_changes_nothing_but_the_order() -> None:
    values = _table(70, 4)
    order = np.random.default_rng(3).permutation(70)
    one, two = MissingPatterns.from_values(values), MissingPatterns.from_values(values[order])
    assert (one.observed == two.observed).all()
    assert_allclose(one.mean, two.mean, rtol=1e-12)
    assert (one.pattern_of_row[order] == two.pattern_of_row).all()


def test_the_values_are_not_changed_and_may_be_read_only() -> None:
    values = _table(40, 4)
    copy = values.copy()
    values.flags.writeable = False
    MissingPatterns.from_values(values)
    np.testing.assert_array_equal(values, copy)
