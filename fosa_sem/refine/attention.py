"""The networks: every variable a token, self-attention between a row's tokens, one output vector per cell.

Several networks of one form, one per fold, are trained and applied together: each parameter and each activation has
the networks as its first dimension, K, so that a step is one product of stacked matrices. Tokens are columns, ordered
by variable and then by row: rows lie close in memory, and heads are parts of the columns without moving anything.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn.functional import embedding, gelu

from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.remasking import MaskedRows

FEATURES = 3
NORM_EPSILON = 1e-5
# Embeddings start nearly equal: variables differ by their input weights first.
EMBEDDING_FAN = 2500
# Inputs beyond so many standard deviations are cut: a network must not extrapolate from an outlier.
INPUT_LIMIT = 8.0
# Up to so many variables, products of single numbers are faster than thousands of tiny matrix products.
FEW_VARIABLES = 8
Weights = dict[str, NDArray[np.float32]]
"""Parameters by name, the networks in the first dimension."""


def dropout(x: Tensor, rate: float, generator: Generator | None) -> Tensor:
    """Zero a share of the entries and scale the others up; without a generator return ``x`` itself.

    torch's own dropout draws from the global generator, which would tie results to whatever ran before. The rate is
    rounded to a multiple of 1/256: a random byte decides.
    """
    limit = round(rate * 256)
    if generator is None or limit == 0:
        return x
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
    bytes_ = words.random_(-(2**63), None, generator=generator).view(torch.uint8)[: x.numel()].view(x.shape)
    return x * (bytes_ >= limit).to(x.dtype).mul_(256 / (256 - limit))


def uniform(shape: tuple[int, ...], fan_in: int, generator: Generator) -> nn.Parameter:
    """Return a parameter drawn from U(-b, b), b = 1 / sqrt(fan_in), on the generator's device."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape, device=generator.device).uniform_(-bound, bound, generator=generator))


class Linear(nn.Module):
    """K affine maps, one per network, of vectors that are columns."""

    def __init__(self, networks: int, inputs: int, outputs: int, generator: Generator) -> None:
        super().__init__()
        self.weight = uniform((networks, outputs, inputs), inputs, generator)
        self.bias = nn.Parameter(torch.zeros(networks, outputs, 1, device=generator.device))

    def forward(self, x: Tensor) -> Tensor:
        """Map (K, inputs, m) to (K, outputs, m)."""
        return torch.baddbmm(self.bias, self.weight, x)


