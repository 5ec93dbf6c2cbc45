from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fosa_sem.imputation.completion import GaussianRule
from fosa_sem.refine import training
from fosa_sem.refine.attention import INPUT_LIMIT, AttentionNetwork, dropout
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling

CPU = torch.device("cpu")


def make_network(p=3, seed=0, *, trained=False, **options):
    generator = torch.Generator().manual_seed(seed)
    network = AttentionNetwork(p, RefinerConfig(heads=2, width=8, **options), generator)
    if trained:
        with torch.no_grad():
            network.read_out.normal_(generator=generator)
    return network


def make_masked(n=20, p=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.rand((n, p), generator=generator) < 0.4
    value = torch.randn((n, p), generator=generator)
    return MaskedRows(value=value, sd=hidden * 0.7, hidden=hidden)


def test_an_untrained_network_returns_no_correction():
    assert (make_network()(make_masked()) == 0).all()


def test_shown_cells_get_no_correction_and_hidden_ones_do():
    rows = make_masked()
    correction = make_network(trained=True)(rows)
    assert (correction[~rows.hidden] == 0).all()
    assert (correction[rows.hidden] != 0).all()


def test_every_variable_attends_to_every_other():
    rows = make_masked(n=1)
    rows = MaskedRows(value=rows.value.requires_grad_(), sd=torch.ones(1, 3), hidden=torch.ones(1, 3).bool())
    network = make_network(trained=True)
    for j in range(3):
        (gradient,) = torch.autograd.grad(network(rows)[0, j], rows.value)
        assert (gradient != 0).all()


def test_outliers_are_cut_at_the_input():
    rows = make_masked()
    far = MaskedRows(value=torch.full((20, 3), 1e6), sd=rows.sd, hidden=rows.hidden)
    limit = MaskedRows(value=torch.full((20, 3), INPUT_LIMIT), sd=rows.sd, hidden=rows.hidden)
    network = make_network(trained=True)
    assert torch.equal(network(far), network(limit))


def test_dropout_keeps_the_mean_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    x = torch.ones(100_000)
    dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
    assert dropout(x, 0.25, None) is x
    assert_allclose(dropped.unique().numpy(), [0.0, 1 / 0.75], rtol=1e-6)
    # The share kept has a standard error of 0.0014, its mean 1/0.75 times that.
    assert_allclose(dropped.mean().item(), 1.0, atol=0.01)
    make_network()
    assert torch.equal(torch.get_rng_state(), state)


def test_mean_absolute_weight_counts_every_weight():
    network = make_network()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(-2.0)
    assert_allclose(network.mean_absolute_weight().item(), 2.0)


def test_hold_out_is_disjoint_observed_and_the_stated_share():
    rng = np.random.default_rng(0)
    observed = rng.random((200, 3)) < 0.8
    observed[:20] = [True, False, False]
    folds = training.hold_out(observed, RefinerConfig(holdout=0.25, folds=4), rng)
    cells = [(i, j) for halves in folds for half in halves for i, j in zip(half.row, half.column, strict=True)]
    assert len(cells) == len(set(cells))
    assert all(observed[i, j] and observed[i].sum() > 1 for i, j in cells)
    usable = (observed & (observed.sum(axis=1, keepdims=True) > 1)).sum(axis=0)
    for halves in folds:
        counts = sum(np.bincount(half.column, minlength=3) for half in halves)
        assert (counts == usable // 4).all()
        assert abs(len(halves[0]) - len(halves[1])) <= 3


@pytest.mark.parametrize(("rows", "folds"), [(100, 5), (500, 4), (2000, 1)])
def test_folds_left_open_give_enough_cells(rows, folds):
    observed = np.ones((rows, 3), dtype=bool)
    assert len(training.hold_out(observed, RefinerConfig(), np.random.default_rng(0))) == folds


def test_losses_vanish_at_the_truth_and_count_only_targets():
    masked = make_masked()
    target = masked.hidden.clone()
    target[:, 0] = False
    network, covariance = make_network(), torch.zeros(20, 3, 3)
    truth = masked.value.clone()
    truth[masked.hidden & ~target] = 99.0
    right = training.losses(network, masked, covariance, truth, target)
    assert right.mse == 0
    assert_allclose(right.covariance.item(), 0, atol=1e-12)
    truth[target] += 2.0
    wrong = training.losses(network, masked, covariance, truth, target)
    assert_allclose(wrong.mse.item(), 4.0, rtol=1e-6)
    assert wrong.covariance > 0
    total = wrong.total(RefinerConfig(weight_mse=3.0, weight_covariance=0.0, weight_l1=0.0))
    assert_allclose(total.item(), 12.0, rtol=1e-6)


def test_covariance_loss_is_zero_in_expectation_at_the_true_conditional_mean():
    """Over 50,000 normal rows, half hidden, only sampling error remains; without C it would not."""
    rng = np.random.default_rng(0)
    cov = np.array([[1.0, 0.6, 0.3], [0.6, 1.0, 0.5], [0.3, 0.5, 1.0]])
    z = torch.as_tensor(rng.multivariate_normal(np.zeros(3), cov, 50_000))
    shown = torch.as_tensor(rng.random((50_000, 3)) < 0.5)
    rule = GaussianRule(variables=("a", "b", "c"), means=(np.zeros(3),), covs=(cov,))
    unit = Scaling(mean=np.zeros(3), sd=np.ones(3))
    masked, covariance = Remasker(rule, unit, CPU)(z, shown, torch.zeros(50_000, dtype=torch.int64))
    network = make_network()
    loss = training.losses(network, masked, covariance, z.float(), ~shown)
    without = training.losses(network, masked, torch.zeros_like(covariance), z.float(), ~shown)
    assert loss.covariance < 2e-4
    assert without.covariance > 1e-2


def test_hidden_rates_stay_between_the_limits():
    n = 4000
    data = training.TrainingData(
        z=torch.zeros(n, 50, dtype=torch.float64),
        observed=torch.ones(n, 50, dtype=torch.bool),
        group=torch.zeros(n, dtype=torch.int64),
        target=torch.ones(n, 50, dtype=torch.bool),
    )
    config = RefinerConfig(hide_rate=(0.2, 0.4), rows_per_epoch=1000, batch_size=300)
    batches = list(training._batches(data, config, np.random.default_rng(0)))
    rows = torch.cat([rows for rows, _ in batches])
    share = torch.cat([hidden for _, hidden in batches]).double().mean(dim=1)
    assert [len(rows) for rows, _ in batches] == [300, 300, 300, 100]
    assert len(rows.unique()) == 1000
    assert_allclose(share.mean().item(), 0.3, atol=0.01)
    # Uniform(.2, .4) has standard deviation .058, fifty coins at .3 another .064.
    assert_allclose(share.std().item(), 0.087, atol=0.01)
