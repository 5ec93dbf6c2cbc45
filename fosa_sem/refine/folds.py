"""Rows, and the folds of their observed cells: which network may learn which cell, and which speaks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fosa_sem.imputation.completion import BoolArray, Completion
from fosa_sem.refine.remasking import MaskedRows, Remasker, Scaling

NO_FOLD = -1


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
    """

    z: Tensor
    observed: Tensor
    group: Tensor
    fold: Tensor


def assign_folds(observed: BoolArray, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal each variable's observed cells evenly to folds.

    Parameters
    ----------
    observed : ndarray of bool, shape (n, p)
    folds : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (n, p)
        See `TrainingData.fold`.
    """
    usable = observed & (observed.sum(axis=1, keepdims=True) > 1)
    fold = np.full(observed.shape, NO_FOLD)
    for j in range(observed.shape[1]):
        cells = rng.permutation(np.flatnonzero(usable[:, j]))
        # Variables start with different folds, so that those with fewer cells than folds do not all fill the first.
        fold[cells, j] = (np.arange(len(cells)) + j) % folds
    return fold


def training_data(
    completion: Completion, scaling: Scaling, folds: int, rng: np.random.Generator, device: torch.device
) -> TrainingData:
    """Standardise the observed cells and deal them to folds."""
    observed = completion.observed
    z = np.where(observed, scaling.standardise(completion.values), 0.0)
    return TrainingData(
        z=torch.as_tensor(z, device=device),
        observed=torch.as_tensor(observed, device=device),
        group=torch.as_tensor(completion.group, dtype=torch.int64, device=device),
        fold=torch.as_tensor(assign_folds(observed, folds, rng), device=device),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Cells as the network that never learned them sees them: each hidden alone in a copy of its row.

    Attributes
    ----------
    rows : MaskedRows
        M copies for each of K networks.
    column : Tensor of int64, shape (K, M)
        The cell's variable.
    residual, sd : Tensor of float32, shape (K, M)
        Its value minus its conditional mean; its conditional sd.
    valid : Tensor of bool, shape (K, M)
        False for what fills up the folds with fewer cells.
    """

    rows: MaskedRows
    column: Tensor
    residual: Tensor
    sd: Tensor
    valid: Tensor


def make_probe(data: TrainingData, remasker: Remasker, folds: Sequence[int], most: int) -> Probe:
    """Hide each cell of the folds given alone; of a fold with more than ``most`` cells, take some, over all columns."""
    cells = [_cells_of_fold(data.fold, k, most) for k in folds]
    length = max(1, *(len(one) for one in cells))
    padded = torch.stack([torch.cat([one, one.new_zeros(length - len(one), 2)]) for one in cells])
    valid = torch.stack([torch.arange(length, device=one.device) < len(one) for one in cells])
    row, column = padded.unbind(dim=2)
    shown = data.observed[row].scatter(2, column[..., None], False)
    masked, _ = remasker(data.z[row], shown, data.group[row])

    def own(table: Tensor) -> Tensor:
        return table.gather(2, column[..., None])[..., 0]

    residual = own(data.z[row]).float() - own(masked.value)
    return Probe(rows=masked, column=column, residual=residual, sd=own(masked.sd), valid=valid)


def _cells_of_fold(fold: Tensor, k: int, most: int) -> Tensor:
    """Row and column of about ``most`` cells of a fold, shape (m, 2), by column."""
    column, row = torch.nonzero((fold == k).T, as_tuple=True)
    cells = torch.stack([row, column], dim=1)
    step = max(1, -(-len(cells) // max(1, most)))
    return cells[::step]
