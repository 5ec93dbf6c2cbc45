"""Columns of categories: which they are, the numbers that stand for them in a model, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError, OptionError
from fosa_sem.imputation.columns import MOST_CATEGORIES
from fosa_sem.imputation.completion import BoolArray, FloatArray

Kind = Literal["binary", "ordinal", "nominal"]
Asked = Literal["auto"] | Mapping[str, str] | None
KINDS = ("binary", "ordinal", "nominal", "continuous")

FEW = 10
"""Numbers with so many distinct values or fewer are taken for categories ..."""
ENOUGH = 10
"""... if so many cells are observed for each of them on average."""
_PEEK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalColumn:
    """A column of categories.

    Attributes
    ----------
    name : str
    kind : {"binary", "ordinal", "nominal"}
    categories : tuple, length K
        The values that were observed, in order: that of an ordered categorical, else sorted.
    codes : tuple of float, length K
        The number that stands for each: the value itself, where values are numbers or truth values; the position among
        the categories of the column's dtype; 0, 1, ... for text.
    recoded : bool
        Whether codes take the place of the values in the model.
    declared : bool
        Whether the user said so; detected columns of numbers may have other numbers in new rows.
    """

    name: str
    kind: Kind
    categories: tuple[Any, ...]
    codes: tuple[float, ...]
    recoded: bool
    declared: bool

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the K - 1 indicators of a nominal column, for all categories but the first."""
        return tuple(f"{self.name}={category}" for category in self.categories[1:]) if self.kind == "nominal" else ()

    def encode(self, column: pd.Series) -> FloatArray:
        """Codes of values, NaN where missing.

        Raises
        ------
        DataError
            For a value that is none of the categories.
        """
        known = dict(zip(self.categories, self.codes, strict=True))
        found = [np.nan if missing else known.get(v) for v, missing in zip(column, column.isna(), strict=True)]
        strange = [v for v, code in zip(column, found, strict=True) if code is None]
        if strange:
            shown = ", ".join(map(repr, self.categories))
            raise DataError(
                f"column {self.name!r} has the value {strange[0]!r}, which was not in the data fitted to: its "
                f"categories are {shown}; set it to missing, or fit anew"
            )
        return np.array(found, dtype=np.float64)

    def fill(self, column: pd.Series, holes: BoolArray, chosen: Sequence[int]) -> pd.Series:
        """The column with the categories of some positions in its holes; of the same dtype.

        Parameters
        ----------
        column : Series
        holes : ndarray of bool, shape (n,)
        chosen : sequence of int
            Position among the categories, for each hole.
        """
        filled = column.copy()
        if isinstance(filled.dtype, pd.CategoricalDtype):
            new = [c for c in self.categories if c not in filled.cat.categories]
            filled = filled.cat.add_categories(new) if new else filled
        if holes.any():
            filled.iloc[np.flatnonzero(holes)] = [self.categories[k] for k in chosen]
        return filled


def categorical_columns(
    data: pd.DataFrame, variables: Sequence[str], auxiliary: Sequence[str], asked: Asked
) -> tuple[CategoricalColumn, ...]:
    """Find the columns of categories.

    Parameters
    ----------
    data : DataFrame
    variables : sequence of str
        Of the model string.
    auxiliary : sequence of str
        Columns that are to inform about the others.
    asked : "auto", mapping of str to kind, or None
        None finds none. A mapping says what columns are, among them "continuous"; for columns that it does not name,
        and with "auto", categories are text, categoricals, truth values, and numbers with 2 to 10 distinct values that
        are observed 10 times each on average.

    Returns
    -------
    tuple of CategoricalColumn
        Of ``variables`` and ``auxiliary``, and those declared nominal. Other columns are none of our business.

    Raises
    ------
    OptionError
        For an unknown kind or column, or a column that cannot be of the kind asked for.
    DataError
        For more than two unordered categories among ``variables``: no single number can stand for them.
    """
    kinds = _asked(data, asked)
    if asked is None:
        return ()
    nominal = [name for name, kind in kinds.items() if kind == "nominal"]
    for name, kind in kinds.items():
        if kind != "continuous" and name not in (*variables, *auxiliary, *nominal):
            raise OptionError(
                f"categorical says that {name!r} is {kind}, but it is no variable of the model; name it in "
                "sem_options={'auxiliary': ...} to let it inform about the others and be filled"
            )
    names = [n for n in dict.fromkeys((*variables, *auxiliary, *nominal)) if list(data.columns).count(n) == 1]
    found = [_categorical(data[name], kinds.get(name), in_model=name in variables) for name in names]
    columns = tuple(column for column in found if column is not None)
    _check_indicators(data, columns)
    return columns


