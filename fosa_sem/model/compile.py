"""Parameter table -> RAM maps: the last place where variable names appear before the results."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fosa_sem.model.ram import Cell, MatrixName, RamMap
from fosa_sem.syntax.table import ParameterTable, Row

_MATRIX: dict[str, MatrixName] = {"=~": "A", "~": "A", "<~": "A", "~~": "S", "~1": "m"}


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
    matrix = _MATRIX[row.op]
    to, source = (row.rhs, row.lhs) if row.op == "=~" else (row.lhs, row.rhs)
    value = 0.0 if math.isnan(row.ustart) else row.ustart
    return Cell(matrix=matrix, row=at[to], col=0 if matrix == "m" else at[source], theta=row.free - 1, value=value)