class _Normalise(torch.autograd.Function):
    """Columns with mean 0 and variance 1: torch's own wants them as rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        precision = centred.square().mean(dim=1, keepdim=True).add_(NORM_EPSILON).rsqrt_()
        y = centred.mul_(precision)
        ctx.save_for_backward(y, precision)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y, precision = ctx.saved_tensors
        along = (gradient * y).mean(dim=1, keepdim=True)
        return (gradient - gradient.mean(dim=1, keepdim=True)).addcmul_(y, along, value=-1).mul_(precision)


def normalised(x: Tensor) -> Tensor:
    """Each token, a column of (K, width, m), with mean 0 and variance 1.

    The affine map that follows has what a learned scale would add.
    """
    y: Tensor = _Normalise.apply(x)  # type: ignore[no-untyped-call]
    return y


class AttentionBlock(nn.Module):
    """Multi-head self-attention and a gated feed-forward step, each normalised first and added to its input.

    Parameters
    ----------
    config : RefinerConfig
        Gives ``width``, ``heads`` and ``dropout``.
    networks : int
        K.
    generator : torch.Generator
        Of the initial weights.
    """

    def __init__(self, config: RefinerConfig, networks: int, generator: Generator) -> None:
        super().__init__()
        width = config.width
        self.heads, self.rate = config.heads, config.dropout
        self.project = Linear(networks, width, 3 * width, generator)
        self.merge = Linear(networks, width, width, generator)
        self.expand = Linear(networks, width, 4 * width, generator)
        self.contract = Linear(networks, 2 * width, width, generator)

    def forward(self, x: Tensor, p: int, bias: Tensor | None, generator: Generator | None) -> Tensor:
        """Map the tokens of n rows of p variables, shape (K, width, p n), to tokens of the same shape."""
        x = x + dropout(self.merge(self._mix(self.project(normalised(x)), p, bias)), self.rate, generator)
        value, gate = self.expand(normalised(x)).chunk(2, dim=1)  # GEGLU: Shazeer (2020), eq. 6
        inner: Tensor = self.contract(dropout(value * gelu(gate), self.rate, generator))
        return x + inner

    def _mix(self, projected: Tensor, p: int, bias: Tensor | None) -> Tensor:
        """Scaled dot-product attention between the p tokens of each row (Vaswani et al., 2017, eq. 1)."""
        parts = self._parts(projected, p)
        mixed = _attend_elementwise(parts, bias) if p <= FEW_VARIABLES else _attend_products(parts, bias)
        return mixed.reshape(len(projected), -1, projected.shape[-1])

    def _parts(self, projected: Tensor, p: int) -> Tensor:
        """As (K, [query, key, value], heads, length, p, n)."""
        networks, wide, tokens = projected.shape
        return projected.view(networks, 3, self.heads, wide // (3 * self.heads), p, tokens // p)

    def attention(self, x: Tensor, p: int, bias: Tensor | None) -> Tensor:
        """The attention weights, shape (K, n, heads, p, p): of the token in the row to those in the columns."""
        query, key, _ = _by_row(self._parts(self.project(normalised(x)), p))
        return _weights(query, key, bias)


def _by_row(parts: Tensor) -> Tensor:
    """From (K, 3, heads, length, p, n) to (3, K, n, heads, p, length)."""
    return parts.permute(1, 0, 5, 2, 4, 3)


def _weights(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Attention weights from (K, n, heads, p, length); a bias of shape (K, heads, p, p) is added to the scores."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return (scores if bias is None else scores + bias[:, None]).softmax(dim=-1)


def _attend_products(parts: Tensor, bias: Tensor | None) -> Tensor:
    """Mix values of shape (K, [query, key, value], heads, length, p, n) by matrix products."""
    query, key, value = _by_row(parts)
    mixed: Tensor = _weights(query, key, bias) @ value
    return mixed.permute(0, 2, 4, 3, 1)


def _attend_elementwise(parts: Tensor, bias: Tensor | None) -> Tensor:
    """The same by sums over small dimensions, with rows in the dimension that lies close in memory."""
    mixed: Tensor = _SmallAttention.apply(parts, bias)  # type: ignore[no-untyped-call]
    return mixed


class _SmallAttention(torch.autograd.Function):
    """Attention over few tokens; by hand, so that the gradients of its three parts come in one piece."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, bias: Tensor | None) -> Tensor:
        query, key, value = parts.unbind(dim=1)
        scores = (query[:, :, :, :, None] * key[:, :, :, None]).sum(dim=2).div_(math.sqrt(query.shape[2]))
        weights = (scores if bias is None else scores + bias[..., None]).softmax(dim=3)
        ctx.save_for_backward(parts, weights)
        return (weights[:, :, None] * value[:, :, :, None]).sum(dim=4)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        parts, weights = ctx.saved_tensors
        query, key, value = parts.unbind(dim=1)
        g = gradient[:, :, :, :, None]
        of_weights = (g * value[:, :, :, None]).sum(dim=2)
        inner = weights * of_weights
        of_scores = inner - weights * inner.sum(dim=3, keepdim=True)
        spread = (of_scores / math.sqrt(query.shape[2]))[:, :, None]
        of_parts = torch.empty_like(parts)
        torch.sum(spread * key[:, :, :, None], dim=4, out=of_parts[:, 0])
        torch.sum(spread * query[:, :, :, :, None], dim=3, out=of_parts[:, 1])
        torch.sum(weights[:, :, None] * g, dim=3, out=of_parts[:, 2])
        return of_parts, of_scores.sum(dim=-1) if ctx.needs_input_grad[1] else None


