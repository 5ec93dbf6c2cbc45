"""Comparison of nested models by the difference of their chi-square statistics (lavaan: ``lavTestLRT()``)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import InferenceWarning, OptionError
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.fit_measures import likelihood_measures, scaling_factor
from fosa_sem.inference.indices import rmsea, upper_tail
from fosa_sem.inference.options import InformationOptions
from fosa_sem.inference.scaled_tests import scaling_given
from fosa_sem.inference.tested import information_about_theta, pull_back, tested_model
from fosa_sem.model.scaling import inverse_on
from fosa_sem.syntax.table import Row

FloatArray = NDArray[np.float64]
Method = Literal["default", "standard", "satorra.bentler.2001", "satorra.bentler.2010", "satorra.2000"]
Directions = Literal["delta", "exact"]

ROUNDING = float(np.finfo(float).eps ** (1 / 3))
"""How far chi-square may fall with more degrees of freedom before lavaan warns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a model costs against the less restricted one before it.

    Attributes
    ----------
    chisq : float
        Difference, scaled if ``factor`` or ``shift`` says so.
    df : int
    pvalue : float
    rmsea : float
        Of the difference; NaN for scaled ones.
    factor : float
        By which the plain difference was divided; NaN where none was.
    shift : float
        Added after the division (Satorra 2000 with the shift of Asparouhov & Muthen 2010), else 0.
    """

    chisq: float
    df: int
    pvalue: float
    rmsea: float = math.nan
    factor: float = math.nan
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Models in the order of their degrees of freedom, each with the step to it.

    Attributes
    ----------
    names : tuple of str
    df : tuple of int
    aic, bic, chisq : tuple of float
        Chi-square is the standard one, from which also scaled differences start.
    steps : tuple of Step or None
        None for the first model.
    method : str
        Of the differences: "standard" or one of the scaled ones.
    """

    names: tuple[str, ...]
    df: tuple[int, ...]
    aic: tuple[float, ...]
    bic: tuple[float, ...]
    chisq: tuple[float, ...]
    steps: tuple[Step | None, ...]
    method: str

    def to_frame(self) -> pd.DataFrame:
        """lavaan's table: df aic bic chisq chisq_diff rmsea df_diff pvalue (no rmsea for scaled differences)."""
        values = [s or Step(chisq=math.nan, df=0, pvalue=math.nan) for s in self.steps]
        frame = pd.DataFrame(
            {
                "df": self.df, "aic": self.aic, "bic": self.bic, "chisq": self.chisq,
                "chisq_diff": [v.chisq for v in values], "rmsea": [v.rmsea for v in values],
                "df_diff": [math.nan if s is None else float(s.df) for s in self.steps],
                "pvalue": [v.pvalue for v in values],
            },
            index=pd.Index(self.names, name="model"),
        )  # fmt: skip
        return frame.drop(columns="rmsea") if frame["rmsea"].isna().all() else frame

    def summary(self) -> str:
        """The table as text."""
        frame = self.to_frame()
        digits = {"df": 0, "aic": 1, "bic": 1, "df_diff": 0, "pvalue": 4}
        shown = frame.apply(lambda column: [_shown(value, digits.get(str(column.name), 3)) for value in column])
        title = "Chi-Squared Difference Test"
        if self.method == "standard":
            return f"{title}\n\n{shown.to_string()}"
        note = (
            "The chisq column holds standard statistics; the scaled difference is computed from these, not from the\n"
            "scaled statistics of the models."
        )
        return f"Scaled {title} (method = {self.method})\n\n{shown.to_string()}\n\n{note}"


