"""What outputs mean: mixtures of normal distributions, probabilities of levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import integrate, stats

from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.heads import FLOOR, Heads, Mixture

CPU = torch.device("cpu")
THREE = RefinerConfig(components=3)
LEVELS = [None, torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64), torch.tensor([-0.7, 1.3], dtype=torch.float64)]


def some_outputs(heads, n=12, p=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn((2, n, p, heads.outputs), generator=generator)
    value = torch.randn((2, n, p), generator=generator)
    return output, value, 0.2 + torch.rand((2, n, p), generator=generator)


# ---- mixtures ----------------------------------------------------------------------------------------------


def test_log_density_of_a_mixture_is_scipys():
    rng = np.random.default_rng(0)
    weight, mean, scale = rng.dirichlet([1, 1, 1], 50), rng.normal(size=(50, 3)), rng.uniform(0.1, 2, (50, 3))
    x = rng.normal(scale=2, size=50)
    mixture = Mixture(log_weight=torch.as_tensor(np.log(weight)), mean=torch.as_tensor(mean),
                      log_scale=torch.as_tensor(np.log(scale)))  # fmt: skip
    expected = np.log((weight * stats.norm(mean, scale).pdf(x[:, None])).sum(axis=1))
    assert_allclose(mixture.log_density(torch.as_tensor(x)), expected, rtol=1e-10)
    assert_allclose(mixture.correction, (weight * mean).sum(axis=1), rtol=1e-10)


def test_outputs_read_as_a_mixture_integrate_to_one_with_the_correction_as_mean():
    heads = Heads.from_levels([None] * 3, THREE, CPU)
    output, value, sd = some_outputs(heads, n=1)
    prediction = heads.read(output / 2, value, sd)
    assert prediction.levels is None
    grid = torch.linspace(-30, 30, 3001).view(-1, 1, 1, 1)
    density = prediction.log_density(grid).exp().double()
    assert_allclose(integrate.trapezoid(density, dx=0.02, axis=0), 1.0, rtol=1e-4)
    assert_allclose(integrate.trapezoid(grid * density, dx=0.02, axis=0), prediction.correction, atol=1e-4)


def test_a_shown_cell_has_no_correction():
    heads = Heads.from_levels([None] * 3, THREE, CPU)
    output, value, _ = some_outputs(heads)
    assert (heads.read(output, value, torch.zeros_like(value)).correction == 0).all()


def test_a_density_stays_finite_where_the_rule_is_sure():
    heads = Heads.from_levels([None] * 3, THREE, CPU)
    output, value, _ = some_outputs(heads)
    prediction = heads.read(100 * output, value, torch.zeros_like(value))
    assert torch.isfinite(prediction.log_density(torch.full_like(value, 0.5))).all()


def test_components_start_apart_and_only_for_continuous_variables():
    heads = Heads.from_levels(LEVELS, THREE, CPU)
    bias = torch.zeros(2, 3, 1, heads.outputs)
    heads.start(bias)
    assert_allclose(bias[:, 0, 0, 3:6], [[-1.0, 0.0, 1.0]] * 2)
    assert bias.abs().sum() == 4
    single = Heads.from_levels([None], RefinerConfig(components=1), CPU)
    alone = torch.zeros(1, 1, 1, single.outputs)
    single.start(alone)
    assert (alone == 0).all()


# ---- levels ------------------------------------------------------------------------------------------------


def test_at_zero_output_probabilities_are_those_of_the_normal_density_at_the_levels():
    heads = Heads.from_levels(LEVELS, THREE, CPU)
    output, value, sd = some_outputs(heads)
    levels = heads.read(torch.zeros_like(output), value, sd).levels
    for j in (1, 2):
        at = LEVELS[j].numpy()
        mean, scale = value[..., j, None].double().numpy(), sd[..., j, None].double().numpy() + FLOOR
        density = stats.norm(mean, scale).pdf(at)
        expected = density / density.sum(axis=-1, keepdims=True)
        found = levels.log_probability[..., j, : len(at)].exp()
        assert_allclose(found, expected, atol=1e-6)
    assert (levels.gain(torch.zeros_like(value)) == 0).all()


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_probabilities_sum_to_one_and_none_is_left_for_padding(size):
    heads = Heads.from_levels(LEVELS, THREE, CPU)
    output, value, sd = some_outputs(heads)
    levels = heads.read(size * output, value, sd).levels
    assert_allclose(levels.log_probability[..., 1:, :].exp().sum(dim=-1), 1.0, atol=1e-5)
    assert (levels.log_probability[..., 2, 2].exp() == 0).all()


def test_the_correction_is_the_expected_level_minus_the_conditional_mean():
    heads = Heads.from_levels(LEVELS, THREE, CPU)
    output, value, sd = some_outputs(heads)
    prediction = heads.read(output, value, sd)
    for j in (1, 2):
        probability = prediction.levels.log_probability[..., j, : len(LEVELS[j])].exp().double()
        assert_allclose(prediction.correction[..., j], probability @ LEVELS[j] - value[..., j], atol=1e-5)
    assert torch.equal(prediction.correction[..., 0], prediction.mixture.correction[..., 0])


def test_the_log_probability_is_that_of_the_closest_level():
    heads = Heads.from_levels(LEVELS, THREE, CPU)
    output, value, sd = some_outputs(heads)
    prediction = heads.read(output, value, sd)
    for j in (1, 2):
        for k, level in enumerate(LEVELS[j]):
            residual = torch.zeros_like(value)
            residual[..., j] = level + 0.1 - value[..., j]
            expected = prediction.levels.log_probability[..., j, k]
            assert torch.equal(prediction.log_density(residual)[..., j], expected)
            gain = expected - prediction.levels.log_start[..., j, k]
            assert torch.equal(prediction.levels.gain(residual)[..., j], gain)
            assert (prediction.levels.gain(residual)[..., 0] == 0).all()


def test_gradients_are_finite_beside_padding():
    heads = Heads.from_levels(LEVELS, THREE, CPU)
    output, value, sd = some_outputs(heads)
    prediction = heads.read(output.requires_grad_(), value, sd)
    (prediction.correction.square() + prediction.log_density(torch.zeros_like(value))).sum().backward()
    assert torch.isfinite(output.grad).all()
    assert (output.grad[..., 1:, :2] != 0).any(dim=-1).any(dim=1).all()
    assert (output.grad[..., 2, 2:] == 0).all()


def test_outputs_are_as_many_as_the_larger_head_needs():
    many = torch.arange(12.0)
    assert Heads.from_levels([None, many], THREE, CPU).outputs == 12
    assert Heads.from_levels([None, many[:2]], THREE, CPU).outputs == 9
