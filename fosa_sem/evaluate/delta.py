"""Shifts of imputed values, per variable or group: values missing not at random."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from fosa_sem.data.sample import group_labels
from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.multiple import MultipleImputation

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Unit: TypeAlias = Literal["value", "sd"]
Shift: TypeAlias = float | Mapping[Hashable, float]
"""One number, or one per value of the column ``by``."""
Grid: TypeAlias = Sequence[float] | Mapping[Hashable, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Shifts of one variable, in one group of rows.

    Attributes
    ----------
    variable : str
    group : str
        Value of the column ``by``; empty if all imputed values of the variable are shifted.
    shifts : tuple of float
        Increasing, with 0; as asked for, in the unit of `Sensitivity`.
    scale : float
        What one unit is on the variable's own scale: 1, or the standard deviation of the observed values.
    n_imputed : int
        Imputed values that are shifted.
    """

    variable: str
    group: str
    shifts: tuple[float, ...]
    scale: float
    n_imputed: int

    @property
    def name(self) -> str:
        """For example ``y`` or ``y [treated]``."""
        return f"{self.variable} [{self.group}]" if self.group else self.variable

    @property
    def column(self) -> str:
        """Its column in tables of estimates."""
        return f"delta_{self.name}"


def delta_adjust(
    imputations: MultipleImputation, delta: Mapping[str, Shift], *, by: str | None = None, unit: Unit = "value"
) -> MultipleImputation:
    """Shift imputed values: values missing not at random, as a pattern-mixture model (van Buuren 2018, section 3.8).

    Parameters
    ----------
    imputations : MultipleImputation
        Not changed.
    delta : mapping of variable to number, or to mapping of group to number
        Added to every imputed value of the variable (in the group). Observed values stay, and so do imputed values of
        other variables.
    by : str, optional
        Fully observed column whose values are the groups, as in ``{"y": {"treated": -1.0}}``; groups left out stay.
    unit : {"value", "sd"}, default "value"
        Of the numbers: the variable's own, or standard deviations of its observed values.

    Returns
    -------
    MultipleImputation
        With the same imputation model; all tables are held in memory.

    Raises
    ------
    OptionError
        Unknown variable, group, column or unit; a variable without imputed values (in the group); a shift that is no
        finite number; or a variable with categories, whose shifted values would be none.
    DataError
        The column ``by`` has holes.

    Notes
    -----
    Shifted values are not held to bounds or whole numbers that were asked for when imputing.
    """
    grid = {name: as_grid(shift) for name, shift in delta.items()}
    axes = shift_axes(imputations, grid, by, unit, with_zero=False)
    for axis in axes:
        if len(axis.shifts) > 1:
            raise OptionError(f"delta of {axis.name!r} must be one number here; sensitivity() tries several")
    shifted = ShiftedTables.of(imputations, axes, by).at(tuple(axis.shifts[0] for axis in axes))
    tables = tuple(shifted.complete(i) for i in range(1, shifted.m + 1))
    return replace(imputations, draws=None, stored=tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedTables:
    """Completed tables, counted from 1, with shifts of some imputed cells; made when asked for.

    Attributes
    ----------
    tables : tuple of DataFrame
        Before the shifts.
    axes : tuple of Axis
    cells : tuple of ndarray of bool, each (n,)
        Rows whose value is shifted, per axis.
    point : tuple of float
        The shift of each axis.
    """

    tables: tuple[pd.DataFrame, ...]
    axes: tuple[Axis, ...]
    cells: tuple[BoolArray, ...]
    point: tuple[float, ...]

    @property
    def m(self) -> int:
        """Number of tables."""
        return len(self.tables)

    @classmethod
    def of(cls, imputations: MultipleImputation, axes: tuple[Axis, ...], by: str | None) -> ShiftedTables:
        """All tables, not shifted yet."""
        cells = tuple(_cells(imputations, axis.variable, by, axis.group) for axis in axes)
        return cls(tables=imputations.to_frames(), axes=axes, cells=cells, point=(0.0,) * len(axes))

    def at(self, point: tuple[float, ...]) -> ShiftedTables:
        """The tables at other shifts."""
        return replace(self, point=point)

    def complete(self, i: int) -> pd.DataFrame:
        """Shifted table i."""
        table = self.tables[i - 1].copy()
        for axis, cells, shift in zip(self.axes, self.cells, self.point, strict=True):
            if shift:
                values = table[axis.variable].to_numpy(dtype=np.float64, na_value=np.nan)
                table[axis.variable] = np.where(cells, values + shift * axis.scale, values)
        return table


def as_grid(shift: object) -> Any:
    """Return numbers as sequences of numbers, within groups too."""
    if isinstance(shift, Mapping):
        return {group: as_grid(value) for group, value in shift.items()}
    return [shift] if np.isscalar(shift) else list(shift)  # type: ignore[call-overload]


def shift_axes(
    imputations: MultipleImputation, delta: Mapping[str, Grid], by: str | None, unit: Unit, *, with_zero: bool
) -> tuple[Axis, ...]:
    """Check what is to be shifted, and by how much.

    Raises
    ------
    OptionError, DataError
        See `delta_adjust`.
    """
    if unit not in ("value", "sd"):
        raise OptionError(f"unit must be 'value' or 'sd', got {unit!r}")
    if not delta:
        raise OptionError("delta is empty; give shifts, as in {'y': [-1, 0, 1]}")
    axes = []
    for variable, grid in delta.items():
        scale = _check_variable(imputations, variable, unit)
        parts = grid if isinstance(grid, Mapping) else {"": grid}
        if isinstance(grid, Mapping) and by is None:
            raise OptionError(f"delta of {variable!r} is by group; name the column of the groups in by")
        for group, shifts in parts.items():
            label = str(group_labels(pd.Series([group])).iloc[0])
            n = int(_cells(imputations, variable, by, label).sum())
            if n == 0:
                where = f" in group {label!r}" if label else ""
                raise OptionError(f"no value of {variable!r} was imputed{where}: there is nothing to shift")
            numbers = _numbers(variable, shifts, with_zero=with_zero)
            axes.append(Axis(variable=variable, group=label, shifts=numbers, scale=scale, n_imputed=n))
    return tuple(axes)


def _check_variable(imputations: MultipleImputation, variable: str, unit: Unit) -> float:
    """What one unit of the shift is; refuse variables whose values cannot be shifted."""
    table = imputations.table
    if variable not in table.columns:
        raise OptionError(f"delta names {variable!r}, which is not a column of the imputed table")
    observed = table[variable].dropna()
    if not pd.api.types.is_numeric_dtype(table[variable].dtype):
        raise OptionError(f"delta names {variable!r}, which is not numeric: its values cannot be shifted")
    draws = imputations.draws
    ordinal = draws is not None and variable in draws.variables and draws.rules.ordinal[draws.variables.index(variable)]
    if ordinal or observed.nunique() <= 2:
        raise OptionError(
            f"delta names {variable!r}, which has categories: a shifted value would be none of them; impute it with "
            "other assumptions instead"
        )
    return float(observed.astype(float).std()) if unit == "sd" else 1.0


def _numbers(variable: str, shifts: Sequence[float], *, with_zero: bool) -> tuple[float, ...]:
    try:
        numbers = np.asarray(shifts, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"delta of {variable!r} must hold numbers, got {shifts!r}") from None
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise OptionError(f"delta of {variable!r} must hold finite numbers, got {shifts!r}")
    return tuple(float(x) for x in np.unique([*numbers, 0.0] if with_zero else numbers))


def _cells(imputations: MultipleImputation, variable: str, by: str | None, group: str) -> BoolArray:
    imputed = np.asarray(imputations.where[variable], dtype=bool)
    if not group:
        return imputed
    if by not in imputations.table.columns:
        raise OptionError(f"by names {by!r}, which is not a column of the imputed table")
    column = imputations.table[by]
    if column.isna().any():
        raise DataError(f"column {by!r} has {int(column.isna().sum())} holes; groups must be known for every row")
    labels = group_labels(column)
    if group not in set(labels):
        raise OptionError(f"delta names the group {group!r} of {by!r}, which has {', '.join(sorted(set(labels)))}")
    return imputed & (labels == group).to_numpy()
