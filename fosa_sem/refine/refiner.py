"""The attention refiner: learn on a completion, correct the conditional means of the same or new rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fosa_sem.errors import DataError
from fosa_sem.imputation.completion import Completion, FloatArray, GaussianRule
from fosa_sem.refine.attention import Weights
from fosa_sem.refine.calibration import calibrate
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.refine.folds import Blocks, TrainingData, make_probe, quantile_edges, training_data
from fosa_sem.refine.form import Form
from fosa_sem.refine.gate import decide_gates
from fosa_sem.refine.heads import FLOOR, Prediction
from fosa_sem.refine.judging import judge
from fosa_sem.refine.predictive import NetworkCells, Predictive, network_cells, predictive
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling
from fosa_sem.refine.training import HISTORY, Team, out_of_memory, predict, train

# Held-out cells that gates and calibration are decided on.
MAX_JUDGING_CELLS = 100_000
# Held-out cells that choose the epoch; more of them would cost more than they help.
MAX_CHOOSING_CELLS = 10_000
TEAMS = 2


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
    blocks : sequence of sequence of str
        Variables that are known together or not at all, such as the indicators of a nominal variable: they are hidden
        and held out together.

    Examples
    --------
    >>> fitted = AttentionRefiner(config=RefinerConfig(epochs=100)).fit(completion)   # doctest: +SKIP
    >>> fitted.refine(completion).to_frame()                                          # doctest: +SKIP
    """

    config: RefinerConfig = field(default_factory=RefinerConfig)
    levels: Mapping[str, FloatArray] = field(default_factory=dict)
    blocks: Blocks = ()

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
            If ``device="cuda"`` and there is no CUDA device, ``levels`` or ``blocks`` name no variable of the
            completion, or ``levels`` has none or infinite values for one.

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
        folds = self.config.folds
        form = Form.of(completion, self.config, self.levels)
        data = folded_data(completion, form, self.blocks)
        remasker = Remasker(completion.rule, form.scaling, form.device)
        weights, history = _train(form, data, remasker, self.config.seed, progress=progress)
        judged = judge(form, weights, make_probe(data, remasker, range(folds), MAX_JUDGING_CELLS // folds))
        gates = decide_gates(completion.variables, judged.column, judged.residual, judged.correction)
        if not self.config.gated:
            gates["gate"] = 1.0
        gate = gates["gate"].to_numpy(dtype=np.float64)
        return FittedRefiner(
            variables=completion.variables,
            config=self.config,
            levels=form.levels,
            blocks=tuple(map(tuple, self.blocks)),
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
    blocks : tuple of tuple of str
        Variables that were hidden together.
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
    blocks: tuple[tuple[str, ...], ...]
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
        self.check(completion)
        gate = self.gates["gate"].to_numpy(dtype=np.float64)
        cells = _correctable(completion) & (gate > 0)
        rows = np.flatnonzero(cells.any(axis=1))
        if self.weights is None or not rows.size:
            return completion.refined(completion.mean)
        correction, inverse = self._correction(self.weights, completion, rows)
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
        self.check(completion)
        gate = self.gates["gate"].to_numpy(dtype=np.float64)
        return predictive(
            completion, gate, self.calibration, self.levels, FLOOR * self.scaling.sd, self._network_cells(completion),
            self.config.components * (1 if self.weights is None else len(self.weights["bias"])),
        )  # fmt: skip

    def _network_cells(self, completion: Completion) -> list[NetworkCells]:
        """What the networks say of the missing cells that they can speak of, by parts of the rows."""
        rows = np.flatnonzero(_correctable(completion).any(axis=1))
        if self.weights is None or not rows.size:
            return []
        row, column = np.nonzero(~completion.observed)
        form = self._form()
        masked, inverse = _distinct(completion, rows, form)
        place = np.full(len(completion.values), -1)
        place[rows] = inverse

        def read(part: slice, prediction: Prediction) -> NetworkCells:
            cells = np.flatnonzero((place[row] >= part.start) & (place[row] < part.stop))
            at = place[row[cells]] - part.start, column[cells]
            return network_cells(prediction, cells, at, self.scaling.sd[column[cells]])

        return predict(form.trained(self.weights), form.heads, masked, read)

    def check(self, completion: Completion) -> None:
        """Refuse a completion of other variables, or of the same in another order, by a DataError."""
        if completion.variables != self.variables:
            raise DataError(
                f"the refiner was trained on the columns {list(self.variables)}, the completion has "
                f"{list(completion.variables)}; give the same columns in the same order"
            )

    def _correction(
        self, weights: Weights, completion: Completion, rows: NDArray[np.intp]
    ) -> tuple[FloatArray, NDArray[np.intp]]:
        """Ungated corrections of distinct rows on the standardised scale, and where each of ``rows`` is among them."""
        form = self._form()
        masked, inverse = _distinct(completion, rows, form)
        parts = predict(form.trained(weights), form.heads, masked, lambda _, one: one.correction.mean(dim=0))
        return torch.cat(parts).cpu().numpy().astype(np.float64), inverse

    def _form(self) -> Form:
        return Form.from_parts(self.rule, self.scaling, self.config, self.levels)


def folded_data(completion: Completion, form: Form, blocks: Blocks) -> TrainingData:
    """The rows of a completion with their folds, which the seed of the options deals."""
    rng = np.random.default_rng([form.config.seed, 0])
    return training_data(completion, form.scaling, form.config.folds, rng, form.device, blocks)


def _train(
    form: Form, data: TrainingData, remasker: Remasker, seed: int, *, progress: bool
) -> tuple[Weights | None, pd.DataFrame]:
    """Train; with half the batch, from the beginning, whenever memory runs out."""
    if bool((data.fold < 0).all()):
        return None, pd.DataFrame(columns=HISTORY, dtype=np.float64)
    config = form.config
    while True:
        try:
            trained = train(_teams(form, data, remasker, config, seed), progress=progress)
        except (MemoryError, RuntimeError) as error:
            if config.batch_size == 1 or not out_of_memory(error):
                raise
            config = replace(config, batch_size=config.batch_size // 2)
        else:
            return trained.weights, trained.history


def _teams(form: Form, data: TrainingData, remasker: Remasker, config: RefinerConfig, seed: int) -> list[Team]:
    """Two teams of folds, whatever the number of threads, so that it does not change the numbers."""
    teams, edges = [], quantile_edges(data, config.bins)
    for k, own in enumerate(np.array_split(np.arange(config.folds), TEAMS)):
        rng = np.random.default_rng([seed, 1, k])
        generator = torch.Generator(device=form.device).manual_seed(int(rng.integers(2**62)))
        networks = form.untrained(len(own), generator)
        if config.bins > 1:
            networks.edges.copy_(edges)
        probe = make_probe(data, remasker, own.tolist(), MAX_CHOOSING_CELLS // config.folds)
        teams.append(Team(networks, form.heads, own.tolist(), probe, data, remasker, config, generator, rng))
    return teams


def _correctable(completion: Completion) -> NDArray[np.bool_]:
    """Missing cells of rows in which something is observed."""
    return ~completion.observed & completion.observed.any(axis=1, keepdims=True)


def _distinct(completion: Completion, rows: NDArray[np.intp], form: Form) -> tuple[MaskedRows, NDArray[np.intp]]:
    """Distinct rows as the networks see them, and where each of ``rows`` is among them."""
    hidden = ~completion.observed[rows]
    value = form.scaling.standardise(completion.mean[rows])
    sd = completion.sd[rows] / form.scaling.sd
    first, inverse = _distinct_rows(np.hstack([np.where(hidden, np.nan, value), completion.group[rows, None]]))
    masked = MaskedRows(
        value=torch.as_tensor(value[first], dtype=torch.float32, device=form.device)[None],
        sd=torch.as_tensor(sd[first], dtype=torch.float32, device=form.device)[None],
        hidden=torch.as_tensor(hidden[first], device=form.device)[None],
    )
    return masked, inverse


def _distinct_rows(inputs: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each distinct row stands first, in an order of their own, and where each row went.

    The last bits of a matrix product depend on where a row stands; a canonical order makes the result the
    same for every order of the input.
    """
    bits = np.ascontiguousarray(inputs + 0.0).view(np.int64)
    keys = bits.view(np.dtype((np.void, bits.itemsize * bits.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)
