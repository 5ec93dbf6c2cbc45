"""The network: every variable a token, self-attention between a row's tokens, one correction per cell."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.remasking import MaskedRows

FEATURES = 3
# Inputs beyond so many standard deviations are cut: a network must not extrapolate from an outlier.
INPUT_LIMIT = 8.0


def dropout(x: Tensor, rate: float, generator: Generator | None) -> Tensor:
    """Zero a share of the entries and scale the others up; without a generator return ``x`` itself.

    torch's own dropout draws from the global generator, which would tie results to whatever ran before.
    """
    if generator is None or rate == 0:
        return x
    keep = torch.rand(x.shape, generator=generator, device=x.device) >= rate
    return x * keep.to(x.dtype).div_(1 - rate)


def uniform(shape: tuple[int, ...], fan_in: int, generator: Generator) -> nn.Parameter:
    """Return a parameter drawn from U(-b, b), b = 1 / sqrt(fan_in), on the generator's device."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape, device=generator.device).uniform_(-bound, bound, generator=generator))


class AttentionBlock(nn.Module):
    """Multi-head self-attention and a feed-forward step, each normalised first and added to its input.

    Parameters
    ----------
    config : RefinerConfig
        Gives ``width``, ``heads`` and ``dropout``.
    generator : torch.Generator
        Of the initial weights.
    """

    def __init__(self, config: RefinerConfig, generator: Generator) -> None:
        super().__init__()
        width = config.width
        self.heads, self.rate = config.heads, config.dropout
        self.norm_attention = nn.LayerNorm(width, device=generator.device)
        self.norm_forward = nn.LayerNorm(width, device=generator.device)
        self.project = uniform((3 * width, width), width, generator)
        self.merge = uniform((width, width), width, generator)
        self.expand = uniform((2 * width, width), width, generator)
        self.contract = uniform((width, 2 * width), 2 * width, generator)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Map tokens of shape (n, p, width) to tokens of the same shape."""
        x = x + dropout(self._attend(self.norm_attention(x)), self.rate, generator)
        inner = dropout(gelu(linear(self.norm_forward(x), self.expand)), self.rate, generator)
        return x + linear(inner, self.contract)

    def _attend(self, x: Tensor) -> Tensor:
        """Scaled dot-product attention between the p tokens of each row (Vaswani et al., 2017, eq. 1)."""
        n, p, width = x.shape
        parts = linear(x, self.project).view(n, p, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value)
        return linear(mixed.transpose(1, 2).reshape(n, p, width), self.merge)


class AttentionNetwork(nn.Module):
    """Predicts how far each hidden cell lies from its conditional mean.

    Parameters
    ----------
    p : int
        Number of variables.
    config : RefinerConfig
        Gives ``width``, ``heads``, ``layers`` and ``dropout``.
    generator : torch.Generator
        Of the initial weights; the network lives on its device.

    Notes
    -----
    The token of variable j is [value or conditional mean, conditional sd, missing flag] times input weights
    of its own, plus an embedding of its own. Its output weights are its own too and start at zero, so that an
    untrained network returns no correction: the conditional mean is where training starts.
    """

    def __init__(self, p: int, config: RefinerConfig, generator: Generator) -> None:
        super().__init__()
        device = generator.device
        self.read_in = uniform((p, FEATURES, config.width), FEATURES, generator)
        self.embedding = uniform((p, config.width), FEATURES, generator)
        self.blocks = nn.ModuleList(AttentionBlock(config, generator) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, device=device)
        self.read_out = nn.Parameter(torch.zeros(p, config.width, device=device))
        self.bias = nn.Parameter(torch.zeros(p, device=device))

    def forward(self, rows: MaskedRows, generator: Generator | None = None) -> Tensor:
        """Return the correction of the conditional means.

        Parameters
        ----------
        rows : MaskedRows
            n rows on the standardised scale.
        generator : torch.Generator, optional
            Of dropout; without it nothing is dropped.

        Returns
        -------
        Tensor of float32, shape (n, p)
            In standard deviations of the variable: the conditional sd times the network's output, hence
            exactly 0 at shown cells.
        """
        value = rows.value.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        features = torch.stack([value, rows.sd, rows.hidden.float()], dim=-1)
        x = torch.einsum("npf,pfw->npw", features, self.read_in) + self.embedding
        for block in self.blocks:
            x = block(x, generator)
        return rows.sd * (torch.einsum("npw,pw->np", self.norm(x), self.read_out) + self.bias)

    def mean_absolute_weight(self) -> Tensor:
        """Mean of the absolute values of all weights: the L1 term, whatever the size of the network."""
        weights = list(self.parameters())
        return torch.stack([w.abs().sum() for w in weights]).sum() / sum(w.numel() for w in weights)


@torch.no_grad()
def predict(network: AttentionNetwork, rows: MaskedRows, batch_size: int = 4096) -> Tensor:
    """Return the corrections of many rows without dropout or gradients, shape (n, p)."""
    starts = range(0, len(rows), batch_size)
    parts = [network(rows.take(slice(start, start + batch_size))) for start in starts]
    return torch.cat(parts) if parts else rows.value.new_zeros(rows.value.shape)
