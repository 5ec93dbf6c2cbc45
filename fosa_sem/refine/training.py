"""Training: hide further observed cells, recompute their conditional moments, learn the residual."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from fosa_sem.errors import FosaWarning
from fosa_sem.imputation.completion import BoolArray
from fosa_sem.refine.attention import AttentionNetwork, predict
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.remasking import MaskedRows, Remasker

# Cells that choose the epoch are looked at in every epoch; more of them would cost more than they help.
MAX_CHOOSING_CELLS = 250
# Held-out cells, over all folds, that are enough to judge a correction when the number of folds is left open.
ENOUGH_CELLS = 1000
MAX_GRADIENT_NORM = 1.0
Weights = dict[str, NDArray[np.float32]]

HISTORY = ["epoch", "mse", "covariance", "l1", "total", "heldout_mse", "baseline_mse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Some cells of a table: row and column of each, shape (k,)."""

    row: NDArray[np.intp]
    column: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.row)

    def at_most(self, count: int) -> Cells:
        """Return about ``count`` of the cells, evenly over the columns."""
        step = max(1, math.ceil(len(self) / count))
        return Cells(row=self.row[::step], column=self.column[::step])


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Rows on the standardised scale.

    Attributes
    ----------
    z : Tensor of float64, shape (n, p)
        z-scores of the observed cells; 0 elsewhere.
    observed : Tensor of bool, shape (n, p)
    group : Tensor of int64, shape (n,)
    target : Tensor of bool, shape (n, p)
        Observed cells that may be learned: those not held out.
    """

    z: Tensor
    observed: Tensor
    group: Tensor
    target: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Held-out cells as the network sees them, each hidden alone in a copy of its row.

    Attributes
    ----------
    rows : MaskedRows
        One row per cell.
    column : Tensor of int64, shape (k,)
        The cell's variable.
    residual : Tensor of float32, shape (k,)
        Its value minus its conditional mean.
    """

    rows: MaskedRows
    column: Tensor
    residual: Tensor

    def correction(self, network: AttentionNetwork) -> Tensor:
        """Return the network's correction of each cell, shape (k,)."""
        return predict(network, self.rows).gather(1, self.column[:, None])[:, 0]

    def mse(self, network: AttentionNetwork) -> float:
        """Mean squared error of the corrected cells."""
        return float((self.residual - self.correction(network)).square().mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The three parts of the loss, each a scalar Tensor."""

    mse: Tensor
    covariance: Tensor
    l1: Tensor

    def total(self, config: RefinerConfig) -> Tensor:
        """Return the weighted sum."""
        return config.weight_mse * self.mse + config.weight_covariance * self.covariance + config.weight_l1 * self.l1


def hold_out(observed: BoolArray, config: RefinerConfig, rng: np.random.Generator) -> list[tuple[Cells, Cells]]:
    """Draw the held-out cells of every fold: a share of each variable's observed cells, in two halves.

    Cells that are alone in their row are left out: nothing remains to predict them from.

    Parameters
    ----------
    observed : ndarray of bool, shape (n, p)
    config : RefinerConfig
        Gives ``holdout`` and ``folds``.
    rng : numpy.random.Generator

    Returns
    -------
    list of (Cells, Cells)
        No cell is held out twice.
    """
    usable = observed & (observed.sum(axis=1, keepdims=True) > 1)
    orders = [rng.permutation(np.flatnonzero(usable[:, j])) for j in range(observed.shape[1])]
    counts = [int(config.holdout * len(order)) for order in orders]
    folds = config.folds
    if folds is None:
        folds = min(math.ceil(ENOUGH_CELLS / max(1, sum(counts))), math.floor(1 / config.holdout + 1e-9))
    return [
        (
            _cells([order[k * m : (k + 1) * m : 2] for order, m in zip(orders, counts, strict=True)]),
            _cells([order[k * m + 1 : (k + 1) * m : 2] for order, m in zip(orders, counts, strict=True)]),
        )
        for k in range(folds)
    ]


def _cells(rows: list[NDArray[np.intp]]) -> Cells:
    """Collect the rows given for each column."""
    column = np.repeat(np.arange(len(rows)), [len(mine) for mine in rows])
    return Cells(row=np.concatenate(rows), column=column)


def make_probe(data: TrainingData, remasker: Remasker, cells: Cells) -> Probe:
    """Hide each cell alone in a copy of its row and compute its conditional moments."""
    row = torch.as_tensor(cells.row, device=data.z.device)
    column = torch.as_tensor(cells.column, device=data.z.device)
    shown = data.observed[row].scatter(1, column[:, None], False)
    masked, _ = remasker(data.z[row], shown, data.group[row])
    truth = data.z[row].gather(1, column[:, None])[:, 0].float()
    base = masked.value.gather(1, column[:, None])[:, 0]
    return Probe(rows=masked, column=column, residual=truth - base)


def losses(
    network: AttentionNetwork,
    masked: MaskedRows,
    covariance: Tensor,
    z: Tensor,
    target: Tensor,
    generator: torch.Generator | None = None,
) -> Losses:
    """Compute the loss of one batch.

    Parameters
    ----------
    network : AttentionNetwork
    masked : MaskedRows
        n rows with cells hidden anew.
    covariance : Tensor, shape (n, p, p)
        Conditional covariance of the hidden cells.
    z : Tensor of float32, shape (n, p)
        The true z-scores.
    target : Tensor of bool, shape (n, p)
        Hidden cells whose truth is known and may be learned.
    generator : torch.Generator, optional
        Of dropout.

    Notes
    -----
    With F the conditional mean, d the correction and C the conditional covariance of the hidden cells given
    the shown ones, the mean squared error is that of F + d. The covariance term compares like with like: over
    rows and pairs of cells that are shown or targets, the products of the true z-scores against the expected
    products given the shown cells, y y' + C - d d' with y = F + d where hidden (d explains a part of C, hence
    the last term). It is 0 in expectation at the true conditional mean, also in rows with many hidden cells.
    """
    d: Tensor = network(masked, generator)
    mse = ((z - masked.value - d).square() * target).sum() / target.sum().clamp(min=1)
    known = (target | ~masked.hidden).float()
    true, filled, shift = z * known, (masked.value + d) * known, d * known
    residual = torch.einsum("nj,njk,nk->jk", known, covariance, known)
    expected = filled.T @ filled + residual - shift.T @ shift
    gap = (expected - true.T @ true) / (known.T @ known).clamp(min=1)
    return Losses(mse=mse, covariance=gap.square().mean(), l1=network.mean_absolute_weight())


class BestWeights:
    """Weights after the epoch with the smallest error on a probe.

    Parameters
    ----------
    network : AttentionNetwork
        Untrained: its weights, those of no correction, are the best until an epoch beats them.
    probe : Probe
        The cells that choose.
    """

    def __init__(self, network: AttentionNetwork, probe: Probe) -> None:
        self._network, self._probe = network, probe
        self.baseline = self._mse = probe.mse(network)
        self.epoch, self.weights = 0, _weights(network)

    def look(self, epoch: int) -> float:
        """Return the error after an epoch, and keep the network's weights if it is the smallest so far."""
        mse = self._probe.mse(self._network)
        if mse < self._mse:
            self._mse, self.epoch, self.weights = mse, epoch, _weights(self._network)
        return mse


def train(
    network: AttentionNetwork,
    data: TrainingData,
    remasker: Remasker,
    probes: Sequence[Probe],
    config: RefinerConfig,
    generator: torch.Generator,
    rng: np.random.Generator,
    *,
    progress: bool = False,
) -> tuple[list[Weights], pd.DataFrame]:
    """Train the network in place.

    Parameters
    ----------
    network : AttentionNetwork
        Untrained.
    data : TrainingData
    remasker : Remasker
    probes : sequence of Probe
        Sets of held-out cells; each chooses an epoch of its own.
    config : RefinerConfig
    generator : torch.Generator
        Of dropout.
    rng : numpy.random.Generator
        Of hiding.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    weights : list of dict of ndarray
        For each probe, the weights after its best epoch.
    history : DataFrame
        One row per epoch: epoch, mse, covariance, l1, total (means over the epoch's steps, with dropout and
        freshly hidden cells), heldout_mse (mean over the probes, without dropout), baseline_mse (the same for
        the conditional mean).

    Warns
    -----
    FosaWarning
        If the loss is not finite; training stops and the best weights so far are returned.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    best = [BestWeights(network, probe) for probe in probes]
    baseline = float(np.mean([one.baseline for one in best]))
    history = []
    for epoch in tqdm(range(1, config.epochs + 1), desc="refiner", unit="epoch", disable=not progress):
        parts = _run_epoch(network, optimizer, data, remasker, config, generator, rng)
        heldout = float(np.mean([one.look(epoch) for one in best]))
        if not np.isfinite([*parts, heldout]).all():
            warnings.warn(
                f"the refiner's loss is not finite in epoch {epoch}; training stopped and the best weights "
                "before it are kept. Try a smaller learning_rate.",
                FosaWarning,
                stacklevel=3,
            )
            break
        history.append((epoch, *parts, heldout, baseline))
        if config.patience is not None and epoch - max(one.epoch for one in best) >= config.patience:
            break
    return [one.weights for one in best], pd.DataFrame(history, columns=HISTORY)


def _run_epoch(
    network: AttentionNetwork,
    optimizer: torch.optim.Optimizer,
    data: TrainingData,
    remasker: Remasker,
    config: RefinerConfig,
    generator: torch.Generator,
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """One pass over (some of) the rows; mean mse, covariance, l1 and total over its steps."""
    sums, steps = np.zeros(4), 0
    for rows, hidden in _batches(data, config, rng):
        observed = data.observed[rows]
        shown = observed & ~hidden
        target = hidden & data.target[rows] & shown.any(dim=1, keepdim=True)
        z = data.z[rows]
        masked, covariance = remasker(z, shown, data.group[rows])
        loss = losses(network, masked, covariance, z.float(), target, generator)
        total = loss.total(config)
        optimizer.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        sums += torch.stack([loss.mse, loss.covariance, loss.l1, total]).tolist()
        steps += 1
    mse, covariance_, l1, total_ = (sums / steps).tolist()
    return mse, covariance_, l1, total_


def _batches(data: TrainingData, config: RefinerConfig, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows in random order, with the cells to hide: each row at a rate of its own."""
    n, p = data.z.shape
    order = rng.permutation(n)[: config.rows_per_epoch]
    for start in range(0, len(order), config.batch_size):
        rows = order[start : start + config.batch_size]
        rate = rng.uniform(*config.hide_rate, size=(len(rows), 1))
        hidden = rng.random((len(rows), p)) < rate
        yield torch.as_tensor(rows, device=data.z.device), torch.as_tensor(hidden, device=data.z.device)


def _weights(network: AttentionNetwork) -> Weights:
    """Copy the network's weights."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}
