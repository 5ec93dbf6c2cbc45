"""What values a column may take, so that drawn values can be made such values: limits, whole numbers, categories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.completion import BoolArray, FloatArray
from fosa_sem.imputation.missing_cells import Bounds

MOST_CATEGORIES = 30
"""Of an ordinal variable; more distinct values are no categories but a scale."""

Names = str | Sequence[str]
Limits = Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRules:
    """What values columns may take.

    Attributes
    ----------
    limits : Bounds
        Limits of the normal draws; those of whole numbers reach half a unit further than the values.
    integer, matched, ordinal : ndarray of bool, shape (p,)
        Columns of whole numbers, of predictive mean matching, and of ordered categories.
    categories : tuple of ndarray
        Of each column, in order; empty for those that are not ordinal.
    donors : int
        Of predictive mean matching.
    """

    limits: Bounds
    integer: BoolArray
    matched: BoolArray
    ordinal: BoolArray
    categories: tuple[FloatArray, ...]
    donors: int


def column_rules(
    variables: Sequence[str], values: FloatArray, *, bounds: Limits | None = None, integers: Names = (),
    pmm: Names = (), ordinal: Names | Mapping[str, Sequence[float]] = (), donors: int = 5,
) -> ColumnRules:  # fmt: skip
    """Check what is asked of the columns against the data that the model was fitted to.

    Parameters
    ----------
    variables : sequence of str, length p
    values : ndarray, shape (n, p)
        NaN where missing.
    bounds : mapping of str to (low, high), optional
        None or an infinite number where there is no limit.
    integers, pmm : str or sequence of str
    ordinal : str, sequence of str, or mapping of str to categories
    donors : int, default 5

    Raises
    ------
    OptionError
        For unknown variables, impossible limits, and demands that contradict each other.
    DataError
        If observed values are outside their limits, are no whole numbers, or no categories, or if a category was
        never observed.
    """
    if isinstance(donors, bool) or not isinstance(donors, int) or donors < 1:
        raise OptionError(f"donors must be a whole number from 1 on, got {donors!r}")
    integer, matched = (_named(variables, what, names) for what, names in (("integers", integers), ("pmm", pmm)))
    is_ordinal = _named(variables, "ordinal", list(ordinal) if isinstance(ordinal, Mapping) else ordinal)
    lower, upper = _limits(variables, values, bounds or {})
    bounded = np.isfinite(lower) | np.isfinite(upper)
    for j, name in enumerate(variables):
        kinds = {"pmm": matched[j], "ordinal": is_ordinal[j], "bounds": bounded[j], "integers": integer[j]}
        asked = [kind for kind, on in kinds.items() if on]
        if len(asked) > 1 and asked != ["bounds", "integers"]:
            raise OptionError(
                f"{name!r} is named in {' and in '.join(asked)}: matching and categories give observed values already; "
                "keep one"
            )
    _check_whole(variables, values, integer)
    lower[integer], upper[integer] = np.ceil(lower[integer]) - 0.5, np.floor(upper[integer]) + 0.5
    given = ordinal if isinstance(ordinal, Mapping) else {}
    categories = tuple(
        _categories(name, values[:, j], given.get(name)) if is_ordinal[j] else np.zeros(0)
        for j, name in enumerate(variables)
    )
    return ColumnRules(
        limits=Bounds(lower=lower, upper=upper), integer=integer, matched=matched, ordinal=is_ordinal,
        categories=categories, donors=donors,
    )  # fmt: skip


def check_new_values(variables: Sequence[str], rules: ColumnRules, values: FloatArray) -> None:
    """Values of a table that the model was not fitted to must be of the kinds that it has seen.

    Raises
    ------
    DataError
    """
    for j in np.flatnonzero(rules.ordinal).tolist():
        _check_seen(variables[j], values[:, j], rules.categories[j])
    for j in np.flatnonzero(rules.limits.bounded).tolist():
        _check_inside(variables[j], values[:, j], rules.limits.lower[j], rules.limits.upper[j])
    _check_whole(variables, values, rules.integer)


def _named(variables: Sequence[str], what: str, names: Names) -> BoolArray:
    chosen = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in chosen if name not in variables]
    if unknown:
        raise OptionError(f"{what} names {unknown[0]!r}, which is no variable of the model: {', '.join(variables)}")
    return np.array([name in chosen for name in variables], dtype=bool)


def _limits(variables: Sequence[str], values: FloatArray, bounds: Limits) -> tuple[FloatArray, FloatArray]:
    _named(variables, "bounds", list(bounds))
    lower, upper = np.full(len(variables), -math.inf), np.full(len(variables), math.inf)
    for name, pair in bounds.items():
        j = list(variables).index(name)
        try:
            low, high = pair
            lower[j] = -math.inf if low is None else float(low)
            upper[j] = math.inf if high is None else float(high)
        except (TypeError, ValueError):
            raise OptionError(f"bounds of {name!r} must be (low, high) with None for no limit, got {pair!r}") from None
        if not lower[j] < upper[j]:
            raise OptionError(f"bounds of {name!r}: the lower limit {low!r} is not below the upper limit {high!r}")
        _check_inside(name, values[:, j], lower[j], upper[j])
    return lower, upper


def _check_inside(name: str, column: FloatArray, low: float, high: float) -> None:
    outside = int(((column < low) | (column > high)).sum())
    if outside:
        raise DataError(
            f"{outside} observed value(s) of {name!r} are outside its bounds ({low:g}, {high:g}); widen the bounds or "
            "correct the data"
        )


def _check_whole(variables: Sequence[str], values: FloatArray, integer: BoolArray) -> None:
    for j in np.flatnonzero(integer).tolist():
        seen = values[~np.isnan(values[:, j]), j]
        broken = seen[seen != np.rint(seen)]
        if broken.size:
            raise DataError(
                f"{variables[j]!r} is named in integers, but {broken.size} observed value(s) are no whole numbers, "
                f"the first is {broken[0]:g}"
            )


def _categories(name: str, column: FloatArray, given: Sequence[float] | None) -> FloatArray:
    seen = np.unique(column[~np.isnan(column)])
    if given is not None:
        asked = np.unique(np.asarray(given, dtype=float))
        unseen = np.setdiff1d(asked, seen)
        if unseen.size:
            raise DataError(
                f"category {unseen[0]:g} of {name!r} was never observed, so nothing says how probable it is; leave it "
                "out of ordinal, or merge it with a neighbour"
            )
        _check_seen(name, column, asked)
    if len(seen) > MOST_CATEGORIES:
        raise OptionError(
            f"{name!r} has {len(seen)} distinct values, too many for categories; name it in integers or pmm instead"
        )
    return seen


def _check_seen(name: str, column: FloatArray, categories: FloatArray) -> None:
    strange = np.setdiff1d(column[~np.isnan(column)], categories)
    if strange.size:
        shown = ", ".join(f"{c:g}" for c in categories)
        raise DataError(f"{name!r} has the value {strange[0]:g}, which is none of its categories ({shown})")
