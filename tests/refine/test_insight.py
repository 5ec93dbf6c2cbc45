"""What the networks use: found where a relation is planted, and nothing where there is none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fosa_sem import FosaImputer, RefinerConfig
from fosa_sem.errors import DataError, OptionError
from fosa_sem.refine.insight import Dependence, covariance_errors, dependence
from fosa_sem.report.dependence_section import dependence_figure

CONFIG = RefinerConfig(epochs=60, width=16, heads=2, folds=2, check_every=10, learning_rate=0.01)
NAMES = ["a", "b", "c", "d"]


def bent() -> pd.DataFrame:
    """c is the square of a, d is b and noise; nothing else is related."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500))
    truth = pd.DataFrame({"a": a, "b": b, "c": a**2 + 0.3 * rng.normal(size=500), "d": b + rng.normal(size=500)})
    return truth.mask(rng.random(truth.shape) < 0.1).dropna(how="all").reset_index(drop=True)


@pytest.fixture(scope="module")
def imputer() -> FosaImputer:
    return FosaImputer("a ~~ 0*b\na ~~ 0*c\na ~~ 0*d\nd ~ b\nc ~~ 0*d\nb ~~ 0*c", refiner=CONFIG).fit(bent())


@pytest.fixture(scope="module")
def found(imputer: FosaImputer) -> Dependence:
    return imputer.dependence()


def pair(found: Dependence, variable: str, source: str) -> pd.Series:
    return found.pairs[(found.pairs["variable"] == variable) & (found.pairs["source"] == source)].iloc[0]


def test_a_relation_that_the_model_omits_is_found(found: Dependence) -> None:
    strongest = found.pairs.iloc[0]
    assert (strongest["variable"], strongest["source"]) == ("c", "a")
    assert strongest["hint"] == "not in the model"
    assert not strongest["connected"]
    # Var(a^2) is 2 of 2.09: without a, the correction is worth nothing, and a wrong one costs as much again.
    assert strongest["loss"] > 0.5
    assert strongest["size"] > 3 * abs(strongest["effect"])  # a slope of 2 a, which is 0 on average


def test_nothing_is_found_where_there_is_nothing(found: Dependence) -> None:
    for variable, source in (("a", "b"), ("b", "a"), ("c", "b"), ("c", "d"), ("d", "a"), ("d", "c"), ("b", "c")):
        assert pair(found, variable, source)["hint"] == "", (variable, source)
    assert set(zip(found.hints["variable"], found.hints["source"], strict=True)) <= {("c", "a"), ("a", "c")}


def test_tables_agree_with_each_other(found: Dependence) -> None:
    for table in (found.attention, found.effect, found.matrix, found.partial):
        assert sorted(table.index) == NAMES
        assert list(table.index) == list(table.columns)
    np.testing.assert_allclose(found.attention.sum(axis=1), 1.0, rtol=1e-5)
    assert np.isnan(np.diag(found.matrix)).all()
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(
        found.matrix.to_numpy()[off], (found.attention * np.sign(found.effect)).to_numpy()[off], rtol=1e-12
    )
    assert len(found.pairs) == 12
    assert found.pairs["z"].is_monotonic_decreasing
    for row in found.pairs.to_dict("records"):
        assert row["attention"] == found.attention.loc[row["variable"], row["source"]]
        assert row["effect"] == found.effect.loc[row["variable"], row["source"]]
        assert row["partial"] == found.partial.loc[row["variable"], row["source"]]
        assert row["size"] >= abs(row["effect"])


def test_partial_correlations_are_those_of_the_model(imputer: FosaImputer, found: Dependence) -> None:
    precision = np.linalg.inv(imputer.sem_results_.implied()[0].cov.to_numpy())
    expected = -precision / np.sqrt(np.outer(np.diag(precision), np.diag(precision)))
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found.partial.to_numpy()[off], expected[off], atol=1e-9)


def test_a_closed_gate_uses_nothing(imputer: FosaImputer, found: Dependence) -> None:
    assert imputer.refiner_ is not None
    gates = imputer.refiner_.gates.set_index("variable")["gate"]
    assert gates["c"] > 0
    closed = [name for name in NAMES if gates[name] == 0]
    rows = found.pairs[found.pairs["variable"].isin(closed)]
    assert (rows[["effect", "size", "loss", "z"]] == 0).all(axis=None)


