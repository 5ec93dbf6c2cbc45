"""Losses, batches and the course of training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from completions import QUICK, SHORT, complete, gaussian, parabola
from numpy.testing import assert_allclose

from fosa_sem.errors import FosaWarning
from fosa_sem.imputation.completion import GaussianRule
from fosa_sem.refine import training
from fosa_sem.refine.attention import AttentionNetworks
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.folds import TrainingData, assign_folds
from fosa_sem.refine.heads import FLOOR, Heads
from fosa_sem.refine.refiner import AttentionRefiner
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling

CPU = torch.device("cpu")
ONE = RefinerConfig(heads=2, width=8, components=1)
UNIT = Scaling(mean=np.zeros(3), sd=np.ones(3))
COV = np.array([[1.0, 0.6, 0.3], [0.6, 1.0, 0.5], [0.3, 0.5, 1.0]])


def silent_networks(p=3, networks=2, config=ONE):
    """Networks that put out zeros, which read as the rule's normal distribution (and a floor), and their heads."""
    made = AttentionNetworks(p, 3 * config.components, config, networks, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.read_out.zero_()
    return made, Heads.from_levels([None] * p, config, CPU)


def make_batch(n=20, p=3, seed=0):
    """Hidden cells have their conditional mean as true value; the first column is hidden but no target."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.rand((2, n, p), generator=generator) < 0.4
    value = torch.randn((2, n, p), generator=generator)
    target = hidden.clone()
    target[..., 0] = False
    truth = torch.where(hidden & ~target, 99.0, value)
    rows = MaskedRows(value=value, sd=hidden * 0.7, hidden=hidden)
    return training.Batch(rows=rows, covariance=torch.zeros(2, n, p, p), z=truth, target=target)


def normal_batch(n, networks=1):
    """Rows of a normal distribution with half of the cells hidden, under the true rule."""
    rng = np.random.default_rng(0)
    z = torch.as_tensor(rng.multivariate_normal(np.zeros(3), COV, (networks, n)))
    shown = torch.as_tensor(rng.random((networks, n, 3)) < 0.5)
    rule = GaussianRule(variables=("a", "b", "c"), means=(np.zeros(3),), covs=(COV,))
    rows, covariance = Remasker(rule, UNIT, CPU)(z, shown, torch.zeros((networks, n), dtype=torch.int64))
    return training.Batch(rows=rows, covariance=covariance, z=z.float(), target=~shown)


# ---- losses ------------------------------------------------------------------------------------------------


def test_losses_vanish_at_the_truth_and_count_only_targets():
    batch, (networks, heads) = make_batch(), silent_networks()
    right = training.losses(networks, heads, batch)
    assert (right.mse == 0).all()
    assert_allclose(right.covariance.detach(), 0, atol=1e-12)
    moved = dataclasses.replace(batch, z=batch.z + 2.0 * batch.target)
    wrong = training.losses(networks, heads, moved)
    assert_allclose(wrong.mse.detach(), 4.0, rtol=1e-5)
    assert (wrong.covariance > 0).all()
    only_mse = RefinerConfig(weight_mse=3.0, weight_likelihood=0.0, weight_covariance=0.0, weight_l1=0.0)
    assert_allclose(wrong.total(only_mse).detach(), 12.0, rtol=1e-5)
    weighed = RefinerConfig(weight_mse=1.0, weight_likelihood=2.0, weight_covariance=3.0, weight_l1=4.0)
    expected = wrong.mse + 2 * wrong.likelihood + 3 * wrong.covariance + 4 * wrong.l1
    assert_allclose(wrong.total(weighed).detach(), expected.detach(), rtol=1e-6)


def test_the_likelihood_of_silent_networks_is_the_rules():
    """On 20,000 normal rows; in expectation the squared z-score is the rule's variance over that with the floor."""
    batch, (networks, heads) = normal_batch(20_000), silent_networks(networks=1)
    sd = batch.rows.sd[batch.target].double() + FLOOR
    z = (batch.z - batch.rows.value)[batch.target].double() / sd
    expected = (sd.log() + z.square() / 2).mean() + np.log(2 * np.pi) / 2
    loss = training.losses(networks, heads, batch)
    assert_allclose(loss.likelihood.detach(), expected, rtol=1e-5)
    entropy = (sd.log() + ((sd - FLOOR) / sd).square() / 2).mean() + np.log(2 * np.pi) / 2
    assert_allclose(loss.likelihood.item(), entropy, atol=0.02)  # 30,000 halves of z squared: standard error .004


def test_networks_have_losses_and_gradients_of_their_own():
    batch, (networks, heads) = make_batch(), silent_networks()
    with torch.no_grad():
        networks.read_out.normal_(generator=torch.Generator().manual_seed(0))
    total = training.losses(networks, heads, batch).total(ONE)
    assert total.shape == (2,)
    (gradient,) = torch.autograd.grad(total[0], networks.read_out)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


def test_a_batch_without_a_target_has_a_finite_loss_and_gradient():
    batch, (networks, heads) = make_batch(), silent_networks()
    loss = training.losses(networks, heads, dataclasses.replace(batch, target=torch.zeros_like(batch.target)))
    assert loss.mse.tolist() == loss.likelihood.tolist() == [0, 0]
    loss.total(ONE).sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in networks.parameters())


