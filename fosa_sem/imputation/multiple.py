"""MultipleImputation: m completed tables, made when asked for, and what is done with each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeVar, Unpack

import numpy as np
import pandas as pd

from fosa_sem.data.checks import check_column_values, check_table
from fosa_sem.data.writing import atomic_path
from fosa_sem.errors import DataError, MissingDependencyError, OptionError
from fosa_sem.imputation.completion import FloatArray
from fosa_sem.imputation.draws import ModelDraws
from fosa_sem.imputation.pooled_sem import PooledSem, fit_imputations
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.options import FitKeywords, fit_options
from fosa_sem.syntax.options import FunctionName

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleImputation:
    """m completed tables (mice: ``mids``).

    Tables are counted from 1, as in mice, and made when asked for: a table drawn from a model is regenerated from its
    number, so that no more than one is held. ``for table in imputations`` visits them all.

    Attributes
    ----------
    table : DataFrame
        The incomplete table, by reference; never changed.
    m : int
    draws : ModelDraws or None
        The recipe; None for imputations from elsewhere.
    model : FimlFit or None
        The imputation model.
    stored : tuple of DataFrame
        Imputations from elsewhere.
    """

    table: pd.DataFrame
    m: int
    draws: ModelDraws | None = None
    model: FimlFit | None = None
    stored: tuple[pd.DataFrame, ...] = ()

    @classmethod
    def from_frames(cls, frames: Iterable[pd.DataFrame], table: pd.DataFrame) -> MultipleImputation:
        """Imputations that were made elsewhere.

        Parameters
        ----------
        frames : iterable of DataFrame
            Completed tables with the rows and columns of ``table``; they may have further columns.
        table : DataFrame
            The incomplete table.

        Raises
        ------
        DataError
            If a table has other rows, lacks a column, or changes a value that was observed.
        """
        stored = tuple(check_table(frame) for frame in frames)
        if not stored:
            raise DataError("no completed table was given")
        for i, frame in enumerate(stored, start=1):
            _check_completed(i, frame, check_table(table))
        return cls(table=table, m=len(stored), stored=stored)

    def __len__(self) -> int:
        return self.m

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (self.complete(i) for i in range(1, self.m + 1))

    def __repr__(self) -> str:
        cells = int(self.where.to_numpy().sum())
        redrawn = f", {self.redrawn} parameter draws redrawn" if self.redrawn else ""
        return f"<MultipleImputation: m = {self.m}, {len(self.table)} rows, {cells} imputed cells{redrawn}>"

    @property
    def redrawn(self) -> int:
        """Parameter draws thrown away, because they imply no proper covariance matrix or could not be fitted."""
        return self.draws.parameters.redrawn if self.draws else 0

    @property
    def where(self) -> pd.DataFrame:
        """Which cells are imputed, with the rows and columns of ``table`` (mice: ``where``)."""
        where = self.table.isna()
        if self.draws is not None:
            where.loc[:, [name not in self.draws.variables for name in where.columns]] = False
        return where

    def complete(self, i: int) -> pd.DataFrame:
        """Completed table i (mice: ``complete(imp, i)``).

        Parameters
        ----------
        i : int
            From 1 to m.

        Returns
        -------
        DataFrame
            Rows, index and columns of the incomplete table. Observed cells, and columns that were not imputed, are
            those of the input. A column with an imputed cell is float64, or as before if it has a nullable type that
            holds the values.

        Raises
        ------
        OptionError
            If there is no such imputation.
        """
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)) or not 1 <= i <= self.m:
            raise OptionError(f"imputations are counted from 1 to {self.m}, got {i!r}; the incomplete table is .table")
        if self.draws is None:
            return self.stored[i - 1].copy()
        return _with_values(self.table, self.draws, self.draws.fill(int(i) - 1))

    def to_frames(self) -> tuple[pd.DataFrame, ...]:
        """All completed tables at once, each as of `complete`."""
        return tuple(self)

    def long(self, original: bool = False) -> pd.DataFrame:
        """All completed tables below each other (mice: ``complete(imp, "long")``).

        Parameters
        ----------
        original : bool, default False
            Put the incomplete table first, as number 0.

        Returns
        -------
        DataFrame
            ``.imp``, the number, and ``.id``, the index of the row, before the columns of the table.
        """
        tables = [self.table, *self] if original else list(self)
        first = 0 if original else 1
        return pd.concat([_numbered(t, i) for i, t in enumerate(tables, start=first)], ignore_index=True)

    def imputed_values(self, name: str) -> pd.DataFrame:
        """Imputed values of one column (mice: ``imp$imp[[name]]``).

        Parameters
        ----------
        name : str

        Returns
        -------
        DataFrame
            One row per missing cell, with the table's index; columns 1 to m.
        """
        if name not in self.table:
            raise OptionError(f"{name!r} is not a column of the table")
        rows = self.where[name].to_numpy()
        columns = {i: table[name].to_numpy()[rows] for i, table in enumerate(self, start=1)}
        return pd.DataFrame(columns, index=self.table.index[rows])

    def apply(self, function: Callable[[pd.DataFrame], T], n_jobs: int = 1) -> list[T]:
        """What a function makes of each completed table (mice: ``with(imp, ...)``).

        Parameters
        ----------
        function : callable
            Of a completed table. Estimates with ``params`` and ``cov_params()``, as statsmodels' results have them, are
            pooled by `fosa_sem.pool`.
        n_jobs : int, default 1
            Processes (joblib); -1 for all cores. The function must then be importable by them.

        Returns
        -------
        list of length m
        """
        if n_jobs == 1:
            return [function(table) for table in self]
        from joblib import Parallel, delayed

        return list(Parallel(n_jobs=n_jobs)(delayed(_apply_to)(self, i, function) for i in range(1, self.m + 1)))

    def fit(
        self, model: str, *, func: FunctionName = "sem", n_jobs: int = 1, max_failed: float = 0.2,
        **options: Unpack[FitKeywords],
    ) -> PooledSem:  # fmt: skip
        """Fit a structural equation model to each completed table and pool (semTools: ``runMI``, ``sem.mi``).

        Parameters
        ----------
        model : str
            The analysis model in lavaan's syntax; it need not be the imputation model.
        func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
        n_jobs : int, default 1
            Processes (joblib); -1 for all cores. The numbers are the same whatever it is.
        max_failed : float, default 0.2
            Largest share of imputations in which the model may fail; those are left out and counted.
        **options
            See `fosa_sem.sem`.

        Returns
        -------
        PooledSem

        Raises
        ------
        OptionError
            If there are fewer than two imputations.
        DataError
            If a variable of the analysis still has missing values.
        ConvergenceError
            If the model fails in too many of the imputations.

        Warns
        -----
        CongenialityWarning
            If the analysis asks for what the imputation model rules out, which is named.
        AdmissibilityWarning
            If fits are improper, with their number.
        """
        return fit_imputations(
            self, model, fit_options(func, options), imputation_model=self.model, n_jobs=n_jobs, max_failed=max_failed
        )

    def to_parquet(self, path: str | PathLike[str], original: bool = False) -> Path:
        """Write what `long` gives to a Parquet file, one table in memory at a time.

        Parameters
        ----------
        path : path-like
            ``.parquet``; a file that is there already is replaced.
        original : bool, default False
            Put the incomplete table first, as number 0.

        Returns
        -------
        Path

        Raises
        ------
        OptionError
            For another suffix, or a place that cannot be written; no partial file is left.
        DataError
            For a column that Parquet cannot hold.
        MissingDependencyError
            Without pyarrow.
        """
        target = Path(path)
        if target.suffix.lower() != ".parquet":
            raise OptionError(f"cannot write {target}: the suffix must be .parquet")
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise MissingDependencyError("Parquet needs pyarrow: pip install 'fosa-sem[io]'") from None
        incomplete = _with_values(self.table, self.draws, self.draws.values) if self.draws else self.table
        try:
            schema = pa.Table.from_pandas(_numbered(self.complete(1), 1), preserve_index=False).schema
        except pa.ArrowException as error:
            raise DataError(f"Parquet cannot hold this table ({error})") from None
        with atomic_path(target) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
            for i in range(0 if original else 1, self.m + 1):
                table = _numbered(self.complete(i) if i else incomplete, i)
                writer.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False))
        return target


def _numbered(table: pd.DataFrame, i: int) -> pd.DataFrame:
    taken = [name for name in (".imp", ".id") if name in table.columns]
    if taken:
        raise DataError(f"the table has a column {taken[0]!r}, which is needed for the long format; rename it")
    front = pd.DataFrame({".imp": np.full(len(table), i), ".id": table.index.to_numpy()}, index=table.index)
    return pd.concat([front, table], axis=1)


def _with_values(table: pd.DataFrame, draws: ModelDraws, values: FloatArray) -> pd.DataFrame:
    """The table with values in place of the columns that have holes."""
    frame, observed = table.copy(), draws.observed
    for j, name in enumerate(draws.variables):
        if name in frame and not observed[:, j].all():
            frame[name] = _as_before(values[:, j], frame[name])
    return frame


def _as_before(values: FloatArray, column: pd.Series) -> pd.Series:
    """The values in the column's nullable type, if it has one that holds them."""
    series = pd.Series(values, index=column.index, name=column.name)
    if isinstance(column.dtype, np.dtype):
        return series
    try:
        return series.astype(column.dtype)
    except (TypeError, ValueError):
        return series


def _apply_to(imputations: MultipleImputation, i: int, function: Callable[[pd.DataFrame], T]) -> T:
    return function(imputations.complete(i))


def _check_completed(i: int, frame: pd.DataFrame, table: pd.DataFrame) -> None:
    if len(frame) != len(table):
        raise DataError(f"completed table {i} has {len(frame)} rows, the incomplete one {len(table)}")
    absent = [name for name in table.columns if name not in frame.columns]
    if absent:
        raise DataError(f"completed table {i} lacks the column {absent[0]!r}")
    for name in table.columns:
        seen = table[name].notna().to_numpy()
        given, new = table[name].to_numpy()[seen], frame[name].to_numpy()[seen]
        if pd.api.types.is_numeric_dtype(table[name].dtype):
            given, new = check_column_values(table[name])[seen], check_column_values(frame[name])[seen]
        if not (given == new).all():
            row = table.index[seen][np.flatnonzero(given != new)[0]]
            raise DataError(f"completed table {i} changes the observed value of {name!r} in row {row}")
