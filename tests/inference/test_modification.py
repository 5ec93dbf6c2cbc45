"""Modification indices and score tests: closed forms, relations between tests, invariance, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, NAMES, fitted

import fosa_sem
from fosa_sem.errors import IdentificationError, InferenceWarning, ModelSyntaxError, OptionError
from fosa_sem.inference.fit import fit
from fosa_sem.inference.modification import modification_indices
from fosa_sem.inference.options import FitOptions

TWO = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"


def two_factors(n: int, seed: int, *, error: float = 0.0, hole: float = 0.0) -> pd.DataFrame:
    """Two factors; the errors of x1 and x6 share a part, and cells are missing completely at random."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 2)) @ np.linalg.cholesky([[1.0, 0.4], [0.4, 1.0]]).T
    values = factors[:, [0, 0, 0, 1, 1, 1]] + 0.8 * rng.standard_normal((n, 6))
    values[:, [0, 5]] += np.sqrt(error) * rng.standard_normal((n, 1))
    values[rng.random(values.shape) < hole] = np.nan
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(1, 7)]).dropna(how="all")


def index_of(frame: pd.DataFrame, lhs: str, op: str, rhs: str) -> pd.Series:
    (row,) = np.flatnonzero((frame["lhs"] == lhs) & (frame["op"] == op) & (frame["rhs"] == rhs))
    return frame.iloc[row]


def test_a_covariance_of_two_variables_in_closed_form(rng: np.random.Generator) -> None:
    # s = N c / (v w), V = N / (v w): the index is N r^2, the change the sample covariance c.
    values = rng.standard_normal((150, 2)) @ [[1.0, 0.3], [0.0, 1.0]]
    results = fosa_sem.sem("a ~~ 0*b", pd.DataFrame(values, columns=["a", "b"]), missing="listwise")
    row = index_of(results.modification_indices(), "a", "~~", "b")
    cov = np.cov(values, rowvar=False, bias=True)
    assert row["mi"] == pytest.approx(150 * np.corrcoef(values, rowvar=False)[0, 1] ** 2, rel=1e-6)
    assert row["epc"] == pytest.approx(cov[0, 1], rel=1e-6)
    assert row["sepc_all"] == pytest.approx(np.corrcoef(values, rowvar=False)[0, 1], rel=1e-6)


@pytest.mark.parametrize("hole", [0.0, 0.15])
def test_an_index_foretells_the_gain_in_chi_square(hole: float) -> None:
    data = two_factors(2000, 4, error=0.08, hole=hole)
    held, free = fosa_sem.cfa(TWO, data), fosa_sem.cfa(TWO + "\nx1 ~~ x6", data)
    row = index_of(held.modification_indices(), "x1", "~~", "x6")
    gain = held.fit.chisq - free.fit.chisq
    # Both are asymptotically the same; a misspecification of .08 in 2,000 rows leaves some per cent between them.
    assert gain > 5
    assert row["mi"] == pytest.approx(gain, rel=0.1)
    assert row["epc"] == pytest.approx(free.coef()["x1~~x6"], rel=0.15)


def test_the_index_of_a_parameter_is_its_score_test() -> None:
    results = fosa_sem.cfa(TWO, two_factors(300, 1, error=0.1, hole=0.1))
    table = results.modification_indices()
    test = results.score_test(add="x1 ~~ x6\nf =~ x4", epc=True)
    for place, (lhs, op, rhs) in enumerate([("x1", "~~", "x6"), ("f", "=~", "x4")]):
        row = index_of(table, lhs, op, rhs)
        # The score of the estimates themselves is 0 only as far as the optimiser went.
        assert test.univariate["x2"][place] == pytest.approx(row["mi"], rel=1e-5)
        assert test.univariate["epc"][place] == pytest.approx(row["epc"], rel=1e-5)
    assert test.df == 2
    assert test.stat > test.univariate["x2"].max()
    one = results.score_test(add="x1 ~~ x6", epc=True)
    assert one.stat == pytest.approx(index_of(table, "x1", "~~", "x6")["mi"], rel=1e-5)
    assert one.epc is not None
    assert_allclose(one.epc["epv"], one.epc["est"] + one.epc["epc"])


