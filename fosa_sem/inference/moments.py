"""Means and covariances of the observed variables as tables, one record per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.inference.fit import FimlFit

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Mean and covariance of one group.

    Attributes
    ----------
    group : str
        Label; empty without groups.
    mean : Series, length p, or None
        None for a model without a mean structure.
    cov : DataFrame, shape (p, p)
    """

    group: str
    mean: pd.Series | None
    cov: pd.DataFrame


def named_moments(fit: FimlFit, groups: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[Moments, ...]:
    """Names beside the means (p,) and covariances (p, p) of every group."""
    names = list(fit.table.names.observed)
    has_means = fit.table.meanstructure
    return tuple(
        Moments(
            group=g.label,
            mean=pd.Series(mean, index=names) if has_means else None,
            cov=pd.DataFrame(cov, index=names, columns=names),
        )
        for g, (mean, cov) in zip(fit.sample.groups, groups, strict=True)
    )
