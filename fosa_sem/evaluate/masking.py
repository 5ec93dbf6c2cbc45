"""Which observed cells to hide, and the table without them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from numbers import Integral

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_complex_dtype, is_numeric_dtype

from fosa_sem.errors import DataError, OptionError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MIN_KEPT = 2  # a column needs two observed values to have a spread
_STREAM = 0x4D41534B  # keeps our draws apart from those of a method that is given the same seed


def mask_cells(
    data: pd.DataFrame,
    proportion: float = 0.1,
    seed: int = 0,
    columns: Sequence[Hashable] | str | None = None,
) -> pd.DataFrame:
    """Choose observed cells at random, to be hidden from an imputer.

    In each column, ``round(proportion * observed cells)`` cells are drawn completely at random (MCAR;
    halves are rounded to even). A row that would be left without any observed value among ``columns``
    (among all numeric columns, if ``columns`` names only one) gets one of them back, and a random cell
    of the same column in a row with values to spare is hidden instead, so that the counts stay exact.

    Parameters
    ----------
    data : DataFrame
        It may have holes; they are never chosen. It is not changed.
    proportion : float, default 0.1
        Share of each column's observed cells, above 0 and below 1.
    seed : int, default 0
        Not negative; the same seed gives the same cells.
    columns : sequence of column names, optional
        Where to hide cells; every numeric column by default.

    Returns
    -------
    DataFrame of bool
        Same index and columns as ``data``; True at the cells to hide.

    Raises
    ------
    OptionError
        ``proportion`` is outside (0, 1), ``seed`` is not a whole number, a name in ``columns`` is unknown;
        no cell would be hidden, a column would keep fewer than 2 observed cells, or a row none.
    DataError
        A column named is not numeric, or two columns share a name.
    """
    if not isinstance(proportion, (int, float)) or not 0 < proportion < 1:
        raise OptionError(f"proportion must be a number above 0 and below 1, got {proportion!r}")
    rng = seeded_generator(seed, _STREAM)
    names = _columns_to_mask(data, columns)
    pool = names if len(names) > 1 else numeric_columns(data)
    observed = data[pool].notna().to_numpy(dtype=bool)
    hidden = np.zeros_like(observed)
    for name in names:
        j = pool.index(name)
        hidden[_draw(observed[:, j], proportion, name, rng), j] = True
    if not hidden.any():
        raise OptionError(f"proportion={proportion} hides no cell of so few observed ones; raise it")
    _spare_rows(hidden, observed, rng)
    cells = np.zeros(data.shape, dtype=bool)
    cells[:, data.columns.get_indexer(pd.Index(pool))] = hidden
    return pd.DataFrame(cells, index=data.index, columns=data.columns)


def hide_cells(data: pd.DataFrame, mask: pd.DataFrame | BoolArray) -> pd.DataFrame:
    """Return a copy of the data with holes where the mask is True.

    Parameters
    ----------
    data : DataFrame
        Not changed.
    mask : DataFrame or ndarray of bool, shape of ``data``

    Returns
    -------
    DataFrame
        Same index and columns. A column that loses a cell has dtype float64 and NaN in its holes;
        the others are as they were.

    Raises
    ------
    DataError
        The mask does not fit the data, or hides cells of a column that is not numeric.
    """
    hidden = aligned_mask(data, mask)
    frame = data.copy()
    for j, name in enumerate(data.columns):
        if hidden[:, j].any():
            frame[name] = np.where(hidden[:, j], np.nan, numeric_values(data, name, "data"))
    return frame


def aligned_mask(data: pd.DataFrame, mask: pd.DataFrame | BoolArray) -> BoolArray:
    """Check a mask against its table, and order its columns like the table's.

    Parameters
    ----------
    data : DataFrame, shape (n, p)
    mask : DataFrame or ndarray of bool, shape (n, p)
        A DataFrame must have the index and the column names of ``data``.

    Returns
    -------
    ndarray of bool, shape (n, p)

    Raises
    ------
    DataError
        Shapes, labels or dtype do not fit, or two columns share a name.
    """
    check_unique_columns(data, "data")
    if np.shape(mask) != data.shape:
        raise DataError(f"the mask has shape {np.shape(mask)} and the data {data.shape}; they must agree")
    if isinstance(mask, pd.DataFrame):
        if not mask.index.equals(data.index):
            raise DataError("the mask's index differs from that of the data; give it the same rows in order")
        unknown = [name for name in data.columns if name not in mask.columns]
        if unknown:
            raise DataError(f"the mask has no column {unknown[0]!r}; give it the columns of the data")
        mask = mask[data.columns].to_numpy()
    values = np.asarray(mask)
    if values.dtype != np.bool_:
        raise DataError(f"the mask must hold True and False, got dtype {values.dtype}; use .astype(bool)")
    return values


def numeric_columns(data: pd.DataFrame) -> list[Hashable]:
    """Names of the columns with real numbers (integer, float or bool dtype)."""
    check_unique_columns(data, "data")
    return [name for name in data.columns if _is_numeric(data[name])]


def numeric_values(data: pd.DataFrame, name: Hashable, what: str) -> FloatArray:
    """One column as numbers, NaN where it has holes.

    Parameters
    ----------
    data : DataFrame
    name : column name
    what : str
        How a message calls the table.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    DataError
        The column is not numeric.
    """
    column = data[name]
    if not _is_numeric(column):
        raise DataError(
            f"column {name!r} of {what} has dtype {column.dtype}, not numbers; code it as numbers or leave it out"
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def check_unique_columns(data: pd.DataFrame, what: str) -> None:
    """Raise DataError if two columns of the table, called ``what`` in the message, share a name."""
    if not data.columns.is_unique:
        twice = data.columns[data.columns.duplicated()][0]
        raise DataError(f"{what} has more than one column {twice!r}; rename them")


def _is_numeric(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_complex_dtype(column)


def _columns_to_mask(data: pd.DataFrame, columns: Sequence[Hashable] | str | None) -> list[Hashable]:
    numeric = numeric_columns(data)
    if columns is None:
        return numeric
    names = list(dict.fromkeys([columns] if isinstance(columns, str) else columns))
    for name in names:
        if name not in data.columns:
            raise OptionError(f"columns names {name!r}, which is not a column of the data")
        if name not in numeric:
            raise DataError(f"column {name!r} has dtype {data[name].dtype}, not numbers; leave it out of columns")
    return names


def seeded_generator(seed: object, stream: int) -> np.random.Generator:
    """Return a generator for a whole number that is not negative; streams keep draws of the same seed apart.

    Raises
    ------
    OptionError
        For another seed.
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise OptionError(f"seed must be a whole number that is not negative, got {seed!r}")
    return np.random.default_rng([stream, int(seed)])