@pytest.mark.parametrize("name", NAMES)
def test_indices_of_every_kind_of_model(name: str) -> None:
    results = fitted(name)
    frame = results.modification_indices(free_remove=False, na_remove=False)
    rows = [(r.lhs, r.op, r.rhs, r.group) for r in results.fit.table.rows]
    assert frame[["lhs", "op", "rhs", "group"]].to_numpy().tolist()[: len(rows)] == [list(row) for row in rows]
    assert not frame.duplicated(["lhs", "op", "rhs", "group"]).any()
    assert (frame["mi"].dropna() >= 0).all()
    # What is free and meets no constraint lies at the maximum, where the score is 0.
    bounded = bool(results.fit.problem.restrictions)
    if not results.fit.table.ties() and not results.fit.table.constraints and not bounded:
        free = [row.free > 0 for row in results.fit.table.rows]
        assert (frame["mi"].iloc[: len(rows)][free] < 1e-5).all()


@pytest.mark.parametrize("name", [n for n in NAMES if BY_NAME[n].df == 0 and not BY_NAME[n].options])
def test_a_saturated_model_has_nothing_to_gain(name: str) -> None:
    assert (fitted(name).modification_indices()["mi"] < 1e-4).all()


def test_units_change_neither_indices_nor_standardised_changes() -> None:
    data = two_factors(300, 2, error=0.1, hole=0.1)
    plain = fosa_sem.cfa(TWO, data).modification_indices()
    scaled = fosa_sem.cfa(TWO, data * [1e3, 1.0, 1.0, 1e-2, 1.0, 1.0] + 5.0).modification_indices()
    assert scaled[["lhs", "op", "rhs"]].equals(plain[["lhs", "op", "rhs"]])
    # Two optimisers' ends, which differ by less than 1e-4 standard errors.
    assert_allclose(np.sqrt(scaled["mi"]), np.sqrt(plain["mi"]), atol=1e-3)
    assert_allclose(scaled["sepc_all"], plain["sepc_all"], atol=1e-4)


def test_rows_can_be_chosen() -> None:
    results = fosa_sem.cfa(TWO, two_factors(300, 3, error=0.1))
    everything = results.modification_indices()
    assert set(everything["op"]) == {"=~", "~~"}
    assert everything.columns.tolist() == ["lhs", "op", "rhs", "group", "mi", "epc", "sepc_lv", "sepc_all", "sepc_nox"]
    first = results.modification_indices(sort=True, op="=~", maximum_number=3)
    assert first["op"].tolist() == ["=~"] * 3
    assert first["mi"].tolist() == sorted(everything.loc[everything["op"] == "=~", "mi"], reverse=True)[:3]
    assert results.modification_indices(op=["=~", "~~"]).equals(everything)
    large = results.modification_indices(minimum_value=2.0)
    assert large["mi"].tolist() == [mi for mi in everything["mi"] if mi > 2.0]
    assert len(results.modification_indices(free_remove=False, na_remove=False)) == len(everything) + len(
        results.fit.table.rows
    )
    assert "sepc_all" not in results.modification_indices(standardized=False)


def test_decisions_follow_from_index_change_and_power() -> None:
    frame = fosa_sem.cfa(TWO, two_factors(400, 5, error=0.3)).modification_indices(power=True, delta=0.2)
    assert frame.columns.tolist()[4:] == ["mi", "epc", "sepc_all", "delta", "ncp", "power", "decision"]
    assert_allclose(frame["ncp"], frame["mi"] / frame["epc"] ** 2 * 0.04)
    significant, sensitive = frame["mi"] > 3.841459, frame["power"] > 0.75
    large = frame["epc"].abs() > 0.2
    words = {
        (False, False): "(i)", (True, False): "**(m)**", (False, True): "(nm)",
    }  # fmt: skip
    for a, b, c, word in zip(significant, sensitive, large, frame["decision"], strict=True):
        assert word == (("*epc:m*" if c else "epc:nm") if a and b else words[a, b])
    assert frame["decision"].nunique() > 2


