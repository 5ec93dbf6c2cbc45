"""A comparison in one line per method."""

from __future__ import annotations

import pandas as pd

from fosa_sem.errors import DataError
from fosa_sem.evaluate.metrics import COLUMNS, OVERALL


def overall_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each method's overall scores.

    Parameters
    ----------
    comparison : DataFrame
        As `fosa_sem.evaluate.experiment.compare` returns it.

    Returns
    -------
    DataFrame
        One row per method, in order of first appearance: ``method``, ``seeds`` (how many), and the means
        over seeds of ``n_masked``, ``missing_rate`` and the scores. An undefined score of one seed is left
        out of the mean.

    Raises
    ------
    DataError
        A column is missing, or there is no row "overall".
    """
    absent = [name for name in ("seed", "method", *COLUMNS) if name not in comparison.columns]
    if absent:
        raise DataError(f"the comparison has no column {absent[0]!r}; give the table that compare() returned")
    rows = comparison[comparison["variable"] == OVERALL]
    if rows.empty:
        raise DataError(f"the comparison has no row {OVERALL!r}; give the whole table that compare() returned")
    groups = rows.groupby("method", sort=False)
    table = groups[list(COLUMNS[1:])].mean()
    table.insert(0, "seeds", groups["seed"].nunique())
    return table.reset_index()
