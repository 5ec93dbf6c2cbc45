"""Every engine finds the maximum that the native one finds; only theta is taken from it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import fosa_sem as fs
from fosa_sem.errors import EngineError, OptionError
from fosa_sem.fiml.engines.base import Estimates, find_engine
from fosa_sem.fiml.problem import FitProblem


@pytest.mark.parametrize(
    ("name", "model", "func"),
    [
        ("holzinger", "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9", fs.cfa),
        (
            "democracy",
            """
            ind60 =~ x1 + x2 + x3
            dem60 =~ y1 + a*y2 + b*y3 + c*y4
            dem65 =~ y5 + a*y6 + b*y7 + c*y8
            dem60 ~ ind60
            dem65 ~ ind60 + dem60
            y1 ~~ y5
            y2 ~~ y4 + y6
            y3 ~~ y7
            y4 ~~ y8
            y6 ~~ y8
            """,
            fs.sem,
        ),
    ],
    ids=["Holzinger-Swineford", "Political Democracy"],
)
def test_semopy_on_the_field_s_two_models(name: str, model: str, func) -> None:
    load = {"holzinger": fs.datasets.load_holzinger_swineford, "democracy": fs.datasets.load_political_democracy}
    data = load[name]()
    data = data.select_dtypes("number")
    data = data.mask(np.random.default_rng(4).random(data.shape) < 0.1)
    ours, theirs = func(model, data), func(model, data, engine="semopy")
    assert theirs.loglik == pytest.approx(ours.loglik, abs=1e-3)
    pd.testing.assert_series_equal(theirs.params, ours.params, atol=1e-3, rtol=1e-3)
    pd.testing.assert_series_equal(theirs.bse, ours.bse, atol=1e-3, rtol=1e-3)


def test_semopy_does_not_depend_on_units_or_names() -> None:
    data = fs.datasets.load_holzinger_swineford()
    odd = pd.DataFrame(
        {"START": data["x1"] * 1e4, "DEFINE": data["x2"], "größe": data["x3"] / 100, "t1": data["x4"] + 1e3}
    )
    model = "f =~ START + DEFINE + größe + t1"
    assert fs.cfa(model, odd, engine="semopy").loglik == pytest.approx(fs.cfa(model, odd).loglik, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "feature"),
    [
        ("f =~ x1 + a*x2 + b*x3\na == 2*b", "'=='"),
        ("f =~ x1 + a*x2 + b*x3\na < 2*b\na > 0", "'<', '>'"),
        ("f =~ x1 + lower(0)*x2 + x3", r"bounds \(lower\(\), upper\(\)\)"),
    ],
)
def test_semopy_names_the_constraints_it_does_not_know(model: str, feature: str) -> None:
    with pytest.raises(EngineError, match=feature):
        fs.cfa(model, fs.datasets.load_holzinger_swineford(), engine="semopy")


def test_semopy_says_what_it_cannot_do() -> None:
    data = fs.datasets.load_holzinger_swineford()
    with pytest.raises(EngineError, match="one group"):
        fs.cfa("f =~ x1 + x2 + x3", data, engine="semopy", group="school")
    with pytest.raises(EngineError, match="different kinds"):
        fs.cfa("f =~ x1 + a*x2 + x3 + x4\nx1 ~~ a*x1", data, engine="semopy")


def test_an_engine_is_judged_by_its_theta_alone() -> None:
    class Stubborn:
        """Claims nothing, and stops far from the maximum."""

        name = "stubborn"

        def estimate(self, problem: FitProblem) -> Estimates:
            return Estimates(theta=find_engine("native").estimate(problem).theta * 1.01)

    data = fs.datasets.load_holzinger_swineford()
    with pytest.warns(fs.errors.ConvergenceWarning, match="not a maximum"):
        fit = fs.cfa("f =~ x1 + x2 + x3 + x4", data, engine=Stubborn())
    assert not fit.converged
    assert fit.loglik < fs.cfa("f =~ x1 + x2 + x3 + x4", data).loglik


@pytest.mark.parametrize("engine", ["semopi", 3, None], ids=str)
def test_unknown_engines(engine) -> None:
    with pytest.raises(OptionError, match=r"engine"):
        find_engine(engine)


@pytest.mark.parametrize("seed", range(6))
def test_weak_data_end_at_a_maximum_if_lavaan_s_way_finds_one(seed: int) -> None:
    """A factor that hardly exists: from the usual start the climb runs away along a ridge.

    The reference is a climb from lavaan's kind of start: loadings of 1, a tiny factor variance.
    """
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((40, 1))
    values = 0.3 * factor + rng.standard_normal((40, 4))
    frame = pd.DataFrame(values, columns=["a", "b", "c", "d"]).mask(rng.random((40, 4)) < 0.2)
    frame = frame.dropna(how="all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fs.errors.FosaWarning)
        ours = fs.cfa("f =~ a + b + c + d", frame)
        simple = "f =~ a + start(1)*b + start(1)*c + start(1)*d\nf ~~ start(0.05)*f"
        theirs = fs.cfa(simple, frame)
    if theirs.converged:
        assert ours.converged
        assert ours.loglik >= theirs.loglik - 1e-6
    else:
        assert not ours.converged or ours.audit.stationarity < 1e-6
