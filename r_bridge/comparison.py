"""The same model on the same data in lavaan: every number that both report, side by side, with a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem import SemResults
from fosa_sem.data.checks import check_column_values, column_parts
from fosa_sem.data.sample import group_labels
from fosa_sem.model.signs import open_signs
from r_bridge.deviations import known
from r_bridge.lavaan import LavaanFit, checked, read_fit
from r_bridge.numbers import RULES, TABLES, compared
from r_bridge.options import lavaan_call, lavaan_names
from r_bridge.session import call, require_r

OK, DIFFERS, KNOWN = "ok", "differs", "known: "

TIGHT: Mapping[str, Any] = {
    "control": {
        "rel_tol": 1e-13, "iter_max": 20000, "eval_max": 40000,
        # Its augmented Lagrangian ends at a violation of 1e-6, which a multiplier turns into as much log-likelihood.
        "control_outer": {"tol": 1e-9},
    }
}  # fmt: skip
"""Of lavaan's optimiser, once it has arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """Our numbers beside lavaan's.

    Attributes
    ----------
    table : DataFrame
        quantity group name ours lavaan difference unit tolerance verdict; see `to_frame`.
    versions : mapping of str to str
        Of R, lavaan, rpy2 and fosa_sem.
    call : str
        The call of lavaan that was compared, in words.
    converged : bool
        Whether lavaan's optimiser says so.
    turned : tuple of str
        Factors whose sign the model leaves open and which lavaan had the other way round.
    warnings : tuple of str
        What R warned of.
    failures : mapping of str to str
        Tables that R could not make, with its messages.
    """

    table: pd.DataFrame
    versions: Mapping[str, str]
    call: str
    converged: bool
    turned: tuple[str, ...]
    warnings: tuple[str, ...]
    failures: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether no number differs beyond its tolerance for an unknown reason."""
        return not (self.table["verdict"] == DIFFERS).any()

    def to_frame(self) -> pd.DataFrame:
        """Every number.

        Returns
        -------
        DataFrame
            quantity, group, name, ours, lavaan, difference (ours - lavaan, in units of ``unit``), unit, tolerance,
            verdict ("ok", "differs" or "known: reason").
        """
        return self.table.copy()

    def by_quantity(self) -> pd.DataFrame:
        """How many numbers of each kind agree, and the worst of them.

        Returns
        -------
        DataFrame
            Index: quantity; columns numbers, worst (largest size of the difference), unit, tolerance, differ, known.
        """
        grouped = self.table.groupby("quantity", sort=False)
        verdict = self.table["verdict"]
        return pd.DataFrame(
            {
                "numbers": grouped.size(),
                "worst": grouped["difference"].agg(lambda column: column.abs().max()),
                "unit": grouped["unit"].first(),
                "tolerance": grouped["tolerance"].first(),
                "differ": (verdict == DIFFERS).groupby(self.table["quantity"], sort=False).sum(),
                "known": verdict.str.startswith(KNOWN).groupby(self.table["quantity"], sort=False).sum(),
            }
        )

    def summary(self) -> str:
        """The verdict per quantity, and what differs, as text of 80 columns."""
        from r_bridge.section import summary_text

        return summary_text(self)

    def section(self) -> Any:
        """As a section of a report: ``results.report(path, sections=[check.section()])``."""
        from r_bridge.section import report_section

        return report_section(self)

    def __repr__(self) -> str:
        state = "agrees" if self.ok else "DIFFERS"
        return f"<CrossCheck: {state} with lavaan {self.versions['lavaan']}, {len(self.table)} numbers; .summary()>"


