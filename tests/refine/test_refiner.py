from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from fosa_sem.errors import DataError, FosaWarning, OptionError
from fosa_sem.imputation.completion import Completion, GaussianRule, Origin, iterate_patterns
from fosa_sem.refine import training
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.refiner import AttentionRefiner

QUICK = RefinerConfig(heads=2, width=16, layers=1, epochs=5, folds=1)


def em_moments(x, observed, steps=60):
    """Saturated normal moments of one group by EM."""
    mean, cov = np.nanmean(x, axis=0), np.diag(np.nanvar(x, axis=0))
    for _ in range(steps):
        rule = GaussianRule(variables=tuple(map(str, range(x.shape[1]))), means=(mean,), covs=(cov,))
        filled, extra = rule.conditional(x, observed)[0], np.zeros_like(cov)
        for rows, pattern, _ in iterate_patterns(observed):
            missing = np.flatnonzero(~pattern)
            extra[np.ix_(missing, missing)] += len(rows) * rule.pattern(x[rows], pattern).cov
        mean = filled.mean(axis=0)
        cov = ((filled - mean).T @ (filled - mean) + extra) / len(x)
    return mean, cov


def complete(frame, group=None, rule=None):
    """The completion of a frame under its saturated moments (per group), or under a given rule."""
    x = frame.to_numpy(dtype=float)
    observed = ~np.isnan(x)
    group = np.zeros(len(x), dtype=np.intp) if group is None else group
    if rule is None:
        moments = [em_moments(x[group == g], observed[group == g]) for g in np.unique(group)]
        rule = GaussianRule(
            variables=tuple(frame.columns),
            means=tuple(m for m, _ in moments),
            covs=tuple(c for _, c in moments),
        )
    mean, sd = rule.conditional(x, observed, group)
    origin = np.where(observed, np.int8(Origin.OBSERVED), np.int8(Origin.SEM))
    return Completion(
        table=frame, values=mean, observed=observed, mean=mean, sd=sd, origin=origin, group=group, rule=rule
    )


