from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from completions import QUICK, SHORT, complete, gaussian, masked_mse, nonlinear, parabola, with_gates

from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.completion import GaussianRule, Origin
from fosa_sem.refine import training
from fosa_sem.refine.folds import assign_folds
from fosa_sem.refine.refiner import AttentionRefiner


@pytest.fixture(scope="module")
def curved():
    truth, mask = nonlinear()
    mask[:3] = True
    completion = complete(truth.mask(mask))
    config = dataclasses.replace(SHORT, layers=2, epochs=40, check_every=10, batch_size=128, hide_rate=(0.1, 0.4))
    return truth, mask, completion, AttentionRefiner(config=config).fit(completion)


def test_a_nonlinear_relation_is_found(curved):
    truth, mask, completion, fitted = curved
    refined = fitted.refine(completion)
    assert (fitted.gates["gate"] > 0).any()
    assert masked_mse(truth, mask, refined) < 0.75 * masked_mse(truth, mask, completion)


def test_observed_cells_are_bit_identical_and_origins_tell(curved):
    truth, mask, completion, fitted = curved
    refined = fitted.refine(completion)
    assert (refined.values[~mask] == truth.to_numpy()[~mask]).all()
    assert (refined.origin[~mask] == Origin.OBSERVED).all()
    changed = refined.values != completion.values
    assert ((refined.origin == Origin.REFINED) == changed).all()
    assert refined.mean is completion.mean


def test_the_completion_is_not_changed(curved):
    _, _, completion, fitted = curved
    before = pickle.dumps(completion)
    fitted.refine(completion)
    AttentionRefiner(config=QUICK).fit(completion)
    assert pickle.dumps(completion) == before


def test_gate_zero_is_the_conditional_mean_exactly(curved):
    _, mask, completion, fitted = curved
    gate = np.array([0.0, 1.0, 0.0, 0.5, 0.0])
    refined = with_gates(fitted, gate).refine(completion)
    assert (refined.values[:, gate == 0] == completion.mean[:, gate == 0]).all()
    assert (refined.origin[:, gate == 0] != Origin.REFINED).all()
    assert (refined.values[3:, 1] != completion.mean[3:, 1])[mask[3:, 1]].all()
    assert (with_gates(fitted, 0.0).refine(completion).values == completion.mean).all()


def test_correction_is_proportional_to_the_gate(curved):
    _, _, completion, fitted = curved
    full = with_gates(fitted, 1.0).refine(completion).values - completion.mean
    half = with_gates(fitted, 0.5).refine(completion).values - completion.mean
    np.testing.assert_allclose(half, full / 2, atol=1e-12)


def test_rows_with_nothing_observed_keep_the_means(curved):
    _, _, completion, fitted = curved
    refined = with_gates(fitted, 1.0).refine(completion)
    assert (refined.values[:3] == completion.rule.means[0]).all()


def test_row_order_and_repeated_rows_do_not_matter(curved):
    _, _, completion, fitted = curved
    order = np.random.default_rng(0).permutation(len(completion.values))
    order = np.concatenate([order, order[:50]])
    names = ("values", "observed", "mean", "sd", "origin", "group")
    cells = {name: getattr(completion, name)[order] for name in names}
    shuffled = dataclasses.replace(completion, table=completion.table.iloc[order], **cells)
    assert (fitted.refine(shuffled).values == fitted.refine(completion).values[order]).all()


def test_new_rows_and_patterns(curved):
    _, _, completion, fitted = curved
    new = pd.DataFrame(
        [[0.5, np.nan, 9.0, np.nan, np.nan], [np.nan] * 5, [1.0] * 5, [np.nan, 1e9, np.nan, 0.0, 0.0]],
        columns=list("ABCDE"),
        index=["p", "q", "r", "s"],
    )
    refined = with_gates(fitted, 1.0).refine(complete(new, rule=completion.rule))
    frame = refined.to_frame()
    assert np.isfinite(frame.to_numpy()).all()
    assert frame.index.tolist() == ["p", "q", "r", "s"]
    assert frame.loc["r"].tolist() == [1.0] * 5
    none = fitted.refine(complete(new.iloc[:0], rule=completion.rule))
    assert none.values.shape == (0, 5)


