"""Rows by pattern: nothing of the data that the likelihood needs is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fosa_sem.data.batches import CHUNK, plan_batches
from fosa_sem.data.patterns import PIECE, MissingPatterns


def _table(n: int, p: int, share: float = 0.25, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, p)) @ rng.standard_normal((p, p)) + rng.standard_normal(p) * 5
    holes = rng.random((n, p)) < share
    holes[np.arange(n), rng.integers(0, p, n)] = False
    return np.where(holes, np.nan, values)


@pytest.mark.parametrize(("n", "p"), [(60, 4), (200, 3), (30, 9), (40, 70), (5, 2), (300, 17), (900, 5)])
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


@pytest.mark.parametrize("side", [None, False, True])
@pytest.mark.parametrize(("n", "p", "share"), [(120, 5, 0.4), (300, 20, 0.5), (90, 12, 0.8)])
def test_batches_cover_every_incomplete_pattern_once(n: int, p: int, share: float, side: bool | None) -> None:
    patterns = MissingPatterns.from_values(_table(n, p, share))
    incomplete = np.flatnonzero(~patterns.observed.all(axis=1))
    width, batches = plan_batches(patterns.observed, patterns.n, patterns.row_pattern, side)
    assert sorted(np.concatenate([b.patterns for b in batches])) == list(incomplete)
    rows = np.concatenate([np.unique(b.cells // width) for b in batches])
    assert sorted(rows) == list(np.flatnonzero(np.isin(patterns.row_pattern, incomplete)))
    for batch in batches:
        assert side in (None, batch.observed_side)
        for k, index in zip(batch.patterns, batch.index.T, strict=True):
            real = index[index < p]
            assert list(real) == list(np.flatnonzero(patterns.observed[k] == batch.observed_side))
            assert list(index[index >= p]) == list(range(p, p + len(index) - len(real)))
        row = batch.cells // width
        assert (row == row[0]).all()
        assert (patterns.row_pattern[row[0]] == batch.patterns[batch.owner]).all()
        assert (batch.cells % width == batch.index[:, batch.owner]).all()
        assert (batch.n == patterns.n[batch.patterns]).all()


def test_no_batch_is_larger_than_its_limit() -> None:
    patterns = MissingPatterns.from_values(_table(3000, 30, 0.5))
    assert len(patterns.batches) > 1
    largest = [len(b.index) ** 2 * len(b.owner) for b in patterns.batches]
    one_pattern = max(len(b.index) for b in patterns.batches) ** 2 * np.bincount(patterns.row_pattern).max()
    assert max(largest) <= CHUNK + one_pattern


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


@pytest.mark.parametrize("p", [1, 3, 16, 17, 40, 70, 130])
def test_rows_are_grouped_as_a_naive_grouping_does(p: int) -> None:
    values = _table(60, p, 0.1, seed=p)
    values[40:] = np.where(np.isnan(values[:20]), np.nan, values[40:] + 1.0)  # so that some patterns recur
    values[40:] = np.where(np.isnan(values[40:]) & ~np.isnan(values[:20]), 0.5, values[40:])
    naive: dict[bytes, list[int]] = {}
    for i, row in enumerate(~np.isnan(values)):
        naive.setdefault(row.tobytes(), []).append(i)
    patterns = MissingPatterns.from_values(values)
    found = [list(np.flatnonzero(patterns.pattern_of_row == k)) for k in range(len(patterns.n))]
    assert sorted(found) == sorted(naive.values())
    assert any(len(rows) > 1 for rows in found)


def test_a_pattern_longer_than_a_piece_loses_nothing() -> None:
    values = np.random.default_rng(4).standard_normal((3 * PIECE + 7, 3)) * [1e-4, 1.0, 1e4] + [0.0, 1e3, 1e5]
    values[: PIECE + 1] += [0.0, 50.0, 0.0]  # the first piece says little about the mean of all
    patterns = MissingPatterns.from_values(values)
    deviations = values - values.mean(axis=0)
    size = np.sqrt((deviations**2).sum(axis=0))
    assert_allclose(patterns.mean[0], values.mean(axis=0), rtol=1e-12)
    found = patterns.factor.T @ patterns.factor
    assert_allclose(found / np.outer(size, size), deviations.T @ deviations / np.outer(size, size), atol=1e-12)


def test_dependent_columns_keep_their_cross_products() -> None:
    values = _table(80, 4, 0.0)
    values[:, 3] = 1e6 * (values[:, 0] - values[:, 1])
    patterns = MissingPatterns.from_values(values)
    size = values.std(axis=0) * np.sqrt(80)
    found = patterns.factor.T @ patterns.factor / np.outer(size, size)
    assert_allclose(found, np.corrcoef(values.T), atol=1e-12)


def test_rows_and_columns_first_give_the_same() -> None:
    values = _table(500, 6)
    one, two = MissingPatterns.from_values(values), MissingPatterns.from_values(np.asfortranarray(values))
    np.testing.assert_array_equal(one.factor, two.factor)
    np.testing.assert_array_equal(one.mean, two.mean)
