"""The two ways to look at a model string: as written, and as the full parameter table."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.syntax.build import build_table
from fosa_sem.syntax.names import classify, order_covariance
from fosa_sem.syntax.options import FunctionName, TableOptions
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.statements import Statement
from fosa_sem.syntax.table import ParameterTable


def parameter_table(
    model: str, func: FunctionName = "sem", *, ngroups: int = 1, meanstructure: bool = True, **options: Any
) -> ParameterTable:
    """Read a model string into its full parameter table (lavaan: ``lavaanify``).

    Parameters
    ----------
    model : str
        lavaan's model syntax.
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
        Whose automatic parameters to add.
    ngroups : int, default 1
    meanstructure : bool, default True
        Add intercepts (``lavaanify``: False).
    **options
        Fields of `TableOptions`; ``fixed_x`` is False by default, as in ``lavaanify`` (but not in ``sem``).

    Returns
    -------
    ParameterTable

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        With line and column.
    OptionError
        For options that do not exist or are out of range.
    """
    if not isinstance(ngroups, int) or ngroups < 1:
        raise OptionError(f"ngroups must be a positive integer, got {ngroups!r}")
    options.setdefault("fixed_x", False)
    switches = TableOptions.for_function(func, meanstructure=meanstructure, **options)
    return build_table(parse_model(model), switches, ngroups)


def parse(model: str) -> pd.DataFrame:
    """What the user wrote, row by row, with nothing added (lavaan: ``lavParseModelString``).

    Parameters
    ----------
    model : str

    Returns
    -------
    DataFrame
        lhs, op, rhs, block, fixed, start, lower, upper, label; the entries of ``c(...)`` are joined by ``;``. The
        sides of a covariance stand in the order latent, observed, as in lavaan; ``:=`` and constraints have block 0.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        With line and column.
    """
    statements = parse_model(model)
    names = classify([s for s in statements if s.block])
    return pd.DataFrame(
        [_flat_row(order_covariance(s, names)) for s in statements],
        columns=["lhs", "op", "rhs", "block", "fixed", "start", "lower", "upper", "label"],
    )


def _flat_row(statement: Statement) -> dict[str, object]:
    modifiers = statement.modifiers
    numbers = {
        kind: ";".join(_shown(v) for v in getattr(modifiers, kind)) for kind in ("fixed", "start", "lower", "upper")
    }
    return {
        "lhs": statement.lhs, "op": statement.op, "rhs": statement.rhs, "block": statement.block,
        **numbers, "label": ";".join(modifiers.label),
    }  # fmt: skip


def _shown(value: float) -> str:
    return "NA" if math.isnan(value) else f"{value:.15g}"