def test_other_columns_are_refused(curved):
    _, _, completion, fitted = curved
    rule = dataclasses.replace(completion.rule, variables=tuple("ABCED"))
    with pytest.raises(DataError, match=r"\['A', 'B', 'C', 'D', 'E'\].*\['A', 'B', 'C', 'E', 'D'\]"):
        fitted.refine(dataclasses.replace(completion, rule=rule))


def test_history_gates_and_calibration_are_complete(curved):
    *_, completion, fitted = curved
    assert fitted.history.columns.tolist() == training.HISTORY
    assert np.isfinite(fitted.history.to_numpy(dtype=float)).all()
    assert fitted.history["epoch"].tolist() == [10, 20, 30, 40]
    assert fitted.history["heldout_mse"].min() < fitted.history["baseline_mse"].iloc[0]
    assert fitted.history["baseline_mse"].nunique() == 1
    assert fitted.gates["variable"].tolist() == list("ABCDE")
    assert fitted.gates["gate"].isin([0.0, 1.0]).all()
    observed = completion.observed & (completion.observed.sum(axis=1, keepdims=True) > 1)
    assert fitted.gates["n_heldout"].tolist() == observed.sum(axis=0).tolist()
    assert fitted.calibration["variable"].tolist() == list("ABCDE")
    assert (fitted.spread == fitted.calibration["spread"]).all()
    assert (fitted.spread[fitted.gates["gate"] == 1] < 1.1).all()


def test_every_network_is_kept(curved):
    *_, fitted = curved
    assert {len(value) for value in fitted.weights.values()} == {fitted.config.folds}
    assert {value.dtype for value in fitted.weights.values()} == {np.dtype(np.float32)}


def test_missing_cells_get_the_average_of_the_networks(curved):
    _, _, completion, fitted = curved
    corrections = []
    for k in range(2):
        alone = {name: value[[k, k]] for name, value in fitted.weights.items()}
        single = with_gates(dataclasses.replace(fitted, weights=alone), 1.0)
        corrections.append(single.refine(completion).values - completion.mean)
    found = with_gates(fitted, 1.0).refine(completion).values - completion.mean
    np.testing.assert_allclose(found, np.mean(corrections, axis=0), atol=1e-4)
    assert np.abs(corrections[0] - corrections[1]).max() > 0.01


def test_without_gating_every_correction_is_kept(curved):
    _, _, completion, fitted = curved
    config = dataclasses.replace(fitted.config, gated=False, epochs=1)
    open_gates = AttentionRefiner(config=config).fit(completion)
    assert open_gates.gates["gate"].tolist() == [1.0] * 5
    assert open_gates.gates["n_heldout"].tolist() == fitted.gates["n_heldout"].tolist()


def test_a_fitted_refiner_survives_pickling(curved):
    _, _, completion, fitted = curved
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.refine(completion).values == fitted.refine(completion).values).all()


def refined_values(completion, **options):
    fitted = AttentionRefiner(config=dataclasses.replace(SHORT, **options)).fit(completion)
    assert fitted.weights is not None
    return with_gates(fitted, 1.0).refine(completion).values


def test_same_seed_same_numbers_whatever_ran_before_and_on_other_numbers_of_threads():
    truth, mask = parabola()
    completion = complete(truth.mask(mask))
    threads = torch.get_num_threads()
    first = refined_values(completion)
    assert torch.get_num_threads() == threads
    torch.rand(3)
    np.random.random(3)
    other = 1 if threads > 1 else 2
    torch.set_num_threads(other)
    try:
        assert (refined_values(completion) == first).all()
        assert torch.get_num_threads() == other
    finally:
        torch.set_num_threads(threads)
    assert (first != completion.mean).any()
    assert (refined_values(completion, seed=1) != first).any()


