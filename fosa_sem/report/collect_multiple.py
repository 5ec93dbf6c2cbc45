"""Multiple imputations, pooled fits and their sensitivity -> the records that the renderers print."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.report.records import ImputedVariable


def imputed_variables(
    imputations: MultipleImputation, variables: Sequence[str] | str | None = None
) -> tuple[ImputedVariable, ...]:
    """Observed and imputed values of the columns that have imputed cells; every table is made once.

    Raises
    ------
    OptionError
        A variable is unknown, not numeric, or has no imputed cells.
    """
    table, where = imputations.table, imputations.where
    able = [n for n in table.columns if where[n].any() and pd.api.types.is_numeric_dtype(table[n].dtype)]
    chosen = able if variables is None else [variables] if isinstance(variables, str) else list(variables)
    for name in chosen:
        if name not in able:
            raise OptionError(f"{name!r} is no column of numbers with imputed cells; there are {', '.join(able)}")
    rows = {name: where[name].to_numpy() for name in chosen}
    values: dict[str, list[np.ndarray]] = {name: [] for name in chosen}
    for completed in imputations:
        for name in chosen:
            values[name].append(_numbers(completed[name])[rows[name]])
    return tuple(
        ImputedVariable(variable=name, observed=_numbers(table[name].dropna()), imputed=tuple(values[name]))
        for name in chosen
    )


def _numbers(column: pd.Series) -> np.ndarray:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
