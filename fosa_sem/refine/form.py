"""What the networks look like for some variables and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fosa_sem.errors import OptionError
from fosa_sem.imputation.completion import Completion, FloatArray, GaussianRule
from fosa_sem.refine.attention import AttentionNetworks, Weights
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.heads import Heads
from fosa_sem.refine.remasking import Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What networks look like for some variables and options.

    Attributes
    ----------
    config : RefinerConfig
    scaling : Scaling
    levels : dict of str to ndarray
        Sorted levels of the discrete variables.
    heads : Heads
    prior : Tensor or None
        See `AttentionNetworks`.
    device : torch.device
    """

    config: RefinerConfig
    scaling: Scaling
    levels: dict[str, FloatArray]
    heads: Heads
    prior: Tensor | None
    device: torch.device

    @classmethod
    def of(cls, completion: Completion, config: RefinerConfig, levels: Mapping[str, FloatArray]) -> Form:
        """The form for the variables of a completion, scaled by its observed cells."""
        unknown = [name for name in levels if name not in completion.variables]
        if unknown:
            raise OptionError(f"levels names {unknown[0]!r}, which is no variable of the model")
        sorted_levels = {name: np.unique(np.asarray(one, dtype=np.float64)) for name, one in levels.items()}
        for name, one in sorted_levels.items():
            if not (one.size and np.isfinite(one).all()):
                raise OptionError(f"levels of {name!r}: give at least one value, and finite ones only")
        return cls.from_parts(completion.rule, observed_scaling(completion), config, sorted_levels)

    @classmethod
    def from_parts(
        cls, rule: GaussianRule, scaling: Scaling, config: RefinerConfig, levels: dict[str, FloatArray]
    ) -> Form:
        """The form for the variables of a rule."""
        device = find_device(config)
        standardised = [
            torch.as_tensor((levels[name] - scaling.mean[j]) / scaling.sd[j]) if name in levels else None
            for j, name in enumerate(rule.variables)
        ]
        heads = Heads.from_levels(standardised, config, device)
        prior = None
        if config.attention_prior:
            prior = torch.as_tensor(np.abs(partial_correlations(rule)), dtype=torch.float32, device=device)
        return cls(config=config, scaling=scaling, levels=levels, heads=heads, prior=prior, device=device)

    @property
    def discrete(self) -> NDArray[np.bool_]:
        """Variables with levels, shape (p,)."""
        return self.heads.discrete.cpu().numpy()

    def untrained(self, networks: int, generator: torch.Generator) -> AttentionNetworks:
        """So many new networks."""
        p = len(self.scaling.mean)
        new = AttentionNetworks(p, self.heads.outputs, self.config, networks, generator, self.prior)
        self.heads.start(new.bias.data)
        return new

    def trained(self, weights: Weights) -> AttentionNetworks:
        """Networks with these weights."""
        networks = self.untrained(len(weights["bias"]), torch.Generator(device=self.device).manual_seed(0))
        networks.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
        return networks


def partial_correlations(rule: GaussianRule) -> FloatArray:
    """Partial correlation of each pair of variables given all others; of several groups, the mean."""
    tables = []
    for cov in rule.covs:
        precision = np.linalg.pinv(cov, hermitian=True)
        scale = np.sqrt(np.clip(np.diag(precision), 1e-300, None))
        table = -precision / np.outer(scale, scale)
        np.fill_diagonal(table, 1.0)
        tables.append(table)
    return np.asarray(np.mean(tables, axis=0))


def observed_scaling(completion: Completion) -> Scaling:
    """Mean and standard deviation (ddof = 0) of every variable's observed cells.

    A variable without an observed cell takes the first group's moments from the rule.
    """
    mean, sd = completion.rule.means[0].copy(), np.sqrt(np.diag(completion.rule.covs[0]))
    for j in range(len(mean)):
        cells = completion.values[completion.observed[:, j], j]
        if cells.size:
            mean[j], sd[j] = cells.mean(), cells.std()
    # Cells that are equal can still have an sd of rounding size, which must not blow up their z-scores.
    constant = ~(sd > 1e-12 * np.maximum(np.abs(mean), 1e-300))
    return Scaling(mean=mean, sd=np.where(constant, 1.0, sd))


def find_device(config: RefinerConfig) -> torch.device:
    """Resolve the device option on this machine."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise OptionError("refiner option device='cuda': torch finds no CUDA device; use 'auto' or 'cpu'")
    return torch.device("cuda" if config.device != "cpu" and available else "cpu")
