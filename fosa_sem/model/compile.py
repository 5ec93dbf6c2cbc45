"""Parameter table -> RAM maps: the last place where variable names appear before the results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fosa_sem.model.ram import Cell, MatrixName, RamMap
from fosa_sem.syntax.table import ParameterTable, Row


def compile_ram(table: ParameterTable, means: Sequence[NDArray[np.float64]] = ()) -> tuple[RamMap, ...]:
    """One RAM map per group; variables are ``names.observed`` then ``names.latent``.

    Parameters
    ----------
    table : ParameterTable
        With the exogenous moments filled in, if it has any.
    means : sequence of ndarray, shape (p,), one per group
        The sample's, for a table without a mean structure.
    """
    names = (*table.names.observed, *table.names.latent)
    at = {name: i for i, name in enumerate(names)}
    maps = []
    for group in range(1, table.ngroups + 1):
        cells = [_cell(row, at) for row in table.rows if row.group == group]
        mean = None if table.meanstructure else means[group - 1]
        maps.append(RamMap.from_cells(cells, len(table.names.observed), len(names), table.n_free, mean))
    return tuple(maps)


def _cell(row: Row, at: dict[str, int]) -> Cell:
    places: dict[str, tuple[MatrixName, str, str]] = {
        "=~": ("A", row.rhs, row.lhs),
        "~": ("A", row.lhs, row.rhs),
        "<~": ("A", row.lhs, row.rhs),
        "~~": ("S", row.lhs, row.rhs),
        "~1": ("m", row.lhs, row.lhs),
    }
    matrix, to, source = places[row.op]
    value = 0.0 if np.isnan(row.ustart) else row.ustart
    return Cell(matrix=matrix, row=at[to], col=0 if matrix == "m" else at[source], theta=row.free - 1, value=value)