@pytest.mark.parametrize("seed", range(2))
def test_gaussian_data_come_back_as_the_conditional_mean(seed):
    """Nothing is left to learn: at most .002 of the variance may be lost, and mostly nothing changes."""
    truth, mask = gaussian(seed=seed)
    completion = complete(truth.mask(mask))
    config = dataclasses.replace(QUICK, epochs=15, check_every=3, learning_rate=0.005)
    refined = AttentionRefiner(config=config).fit(completion).refine(completion)
    assert masked_mse(truth, mask, refined) <= masked_mse(truth, mask, completion) + 0.002


def test_gates_are_mostly_closed_on_gaussian_data():
    closed = 0
    for seed in range(8):
        truth, mask = gaussian(120, seed=100 + seed)
        config = dataclasses.replace(QUICK, epochs=6, check_every=2, learning_rate=0.005)
        fitted = AttentionRefiner(config=config).fit(complete(truth.mask(mask)))
        closed += bool((fitted.gates["gate"] == 0).all())
    assert closed >= 7


def test_held_out_cells_are_never_targets(monkeypatch):
    """Cells are known by their values: in no batch of a whole fit a network is given one of its own fold to learn."""
    truth, mask = gaussian(80)
    completion = complete(truth.mask(mask))
    original, networks = training.batches, []

    def spy(data, remasker, folds, config, rng):
        z = data.z.float()
        for batch in original(data, remasker, folds, config, rng):
            for k, fold in enumerate(folds):
                networks.append(int(fold))
                for j in range(4):
                    learned = batch.z[k, :, j][batch.target[k, :, j]]
                    assert not torch.isin(learned, z[data.fold[:, j] == fold, j]).any()
                    assert torch.isin(learned, z[data.observed[:, j], j]).all()
            yield batch

    monkeypatch.setattr(training, "batches", spy)
    AttentionRefiner(config=dataclasses.replace(QUICK, folds=5)).fit(completion)
    assert sorted(set(networks)) == [0, 1, 2, 3, 4]


def test_cells_are_judged_by_the_network_that_never_learned_them():
    """A gain is the held-out error of each fold's own network: computed here from the weights of each by itself."""
    truth, mask = parabola(120)
    completion = complete(truth.mask(mask))
    fitted = AttentionRefiner(config=SHORT).fit(completion)
    fold = assign_folds(completion.observed, 2, np.random.default_rng([SHORT.seed, 0]))
    gains = [[], []]
    for i, j in zip(*np.nonzero(fold >= 0), strict=True):
        frame = truth.mask(mask).iloc[[i]].copy()
        frame.iloc[0, j] = np.nan
        one = complete(frame, rule=completion.rule)
        own = {name: value[[fold[i, j]] * 2] for name, value in fitted.weights.items()}
        refined = with_gates(dataclasses.replace(fitted, weights=own), 1.0).refine(one)
        errors = (truth.iloc[i, j] - np.array([one.values[0, j], refined.values[0, j]])) / fitted.scaling.sd[j]
        gains[j].append(errors[0] ** 2 - errors[1] ** 2)
    np.testing.assert_allclose(fitted.gates["gain"], [np.mean(one) for one in gains], atol=1e-4)


def test_no_missing_cells():
    truth, _ = gaussian(100)
    completion = complete(truth)
    fitted = AttentionRefiner(config=QUICK).fit(completion)
    assert (fitted.refine(completion).values == truth.to_numpy()).all()


def test_one_variable_has_nothing_to_learn_from():
    truth, mask = gaussian(100, p=1)
    completion = complete(truth.mask(mask))
    fitted = AttentionRefiner(config=QUICK).fit(completion)
    assert fitted.gates["gate"].tolist() == [0.0]
    assert fitted.gates["n_heldout"].tolist() == [0]
    assert fitted.history.empty
    assert (fitted.refine(completion).values == completion.mean).all()


