"""Where lavaan is known to say something else: what, in which versions, and why; the reasons stand in the notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem import SemResults
from fosa_sem.inference.options import TWO_STAGE
from r_bridge.lavaan import LavaanFit

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One known difference.

    Attributes
    ----------
    reason : str
        As it stands in DESCRIPTION_NOTES.md.
    versions : tuple of str
        Beginnings of the lavaan versions that it was seen in.
    applies : callable
        Which rows of the comparison it explains, from the results, lavaan's fit and the table.
    """

    reason: str
    versions: tuple[str, ...]
    applies: Callable[[SemResults, LavaanFit, pd.DataFrame], BoolArray]


def known(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> NDArray[np.object_]:
    """The reason for each row's difference, if there is a known one; empty otherwise."""
    reasons = np.full(len(table), "", dtype=object)
    for deviation in KNOWN:
        if lavaan.versions["lavaan"].startswith(deviation.versions):
            reasons[(reasons == "") & deviation.applies(results, lavaan, table)] = deviation.reason
    return reasons


def _critical_n(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    return _is(table, "fit measure", "cn_05", "cn_01") & table["lavaan"].isna().to_numpy() & (table["ours"] == 1.0)


def _incomplete_exogenous(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    conditional = _is(table, "log-likelihood") | _is(table, "fit measure", "aic", "bic", "bic2")
    return conditional & (results.fit.resolved.missing == "ml.x")


def _outcome_before_factor(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    """Whether a latent variable depends on an observed one that lavaan counts among the outcomes."""
    rows, names = results.fit.table.rows, results.fit.table.names
    outcomes = {row.lhs for row in rows if row.op == "~" or (row.op == "~1" and row.user)}
    outcomes |= {name for row in rows if row.op == "~~" and row.user for name in (row.lhs, row.rhs)}
    outcomes &= set(names.observed) - {row.rhs for row in rows if row.op == "=~"}
    # What is reached from these: by a covariance, then along the directed effects.
    covary = [{row.lhs, row.rhs} for row in rows if row.op == "~~"]
    reached = outcomes | (set().union(*(pair for pair in covary if pair & outcomes)) & set(names.latent))
    effects = [(row.rhs, row.lhs) if row.op == "~" else (row.lhs, row.rhs) for row in rows if row.op in ("~", "=~")]
    while grown := {effect for cause, effect in effects if cause in reached} - reached:
        reached |= grown
    return _is(table, "factor score") & bool(reached & set(names.latent))


def _badly_scaled(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    sd = np.sqrt(np.concatenate([np.diag(moments.cov) for moments in results.sample_stats()]))
    return np.full(len(table), not lavaan.converged and sd.max() > 1e4 * sd.min())


def _never_together(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    saturated = _is(table, "H1 moment") | table["ours"].isna().to_numpy()
    return saturated & bool(results.fit.sample.uncovered_pairs())


def _two_stage(results: SemResults) -> bool:
    return results.fit.resolved.missing in TWO_STAGE


def _scores_of_complete_rows(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    return _is(table, "factor score") & table["lavaan"].isna().to_numpy() & _two_stage(results)


def _two_stage_baseline(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    kinds = (".scaled", ".robust", ".scaling.factor")
    about = table["name"].str.startswith(
        ("baseline.", "cfi.", "tli.", "nnfi.", "rfi.", "nfi.", "pnfi.", "ifi.", "rni.")
    )
    return _is(table, "fit measure") & (about & table["name"].str.endswith(kinds)).to_numpy() & _two_stage(results)


def _held_by_constraints(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    error = _is(table, "standard error") | _is(table, "standardised SE")
    return error & table["lavaan"].isna().to_numpy() & (table["ours"].abs() < 1e-6).to_numpy()


def _is(table: pd.DataFrame, quantity: str, *names: str) -> BoolArray:
    found = (table["quantity"] == quantity).to_numpy()
    return found & table["name"].isin(names).to_numpy() if names else found


def _bartlett(table: pd.DataFrame) -> BoolArray:
    return _is(table, "factor score") & table["name"].str.endswith("(Bartlett)").to_numpy()


def _undetermined_scores(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    return _bartlett(table) & table["ours"].isna().to_numpy()


def _factors_of_factors(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    observed = set(results.fit.table.names.observed)
    measured = {row.lhs for row in results.fit.table.rows if row.op == "=~" and row.rhs in observed}
    others = tuple(f", {name} (Bartlett)" for name in results.latent_names if name not in measured)
    no_indicator = table["name"].str.endswith(others) if others else pd.Series(False, index=table.index)
    return _bartlett(table) & (table["lavaan"].isna() | no_indicator).to_numpy()


def _indices_of_composites(results: SemResults, lavaan: LavaanFit, table: pd.DataFrame) -> BoolArray:
    about = _is(table, "modification index") | _is(table, "expected change")
    return about & bool(results.fit.table.names.composites)


KNOWN = (
    Deviation(
        reason="critical N: NaN there if chi-square is exactly 0, 1 here", versions=("0.6",), applies=_critical_n
    ),
    Deviation(
        reason="0.6-14 subtracts the exogenous part as if it were complete", versions=("0.6",),
        applies=_incomplete_exogenous,
    ),
    Deviation(
        reason="0.6-14 leaves out of factor scores the residual of an observed variable that a latent variable depends "
        "on and that is an outcome itself, or whose mean, variance or covariance stands in the model string",
        versions=("0.6",), applies=_outcome_before_factor,
    ),
    Deviation(
        reason="Badly scaled data (ratios of 1e4) are fitted; 0.6-14 fails on them", versions=("0.6",),
        applies=_badly_scaled,
    ),
    Deviation(
        reason="lavaan prints numbers that rest on a covariance nobody observed", versions=("0.",),
        applies=_never_together,
    ),
    Deviation(
        reason="after two-stage estimation 0.6-14 gives the factor scores of complete rows alone", versions=("0.6",),
        applies=_scores_of_complete_rows,
    ),
    Deviation(
        reason="the standard error of what constraints hold in place is 0 but for rounding, which may be NaN in lavaan",
        versions=("0.",), applies=_held_by_constraints,
    ),
    Deviation(
        reason="the baseline test of two-stage fits has another scaling factor in 0.6-14; 0.7 has ours",
        versions=("0.6",), applies=_two_stage_baseline,
    ),
    Deviation(
        reason="a Bartlett score that a row's values do not determine is NaN; "
        "0.6-14 gives the smallest solution of many",
        versions=("0.6",), applies=_undetermined_scores,
    ),
    Deviation(
        reason="NaN if a factor has no value at all, the latent mean on complete data if it has no indicator "
        "(factor of factors)",
        versions=("0.6",), applies=_factors_of_factors,
    ),
    Deviation(
        reason="modification indices beside composites: 0.6-14 loses the composites in the model that it extends; ours "
        "foretell the chi-square difference",
        versions=("0.6",), applies=_indices_of_composites,
    ),
)  # fmt: skip
"""In the order in which they are tried."""
