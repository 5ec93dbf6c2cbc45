"""Which network may learn which cell, and which speaks of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from completions import complete, gaussian
from numpy.testing import assert_allclose

from fosa_sem.refine.folds import NO_FOLD, TrainingData, assign_folds, make_probe, quantile_edges, training_data
from fosa_sem.refine.form import observed_scaling
from fosa_sem.refine.remasking import Remasker

CPU = torch.device("cpu")


@pytest.mark.parametrize("folds", [2, 5])
def test_each_usable_cell_has_one_fold_and_folds_are_even(folds):
    rng = np.random.default_rng(0)
    observed = rng.random((203, 3)) < 0.8
    observed[:20] = [True, False, False]
    fold = assign_folds(observed, folds, rng)
    lonely = observed.sum(axis=1) == 1
    assert (fold[~observed] == NO_FOLD).all()
    assert (fold[lonely] == NO_FOLD).all()
    usable = observed & ~lonely[:, None]
    assert ((fold >= 0) == usable).all()
    assert set(np.unique(fold[usable])) == set(range(folds))
    for j in range(3):
        counts = np.bincount(fold[usable[:, j], j], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_folds_are_random_and_do_not_go_with_each_other():
    """Cells of a row are dealt independently: each pair of folds is as frequent as any."""
    fold = assign_folds(np.ones((8000, 2), dtype=bool), 2, np.random.default_rng(1))
    both = np.bincount(2 * fold[:, 0] + fold[:, 1], minlength=4) / 8000
    assert_allclose(both, 0.25, atol=0.025)  # standard errors of .005
    assert not np.array_equal(fold, np.sort(fold, axis=0))


def test_a_column_of_few_cells_does_not_begin_with_the_first_fold():
    fold = assign_folds(np.ones((1, 4), dtype=bool), 5, np.random.default_rng(0))
    assert fold.tolist() == [[0, 1, 2, 3]]


def make_data(folds=2, n=80):
    truth, mask = gaussian(n)
    completion = complete(truth.mask(mask))
    scaling = observed_scaling(completion)
    data = training_data(completion, scaling, folds, np.random.default_rng(0), CPU)
    return completion, scaling, data, Remasker(completion.rule, scaling, CPU)


def test_training_data_are_the_z_scores_of_observed_cells():
    completion, scaling, data, _ = make_data()
    observed = completion.observed
    z = data.z.numpy()
    assert (z[~observed] == 0).all()
    assert_allclose(z[observed], ((completion.values - scaling.mean) / scaling.sd)[observed])
    for j in range(z.shape[1]):
        assert_allclose([z[observed[:, j], j].mean(), z[observed[:, j], j].std()], [0, 1], atol=1e-12)
    assert torch.equal(data.observed, torch.as_tensor(observed))


def test_a_probe_hides_every_cell_of_its_folds_once_and_alone():
    completion, scaling, data, remasker = make_data(folds=3)
    probe = make_probe(data, remasker, [2, 0], 10_000)
    for k, fold in enumerate([2, 0]):
        valid = probe.valid[k].numpy()
        column, residual, sd = (one[k].numpy()[valid] for one in (probe.column, probe.residual, probe.sd))
        shown = ~probe.rows.hidden[k].numpy()[valid]
        expected = [(i, j) for j in range(4) for i in range(80) if data.fold[i, j] == fold]
        assert column.tolist() == [j for _, j in expected]
        for m, (i, j) in enumerate(expected):
            alone = completion.observed[[i]].copy()
            alone[0, j] = False
            assert (shown[m] == alone[0]).all()
            mean, spread = completion.rule.conditional(completion.values[[i]], alone)
            error = (completion.values[i, j] - mean[0, j]) / scaling.sd[j]
            # float32, and a ridge of 1e-8 on the correlation scale
            assert_allclose([residual[m], sd[m]], [error, spread[0, j] / scaling.sd[j]], atol=2e-5)


def test_a_probe_of_some_cells_takes_them_from_all_columns():
    *_, data, remasker = make_data()
    probe = make_probe(data, remasker, [0, 1], 20)
    for k in range(2):
        valid = probe.valid[k]
        assert 10 <= valid.sum() <= 20
        assert set(probe.column[k][valid].tolist()) == {0, 1, 2, 3}


def test_folds_without_a_cell_give_nothing_valid():
    *_, data, remasker = make_data()
    probe = make_probe(data, remasker, [5, 6], 20)
    assert not probe.valid.any()
    beside = make_probe(data, remasker, [0, 5], 20)
    assert beside.valid.any(dim=1).tolist() == [True, False]


def test_limits_of_bins_are_quantiles_of_observed_values():
    z = np.random.default_rng(0).normal(size=(1000, 3))
    observed = np.ones((1000, 3), dtype=bool)
    observed[::2, 1], observed[:, 2] = False, False
    none = torch.zeros(1000, 3, dtype=torch.int64)
    data = TrainingData(
        z=torch.as_tensor(np.where(observed, z, 0.0)), observed=torch.as_tensor(observed), group=none[:, 0], fold=none,
        owner=torch.arange(3),
    )  # fmt: skip
    edges = quantile_edges(data, 4)
    assert_allclose(edges[0], np.quantile(z[:, 0], [0.25, 0.5, 0.75]), rtol=1e-6)
    assert_allclose(edges[1], np.quantile(z[1::2, 1], [0.25, 0.5, 0.75]), rtol=1e-6)
    assert (edges[2] == 0).all()
