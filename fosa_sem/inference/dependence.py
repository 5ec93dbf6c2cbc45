"""Naming exact linear relations between columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def linear_relations(names: Sequence[str], cov: FloatArray, tolerance: float = 1e-6) -> list[str]:
    """Exact relations among columns, as text such as ``"D = A - B"``.

    Parameters
    ----------
    names : sequence of str, length p
    cov : ndarray, shape (p, p)
        Singular, or nearly so.
    tolerance : float, default 1e-6
        Eigenvalues of the correlation matrix below it count as zero.

    Returns
    -------
    list of str
        One per relation, constants left out; coefficients to three digits.
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
        terms = [
            f"{'-' if c < 0 else '+'} {'' if abs(abs(c) - 1) < 5e-4 else f'{abs(c):.3g}*'}{names[k]}"
            for k, c in enumerate(coefficients)
            if k != lead and abs(relation[k]) > 1e-3
        ]
        relations.append(f"{names[lead]} = {' '.join(terms).removeprefix('+ ')}")
    return relations
