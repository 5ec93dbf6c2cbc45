"""The attention refiner: learn on a completion, correct the conditional means of the same or new rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.completion import Completion, FloatArray
from fosa_sem.refine.attention import AttentionNetwork, predict
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.gate import decide_gates, held_out_spread
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling
from fosa_sem.refine.training import (
    HISTORY,
    MAX_CHOOSING_CELLS,
    Cells,
    TrainingData,
    Weights,
    hold_out,
    make_probe,
    train,
)


class Refinement(Protocol):
    """What a refiner has learned."""

    def refine(self, completion: Completion) -> Completion:
        """Return the completion with corrected missing cells; observed cells come back bit-identical."""
        ...


class Refiner(Protocol):
    """Learns to correct the missing cells of a completion from its observed cells."""

    def fit(self, completion: Completion, *, progress: bool = False) -> Refinement:
        """Learn from a completion, which is not changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRefiner:
    """Corrects conditional means by self-attention between the variables of a row (FOSA's second stage).

    The network is trained on observed cells that are hidden on purpose: the conditional mean and standard
    deviation are computed anew for the row's new pattern, and the network learns what is left of the hidden
    value. Held-out cells, hidden in the same way but never learned from, choose the epoch and decide per
    variable how much of the correction is kept: they come in two halves, and each half judges the weights
    that the other half chose. lavaan and mice have no equivalent.

    Attributes
    ----------
    config : RefinerConfig
        Options; the paper's by default.

    Examples
    --------
    >>> fitted = AttentionRefiner(config=RefinerConfig(epochs=100)).fit(completion)   # doctest: +SKIP
    >>> fitted.refine(completion).to_frame()                                          # doctest: +SKIP
    """

    config: RefinerConfig = field(default_factory=RefinerConfig)

    def fit(self, completion: Completion, *, progress: bool = False) -> FittedRefiner:
        """Train the network and decide the gates.

        Parameters
        ----------
        completion : Completion
            Its observed cells are learned from, its rule gives the conditional moments.
        progress : bool, default False
            Show a progress bar over the epochs.

        Returns
        -------
        FittedRefiner

        Raises
        ------
        OptionError
            If ``device="cuda"`` and there is no CUDA device.

        Warns
        -----
        FosaWarning
            If the loss became infinite or NaN; the best weights before that are kept.

        Notes
        -----
        z-scores and the rule's moments are computed on all observed cells, held-out ones included. This
        favours the conditional mean over the correction, so that it makes the gates cautious. So does that
        single networks are judged but their average is used.
        """
        scaling = observed_scaling(completion)
        device = _device(self.config)
        data = _training_data(completion, scaling, device)
        remasker = Remasker(completion.rule, scaling, device)
        rng = np.random.default_rng(self.config.seed)
        with _one_thread():
            fits = [
                _fit_fold(data, remasker, halves, self.config, rng, progress=progress)
                for halves in hold_out(completion.observed, self.config, rng)
            ]
        judged = np.concatenate([fit.judged for fit in fits])
        column, residual, correction, sd = judged[:, 0].astype(np.intp), *judged[:, 1:].T
        gates = decide_gates(completion.variables, column, residual, correction)
        left = residual - gates["gate"].to_numpy(dtype=np.float64)[column] * correction
        return FittedRefiner(
            variables=completion.variables,
            config=self.config,
            scaling=scaling,
            weights=tuple(weights for fit in fits for weights in fit.weights),
            gates=gates,
            spread=held_out_spread(len(completion.variables), column, left, sd),
            history=pd.concat([fit.history.assign(fold=k) for k, fit in enumerate(fits)], ignore_index=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedRefiner:
    """A trained network and its gates.

    Attributes
    ----------
    variables : tuple of str, length p
        The columns that it corrects.
    config : RefinerConfig
        How it was trained.
    scaling : Scaling
        Location and scale of every variable.
    weights : tuple of dict of ndarray of float32
        The parameters by name of each network whose corrections are averaged: two (the best epoch of either
        half of its held-out cells) per fold.
    gates : DataFrame
        One row per variable: variable, gate, gain, se, n_heldout; see `decide_gates` for what a gate claims.
    spread : ndarray, shape (p,)
        Root mean squared error of the gated correction on held-out cells, as a share of the conditional standard
        deviation that the rule gave them: by this factor draws around refined values are wider or narrower.
    history : DataFrame
        One row per epoch and fold: epoch, mse, covariance, l1, total, heldout_mse, baseline_mse (see
        `training.train`) and fold. Empty if there was nothing to learn from (a single variable, or hardly any
        observed cells).
    """

    variables: tuple[str, ...]
    config: RefinerConfig
    scaling: Scaling
    weights: tuple[Weights, ...]
    gates: pd.DataFrame
    spread: FloatArray
    history: pd.DataFrame

    def refine(self, completion: Completion) -> Completion:
        """Add the gated correction to the conditional means of the missing cells.

        Parameters
        ----------
        completion : Completion
            The rows trained on, or new rows, with any pattern. Not changed.

        Returns
        -------
        Completion
            Observed cells are bit-identical. Missing cells of variables with gate 0, and of rows in which
            nothing is observed, are exactly the conditional mean.

        Raises
        ------
        DataError
            If the completion's variables are not those of the training data, in the same order.
        OptionError
            If the refiner was trained with ``device="cuda"`` and there is no CUDA device.

        Notes
        -----
        The result for a row depends on neither the order of the rows nor on repeated rows; other rows in the
        table can move its correction by float32 rounding.
        """
        if completion.variables != self.variables:
            raise DataError(
                f"the refiner was trained on the columns {list(self.variables)}, the completion has "
                f"{list(completion.variables)}; give the same columns in the same order"
            )
        gate = self.gates["gate"].to_numpy(dtype=np.float64)
        cells = ~completion.observed & completion.observed.any(axis=1, keepdims=True) & (gate > 0)
        rows = np.flatnonzero(cells.any(axis=1))
        values = completion.mean.copy()
        if rows.size:
            correction = gate * self.scaling.sd * self._correction(completion, rows)
            values[rows] += np.where(cells[rows], correction, 0.0)
        return completion.refined(values)

    def _correction(self, completion: Completion, rows: NDArray[np.intp]) -> FloatArray:
        """Ungated corrections of some rows on the standardised scale, shape (len(rows), p)."""
        device = _device(self.config)
        hidden = ~completion.observed[rows]
        value = self.scaling.standardise(completion.mean[rows])
        sd = completion.sd[rows] / self.scaling.sd
        unique, inverse = _distinct_rows(np.stack([value, sd, hidden], axis=2))
        masked = MaskedRows(
            value=torch.as_tensor(unique[:, :, 0], dtype=torch.float32, device=device),
            sd=torch.as_tensor(unique[:, :, 1], dtype=torch.float32, device=device),
            hidden=torch.as_tensor(unique[:, :, 2] > 0, device=device),
        )
        correction = np.zeros(unique.shape[:2])
        with _one_thread():
            for weights in self.weights:
                network = _network(weights, len(self.variables), self.config, device)
                correction += predict(network, masked).cpu().numpy() / len(self.weights)
        return correction[inverse]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FoldFit:
    """What one fold gives: weights, history, and per cell its variable, residual, correction and conditional SD."""

    weights: list[Weights]
    history: pd.DataFrame
    judged: FloatArray


def _fit_fold(
    data: TrainingData,
    remasker: Remasker,
    halves: tuple[Cells, Cells],
    config: RefinerConfig,
    rng: np.random.Generator,
    *,
    progress: bool,
) -> _FoldFit:
    """Train one network without the held-out cells, and let each half judge what the other half chose."""
    device, p = data.z.device, data.z.shape[1]
    generator = torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))
    network = AttentionNetwork(p, config, generator)
    if not all(map(len, halves)):
        history = pd.DataFrame(columns=HISTORY, dtype=np.float64)
        return _FoldFit(weights=[], history=history, judged=np.zeros((0, 4)))
    target = data.target.clone()
    for cells in halves:
        target[cells.row, cells.column] = False
    probes = [make_probe(data, remasker, cells.at_most(MAX_CHOOSING_CELLS)) for cells in halves]
    weights, history = train(
        network, replace(data, target=target), remasker, probes, config, generator, rng, progress=progress
    )
    judged = []
    for cells, chosen in zip(halves, reversed(weights), strict=True):
        probe = make_probe(data, remasker, cells)
        correction = probe.correction(_network(chosen, p, config, device))
        sd = probe.rows.sd.gather(1, probe.column[:, None])[:, 0]
        parts = [part.cpu().numpy() for part in (probe.residual, correction, sd)]
        judged.append(np.column_stack([cells.column, *parts]).astype(np.float64))
    return _FoldFit(weights=weights, history=history, judged=np.concatenate(judged))


