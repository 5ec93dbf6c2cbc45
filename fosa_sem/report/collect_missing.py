"""A fit -> the diagnostics of its missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fosa_sem.data.missingness import compare_missing, influx_outflux
from fosa_sem.data.sample import GroupSample
from fosa_sem.fiml.saturated import SaturatedMoments
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.mcar import McarTest, little_test
from fosa_sem.report.records import MissingReport


def collect_missing(fit: FimlFit) -> MissingReport:
    """Diagnostics of the rows that a fit uses, auxiliary variables among them.

    Parameters
    ----------
    fit : FimlFit
    """
    names = list(fit.sample.variables)
    rows = pd.DataFrame(np.vstack([group.values for group in fit.sample.groups]), columns=names)
    flux = influx_outflux(rows) if len(names) > 1 else pd.DataFrame({"pobs": rows.notna().mean()})
    tests = tuple(
        _little(group, saturated, names)
        for group, saturated in zip(fit.sample.groups, fit.problem.saturated, strict=True)
    )
    return MissingReport(
        flux=flux, differences=compare_missing(rows), mcar=tests, uncovered=fit.sample.uncovered_pairs()
    )


def _little(group: GroupSample, saturated: SaturatedMoments, names: list[str]) -> McarTest | None:
    whole = group.patterns.observed.all()
    if whole or not saturated.converged or len(saturated.mean) != len(names):
        return None
    return little_test(group.patterns, saturated.mean, saturated.cov, names)