def test_covariance_loss_is_zero_in_expectation_at_the_true_conditional_mean():
    """Over 50,000 normal rows, half hidden, only sampling error remains; without C it would not."""
    batch, (networks, heads) = normal_batch(50_000), silent_networks(networks=1)
    blind = dataclasses.replace(batch, covariance=torch.zeros_like(batch.covariance))
    assert training.losses(networks, heads, batch).covariance.item() < 2e-4
    assert training.losses(networks, heads, blind).covariance.item() > 1e-2


def test_a_true_correction_takes_its_share_of_the_conditional_covariance():
    """y = (x^2 - 1) / sqrt(2), hidden: the rule knows only its variance 1, all of which the correction explains."""
    x = np.random.default_rng(0).standard_normal(50_000)
    y = (x**2 - 1) / np.sqrt(2)
    z, hidden = (
        torch.as_tensor(np.stack([x, y], axis=1)[None]).float(),
        torch.tensor([False, True]).expand(1, 50_000, 2),
    )
    rows = MaskedRows(value=z * ~hidden, sd=hidden.float(), hidden=hidden)
    covariance = torch.diag(torch.tensor([0.0, 1.0])).expand(1, 50_000, 2, 2)
    batch = training.Batch(rows=rows, covariance=covariance, z=z, target=hidden)
    # the mean of y^2 has a standard error of .017, of which the square enters, a quarter of it
    assert training._covariance_gap(batch, z * hidden).item() < 5e-4
    # and a correction by x itself, which has nothing to do with y, moves their covariance by 1
    wrong = z[..., [0, 0]] * hidden
    assert_allclose(training._covariance_gap(batch, wrong).item(), 0.5, atol=0.02)


# ---- batches -----------------------------------------------------------------------------------------------


def numbered(n, p, folds, seed=0):
    """Rows whose z-scores number the cells, from 1; a fifth is missing."""
    rng = np.random.default_rng(seed)
    observed = rng.random((n, p)) < 0.8
    z = np.where(observed, np.arange(1.0, n * p + 1).reshape(n, p), 0.0)
    rule = GaussianRule(variables=tuple(map(str, range(p))), means=(np.zeros(p),), covs=(np.eye(p),))
    data = TrainingData(
        z=torch.as_tensor(z),
        observed=torch.as_tensor(observed),
        group=torch.zeros(n, dtype=torch.int64),
        fold=torch.as_tensor(assign_folds(observed, folds, rng)),
        owner=torch.arange(p),
    )
    return data, Remasker(rule, Scaling(mean=np.zeros(p), sd=np.ones(p)), CPU)


def test_targets_are_observed_cells_of_other_folds():
    data, remasker = numbered(100, 4, folds=3)
    fold, learned = data.fold.flatten(), [set(), set()]
    config = dataclasses.replace(QUICK, hide_rate=(0.5, 0.7))
    for seed in range(20):
        for batch in training.batches(data, remasker, torch.tensor([2, 0]), config, np.random.default_rng(seed)):
            assert (batch.rows.hidden | ~batch.target).all()
            for k, own in enumerate([2, 0]):
                cells = batch.z[k][batch.target[k]].long() - 1
                assert (cells >= 0).all()
                assert not (fold[cells] == own).any()
                learned[k] |= set(cells.tolist())
    for k, own in enumerate([2, 0]):
        assert learned[k] == set(torch.nonzero((fold >= 0) & (fold != own))[:, 0].tolist())


def test_missing_cells_are_hidden_and_no_row_is_predicted_from_nothing():
    data, remasker = numbered(100, 4, folds=2)
    config = dataclasses.replace(QUICK, hide_rate=(0.8, 0.9))
    for batch in training.batches(data, remasker, torch.tensor([0, 1]), config, np.random.default_rng(0)):
        assert batch.rows.hidden[batch.z == 0].all()
        assert not batch.target[batch.rows.hidden.all(dim=2)].any()
        assert batch.target.any()


