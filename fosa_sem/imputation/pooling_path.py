"""How pooled estimates settle as imputations are added: whether m is large enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.imputation.pooled_sem import PooledSem
from fosa_sem.imputation.pooling import Pooled

COLUMNS = ("term", "m", "est", "se", "ci_lower", "ci_upper", "fmi")
INTEREST = (("~", ":="), ("=~", "<~"))
"""Operators of the parameters that are usually of interest: regressions, or loadings where there are none."""


def pooled_terms(pooled: PooledSem | Pooled, level: float = 0.95) -> pd.DataFrame:
    """Estimates that vary, with a column ``term`` that names each.

    Parameters
    ----------
    pooled : PooledSem or Pooled
    level : float, default 0.95

    Returns
    -------
    DataFrame
        The table of estimates without fixed parameters. ``term`` is the parameter as it is written ("y ~ x"), with
        the group behind it where there are several.
    """
    if isinstance(pooled, Pooled):
        return pooled.to_frame(level)
    frame = pooled.parameter_estimates(level)
    frame = frame[frame["se"] > 0]
    labels = tuple(group.label for group in pooled.fits.template.sample.groups)
    terms = [_term(row, labels) for row in frame[["lhs", "op", "rhs", "group"]].itertuples(index=False, name=None)]
    return frame.assign(term=terms).reset_index(drop=True)


def _term(row: tuple[str, str, str, int | str], labels: Sequence[str]) -> str:
    lhs, op, rhs, group = row
    name = f"{lhs} {op} {rhs}".strip()
    if op == ":=" or len(labels) < 2:
        return lhs if op == ":=" else name
    return f"{name} [{labels[group - 1] if isinstance(group, int) else group}]"


def of_interest(frame: pd.DataFrame) -> list[str]:
    """Terms of a table of `pooled_terms` that are followed by default.

    Returns
    -------
    list of str
        Regressions and defined parameters; loadings if there are none, everything where neither are.
    """
    for operators in INTEREST if "op" in frame else ():
        found = frame["op"].isin(operators)
        if found.any():
            return list(frame.loc[found, "term"])
    return list(frame["term"])


def pooling_path(
    pooled: PooledSem | Pooled, terms: Sequence[str] | None = None, level: float = 0.95, *, most: int | None = None
) -> pd.DataFrame:
    """Pooled estimates from the first 2, 3, ..., m imputations.

    Parameters
    ----------
    pooled : PooledSem or Pooled
        What `MultipleImputation.fit` or `fosa_sem.pool` gives. A `Pooled` knows only the mean of the squared standard
        errors over all analyses, which then stands for each.
    terms : sequence of str, optional
        Which estimates, as `pooled_terms` names them; all that vary by default.
    level : float, default 0.95
    most : int, optional
        Numbers of imputations to compute, evenly spaced up to m; all by default.

    Returns
    -------
    DataFrame
        term, m, est, se, ci_lower, ci_upper, fmi: one row per term and number of imputations.

    Raises
    ------
    OptionError
        For an unknown term.
    """
    known = list(pooled_terms(pooled, level)["term"])
    chosen = known if terms is None else [terms] if isinstance(terms, str) else list(terms)
    for term in chosen:
        if term not in known:
            raise OptionError(f"no estimate {term!r}; there are {', '.join(known)}")
    parts = []
    m = _m(pooled)
    numbers = np.linspace(2, m, min(m - 1, most or m)).round().astype(int)
    for k in np.unique(numbers):
        frame = pooled_terms(_first(pooled, k), level).set_index("term").reindex(chosen).reset_index()
        parts.append(frame.assign(m=k)[list(COLUMNS)])
    return pd.concat(parts, ignore_index=True)


def _m(pooled: PooledSem | Pooled) -> int:
    return pooled.fits.m if isinstance(pooled, PooledSem) else pooled.m


def _first(pooled: PooledSem | Pooled, k: int) -> PooledSem | Pooled:
    if isinstance(pooled, Pooled):
        return replace(pooled, estimates=pooled.estimates[:k])
    return replace(pooled, fits=pooled.fits.only(range(k)))
