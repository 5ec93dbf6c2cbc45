"""Which observed variables a model joins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fosa_sem.inference.fit import FimlFit

JOINING = ("=~", "<~", "~", "~~")


def connected_pairs(fit: FimlFit) -> NDArray[np.bool_]:
    """Pairs of observed variables with a loading, regression or covariance between them.

    Parameters
    ----------
    fit : FimlFit

    Returns
    -------
    ndarray of bool, shape (p, p)
        Symmetric, in the order of ``fit.table.names.observed``. Also pairs joined by way of latent variables only, such
        as two indicators of one factor or of two that covary. Not those joined by way of another observed variable: a
        mediator's cause and effect are joined only if the model has a direct path. Parameters fixed to 0 join nothing.
    """
    names = (*fit.table.names.observed, *fit.table.names.latent)
    p, place = len(fit.table.names.observed), {name: i for i, name in enumerate(names)}
    joined = np.zeros((len(names), len(names)), dtype=bool)
    for row, value in zip(fit.table.rows, fit.estimates(), strict=True):
        if row.op in JOINING and row.lhs in place and row.rhs in place and (row.free or value != 0.0):
            joined[place[row.lhs], place[row.rhs]] = joined[place[row.rhs], place[row.lhs]] = True
    for latent in range(p, len(names)):  # Warshall's closure, through latent variables alone
        joined |= np.outer(joined[:, latent], joined[latent])
    pairs = joined[:p, :p].copy()
    np.fill_diagonal(pairs, True)
    return pairs
