"""The model zoo: every kind of model, with simulated data that have holes; property tests run over all."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import fosa_sem
from fosa_sem import SemResults
from fosa_sem.errors import AdmissibilityWarning
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.fiml.start import starting_values
from fosa_sem.inference.fit import assemble
from fosa_sem.inference.options import fit_options
from fosa_sem.syntax.parser import parse_model


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """A model and the population that its data come from.

    Attributes
    ----------
    name, model, func, options
        What is fitted and how.
    effects : mapping
        Variable to its causes with their coefficients; disturbances have variance 1 unless ``variance`` says.
    columns : tuple of str
        Observed variables.
    complete : tuple of str
        Columns without holes.
    npar, df : int
        Counted by hand.
    holes : float
        Share of the cells that are missing completely at random.
    forms : tuple of tuple of str
        Planned missingness: the columns that are left out of each questionnaire form; rows take turns.
    units : mapping
        Column to the size of its unit.
    unit_free, location_free : bool
        The model is the same for any units (origins) of single columns; those of all may always change.
    edge : bool
        The estimate is improper or lies on the boundary of its constraints: it is returned with a warning.
    """

    name: str
    model: str
    effects: Mapping[str, Mapping[str, float]]
    columns: tuple[str, ...]
    npar: int
    df: int
    func: str = "sem"
    options: Mapping[str, Any] = field(default_factory=dict)
    variance: Mapping[str, float] = field(default_factory=dict)
    complete: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    n: int = 250
    holes: float = 0.12
    forms: tuple[tuple[str, ...], ...] = ()
    units: Mapping[str, float] = field(default_factory=dict)
    unit_free: bool = True
    location_free: bool = True
    edge: bool = False

    def data(self, seed: int = 1) -> pd.DataFrame:
        """Simulated table with missing cells; every row keeps at least one value."""
        rng = np.random.default_rng(seed)
        names = list(dict.fromkeys([*self.effects, *(c for causes in self.effects.values() for c in causes)]))
        at = {name: i for i, name in enumerate(names)}
        A = np.zeros((len(names), len(names)))
        for effect, causes in self.effects.items():
            for cause, coefficient in causes.items():
                A[at[effect], at[cause]] = coefficient
        sd = np.sqrt([self.variance.get(name, 1.0) for name in names])
        errors = sd * rng.standard_normal((self.n, len(names)))
        values = np.linalg.solve(np.eye(len(names)) - A, errors.T).T[:, [at[c] for c in self.columns]]
        values = values + (0.5 * np.arange(len(self.columns)) if self.location_free else 0.0)
        values = values * [self.units.get(c, 1.0) for c in self.columns]
        holes = rng.random(values.shape) < self.holes
        for i, form in enumerate(self.forms):
            holes[i :: len(self.forms), [self.columns.index(c) for c in form]] = True
        holes[:, [self.columns.index(c) for c in self.complete]] = False
        holes[np.arange(self.n), rng.integers(0, len(self.columns), self.n)] = False
        frame = pd.DataFrame(np.where(holes, np.nan, values), columns=list(self.columns))
        if self.groups:
            frame["school"] = np.array(self.groups)[np.arange(self.n) % len(self.groups)]
        return frame

    def fit(self, data: pd.DataFrame, **further: Any) -> SemResults:
        """Fit the model to a table."""
        with warnings.catch_warnings():
            if self.edge:
                warnings.simplefilter("ignore", AdmissibilityWarning)
            results: SemResults = getattr(fosa_sem, self.func)(self.model, data, **self.options, **further)
        return results

    def problem(self, seed: int = 1) -> FitProblem:
        """The likelihood of the model on its data."""
        options = fit_options(self.func, dict(self.options))  # type: ignore[arg-type]
        return assemble(parse_model(self.model), self.data(seed), options)

    def theta(self, problem: FitProblem, seed: int) -> np.ndarray:
        """A generic admissible point: the starting values, moved away from their zeros."""
        rng = np.random.default_rng(seed)
        start = starting_values(problem)
        information = np.diag(problem.complete_information(start)) / problem.sample.n_used
        for shrink in (1.0, 0.5, 0.25, 0.1):
            theta = start + shrink * 0.2 * rng.standard_normal(len(start)) / np.sqrt(information)
            if np.isfinite(problem.value_and_gradient(theta)[0]):
                return theta
        raise AssertionError(f"no admissible point near the start of {self.name}")


def _columns(*stems: str) -> tuple[str, ...]:
    """("x:3", "y:2") -> x1 x2 x3 y1 y2."""
    parts = [stem.split(":") for stem in stems]
    return tuple(f"{stem}{i}" for stem, count in parts for i in range(1, int(count) + 1))


def _measured(**factors: str) -> dict[str, dict[str, float]]:
    """Loadings .8 to 1 of the indicators of each factor."""
    effects: dict[str, dict[str, float]] = {}
    for factor, indicators in factors.items():
        for i, indicator in enumerate(indicators.split()):
            effects.setdefault(indicator, {})[factor] = 1.2 - 0.1 * i
    return effects


TWO_FACTORS = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\n"
TWO_EFFECTS = _measured(f="x1 x2 x3", g="x4 x5 x6")

ZOO = (
    ZooModel(
        name="cfa", func="cfa", model=TWO_FACTORS, effects={**TWO_EFFECTS, "g": {"f": 0.5}},
        columns=_columns("x:6"), npar=19, df=8,
    ),
    ZooModel(
        name="cfa_std_lv", func="cfa", model=TWO_FACTORS, options={"std_lv": True},
        effects={**TWO_EFFECTS, "x2": {"f": -0.9}, "g": {"f": 0.5}}, columns=_columns("x:6"), npar=19, df=8,
    ),
    ZooModel(
        name="sem_labels",
        model="""
            ind =~ x1 + x2 + x3
            d60 =~ y1 + a*y2 + b*y3
            d65 =~ y4 + a*y5 + b*y6
            d60 ~ ind
            d65 ~ ind + d60
            y1 ~~ y4
        """,
        effects={
            **_measured(ind="x1 x2 x3", d60="y1 y2 y3", d65="y4 y5 y6"),
            "d60": {"ind": 0.8}, "d65": {"ind": 0.4, "d60": 0.6},
        },
        columns=_columns("x:3", "y:6"), npar=29, df=25, unit_free=False,
    ),
    ZooModel(
        name="path_fixed_x", model="m ~ x1 + x2\ny ~ m + x1",
        effects={"m": {"x1": 0.5, "x2": -0.3}, "y": {"m": 0.6, "x1": 0.2}, "x2": {"x1": 0.5}},
        columns=("m", "y", "x1", "x2"), complete=("x1", "x2"), npar=8, df=1,
    ),
    ZooModel(
        name="path_free_x", model="m ~ x1 + x2\ny ~ m + x1", options={"fixed_x": False},
        effects={"m": {"x1": 0.5, "x2": -0.3}, "y": {"m": 0.6, "x1": 0.2}, "x2": {"x1": 0.5}},
        columns=("m", "y", "x1", "x2"), npar=13, df=1,
    ),
    ZooModel(
        name="mimic", model="f =~ y1 + y2 + y3 + y4\nf ~ x1 + x2",
        effects={**_measured(f="y1 y2 y3 y4"), "f": {"x1": 0.5, "x2": 0.4}, "x2": {"x1": 0.3}},
        columns=_columns("y:4", "x:2"), complete=("x1", "x2"), npar=14, df=8,
    ),
    ZooModel(
        name="second_order", func="cfa",
        model="a =~ x1 + x2 + x3\nb =~ x4 + x5 + x6\nc =~ x7 + x8 + x9\ng =~ a + b + c",
        effects={
            **_measured(a="x1 x2 x3", b="x4 x5 x6", c="x7 x8 x9"),
            "a": {"g": 1.0}, "b": {"g": 0.9}, "c": {"g": 1.1},
        },
        columns=_columns("x:9"), npar=30, df=24,
    ),
    ZooModel(
        name="bifactor", func="cfa", options={"orthogonal": True, "std_lv": True}, n=400,
        model="g =~ x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8\ns =~ x1 + x2 + x3 + x4\nt =~ x5 + x6 + x7 + x8",
        effects={
            f"x{i}": {"g": 1.3 - 0.1 * i, "s" if i < 5 else "t": (0.5, 1.0, 0.8, 1.1)[i % 4]}
            for i in range(1, 9)
        },
        columns=_columns("x:8"), npar=32, df=12,
    ),
    ZooModel(
        name="growth", func="growth", options={"fixed_x": False}, unit_free=False, location_free=False,
        model="i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4\ni ~ x1\ns ~ x1\nx1 ~ 1",
        effects={
            **{f"t{k + 1}": {"i": 1.0, "s": float(k)} for k in range(4)}, "i": {"x1": 0.5}, "s": {"x1": 0.3},
        },
        columns=_columns("t:4", "x:1"), npar=13, df=7,
    ),
    ZooModel(
        name="mediation", model="m ~ a*x1\ny ~ b*m + c*x1\nindirect := a*b\nshare := a*b/(a*b + c)",
        effects={"m": {"x1": 0.5}, "y": {"m": 0.6, "x1": 0.3}},
        columns=("m", "y", "x1"), complete=("x1",), npar=7, df=0,
    ),
    ZooModel(
        name="single_indicator", model="a =~ x1\nb =~ y1 + y2 + y3\nb ~ a",
        effects={**_measured(b="y1 y2 y3"), "x1": {"a": 1.0}, "b": {"a": 0.6}},
        columns=("x1", "y1", "y2", "y3"), npar=12, df=2,
    ),
    ZooModel(
        name="correlated_residuals", func="cfa", model=TWO_FACTORS + "x1 ~~ x4\nx2 ~~ x5",
        effects={**TWO_EFFECTS, "g": {"f": 0.5}, "x1": {"f": 1.2, "u": 0.5}, "x4": {"g": 1.2, "u": 0.5}},
        columns=_columns("x:6"), npar=21, df=6,
    ),
    ZooModel(
        name="non_recursive", model="y1 ~ y2 + x1\ny2 ~ y1 + x2\ny1 ~~ y2", n=400,
        effects={"y1": {"y2": 0.3, "x1": 0.8}, "y2": {"y1": 0.2, "x2": 0.8}, "x2": {"x1": 0.3}},
        columns=("y1", "y2", "x1", "x2"), complete=("x1", "x2"), npar=9, df=0,
    ),
    ZooModel(
        name="two_groups", func="cfa", options={"group": "school"}, groups=("south", "north"), n=400,
        model="f =~ x1 + c(a, a)*x2 + c(b, b)*x3 + x4\nx2 ~ c(i, i)*1",
        effects=_measured(f="x1 x2 x3 x4"), columns=_columns("x:4"), npar=21, df=7,
    ),
    ZooModel(
        name="cross_loadings", func="cfa", model=TWO_FACTORS + "f =~ x4", n=400,
        effects={**TWO_EFFECTS, "g": {"f": 0.5}, "x4": {"g": 1.2, "f": 0.4}},
        columns=_columns("x:6"), npar=20, df=7,
    ),
    ZooModel(
        name="lavaan_function", func="lavaan", unit_free=False, location_free=False,
        model="""
            f =~ 1*x1 + l*x2 + l*x3 + x4
            f ~~ f
            x1 ~~ e*x1
            x2 ~~ e*x2
            x3 ~~ x3
            x4 ~~ x4
            x1 ~ 1
            x2 ~ 1
            x3 ~ 0*1
        """,
        effects=_measured(f="x1 x2 x3 x4"), columns=_columns("x:4"), npar=8, df=6,
    ),
    ZooModel(
        name="observed_covariances", model="x1 ~~ x2 + x3\nx2 ~~ 0*x3",
        effects={"x1": {"x2": 0.5, "x3": 0.4}}, columns=_columns("x:3"), npar=8, df=1,
    ),
    ZooModel(
        name="complete", func="cfa", model=TWO_FACTORS, effects={**TWO_EFFECTS, "g": {"f": 0.5}},
        columns=_columns("x:6"), npar=19, df=8, holes=0.0,
    ),
    ZooModel(
        name="heavy_missingness", func="cfa", model=TWO_FACTORS, effects={**TWO_EFFECTS, "g": {"f": 0.5}},
        columns=_columns("x:6"), npar=19, df=8, holes=0.6, n=800,
    ),
    ZooModel(
        name="three_forms", func="cfa", model="f =~ x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8",
        effects=_measured(f="x1 x2 x3 x4 x5 x6 x7 x8"), columns=_columns("x:8"), npar=24, df=20, holes=0.02, n=600,
        forms=(("x3", "x4"), ("x5", "x6"), ("x7", "x8")),
    ),
    ZooModel(
        name="uneven_units", model="f =~ y1 + y2 + y3\nf ~ x1\ny4 ~ f + x1", options={"fixed_x": False},
        effects={**_measured(f="y1 y2 y3"), "y4": {"f": 0.6, "x1": 0.3}, "f": {"x1": 0.4}},
        columns=("y1", "y2", "y3", "y4", "x1"), npar=16, df=4, units={"y2": 1e4, "y4": 1e-4, "x1": 100.0},
    ),
    ZooModel(
        name="three_groups", func="cfa", options={"group": "school", "group_equal": ("loadings", "intercepts")},
        model="f =~ x1 + x2 + x3 + x4", effects=_measured(f="x1 x2 x3 x4"), columns=_columns("x:4"),
        groups=("south", "north", "east"), n=600, npar=24, df=18,
    ),
    ZooModel(
        name="autoregression", model="y2 ~ a*y1\ny3 ~ a*y2\ny4 ~ a*y3", options={"fixed_x": False}, unit_free=False,
        effects={"y2": {"y1": 0.6}, "y3": {"y2": 0.6}, "y4": {"y3": 0.6}}, columns=_columns("y:4"), npar=9, df=5,
    ),
    ZooModel(
        name="curved_equality", model="m ~ a*x1\ny ~ b*m + c*x1\nindirect := a*b\nindirect == 0.3 - 0*c",
        effects={"m": {"x1": 0.5}, "y": {"m": 0.6, "x1": 0.3}}, columns=("m", "y", "x1"), complete=("x1",),
        npar=6, df=1, unit_free=False,
    ),
    ZooModel(
        name="scaled_by_a_product", func="cfa", model="f =~ NA*x1 + a*x1 + b*x2 + c*x3 + x4\na*b*c == 1",
        effects=_measured(f="x1 x2 x3 x4"), columns=_columns("x:4"), npar=12, df=2, unit_free=False,
    ),
    ZooModel(
        name="inequality_active", func="cfa", model="f =~ x1 + a*x2 + b*x3 + x4\na > b", unit_free=False, edge=True,
        effects={f"x{i}": {"f": 1.0} for i in range(1, 5)}, columns=_columns("x:4"), npar=12, df=2,
    ),
    ZooModel(
        name="inequality_inactive", func="cfa", model="f =~ x1 + a*x2 + b*x3 + x4\nx1 ~~ v*x1\na < 5*b\nv > 0.001",
        effects=_measured(f="x1 x2 x3 x4"), columns=_columns("x:4"), npar=12, df=2, unit_free=False,
    ),
    ZooModel(
        name="bounds", func="cfa", unit_free=False, edge=True,
        model="f =~ x1 + lower(1)*x2 + upper(1)*x3 + x4\nx1 ~~ lower(0)*x1\nx2 ~~ lower(0)*x2",
        effects={f"x{i}": {"f": 1.0} for i in range(1, 5)}, columns=_columns("x:4"), npar=12, df=2,
    ),
    ZooModel(
        name="heywood", func="cfa", model="f =~ x1 + x2 + x3 + x4", variance={"x1": 0.0025}, edge=True, n=120,
        effects={"x1": {"f": 1.2}, "x2": {"f": 0.4}, "x3": {"f": 0.3}, "x4": {"f": 0.5}},
        columns=_columns("x:4"), npar=12, df=2,
    ),
    ZooModel(
        name="heywood_bounded", func="cfa", model="f =~ x1 + x2 + x3 + x4\nx1 ~~ lower(0)*x1", variance={"x1": 0.0025},
        edge=True, n=120, effects={"x1": {"f": 1.2}, "x2": {"f": 0.4}, "x3": {"f": 0.3}, "x4": {"f": 0.5}},
        columns=_columns("x:4"), npar=12, df=2,
    ),
    ZooModel(
        name="groups_ordered", func="cfa", options={"group": "school"}, groups=("south", "north"), n=400, edge=True,
        model="f =~ x1 + c(a1, a2)*x2 + c(b1, b2)*x3 + x4\na1 > a2\nb1*b2 == 1", unit_free=False,
        effects={f"x{i}": {"f": 1.0} for i in range(1, 5)}, columns=_columns("x:4"), npar=23, df=5,
    ),
)  # fmt: skip

BY_NAME = {model.name: model for model in ZOO}
NAMES = tuple(BY_NAME)
EVEN = tuple(model.name for model in ZOO if not model.units)
"""Models whose parameters are of similar size, so that differences with one step are exact enough."""
CONSTRAINED = tuple(model.name for model in ZOO if any(s in model.model for s in ("<", ">", "lower", "upper")))


@cache
def fitted(name: str) -> SemResults:
    """The fit of a zoo model to its own data, made once per test run."""
    model = BY_NAME[name]
    return model.fit(model.data())


@cache
def problem_of(name: str) -> FitProblem:
    """The problem of a zoo model, made once per test run."""
    return BY_NAME[name].problem()


def central_jacobian(function: Any, theta: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Five-point central differences, shape (k, *output): error of the order step^4."""
    rows = []
    for i in range(len(theta)):
        h = step * max(1.0, abs(theta[i]))
        unit = np.eye(len(theta))[i] * h
        near = np.asarray(function(theta + unit)) - np.asarray(function(theta - unit))
        far = np.asarray(function(theta + 2 * unit)) - np.asarray(function(theta - 2 * unit))
        rows.append((8.0 * near - far) / (12.0 * h))
    return np.array(rows)
