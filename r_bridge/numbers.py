"""Our numbers beside lavaan's, matched by name: one row for every number that both report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fosa_sem import Moments, SemResults
from fosa_sem.data.checks import column_parts
from fosa_sem.imputation.factor_scores import ScoreMethod
from r_bridge.lavaan import LavaanFit

FloatArray = NDArray[np.float64]

KEYS = ["lhs", "op", "rhs", "group"]
COLUMNS = ["quantity", "group", "name", "ours", "lavaan", "scale"]
TABLES = (
    "parameterEstimates", "standardizedSolution", "fitMeasures", "rsquare", "nobs", "logLik", "fitted.mean",
    "fitted.cov", "sampstat.mean", "sampstat.cov", "coverage", "vcov", "free", "cases", "lavPredict", "lavPredict.ML",
    "conditional", "modindices",
)  # fmt: skip
"""What lavaan is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How far two numbers of a kind may be apart.

    Attributes
    ----------
    unit : str
        What the difference is divided by.
    tolerance : float
    reason : str
        Why not less, or not more.
    """

    unit: str
    tolerance: float
    reason: str


_TWO_OPTIMISERS = "below what any table prints, above where two optimisers stop"
_DIFFERENCES = "lavaan's information comes from differences of its gradient"
_EM = "EM closes a fixed share of the distance per step: what is left after steps of 1e-10 is up to thousands of them"

RULES = {
    "counts": Rule(unit="as it is", tolerance=0.0, reason="counted"),
    "coverage": Rule(unit="as it is", tolerance=1e-12, reason="counts over counts"),
    "log-likelihood": Rule(unit="as it is", tolerance=1e-4, reason="flat at the maximum: 1e-3 SE in each of k "
                           "parameters costs k/2 * 1e-6"),
    "estimate": Rule(unit="SE", tolerance=1e-3, reason=_TWO_OPTIMISERS),
    "fixed value": Rule(unit="relative", tolerance=1e-6, reason="no optimiser involved; EM for exogenous moments"),
    "standard error": Rule(unit="relative", tolerance=1e-3, reason=_DIFFERENCES),
    "z": Rule(unit="1 + |z|", tolerance=2e-3, reason="estimate and standard error"),
    "p-value": Rule(unit="as it is", tolerance=2e-3, reason="moves by 0.8 per unit of z at most"),
    "confidence limit": Rule(unit="SE", tolerance=3e-3, reason="estimate and 1.96 standard errors"),
    "standardised estimate": Rule(unit="max(1, |x|)", tolerance=3e-4, reason="quotients of estimates; SE about .1"),
    "standardised SE": Rule(unit="relative", tolerance=2e-3, reason="lavaan differentiates by differences"),
    "standardised z": Rule(unit="1 + |z|", tolerance=4e-3, reason="estimate and standard error"),
    "standardised p-value": Rule(unit="as it is", tolerance=3e-3, reason="moves by 0.8 per unit of z at most"),
    "standardised limit": Rule(unit="as it is", tolerance=2e-3, reason="estimate and 1.96 standard errors"),
    "explained variance": Rule(unit="as it is", tolerance=3e-4, reason="1 less a standardised residual variance"),
    "fit measure": Rule(unit="max(1, |x|)", tolerance=1e-3, reason="smooth functions of log-likelihoods and moments"),
    "parameter covariance": Rule(unit="SE x SE", tolerance=2e-3, reason=_DIFFERENCES),
    "modification index": Rule(unit="max(1, |x|)", tolerance=1e-3, reason="quotients of small gradients"),
    "expected change": Rule(unit="SE", tolerance=2e-3, reason="quotients of small gradients"),
    "implied moment": Rule(unit="SD", tolerance=1e-4, reason=_TWO_OPTIMISERS),
    "H1 moment": Rule(unit="SD", tolerance=1e-4, reason=_EM),
    "factor score": Rule(unit="root mean square", tolerance=1e-3, reason="linear in the data"),
    "conditional expectation": Rule(unit="SD", tolerance=1e-3, reason="linear in the data"),
}  # fmt: skip
"""Tolerances, each with its reason."""

_LOG_LIKELIHOODS = ("logl", "unrestricted.logl")
_COUNTS = ("npar", "df", "baseline.df", "ntotal")
_NOT_RESULTS = ("rmsea.ci.level", "rmsea.close.h0", "rmsea.notclose.h0")


def compared(results: SemResults, lavaan: LavaanFit) -> pd.DataFrame:
    """Every number that both report.

    Returns
    -------
    DataFrame
        quantity group name ours lavaan scale; differences are to be divided by ``scale``. A parameter that only one
        side has is there with NaN on the other.
    """
    pieces = [piece for collect in _COLLECTORS for piece in collect(results, lavaan)]
    table = pd.concat(pieces, ignore_index=True)
    return table[table["ours"].notna() | table["lavaan"].notna()].reset_index(drop=True)


def _piece(
    quantity: str, group: ArrayLike | str, name: ArrayLike, ours: ArrayLike, lavaan: ArrayLike, scale: ArrayLike = 1.0
) -> pd.DataFrame:
    # As arrays: rows belong together by position, whatever the indexes say.
    values = [np.atleast_1d(np.asarray(value)) for value in (quantity, group, name, ours, lavaan, scale)]
    n = len(values[3])
    columns = {c: v if len(v) == n else np.repeat(v, n) for c, v in zip(COLUMNS, values, strict=True)}
    return pd.DataFrame(columns).astype({"ours": float, "lavaan": float, "scale": float})


# ---- parameters --------------------------------------------------------------------------------------------


def aligned(ours: pd.DataFrame, lavaans: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Both tables row by row, lavaan's columns with the suffix ``_r``; what one side lacks is NaN.

    Covariances are matched in either order of their sides, definitions by their names.
    """
    both = _keyed(ours).merge(_keyed(lavaans), on=KEYS, how="outer", suffixes=("", "_r"), sort=False)
    parameter = (both["lhs"] + " " + both["op"] + " " + both["rhs"]).str.strip()
    both["name"] = both["lhs"].where(both["op"] == ":=", parameter)
    names = np.array(["", *labels], dtype=object)
    return both.assign(label_of_group=names[both["group"].to_numpy(dtype=np.intp)])


