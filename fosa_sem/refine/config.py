"""Options of the attention refiner; importing this module does not import torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import OptionError

LARGE: dict[str, Any] = {
    "batch_size": 1024, "rows_per_epoch": 4096, "epochs": 160, "check_every": 20, "patience": None,
    "learning_rate": 0.004, "weight_likelihood": 0.03, "bins": 16,
}  # fmt: skip
"""Options for more observed cells than ..."""
SMALL_CELLS = 50_000
WIDE: dict[str, Any] = LARGE | {"layers": 1, "epochs": 320}
"""Options for as many, of more variables than ..."""
WIDE_VARIABLES = 8
HUGE: dict[str, Any] = LARGE | {"folds": 2, "layers": 1, "epochs": 140}
"""Options for more observed cells than ..."""
LARGE_CELLS = 500_000
LARGE_TOKENS, LEAST_ROWS = 5120, 128
"""Cells in a step of each network for large data, and rows at the least."""
COUNTS = ("heads", "width", "layers", "components", "bins", "epochs", "batch_size", "rows_per_epoch", "check_every")
DEVICES = ("auto", "cpu", "cuda")
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerConfig:
    """Options of the attention refiner, checked when the record is made.

    The defaults are those that did best on small data; `suited` has others for large data, `paper` the FOSA paper's.

    Attributes
    ----------
    heads : int, default 4
        Attention heads, at least 1; must divide ``width``.
    width : int, default 32
        Length of a variable's token, at least 1.
    layers : int, default 2
        Attention blocks, at least 1. The second makes products of other variables possible.
    components : int, default 3
        Normal distributions in the mixture that a continuous cell's prediction is, at least 1.
    bins : int, default 1
        Each shown value adds to its token what is learned for the bin that it lies in, of so many with about as many
        observed values each: steps that a smooth function of the value can hardly follow, in counts with many zeros
        say. 1 does without.
    epochs : int, default 250
        Passes over the rows, at least 1; an upper bound where ``patience`` is given.
    dropout : float, default 0.1
        Share of a branch's units dropped in training, in [0, 1).
    learning_rate : float, default 0.005
        Of Adam, in (0, 1].
    schedule : {"cosine", "constant"}, default "cosine"
        How the learning rate goes on: up within 50 steps and down to 2% by the last epoch, or as it is.
    weight_mse : float, default 1.0
        Weight of the squared error of the hidden cells (standardised scale), greater than 0.
    weight_likelihood : float, default 1.0
        Weight of the mean negative log-likelihood of the hidden cells under the predicted distribution, at least 0.
    weight_covariance : float, default 0.01
        Weight of the squared error of the second moments of the completed rows, at least 0.
    weight_l1 : float, default 0.001
        Weight of the mean absolute network weight, at least 0.
    hide_rate : (float, float), default (0.05, 0.6)
        Each row's share of observed cells hidden in a pass is drawn uniformly between these two,
        ``0 < low <= high < 1``.
    folds : int, default 6
        Parts of the observed cells, at least 2. Each is held out from the training of a network of its own, which
        alone speaks of it when the epoch and the gates are chosen. Missing cells get the networks' average.
    batch_size : int, default 128
        Rows of each network in a step, at least 1.
    rows_per_epoch : int, default 512
        A pass takes at most this many rows, drawn anew for each pass; at least 1.
    check_every : int, default 25
        Epochs between looks at the held-out cells, at least 1.
    patience : int or None, default 4
        Stop after so many looks without improvement on the held-out cells; None runs all epochs. Either
        way the weights at the best look are kept.
    attention_prior : bool, default False
        Let each head weigh variables by their absolute partial correlation under the model, as much as it learns to.
    gated : bool, default True
        Keep a variable's correction only where the held-out cells show a gain; see `gate.decide_gates`. Without gates
        the weights at the best look are kept even if no look beats the conditional mean.
    device : {"cpu", "auto", "cuda"}, default "cpu"
        "auto" takes a CUDA device if there is one. Numbers repeat bit for bit on the CPU.
    seed : int, default 0
        Of folds, hiding, initial weights and dropout, at least 0.

    Raises
    ------
    OptionError
        If a value is outside its range; the message names the option, the value and the range.
    """

    heads: int = 4
    width: int = 32
    layers: int = 2
    components: int = 3
    bins: int = 1
    epochs: int = 250
    dropout: float = 0.1
    learning_rate: float = 0.005
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_mse: float = 1.0
    weight_likelihood: float = 1.0
    weight_covariance: float = 0.01
    weight_l1: float = 0.001
    hide_rate: tuple[float, float] = (0.05, 0.6)
    folds: int = 6
    batch_size: int = 128
    rows_per_epoch: int = 512
    check_every: int = 25
    patience: int | None = 4
    attention_prior: bool = False
    gated: bool = True
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    seed: int = 0

    @classmethod
    def suited(cls, observed: NDArray[np.bool_], **changes: Any) -> RefinerConfig:
        """Options for the size of the data: what ``refiner="attention"`` means.

        Up to 50,000 observed cells, the defaults. Beyond, where corrections are small beside the noise of a step:
        batches of 1,024 rows (fewer of more than 5 variables), 160 epochs without early stopping, bins, less weight
        on the likelihood. Of more than 8 variables, where a step has few hidden cells of each, one layer and twice the
        epochs. Beyond 500,000 cells, two networks of one layer and 140 epochs, to save time.

        Parameters
        ----------
        observed : ndarray of bool, shape (n, p)
            Which cells are observed.
        **changes
            Options to change.
        """
        cells = int(observed.sum())
        if cells <= SMALL_CELLS:
            return cls(**changes)
        rows = min(LARGE["batch_size"], max(LEAST_ROWS, LARGE_TOKENS // observed.shape[1]))
        size = {"batch_size": rows, "rows_per_epoch": 4 * rows}
        options = WIDE if observed.shape[1] > WIDE_VARIABLES else LARGE
        return cls(**((options if cells <= LARGE_CELLS else HUGE) | size | changes))

    @classmethod
    def paper(cls, **changes: Any) -> RefinerConfig:
        """The FOSA paper's settings (Deng and Jin, section 4): 4 heads, width 64, 200 epochs, dropout .5, Adam at .001.

        The loss is the printed one, squared error + covariance + L1, without a likelihood.

        Parameters
        ----------
        **changes
            Options to change.
        """
        printed: dict[str, Any] = {
            "heads": 4, "width": 64, "epochs": 200, "dropout": 0.5, "learning_rate": 0.001, "schedule": "constant",
            "components": 1, "weight_likelihood": 0.0, "weight_covariance": 0.1,
            "batch_size": 64, "check_every": 10, "patience": None,
        }  # fmt: skip
        return cls(**(printed | changes))

    def __post_init__(self) -> None:
        for name in COUNTS:
            _check_count(name, getattr(self, name), minimum=1)
        _check_count("seed", self.seed, minimum=0)
        _check_count("folds", self.folds, minimum=2)
        if self.patience is not None:
            _check_count("patience", self.patience, minimum=1, optional=True)
        if self.width % self.heads:
            _refuse("heads", self.heads, f"a divisor of width, which is {self.width}")
        self._check_numbers()
        _check_hide_rate(self.hide_rate)
        if self.device not in DEVICES:
            _refuse("device", self.device, "one of " + ", ".join(map(repr, DEVICES)))
        if self.schedule not in SCHEDULES:
            _refuse("schedule", self.schedule, "one of " + ", ".join(map(repr, SCHEDULES)))
        for name in ("attention_prior", "gated"):
            if not isinstance(getattr(self, name), bool):
                _refuse(name, getattr(self, name), "True or False")

    def _check_numbers(self) -> None:
        """Check the options that are real numbers."""
        _check_number("dropout", self.dropout, lambda x: 0 <= x < 1, "a number in [0, 1)")
        _check_number("learning_rate", self.learning_rate, lambda x: 0 < x <= 1, "a number in (0, 1]")
        _check_number("weight_mse", self.weight_mse, lambda x: x > 0, "a finite number greater than 0")
        for name in ("weight_likelihood", "weight_covariance", "weight_l1"):
            _check_number(name, getattr(self, name), lambda x: x >= 0, "a finite number of at least 0")


def _check_count(name: str, value: object, *, minimum: int, optional: bool = False) -> None:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and minimum <= int(cast(int, value))):
        _refuse(name, value, f"an integer of at least {minimum}" + (", or None" if optional else ""))


def _check_number(name: str, value: object, inside: Callable[[float], bool], allowed: str) -> None:
    if not (_is_number(value) and inside(float(cast(float, value)))):
        _refuse(name, value, allowed)


def _check_hide_rate(value: object) -> None:
    pair = tuple(value) if isinstance(value, tuple) else ()
    if not (len(pair) == 2 and all(map(_is_number, pair)) and 0 < pair[0] <= pair[1] < 1):
        _refuse("hide_rate", value, "two numbers (low, high) with 0 < low <= high < 1")


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, Real) and math.isfinite(value)


def _refuse(name: str, value: object, allowed: str) -> None:
    raise OptionError(f"refiner option {name}={value!r} is not allowed; give {allowed}")