def test_hidden_rates_stay_between_the_limits_and_each_network_has_its_own_rows():
    n, p = 4000, 50
    data = TrainingData(
        z=torch.arange(float(n), dtype=torch.float64)[:, None].expand(n, p),
        observed=torch.ones(n, p, dtype=torch.bool),
        group=torch.zeros(n, dtype=torch.int64),
        fold=torch.zeros(n, p, dtype=torch.int64),
        owner=torch.arange(p),
    )
    _, remasker = numbered(1, p, folds=2)
    config = RefinerConfig(hide_rate=(0.2, 0.4), rows_per_epoch=1000, batch_size=300)
    made = list(training.batches(data, remasker, torch.tensor([0, 1]), config, np.random.default_rng(0)))
    rows = torch.cat([batch.z[:, :, 0] for batch in made], dim=1)
    share = torch.cat([batch.rows.hidden for batch in made], dim=1).double().mean(dim=2)
    assert [batch.z.shape[1] for batch in made] == [300, 300, 300, 100]
    assert all(len(one.unique()) == 1000 for one in rows)
    assert not torch.equal(rows[0], rows[1])
    assert_allclose(share.mean().item(), 0.3, atol=0.01)
    # Uniform(.2, .4) has standard deviation .058, fifty coins at .3 another .064.
    assert_allclose(share.std().item(), 0.087, atol=0.01)
    assert_allclose(np.corrcoef(share.numpy())[0, 1], 0.0, atol=0.12)


# ---- learning rate and gradients ---------------------------------------------------------------------------


def test_the_learning_rate_rises_and_falls_or_stays():
    config = RefinerConfig(epochs=100, learning_rate=0.01, batch_size=100, rows_per_epoch=400)
    rates = [training.learning_rate(epoch, 1000, config) for epoch in range(1, 101)]
    assert_allclose(rates[0], 0.01 / training.WARMUP_STEPS, rtol=1e-12)  # one step of fifty
    assert rates[:12] == sorted(rates[:12])
    assert rates[13:] == sorted(rates[13:], reverse=True)
    assert_allclose(rates[50], 0.01 * (0.02 + 0.98 / 2), rtol=1e-12)
    assert 0.0002 <= rates[-1] < 0.00025
    constant = dataclasses.replace(config, schedule="constant")
    assert {training.learning_rate(epoch, 1000, constant) for epoch in range(1, 101)} == {0.01}


def test_each_networks_gradient_is_clipped_by_itself():
    networks, _ = silent_networks()
    for weight in networks.parameters():
        weight.grad = torch.ones_like(weight)
        weight.grad[1] *= 1e-6
    training._clip_gradients(networks)
    norm = sum(weight.grad.flatten(1).square().sum(dim=1) for weight in networks.parameters()).sqrt()
    count = sum(weight[0].numel() for weight in networks.parameters())
    assert_allclose(norm, [training.MAX_GRADIENT_NORM, 1e-6 * count**0.5], rtol=1e-4)


# ---- memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), MemoryError(),
              RuntimeError("can't allocate memory"), torch.OutOfMemoryError("CUDA out of memory")]
)  # fmt: skip
def test_prediction_goes_on_with_fewer_rows_if_memory_runs_out(error):
    networks, heads = silent_networks()
    with torch.no_grad():
        networks.read_out.normal_(generator=torch.Generator().manual_seed(0))
    rows, seen = make_batch(n=50).rows, []

    def small_machine(some):
        seen.append(some.value.shape[1])
        if seen[-1] > 12:
            raise error
        return networks(some)

    small_machine.read_out = networks.read_out
    [(everything, whole)] = training.predict(networks, heads, rows, lambda part, one: (part, one.correction))
    parts = training.predict(small_machine, heads, rows, lambda part, one: (part, one.correction))
    assert everything == slice(0, 50)
    # 50 rows are halved until at most 12 remain
    assert [part.start for part, _ in parts] == [0, 12, 18, 25, 37, 43]
    assert sorted(seen) == [6, 6, 7, 7, 12, 12, 13, 13, 25, 25, 50]
    # products of other sizes round differently
    assert_allclose(torch.cat([one for _, one in parts], dim=1), whole, atol=1e-6)


def test_one_row_that_does_not_fit_and_other_errors_are_raised():
    rows, heads = make_batch().rows, silent_networks()[1]

    def refuse(message):
        def networks(some):
            raise RuntimeError(message)

        return networks

    for message in ("not enough memory", "shapes do not match"):
        with pytest.raises(RuntimeError, match=message):
            training.predict(refuse(message), heads, rows, lambda _, one: one.correction)


def test_training_starts_again_with_half_the_batch_if_memory_runs_out(monkeypatch):
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))
    original = training.losses

    def small_machine(networks, heads, batch, generator=None):
        if batch.z.shape[1] > 15:
            raise RuntimeError("not enough memory")
        return original(networks, heads, batch, generator)

    expected = AttentionRefiner(config=dataclasses.replace(QUICK, batch_size=15)).fit(completion)
    monkeypatch.setattr(training, "losses", small_machine)
    found = AttentionRefiner(config=dataclasses.replace(QUICK, batch_size=61)).fit(completion)
    assert found.history.equals(expected.history)

    def too_small(*args):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(training, "losses", too_small)
    with pytest.raises(RuntimeError, match="not enough memory"):
        AttentionRefiner(config=QUICK).fit(completion)


