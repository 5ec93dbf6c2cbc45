from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fosa_sem.imputation.completion import GaussianRule
from fosa_sem.refine.remasking import MAX_TABLE_VARIABLES, MaskedRows, Remasker, Scaling

CPU = torch.device("cpu")


def make_rule(p, groups=1, seed=0):
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-2, 2, p)
    means, covs = [], []
    for _ in range(groups):
        a = rng.normal(size=(p, p + 2)) * units[:, None]
        means.append(rng.normal(size=p) * units)
        covs.append(a @ a.T / (p + 2))
    return GaussianRule(variables=tuple(f"v{j}" for j in range(p)), means=tuple(means), covs=tuple(covs))


def make_rows(rule, n, seed=1):
    rng = np.random.default_rng(seed)
    group = rng.integers(len(rule.means), size=n)
    x = np.stack([rng.multivariate_normal(rule.means[g], rule.covs[g]) for g in group])
    shown = rng.random(x.shape) < 0.6
    shown[0], shown[1] = False, True
    return x, shown, group


def remask(rule, x, shown, group):
    scaling = Scaling(mean=x.mean(axis=0), sd=x.std(axis=0))
    rows, covariance = apply(Remasker(rule, scaling, CPU), scaling.standardise(x), shown, group)
    return rows, covariance, scaling


def apply(remasker, z, shown, group):
    """Of one network's rows, without the networks' dimension."""
    rows, covariance = remasker(torch.as_tensor(z)[None], torch.as_tensor(shown)[None], torch.as_tensor(group)[None])
    return MaskedRows(value=rows.value[0], sd=rows.sd[0], hidden=rows.hidden[0]), covariance[0]


@pytest.mark.parametrize("p", [1, 4, MAX_TABLE_VARIABLES + 2], ids=["one", "tabulated", "solved"])
@pytest.mark.parametrize("groups", [1, 2])
def test_moments_are_those_of_the_rule(p, groups):
    rule = make_rule(p, groups)
    x, shown, group = make_rows(rule, 60)
    rows, covariance, scaling = remask(rule, x, shown, group)
    mean, sd = rule.conditional(x, shown, group)
    assert_allclose(rows.value.numpy(), scaling.standardise(mean), atol=2e-5)
    assert_allclose(rows.sd.numpy(), sd / scaling.sd, atol=2e-5)
    assert (rows.hidden.numpy() == ~shown).all()
    for i in range(0, 60, 7):
        expected = rule.pattern(x[[i]], shown[i], int(group[i]))
        cells = np.ix_(expected.missing, expected.missing)
        outer = np.outer(scaling.sd, scaling.sd)
        assert_allclose((covariance[i].numpy() * outer)[cells] / outer[cells], expected.cov / outer[cells], atol=2e-5)
        assert (covariance[i].numpy()[shown[i]] == 0).all()


def test_shown_values_are_kept_and_hidden_ones_not_read():
    rule = make_rule(4)
    x, shown, group = make_rows(rule, 30)
    rows, _, scaling = remask(rule, x, shown, group)
    blind = np.where(shown, scaling.standardise(x), np.nan)
    again, _ = apply(Remasker(rule, scaling, CPU), blind, shown, group)
    assert torch.equal(rows.value, again.value)
    assert (rows.value.numpy()[shown] == scaling.standardise(x).astype(np.float32)[shown]).all()


@pytest.mark.parametrize("extra", [0, 9], ids=["tabulated", "solved"])
def test_exact_dependence_and_a_constant_are_solved(extra):
    """C = A + B: given any two, the third is known; a constant column has no spread."""
    base = make_rule(2 + extra, seed=3)
    lift = np.vstack([np.eye(2 + extra), np.r_[1, 1, np.zeros(extra)], np.zeros(2 + extra)])
    rule = GaussianRule(
        variables=tuple(f"v{j}" for j in range(4 + extra)),
        means=(lift @ base.means[0],),
        covs=(lift @ base.covs[0] @ lift.T,),
    )
    x = np.random.default_rng(0).multivariate_normal(base.means[0], base.covs[0], 50) @ lift.T
    scaling = Scaling(mean=x.mean(axis=0), sd=np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0))
    shown = np.ones(x.shape, dtype=bool)
    shown[:, [2 + extra, 3 + extra]] = False
    rows, _ = apply(Remasker(rule, scaling, CPU), scaling.standardise(x), shown, np.zeros(50, dtype=np.int64))
    assert_allclose(rows.value.numpy(), scaling.standardise(x), atol=1e-4)
    assert_allclose(rows.sd.numpy(), 0.0, atol=1e-3)


@pytest.mark.parametrize("p", [4, MAX_TABLE_VARIABLES + 2], ids=["tabulated", "solved"])
def test_networks_may_see_rows_of_their_own(p):
    rule = make_rule(p, groups=2)
    x, shown, group = make_rows(rule, 40)
    scaling = Scaling(mean=x.mean(axis=0), sd=x.std(axis=0))
    remasker, z = Remasker(rule, scaling, CPU), scaling.standardise(x)
    both, covariance = remasker(
        torch.as_tensor(z.reshape(2, 20, p)),
        torch.as_tensor(shown.reshape(2, 20, p)),
        torch.as_tensor(group).view(2, 20),
    )
    one, expected = apply(remasker, z, shown, group)
    assert_allclose(both.value.flatten(0, 1), one.value, atol=1e-6)
    assert_allclose(both.sd.flatten(0, 1), one.sd, atol=1e-6)
    assert_allclose(covariance.flatten(0, 1), expected, atol=1e-6)
    assert torch.equal(both.take(slice(3, 9)).value, both.value[:, 3:9])
