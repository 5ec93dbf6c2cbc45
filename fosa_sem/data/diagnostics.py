"""What is missing where: patterns and coverage of the rows that an analysis uses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fosa_sem.data.sample import Sample


def pattern_table(sample: Sample) -> tuple[pd.DataFrame, ...]:
    """Missing-data patterns, one table per group (lavaan: ``lavInspect(fit, "patterns")``).

    Returns
    -------
    tuple of DataFrame
        A row per pattern, most frequent first: 1 observed, 0 missing per variable, and ``n``.
    """
    tables = []
    for group in sample.groups:
        patterns = group.patterns
        order = np.lexsort((-patterns.observed.sum(axis=1), -patterns.n))
        table = pd.DataFrame(patterns.observed[order].astype(int), columns=list(sample.variables))
        # A variable may be called "n" too: the counts are always the last column.
        table.insert(table.shape[1], "n", patterns.n[order].astype(int), allow_duplicates=True)
        tables.append(table)
    return tuple(tables)


def coverage_table(sample: Sample) -> tuple[pd.DataFrame, ...]:
    """Share of the rows used in which both of a pair are observed, per group (``lavInspect(fit, "coverage")``)."""
    names = pd.Index(sample.variables)
    return tuple(
        pd.DataFrame(g.patterns.pairwise_n / g.patterns.n_rows, index=names, columns=names) for g in sample.groups
    )


def missing_rates(sample: Sample) -> pd.Series:
    """Share of the rows used in which each variable is missing, over all groups."""
    seen = sum(np.diag(g.patterns.pairwise_n) for g in sample.groups)
    return pd.Series(1.0 - seen / sample.n_used, index=list(sample.variables), name="missing")
