"""lavaan's numbers for a model and a table, through a separate R process: what our own are compared with."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fosa_sem.errors import DataError, EngineError, MissingDependencyError, OptionError
from fosa_sem.inference.moments import Moments
from fosa_sem.syntax.read import parse
from r_bridge.runtime import describe, find_rscript, r_info

FUNCTIONS = ("sem", "cfa", "growth", "lavaan")

_PARAMETERS = ["lhs", "op", "rhs", "label", "group", "est", "se", "z", "pvalue", "ci_lower", "ci_upper"]
_STANDARDIZED = ["lhs", "op", "rhs", "group", "est_std", "se", "z", "pvalue", "ci_lower", "ci_upper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LavaanReference:
    """What lavaan found, in the shapes of `fosa_sem.SemResults`.

    Attributes
    ----------
    lavaan_version, r_version : str
    converged : bool
        lavaan's own verdict.
    warnings : tuple of str
        What lavaan warned of, and what it could not compute.
    group_labels : tuple of str
        One empty label without groups.
    nobs, npatterns : tuple of int
        Rows used and missing-data patterns, per group.
    loglik : float
    parameter_estimates : DataFrame
        lhs op rhs label group est se z pvalue ci_lower ci_upper; group 0 for ``:=``.
    standardized_solution : DataFrame
        lhs op rhs group est_std se z pvalue ci_lower ci_upper.
    fit_measures : Series
        Under lavaan's names.
    coverage : tuple of DataFrame
    implied, saturated : tuple of Moments
        Of the model (``fitted()``) and of the sample (``lavInspect(fit, "sampstat")``; EM moments if FIML).
    factor_scores : DataFrame
        By the index of the data; NaN where nothing is observed; column ``group`` first if there are several.
        Empty without latent variables.
    r_squared : DataFrame
        group (1-based), variable, r2.
    """

    lavaan_version: str
    r_version: str
    converged: bool
    warnings: tuple[str, ...]
    group_labels: tuple[str, ...]
    nobs: tuple[int, ...]
    npatterns: tuple[int, ...]
    loglik: float
    parameter_estimates: pd.DataFrame
    standardized_solution: pd.DataFrame
    fit_measures: pd.Series
    coverage: tuple[pd.DataFrame, ...]
    implied: tuple[Moments, ...]
    saturated: tuple[Moments, ...]
    factor_scores: pd.DataFrame
    r_squared: pd.DataFrame


def run_lavaan(
    model: str, data: pd.DataFrame, func: str = "sem", *, timeout: float = 600.0, **options: Any
) -> LavaanReference:
    """Fit a model with lavaan in a separate R process.

    Parameters
    ----------
    model : str
        It must also be a model of `fosa_sem`: lavaan runs unknown modifiers as R code, so a string that our
        parser does not understand is not handed on.
    data : DataFrame
        All its columns are handed over with full precision; never changed.
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
    timeout : float, default 600
        Seconds that R may take.
    **options
        lavaan's, with underscores for dots, also inside a mapping: ``missing="ml"``, ``fixed_x=False``,
        ``em_h1_tol=1e-10``, ``control={"rel_tol": 1e-12}``. None leaves lavaan's default.

    Returns
    -------
    LavaanReference

    Raises
    ------
    ModelSyntaxError
        If the model cannot be read.
    OptionError
        For an unknown ``func`` or an option that is neither a number, text, truth value nor made of these.
    MissingDependencyError
        If R, lavaan or jsonlite is missing; the message holds the commands that install them.
    EngineError
        If lavaan stops (with its message) or takes too long.
    """
    return read_reference(lavaan_payload(model, data, func, timeout=timeout, **options), data.index)


def lavaan_payload(
    model: str, data: pd.DataFrame, func: str = "sem", *, timeout: float = 600.0, **options: Any
) -> dict[str, Any]:
    """As `run_lavaan`, but as plain JSON values, to be stored and read by `read_reference`."""
    if func not in FUNCTIONS:
        raise OptionError(f"func must be one of {', '.join(FUNCTIONS)}; got {func!r}")
    if not data.columns.is_unique:
        raise DataError("column names must be unique; drop or rename the columns that come twice")
    parse(model)
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in data.dtypes]
    request = {"model": model, "func": func, "numeric": numeric, "options": _dotted(options)}
    with tempfile.TemporaryDirectory(prefix="fosa_sem_") as folder:
        place = Path(folder)
        (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _write_data(data, place / "data.csv")
        _run_script(place, timeout)
        payload: dict[str, Any] = json.loads((place / "result.json").read_text(encoding="utf-8"))
    if "error" in payload:
        raise EngineError(f"lavaan stopped: {payload['error']}")
    return payload


def _write_data(data: pd.DataFrame, file: Path) -> None:
    """Write CSV in which floats have as many digits as they need to come back the same."""
    truth = data.select_dtypes(["bool", "boolean"]).columns
    plain = data.astype(dict.fromkeys(truth, "Int64"))
    plain.to_csv(file, index=False, na_rep="NA", encoding="utf-8")


def _run_script(folder: Path, timeout: float) -> None:
    rscript = find_rscript()
    if rscript is None:
        raise MissingDependencyError(describe(r_info().r_problems))
    with resources.as_file(resources.files("r_bridge") / "R" / "reference.R") as script:
        try:
            done = subprocess.run(
                [rscript, str(script), str(folder)],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"lavaan had not finished after {timeout:g} seconds; give more with timeout="
            raise EngineError(message) from error
    if not (folder / "result.json").is_file():
        missing = r_info().r_problems
        if missing:
            raise MissingDependencyError(describe(missing))
        raise EngineError(f"R stopped before lavaan could answer: {done.stderr.strip() or done.returncode}")


def _dotted(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under lavaan's names, as JSON values."""
    return {name.replace("_", "."): _plain(name, value) for name, value in options.items() if value is not None}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return _dotted(value)
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise OptionError(
        f"{name}={value!r} cannot be handed to lavaan; give a number, text, True, False or a list of them"
    )


