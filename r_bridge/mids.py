"""Multiple imputations <-> objects of R's mice."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from fosa_sem import MultipleImputation
from fosa_sem.errors import DataError, MissingDependencyError
from r_bridge.runtime import Problem, cure_package, describe
from r_bridge.session import make, read, require_r


def to_mids(imputations: MultipleImputation, path: str | PathLike[str] | None = None) -> Any:
    """Imputations as a ``mids`` of mice, for its ``with()``, ``pool()`` and ``complete()``, and for semTools.

    Parameters
    ----------
    imputations : MultipleImputation
        All its tables are held in memory.
    path : path, optional
        Where to save the object too, for ``readRDS()`` in R.

    Returns
    -------
    rpy2.rinterface.Sexp
        In the R of this process.

    Raises
    ------
    MissingDependencyError
        If R, lavaan, rpy2 or mice is missing, with the cure.
    DataError
        For a column of a type that R has not.
    EngineError
        If mice refuses the tables.
    """
    _require_mice()
    long = imputations.long(original=True)
    index = imputations.table.index
    if index.has_duplicates or index.nlevels > 1:  # rows in R have one name each, all of them different
        long[".id"] = [*range(1, len(imputations.table) + 1)] * (imputations.m + 1)
    made = make("mids_of", long=long, where=imputations.where.to_numpy(dtype=bool))
    if path is not None:
        from rpy2.rinterface import StrSexpVector, baseenv

        baseenv["saveRDS"](made, file=StrSexpVector([str(Path(path).expanduser())]))
    return made


def from_mids(mids: Any) -> MultipleImputation:
    """A ``mids`` of mice as multiple imputations.

    Parameters
    ----------
    mids : rpy2 object or path
        The object in the R of this process, or a file that ``saveRDS()`` has written.

    Returns
    -------
    MultipleImputation
        With the tables in memory; of the imputation model nothing is known.

    Raises
    ------
    MissingDependencyError
        If R, lavaan, rpy2 or mice is missing, with the cure.
    EngineError
        If the object is no ``mids``.
    DataError
        If there is no such file, or a column is of a type that pandas has not.
    """
    _require_mice()
    if isinstance(mids, (str, PathLike)):
        from rpy2.rinterface import StrSexpVector, baseenv

        file = Path(mids).expanduser()
        if not file.is_file():
            raise DataError(f"{file}: no such file")
        mids = baseenv["readRDS"](StrSexpVector([str(file)]))
    long: pd.DataFrame = read("tables_of_mids", mids).value
    tables = [
        table.drop(columns=[".imp", ".id"]).set_axis(pd.Index(table[".id"].array), axis=0)
        for _, table in long.groupby(".imp", sort=True)
    ]
    return MultipleImputation.from_frames(tables[1:], tables[0])


def _require_mice() -> None:
    require_r()
    from rpy2.rinterface import BoolSexpVector, StrSexpVector, baseenv

    if not baseenv["requireNamespace"](StrSexpVector(["mice"]), quietly=BoolSexpVector([True]))[0]:
        raise MissingDependencyError(describe((Problem("R has no package mice", cure_package("mice")),)))
