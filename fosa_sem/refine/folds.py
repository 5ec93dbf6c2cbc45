"""Rows, and the folds of their observed cells: which network may learn which cell, and which speaks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fosa_sem.errors import OptionError
from fosa_sem.imputation.completion import BoolArray, Completion
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling

NO_FOLD = -1
# Copies of rows at a time: each has regressions, p x p numbers, of its own.
CHUNK = 2048
Blocks = Sequence[Sequence[str]]
"""Variables that are known together or not at all, such as the indicators of a nominal variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Rows on the standardised scale.

    Attributes
    ----------
    z : Tensor of float64, shape (n, p)
        z-scores of the observed cells; 0 elsewhere.
    observed : Tensor of bool, shape (n, p)
    group : Tensor of int64, shape (n,)
    fold : Tensor of int64, shape (n, p)
        The fold that a cell is held out in, counted from 0; -1 for a cell that is nobody's target: a missing one, and
        one that is alone in its row, since nothing remains to predict it from.
    owner : Tensor of int64, shape (p,)
        The first column of the block that a column belongs to; see `owners`.
    """

    z: Tensor
    observed: Tensor
    group: Tensor
    fold: Tensor
    owner: Tensor


def owners(variables: Sequence[str], blocks: Blocks) -> NDArray[np.int64]:
    """For each column, the first column of its block; itself, if it belongs to none.

    Raises
    ------
    OptionError
        A block names no variable, or one that another block has.
    """
    owner, taken = np.arange(len(variables)), set[str]()
    for block in blocks:
        for name in block:
            if name not in variables or name in taken:
                raise OptionError(f"blocks names {name!r}, which is no variable of the model or stands in two blocks")
            taken.add(name)
            owner[variables.index(name)] = variables.index(block[0])
    return owner


def assign_folds(
    observed: BoolArray, folds: int, rng: np.random.Generator, owner: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Deal each variable's observed cells evenly to folds; the cells of a block go together.

    Parameters
    ----------
    observed : ndarray of bool, shape (n, p)
    folds : int
    rng : numpy.random.Generator
    owner : ndarray of int, shape (p,), optional

    Returns
    -------
    ndarray of int, shape (n, p)
        See `TrainingData.fold`.
    """
    owner = np.arange(observed.shape[1]) if owner is None else owner
    usable = observed & (observed[:, np.unique(owner)].sum(axis=1, keepdims=True) > 1)
    fold = np.full(observed.shape, NO_FOLD)
    for j in range(observed.shape[1]):
        cells = rng.permutation(np.flatnonzero(usable[:, j]))
        # Variables start with different folds, so that those with fewer cells than folds do not all fill the first.
        fold[cells, j] = (np.arange(len(cells)) + j) % folds
    return fold[:, owner]


def training_data(
    completion: Completion, scaling: Scaling, folds: int, rng: np.random.Generator, device: torch.device,
    blocks: Blocks = (),
) -> TrainingData:  # fmt: skip
    """Standardise the observed cells and deal them to folds."""
    observed, owner = completion.observed, owners(completion.variables, blocks)
    z = np.where(observed, scaling.standardise(completion.values), 0.0)
    return TrainingData(
        z=torch.as_tensor(z, device=device),
        observed=torch.as_tensor(observed, device=device),
        group=torch.as_tensor(completion.group, dtype=torch.int64, device=device),
        fold=torch.as_tensor(assign_folds(observed, folds, rng, owner), device=device),
        owner=torch.as_tensor(owner, device=device),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Cells as the network that never learned them sees them: each hidden alone, or with its block, in a copy of a row.

    Attributes
    ----------
    rows : MaskedRows
        M copies for each of K networks.
    row, column : Tensor of int64, shape (K, M)
        Where the cell is.
    residual, sd : Tensor of float32, shape (K, M)
        Its value minus its conditional mean; its conditional sd.
    valid : Tensor of bool, shape (K, M)
        False for what fills up the folds with fewer cells.
    """

    rows: MaskedRows
    row: Tensor
    column: Tensor
    residual: Tensor
    sd: Tensor
    valid: Tensor


def make_probe(data: TrainingData, remasker: Remasker, folds: Sequence[int], most: int) -> Probe:
    """Hide each cell of the folds given alone, or with its block.

    Of a fold with more than ``most`` cells, take some, over all columns.
    """
    cells = [_cells_of_fold(data.fold, k, most) for k in folds]
    length = max(1, *(len(one) for one in cells))
    padded = torch.stack([torch.cat([one, one.new_zeros(length - len(one), 2)]) for one in cells])
    valid = torch.stack([torch.arange(length, device=one.device) < len(one) for one in cells])
    row, column = padded.unbind(dim=2)
    masked = MaskedRows.joined(
        [
            _hidden_alone(data, remasker, *cells)
            for cells in zip(torch.split(row, CHUNK, 1), torch.split(column, CHUNK, 1), strict=True)
        ]
    )

    def own(table: Tensor) -> Tensor:
        return table.gather(2, column[..., None])[..., 0]

    residual = own(data.z[row]).float() - own(masked.value)
    return Probe(rows=masked, row=row, column=column, residual=residual, sd=own(masked.sd), valid=valid)


def _hidden_alone(data: TrainingData, remasker: Remasker, row: Tensor, column: Tensor) -> MaskedRows:
    """Copies of rows with one cell, or its block, hidden."""
    shown = data.observed[row] & (data.owner[column][..., None] != data.owner)
    return remasker(data.z[row], shown, data.group[row])[0]


def _cells_of_fold(fold: Tensor, k: int, most: int) -> Tensor:
    """Row and column of about ``most`` cells of a fold, shape (m, 2), by column."""
    column, row = torch.nonzero((fold == k).T, as_tuple=True)
    cells = torch.stack([row, column], dim=1)
    step = max(1, -(-len(cells) // max(1, most)))
    return cells[::step]


def quantile_edges(data: TrainingData, bins: int) -> Tensor:
    """Limits of bins with about as many observed values each, shape (p, bins - 1); ties leave some bins empty."""
    shares = np.arange(1, bins) / bins
    z, observed = data.z.cpu().numpy(), data.observed.cpu().numpy()
    columns = [z[seen, j] for j, seen in enumerate(observed.T)]
    edges = np.array([np.quantile(one, shares) if one.size else np.zeros(bins - 1) for one in columns])
    return torch.as_tensor(edges, dtype=torch.float32, device=data.z.device)
