"""Completions that a refiner is tried on: rows, their missing cells and the saturated normal moments."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from fosa_sem.imputation.completion import Completion, GaussianRule, Origin, iterate_patterns
from fosa_sem.refine.config import RefinerConfig

# Just enough to run every step; SHORT learns something of a strong relation.
QUICK = RefinerConfig(heads=2, width=8, layers=1, components=2, epochs=2, folds=2, batch_size=64, check_every=1)
SHORT = dataclasses.replace(QUICK, width=16, epochs=16, check_every=4, learning_rate=0.02, dropout=0.0)


def em_moments(x, observed, steps=25):
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


def parabola(n=200, seed=0):
    """One column is the square of the other: soon learned."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    return pd.DataFrame({"a": a, "b": a**2 + 0.1 * rng.normal(size=n)}), rng.random((n, 2)) < 0.2


def gaussian(n=300, p=4, seed=0, rate=0.2):
    """One factor and noise: nothing that linear regression misses."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) + rng.normal(size=(n, p))
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(p)]), rng.random((n, p)) < rate


def mixed(n=400, seed=0):
    """A skewed column and a count, by the square of another column; levels of the count."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    count = np.minimum(np.round(a**2 + 0.3 * rng.normal(size=n) ** 2), 4.0)
    skewed = a + b**2 + rng.exponential(0.5, n)
    truth = pd.DataFrame({"a": a, "b": b, "count": count, "skewed": skewed})
    return truth, rng.random((n, 4)) < [0.05, 0.05, 0.3, 0.3], {"count": np.arange(5.0)}


def masked_mse(truth, mask, completion):
    """Mean squared error of the hidden cells on the standardised scale."""
    z = (truth.to_numpy() - completion.values) / truth.to_numpy().std(axis=0)
    return (z[mask] ** 2).mean()


def with_gates(fitted, gate):
    """The same refiner with other gates."""
    return dataclasses.replace(fitted, gates=fitted.gates.assign(gate=gate))
