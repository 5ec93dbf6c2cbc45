"""Bootstrap standard errors and confidence intervals (lavaan: ``se = "bootstrap"``, ``bootstrapLavaan()``)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from fosa_sem.errors import FosaWarning, InferenceWarning, OptionError
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.extension import check_tests_given
from fosa_sem.inference.fit import FimlFit, evaluate_fit
from fosa_sem.inference.resampling import BootstrapType, Draws, resample
from fosa_sem.model.labels import label_values, row_jacobian, row_values

FloatArray = NDArray[np.float64]
IntervalType = Literal["perc", "norm", "basic", "bca.simple", "bca"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Bootstrap draws of the free parameters, or of a statistic.

    Attributes
    ----------
    names : tuple of str, length s
    estimate : ndarray, shape (s,)
        At the data themselves.
    draws : Draws
    sizes : tuple of int
        Rows per group.
    """

    names: tuple[str, ...]
    estimate: FloatArray
    draws: Draws
    sizes: tuple[int, ...]

    @property
    def n_failed(self) -> int:
        """Draws that failed and are left out."""
        return int(self.draws.failed.sum())

    @property
    def n_improper(self) -> int:
        """Draws with inadmissible solutions, which are kept."""
        return int(self.draws.improper.sum())

    def to_frame(self) -> pd.DataFrame:
        """The draws, one per row; NaN for failed ones."""
        return pd.DataFrame(self.draws.values, columns=list(self.names))

    @property
    def bias(self) -> pd.Series:
        """Mean of the draws less the estimate."""
        return pd.Series(self.draws.successful.mean(axis=0) - self.estimate, index=list(self.names), name="bias")

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the draws, divided by their number as in lavaan."""
        return pd.DataFrame(self.draws.covariance(), index=list(self.names), columns=list(self.names))

    @property
    def se(self) -> pd.Series:
        """Standard errors."""
        return pd.Series(np.sqrt(np.diag(self.draws.covariance())), index=list(self.names), name="se")

    def conf_int(self, type: IntervalType = "perc", level: float = 0.95) -> pd.DataFrame:
        """Confidence limits, columns lower and upper.

        Parameters
        ----------
        type : {"perc", "norm", "basic", "bca.simple", "bca"}, default "perc"
            As lavaan's ``boot.ci.type``; "bca" needs more draws than rows.
        level : float, default 0.95
        """
        limits = intervals(self.draws, self.draws.successful, self.estimate, type, level, self.sizes)
        return pd.DataFrame(limits, index=list(self.names), columns=["lower", "upper"])

    def summary(self, type: IntervalType = "perc", level: float = 0.95) -> str:
        """Estimates, bias, standard errors and intervals as text."""
        frame = pd.DataFrame({"est": self.estimate, "bias": self.bias, "se": self.se}, index=list(self.names))
        counts = f"{len(self.draws.failed)} draws, {self.n_failed} failed, {self.n_improper} inadmissible"
        table = frame.join(self.conf_int(type, level)).to_string(float_format=lambda value: f"{value:.3f}")
        return f"Bootstrap ({self.draws.kind}): {counts}; {100 * level:g}% intervals of type {type!r}\n\n{table}"


def bootstrap_fit(
    fit: FimlFit, *, n: int = 1000, seed: int = 0, type: BootstrapType = "ordinary",
    statistic: Callable[[FimlFit], Any] | None = None, n_jobs: int = 1, verbose: bool | None = None,
) -> Bootstrap:  # fmt: skip
    """Refit a model to resamples of its rows.

    Parameters
    ----------
    fit : FimlFit
    n, seed, type, n_jobs, verbose
        See `fosa_sem.bootstrap`.
    statistic : callable, optional
        From a `FimlFit` to a number, a sequence, a mapping or a Series of numbers; the free parameters by default.

    Raises
    ------
    OptionError
        Also for a statistic that is not made of finite numbers at the fit itself.
    ConvergenceError
        If more than half of the draws fail.
    """
    check_tests_given(fit)
    sizes = tuple(len(g.rows) for g in fit.sample.groups)
    if statistic is None:
        names, estimate = tuple(fit.table.free_names()), fit.theta
    else:
        names, estimate = _named(statistic(fit))
    draws = resample(
        fit.problem, fit.theta, fit.resolved, n=n, seed=seed, kind=type, n_jobs=n_jobs, verbose=verbose,
        statistic=None if statistic is None else _OfFit(fit=fit, statistic=statistic, size=len(estimate)),
    )  # fmt: skip
    return Bootstrap(names=names, estimate=estimate, draws=draws, sizes=sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfFit:
    """A statistic of a whole fit, at a draw."""

    fit: FimlFit
    statistic: Callable[[FimlFit], Any]
    size: int

    def __call__(self, problem: FitProblem, theta: FloatArray) -> FloatArray:
        # Standard errors by bootstrap within a bootstrap would never end.
        options = self.fit.options if self.fit.resolved.se != "bootstrap" else replace(self.fit.options, se=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FosaWarning)
            value = _numbers(self.statistic(evaluate_fit(self.fit.model, problem, theta, options)))
        return value if len(value) == self.size else np.full(self.size, math.nan)


def _named(value: Any) -> tuple[tuple[str, ...], FloatArray]:
    numbers = _numbers(value)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise OptionError("statistic must give finite numbers at the fit itself")
    labelled = isinstance(value, pd.Series | Mapping)
    keys = list(value.keys()) if labelled else range(1, len(numbers) + 1)
    return tuple(str(key) if labelled else f"t{key}" for key in keys), numbers


def _numbers(value: Any) -> FloatArray:
    plain = list(value.values()) if isinstance(value, Mapping) else value
    try:
        return np.atleast_1d(np.asarray(plain, dtype=float)).ravel()
    except (TypeError, ValueError) as error:
        raise OptionError(f"statistic must give numbers, got {type(value).__name__}") from error


def defined_draws(fit: FimlFit, thetas: FloatArray) -> FloatArray:
    """Values of the ``:=`` parameters at draws of theta, shape (draws, definitions)."""
    names = [d.lhs for d in fit.table.definitions]
    jacobian = row_jacobian(fit.table)
    values = [label_values(fit.table, row_values(fit.table, theta), jacobian) for theta in thetas] if names else []
    return np.array([[known[name].value for name in names] for known in values]).reshape(len(thetas), len(names))


def row_intervals(
    fit: FimlFit, estimate: FloatArray, kind: IntervalType, level: float
) -> tuple[FloatArray, FloatArray]:
    """Limits and standard errors of the rows of `parameter_estimates` from the draws of a fit.

    Parameters
    ----------
    fit : FimlFit
        With draws.
    estimate : ndarray, shape (rows,)
        Of all rows, definitions last.
    kind, level
        See `intervals`.

    Returns
    -------
    limits : ndarray, shape (rows, 2)
        Those of fixed parameters are their values.
    se : ndarray, shape (definitions,)
        Of the definitions, divided by the number of draws less 1, as in lavaan.
    """
    assert fit.draws is not None
    thetas = fit.draws.successful
    defined = defined_draws(fit, thetas)
    n_rows = len(fit.table.rows)
    places = [i for i, row in enumerate(fit.table.rows) if row.free]
    index = [*places, *range(n_rows, len(estimate))]
    of_definitions = np.std(defined, axis=0, ddof=1)
    center = spread = None
    if kind == "norm":  # lavaan takes definitions at the mean of the draws
        center = np.concatenate([thetas.mean(axis=0), defined_draws(fit, thetas.mean(axis=0)[None])[0]])
        spread = np.concatenate([thetas.std(axis=0), of_definitions])
    sizes = [len(g.rows) for g in fit.sample.groups]
    limits = np.column_stack([estimate, estimate])
    limits[index] = intervals(
        fit.draws, np.hstack([thetas, defined]), estimate[index], kind, level, sizes, center=center, spread=spread
    )
    return limits, of_definitions


def intervals(
    draws: Draws, values: FloatArray, estimate: FloatArray, kind: IntervalType, level: float, sizes: Sequence[int],
    *, center: FloatArray | None = None, spread: FloatArray | None = None,
) -> FloatArray:  # fmt: skip
    """Bootstrap confidence limits (Davison & Hinkley 1997, chapter 5), shape (s, 2).

    Parameters
    ----------
    draws : Draws
        Where the values come from.
    values : ndarray, shape (successful draws, s)
    estimate : ndarray, shape (s,)
    kind : {"perc", "norm", "basic", "bca.simple", "bca"}
        Percentile, normal with the bias taken off, basic, and percentile with corrections for bias ("bca.simple") and
        acceleration ("bca").
    level : float
    sizes : sequence of int
        Rows per group.
    center, spread : ndarray, shape (s,), optional
        For "norm"; mean and standard deviation of the values by default.

    Raises
    ------
    OptionError
        For an unknown kind or a level outside 0 to 1, and for "bca" with no more draws than rows.
    """
    if kind not in get_args(IntervalType):
        raise OptionError(f"the type of bootstrap intervals must be one of {', '.join(get_args(IntervalType))}")
    if not 0.0 < level < 1.0:
        raise OptionError(f"level must lie between 0 and 1, got {level!r}")
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    if kind == "norm":
        middle = 2.0 * estimate - (values.mean(axis=0) if center is None else center)
        width = values.std(axis=0) if spread is None else spread
        return np.asarray(middle[:, None] + width[:, None] * special.ndtri(tails))
    if kind == "basic":
        mirrored = np.array([_quantiles(column, tails[::-1]) for column in values.T]).reshape(-1, 2)
        return np.asarray(2.0 * estimate[:, None] - mirrored)
    acceleration = _acceleration(draws, values, sizes) if kind == "bca" else np.zeros(len(estimate))
    found = []
    for column, at, speed in zip(values.T, estimate, acceleration, strict=True):
        shares = tails if kind == "perc" else _corrected(tails, column, float(at), float(speed))
        constant = kind != "perc" and np.ptp(column) == 0.0
        found.append(np.array([at, at]) if constant else _quantiles(column, shares))
    return np.array(found).reshape(-1, 2)


def _corrected(tails: FloatArray, column: FloatArray, estimate: float, acceleration: float) -> FloatArray:
    """Shares of the draws that lie below the limits (Efron 1987)."""
    bias = special.ndtri(np.mean(column < estimate))
    moved = bias + special.ndtri(tails)
    return np.asarray(special.ndtr(bias + moved / (1.0 - acceleration * moved)))


def _acceleration(draws: Draws, values: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """A sixth of the skewness of the rows' influence, from a regression of the draws on the counts of the rows."""
    if draws.kind != "ordinary":
        raise OptionError("intervals of type 'bca' need draws of rows (type='ordinary')")
    if len(values) <= sum(sizes):
        raise OptionError(
            f"intervals of type 'bca' need more successful draws ({len(values)}) than rows ({sum(sizes)}); "
            "take more, or type 'bca.simple'"
        )
    counts = draws.counts(sizes)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    others = np.setdiff1d(np.arange(counts.shape[1]), first)
    design = np.column_stack([np.ones(len(counts)), counts[:, others]])
    influence = np.zeros((counts.shape[1], values.shape[1]))
    influence[others] = np.linalg.lstsq(design, values, rcond=None)[0][1:]
    influence -= influence.mean(axis=0)
    return np.asarray((influence**3).sum(axis=0) / (6.0 * (influence**2).sum(axis=0) ** 1.5))


def _quantiles(column: FloatArray, shares: FloatArray) -> FloatArray:
    """Order statistics, interpolated on the normal scale (Davison & Hinkley 1997, eq. 5.8; R: ``boot::boot.ci``)."""
    values = np.sort(column)
    n = len(values)
    rank = (n + 1) * shares
    if np.isnan(rank).any():
        return np.full(2, math.nan)
    if not ((rank > 1) & (rank < n)).all():
        warnings.warn("too few bootstrap draws: the extreme ones are the limits", InferenceWarning, stacklevel=2)
    below = np.trunc(rank).astype(int)
    low, high = values[np.clip(below - 1, 0, n - 1)], values[np.clip(below, 0, n - 1)]
    inner = (below > 0) & (below < n)
    around = np.where(inner, below, 1)
    start, end = special.ndtri(around / (n + 1)), special.ndtri((around + 1) / (n + 1))
    share = (special.ndtri(np.clip(shares, 1e-300, 1 - 1e-16)) - start) / (end - start)
    exact = (rank == below) | ~inner
    return np.asarray(np.where(exact, np.where(below == 0, high, low), low + share * (high - low)))
