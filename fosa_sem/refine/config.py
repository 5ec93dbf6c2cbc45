"""Options of the attention refiner; importing this module does not import torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, cast

from fosa_sem.errors import OptionError

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerConfig:
    """Options of the attention refiner, checked when the record is made.

    The defaults of ``heads``, ``width``, ``epochs``, ``dropout`` and ``learning_rate`` are the FOSA paper's.

    Attributes
    ----------
    heads : int, default 4
        Attention heads, at least 1; must divide ``width``.
    width : int, default 64
        Length of a variable's token, at least 1.
    layers : int, default 2
        Attention blocks, at least 1. The second makes products of other variables possible.
    epochs : int, default 200
        Passes over the rows, at least 1; an upper bound where ``patience`` is given.
    dropout : float, default 0.5
        Share of a branch's units dropped in training, in [0, 1).
    learning_rate : float, default 0.001
        Of Adam, in (0, 1].
    weight_mse : float, default 1.0
        Weight of the squared error of the hidden cells (standardised scale), greater than 0.
    weight_covariance : float, default 0.1
        Weight of the squared error of the second moments of the completed rows, at least 0.
    weight_l1 : float, default 0.001
        Weight of the mean absolute network weight, at least 0.
    hide_rate : (float, float), default (0.05, 0.6)
        Each row's share of observed cells hidden in a pass is drawn uniformly between these two,
        ``0 < low <= high < 1``.
    holdout : float, default 0.2
        Share of each variable's observed cells that a network never has as training targets, in (0, 0.5].
    folds : int or None, default None
        Number of networks, each with held-out cells of its own; from 1 to ``1 / holdout``. Their corrections
        are averaged. None takes as many as it needs for 1,000 held-out cells in all, so that small data,
        where a few cells decide little, get several networks and large data one.
    batch_size : int, default 64
        Rows in a step, at least 1.
    rows_per_epoch : int, default 512
        A pass takes at most this many rows, drawn anew for each pass; at least 1.
    patience : int or None, default 50
        Stop after so many epochs without improvement on the held-out cells; None runs all epochs. Either
        way the best epoch's weights are kept.
    device : {"cpu", "auto", "cuda"}, default "cpu"
        "auto" takes a CUDA device if there is one. Numbers repeat bit for bit on the CPU.
    seed : int, default 0
        Of hiding, initial weights and dropout, at least 0.

    Raises
    ------
    OptionError
        If a value is outside its range; the message names the option, the value and the range.
    """

    heads: int = 4
    width: int = 64
    layers: int = 2
    epochs: int = 200
    dropout: float = 0.5
    learning_rate: float = 0.001
    weight_mse: float = 1.0
    weight_covariance: float = 0.1
    weight_l1: float = 0.001
    hide_rate: tuple[float, float] = (0.05, 0.6)
    holdout: float = 0.2
    folds: int | None = None
    batch_size: int = 64
    rows_per_epoch: int = 512
    patience: int | None = 50
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("heads", "width", "layers", "epochs", "batch_size", "rows_per_epoch"):
            _check_count(name, getattr(self, name), minimum=1)
        _check_count("seed", self.seed, minimum=0)
        if self.patience is not None:
            _check_count("patience", self.patience, minimum=1, optional=True)
        if self.width % self.heads:
            _refuse("heads", self.heads, f"a divisor of width, which is {self.width}")
        self._check_numbers()
        _check_hide_rate(self.hide_rate)
        if self.device not in DEVICES:
            _refuse("device", self.device, "one of " + ", ".join(map(repr, DEVICES)))

    def _check_numbers(self) -> None:
        """Check the options that are real numbers."""
        _check_number("dropout", self.dropout, lambda x: 0 <= x < 1, "a number in [0, 1)")
        _check_number("learning_rate", self.learning_rate, lambda x: 0 < x <= 1, "a number in (0, 1]")
        _check_number("weight_mse", self.weight_mse, lambda x: x > 0, "a finite number greater than 0")
        for name, weight in (("weight_covariance", self.weight_covariance), ("weight_l1", self.weight_l1)):
            _check_number(name, weight, lambda x: x >= 0, "a finite number of at least 0")
        _check_number("holdout", self.holdout, lambda x: 0 < x <= 0.5, "a number in (0, 0.5]")
        if self.folds is not None:
            most = math.floor(1 / self.holdout + 1e-9)
            _check_count("folds", self.folds, minimum=1, maximum=most, optional=True)


def _check_count(name: str, value: object, *, minimum: int, maximum: int | None = None, optional: bool = False) -> None:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and minimum <= int(cast(int, value)) <= (maximum or math.inf)):
        allowed = f"an integer of at least {minimum}" + (f" and at most {maximum}" if maximum else "")
        _refuse(name, value, allowed + (", or None" if optional else ""))


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
