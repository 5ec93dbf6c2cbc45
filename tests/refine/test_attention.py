"""The stacked networks: attention in its two ways, dropout, tokens."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose

from fosa_sem.refine import attention
from fosa_sem.refine.attention import INPUT_LIMIT, AttentionNetworks, dropout
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.remasking import MaskedRows


def make_networks(p=3, networks=2, outputs=6, seed=0, prior=None, **options):
    config = RefinerConfig(**{"heads": 2, "width": 8} | options)
    return AttentionNetworks(p, outputs, config, networks, torch.Generator().manual_seed(seed), prior)


def make_masked(networks=2, n=20, p=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.rand((networks, n, p), generator=generator) < 0.4
    return MaskedRows(value=torch.randn((networks, n, p), generator=generator), sd=hidden * 0.7, hidden=hidden)


def one_network(networks, k):
    """The k-th network by itself."""
    alone = make_networks(networks=1)
    alone.load_state_dict({name: value[k : k + 1] for name, value in networks.state_dict().items()})
    return alone


# ---- attention ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, attention.FEW_VARIABLES])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_by_sums_equals_attention_by_products_with_gradients(p, with_bias):
    generator = torch.Generator().manual_seed(p)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    parts, bias, weight = normal(2, 3, 4, 6, p, 5), normal(2, 4, p, p), normal(2, 4, 6, p, 5)
    inputs = [parts.requires_grad_(), bias.requires_grad_()] if with_bias else [parts.requires_grad_()]
    found = []
    for attend in (attention._attend_elementwise, attention._attend_products):
        mixed = attend(parts, bias if with_bias else None)
        found.append([mixed, *torch.autograd.grad((mixed * weight).sum(), inputs)])
    for sums, products in zip(*found, strict=True):
        # double precision; sums of at most 24 products of order 1
        assert_allclose(sums.detach(), products.detach(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients_of_attention_by_sums_are_those_of_differences(with_bias):
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn((1, 3, 2, 3, 3, 2), generator=generator, dtype=torch.float64)
    bias = torch.randn((1, 2, 3, 3), generator=generator, dtype=torch.float64) if with_bias else None
    inputs = [one.requires_grad_() for one in ([parts, bias] if with_bias else [parts])]
    assert torch.autograd.gradcheck(lambda x, *b: attention._SmallAttention.apply(x, b[0] if b else None), inputs)


def test_tokens_are_normalised_with_gradients():
    x = torch.randn((2, 6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    by_torch = torch.nn.functional.layer_norm(x.mT, (6,)).mT
    assert_allclose(attention.normalised(x).detach(), by_torch.detach(), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(attention.normalised, [x])


def test_both_ways_of_attention_give_the_networks_the_same_outputs(monkeypatch):
    prior = torch.rand((3, 3), generator=torch.Generator().manual_seed(1))
    networks, rows = make_networks(prior=prior, attention_prior=True), make_masked()
    with torch.no_grad():
        networks.strength.fill_(2.0)
        by_sums = networks(rows)
        monkeypatch.setattr(attention, "FEW_VARIABLES", 0)
        # float32, outputs of order 1
        assert_allclose(networks(rows), by_sums, atol=1e-5)


def test_many_variables():
    p = attention.FEW_VARIABLES + 3
    assert make_networks(p=p)(make_masked(p=p)).shape == (2, 20, p, 6)


def test_attention_weights_sum_to_one_and_mix_the_values():
    networks, rows = make_networks(p=3), make_masked()
    block, x = networks.blocks[0], networks.tokens(rows)
    weights = block.attention(x, 3, None)
    assert weights.shape == (2, 20, 2, 3, 3)
    assert_allclose(weights.sum(dim=-1).detach(), 1.0, rtol=1e-5)
    projected = block.project(attention.normalised(x))
    value = projected.view(2, 3, 2, 4, 3, 20)[:, 2].permute(0, 4, 1, 3, 2)  # (K, n, heads, p, length)
    expected = (weights @ value).permute(0, 2, 4, 3, 1).reshape(2, 8, 60)
    assert_allclose(block._mix(projected, 3, None).detach(), expected.detach(), atol=1e-6)


def test_the_prior_has_no_weight_at_first_and_then_draws_attention():
    prior = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with_prior, without = make_networks(prior=prior, attention_prior=True), make_networks()
    rows = make_masked()
    assert torch.equal(with_prior(rows), without(rows))
    assert make_networks(prior=prior).strength is None
    block, x = with_prior.blocks[0], with_prior.tokens(rows)
    before = block.attention(x, 3, with_prior.attention_bias(0))
    with torch.no_grad():
        with_prior.strength.fill_(3.0)
    after = block.attention(x, 3, with_prior.attention_bias(0))
    odds = (after[..., 1] / after[..., 2]) / (before[..., 1] / before[..., 2])
    assert_allclose(odds.detach(), torch.exp(3.0 * (prior[:, 1] - prior[:, 2])).expand_as(odds), rtol=1e-4)


# ---- networks ----------------------------------------------------------------------------------------------


def test_every_variable_attends_to_every_other():
    rows = make_masked(n=1)
    rows = MaskedRows(value=rows.value.requires_grad_(), sd=torch.ones(2, 1, 3), hidden=torch.ones(2, 1, 3).bool())
    networks = make_networks()
    for j in range(3):
        (gradient,) = torch.autograd.grad(networks(rows)[:, 0, j].square().sum(), rows.value)
        assert (gradient != 0).all()


def test_networks_are_of_their_own():
    """Each differs from the others, and gives alone what it gives in the stack."""
    networks, rows = make_networks(), make_masked()
    same = MaskedRows(value=rows.value[:1], sd=rows.sd[:1], hidden=rows.hidden[:1])
    outputs = networks(same)
    assert not torch.isclose(outputs[0], outputs[1]).any()
    for k in range(2):
        assert_allclose(one_network(networks, k)(same)[0].detach(), outputs[k].detach(), atol=1e-6)
    networks(same)[0].sum().backward()
    assert all((weight.grad[1] == 0).all() for weight in networks.parameters())


def test_bins_add_nothing_at_first_and_then_what_was_learned_for_the_bin_of_a_shown_value():
    plain, binned = make_networks(), make_networks(bins=4)
    binned.edges.copy_(torch.tensor([-0.5, 0.0, 0.5]).expand(2, 3, 3))
    value = torch.tensor([-2.0, -0.5, 0.1, 3.0])[None, :, None].expand(2, 4, 3)  # a value at a limit is above it
    shown = MaskedRows(value=value, sd=torch.zeros(2, 4, 3), hidden=torch.zeros(2, 4, 3, dtype=torch.bool))
    hidden = MaskedRows(value=value, sd=torch.ones(2, 4, 3), hidden=torch.ones(2, 4, 3, dtype=torch.bool))
    assert torch.equal(binned.tokens(shown), plain.tokens(shown))
    with torch.no_grad():
        binned.steps.copy_(torch.arange(2 * 3 * 4.0).view(2, 3, 4, 1).expand(-1, -1, -1, 8))
    added = (binned.tokens(shown) - plain.tokens(shown)).view(2, 8, 3, 4)
    expected = torch.arange(24.0).view(2, 1, 3, 4).expand(-1, 8, -1, -1)
    assert_allclose(added.detach(), expected, atol=1e-5)
    assert torch.equal(binned.tokens(hidden), plain.tokens(hidden))


def test_outliers_are_cut_at_the_input():
    rows = make_masked()
    far = MaskedRows(value=torch.full((2, 20, 3), 1e6), sd=rows.sd, hidden=rows.hidden)
    limit = MaskedRows(value=torch.full((2, 20, 3), INPUT_LIMIT), sd=rows.sd, hidden=rows.hidden)
    networks = make_networks()
    assert torch.equal(networks(far), networks(limit))


def test_dropout_keeps_the_mean_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    x = torch.ones(100_003)
    dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
    assert dropout(x, 0.25, None) is x
    assert dropout(x, 0.0, torch.Generator()) is x
    assert_allclose(dropped.unique().numpy(), [0.0, 1 / 0.75], rtol=1e-6)
    # The share kept has a standard error of 0.0014, its mean 1/0.75 times that.
    assert_allclose(dropped.mean().item(), 1.0, atol=0.01)
    make_networks()
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_has_no_pattern_along_the_entries():
    """Eight bytes of a word, seven used: neighbours are dropped independently of each other and of their place."""
    dropped = (dropout(torch.ones(7 * 20_000), 0.5, torch.Generator().manual_seed(1)) == 0).double().view(-1, 7)
    # 20,000 words: standard errors of .0035 and, for correlations, .007
    assert_allclose(dropped.mean(dim=0), 0.5, atol=0.02)
    assert_allclose(torch.corrcoef(dropped.T) - torch.eye(7), 0.0, atol=0.035)


def test_dropout_is_drawn_only_with_a_generator():
    networks, rows = make_networks(dropout=0.5), make_masked()
    assert torch.equal(networks(rows), networks(rows))
    assert not torch.equal(networks(rows, torch.Generator().manual_seed(0)), networks(rows))


def test_mean_absolute_weight_counts_every_weight_of_each_network():
    networks = make_networks()
    with torch.no_grad():
        for weight in networks.parameters():
            weight[0], weight[1] = -2.0, 0.5
    assert_allclose(networks.mean_absolute_weight().detach(), [2.0, 0.5])