def nonlinear(n=500, seed=0):
    """C is quadratic in B, D a product: linear regression misses both."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    c, d = a + 2 * b**2, a * b
    e = 2 * c + 3 * d + rng.normal(0, 0.5, n)
    return pd.DataFrame({"A": a, "B": b, "C": c, "D": d, "E": e}), rng.random((n, 5)) < 0.2


def gaussian(n=300, p=4, seed=0, rate=0.2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) + rng.normal(size=(n, p))
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(p)]), rng.random((n, p)) < rate


def masked_mse(truth, mask, completion):
    z = (truth.to_numpy() - completion.values) / truth.to_numpy().std(axis=0)
    return (z[mask] ** 2).mean()


def with_gates(fitted, gate):
    return dataclasses.replace(fitted, gates=fitted.gates.assign(gate=gate))


@pytest.fixture(scope="module")
def curved():
    truth, mask = nonlinear()
    mask[:3] = True
    completion = complete(truth.mask(mask))
    config = RefinerConfig(width=32, layers=2, epochs=60, dropout=0.1, learning_rate=0.004, folds=2)
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


def test_history_and_gates_are_complete(curved):
    *_, fitted = curved
    assert fitted.history.columns.tolist() == [*training.HISTORY, "fold"]
    assert np.isfinite(fitted.history.to_numpy(dtype=float)).all()
    assert fitted.history.groupby("fold")["epoch"].apply(lambda e: e.tolist() == list(range(1, len(e) + 1))).all()
    assert fitted.history["heldout_mse"].min() < fitted.history["baseline_mse"].iloc[0]
    assert fitted.gates["variable"].tolist() == list("ABCDE")
    assert fitted.gates["gate"].between(0, 1).all()
    assert (fitted.gates["n_heldout"] > 100).all()


def test_a_fitted_refiner_survives_pickling(curved):
    _, _, completion, fitted = curved
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.refine(completion).values == fitted.refine(completion).values).all()


def refined_values(completion, **options):
    fitted = AttentionRefiner(config=dataclasses.replace(QUICK, **options)).fit(completion)
    return with_gates(fitted, 1.0).refine(completion).values


def test_same_seed_same_numbers_whatever_ran_before():
    truth, mask = nonlinear(200)
    completion = complete(truth.mask(mask))
    options = {"learning_rate": 0.01, "epochs": 20}
    first = refined_values(completion, **options)
    torch.rand(3)
    np.random.random(3)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        assert (refined_values(completion, **options) == first).all()
    finally:
        torch.set_num_threads(threads)
    assert (first != completion.mean).any()
    assert (refined_values(completion, **options, seed=1) != first).any()


@pytest.mark.parametrize("seed", range(4))
def test_gaussian_data_come_back_as_the_conditional_mean(seed):
    """Nothing is left to learn: at most .002 of the variance may be lost, and mostly nothing changes."""
    truth, mask = gaussian(seed=seed)
    completion = complete(truth.mask(mask))
    config = RefinerConfig(width=16, epochs=30, learning_rate=0.005, folds=2)
    refined = AttentionRefiner(config=config).fit(completion).refine(completion)
    assert masked_mse(truth, mask, refined) <= masked_mse(truth, mask, completion) + 0.002


def test_gates_are_mostly_closed_on_gaussian_data():
    closed = 0
    config = RefinerConfig(width=16, layers=1, epochs=10, learning_rate=0.01, folds=2)
    for seed in range(8):
        truth, mask = gaussian(200, seed=100 + seed)
        completion = complete(truth.mask(mask))
        closed += bool((AttentionRefiner(config=config).fit(completion).gates["gate"] == 0).all())
    assert closed >= 7


def test_held_out_cells_are_never_targets(monkeypatch):
    truth, mask = gaussian(100)
    completion = complete(truth.mask(mask))
    seen, original = [], training.train

    def spy(network, data, remasker, probes, *args, **kwargs):
        seen.append(data.target.numpy())
        return original(network, data, remasker, probes, *args, **kwargs)

    monkeypatch.setattr("fosa_sem.refine.refiner.train", spy)
    config = dataclasses.replace(QUICK, folds=5, epochs=1)
    fitted = AttentionRefiner(config=config).fit(completion)
    held = np.stack([completion.observed & ~target for target in seen])
    assert (held.sum(axis=0) <= 1).all()
    assert held.sum(axis=(0, 1)).tolist() == fitted.gates["n_heldout"].tolist()
    assert not any((target & ~completion.observed).any() for target in seen)


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
    mask[20:, 1] = True
    completion = complete(truth.mask(mask))
    config = RefinerConfig(width=16, epochs=20, learning_rate=0.01, folds=1)
    fitted = AttentionRefiner(config=config).fit(completion)
    row = fitted.gates.iloc[1]
    assert row["gate"] == 0
    assert row["n_heldout"] < 10
    assert (fitted.refine(completion).values[:, 1] == completion.mean[:, 1]).all()


def test_tiny_and_never_observed_data_do_not_crash():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, np.nan], "c": [np.nan] * 3})
    rule = GaussianRule(variables=("a", "b", "c"), means=(np.zeros(3),), covs=(np.eye(3),))
    completion = complete(frame, rule=rule)
    fitted = AttentionRefiner(config=QUICK).fit(completion)
    assert (fitted.gates["gate"] == 0).all()
    assert (fitted.refine(completion).values == completion.mean).all()


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
    truth, mask = nonlinear(200)
    completion = complete(truth.mask(mask))
    scale, shift = np.array([1e-4, 1.0, 1e5, 1.0, 10.0]), np.array([0.0, 50.0, 0.0, -3.0, 1e3])
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


def test_a_loss_that_is_not_finite_stops_training_and_keeps_what_was_good(monkeypatch):
    truth, mask = gaussian(100)
    completion = complete(truth.mask(mask))
    original, calls = training.losses, []

    def broken(*args, **kwargs):
        calls.append(1)
        loss = original(*args, **kwargs)
        return dataclasses.replace(loss, mse=loss.mse * (float("nan") if len(calls) > 5 else 1.0))

    monkeypatch.setattr(training, "losses", broken)
    with pytest.warns(FosaWarning, match="not finite in epoch 3"):
        fitted = AttentionRefiner(config=dataclasses.replace(QUICK, epochs=50)).fit(completion)
    assert fitted.history["epoch"].tolist() == [1, 2]
    assert all(np.isfinite(value).all() for weights in fitted.weights for value in weights.values())
    assert np.isfinite(fitted.refine(completion).values).all()


def test_patience_stops_early():
    truth, mask = gaussian(100)
    completion = complete(truth.mask(mask))
    config = dataclasses.replace(QUICK, epochs=60, patience=3, learning_rate=0.02)
    assert len(AttentionRefiner(config=config).fit(completion).history) < 60


def test_progress_is_shown_only_on_request(capsys):
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))
    AttentionRefiner(config=QUICK).fit(completion)
    assert capsys.readouterr().err == ""
    AttentionRefiner(config=QUICK).fit(completion, progress=True)
    assert "refiner" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_cuda_without_a_device_is_an_option_error():
    truth, mask = gaussian(60)
    completion = complete(truth.mask(mask))
    with pytest.raises(OptionError, match="device='cuda'"):
        AttentionRefiner(config=dataclasses.replace(QUICK, device="cuda")).fit(completion)
    AttentionRefiner(config=dataclasses.replace(QUICK, device="auto")).fit(completion)
