"""The attention refiner: learn on a completion, correct the conditional means of the same or new rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.completion import Completion, FloatArray, GaussianRule
from fosa_sem.refine.attention import AttentionNetworks
from fosa_sem.refine.calibration import HeldOut, calibrate
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.folds import Probe, TrainingData, make_probe, training_data
from fosa_sem.refine.gate import decide_gates
from fosa_sem.refine.heads import FLOOR, Heads, Prediction
from fosa_sem.refine.predictive import NetworkCells, Predictive, predictive
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling
from fosa_sem.refine.training import HISTORY, Weights, out_of_memory, predictions, train

# Held-out cells that gates and calibration are decided on.
MAX_JUDGING_CELLS = 100_000


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

    The observed cells are dealt to folds, and a network is trained for each fold without its cells. What is learned is
    observed cells that are hidden on purpose: the conditional mean and standard deviation are computed anew for the
    row's new pattern, and the networks learn what is left of the hidden value. Then every observed cell is hidden once
    and predicted by the network that never learned it: these predictions choose the epoch, decide per variable
    whether the correction is kept, and calibrate the predicted distributions. lavaan and mice have no equivalent.

    Attributes
    ----------
    config : RefinerConfig
        Options.
    levels : mapping of str to ndarray
        The sorted values that discrete variables can take: binary and ordinal ones, also counts with few values. Their
        predictions are probabilities of these levels, the corrected values expectations.

    Examples
    --------
    >>> fitted = AttentionRefiner(config=RefinerConfig(epochs=100)).fit(completion)   # doctest: +SKIP
    >>> fitted.refine(completion).to_frame()                                          # doctest: +SKIP
    """

    config: RefinerConfig = field(default_factory=RefinerConfig)
    levels: Mapping[str, FloatArray] = field(default_factory=dict)

    def fit(self, completion: Completion, *, progress: bool = False) -> FittedRefiner:
        """Train the networks, decide the gates and calibrate.

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
            If ``device="cuda"`` and there is no CUDA device, or ``levels`` names no variable of the completion.

        Warns
        -----
        FosaWarning
            If the loss became infinite or NaN: no correction is kept. If training was interrupted: the best weights
            so far are kept. If memory ran out: batches are halved.

        Notes
        -----
        z-scores and the rule's moments are computed on all observed cells, held-out ones included. This
        favours the conditional mean over the correction, so that it makes the gates cautious. So does that
        single networks are judged but their average is used.
        """
        form = _Form.of(completion, self.config, self.levels)
        rng = np.random.default_rng(self.config.seed)
        data = training_data(completion, form.scaling, self.config.folds, rng, form.device)
        remasker = Remasker(completion.rule, form.scaling, form.device)
        with _one_thread():
            weights, history = _train(form, data, remasker, rng, progress=progress)
            judged = _judge(form, weights, make_probe(data, remasker, self.config.folds, MAX_JUDGING_CELLS))
        gates = decide_gates(completion.variables, judged.column, judged.residual, judged.correction)
        if not self.config.gated:
            gates["gate"] = 1.0
        gate = gates["gate"].to_numpy(dtype=np.float64)
        return FittedRefiner(
            variables=completion.variables,
            config=self.config,
            levels=form.levels,
            scaling=form.scaling,
            rule=completion.rule,
            weights=weights,
            gates=gates,
            calibration=calibrate(completion.variables, judged, gate, form.discrete),
            history=history,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedRefiner:
    """Trained networks, gates and calibration.

    Attributes
    ----------
    variables : tuple of str, length p
        The columns that it corrects.
    config : RefinerConfig
        How it was trained.
    levels : dict of str to ndarray
        Levels of the discrete variables.
    scaling : Scaling
        Location and scale of every variable.
    rule : GaussianRule
        Of the completion that it was trained on.
    weights : dict of ndarray of float32, or None
        Parameters by name, the networks in the first dimension. None if no correction beat the conditional mean.
    gates : DataFrame
        One row per variable: variable, gate, gain, se, n_heldout; see `decide_gates` for what a gate claims.
    calibration : DataFrame
        One row per variable: variable, shape, spread, scale, coverage; see `calibrate`.
    history : DataFrame
        One row per look at the held-out cells; see `training.train`. Empty if there was nothing to learn from (a
        single variable, or hardly any observed cells).
    """

    variables: tuple[str, ...]
    config: RefinerConfig
    levels: dict[str, FloatArray]
    scaling: Scaling
    rule: GaussianRule
    weights: Weights | None
    gates: pd.DataFrame
    calibration: pd.DataFrame
    history: pd.DataFrame

    @property
    def spread(self) -> FloatArray:
        """By which factor draws around refined values are wider than the rule says, shape (p,)."""
        return self.calibration["spread"].to_numpy(dtype=np.float64)

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
        self._check(completion)
        gate = self.gates["gate"].to_numpy(dtype=np.float64)
        cells = _correctable(completion) & (gate > 0)
        rows = np.flatnonzero(cells.any(axis=1))
        if self.weights is None or not rows.size:
            return completion.refined(completion.mean)
        correction, inverse = self._correction(completion, rows)
        values = completion.mean.copy()
        values[rows] += np.where(cells[rows], (gate * self.scaling.sd * correction)[inverse], 0.0)
        return completion.refined(values)

    def predictive(self, completion: Completion) -> Predictive:
        """The distribution of every missing cell after refinement, given the observed cells of its row.

        Parameters
        ----------
        completion : Completion
            The rows trained on, or new rows, with any pattern. Not changed.

        Returns
        -------
        Predictive
            Continuous cells have mixtures of normal distributions around the values of `refine`, calibrated on
            held-out cells; discrete ones probabilities of their levels.

        Raises
        ------
        DataError, OptionError
            As of `refine`.
        """
        self._check(completion)
        gate = self.gates["gate"].to_numpy(dtype=np.float64)
        return predictive(
            completion, gate, self.calibration, self.levels, FLOOR * self.scaling.sd, self._network_cells(completion),
            self.config.components * self.config.folds,
        )  # fmt: skip

    def _network_cells(self, completion: Completion) -> Iterator[NetworkCells]:
        """What the networks say of the missing cells that they can speak of, some rows at a time."""
        rows = np.flatnonzero(_correctable(completion).any(axis=1))
        if self.weights is None or not rows.size:
            return
        row, column = np.nonzero(~completion.observed)
        masked, inverse = self._masked_rows(completion, rows)
        place = np.full(len(completion.values), -1)
        place[rows] = inverse
        with self._networks() as (networks, heads):
            for part, prediction in predictions(networks, heads, masked):
                cells = np.flatnonzero((place[row] >= part.start) & (place[row] < part.stop))
                at = place[row[cells]] - part.start, column[cells]
                yield _network_cells(prediction, cells, at, self.scaling.sd[column[cells]])

    def _check(self, completion: Completion) -> None:
        if completion.variables != self.variables:
            raise DataError(
                f"the refiner was trained on the columns {list(self.variables)}, the completion has "
                f"{list(completion.variables)}; give the same columns in the same order"
            )

    def _correction(self, completion: Completion, rows: NDArray[np.intp]) -> tuple[FloatArray, NDArray[np.intp]]:
        """Ungated corrections of distinct rows on the standardised scale, and where each of ``rows`` is among them."""
        masked, inverse = self._masked_rows(completion, rows)
        with self._networks() as (networks, heads):
            parts = [one.correction.mean(dim=0).cpu().numpy() for _, one in predictions(networks, heads, masked)]
        return np.concatenate(parts).astype(np.float64), inverse

    def _masked_rows(self, completion: Completion, rows: NDArray[np.intp]) -> tuple[MaskedRows, NDArray[np.intp]]:
        """Distinct rows as the networks see them, and where each of ``rows`` is among them."""
        device = _device(self.config)
        hidden = ~completion.observed[rows]
        value = self.scaling.standardise(completion.mean[rows])
        sd = completion.sd[rows] / self.scaling.sd
        first, inverse = _distinct_rows(np.hstack([np.where(hidden, np.nan, value), completion.group[rows, None]]))
        masked = MaskedRows(
            value=torch.as_tensor(value[first], dtype=torch.float32, device=device)[None],
            sd=torch.as_tensor(sd[first], dtype=torch.float32, device=device)[None],
            hidden=torch.as_tensor(hidden[first], device=device)[None],
        )
        return masked, inverse

    @contextmanager
    def _networks(self) -> Iterator[tuple[AttentionNetworks, Heads]]:
        """The trained networks, on one thread."""
        assert self.weights is not None
        form = _Form.from_parts(self.rule, self.scaling, self.config, self.levels)
        with _one_thread():
            yield form.networks(self.weights), form.heads


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What networks look like for these variables and options."""

    config: RefinerConfig
    scaling: Scaling
    levels: dict[str, FloatArray]
    heads: Heads
    prior: Tensor | None
    device: torch.device

    @classmethod
    def of(cls, completion: Completion, config: RefinerConfig, levels: Mapping[str, FloatArray]) -> _Form:
        unknown = [name for name in levels if name not in completion.variables]
        if unknown:
            raise OptionError(f"levels names {unknown[0]!r}, which is no variable of the model")
        sorted_levels = {name: np.unique(np.asarray(one, dtype=np.float64)) for name, one in levels.items()}
        return cls.from_parts(completion.rule, observed_scaling(completion), config, sorted_levels)

    @classmethod
    def from_parts(
        cls, rule: GaussianRule, scaling: Scaling, config: RefinerConfig, levels: dict[str, FloatArray]
    ) -> _Form:
        device = _device(config)
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
        return self.heads.discrete.cpu().numpy()

    def networks(self, weights: Weights | None = None, seed: int = 0) -> AttentionNetworks:
        """New networks, or trained ones."""
        generator = torch.Generator(device=self.device).manual_seed(seed)
        p = len(self.scaling.mean)
        networks = AttentionNetworks(p, self.heads.outputs, self.config, self.config.folds, generator, self.prior)
        if weights is None:
            self.heads.start(networks.bias.data)
        else:
            networks.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
        return networks


def _train(
    form: _Form, data: TrainingData, remasker: Remasker, rng: np.random.Generator, *, progress: bool
) -> tuple[Weights | None, pd.DataFrame]:
    """Train; with half the batch, from the beginning, whenever memory runs out."""
    seed = int(rng.integers(2**62))
    if bool((data.fold < 0).all()) or data.z.shape[1] < 2:
        return None, pd.DataFrame(columns=HISTORY, dtype=np.float64)
    config, state = form.config, rng.bit_generator.state
    while True:
        rng.bit_generator.state = state
        generator = torch.Generator(device=form.device).manual_seed(seed)
        try:
            networks = form.networks(seed=seed)
            trained = train(networks, form.heads, data, remasker, config, generator, rng, progress=progress)
            return trained.weights, trained.history
        except (MemoryError, RuntimeError) as error:
            if config.batch_size == 1 or not out_of_memory(error):
                raise
            config = replace(config, batch_size=config.batch_size // 2)


def _judge(form: _Form, weights: Weights | None, probe: Probe) -> HeldOut:
    """What is held against the truth: each probed cell, by the network that never learned it."""
    valid = probe.valid.cpu().numpy()
    mixture: list[FloatArray] = []
    correction = torch.zeros_like(probe.residual)
    score = torch.zeros_like(probe.residual)
    if weights is not None:
        parts = [
            _own_cells(prediction, probe, part)
            for part, prediction in predictions(form.networks(weights), form.heads, probe.rows)
        ]
        correction, score, *stacked = (torch.cat(one, dim=1) for one in zip(*parts, strict=True))
        mixture = [one.cpu().numpy()[valid].astype(np.float64) for one in stacked]
    column, residual, d, sd, gain = (
        one.cpu().numpy()[valid] for one in (probe.column, probe.residual, correction, probe.sd, score)
    )
    return HeldOut(
        column=column,
        residual=residual.astype(np.float64),
        correction=d.astype(np.float64),
        sd=sd.astype(np.float64),
        level_gain=gain.astype(np.float64),
        mixture=tuple(mixture) if mixture else None,
    )


def _own_cells(prediction: Prediction, probe: Probe, part: slice) -> tuple[Tensor, ...]:
    """Correction, gain in log probability (levels only), and the mixture's weights, means and scales per probed cell."""
    column = probe.column[:, part, None]

    def own(table: Tensor) -> Tensor:
        if table.dim() == 3:
            return table.gather(2, column)[..., 0]
        index = column[..., None].expand(-1, -1, 1, table.shape[-1])
        return table.gather(2, index)[:, :, 0]

    residual = probe.residual[:, part, None].expand(-1, -1, prediction.mixture.mean.shape[2])
    gain = torch.zeros_like(residual) if prediction.levels is None else prediction.levels.gain(residual)
    mixture = prediction.mixture
    return (
        own(prediction.correction), own(gain), own(mixture.log_weight.exp()), own(mixture.mean),
        own(mixture.log_scale.exp()),
    )  # fmt: skip


def _network_cells(
    prediction: Prediction, cells: NDArray[np.intp], at: tuple[NDArray[np.intp], NDArray[np.intp]], scale: FloatArray
) -> NetworkCells:
    """The networks' average distribution of cells at (row, column) of a prediction, on the data's scale."""

    def stacked(table: Tensor) -> FloatArray:
        """From (K, n, p, C) to (cells, K C)."""
        picked = table.cpu().numpy()[:, at[0], at[1]]
        return np.moveaxis(picked, 0, 1).reshape(len(cells), -1).astype(np.float64)

    mixture, levels = prediction.mixture, prediction.levels
    networks = mixture.mean.shape[0]
    probability = np.zeros((len(cells), 0))
    if levels is not None:
        probability = levels.log_probability.exp().mean(dim=0).cpu().numpy()[at].astype(np.float64)
    return NetworkCells(
        cells=cells,
        correction=scale * prediction.correction.mean(dim=0).cpu().numpy()[at].astype(np.float64),
        weight=stacked(mixture.log_weight.exp()) / networks,
        mean=scale[:, None] * stacked(mixture.mean),
        sd=scale[:, None] * stacked(mixture.log_scale.exp()),
        probability=probability,
    )


def partial_correlations(rule: GaussianRule) -> FloatArray:
    """Partial correlation of each pair of variables given all others; of several groups, the mean. 1 on the diagonal."""
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


def _correctable(completion: Completion) -> NDArray[np.bool_]:
    """Missing cells of rows in which something is observed."""
    return ~completion.observed & completion.observed.any(axis=1, keepdims=True)


def _distinct_rows(inputs: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each distinct row stands first, in an order of their own, and where each row went.

    The last bits of a matrix product depend on where a row stands; a canonical order makes the result the
    same for every order of the input.
    """
    bits = np.ascontiguousarray(inputs + 0.0).view(np.int64)
    keys = bits.view(np.dtype((np.void, bits.itemsize * bits.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


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
