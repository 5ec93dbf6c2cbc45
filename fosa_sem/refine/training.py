"""Training: hide further observed cells, recompute their conditional moments, learn the residual."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from fosa_sem.errors import FosaWarning
from fosa_sem.refine.attention import AttentionNetworks, Weights
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.folds import Probe, TrainingData
from fosa_sem.refine.heads import Heads, Prediction
from fosa_sem.refine.remasking import MaskedRows, Remasker

MAX_GRADIENT_NORM = 1.0
WARMUP_STEPS = 50
LAST_RATE = 0.02
# Rows that pass through the networks at a time when nothing is learned.
CHUNK = 2048

T = TypeVar("T")

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


def losses(networks: AttentionNetworks, heads: Heads, batch: Batch, generator: torch.Generator | None = None) -> Losses:
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


def predict(
    networks: AttentionNetworks, heads: Heads, rows: MaskedRows, read: Callable[[slice, Prediction], T]
) -> list[T]:
    """Predict many rows without dropout or gradients, some at a time, on as many threads as torch may use.

    Parameters
    ----------
    networks : AttentionNetworks
    heads : Heads
    rows : MaskedRows
    read : callable
        Takes from a part of the rows and their prediction what is wanted.

    Returns
    -------
    list
        What was taken, in the order of the rows; of fewer rows at a time where memory ran out.
    """

    @torch.no_grad()
    def work(part: slice) -> list[T]:
        # The last bits of a product depend on how it is shared; and parts are small.
        torch.set_num_threads(1)
        some = rows.take(part)
        try:
            return [read(part, heads.read(networks(some), some.value, some.sd))]
        except (MemoryError, RuntimeError) as error:
            middle = (part.start + part.stop) // 2
            if middle == part.start or not out_of_memory(error):
                raise
        return work(slice(part.start, middle)) + work(slice(middle, part.stop))

    n = rows.value.shape[1]
    parts = [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return [one for results in pool.map(work, parts) for one in results]


def out_of_memory(error: Exception) -> bool:
    """Whether torch or Python says that memory ran out."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "not enough memory" in str(error) or "can't allocate memory" in str(error)


def probe_correction(networks: AttentionNetworks, heads: Heads, probe: Probe) -> Tensor:
    """Correction of each probed cell by the network that never learned it, shape (K, M)."""

    def own(part: slice, prediction: Prediction) -> Tensor:
        return prediction.correction.gather(2, probe.column[:, part, None])[..., 0]

    return torch.cat(predict(networks, heads, probe.rows, own), dim=1)