def crosscheck(results: SemResults) -> CrossCheck:
    """Fit the same model on the same data in lavaan and compare every number that both report.

    Parameters
    ----------
    results : SemResults

    Returns
    -------
    CrossCheck
        ``.ok``, ``.summary()``, ``.to_frame()``, ``.section()``.

    Raises
    ------
    OptionError
        If the fit has an option that lavaan has nothing like.
    EngineError
        If lavaan stops, with its message.
    MissingDependencyError
        If R, lavaan or rpy2 is missing or does not fit; the message holds the cure.

    Notes
    -----
    lavaan climbs from its own starting values, then once more from where it arrived with tight tolerances
    (`TIGHT`). A factor whose sign the model leaves open may come out the other way round; it is turned in between.
    Tolerances stand in `r_bridge.numbers.RULES`, each with its reason.
    """
    require_r()
    answer = call("exact_tables", **question(results))
    lavaan = read_fit(answer.value, results.data.index, answer.warnings)
    return compare(results, lavaan, rpy2=version("rpy2"))


def question(results: SemResults, known: Iterable[str] | None = None) -> dict[str, Any]:
    """What lavaan is to be asked about a fit: the arguments of the R function ``exact_tables``.

    ``known`` as of `r_bridge.options.lavaan_names`.
    """
    func, options = lavaan_call(results.fit.options)
    options = {**_exact(results), **options}
    asked = checked(results.fit.model, _data(results), func=func, tables=TABLES, options=options, known=known)
    return {**asked, "tight": lavaan_names(TIGHT, known), "turn": _open_signs(results)}


def compare(results: SemResults, lavaan: LavaanFit, **versions: str) -> CrossCheck:
    """Compare with numbers of lavaan that are there already.

    Parameters
    ----------
    results : SemResults
    lavaan : LavaanFit
        Of the same model and data; with the tables of `r_bridge.numbers.TABLES`, as far as lavaan has them.
    **versions : str
        To be recorded beside those of R and lavaan.
    """
    table = compared(results, lavaan)
    rule = table["quantity"].map(RULES)
    same = (table["ours"] == table["lavaan"]).to_numpy()  # infinite ones, too
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, (table["ours"] - table["lavaan"]) / table["scale"])
    table["difference"] = difference
    table["unit"] = [r.unit for r in rule]
    table["tolerance"] = [r.tolerance for r in rule]
    agrees = np.abs(difference) <= table["tolerance"]  # NaN, a number on one side only, does not
    reasons = known(results, lavaan, table)
    table["verdict"] = np.where(agrees, OK, np.where(reasons == "", DIFFERS, KNOWN + reasons))
    func, options = lavaan_call(results.fit.options)
    shown = ", ".join(f"{name.replace('_', '.')} = {value!r}" for name, value in options.items())
    return CrossCheck(
        table=table.drop(columns="scale"), versions={**lavaan.versions, **versions}, call=f"{func}({shown})",
        converged=lavaan.converged, turned=lavaan.turned, warnings=lavaan.warnings, failures=lavaan.failures,
    )  # fmt: skip


def _data(results: SemResults) -> pd.DataFrame:
    """The columns of the model, with the numbers that our fit read in them, and the group."""
    options, data = results.fit.options, results.data
    names = dict.fromkeys(part for name in results.fit.table.names.observed for part in column_parts(data, name))
    frame = pd.DataFrame({name: check_column_values(data[name]) for name in names}, index=data.index)
    if options.group is not None:
        frame[options.group] = group_labels(data[options.group]).astype(object)
    return frame


def _exact(results: SemResults) -> dict[str, Any]:
    """Of the saturated model: lavaan 0.6 stops its EM at an absolute change of 1e-5, whatever the units."""
    largest = max(float(np.diag(moments.cov).max()) for moments in results.sample_stats())
    # Above the rounding of the largest variance, or the EM never ends.
    return {"em_h1_iter_max": 10000, "em_h1_tol": max(1e-10, 1e-13 * largest)}


def _open_signs(results: SemResults) -> pd.DataFrame | None:
    """Per factor whose sign is open, the parameters that change sign with it, its loading first."""
    rows = [
        (f"{rows[0].lhs}" + (f" (group {row.group})" if row.group > 1 else ""), row.lhs, row.op, row.rhs, row.group)
        for rows in open_signs(results.fit.table)
        for row in rows
    ]
    return pd.DataFrame(rows, columns=["factor", "lhs", "op", "rhs", "group"]) if rows else None
