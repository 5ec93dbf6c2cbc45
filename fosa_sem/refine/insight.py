"""What the networks use: which variable informs the correction of which, and what it would cost to do without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fosa_sem.imputation.completion import BoolArray, Completion, FloatArray
from fosa_sem.refine.attention import AttentionBlock, AttentionNetworks
from fosa_sem.refine.folds import NO_FOLD, Probe, make_probe, owners
from fosa_sem.refine.form import Form, partial_correlations
from fosa_sem.refine.refiner import FittedRefiner, folded_data
from fosa_sem.refine.remasking import MaskedRows, Remasker
from fosa_sem.refine.training import predict, probe_correction

STEP = 0.5
"""In standard deviations: how far an input is moved up and down."""
LEVEL = 0.05
PAIRS = (
    "variable",
    "source",
    "attention",
    "effect",
    "size",
    "loss",
    "se",
    "z",
    "cells",
    "partial",
    "connected",
    "hint",
)
_ATTENTION_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependence:
    """Which variables (columns) the refinement of a variable (rows) uses, beside what the model says.

    Attributes
    ----------
    attention : DataFrame, shape (p, p)
        Mean attention that a hidden cell's token pays to each token, over cells, layers, heads and networks; each row
        sums to 1, the diagonal is what it pays to itself.
    effect : DataFrame, shape (p, p)
        Mean change of the refined value per change of the source, both in standard deviations, beyond what the model
        itself does with the source. 0 where the gate is closed.
    matrix : DataFrame, shape (p, p)
        The attention with the sign of the effect; NaN on the diagonal.
    partial : DataFrame, shape (p, p)
        Partial correlations given all other variables under the model.
    pairs : DataFrame
        One row per variable and source: variable, source, attention, effect, size (root mean square of the effect, in
        which changes of sign do not cancel), loss (by how much the squared error of held-out cells grows, in
        variances of the variable, if the source's values are permuted among the rows, those of a block together), se,
        z, cells, partial, connected (whether the model joins the two), hint: "not in the model" or "not linear" where z
        exceeds the one-sided 5 % point, Bonferroni corrected for the number of pairs. By z, largest first.
    """

    attention: pd.DataFrame
    effect: pd.DataFrame
    matrix: pd.DataFrame
    partial: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def hints(self) -> pd.DataFrame:
        """The pairs with a hint: where the model may be wrong."""
        return self.pairs[self.pairs["hint"] != ""].reset_index(drop=True)


def dependence(
    refiner: FittedRefiner, completion: Completion, connected: BoolArray | None = None, *, cells: int = 5000,
    seed: int = 0,
) -> Dependence:  # fmt: skip
    """Find out what the correction of each variable rests on.

    Parameters
    ----------
    refiner : FittedRefiner
    completion : Completion
        The one that it was trained on: each observed cell is hidden once and predicted by the network that never
        learned it.
    connected : ndarray of bool, shape (p, p), optional
        Pairs that the model joins; all, if it is not given.
    cells : int, default 5000
        Held-out cells to look at, about; evenly over the variables. Takes about 3 p times as long as predicting them.
    seed : int, default 0
        Of the permutations.

    Returns
    -------
    Dependence

    Raises
    ------
    DataError
        The completion has other variables than the refiner.

    Notes
    -----
    The conditional mean and standard deviation of the hidden cell stay as the model gave them from the true values, so
    that effect and loss are those of the network's own use of a source. Permutation importance: Breiman (2001); cells
    count as independent. Attention alone is no evidence of use.
    """
    p = len(refiner.variables)
    linked = np.ones((p, p), dtype=bool) if connected is None else connected
    held = _HeldOut.of(refiner, completion, cells)
    if held.networks is None:  # no correction is ever made
        return _record(refiner, linked, np.full((p, p), np.nan), *(np.zeros((p, p)) for _ in range(5)))
    shuffle, probe, corrected = np.random.default_rng([seed, 2]), held.probe, held.corrected
    columns: list[tuple[FloatArray, ...]] = []
    owner = owners(refiner.variables, refiner.blocks)
    owned = [torch.as_tensor(np.flatnonzero(owner == one), device=probe.column.device) for one in owner]
    attention = _attention(held.networks, probe, p)
    before = (probe.residual - corrected(probe.rows.value)).square()
    for k in range(p):
        usable = probe.valid & ~probe.rows.hidden[..., k]
        slope = (corrected(_moved(probe.rows, k, STEP)) - corrected(_moved(probe.rows, k, -STEP))) / (2 * STEP)
        lost = (probe.residual - corrected(_permuted(probe.rows, owned[k], usable, shuffle))).square() - before
        column = probe.column[usable].cpu().numpy()
        columns.append(_by_variable(column, slope[usable].cpu().numpy(), lost[usable].cpu().numpy(), p))
    effect, size, loss, se, number = (np.stack(table, axis=1) for table in zip(*columns, strict=True))
    return _record(refiner, linked, attention, effect, size, loss, se, number)


def covariance_errors(refiner: FittedRefiner, completion: Completion, *, cells: int = 5000) -> pd.DataFrame:
    """How far predictions distort the covariances of a variable with the others, before and after refinement.

    Parameters
    ----------
    refiner : FittedRefiner
    completion : Completion
        The one that it was trained on.
    cells : int, default 5000
        Held-out cells to look at, about.

    Returns
    -------
    DataFrame
        One row per variable: variable, sem, refined. Root mean square, over the other variables where they are
        observed, of the difference between the covariances of predicted and of true values with them, on held-out cells
        and the standardised scale. Its expectation at the true conditional mean is the noise of so many cells, since
        what a conditional mean leaves does not correlate with what it is conditioned on. NaN without a cell.

    Raises
    ------
    DataError
        As of `dependence`.
    """
    held, p = _HeldOut.of(refiner, completion, cells), len(refiner.variables)
    left = held.probe.residual
    errors = [left, left if held.networks is None else left - held.corrected(held.probe.rows.value)]
    shown = (~held.probe.rows.hidden & held.probe.valid[..., None]).double()
    seen = shown * held.probe.rows.value
    member = torch.nn.functional.one_hot(held.probe.column, p).double()
    number = torch.einsum("knj,knl->jl", member, shown).cpu().numpy()
    tables = [torch.einsum("knj,knl,kn->jl", member, seen, error.double()).cpu().numpy() for error in errors]
    before, after = (_rms(np.divide(t, number, out=np.zeros((p, p)), where=number > 0), number > 0) for t in tables)
    return pd.DataFrame({"variable": list(refiner.variables), "sem": before, "refined": after})


def held_out_expectations(
    refiner: FittedRefiner, completion: Completion, block: Sequence[str], *, cells: int = 50_000
) -> tuple[NDArray[np.intp], FloatArray]:
    """Refined values of a block in rows in which it is observed, by the network that never learned it there.

    Parameters
    ----------
    refiner : FittedRefiner
    completion : Completion
        The one that it was trained on.
    block : sequence of str, length b
        A block of the refiner.
    cells : int, default 50000
        Rows to look at, about, at most.

    Returns
    -------
    rows : ndarray of int, shape (m,)
    expected : ndarray, shape (m, b)
        On the data's scale.

    Raises
    ------
    DataError
        As of `dependence`.
    """
    columns = [refiner.variables.index(name) for name in block]
    held = _HeldOut.of(refiner, completion, cells, only=columns[0])
    valid, rows = held.probe.valid, held.probe.rows
    expected = rows.value[..., columns]
    if held.networks is not None:
        gate = torch.as_tensor(refiner.gates["gate"].to_numpy(dtype=np.float32)[columns], device=expected.device)
        parts = predict(held.networks, held.form.heads, rows, lambda _, one: one.correction[..., columns])
        expected = expected + gate * torch.cat(parts, dim=1)
    values = expected[valid].cpu().numpy().astype(np.float64) * refiner.scaling.sd[columns]
    return held.probe.row[valid].cpu().numpy(), values + refiner.scaling.mean[columns]


def _rms(table: FloatArray, known: BoolArray) -> FloatArray:
    """Root mean square of each row's known entries; NaN if there are none."""
    count = known.sum(axis=1)
    mean = np.divide((table**2 * known).sum(axis=1), count, out=np.full(len(table), np.nan), where=count > 0)
    return np.asarray(np.sqrt(mean))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _HeldOut:
    """Held-out cells, the networks that never learned them, and the gate of each cell's variable."""

    form: Form
    probe: Probe
    networks: AttentionNetworks | None
    gate: Tensor

    @classmethod
    def of(cls, refiner: FittedRefiner, completion: Completion, cells: int, only: int | None = None) -> _HeldOut:
        """Cells of all variables, or of one."""
        refiner.check(completion)
        weights, folds = refiner.weights, refiner.config.folds
        form = Form.from_parts(refiner.rule, refiner.scaling, refiner.config, refiner.levels)
        data = folded_data(completion, form, refiner.blocks)
        if only is not None:
            fold = torch.full_like(data.fold, NO_FOLD)
            fold[:, only] = data.fold[:, only]
            data = replace(data, fold=fold)
        remasker = Remasker(completion.rule, refiner.scaling, form.device)
        probe = make_probe(data, remasker, range(folds), max(1, cells // folds))
        gate = torch.as_tensor(refiner.gates["gate"].to_numpy(dtype=np.float32), device=form.device)
        networks = None if weights is None else form.trained(weights)
        return cls(form=form, probe=probe, networks=networks, gate=gate[probe.column])

    def corrected(self, value: Tensor) -> Tensor:
        """Gated correction of each cell, with other values in the rows; shape (K, M)."""
        assert self.networks is not None
        rows = replace(self.probe.rows, value=value)
        return self.gate * probe_correction(self.networks, self.form.heads, replace(self.probe, rows=rows))


def _moved(rows: MaskedRows, k: int, step: float) -> Tensor:
    """Values with those of variable k moved where shown."""
    value = rows.value.clone()
    value[..., k] += step * ~rows.hidden[..., k]
    return value


def _permuted(rows: MaskedRows, columns: Tensor, usable: Tensor, rng: np.random.Generator) -> Tensor:
    """Values with those of a block of columns permuted together among the usable rows of each network."""
    value = rows.value.clone()
    for one, shown in zip(value, usable, strict=True):
        places = torch.nonzero(shown)[:, 0]
        source = places[torch.as_tensor(rng.permutation(len(places)), device=places.device)]
        one[places[:, None], columns] = one[source[:, None], columns]
    return value


def _by_variable(
    column: NDArray[np.int64], slope: NDArray[np.float32], lost: NDArray[np.float32], p: int
) -> tuple[FloatArray, ...]:
    """Mean and root mean square slope, mean loss, its standard error and the number of cells, each (p,)."""
    n = np.bincount(column, minlength=p).astype(np.float64)

    def mean(values: FloatArray) -> FloatArray:
        return np.divide(np.bincount(column, values, minlength=p), n, out=np.zeros(p), where=n > 0)

    slopes, losses = slope.astype(np.float64), lost.astype(np.float64)
    loss = mean(losses)
    spread = mean((losses - loss[column]) ** 2)
    se = np.sqrt(np.divide(spread, n - 1, out=np.zeros(p), where=n > 1))
    return mean(slopes), np.sqrt(mean(slopes**2)), loss, se, n


@torch.no_grad()
def _attention(networks: AttentionNetworks, probe: Probe, p: int) -> FloatArray:
    """Mean attention of hidden cells by variable, shape (p, p); NaN for a variable without a cell."""
    total, number = torch.zeros(p, p, dtype=torch.float64), torch.zeros(p, dtype=torch.float64)
    for start in range(0, probe.rows.value.shape[1], _ATTENTION_ROWS):
        part = slice(start, start + _ATTENTION_ROWS)
        x = networks.tokens(probe.rows.take(part))
        column, valid = probe.column[:, part], probe.valid[:, part]
        for layer, block in enumerate(networks.blocks):
            bias = networks.attention_bias(layer)
            assert isinstance(block, AttentionBlock)
            weights = block.attention(x, p, bias).mean(dim=2)  # over heads: (K, n, p, p)
            own = weights.gather(2, column[..., None, None].expand(-1, -1, 1, p))[:, :, 0]
            total.index_add_(0, column[valid].cpu(), own[valid].double().cpu())
            number.index_add_(0, column[valid].cpu(), torch.ones(int(valid.sum()), dtype=torch.float64))
            x = block(x, p, bias, None)
    return np.asarray((total / number[:, None]).numpy())


def _record(
    refiner: FittedRefiner, connected: BoolArray, attention: FloatArray, effect: FloatArray, size: FloatArray,
    loss: FloatArray, se: FloatArray, number: FloatArray,
) -> Dependence:  # fmt: skip
    """Names beside the numbers, and hints."""
    names, p = list(refiner.variables), len(refiner.variables)

    def frame(values: FloatArray) -> pd.DataFrame:
        return pd.DataFrame(values, index=names, columns=names)

    z = np.divide(loss, se, out=np.zeros((p, p)), where=se > 0)
    partial = partial_correlations(refiner.rule)
    bound = NormalDist().inv_cdf(1 - LEVEL / max(p * (p - 1), 1)) if p > 1 else math.inf
    hint = np.where(z > bound, np.where(connected, "not linear", "not in the model"), "")
    row, column = np.nonzero(~np.eye(p, dtype=bool))
    tables = (attention, effect, size, loss, se, z, number.astype(np.int64), partial, connected, hint)
    pairs = pd.DataFrame(
        {
            "variable": [names[j] for j in row],
            "source": [names[k] for k in column],
            **{name: table[row, column] for name, table in zip(PAIRS[2:], tables, strict=True)},
        }
    )
    matrix = attention * np.sign(effect)
    np.fill_diagonal(matrix, np.nan)
    np.fill_diagonal(effect, np.nan)
    return Dependence(
        attention=frame(attention), effect=frame(effect), matrix=frame(matrix), partial=frame(partial),
        pairs=pairs.sort_values("z", ascending=False, kind="stable", ignore_index=True),
    )  # fmt: skip
