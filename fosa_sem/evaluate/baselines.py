"""The simplest ways to fill cells, as a floor for the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError
from fosa_sem.evaluate.masking import numeric_columns, numeric_values


def column_mean(data: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Fill every hole of the numeric columns with the mean of the column's observed values.

    Parameters
    ----------
    data : DataFrame
        Not changed. Columns that are not numeric pass through as they are.
    seed : int, default 0
        Not used; it makes the function a method of `fosa_sem.evaluate.experiment.compare`.

    Returns
    -------
    DataFrame
        Same index and columns. A column in which a cell was filled has dtype float64.

    Raises
    ------
    DataError
        A numeric column with holes has no observed value, or two columns share a name.

    Notes
    -----
    mice calls it ``method = "mean"``, scikit-learn ``SimpleImputer(strategy="mean")``.
    """
    frame = data.copy()
    for name in numeric_columns(data):
        values = numeric_values(data, name, "data")
        holes = np.isnan(values)
        if holes.all() and holes.size:
            raise DataError(f"column {name!r} has no observed value to take a mean of; leave it out")
        if holes.any():
            frame[name] = np.where(holes, values[~holes].mean(), values)
    return frame