def _keyed(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.rename(columns=lambda name: name.replace(".", "_"))
    frame = frame[~frame["op"].isin(["==", "<", ">"])].copy()
    if "group" not in frame:
        frame["group"] = 1
    numbers = [str(name) for name in frame if name not in ("lhs", "op", "rhs", "label", "group")]
    frame[numbers] = frame[numbers].astype(float)  # a column of nothing but NA is logical in R
    swap = (frame["op"] == "~~") & (frame["lhs"] > frame["rhs"])
    frame.loc[swap, ["lhs", "rhs"]] = frame.loc[swap, ["rhs", "lhs"]].to_numpy()
    frame.loc[frame["op"] == ":=", "rhs"] = ""
    frame.loc[frame["op"] == ":=", "group"] = 0
    return frame


def _estimates(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    both = aligned(results.parameter_estimates(standardized=True), lavaan["parameterEstimates"], lavaan.group_labels)
    se = both["se_r"].fillna(both["se"]).fillna(0.0)
    free = se > 0

    def piece(quantity: str, column: str, rows: pd.Series, scale: ArrayLike) -> pd.DataFrame:
        part = both[rows]
        size = np.broadcast_to(np.asarray(scale, dtype=float), len(both))[rows.to_numpy()]
        return _piece(quantity, part["label_of_group"], part["name"], part[column], part[f"{column}_r"], size)

    every = pd.Series(True, index=both.index)
    return [
        piece("estimate", "est", free, se),
        piece("fixed value", "est", ~free, np.maximum(1.0, both["est_r"].abs().fillna(0.0))),
        piece("standard error", "se", every, np.maximum(se, 1e-6)),
        piece("z", "z", every, 1.0 + both["z_r"].abs().fillna(0.0)),
        piece("p-value", "pvalue", every, 1.0),
        piece("confidence limit", "ci_lower", free, se),
        piece("confidence limit", "ci_upper", free, se),
        *(
            _piece("standardised estimate", both["label_of_group"], both["name"] + f" ({kind})", both[kind],
                   both[f"{kind}_r"], np.maximum(1.0, both[f"{kind}_r"].abs().fillna(0.0)))
            for kind in ("std_lv", "std_nox")
        ),
    ]  # fmt: skip


def _standardized(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    both = aligned(results.standardized_solution(), lavaan["standardizedSolution"], lavaan.group_labels)
    # lavaan's SE of what is 1 by definition is rounding.
    scales = {
        "est_std": ("standardised estimate", np.maximum(1.0, both["est_std_r"].abs().fillna(0.0))),
        "se": ("standardised SE", np.maximum(both["se_r"].fillna(0.0), 1e-3)),
        "z": ("standardised z", 1.0 + both["z_r"].abs().fillna(0.0)),
        "pvalue": ("standardised p-value", 1.0),
        "ci_lower": ("standardised limit", 1.0),
        "ci_upper": ("standardised limit", 1.0),
    }
    rounding = both["se"].abs().lt(1e-6) & both["se_r"].abs().lt(1e-6)
    pieces = []
    for column, (quantity, scale) in scales.items():
        piece = _piece(quantity, both["label_of_group"], both["name"], both[column], both[f"{column}_r"], scale)
        pieces.append(piece[~rounding] if column in ("z", "pvalue") else piece)
    return pieces


def _parameter_covariances(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    rows = results.fit.table.free_rows()
    mine = {_unordered(r.lhs, r.op, r.rhs, r.group): i for i, r in enumerate(rows)}
    theirs = [_unordered(*row) for row in lavaan["free"][KEYS].itertuples(index=False)]
    if "vcov" not in lavaan or set(theirs) != set(mine):
        return []
    at = [mine[key] for key in theirs]
    first, second = np.tril_indices(len(at))
    names = np.array([f"{r.lhs} {r.op} {r.rhs}".strip() for r in rows], dtype=object)[at]
    cov = lavaan["vcov"].to_numpy(dtype=float)
    se = np.sqrt(np.maximum(np.diag(cov), 0.0))
    ours = results.vcov().to_numpy()[np.ix_(at, at)]
    scale = np.maximum(se[first] * se[second], 1e-12)
    return [_piece("parameter covariance", "", names[first] + ", " + names[second], ours[first, second],
                   cov[first, second], scale)]  # fmt: skip


def _unordered(lhs: str, op: str, rhs: str, group: float) -> tuple[str, str, str, int]:
    return (*((rhs, op, lhs) if op == "~~" and lhs > rhs else (lhs, op, rhs)), int(group))


# ---- the model as a whole ----------------------------------------------------------------------------------


def _counts(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    sizes = lavaan["nobs"]
    parts = [("rows used", results.nobs_by_group, sizes["nobs"]),
             ("missing-data patterns", results.npatterns_by_group, sizes["npatterns"])]  # fmt: skip
    return [_piece("counts", list(lavaan.group_labels), name, mine, theirs) for name, mine, theirs in parts
            if theirs.notna().all()]  # fmt: skip


def _fit_measures(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    mine, theirs = results.fit_measures(), lavaan["fitMeasures"]["value"]
    shared = [name for name in mine.index if name in theirs.index and name not in _NOT_RESULTS]
    kinds = dict.fromkeys(_LOG_LIKELIHOODS, "log-likelihood") | dict.fromkeys(_COUNTS, "counts")
    kind = np.array([kinds.get(name, "fit measure") for name in shared], dtype=object)
    size = np.where(kind == "fit measure", np.maximum(1.0, theirs[shared].abs().fillna(0.0)), 1.0)
    total = _piece("log-likelihood", "", "logLik()", [results.loglik], lavaan["logLik"]["value"])
    return [_piece("fit measure", "", shared, mine[shared], theirs[shared], size).assign(quantity=kind), total]


def _explained_variance(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    both = results.r_squared().merge(lavaan["rsquare"], on=["group", "variable"], how="outer", suffixes=("", "_r"))
    labels = np.array(lavaan.group_labels, dtype=object)[both["group"].to_numpy(dtype=np.intp) - 1]
    return [_piece("explained variance", labels, both["variable"], both["r2"], both["r2_r"])]


def _moments(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    return [
        *_moment_pieces("implied moment", results.implied(), lavaan, "fitted"),
        *_moment_pieces("H1 moment", results.sample_stats(), lavaan, "sampstat"),
    ]


def _moment_pieces(quantity: str, mine: Sequence[Moments], lavaan: LavaanFit, table: str) -> list[pd.DataFrame]:
    pieces = []
    for group, moments in zip(lavaan.group_labels, mine, strict=True):
        cov = _of_group(lavaan[f"{table}.cov"], group, lavaan)
        names = list(cov.columns)
        sd = np.sqrt(np.diag(cov))
        first, second = np.tril_indices(len(names))
        at = np.array(names, dtype=object)
        ours = moments.cov.reindex(index=names, columns=names).to_numpy()
        pieces.append(
            _piece(quantity, group, at[first] + " ~~ " + at[second], ours[first, second],
                   cov.to_numpy()[first, second], sd[first] * sd[second])
        )  # fmt: skip
        if moments.mean is not None and f"{table}.mean" in lavaan:
            mean = _of_group(lavaan[f"{table}.mean"], group, lavaan)["value"]
            pieces.append(_piece(quantity, group, at + " ~1", moments.mean.reindex(names), mean[names], sd))
    return pieces


def _of_group(frame: pd.DataFrame, group: str, lavaan: LavaanFit) -> pd.DataFrame:
    return cast(pd.DataFrame, frame.xs(group, level=0)) if len(lavaan.group_labels) > 1 else frame


def _modification_indices(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    if "modindices" not in lavaan or results.fit.audit.flat:
        return []
    both = aligned(results.modification_indices(), lavaan["modindices"], lavaan.group_labels)
    both = both[both["mi"].notna() & both["mi_r"].notna()]  # what is not identified is left out by either
    # (change / its SE)^2 is the index; where nothing would change, either is rounding.
    error = both["sepc_all_r"].abs() / np.sqrt(both["mi_r"].clip(lower=1e-12))
    return [
        _piece("modification index", both["label_of_group"], both["name"], both["mi"], both["mi_r"],
               np.maximum(1.0, both["mi_r"].abs())),
        _piece("expected change", both["label_of_group"], both["name"], both["sepc_all"], both["sepc_all_r"],
               np.maximum(error, 1e-6)),
    ]  # fmt: skip


def _coverage(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    if "coverage" not in lavaan:
        return []
    pieces = []
    for group, mine in zip(lavaan.group_labels, results.coverage(), strict=True):
        theirs = _of_group(lavaan["coverage"], group, lavaan)
        names = np.array(theirs.columns, dtype=object)
        first, second = np.tril_indices(len(names))
        ours = mine.loc[names, names].to_numpy()
        pieces.append(_piece("coverage", group, names[first] + ", " + names[second], ours[first, second],
                             theirs.to_numpy()[first, second]))  # fmt: skip
    return pieces


# ---- rows --------------------------------------------------------------------------------------------------


def _factor_scores(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    if not results.latent_names:
        return []
    methods: tuple[tuple[str, ScoreMethod], ...] = (("lavPredict", "regression"), ("lavPredict.ML", "bartlett"))
    return [piece for table, method in methods if table in lavaan for piece in _scores(results, lavaan, table, method)]


def _scores(results: SemResults, lavaan: LavaanFit, table: str, method: ScoreMethod) -> list[pd.DataFrame]:
    theirs, at = lavaan[table], _positions(lavaan)
    sample = results.fit.sample
    given = np.sort(np.concatenate([sample.empty, *(g.rows for g in sample.groups)]))
    mine = results.predict(method=method).set_axis(given, axis=0).reindex(at)
    pieces = []
    for factor in results.latent_names:
        values = theirs[factor].to_numpy(dtype=float)
        seen = values[~np.isnan(values)]
        size = float(np.sqrt(np.mean(np.square(seen)))) if len(seen) else 1.0
        name = "row " + _texts(theirs.index) + f", {factor}" + (" (Bartlett)" if method == "bartlett" else "")
        pieces.append(_piece("factor score", lavaan["cases"]["group"], name, mine[factor], values, size))
    return pieces


def _conditional_expectations(results: SemResults, lavaan: LavaanFit) -> list[pd.DataFrame]:
    if "conditional" not in lavaan:
        return []
    theirs = lavaan["conditional"]
    positions = _positions(lavaan)
    at = _fillable(results, positions)
    theirs, group = theirs[at], lavaan["cases"]["group"].to_numpy()[at]
    filled = results.impute(results.data.iloc[positions[at]])
    names = [name for name in filled.variables if name in theirs.columns]
    columns = [filled.variables.index(name) for name in names]
    row, column = np.nonzero(~filled.observed[:, columns])
    variances = [np.diag(moments.cov.loc[names, names]) for moments in results.implied()]
    name = "row " + _texts(theirs.index)[row] + ", " + np.array(names, dtype=object)[column]
    return [
        _piece("conditional expectation", group[row], name,
               filled.values[:, columns][row, column], theirs[names].to_numpy(dtype=float)[row, column],
               np.sqrt(np.max(variances, axis=0))[column])
    ]  # fmt: skip


def _fillable(results: SemResults, at: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Rows that we fill: where exogenous variables are fixed, those that have them all."""
    table = results.fit.table
    if not table.fixed_x or not table.names.observed_x:
        return np.ones(len(at), dtype=bool)
    parts = dict.fromkeys(part for name in table.names.observed_x for part in column_parts(results.data, name))
    return results.data[list(parts)].iloc[at].notna().all(axis=1).to_numpy()


def _positions(lavaan: LavaanFit) -> NDArray[np.intp]:
    """Where the rows that lavaan used stand in the data."""
    return lavaan["cases"]["row"].to_numpy(dtype=np.intp) - 1


def _texts(index: pd.Index) -> NDArray[np.object_]:
    return np.array([str(label) for label in index], dtype=object)


_COLLECTORS: tuple[Callable[[SemResults, LavaanFit], list[pd.DataFrame]], ...] = (
    _counts, _fit_measures, _estimates, _standardized, _explained_variance, _parameter_covariances, _moments,
    _modification_indices, _coverage, _factor_scores, _conditional_expectations,
)  # fmt: skip
