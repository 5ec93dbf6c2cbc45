"""What a cell's outputs mean: a mixture of normal distributions, or probabilities of a discrete variable's levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fosa_sem.refine.config import RefinerConfig

# Added to the conditional sd as the scale of a component, so that a density stays finite where the rule is sure.
FLOOR = 0.02
LOG_SCALE_LIMITS = (-5.0, 2.0)
PER_COMPONENT = 3
HALF_LOG_2PI = math.log(2 * math.pi) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How outputs are read for each variable.

    Attributes
    ----------
    components : int
        Normal components of a continuous variable.
    levels : Tensor of float32, shape (p, L), or None
        Levels of the discrete variables on the standardised scale, padded with NaN; 0 for a continuous variable.
        None if every variable is continuous.
    discrete : Tensor of bool, shape (p,)
    """

    components: int
    levels: Tensor | None
    discrete: Tensor

    @classmethod
    def from_levels(cls, levels: Sequence[Tensor | None], config: RefinerConfig, device: torch.device) -> Heads:
        """Make heads for p variables; None stands for a continuous one."""
        discrete = torch.tensor([one is not None for one in levels], device=device)
        known = [one for one in levels if one is not None]
        if not known:
            return cls(components=config.components, levels=None, discrete=discrete)
        table = torch.zeros((len(levels), max(map(len, known))), device=device)
        table[discrete] = torch.nan
        for j, one in enumerate(levels):
            if one is not None:
                table[j, : len(one)] = one.to(table)
        return cls(components=config.components, levels=table, discrete=discrete)

    @property
    def outputs(self) -> int:
        """Length of a cell's output."""
        return max(PER_COMPONENT * self.components, 0 if self.levels is None else self.levels.shape[1])

    def start(self, bias: Tensor) -> None:
        """Spread the components' means over -1 to 1 in the biases, shape (..., p, 1, outputs), in place."""
        means = slice(self.components, 2 * self.components)
        spread = torch.linspace(-1, 1, self.components) if self.components > 1 else torch.zeros(1)
        bias[:, ~self.discrete, :, means] = spread.to(bias)

    def read(self, output: Tensor, value: Tensor, sd: Tensor) -> Prediction:
        """Read the outputs of cells.

        Parameters
        ----------
        output : Tensor, shape (..., p, outputs)
        value, sd : Tensor, shape (..., p)
            Conditional mean and sd of hidden cells; value and 0 of others.
        """
        c = self.components
        logit, mean, log_scale = torch.split(output[..., : PER_COMPONENT * c], c, dim=-1)
        mixture = Mixture(
            log_weight=logit.log_softmax(dim=-1),
            mean=sd[..., None] * mean,
            log_scale=log_scale.clamp(*LOG_SCALE_LIMITS) + (sd[..., None] + FLOOR).log(),
        )
        levels = None
        if self.levels is not None:
            distance = (self.levels - value[..., None]) / (sd[..., None] + FLOOR)
            start = (-distance.square() / 2).nan_to_num(nan=-torch.inf)
            levels = Levels(
                discrete=self.discrete,
                distance=(self.levels - value[..., None]).nan_to_num(),
                log_start=start.log_softmax(dim=-1),
                log_probability=(start + output[..., : self.levels.shape[1]]).log_softmax(dim=-1),
            )
        return Prediction(mixture=mixture, levels=levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Distributions of (value - conditional mean) by component, which are the last dimension."""

    log_weight: Tensor
    mean: Tensor
    log_scale: Tensor

    @property
    def correction(self) -> Tensor:
        """Expectation."""
        return (self.log_weight.exp() * self.mean).sum(dim=-1)

    def log_density(self, residual: Tensor) -> Tensor:
        """Log density of values given as residuals."""
        z = (residual[..., None] - self.mean) * (-self.log_scale).exp()
        return (self.log_weight - self.log_scale - z.square() / 2).logsumexp(dim=-1) - HALF_LOG_2PI


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Probabilities of a variable's levels, in the last dimension; not finite for continuous variables."""

    discrete: Tensor
    distance: Tensor
    log_start: Tensor
    log_probability: Tensor

    @property
    def correction(self) -> Tensor:
        """Expected level minus the conditional mean."""
        return (self.log_probability.exp() * self.distance).sum(dim=-1)

    def log_density(self, residual: Tensor) -> Tensor:
        """Log probability of the level closest to the conditional mean + residual."""
        return self.log_probability.gather(-1, self._nearest(residual))[..., 0]

    def gain(self, residual: Tensor) -> Tensor:
        """The same minus the log probability by the rule's normal density; 0 for continuous variables."""
        start = self.log_start.gather(-1, self._nearest(residual))[..., 0]
        return torch.where(self.discrete, self.log_density(residual) - start, 0.0)

    def _nearest(self, residual: Tensor) -> Tensor:
        """Index of the level closest to the conditional mean + residual, with a last dimension of 1."""
        distance = (self.distance - residual[..., None]).abs()
        return torch.where(self.log_start.isneginf(), torch.inf, distance).argmin(dim=-1, keepdim=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the networks say of cells, shape (..., p).

    Attributes
    ----------
    mixture : Mixture
    levels : Levels or None
        None if no variable is discrete.
    """

    mixture: Mixture
    levels: Levels | None

    @property
    def correction(self) -> Tensor:
        """Expectation minus conditional mean, standardised scale."""
        if self.levels is None:
            return self.mixture.correction
        return torch.where(self.levels.discrete, self.levels.correction, self.mixture.correction)

    def log_density(self, residual: Tensor) -> Tensor:
        """Log density or log probability of values given as residuals from the conditional mean."""
        mixture = self.mixture.log_density(residual)
        if self.levels is None:
            return mixture
        return torch.where(self.levels.discrete, self.levels.log_density(residual), mixture)
