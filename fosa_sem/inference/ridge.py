"""Fits for filling cells: exactly dependent columns are no obstacle there."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from fosa_sem.errors import DependenceError
from fosa_sem.inference.fit import FimlFit, fit
from fosa_sem.inference.options import FitOptions

RIDGE = 1e-6
"""Added to the variance of every column, as a share of it, if columns are exactly dependent."""


def fit_or_ridge(model: str, data: pd.DataFrame, options: FitOptions) -> FimlFit:
    """Fit; once more with a ridge, which warns, if columns are exactly dependent.

    Parameters
    ----------
    model : str
        lavaan's model syntax.
    data : DataFrame
    options : FitOptions

    Returns
    -------
    FimlFit

    Raises
    ------
    FosaError
        As `fosa_sem.inference.fit.fit`, but no DependenceError.

    Warns
    -----
    CollinearityWarning
        Columns are exactly dependent.
    """
    try:
        return fit(model, data, options)
    except DependenceError:
        return fit(model, data, replace(options, ridge=RIDGE))
