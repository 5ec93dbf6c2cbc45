"""Training: hide further observed cells, recompute their conditional moments, learn the residual."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from fosa_sem.errors import FosaWarning
from fosa_sem.refine.attention import AttentionNetworks
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.folds import Probe, TrainingData, make_probe
from fosa_sem.refine.heads import Heads, Prediction
from fosa_sem.refine.remasking import MaskedRows, Remasker

# Cells that choose the epoch; more of them would cost more than they help.
MAX_CHOOSING_CELLS = 10_000
MAX_GRADIENT_NORM = 1.0
WARMUP_STEPS = 50
LAST_RATE = 0.02
# Rows that pass through the networks at a time when nothing is learned.
CHUNK = 2048
Weights = dict[str, NDArray[np.float32]]

PARTS = ["mse", "likelihood", "covariance", "l1"]
HISTORY = ["epoch", *PARTS, "total", "heldout_mse", "baseline_mse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The parts of the loss, each of shape (K,): one number for each network."""

    mse: Tensor
    likelihood: Tensor
    covariance: Tensor
    l1: Tensor

    def total(self, config: RefinerConfig) -> Tensor:
        """Return the weighted sum of each network, shape (K,)."""
        return (
            config.weight_mse * self.mse
            + config.weight_likelihood * self.likelihood
            + config.weight_covariance * self.covariance
            + config.weight_l1 * self.l1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """n rows for each network with cells hidden anew.

    Attributes
    ----------
    rows : MaskedRows
    covariance : Tensor of float32, shape (K, n, p, p)
        Conditional covariance of the hidden cells.
    z : Tensor of float32, shape (K, n, p)
        The true z-scores.
    target : Tensor of bool, shape (K, n, p)
        Hidden cells whose truth is known and may be learned.
    """

    rows: MaskedRows
    covariance: Tensor
    z: Tensor
    target: Tensor


def losses(
    networks: AttentionNetworks, heads: Heads, batch: Batch, generator: torch.Generator | None = None
) -> Losses:
    """Compute the loss of one batch.

    Parameters
    ----------
    networks : AttentionNetworks
    heads : Heads
    batch : Batch
    generator : torch.Generator, optional
        Of dropout.

    Notes
    -----
    The mean squared error and the negative log-likelihood are those of the targets, given the shown cells. The
    covariance term compares like with like; see `_covariance_gap`.
    """
    rows, target = batch.rows, batch.target
    prediction = heads.read(networks(rows, generator), rows.value, rows.sd)
    d = prediction.correction * rows.hidden
    residual = batch.z - rows.value
    count = target.sum(dim=(1, 2)).clamp(min=1)
    # A cell that is no target must not enter: not even its gradient, which may not be finite.
    log_density = torch.where(target, prediction.log_density(torch.where(target, residual, 0.0)), 0.0)
    return Losses(
        mse=((residual - d).square() * target).sum(dim=(1, 2)) / count,
        likelihood=-log_density.sum(dim=(1, 2)) / count,
        covariance=_covariance_gap(batch, d),
        l1=networks.mean_absolute_weight(),
    )


def _covariance_gap(batch: Batch, d: Tensor) -> Tensor:
    """Mean squared difference of second moments, shape (K,).

    With F the conditional mean, d the correction and C the conditional covariance of the hidden cells given the shown
    ones: over rows and pairs of cells that are shown or targets, the products of the true z-scores against the
    expected products given the shown cells, y y' + C - d d' with y = F + d where hidden (d explains a part of C, hence
    the last term). It is 0 in expectation at the true conditional mean, also in rows with many hidden cells.
    """
    known = (batch.target | ~batch.rows.hidden).float()
    true, filled, shift = batch.z * known, (batch.rows.value + d) * known, d * known
    residual = torch.einsum("knj,knjl,knl->kjl", known, batch.covariance, known)
    expected = filled.mT @ filled + residual - shift.mT @ shift
    gap = (expected - true.mT @ true) / (known.mT @ known).clamp(min=1)
    return gap.square().mean(dim=(1, 2))


@torch.no_grad()
def predictions(
    networks: AttentionNetworks, heads: Heads, rows: MaskedRows
) -> Iterator[tuple[slice, Prediction]]:
    """Predict many rows without dropout or gradients, some at a time; half as many if memory runs out."""
    start, size = 0, CHUNK
    while start < rows.value.shape[1]:
        part = slice(start, start + size)
        some = rows.take(part)
        try:
            prediction = heads.read(networks(some), some.value, some.sd)
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not out_of_memory(error):
                raise
            size //= 2
            continue
        yield part, prediction
        start += size


def out_of_memory(error: Exception) -> bool:
    """Whether torch or Python says that memory ran out."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "not enough memory" in str(error) or "can't allocate memory" in str(error)


def probe_correction(networks: AttentionNetworks, heads: Heads, probe: Probe) -> Tensor:
    """Correction of each probed cell by the network that never learned it, shape (K, M)."""
    parts = [
        prediction.correction.gather(2, probe.column[:, part, None])[..., 0]
        for part, prediction in predictions(networks, heads, probe.rows)
    ]
    return torch.cat(parts, dim=1)


class BestWeights:
    """Weights at the look with the smallest error of the held-out cells.

    No correction, the conditional mean, is the one to beat: ``weights`` is None until one does.
    """

    def __init__(self, networks: AttentionNetworks, heads: Heads, probe: Probe) -> None:
        self._networks, self._heads, self._probe = networks, heads, probe
        self.baseline = self._mse = self._error(torch.zeros_like(probe.residual))
        self.weights: Weights | None = None
        self.since = 0

    def _error(self, correction: Tensor) -> float:
        probe = self._probe
        return float((probe.residual - correction)[probe.valid].square().mean())

    def look(self) -> float:
        """Return the error now, and keep the networks' weights if it is the smallest so far."""
        mse = self._error(probe_correction(self._networks, self._heads, self._probe))
        self.since += 1
        if mse < self._mse:
            self._mse, self.since = mse, 0
            state = self._networks.state_dict()
            self.weights = {name: value.detach().cpu().numpy().copy() for name, value in state.items()}
        return mse


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Outcome of training.

    Attributes
    ----------
    weights : dict of ndarray, or None
        At the best look; None if no look was better than no correction, or the loss was not finite.
    history : DataFrame
        One row per look: epoch, mse, likelihood, covariance, l1, total (means over networks and the steps since the
        look before, with dropout and freshly hidden cells), heldout_mse (without dropout) and baseline_mse (the same
        for the conditional mean).
    """

    weights: Weights | None
    history: pd.DataFrame


def train(
    networks: AttentionNetworks,
    heads: Heads,
    data: TrainingData,
    remasker: Remasker,
    config: RefinerConfig,
    generator: torch.Generator,
    rng: np.random.Generator,
    *,
    progress: bool = False,
) -> Trained:
    """Train the networks in place.

    Parameters
    ----------
    networks : AttentionNetworks
        Untrained.
    heads : Heads
    data : TrainingData
    remasker : Remasker
    config : RefinerConfig
    generator : torch.Generator
        Of dropout.
    rng : numpy.random.Generator
        Of rows and hiding.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    Trained

    Warns
    -----
    FosaWarning
        If the loss is not finite: training stops and no correction is kept. If it is interrupted (Ctrl-C): it stops
        with the best weights so far.
    """
    parameters = list(networks.parameters())
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate)
    per_epoch = math.ceil(min(len(data.z), config.rows_per_epoch) / config.batch_size)
    best = BestWeights(networks, heads, make_probe(data, remasker, config.folds, MAX_CHOOSING_CELLS))
    sums, steps, history = torch.zeros(len(PARTS) + 1, device=data.z.device), 0, []
    bar = tqdm(range(1, config.epochs + 1), desc="refiner", unit="epoch", disable=not progress)
    try:
        for epoch in bar:
            for batch in _batches(data, remasker, config, rng):
                rate = learning_rate((epoch - 1) * per_epoch, config.epochs * per_epoch, config)
                sums += _step(networks, heads, batch, config, generator, optimizer, rate)
                steps += 1
            if epoch % config.check_every and epoch < config.epochs:
                continue
            row = [epoch, *(sums / steps).tolist(), best.look(), best.baseline]
            sums, steps = torch.zeros_like(sums), 0
            if not np.isfinite(row).all():
                warnings.warn(
                    f"the refiner's loss is not finite by epoch {epoch}; training stopped and the model's conditional "
                    "expectations are kept. Try a smaller learning_rate.",
                    FosaWarning,
                    stacklevel=3,
                )
                return Trained(weights=None, history=pd.DataFrame(history, columns=HISTORY))
            history.append(row)
            if config.patience is not None and best.since >= config.patience:
                break
    except KeyboardInterrupt:
        warnings.warn(
            f"training of the refiner was interrupted in epoch {epoch} of {config.epochs}; the best weights so far "
            "are kept",
            FosaWarning,
            stacklevel=3,
        )
    return Trained(weights=best.weights, history=pd.DataFrame(history, columns=HISTORY))


def learning_rate(step: int, steps: int, config: RefinerConfig) -> float:
    """Adam's rate at a step: up over 50 steps, then down a half cosine to 2%; or constant."""
    if config.schedule == "constant":
        return config.learning_rate
    fall = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
    return config.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * fall


def _step(
    networks: AttentionNetworks,
    heads: Heads,
    batch: Batch,
    config: RefinerConfig,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> Tensor:
    """Take one step; return the parts of the loss and their total, means over networks."""
    loss = losses(networks, heads, batch, generator)
    total = loss.total(config)
    optimizer.zero_grad()
    torch.autograd.backward(total.sum())
    _clip_gradients(networks)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return torch.stack([*(getattr(loss, part) for part in PARTS), total]).detach().mean(dim=1)


def _clip_gradients(networks: AttentionNetworks) -> None:
    """Limit the norm of each network's gradient."""
    gradients = [g for name, w in networks.named_parameters() if (g := w.grad) is not None and name != "strength"]
    norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0).sqrt()
    factor = (MAX_GRADIENT_NORM / norm.clamp(min=1e-12)).clamp(max=1.0)
    for g in gradients:
        g.mul_(factor.view(-1, *[1] * (g.dim() - 1)))


def _batches(
    data: TrainingData, remasker: Remasker, config: RefinerConfig, rng: np.random.Generator
) -> Iterator[Batch]:
    """Batches of an epoch: for each network its own order of the rows, each with cells hidden at a rate of its own."""
    device, (n, p), networks = data.z.device, data.z.shape, config.folds
    own = torch.arange(networks, device=device)[:, None, None]
    size = min(n, config.rows_per_epoch)
    order = np.stack([rng.choice(n, size, replace=False, shuffle=True) for _ in range(networks)])
    for start in range(0, size, config.batch_size):
        row = torch.as_tensor(order[:, start : start + config.batch_size], device=device)
        rate = rng.uniform(*config.hide_rate, size=(*row.shape, 1))
        hidden = torch.as_tensor(rng.random((*row.shape, p)) < rate, device=device)
        observed, fold = data.observed[row], data.fold[row]
        shown = observed & ~hidden
        target = hidden & (fold >= 0) & (fold != own) & shown.any(dim=2, keepdim=True)
        z = data.z[row]
        masked, covariance = remasker(z, shown, data.group[row])
        yield Batch(rows=masked, covariance=covariance, z=z.float(), target=target)
