"""Modification indices: what chi-square would lose, about, if a fixed parameter were free (Sorbom 1989)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.errors import OptionError
from fosa_sem.inference.extension import ExtendedModel, extended_model, missing_rows
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.standardized import StandardizedType, standardize_rows
from fosa_sem.syntax.table import Row

FloatArray = NDArray[np.float64]

UNDETERMINED = 1e-8
"""Share of a parameter's information, left over by the others, below which it would not be identified."""
SMALL = float(np.sqrt(np.finfo(float).eps))
"""Changes of variances below this are taken for 0 (lavaan)."""

SCALES: tuple[tuple[str, StandardizedType], ...] = (
    ("sepc_lv", "std.lv"), ("sepc_all", "std.all"), ("sepc_nox", "std.nox"),
)  # fmt: skip


def modification_indices(
    fit: FimlFit, *, standardized: bool = True, power: bool = False, delta: float = 0.1, alpha: float = 0.05,
    high_power: float = 0.75, sort: bool = False, minimum_value: float = 0.0, maximum_number: int | None = None,
    free_remove: bool = True, na_remove: bool = True, op: str | Sequence[str] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Modification indices and expected parameter changes (lavaan: ``modificationIndices()``).

    Parameters
    ----------
    fit : FimlFit
    standardized : bool, default True
        Add the standardised changes sepc_lv, sepc_all and sepc_nox.
    power : bool, default False
        Add delta, ncp, power and decision (Saris, Satorra & van der Veld 2009), in place of sepc_lv and sepc_nox.
    delta : float, default 0.1
        Misspecification that should be found.
    alpha : float, default 0.05
        Level of the test.
    high_power : float, default 0.75
        Power above which the test counts as sensitive.
    sort : bool, default False
        Largest first.
    minimum_value : float, default 0
        Only larger indices.
    maximum_number : int, optional
        Only the first rows.
    free_remove : bool, default True
        Leave out the free parameters of the model.
    na_remove : bool, default True
        Leave out parameters that would not be identified.
    op : str or sequence of str, optional
        Only these operators (chosen before ``maximum_number`` counts; lavaan counts first).

    Returns
    -------
    DataFrame
        lhs op rhs group mi epc sepc_lv sepc_all sepc_nox.

    Raises
    ------
    OptionError, IdentificationError

    Notes
    -----
    With s the score and V the information about the parameter that the model's own parameters leave over,
    mi = s^2 / V and epc = s / V. The information is the expected one, given the missing-data patterns. Equality
    constraints stay in force; `score_test` releases them. lavaan drops what has V / N < 6e-6 whatever the units; here
    the share of the parameter's own information counts, so that a row may stand here that lavaan lacks.
    """
    _check_options(delta, alpha, high_power, maximum_number, minimum_value)
    model = extended_model(fit, missing_rows(fit.table))
    frame = _frame(model)
    if standardized or power:
        add_standardized_changes(frame, fit, model.rows, model.theta[[row.free - 1 for row in model.rows]])
    if power:
        _add_power(frame, delta, alpha, high_power)
        frame = frame.drop(columns=["sepc_lv", "sepc_nox"])
    if free_remove:
        frame = frame[[row.free > model.n_estimated for row in model.rows]]
    if op is not None:
        frame = frame[frame["op"].isin([op] if isinstance(op, str) else list(op))]
    if na_remove:
        frame = frame[frame["mi"].notna()]
    if sort:
        frame = frame.sort_values("mi", ascending=False, kind="stable", na_position="last")
    if minimum_value > 0:
        frame = frame[frame["mi"] > minimum_value]
    return frame.iloc[:maximum_number].reset_index(drop=True)


def _check_options(
    delta: float, alpha: float, high_power: float, maximum_number: int | None, minimum_value: float
) -> None:
    if not (math.isfinite(delta) and delta > 0):
        raise OptionError(f"delta must be a positive number, got {delta!r}")
    for name, share in (("alpha", alpha), ("high_power", high_power)):
        if not 0.0 < share < 1.0:
            raise OptionError(f"{name} must lie between 0 and 1, got {share!r}")
    if maximum_number is not None and maximum_number < 1:
        raise OptionError(f"maximum_number must be at least 1, got {maximum_number!r}")
    if math.isnan(minimum_value):
        raise OptionError("minimum_value must be a number, got NaN")


def _frame(model: ExtendedModel) -> pd.DataFrame:
    k = model.n_estimated
    own = np.diag(model.information)
    left = own.copy()
    left[k:] = np.diag(model.left_over())
    left[left <= UNDETERMINED * own] = np.nan
    at = [row.free - 1 for row in model.rows]
    frame = pd.DataFrame(
        [(row.lhs, row.op, row.rhs, row.group) for row in model.rows], columns=["lhs", "op", "rhs", "group"]
    )
    frame["mi"] = (model.score**2 / left)[at]
    frame["epc"] = (model.score / left)[at]
    return frame


def add_standardized_changes(frame: pd.DataFrame, fit: FimlFit, rows: Sequence[Row], values: FloatArray) -> None:
    """Add sepc_lv, sepc_all and sepc_nox to a frame with a column epc.

    A covariance is divided by residual standard deviations, which need the variances' values. So a variance has its
    value in place of its change, with the sign of that, as in lavaan.

    Parameters
    ----------
    frame : DataFrame
        Is changed.
    fit : FimlFit
    rows : sequence of Row
        Of the frame.
    values : ndarray, shape (rows,)
        Of the parameters.
    """
    change = frame["epc"].to_numpy()
    size = np.abs(change)
    variance = np.array([row.op == "~~" and row.lhs == row.rhs for row in rows], dtype=bool)
    known = variance & ~np.array([row.exo for row in rows], dtype=bool)
    size[known] = np.abs(values[known])
    small = variance & (size < SMALL)
    size[small] = np.nan
    for column, kind in SCALES:
        scaled = np.sign(change) * standardize_rows(fit, rows, size, fit.theta, kind)
        frame[column] = np.where(small, 0.0, scaled)


def _add_power(frame: pd.DataFrame, delta: float, alpha: float, high_power: float) -> None:
    """Whether a misspecification of size delta would be noticed, and what follows (Saris et al. 2009, table 1)."""
    critical = special.chdtri(1, alpha)
    frame["delta"] = delta
    frame["ncp"] = frame["mi"] / frame["epc"] ** 2 * delta**2
    frame["power"] = 1.0 - special.chndtr(critical, 1, frame["ncp"])
    significant, sensitive = frame["mi"] > critical, frame["power"] > high_power
    large = frame["epc"].abs() > delta
    frame["decision"] = np.select(
        [frame["mi"].isna() | frame["power"].isna(), ~significant & ~sensitive, significant & ~sensitive,
         ~significant & sensitive, significant & sensitive & ~large],
        ["", "(i)", "**(m)**", "(nm)", "epc:nm"], default="*epc:m*",
    )  # fmt: skip
