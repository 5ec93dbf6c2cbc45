"""Patterns put together so that the linear algebra of many is one array operation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

PAD = 30_000
"""Multiplications that cost about as much as one more batch: smaller blocks are padded as long as it costs less."""
CHUNK = 2**17
"""Numbers in the largest array of a batch, so that it stays in the processor's cache and memory stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Incomplete patterns for which a block of at most s variables is inverted together.

    Attributes
    ----------
    observed_side : bool
        The block is that of the observed variables in Sigma; otherwise that of the missing ones in its inverse.
    patterns : ndarray of int, shape (b,)
    n : ndarray, shape (b,)
        Rows of each pattern.
    index : ndarray of int, shape (s, b)
        Variables of each pattern's block. Shorter ones are filled up with the made-up variables p, p + 1, ..., which
        have variance 1, no covariances and no deviations, and so change nothing.
    place : ndarray of int, shape (s, s, b)
        Where the pairs of these variables stand in a matrix of ``width`` columns.
    cells : ndarray of int, shape (s, r)
        Where these variables stand in the deviation rows of these patterns (see `MissingPatterns.row_pattern`): flat
        positions in an array of all deviation rows with ``width`` columns.
    owner : ndarray of int, shape (r,)
        Position of each such row's pattern in ``patterns``.
    """

    observed_side: bool
    patterns: IntArray
    n: FloatArray
    index: IntArray
    place: IntArray
    cells: IntArray
    owner: IntArray


def plan_batches(
    observed: BoolArray, n: FloatArray, row_pattern: IntArray, observed_side: bool | None = None
) -> tuple[int, tuple[Batch, ...]]:
    """Put the incomplete patterns into batches.

    Parameters
    ----------
    observed : ndarray of bool, shape (K, p)
    n : ndarray, shape (K,)
    row_pattern : ndarray of int, shape (K + R,)
        Pattern of each deviation row.
    observed_side : bool, optional
        The same side for all patterns; by default the smaller one, unless its batches cost more than they save.

    Returns
    -------
    width : int
        p and the made-up variables.
    batches : tuple of Batch
    """
    p = observed.shape[1]
    if observed.all():
        return p, ()
    n_missing = p - observed.sum(axis=1)
    counts = np.bincount(n_missing, minlength=p + 1)
    sizes = np.arange(p + 1)
    if observed_side is None:
        on_observed = (sizes > p - sizes) & (counts * (sizes**3 - (p - sizes) ** 3) > PAD)
    else:
        on_observed = np.full(p + 1, observed_side)
    n_rows = np.bincount(row_pattern, minlength=len(n))
    plans, made_up = [], 0
    for side in (False, True) if on_observed.any() else (False,):
        size = p - n_missing if side else n_missing
        members = np.flatnonzero((n_missing > 0) & (on_observed[n_missing] == side))
        members = members[np.argsort(size[members], kind="stable")]
        for first, last, s in _merged(np.bincount(size[members]).tolist()):
            group = members[first:last]
            made_up = max(made_up, s - int(size[group[0]]))
            piece = np.cumsum(s * s * n_rows[group]) // CHUNK
            edges = [0, *(np.flatnonzero(piece[1:] != piece[:-1]) + 1).tolist(), len(group)]
            plans += [(side, group[i:j], s) for i, j in pairwise(edges)]
    width = p + made_up
    batches = []
    for side, patterns, s in plans:
        index = _index(observed[patterns] == side, s)
        place = np.full(len(n), -1)
        place[patterns] = np.arange(len(patterns))
        owner = place[row_pattern]
        rows = np.argsort(owner, kind="stable")[(owner < 0).sum() :]
        owner = owner[rows]
        batches.append(
            Batch(
                observed_side=side, patterns=patterns, n=n[patterns], index=index,
                place=index[:, None] * width + index, cells=index[:, owner] + rows * width, owner=owner,
            )
        )  # fmt: skip
    return width, tuple(batches)


def _merged(counts: list[int]) -> list[tuple[int, int, int]]:
    """Groups of patterns sorted by size within which padding to the largest is cheap, from how many have each size.

    Returns
    -------
    list of (int, int, int)
        The first of a group, the one after its last, and the largest size in it.
    """
    groups: list[tuple[int, int, int]] = []
    first = last = largest = 0
    for s, count in enumerate(counts):
        if not count:
            continue
        if groups and (last - first) * (s**3 - largest**3) < PAD:
            groups.pop()
        else:
            first = last
        last, largest = last + count, s
        groups.append((first, last, largest))
    return groups


def _index(block: BoolArray, s: int) -> IntArray:
    """Positions of the variables of each block, shape (s, b), filled up with p, p + 1, ..."""
    made_up = np.arange(s) < s - block.sum(axis=1)[:, None]
    padded = np.concatenate([block, made_up], axis=1)
    return np.ascontiguousarray(np.nonzero(padded)[1].reshape(-1, s).T)