def read_reference(payload: Mapping[str, Any], index: pd.Index) -> LavaanReference:
    """Plain JSON values of `lavaan_payload` -> the record.

    Parameters
    ----------
    payload : mapping
    index : Index
        Of the data that were fitted, for the factor scores.

    Returns
    -------
    LavaanReference
    """
    labels = tuple(payload["group_labels"])
    measures = payload["fit_measures"]
    return LavaanReference(
        lavaan_version=payload["lavaan_version"],
        r_version=payload["r_version"],
        converged=payload["converged"],
        warnings=tuple(payload["warnings"]),
        group_labels=labels,
        nobs=tuple(payload["nobs"]),
        npatterns=tuple(payload["npatterns"] or ()),
        loglik=float("nan") if payload["loglik"] is None else payload["loglik"],
        parameter_estimates=_table(payload["parameters"], _PARAMETERS),
        standardized_solution=_table(payload["standardized"], _STANDARDIZED),
        fit_measures=pd.Series(measures["value"], index=measures["name"], dtype=float, name="value"),
        coverage=tuple(_square(group["variables"], group["values"]) for group in payload["coverage"]),
        implied=_moments(labels, payload["implied"]),
        saturated=_moments(labels, payload["saturated"]),
        factor_scores=_scores(labels, payload["scores"] or [], index),
        r_squared=pd.DataFrame(payload["r_squared"]).astype({"r2": float}),
    )


def _table(columns: Mapping[str, list[Any]], names: list[str]) -> pd.DataFrame:
    """Columns of R under our names; numbers as float64, what lavaan left out as NaN."""
    frame = pd.DataFrame({name.replace(".", "_"): values for name, values in columns.items()})
    frame = frame.reindex(columns=names)
    words = ["lhs", "op", "rhs", "label", "group"]
    return frame.astype({name: float for name in names if name not in words})


def _square(variables: list[str], values: list[list[float]]) -> pd.DataFrame:
    return pd.DataFrame(np.array(values, dtype=float), index=variables, columns=variables)


def _moments(labels: tuple[str, ...], groups: list[Mapping[str, Any]]) -> tuple[Moments, ...]:
    return tuple(
        Moments(
            group=label,
            mean=pd.Series(group["mean"] or np.nan, index=group["variables"], dtype=float),
            cov=_square(group["variables"], group["cov"]),
        )
        for label, group in zip(labels, groups, strict=True)
    )


def _scores(labels: tuple[str, ...], groups: list[Mapping[str, Any]], index: pd.Index) -> pd.DataFrame:
    """Factor scores of all groups, in the order of the data."""
    if not groups:
        return pd.DataFrame(index=index[:0])
    rows = np.concatenate([np.asarray(group["rows"], dtype=int) - 1 for group in groups])
    values = np.concatenate([np.array(group["values"], dtype=float) for group in groups])
    frame = pd.DataFrame(values, columns=list(groups[0]["latent"]), index=index[rows])
    if len(labels) > 1:
        frame.insert(0, "group", np.repeat(labels, [len(group["rows"]) for group in groups]))
    return frame.iloc[np.argsort(rows, kind="stable")]