def _draw(observed: BoolArray, proportion: float, name: Hashable, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Rows of the cells to hide in one column."""
    cells = np.flatnonzero(observed)
    count = round(proportion * cells.size)
    if count and cells.size - count < MIN_KEPT:
        raise OptionError(
            f"column {name!r} has {cells.size} observed cells and would keep {cells.size - count} of them, "
            f"fewer than {MIN_KEPT}; lower the proportion ({proportion}) or leave the column out of columns"
        )
    return rng.choice(cells, size=count, replace=False)


def _spare_rows(hidden: BoolArray, observed: BoolArray, rng: np.random.Generator) -> None:
    """Move hidden cells within their columns, in place, until no row has lost all that it had."""
    left = (observed & ~hidden).sum(axis=1)
    for row in np.flatnonzero((left == 0) & observed.any(axis=1)):
        for column in rng.permutation(np.flatnonzero(hidden[row])):
            donors = np.flatnonzero(observed[:, column] & ~hidden[:, column] & (left > 1))
            if donors.size:
                donor = rng.choice(donors)
                hidden[row, column], hidden[donor, column] = False, True
                left[row], left[donor] = 1, left[donor] - 1
                break
        else:
            raise OptionError(
                f"row {row} (counted from 0) would keep no observed value, and no other row has one to "
                "spare; lower the proportion or mask more columns at once"
            )