class Team:
    """Networks of some folds with all that their training needs; teams are trained side by side, one thread each.

    Parameters
    ----------
    networks : AttentionNetworks
        Untrained, one per fold.
    heads : Heads
    folds : sequence of int
        Whose cells they never learn, in the order of the networks.
    probe : Probe
        Cells of these folds.
    data : TrainingData
    remasker : Remasker
    config : RefinerConfig
    generator : torch.Generator
        Of dropout.
    rng : numpy.random.Generator
        Of rows and hiding.
    """

    def __init__(
        self, networks: AttentionNetworks, heads: Heads, folds: Sequence[int], probe: Probe, data: TrainingData,
        remasker: Remasker, config: RefinerConfig, generator: torch.Generator, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.networks, self.heads, self.config = networks, heads, config
        self._data, self._remasker, self._generator, self._rng = data, remasker, generator, rng
        self._folds = torch.as_tensor(folds, device=data.z.device)
        self._probe = probe
        self._optimizer = torch.optim.Adam(networks.parameters(), lr=config.learning_rate, fused=True)
        self._sums, self._steps = torch.zeros(len(PARTS) + 1, device=data.z.device), 0

    @property
    def cells(self) -> int:
        """Held-out cells that its networks are judged on."""
        return int(self._probe.valid.sum())

    def squared_error(self, *, corrected: bool = True) -> float:
        """Sum of the squared errors of its held-out cells."""
        left = self._probe.residual
        if corrected:
            left = left - probe_correction(self.networks, self.heads, self._probe)
        return float(left[self._probe.valid].square().sum())

    def run_epoch(self, epoch: int) -> None:
        """One pass over (some of) the rows, epochs counted from 1."""
        rate = learning_rate(epoch, len(self._data.z), self.config)
        for batch in batches(self._data, self._remasker, self._folds, self.config, self._rng):
            self._sums += self._step(batch, rate)
            self._steps += 1

    def losses(self) -> list[float]:
        """Parts of the loss and their total, means over networks and the steps since the last call."""
        means = (self._sums / max(self._steps, 1)).tolist()
        self._sums, self._steps = torch.zeros_like(self._sums), 0
        return means

    def weights(self) -> Weights:
        """A copy of the parameters by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.networks.state_dict().items()}

    def _step(self, batch: Batch, rate: float) -> Tensor:
        loss = losses(self.networks, self.heads, batch, self._generator)
        total = loss.total(self.config)
        self._optimizer.zero_grad()
        torch.autograd.backward(total.sum())
        _clip_gradients(self.networks)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return torch.stack([*(getattr(loss, part) for part in PARTS), total]).detach().mean(dim=1)


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


def train(teams: Sequence[Team], *, progress: bool = False) -> Trained:
    """Train teams of networks in place.

    Parameters
    ----------
    teams : sequence of Team
        Untrained, together one network per fold.
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
    config, cells = teams[0].config, sum(team.cells for team in teams)
    baseline = sum(team.squared_error(corrected=False) for team in teams) / cells
    # The conditional mean, no correction, is the one to beat; without gates corrections are kept at any rate.
    lowest = baseline if config.gated else math.inf
    weights: Weights | None = None
    history: list[list[float]] = []
    looks = [*range(config.check_every, config.epochs, config.check_every), config.epochs]
    since = 0
    with _side_by_side(teams, progress) as advance:
        try:
            for first, last in zip([0, *looks], looks, strict=False):
                heldout = sum(advance(first, last)) / cells
                row = [last, *np.mean([team.losses() for team in teams], axis=0).tolist(), heldout, baseline]
                if not np.isfinite(row).all():
                    _warn(
                        f"the refiner's loss is not finite by epoch {last}; training stopped and the model's "
                        "conditional expectations are kept. Try a smaller learning_rate."
                    )
                    weights = None
                    break
                history.append(row)
                since += 1
                if heldout < lowest:
                    lowest, since = heldout, 0
                    weights = together([team.weights() for team in teams])
                if config.patience is not None and since >= config.patience:
                    break
        except KeyboardInterrupt:
            _warn(f"training of the refiner was interrupted after epoch {first}; the best weights so far are kept")
    return Trained(weights=weights, history=pd.DataFrame(history, columns=HISTORY))


def _warn(message: str) -> None:
    warnings.warn(message, FosaWarning, stacklevel=4)


def together(parts: Sequence[Weights]) -> Weights:
    """Weights of all teams, their networks one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@contextmanager
def _side_by_side(teams: Sequence[Team], progress: bool) -> Iterator[Callable[[int, int], list[float]]]:
    """A function that runs the epochs after ``first`` up to ``last`` and returns each team's squared error."""
    stop = threading.Event()
    config = teams[0].config
    bar = tqdm(total=config.epochs, desc="refiner", unit="epoch", disable=not progress)
    threads = torch.get_num_threads()

    def run(team: Team, first: int, last: int) -> float:
        # The batches are too small to share, and the last bits of a product depend on how it is shared.
        torch.set_num_threads(1)
        for epoch in range(first + 1, last + 1):
            if stop.is_set():
                break
            team.run_epoch(epoch)
            if team is teams[0]:
                bar.update()
        return team.squared_error()

    with bar, ThreadPoolExecutor(min(threads, len(teams))) as pool:
        try:
            yield lambda first, last: list(pool.map(lambda team: run(team, first, last), teams))
        finally:
            stop.set()


def learning_rate(epoch: int, n: int, config: RefinerConfig) -> float:
    """Adam's rate in an epoch, from 1, of n rows: up over 50 steps, then down a half cosine to 2%; or constant."""
    if config.schedule == "constant":
        return config.learning_rate
    per_epoch = math.ceil(min(n, config.rows_per_epoch) / config.batch_size)
    rise = min(1.0, ((epoch - 1) * per_epoch + 1) / WARMUP_STEPS)
    fall = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * (epoch - 1) / config.epochs)) / 2
    return config.learning_rate * rise * fall


def _clip_gradients(networks: AttentionNetworks) -> None:
    """Limit the norm of each network's gradient."""
    gradients = [weight.grad for weight in networks.parameters() if weight.grad is not None]
    norm = torch.cat([g.flatten(1) for g in gradients], dim=1).norm(dim=1)
    if bool((norm > MAX_GRADIENT_NORM).any()):
        factor = (MAX_GRADIENT_NORM / norm.clamp(min=1e-12)).clamp(max=1.0)
        for g in gradients:
            g.mul_(factor.view(-1, *[1] * (g.dim() - 1)))


def batches(
    data: TrainingData, remasker: Remasker, folds: Tensor, config: RefinerConfig, rng: np.random.Generator
) -> Iterator[Batch]:
    """Batches of an epoch: for each network its own order of the rows, each with cells hidden at a rate of its own."""
    device, (n, p) = data.z.device, data.z.shape
    size = min(n, config.rows_per_epoch)
    order = np.stack([rng.choice(n, size, replace=False) for _ in folds])
    for start in range(0, size, config.batch_size):
        row = torch.as_tensor(order[:, start : start + config.batch_size], device=device)
        rate = rng.uniform(*config.hide_rate, size=(*row.shape, 1))
        hidden = torch.as_tensor(rng.random((*row.shape, p)) < rate, device=device)[..., data.owner]
        observed, fold = data.observed[row], data.fold[row]
        shown = observed & ~hidden
        learnable = (fold >= 0) & (fold != folds[:, None, None])
        z = data.z[row]
        masked, covariance = remasker(z, shown, data.group[row])
        target = hidden & learnable & shown.any(dim=2, keepdim=True)
        yield Batch(rows=masked, covariance=covariance, z=z.float(), target=target)
