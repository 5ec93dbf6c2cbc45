"""Naming exact linear relations between columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Relation:
    """An exact linear relation.

    Attributes
    ----------
    text : str
        Such as ``"D = A - B"``; the constant is left out, coefficients have three digits.
    columns : tuple of int
        Positions of the columns that it involves.
    """

    text: str
    columns: tuple[int, ...]

    def is_shown_by(self, patterns: MissingPatterns) -> bool:
        """Whether more rows than it has coefficients observe all of its columns: fewer fit any relation."""
        complete = patterns.observed[:, list(self.columns)].all(axis=1)
        return bool(patterns.n[complete].sum() > len(self.columns))


def linear_relations(names: Sequence[str], cov: FloatArray, tolerance: float = 1e-6) -> list[Relation]:
    """Exact relations among columns.

    Parameters
    ----------
    names : sequence of str, length p
    cov : ndarray, shape (p, p)
        Singular, or nearly so.
    tolerance : float, default 1e-6
        Eigenvalues of the correlation matrix below it count as zero.

    Returns
    -------
    list of Relation
        As many as there are zero eigenvalues.
    """
    scale = np.sqrt(np.diag(cov))
    values, vectors = np.linalg.eigh(cov / np.outer(scale, scale))
    null = vectors[:, values < tolerance].T
    relations = []
    for i in range(len(null)):
        # The column that carries most of the remaining relation is written as a sum of the others.
        lead = int(np.argmax(np.abs(null[i])))
        null[i] /= null[i, lead]
        for j in range(len(null)):
            if j != i:
                null[j] -= null[j, lead] * null[i]
    for relation in null:
        lead = int(np.argmax(np.isclose(relation, 1.0) & (np.abs(relation) > 0)))
        coefficients = -relation / scale * scale[lead]
        columns = tuple(int(k) for k in np.flatnonzero(np.abs(relation) > 1e-3))
        terms = " ".join(_term(float(coefficients[k]), names[k]) for k in columns if k != lead)
        relations.append(Relation(f"{names[lead]} = {terms.removeprefix('+ ')}", columns))
    return relations


def _term(coefficient: float, name: str) -> str:
    size = "" if abs(abs(coefficient) - 1) < 5e-4 else f"{abs(coefficient):.3g}*"
    return f"{'-' if coefficient < 0 else '+'} {size}{name}"