def _network(weights: Weights, p: int, config: RefinerConfig, device: torch.device) -> AttentionNetwork:
    """Rebuild a trained network."""
    network = AttentionNetwork(p, config, torch.Generator(device=device).manual_seed(0))
    network.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
    return network


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


def _training_data(completion: Completion, scaling: Scaling, device: torch.device) -> TrainingData:
    """Standardise the observed cells; every one of them is a target until it is held out."""
    observed = completion.observed
    z = np.where(observed, scaling.standardise(completion.values), 0.0)
    return TrainingData(
        z=torch.as_tensor(z, device=device),
        observed=torch.as_tensor(observed, device=device),
        group=torch.as_tensor(completion.group, dtype=torch.int64, device=device),
        target=torch.tensor(observed, device=device),
    )


def _distinct_rows(inputs: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Distinct rows in an order of their own, and where each given row went.

    The last bits of a matrix product depend on where a row stands; a canonical order makes the result the
    same for every order of the input.
    """
    flat = inputs.reshape(len(inputs), -1)
    unique, inverse = np.unique(flat, axis=0, return_inverse=True)
    return unique.reshape(-1, *inputs.shape[1:]), inverse.reshape(-1)


def _device(config: RefinerConfig) -> torch.device:
    """Resolve the device option on this machine."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise OptionError("refiner option device='cuda': torch finds no CUDA device; use 'auto' or 'cpu'")
    return torch.device("cuda" if config.device != "cpu" and available else "cpu")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch's CPU work on one thread, then restore the number of threads.

    The batches are too small to share, and the last bits of a product depend on how it is shared.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