# ---- how training ends -------------------------------------------------------------------------------------

# By epoch 12 its corrections beat the conditional mean, whatever the seed.
SOON = dataclasses.replace(SHORT, schedule="constant", learning_rate=0.01, weight_likelihood=0.0)


def test_a_loss_that_is_not_finite_stops_training_and_keeps_no_correction(monkeypatch):
    truth, mask = parabola()
    completion = complete(truth.mask(mask))
    original, calls = training.losses, []

    def broken(*args, **kwargs):
        calls.append(1)
        loss = original(*args, **kwargs)
        return dataclasses.replace(loss, mse=loss.mse * (float("nan") if len(calls) > 100 else 1.0))

    monkeypatch.setattr(training, "losses", broken)
    with pytest.warns(FosaWarning, match="not finite by epoch 16"):
        fitted = AttentionRefiner(config=SOON).fit(completion)  # 4 batches x 2 teams x 12 epochs = 96
    assert fitted.history["epoch"].tolist() == [4, 8, 12]
    assert fitted.history["heldout_mse"].min() < fitted.history["baseline_mse"].iloc[0]
    assert fitted.weights is None
    assert fitted.gates["gate"].tolist() == [0.0, 0.0]
    assert (fitted.refine(completion).values == completion.mean).all()


def test_an_interrupted_training_keeps_the_best_weights_so_far(monkeypatch):
    truth, mask = parabola()
    completion = complete(truth.mask(mask))
    shorter = AttentionRefiner(config=dataclasses.replace(SOON, epochs=12)).fit(completion)
    original = training.Team.run_epoch

    def interrupted(team, epoch):
        if epoch == 14:
            raise KeyboardInterrupt
        original(team, epoch)

    monkeypatch.setattr(training.Team, "run_epoch", interrupted)
    with pytest.warns(FosaWarning, match="interrupted after epoch 12"):
        fitted = AttentionRefiner(config=SOON).fit(completion)
    assert fitted.history.equals(shorter.history)
    assert shorter.weights is not None
    assert all((fitted.weights[name] == value).all() for name, value in shorter.weights.items())
    assert (fitted.refine(completion).values == shorter.refine(completion).values).all()


def test_an_interruption_at_once_keeps_no_correction(monkeypatch):
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))

    def interrupted(team, epoch):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Team, "run_epoch", interrupted)
    with pytest.warns(FosaWarning, match="interrupted after epoch 0"):
        fitted = AttentionRefiner(config=QUICK).fit(completion)
    assert fitted.weights is None
    assert fitted.history.empty
    assert (fitted.refine(completion).values == completion.mean).all()


def test_patience_counts_looks_without_improvement():
    truth, mask = gaussian(100)
    completion = complete(truth.mask(mask))
    config = dataclasses.replace(QUICK, epochs=60, patience=3, learning_rate=0.02)
    history = AttentionRefiner(config=config).fit(completion).history
    assert 3 <= len(history) < 60
    best = np.minimum.accumulate(np.r_[history["baseline_mse"].iloc[0], history["heldout_mse"]])
    improved = history["heldout_mse"].to_numpy() < best[:-1]
    assert not improved[-3:].any()
    assert len(improved) == 3 or improved[-4]
    full = AttentionRefiner(config=dataclasses.replace(config, epochs=8, patience=None)).fit(completion).history
    assert full["epoch"].tolist() == list(range(1, 9))


def test_the_last_epoch_is_looked_at_whatever_the_distance_of_looks():
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))
    for check_every, looks in ((2, [2, 4, 5]), (5, [5]), (100, [5])):
        config = dataclasses.replace(QUICK, epochs=5, check_every=check_every, patience=None)
        assert AttentionRefiner(config=config).fit(completion).history["epoch"].tolist() == looks


def test_the_strength_of_the_prior_is_learned():
    truth, mask = parabola()
    completion = complete(truth.mask(mask))
    weights = AttentionRefiner(config=dataclasses.replace(SHORT, attention_prior=True)).fit(completion).weights
    assert weights["strength"].shape == (2, 1, 2, 1, 1)
    assert (weights["strength"] != 0).all()


def test_progress_is_shown_only_on_request(capsys):
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))
    AttentionRefiner(config=QUICK).fit(completion)
    assert capsys.readouterr().err == ""
    AttentionRefiner(config=QUICK).fit(completion, progress=True)
    assert "refiner" in capsys.readouterr().err