def test_a_nearly_unobserved_variable_keeps_its_conditional_mean():
    truth, mask = nonlinear(300)
    rule = complete(truth.mask(mask)).rule
    mask[8:, 1] = True
    completion = complete(truth.mask(mask), rule=rule)
    fitted = AttentionRefiner(config=SHORT).fit(completion)
    row = fitted.gates.iloc[1]
    assert row["gate"] == 0
    assert 0 < row["n_heldout"] < 10
    assert fitted.weights is not None
    assert (fitted.refine(completion).values[:, 1] == completion.mean[:, 1]).all()


def test_tiny_and_never_observed_data_do_not_crash():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, np.nan], "c": [np.nan] * 3})
    rule = GaussianRule(variables=("a", "b", "c"), means=(np.zeros(3),), covs=(np.eye(3),))
    completion = complete(frame, rule=rule)
    for folds in (2, 5):  # five: more than the cells, so that a team has none
        fitted = AttentionRefiner(config=dataclasses.replace(QUICK, folds=folds)).fit(completion)
        assert (fitted.gates["gate"] == 0).all()
        assert (fitted.refine(completion).values == completion.mean).all()
        assert (fitted.predictive(completion).expectation() == completion.mean[~completion.observed]).all()


def test_singular_covariance_and_a_constant_column():
    truth, mask = gaussian(200, p=2)
    truth = truth.assign(total=truth["x0"] + truth["x1"], difference=truth["x0"] - truth["x1"], one=1.0)
    mask = np.random.default_rng(5).random(truth.shape) < 0.2
    completion = complete(truth.mask(mask))
    fitted = AttentionRefiner(config=QUICK).fit(completion)
    refined = with_gates(fitted, 1.0).refine(completion)
    assert np.isfinite(refined.values).all()
    np.testing.assert_allclose(refined.values[:, 4], 1.0, atol=1e-6)


def test_groups_use_their_own_moments():
    """Two groups with opposite regressions: the residual over the pooled rule is large, over both small."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    group = np.repeat([0, 1], 200)
    truth = pd.DataFrame({"x": x, "y": np.where(group == 0, x, 10 - x) + rng.normal(0, 0.1, 400)})
    mask = rng.random((400, 2)) < 0.2
    completion = complete(truth.mask(mask), group=group)
    fitted = AttentionRefiner(config=QUICK).fit(completion)
    pooled = complete(truth.mask(mask))
    blind = AttentionRefiner(config=QUICK).fit(pooled)
    assert fitted.history["baseline_mse"].iloc[0] < 0.3 * blind.history["baseline_mse"].iloc[0]
    assert np.isfinite(with_gates(fitted, 1.0).refine(completion).values).all()


def test_units_do_not_matter():
    truth, mask = parabola()
    completion = complete(truth.mask(mask))
    scale, shift = np.array([1e-4, 1e5]), np.array([50.0, -3.0])
    rule = GaussianRule(
        variables=completion.variables,
        means=(completion.rule.means[0] * scale + shift,),
        covs=(completion.rule.covs[0] * np.outer(scale, scale),),
    )
    other = complete(truth.mask(mask) * scale + shift, rule=rule)
    one = refined_values(completion) - completion.mean
    two = (refined_values(other) - other.mean) / scale
    np.testing.assert_allclose(two, one, atol=1e-3)
    assert np.abs(one).max() > 0.01


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_cuda_without_a_device_is_an_option_error():
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))
    with pytest.raises(OptionError, match="device='cuda'"):
        AttentionRefiner(config=dataclasses.replace(QUICK, device="cuda")).fit(completion)
    AttentionRefiner(config=dataclasses.replace(QUICK, device="auto")).fit(completion)