def test_the_same_seed_gives_the_same_numbers_and_permutations_differ(imputer: FosaImputer, found: Dependence) -> None:
    pd.testing.assert_frame_equal(imputer.dependence().pairs, found.pairs)
    other = imputer.dependence(seed=1)
    pd.testing.assert_frame_equal(other.effect, found.effect)
    assert other.pairs["loss"].max() != found.pairs["loss"].max()


def test_effects_are_those_of_refining_moved_rows(imputer: FosaImputer) -> None:
    """The loss rests on held-out cells, but for one network per cell the effect is a difference of refined values."""
    assert imputer.refiner_ is not None
    rows = pd.DataFrame({"a": np.linspace(-2, 2, 9), "b": 0.0, "c": np.nan, "d": 0.0})
    low, high = (imputer.transform(rows.assign(a=rows["a"] + step))["c"] for step in (-0.5, 0.5))
    slope = (high - low).to_numpy()
    assert (slope[:3] < 0).all()
    assert (slope[-3:] > 0).all()


def test_covariance_errors_are_those_of_held_out_predictions(imputer: FosaImputer) -> None:
    """Refining removes the curve, which does not covary with anything: no error before or after but noise."""
    assert imputer.refiner_ is not None
    errors = covariance_errors(imputer.refiner_, imputer.completion_, cells=10**6).set_index("variable")
    assert list(errors.columns) == ["sem", "refined"]
    assert (errors < 5 / np.sqrt(400)).all(axis=None)  # of means of 400 products with variance of order 1
    closed = imputer.refiner_.gates.set_index("variable")["gate"] == 0
    assert (errors["sem"] == errors["refined"])[closed].all()


def test_covariance_errors_of_the_model_are_found_by_hand(imputer: FosaImputer) -> None:
    """Every observed cell of a, given b, c, d: the model says that a is independent of them."""
    assert imputer.refiner_ is not None
    data = bent()
    z = (data - data.mean()) / data.std(ddof=0)
    rows = data["a"].notna() & (data.notna().sum(axis=1) > 1)
    mean = imputer.sem_results_.implied()[0].mean["a"]
    error = (data["a"] - mean)[rows] / data["a"].std(ddof=0)
    products = [(error * z[name][rows]).mean() for name in "bcd"]
    errors = covariance_errors(imputer.refiner_, imputer.completion_, cells=10**6).set_index("variable")
    np.testing.assert_allclose(errors.loc["a", "sem"], np.sqrt(np.mean(np.square(products))), rtol=1e-4)


def test_the_report_shows_it_once_it_is_computed(imputer: FosaImputer, tmp_path: Path) -> None:
    imputer.dependence()
    text = imputer.report(tmp_path / "a.md").read_text(encoding="utf-8")
    assert "Pairs that the refiner uses beyond the model" in text
    assert "not in the model" in text
    assert "Covariance error, refined" in text
    html = imputer.report(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "What the refiner attends to" in html
    fresh = FosaImputer(imputer.model, refiner=None).fit(bent()).report(tmp_path / "b.md")
    assert "refiner uses" not in fresh.read_text(encoding="utf-8")


def test_the_heat_map_shows_every_pair(found: Dependence) -> None:
    axes = dependence_figure(found.matrix, found.hints).axes[0]
    assert len(axes.texts) == 12
    assert len(axes.patches) == len(found.hints) > 0
    assert [t.get_text() for t in axes.get_yticklabels()] == list(found.matrix.index)


def test_without_a_network_there_is_nothing_to_ask(imputer: FosaImputer, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="refiner=None"):
        FosaImputer("a ~~ b", refiner=None).fit(bent()[["a", "b"]].dropna()).dependence()
    with pytest.raises(OptionError, match="cells"):
        imputer.dependence(cells=0)
    assert imputer.refiner_ is not None
    other = FosaImputer("a ~~ b", refiner=None).fit(bent()[["a", "b"]].dropna()).completion_
    with pytest.raises(DataError, match="trained on"):
        dependence(imputer.refiner_, other)


def test_networks_that_learned_nothing_use_nothing() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"]).mask(rng.random((60, 2)) < 0.1).dropna(how="all")
    imputer = FosaImputer("a ~~ b", refiner=RefinerConfig(epochs=1, width=4, heads=1, layers=1, folds=2)).fit(data)
    found = imputer.dependence()
    assert (found.pairs["hint"] == "").all()
    assert found.hints.empty
    dependence_figure(found.matrix, found.hints).savefig(io.BytesIO(), format="png")