class AttentionNetworks(nn.Module):
    """K networks; from each cell of a row, the numbers that its head reads.

    Parameters
    ----------
    p : int
        Number of variables.
    outputs : int
        Length of a cell's output.
    config : RefinerConfig
        Gives ``width``, ``heads``, ``layers``, ``bins``, ``dropout`` and ``attention_prior``.
    networks : int
        K.
    generator : torch.Generator
        Of the initial weights; the networks live on its device.
    prior : Tensor of float32, shape (p, p), optional
        Absolute partial correlations. With ``attention_prior`` each head adds them to its scores, times a strength
        that it learns, 0 at first.

    Notes
    -----
    The token of variable j is [value or conditional mean, conditional sd, missing flag] times input weights
    of its own, plus an embedding of its own, plus that of the bin of a shown value (0 at first); the limits of the bins
    are kept with the parameters, in ``edges``. Its output weights are its own too.
    """

    def __init__(
        self, p: int, outputs: int, config: RefinerConfig, networks: int, generator: Generator,
        prior: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        width, device = config.width, generator.device
        self.rate = config.dropout
        self.read_in = uniform((networks, p, FEATURES, width), FEATURES, generator)
        self.embedding = uniform((networks, 1, p, width), EMBEDDING_FAN, generator)
        self.edges: Tensor
        self.steps = None
        if config.bins > 1:
            self.register_buffer("edges", torch.zeros(networks, p, config.bins - 1, device=device))
            self.steps = nn.Parameter(torch.zeros(networks, p, config.bins, width, device=device))
        self.blocks = nn.ModuleList(AttentionBlock(config, networks, generator) for _ in range(config.layers))
        self.inner = Linear(networks, width, width, generator)
        self.read_out = uniform((networks, p, width, outputs), width, generator)
        self.bias = nn.Parameter(torch.zeros(networks, p, 1, outputs, device=device))
        use = prior is not None and config.attention_prior
        self.prior = prior if use else None
        strengths = torch.zeros(networks, config.layers, config.heads, 1, 1, device=device)
        self.strength = nn.Parameter(strengths) if use else None

    def tokens(self, rows: MaskedRows) -> Tensor:
        """The tokens that enter the first block, shape (K, width, p n)."""
        value = rows.value.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        features = torch.stack([value, rows.sd, rows.hidden.to(value.dtype)], dim=1)  # (K or 1, features, n, p)
        networks = self.read_in.shape[0]
        x = torch.einsum("kfnp,kpfw->kwpn", features.expand(networks, -1, -1, -1), self.read_in)
        x = x + self.embedding.permute(0, 3, 2, 1)
        if self.steps is not None:
            x = x + self._step_of(value, rows.hidden, self.steps).permute(0, 3, 2, 1)
        return x.flatten(2)

    def _step_of(self, value: Tensor, hidden: Tensor, steps: Tensor) -> Tensor:
        """What the bin that a shown value lies in adds to its token, shape (K, n, p, width)."""
        networks, p, bins, width = steps.shape
        place = (value[..., None] >= self.edges[:, None]).sum(dim=-1)  # (K, n, p)
        table = torch.arange(networks * p, device=value.device).view(networks, 1, p) * bins
        return embedding(table + place, steps.view(-1, width)) * ~hidden[..., None]

    def attention_bias(self, layer: int) -> Tensor | None:
        """What the prior adds to the scores of a layer, shape (K, heads, p, p)."""
        if self.prior is None or self.strength is None:
            return None
        bias: Tensor = self.strength[:, layer] * self.prior
        return bias

    def forward(self, rows: MaskedRows, generator: Generator | None = None) -> Tensor:
        """Return the output of every cell.

        Parameters
        ----------
        rows : MaskedRows
            n rows on the standardised scale for each network, or the same for all (first dimension 1).
        generator : torch.Generator, optional
            Of dropout; without it nothing is dropped.

        Returns
        -------
        Tensor of float32, shape (K, n, p, outputs)
        """
        p, x = rows.value.shape[-1], self.tokens(rows)
        for layer, block in enumerate(self.blocks):
            x = block(x, p, self.attention_bias(layer), generator)
        x = dropout(gelu(self.inner(normalised(x))), self.rate, generator)
        x = x.view(*x.shape[:2], p, -1).permute(0, 2, 3, 1)  # (K, p, n, width)
        out: Tensor = (x @ self.read_out + self.bias).transpose(1, 2)
        return out

    def mean_absolute_weight(self) -> Tensor:
        """Mean of the absolute values of each network's weights: the L1 term, shape (K,)."""
        weights = [weight.flatten(1) for weight in self.parameters()]
        return torch.cat(weights, dim=1).abs().mean(dim=1)