def test_releasing_a_constraint_foretells_the_gain_in_chi_square() -> None:
    data = two_factors(2000, 6, hole=0.1)
    data["x3"] *= 1.15
    equal = fosa_sem.cfa("f =~ x1 + a*x2 + a*x3\ng =~ x4 + b*x5 + b*x6", data)
    test = equal.score_test(cumulative=True)
    assert test.univariate[["op", "df"]].to_numpy().tolist() == [["==", 1]] * 2
    gain = equal.fit.chisq - fosa_sem.cfa("f =~ x1 + x2 + x3\ng =~ x4 + b*x5 + b*x6", data).fit.chisq
    assert test.univariate["x2"][0] == pytest.approx(gain, rel=0.1)
    total = equal.fit.chisq - fosa_sem.cfa(TWO, data).fit.chisq
    assert test.stat == pytest.approx(total, rel=0.1)
    assert test.cumulative is not None
    assert test.cumulative["x2"].iloc[-1] == pytest.approx(test.stat, rel=1e-8)
    assert test.cumulative["x2"].is_monotonic_increasing
    assert equal.score_test(release=[2]).stat == pytest.approx(test.univariate["x2"][1], rel=1e-8)


def test_a_robust_fit_says_that_the_score_test_is_not() -> None:
    results = fosa_sem.cfa(TWO, two_factors(200, 1), estimator="MLR")
    with pytest.warns(InferenceWarning, match="not robust"):
        results.score_test(add="f =~ x4")


BAD_OPTIONS = [
    ({"delta": 0.0}, "delta must be a positive number, got 0.0"),
    ({"delta": float("nan")}, "delta must be a positive"),
    ({"alpha": 1.0}, "alpha must lie between 0 and 1"),
    ({"high_power": -1.0}, "high_power must lie between 0 and 1"),
    ({"maximum_number": 0}, "maximum_number must be at least 1"),
    ({"minimum_value": float("nan")}, "minimum_value must be a number"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_options_of_indices(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        fitted("cfa").modification_indices(**options)  # type: ignore[arg-type]


BAD_SCORE_TESTS = [
    ("cfa", {}, OptionError, "no equality constraints"),
    ("cfa", {"add": "f =~ x4", "release": [1]}, OptionError, "cannot be given together"),
    ("cfa", {"add": "f =~ x2"}, OptionError, "'f =~ x2' is a parameter of the model already"),
    ("cfa", {"add": "f =~ zz"}, OptionError, "relations of the model's variables"),
    ("cfa", {"add": "a == 1"}, OptionError, "relations of the model's variables"),
    ("cfa", {"add": "f =~"}, ModelSyntaxError, "expected a variable"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD_SCORE_TESTS)
def test_bad_score_tests(name: str, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fitted(name).score_test(**options)


def test_numbers_of_constraints_and_inequalities(one_factor: pd.DataFrame) -> None:
    results = fosa_sem.cfa("f =~ x1 + a*x2 + a*x3 + x4", one_factor)
    for release in ([0], [2], [1, 1], []):
        with pytest.raises(OptionError, match="different numbers from 1 to 1"):
            results.score_test(release=release)
    bounded = fosa_sem.cfa("f =~ x1 + a*x2 + b*x3 + x4\na > 0.1", one_factor)
    with pytest.raises(OptionError, match="inequality"):
        bounded.score_test(add="x1 ~~ x2")


def test_no_tests_where_columns_are_dependent(one_factor: pd.DataFrame) -> None:
    data = one_factor.dropna().assign(x5=lambda d: d["x1"] + d["x2"])
    with pytest.warns(UserWarning, match="ridge"):
        ridged = fit("f =~ x1 + x2 + x3 + x4 + x5", data, FitOptions(func="cfa", ridge=1e-6))
    with pytest.raises(OptionError, match="withheld"):
        modification_indices(ridged)


def test_singular_information_is_an_error(one_factor: pd.DataFrame) -> None:
    results = fosa_sem.cfa("f =~ x1 + x2 + x3 + x4", one_factor)
    flat = np.zeros((results.npar, 0))
    object.__setattr__(results.fit.tested, "basis", np.ones((results.npar, 2)) + flat.sum())
    with pytest.raises(IdentificationError, match="regular information"):
        results.modification_indices()
