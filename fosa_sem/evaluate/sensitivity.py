"""Sensitivity to values missing not at random: imputed values are shifted until conclusions change."""

from __future__ import annotations

import itertools
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from fosa_sem.errors import CongenialityWarning, OptionError
from fosa_sem.evaluate.delta import Axis, Grid, ShiftedTables, Unit, as_grid, shift_axes
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.imputation.pooled_sem import fit_imputations
from fosa_sem.imputation.pooling import pool
from fosa_sem.imputation.pooling_path import of_interest, pooled_terms
from fosa_sem.inference.options import FitKeywords, fit_options
from fosa_sem.syntax.options import FunctionName

FloatArray = npt.NDArray[np.float64]
Analysis: TypeAlias = str | Callable[[pd.DataFrame], Any]

CONCLUSIONS = ("below 0", "not distinguishable from 0", "above 0")
MNAR_NOTE = (
    "A shift of 0 is missing at random. The data cannot say which shift is right: judge by knowledge of the subject "
    "whether shifts as large as the tipping points are plausible."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Pooled estimates for every combination of shifts.

    Attributes
    ----------
    axes : tuple of Axis
    estimates : DataFrame
        One row per combination and term: a column per axis with its shift (``delta_y``), then term, est, se, df,
        pvalue, ci_lower, ci_upper, conclusion. A conclusion is that the estimate is above 0, below 0, or not
        distinguishable from 0.
    terms : tuple of str
    unit : {"value", "sd"}
        Of the shifts.
    level : float
        Of the intervals; conclusions are drawn at 1 - level.
    m : int
        Imputations.
    note : str
        What the analysis can and cannot say.
    """

    axes: tuple[Axis, ...]
    estimates: pd.DataFrame
    terms: tuple[str, ...]
    unit: Unit
    level: float
    m: int
    note: str = MNAR_NOTE

    def along(self, axis: int, term: str) -> pd.DataFrame:
        """Rows of one term along one axis, all other shifts 0."""
        rows = self.estimates[self.estimates["term"] == term]
        for i, other in enumerate(self.axes):
            if i != axis:
                rows = rows[rows[other.column] == 0.0]
        return rows.sort_values(self.axes[axis].column, ignore_index=True)

    def tipping_points(self) -> pd.DataFrame:
        """Where each conclusion changes, nearest to 0 in either direction, all other shifts 0.

        Returns
        -------
        DataFrame
            term, variable, group, direction ("up" or "down"), conclusion (at shift 0), becomes, tipping (where the
            confidence limit reaches 0, on a straight line between the two shifts around it), last (largest shift in
            size with the old conclusion), first (the next, with the new one). Where nothing changes as far as the grid
            goes, ``becomes`` is empty, tipping and first are NaN, and last is the end of the grid.
        """
        rows = [
            {"term": term, "variable": axis.variable, "group": axis.group, "direction": name, **found}
            for term in self.terms
            for i, axis in enumerate(self.axes)
            for name, found in _both_directions(axis, self.along(i, term))
        ]
        columns = [
            "term", "variable", "group", "direction", "conclusion", "becomes", "tipping", "last", "first"
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        unit = "standard deviations of the observed values" if self.unit == "sd" else "units of the variable"
        table = self.tipping_points().to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3f}")
        head = f"Tipping points, shifts in {unit} (m = {self.m}, level {self.level:g})"
        return f"{head}\n{table}\n{textwrap.fill(self.note, 80)}"


def sensitivity(
    imputations: MultipleImputation, analysis: Analysis, delta: Mapping[str, Grid], *, by: str | None = None,
    unit: Unit = "value", terms: Sequence[str] | None = None, level: float = 0.95, func: FunctionName = "sem",
    n_jobs: int = 1, max_failed: float = 0.2, **options: Unpack[FitKeywords],
) -> Sensitivity:  # fmt: skip
    """Analyse the imputations again for a grid of shifts, and see where which conclusion changes.

    Parameters
    ----------
    imputations : MultipleImputation
        Made under missing at random.
    analysis : str or callable
        A model in lavaan's syntax, or a function of a completed table whose results `fosa_sem.pool` takes.
    delta : mapping of variable to numbers, or to mapping of group to numbers
        Shifts to try, see `delta_adjust`; 0 is added. Several variables or groups are combined with each other.
    by : str, optional
        Column of the groups.
    unit : {"value", "sd"}, default "value"
    terms : sequence of str, optional
        Estimates to follow, written as "y ~ x" or as the name of a defined parameter. By default regressions and
        defined parameters, loadings if there are none, all estimates if there are none of those either.
    level : float, default 0.95
        Of the intervals; conclusions are drawn at 1 - level.
    func, n_jobs, max_failed, **options
        See `MultipleImputation.fit`; of no effect with a function.

    Returns
    -------
    Sensitivity

    Raises
    ------
    OptionError, DataError
        See `delta_adjust`; also for an unknown term, and options beside a function.
    ConvergenceError
        The model fails in too many imputations; the note of the error names the shift.
    """
    axes = shift_axes(imputations, {name: as_grid(grid) for name, grid in delta.items()}, by, unit, with_zero=True)
    shifted = ShiftedTables.of(imputations, axes, by)
    run = _runner(analysis, imputations, func, n_jobs, max_failed, level, options)
    chosen: list[str] = []
    parts: list[pd.DataFrame] = []
    points = sorted(itertools.product(*(axis.shifts for axis in axes)), key=lambda p: sum(abs(x) for x in p))
    for point in points:  # all zeros first: it decides on the terms, and warns for all
        try:
            with warnings.catch_warnings():
                if parts:
                    warnings.simplefilter("ignore", CongenialityWarning)
                frame = run(shifted.at(point))
        except Exception as error:
            error.add_note("at the shift " + ", ".join(f"{a.name}: {x:g}" for a, x in zip(axes, point, strict=True)))
            raise
        chosen = chosen or _chosen(frame, terms)
        frame = frame.set_index("term").loc[chosen].reset_index()
        parts.append(_row_block(axes, point, frame))
    columns = [axis.column for axis in axes]
    estimates = pd.concat(parts, ignore_index=True).sort_values(columns, kind="stable", ignore_index=True)
    return Sensitivity(axes=axes, estimates=estimates, terms=tuple(chosen), unit=unit, level=level, m=imputations.m)


def _runner(
    analysis: Analysis, imputations: MultipleImputation, func: FunctionName, n_jobs: int, max_failed: float,
    level: float, options: FitKeywords,
) -> Callable[[ShiftedTables], pd.DataFrame]:  # fmt: skip
    """From shifted tables to the pooled table of estimates."""
    if callable(analysis):
        if options:
            raise OptionError(f"{next(iter(options))} is an option of a model; the analysis is a function")
        function = analysis
        return lambda tables: pooled_terms(pool([function(tables.complete(i + 1)) for i in range(tables.m)]), level)
    settings, model = fit_options(func, options), analysis
    return lambda tables: pooled_terms(
        fit_imputations(
            tables, model, settings, imputation_model=imputations.model, n_jobs=n_jobs, max_failed=max_failed
        ),
        level,
    )


def _chosen(frame: pd.DataFrame, terms: Sequence[str] | None) -> list[str]:
    known = list(frame["term"])
    if terms is not None:
        chosen = [terms] if isinstance(terms, str) else list(terms)
        for term in chosen:
            if term not in known:
                raise OptionError(f"terms names {term!r}, which is no estimate; there are {', '.join(known)}")
        return chosen
    return of_interest(frame)


def _row_block(axes: tuple[Axis, ...], point: tuple[float, ...], frame: pd.DataFrame) -> pd.DataFrame:
    place = np.where(frame["ci_lower"] > 0, 2, np.where(frame["ci_upper"] < 0, 0, 1))
    shifts = {axis.column: [x] * len(frame) for axis, x in zip(axes, point, strict=True)}
    values = frame[["term", "est", "se", "df", "pvalue", "ci_lower", "ci_upper"]]
    return pd.concat([pd.DataFrame(shifts), values], axis=1).assign(conclusion=[CONCLUSIONS[k] for k in place])


def _both_directions(axis: Axis, rows: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    shifts = rows[axis.column].to_numpy()
    zero = int(np.flatnonzero(shifts == 0.0)[0])
    ways = (("down", rows.iloc[zero::-1]), ("up", rows.iloc[zero:]))
    return [(name, _first_change(way[axis.column].to_numpy(), way)) for name, way in ways if len(way) > 1]


def _first_change(shifts: FloatArray, rows: pd.DataFrame) -> dict[str, Any]:
    """Walk away from 0 until the conclusion differs."""
    conclusions = list(rows["conclusion"])
    start = conclusions[0]
    changed = next((k for k, conclusion in enumerate(conclusions) if conclusion != start), None)
    if changed is None:
        return {"conclusion": start, "becomes": "", "tipping": np.nan, "last": shifts[-1], "first": np.nan}
    # The limit that leaves or reaches 0: the lower one next to conclusions above it, the upper one next to those below.
    positive = start == CONCLUSIONS[2] or (start == CONCLUSIONS[1] and conclusions[changed] == CONCLUSIONS[2])
    limit = rows["ci_lower" if positive else "ci_upper"].to_numpy(dtype=float)
    before, after = limit[changed - 1], limit[changed]
    share = before / (before - after)
    tipping = shifts[changed - 1] + share * (shifts[changed] - shifts[changed - 1])
    return {
        "conclusion": start, "becomes": conclusions[changed], "tipping": float(tipping),
        "last": shifts[changed - 1], "first": shifts[changed],
    }  # fmt: skip