def _shown(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def compare_fits(
    fits: Sequence[FimlFit], names: Sequence[str], method: Method = "default", directions: Directions = "delta"
) -> Comparison:
    """Chi-square differences of models, from the least to the most restricted.

    Parameters
    ----------
    fits : sequence of FimlFit
        Nested; in any order. One alone is compared with the saturated model.
    names : sequence of str
    method : str
        See `fosa_sem.lrt`.
    directions : {"delta", "exact"}
        How "satorra.2000" finds what the more restricted model leaves open of the other: by the slopes of both
        models' moments, or by parameters of the same name.

    Raises
    ------
    OptionError
        For fits without tests, and for fits that cannot be compared.

    Warns
    -----
    InferenceWarning
        See `fosa_sem.lrt`.
    """
    if method not in get_args(Method):
        raise OptionError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    if directions not in get_args(Directions):
        raise OptionError(f"a_method must be one of {', '.join(get_args(Directions))}, got {directions!r}")
    if not fits or len(names) != len(fits):
        raise OptionError(f"there must be one name per fit, got {len(names)} names for {len(fits)} fits")
    for fit, name in zip(fits, names, strict=True):
        if not fit.has_test:
            raise OptionError(f"{name} has no chi-square: its saturated model does not exist, or test='none' was asked")
    if len(fits) == 1:
        return _against_saturated(fits[0], names[0])
    _check_comparable(fits, names)
    method = _resolved(method, fits[0])
    if method == "satorra.2000" and fits[0].resolved.missing != "listwise":
        raise OptionError("method='satorra.2000' needs complete rows: use 'satorra.bentler.2001' or '.2010' here")
    order = sorted(range(len(fits)), key=lambda i: fits[i].df)
    models = [fits[i] for i in order]
    _warn_of_misfit(models)
    steps = [_step(free, held, method, directions) for free, held in pairwise(models)]
    if any(step.df == 0 for step in steps):
        _say("some models have the same degrees of freedom: there is nothing to test between them")
    return _comparison(models, [names[i] for i in order], [None, *steps], method)


def _comparison(
    models: Sequence[FimlFit], names: Sequence[str], steps: Sequence[Step | None], method: str
) -> Comparison:
    likelihoods = [likelihood_measures(fit) for fit in models]
    return Comparison(
        names=tuple(names), df=tuple(fit.df for fit in models), aic=tuple(m["aic"] for m in likelihoods),
        bic=tuple(m["bic"] for m in likelihoods), chisq=tuple(fit.chisq for fit in models), steps=tuple(steps),
        method=method,
    )  # fmt: skip


def _against_saturated(fit: FimlFit, name: str) -> Comparison:
    """One model: its own test, the scaled one if there is one."""
    scaled = fit.resolved.scaled_test is not None and fit.df > 0
    factor = scaling_factor(fit.scaling, fit.df) if scaled else 1.0
    chisq = fit.chisq / factor
    likelihood = likelihood_measures(fit)
    return Comparison(
        names=("saturated", name), df=(0, fit.df), aic=(math.nan, likelihood["aic"]),
        bic=(math.nan, likelihood["bic"]), chisq=(0.0, chisq), method=fit.resolved.test,
        steps=(None, Step(chisq=chisq, df=fit.df, pvalue=upper_tail(chisq, fit.df))),
    )  # fmt: skip


def _check_comparable(fits: Sequence[FimlFit], names: Sequence[str]) -> None:
    first = fits[0]
    for fit, name in zip(fits[1:], names[1:], strict=True):
        pair = f"{names[0]} and {name}"
        if (first.resolved.missing, first.resolved.likelihood) != (fit.resolved.missing, fit.resolved.likelihood):
            raise OptionError(f"{pair} were not fitted to the same likelihood: missing or likelihood differ")
        if first.resolved.test != fit.resolved.test:
            raise OptionError(
                f"{pair} have different tests ({first.resolved.test}, {fit.resolved.test}); fit both with the same "
                "estimator and test"
            )
        if first.table.meanstructure != fit.table.meanstructure:
            raise OptionError(f"{pair}: only one of them has a mean structure")
        if set(first.sample.variables) != set(fit.sample.variables):
            _say(f"{pair} are models of different observed variables, so they are not nested")
        if not _same_rows(first, fit):
            raise OptionError(f"{pair} were not fitted to the same rows of the same data")


def _same_rows(one: FimlFit, other: FimlFit) -> bool:
    groups = (one.sample.groups, other.sample.groups)
    if [len(g.rows) for g in groups[0]] != [len(g.rows) for g in groups[1]]:
        return False
    shared = [name for name in one.sample.variables if name in other.sample.variables]
    at = [[fit.sample.variables.index(name) for name in shared] for fit in (one, other)]
    return all(
        a.label == b.label and np.array_equal(a.values[:, at[0]], b.values[:, at[1]], equal_nan=True)
        for a, b in zip(*groups, strict=True)
    )


def _resolved(method: Method, fit: FimlFit) -> Method:
    scaled = fit.resolved.scaled_test is not None
    if method == "default":
        return "satorra.bentler.2001" if scaled else "standard"
    if method == "standard" and scaled:
        raise OptionError("these fits have scaled tests, whose difference needs a scaled method")
    if method != "standard" and not scaled:
        _say(f"method={method!r} needs fits with a scaled test (such as estimator='MLR'); the standard one is used")
        return "standard"
    return method


def _warn_of_misfit(models: Sequence[FimlFit]) -> None:
    if not all(fit.audit.maximum for fit in models):
        _say("not all fits are certified maxima of their likelihoods")
    smallest = min(held.chisq - free.chisq for free, held in pairwise(models))
    if smallest < -ROUNDING:
        _say(
            f"a restricted model fits better than a less restricted one (difference {smallest:.4g}): they are not "
            "nested, or one of the fits is not the global maximum"
        )


def _step(free: FimlFit, held: FimlFit, method: Method, directions: Directions) -> Step:
    difference, df = held.chisq - free.chisq, held.df - free.df
    if method == "standard":
        of_step = rmsea(difference, df, free.sample.n_used, len(free.n_rows))
        return Step(chisq=difference, df=df, pvalue=upper_tail(difference, df), rmsea=of_step)
    if df == 0:
        return Step(chisq=difference, df=df, pvalue=math.nan)
    if method == "satorra.2000":
        trace, of_square = _traces(free, _difference_of_inverses(free, held, directions))
        scale = math.sqrt(df / of_square)
        shift = df - scale * trace
        scaled = scale * difference + shift
        return Step(chisq=scaled, df=df, pvalue=upper_tail(scaled, df), factor=1.0 / scale, shift=shift)
    before = free.scaling.trace if method == "satorra.bentler.2001" else _trace_at(free, held)
    factor = (_trace(held.scaling.trace, held.df) - _trace(before, free.df)) / df
    if not factor > 0.0:
        remedy = "; try method='satorra.bentler.2010'" if method == "satorra.bentler.2001" else ""
        _say(f"the scaling factor of a difference is {factor:.3g}, not positive, so that it has no test{remedy}")
        factor = math.nan
    scaled = difference / factor
    return Step(chisq=scaled, df=df, pvalue=upper_tail(scaled, df), factor=factor)


def _trace(trace: float, df: int) -> float:
    """As lavaan, which knows no negative scaling factor, and takes 1 where there are no degrees of freedom."""
    return 0.0 if df == 0 else trace if trace >= 0 else math.nan


def _matches(free: FimlFit, held: FimlFit) -> list[int | None]:
    """Where the free parameters of one model stand in the table of another."""
    at = {(r.lhs, r.op, r.rhs, r.group): i for i, r in enumerate(held.table.rows)}
    return [at.get(_key(row)) for row in free.table.free_rows()]


def _key(row: Row) -> tuple[str, str, str, int]:
    return row.lhs, row.op, row.rhs, row.group


def _trace_at(free: FimlFit, held: FimlFit) -> float:
    """Trace of the less restricted model's test at the estimates of the other (Satorra & Bentler 2010)."""
    if free.df == 0:
        return 0.0
    values = held.estimates().astype(float)
    theta = np.array([0.0 if i is None else values[i] for i in _matches(free, held)])
    try:
        model = tested_model(free.problem, theta)
        information = information_about_theta(free.problem, model, free.resolved.test_information)
        # away from its own maximum the information of the less restricted model may be indefinite
        inverse = model.basis @ np.linalg.inv(model.basis.T @ information @ model.basis) @ model.basis.T
    except np.linalg.LinAlgError:
        return math.nan
    return scaling_given(free.problem, model, free.saturated, free.resolved, inverse).trace


def _difference_of_inverses(free: FimlFit, held: FimlFit, directions: Directions) -> FloatArray:
    """Inverse information of the less restricted model, less that in the directions that the other leaves open."""
    if directions == "exact":
        rows = held.table.rows
        index = [None if i is None or not rows[i].free else rows[i].free - 1 for i in _matches(free, held)]
        lying = np.array([np.zeros(held.tested.basis.shape[1]) if i is None else held.tested.basis[i] for i in index])
    else:
        own = np.vstack(free.tested.slopes) @ free.tested.basis
        others = np.vstack(held.tested.slopes) @ held.tested.basis
        lying = free.tested.basis @ np.linalg.lstsq(own, others, rcond=None)[0]
    whole, part = free.tested.inverse(free.information), inverse_on(lying, free.information)
    if whole is None or part is None:
        raise OptionError(
            "method='satorra.2000' needs regular information and nested models"
            + (", in which every parameter that the restricted one has is free in the other" * (directions == "exact"))
        )
    return whole - part


def _traces(free: FimlFit, kernel: FloatArray) -> tuple[float, float]:
    """Traces of U Gamma and of its square, with U = W D K D' W over all groups (Satorra 2000)."""
    expected = InformationOptions(kind="expected", observed="h1", moments=free.resolved.information.moments)
    weights = free.saturated.weights(expected, free.tested.moments)
    gammas = free.saturated.moment_covariance("expected")
    inner = [w @ g @ w for w, g in zip(weights, gammas, strict=True)]
    product = pull_back(free.tested, inner) @ kernel
    return float(np.trace(product)), float(np.trace(product @ product))


def _say(message: str) -> None:
    warnings.warn(message, InferenceWarning, stacklevel=2)
