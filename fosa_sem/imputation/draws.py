"""A fitted model -> draws of the missing cells, each regenerated from its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.errors import OptionError
from fosa_sem.imputation.columns import (
    ColumnRules,
    Limits,
    Names,
    check_new_values,
    column_rules,
)
from fosa_sem.imputation.completion import BoolArray, Completion, FloatArray
from fosa_sem.imputation.conditional import Filler
from fosa_sem.imputation.missing_cells import Batch, GroupMoments, draw_batch, missing_batches
from fosa_sem.imputation.parameter_draws import DrawnParameters, ParameterDraws, draw_parameters
from fosa_sem.imputation.predictions import Donors, leave_one_out, thresholds
from fosa_sem.inference.fit import FimlFit
from fosa_sem.model.ram import RamMap

IntArray = NDArray[np.intp]


class DrawKeywords(TypedDict, total=False):
    """How missing cells are drawn: keyword arguments of `SemResults.multiple_imputations` and `fosa_sem.impute`.

    Attributes
    ----------
    bounds : mapping of str to (low, high), optional
        Limits of variables, None for no limit. Values are drawn from the normal distribution truncated to them, not
        moved to them.
    integers : str or sequence of str
        Variables of whole numbers: draws are rounded, those of bounded ones from half a unit around the limits.
    pmm : str or sequence of str
        Variables whose missing cells take observed values, by predictive mean matching on the model's predictions. The
        choice among donors follows the joint draw of a row's cells, so that these stay correlated.
    ordinal : str, sequence of str, or mapping of str to categories
        Variables of ordered categories (also of two), coded by numbers: a draw is taken for the normal variable behind
        them and cut where the model's predictions of observed cells reproduce the observed shares.
    donors : int, default 5
        For pmm.
    parameter_draws : {"normal", "bootstrap"}, default "normal"
        From N(theta, vcov), redrawn where the implied covariance matrix is not positive definite; or the estimates of
        samples of rows drawn with replacement.
    """

    bounds: Limits | None
    integers: Names
    pmm: Names
    ordinal: Names | Mapping[str, Sequence[float]]
    donors: int
    parameter_draws: ParameterDraws


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawOptions:
    """The same with its defaults."""

    bounds: Limits | None = None
    integers: Names = ()
    pmm: Names = ()
    ordinal: Names | Mapping[str, Sequence[float]] = ()
    donors: int = 5
    parameter_draws: ParameterDraws = "normal"


def draw_options(given: DrawKeywords) -> DrawOptions:
    """Check the names of keyword arguments.

    Raises
    ------
    OptionError
        For an unknown option, with the known ones.
    """
    unknown = [name for name in given if name not in DrawKeywords.__annotations__]
    if unknown:
        raise OptionError(
            f"multiple imputation has no option {unknown[0]!r}; there are {', '.join(DrawKeywords.__annotations__)}"
        )
    return DrawOptions(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What a refiner changes of the model's conditional distributions.

    Attributes
    ----------
    shift : ndarray, shape (n, p)
        Added to the conditional means of missing cells.
    spread : ndarray, shape (p,)
        Factors of the conditional standard deviations.
    """

    shift: FloatArray
    spread: FloatArray

    @classmethod
    def from_refined(cls, completion: Completion, refined: Completion, spread: FloatArray) -> Adjustment:
        """From a completion before and after refinement."""
        return cls(shift=refined.values - completion.mean, spread=spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDraws:
    """A recipe for m completed tables: imputation i has a random stream of its own, so that it can be made at any time.

    Attributes
    ----------
    variables : tuple of str, length p
    maps : tuple of RamMap
        One per group.
    parameters : DrawnParameters
    values : ndarray, shape (n, p)
        NaN where missing.
    group : ndarray of int, shape (n,)
    batches : tuple of Batch
    rules : ColumnRules
    cuts : tuple of ndarray
        Thresholds of each ordinal column.
    donors : dict of (group, column) to Donors
    adjustment : Adjustment or None
    seed : int
    """

    variables: tuple[str, ...]
    maps: tuple[RamMap, ...]
    parameters: DrawnParameters
    values: FloatArray
    group: IntArray
    batches: tuple[Batch, ...]
    rules: ColumnRules
    cuts: tuple[FloatArray, ...]
    donors: dict[tuple[int, int], Donors]
    adjustment: Adjustment | None
    seed: int

    @property
    def observed(self) -> BoolArray:
        """Cells that were not missing, shape (n, p)."""
        return ~np.isnan(self.values)

    def fill(self, i: int) -> FloatArray:
        """The completed values of imputation i, counted from 0; shape (n, p)."""
        rng = np.random.default_rng([self.seed, i, 1])
        theta = self.parameters.theta[i]
        moments = [GroupMoments.from_moments(*ram.moments(theta)) for ram in self.maps]
        observed, filled = self.observed, self.values.copy()
        wanted, quantile = (np.full_like(filled, np.nan) if self.rules.matched.any() else None for _ in range(2))
        shift = self.adjustment.shift if self.adjustment else None
        spread = self.adjustment.spread if self.adjustment else None
        for batch in self.batches:
            cells = draw_batch(
                batch, self.values, observed, moments[batch.group], rng.standard_normal, shift=shift, spread=spread,
                bounds=self.rules.limits,
            )  # fmt: skip
            at = (batch.rows[:, None], batch.columns)
            filled[at] = cells.centre + cells.residual
            if wanted is not None and quantile is not None:
                wanted[at], quantile[at] = cells.centre, special.ndtr(cells.residual / cells.sd)
        if wanted is not None and quantile is not None:
            self._match(filled, wanted, quantile, rng)
        return self._admissible(filled)

    def _match(self, filled: FloatArray, wanted: FloatArray, quantile: FloatArray, rng: np.random.Generator) -> None:
        for (group, column), donors in self.donors.items():
            rows = np.flatnonzero((self.group == group) & np.isnan(self.values[:, column]))
            if rows.size:
                chosen = donors.draw(wanted[rows, column], quantile[rows, column], self.rules.donors, rng)
                filled[rows, column] = chosen

    def _admissible(self, filled: FloatArray) -> FloatArray:
        """Whole numbers and categories in place of the normal draws."""
        rules, limits = self.rules, self.rules.limits
        for j in np.flatnonzero(rules.integer):
            holes = np.isnan(self.values[:, j])
            whole = np.clip(np.rint(filled[holes, j]), limits.lower[j] + 0.5, limits.upper[j] - 0.5)
            filled[holes, j] = whole + 0.0  # no negative zeros
        for j in np.flatnonzero(rules.ordinal):
            holes = np.isnan(self.values[:, j])
            filled[holes, j] = rules.categories[j][np.searchsorted(self.cuts[j], filled[holes, j])]
        return filled


def model_draws(
    fit: FimlFit, table: pd.DataFrame, *, m: int, seed: int, options: DrawOptions,
    adjustment: Adjustment | None = None,
) -> ModelDraws:  # fmt: skip
    """Prepare m imputations of a table from a fitted model.

    Parameters
    ----------
    fit : FimlFit
    table : DataFrame
        To impute: the one that the model was fitted to, or new rows, whose holes may have any pattern.
    m : int
    seed : int
    options : DrawOptions
    adjustment : Adjustment, optional

    Raises
    ------
    OptionError, DataError, ConvergenceError
        See `draw_parameters` and `column_rules`.
    """
    for name, number, least in (("m", m, 1), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise OptionError(f"{name} must be a whole number from {least} on, got {number!r}")
    variables = fit.table.names.observed
    values, group = Filler.from_fit(fit).read(table)
    fitted = np.vstack([g.values for g in fit.sample.groups])
    rules = column_rules(
        variables, fitted, bounds=options.bounds, integers=options.integers, pmm=options.pmm, ordinal=options.ordinal,
        donors=options.donors,
    )  # fmt: skip
    if adjustment is not None and rules.matched.any():
        raise OptionError("pmm matches on the model's predictions, which refiner replaces; leave one of them out")
    check_new_values(variables, rules, values)
    cuts, donors = _predicted(fit, rules)
    return ModelDraws(
        variables=variables, maps=fit.problem.maps, values=values, group=group,
        parameters=draw_parameters(fit, m, seed, options.parameter_draws),
        batches=missing_batches(~np.isnan(values), group), rules=rules, cuts=cuts, donors=donors,
        adjustment=adjustment, seed=seed,
    )  # fmt: skip


def _predicted(fit: FimlFit, rules: ColumnRules) -> tuple[tuple[FloatArray, ...], dict[tuple[int, int], Donors]]:
    """Thresholds of ordinal columns and donors of matched ones, from the rows that the model was fitted to.

    Both are predicted with the estimate, recipients with the drawn parameters (mice: ``matchtype = 1``): cuts that
    followed the drawn parameters would take their uncertainty out again.
    """
    columns = np.flatnonzero(rules.matched | rules.ordinal)
    donors: dict[tuple[int, int], Donors] = {}
    parts: dict[int, list[tuple[FloatArray, FloatArray, FloatArray]]] = {int(j): [] for j in columns}
    if columns.size:
        for g, (group, ram) in enumerate(zip(fit.sample.groups, fit.problem.maps, strict=True)):
            means, sds = leave_one_out(
                group.values, columns.tolist(), GroupMoments.from_moments(*ram.moments(fit.theta))
            )
            for c, j in enumerate(columns):
                seen = ~np.isnan(group.values[:, j])
                values, mean, sd = group.values[seen, j], means[seen, c], sds[seen, c]
                parts[int(j)].append((values, mean, sd))
                if rules.matched[j]:
                    donors[g, int(j)] = Donors(predicted=mean, values=values)
    cuts = tuple(
        thresholds(*_together(parts[j]), categories)
        if rules.ordinal[j] else np.zeros(0)
        for j, categories in enumerate(rules.categories)
    )  # fmt: skip
    return cuts, donors


def _together(parts: list[tuple[FloatArray, FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values, means and SDs of all groups."""
    values, means, sds = (np.concatenate(part) for part in zip(*parts, strict=True))
    return values, means, sds