def _asked(data: pd.DataFrame, asked: object) -> dict[str, str]:
    if asked is None or asked == "auto":
        return {}
    if not isinstance(asked, Mapping):
        raise OptionError(f"categorical must be 'auto', None or a mapping of columns to kinds, got {asked!r}")
    for name, kind in asked.items():
        if kind not in KINDS:
            raise OptionError(f"categorical: {name!r} must be one of {', '.join(KINDS)}, got {kind!r}")
        if name not in data.columns:
            raise OptionError(f"categorical names {name!r}, which is no column of the data")
    return dict(asked)


def _categorical(column: pd.Series, asked: str | None, *, in_model: bool) -> CategoricalColumn | None:
    """What a column is, or None for numbers that are no categories."""
    if asked == "continuous":
        return None
    ordered = isinstance(column.dtype, pd.CategoricalDtype)
    recoded = ordered or _is_text(column)
    if not recoded and asked is None and not _few(column):
        return None
    if not (recoded or _is_number(column)):
        return None  # dates and the like: reading the column says what is wrong
    if ordered:
        every, seen = column.cat.categories, set(column.dropna().unique())
        positions = [i for i, category in enumerate(every) if category in seen]
        categories, codes = [every[i] for i in positions], [float(i) for i in positions]
        unordered = not column.cat.ordered
    else:
        categories = sorted(column.dropna().unique())
        codes = [float(i) if recoded else float(c) for i, c in enumerate(categories)]
        unordered = recoded
    if len(categories) < 2:
        return None
    kind = _kind(column, asked, len(categories), unordered=unordered, text=recoded and not ordered, in_model=in_model)
    if kind is None:
        return None
    if kind == "nominal":
        codes = [float(i) for i in range(len(codes))]
    return CategoricalColumn(
        name=str(column.name), kind=kind, categories=tuple(_plain(categories)), codes=tuple(codes),
        recoded=recoded or kind == "nominal", declared=asked is not None,
    )  # fmt: skip


def _kind(
    column: pd.Series, asked: str | None, count: int, *, unordered: bool, text: bool, in_model: bool
) -> Kind | None:
    name = column.name
    if text and asked is None and count > MOST_CATEGORIES:
        return None
    if count > MOST_CATEGORIES:
        raise OptionError(f"column {name!r} has {count} distinct values, too many for categories")
    kind = asked or ("binary" if count == 2 else "nominal" if unordered else "ordinal")
    if kind == "binary" and count != 2:
        raise OptionError(f"categorical says that {name!r} is binary, but it has {count} distinct values")
    if kind == "ordinal" and text and count > 2:
        raise OptionError(
            f"categorical says that {name!r} is ordinal, but text has no order: make it an ordered pandas Categorical, "
            "whose order is used"
        )
    if kind == "nominal" and in_model:
        raise DataError(
            f"column {name!r} has {count} unordered categories, for which no single number can stand in a model; "
            f"take it out of that and declare categorical={{{name!r}: 'nominal'}}: it then informs about the others "
            "and is filled; or give it an order (an ordered pandas Categorical)"
        )
    return "binary" if kind == "binary" else "nominal" if kind == "nominal" else "ordinal"


def _is_text(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.StringDtype):
        return True
    return column.dtype == object and bool(column.notna().any()) and all(isinstance(v, str) for v in column.dropna())


def _is_number(column: pd.Series) -> bool:
    if column.dtype == object:
        return all(isinstance(v, bool | int | float | np.generic) for v in column.dropna())
    return bool(pd.api.types.is_numeric_dtype(column.dtype)) and not pd.api.types.is_complex_dtype(column.dtype)


def _few(column: pd.Series) -> bool:
    if not _is_number(column) or column.iloc[:_PEEK].nunique() > FEW:
        return False
    count = column.nunique()
    return 2 <= count <= FEW and int(column.notna().sum()) >= ENOUGH * count


def _plain(values: Iterable[Any]) -> list[Any]:
    """Python's own numbers in place of numpy's."""
    return [v.item() if isinstance(v, np.generic) else v for v in values]


def _check_indicators(data: pd.DataFrame, columns: Sequence[CategoricalColumn]) -> None:
    taken = [name for column in columns for name in column.indicators]
    clash = [name for name in taken if name in data.columns or taken.count(name) > 1]
    if clash:
        raise DataError(f"the indicator of a category would be called {clash[0]!r}, as another column is; rename that")


def encode(data: pd.DataFrame, columns: Sequence[CategoricalColumn]) -> pd.DataFrame:
    """The table with codes in place of categories, and the indicators of nominal columns appended.

    Parameters
    ----------
    data : DataFrame
        Never changed; it is returned itself if nothing is recoded.
    columns : sequence of CategoricalColumn

    Raises
    ------
    DataError
        For a value that is none of the categories.
    """
    changed: dict[str, FloatArray] = {}
    for column in columns:
        if not column.recoded:
            if column.declared:
                column.encode(data[column.name])
            continue
        codes = column.encode(data[column.name])
        if column.kind == "nominal":
            for k, name in enumerate(column.indicators, start=1):
                changed[name] = np.where(np.isnan(codes), np.nan, codes == k)
        else:
            changed[column.name] = codes
    return data.assign(**changed) if changed else data
