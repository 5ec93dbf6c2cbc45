"""lavaan's own numbers, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError, EngineError, OptionError
from r_bridge.model_text import plain_model
from r_bridge.options import FUNCTIONS, lavaan_names
from r_bridge.session import call, require_r, warn

TABLES = (
    "parameterEstimates", "standardizedSolution", "fitMeasures", "modindices", "rsquare", "nobs", "logLik",
    "fitted.mean", "fitted.cov", "sampstat.mean", "sampstat.cov", "residuals.mean", "residuals.cov", "coverage",
    "patterns", "coef", "vcov", "free", "parTable", "cases", "lavPredict", "lavPredict.ML",
    "conditional", "options",
)  # fmt: skip
PER_ROW = ("lavPredict", "lavPredict.ML", "conditional", "cases")
"""Tables with a row for every row that lavaan used; ``cases`` last, as it orders the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LavaanFit(Mapping[str, pd.DataFrame]):
    """What lavaan says of a fit: ``fit["parameterEstimates"]`` and so on, under the names of lavaan's functions.

    Attributes
    ----------
    versions : mapping
        Of R and lavaan (and rpy2, if it carried the numbers).
    converged : bool
        lavaan's own verdict.
    iterations : int
    group_labels : tuple of str
        One empty label without groups.
    warnings : tuple of str
        What R warned of.
    tables : mapping of str to DataFrame
        Columns are lavaan's own. Matrices have the variables as index and columns, with a level ``group`` first if
        there are several groups. One-dimensional tables have one column ``value``. ``cases``, ``lavPredict``,
        ``lavPredict.ML`` (Bartlett) and ``conditional`` (the data with E[missing | observed] from ``fitted()`` in its
        holes) have a row for every row that lavaan used, in the order and with the index of the data; ``cases`` says
        where it stands and its group.
    failures : mapping of str to str
        Tables that R could not make, with its messages.
    turned : tuple of str
        Factors that were turned round (see `r_bridge.crosscheck`).
    """

    versions: Mapping[str, str]
    converged: bool
    iterations: int
    group_labels: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]
    failures: Mapping[str, str] = field(default_factory=dict)
    turned: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name in self.failures:
            raise EngineError(f"lavaan has no {name} for this fit: {self.failures[name]}")
        if name not in self.tables:
            raise KeyError(f"{name!r}; there are {', '.join(self.tables)}")
        return self.tables[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tables and name not in self.failures

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)


def fit_lavaan(
    model: str, data: pd.DataFrame, *, func: str = "sem", tables: Sequence[str] = TABLES, **options: Any
) -> LavaanFit:
    """Fit a model with lavaan and give its own numbers.

    Parameters
    ----------
    model : str
        lavaan's syntax. It must also be a model that `fosa_sem.parse` reads: lavaan runs unknown modifiers as R
        code, so a string that our parser does not understand is not handed on.
    data : DataFrame
        All its columns are handed over; never changed.
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
    tables : sequence of str, optional
        Which of `r_bridge.lavaan.TABLES` to compute; all by default (``modindices`` takes the longest).
    **options
        lavaan's, underscores for its dots: ``missing="fiml"``, ``fixed_x=False``, ``control={"rel_tol": 1e-12}``.
        None leaves lavaan's default; ``aux=`` names auxiliary variables (semTools).

    Returns
    -------
    LavaanFit

    Warns
    -----
    EngineWarning
        What R warns of.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        If the model cannot be read.
    OptionError
        For an unknown function, table or option.
    DataError
        For a column that R cannot hold.
    EngineError
        If lavaan stops, with its message.
    MissingDependencyError
        If R, lavaan or rpy2 is missing or does not fit; the message holds the cure.
    """
    require_r()
    answer = call("fit_tables", **checked(model, data, func=func, tables=tables, options=options))
    warn(answer, stacklevel=3)
    return read_fit(answer.value, data.index, warnings=answer.warnings)


def checked(
    model: str, data: pd.DataFrame, *, func: str, tables: Sequence[str], options: Mapping[str, Any],
    known: Iterable[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A question to lavaan, checked and in its terms: arguments of the R functions that fit.

    ``known`` as of `r_bridge.options.lavaan_names`.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError, OptionError, DataError
        See `fit_lavaan`.
    """
    if func not in FUNCTIONS:
        raise OptionError(f"func must be one of {', '.join(FUNCTIONS)}; got {func!r}")
    odd = [name for name in tables if name not in TABLES]
    if odd:
        raise OptionError(f"there is no table {odd[0]!r}; there are {', '.join(TABLES)}")
    wanted = [*tables, *(["cases"] if set(PER_ROW) & set(tables) else [])]
    if not data.columns.is_unique:
        raise DataError("column names must be unique; drop or rename the columns that come twice")
    return {
        "model": plain_model(model), "data": data.reset_index(drop=True), "func": func,
        "options": lavaan_names(options, known), "tables": list(dict.fromkeys(wanted)),
    }  # fmt: skip


def read_fit(found: Mapping[str, Any], index: pd.Index, warnings: Sequence[str] = ()) -> LavaanFit:
    """What the R function ``fit_tables`` returned, as the record.

    Parameters
    ----------
    found : mapping
    index : Index
        Of the data that were fitted.
    warnings : sequence of str
    """
    labels = tuple(str(label) for label in found["group_labels"])
    tables = {name: _table(value, labels) for name, value in found["tables"].items() if value is not None}
    if "cases" in tables:
        order = np.argsort(tables["cases"]["row"], kind="stable")
        for name in PER_ROW:
            if name in tables:
                tables[name] = tables[name].iloc[order].set_axis(index[tables["cases"]["row"].iloc[order] - 1], axis=0)
    return LavaanFit(
        versions={name: str(found[name][0]) for name in ("R", "lavaan")},
        converged=bool(found["converged"][0]),
        iterations=int(found["iterations"][0]),
        group_labels=labels,
        warnings=tuple(warnings),
        tables=tables,
        failures={name: str(text[0]).strip() for name, text in (found["failures"] or {}).items()},
        turned=tuple(str(name) for name in found["turned"]),
    )


def _table(value: Any, labels: tuple[str, ...]) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, list):
        parts = [_table(part, labels) for part in value]
        return parts[0] if len(parts) == 1 else pd.concat(dict(zip(labels, parts, strict=True)), names=["group", None])
    if isinstance(value, pd.Series):
        return value.to_frame("value")
    return pd.DataFrame({"value": np.atleast_1d(value)})
