"""Origins and units of variables that an engine can work with, and theta on them and on the user's scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Centre (0 for latent variables) and scale of every variable.

    Attributes
    ----------
    centre, scale : mapping of variable name to float
    """

    centre: Mapping[str, float]
    scale: Mapping[str, float]

    def factor(self, row: Row) -> float:
        """What a parameter is divided by when the variables are scaled."""
        if row.op == "~1":
            return self.scale[row.lhs]
        if row.op == "~~":
            return self.scale[row.lhs] * self.scale[row.rhs]
        cause, effect = (row.lhs, row.rhs) if row.op == "=~" else (row.rhs, row.lhs)
        return self.scale[effect] / self.scale[cause]

    def scaled(self, table: ParameterTable, theta: FloatArray) -> FloatArray:
        """Theta of the user's scale on these units."""
        rows = table.free_rows()
        shifts = [self._shift(table, row, theta) if row.op == "~1" else 0.0 for row in rows]
        return np.array([(v - s) / self.factor(r) for v, s, r in zip(theta, shifts, rows, strict=True)])

    def unscaled(self, table: ParameterTable, scaled: FloatArray) -> FloatArray:
        """Theta of these units on the user's scale."""
        theta = np.array([v * self.factor(r) for v, r in zip(scaled, table.free_rows(), strict=True)])
        for row in table.free_rows():
            if row.op == "~1":
                theta[row.free - 1] += self._shift(table, row, theta)
        return theta

    def _shift(self, table: ParameterTable, row: Row, values: FloatArray) -> float:
        """What centring takes off an intercept: its own centre less what its predictors' centres explain."""
        shift = self.centre[row.lhs]
        for other in table.rows:
            if other.op == "~" and other.lhs == row.lhs and other.group == row.group:
                slope = values[other.free - 1] if other.free else other.ustart
                shift -= float(slope) * self.centre[other.rhs]
        return shift


def centres(table: ParameterTable, mean: FloatArray) -> dict[str, float]:
    """What each variable may be centred by.

    An intercept that is fixed, tied or bounded keeps its meaning only if nothing that enters its equation is centred.

    Parameters
    ----------
    table : ParameterTable
    mean : ndarray, shape (p,)
        Of the observed variables.

    Returns
    -------
    dict
        The mean, or 0, by name; 0 for latent variables.
    """
    tied = {i for pair in table.ties() for i in pair}
    rigid = {
        r.lhs
        for r in table.rows
        if r.op == "~1" and not r.exo
        and (not r.free or r.free - 1 in tied or np.isfinite(r.lower) or np.isfinite(r.upper))
    }  # fmt: skip
    uncentred = rigid | {r.rhs for r in table.rows if r.op == "~" and r.lhs in rigid}
    centre = {n: 0.0 if n in uncentred else float(m) for n, m in zip(table.names.observed, mean, strict=True)}
    return centre | dict.fromkeys(table.names.latent, 0.0)
