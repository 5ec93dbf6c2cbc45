"""What the R functions of ``R/fosa.R`` call through reticulate.

Tables come and go as the plain parts of `r_bridge.wire`: reticulate's own conversion loses the NA of integers and
logicals, and old versions of it do not work with numpy 2.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import pandas as pd

import fosa_sem
from fosa_sem.errors import FosaError, FosaWarning
from fosa_sem.syntax.options import FunctionName
from r_bridge.comparison import CrossCheck, compare, question
from r_bridge.lavaan import read_fit
from r_bridge.partable import model_of
from r_bridge.wire import pack, unpack

Reply = dict[str, Any]


def _answered(function: Callable[..., Any]) -> Callable[..., Reply]:
    """Errors and warnings as values: R raises them as its own."""

    @functools.wraps(function)
    def reply(*args: Any, **kwargs: Any) -> Reply:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", FosaWarning)
            try:
                value, error = function(*args, **kwargs), None
            except FosaError as raised:
                value, error = None, "\n".join([str(raised), *getattr(raised, "__notes__", ())])
        said = list(dict.fromkeys(" ".join(str(w.message).split()) for w in caught))
        return {"value": value, "warnings": said, "error": error}

    return reply


def folder() -> str:
    """Where our R files are."""
    return str(resources.files("r_bridge") / "R")


@_answered
def fit(model: str, data: Mapping[str, Any], func: str, options: Mapping[str, Any]) -> Any:
    """Fit a model; the result stays in Python."""
    arguments = _options(options)
    function = {"sem": fosa_sem.sem, "cfa": fosa_sem.cfa, "growth": fosa_sem.growth, "lavaan": fosa_sem.lavaan}[func]
    return function(model, unpack(data), **arguments)


@_answered
def model_of_table(table: Mapping[str, Any]) -> str:
    """The model string of a parameter table of lavaan."""
    return model_of(unpack(table))


@_answered
def tables(results: fosa_sem.SemResults) -> Any:
    """What a fit has to say, for R."""
    return _for_r(
        {
            "parameters": results.parameter_estimates(standardized=True),
            "standardized": results.standardized_solution(),
            "fit_measures": results.fit_measures(),
            "r2": results.r_squared(),
            "coef": results.coef(),
            "vcov": results.vcov().to_numpy(),
            "converged": results.converged,
            "nobs": results.nobs,
            "summary": results.summary(),
        }
    )


@_answered
def predict(results: fosa_sem.SemResults) -> Any:
    """Factor scores, one row for every row that was used."""
    return _for_r(results.predict())


@_answered
def impute(
    model: str, data: Mapping[str, Any], func: FunctionName, refine: bool, seed: int, options: Mapping[str, Any]
) -> Any:
    """Fit, fill and refine; the imputer stays in Python."""
    given = _options(options)
    config = {name: given.pop(name) for name in list(given) if name in _refiner_fields()}
    refiner = fosa_sem.RefinerConfig(seed=int(seed), **config) if refine else None
    engine = given.pop("engine", "native")
    imputer = fosa_sem.FosaImputer(
        model, func=func, refiner=refiner, engine=engine, sem_options=given or None, seed=int(seed)
    )
    return imputer.fit(unpack(data))


def _refiner_fields() -> set[str]:
    return set(fosa_sem.RefinerConfig.__dataclass_fields__) - {"seed"}


@_answered
def filled(imputer: fosa_sem.FosaImputer) -> Any:
    """The completed table, and how sure each filled cell is."""
    from fosa_sem.cli.commands import filled_text

    done = imputer.refined_
    names, index = list(done.variables), pd.RangeIndex(len(done.values))
    return _for_r(
        {
            "data": done.to_frame(),
            "sd": pd.DataFrame(done.sd, columns=names, index=index),
            "imputed": pd.DataFrame(~done.observed, columns=names, index=index),
            "summary": filled_text(imputer),
        }
    )


@_answered
def report(fitted: Any, path: str, sections: list[Any] | None = None) -> str:
    """Write the report of a fit or of an imputation."""
    further = {"sections": [check.section() for check in sections]} if sections else {}
    return str(fitted.report(path, **further))


@_answered
def crosscheck_question(results: fosa_sem.SemResults, known: list[str]) -> Any:
    """What R is to ask lavaan; ``known`` are the options that the installed lavaan has."""
    return _for_r(question(results, known))


@_answered
def crosscheck_answer(results: fosa_sem.SemResults, answer: Mapping[str, Any], said: list[str]) -> CrossCheck:
    """Compare with what lavaan answered; the comparison stays in Python."""
    lavaan = read_fit(unpack(answer), results.data.index, said)
    return compare(results, lavaan)


@_answered
def crosscheck_tables(check: CrossCheck) -> Any:
    """What a comparison has to say, for R."""
    overview = check.by_quantity().reset_index()
    return _for_r({"ok": check.ok, "table": check.to_frame(), "by_quantity": overview, "summary": check.summary()})


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    """R's names and vectors as Python's: one value alone, several as a tuple."""
    plain: dict[str, Any] = {}
    for name, vector in (unpack(options) or {}).items():
        values = None if vector is None else tuple(_plain(value) for value in vector)
        plain[name.replace(".", "_")] = values[0] if values is not None and len(values) == 1 else values
    return plain


def _plain(value: Any) -> Any:
    """R writes whole numbers as doubles."""
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _for_r(value: Any) -> Any:
    return _for_reticulate(pack(value))


def _for_reticulate(part: Any) -> Any:
    """Raw vectors come of bytearrays, and of nothing else in old versions; what pandas called things stays here."""
    if isinstance(part, bytes):
        return bytearray(part)
    if isinstance(part, Mapping):
        left_out = ("notes", "index") if part.get("type") == "frame" else ()
        return {name: _for_reticulate(item) for name, item in part.items() if name not in left_out}
    return [_for_reticulate(item) for item in part] if isinstance(part, list) else part
