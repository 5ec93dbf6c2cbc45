"""What the moments leave open, and which columns are sums of others."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from fosa_sem import cfa, sem
from fosa_sem.errors import CoverageWarning, DataError, IdentificationError
from fosa_sem.inference.dependence import linear_relations


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    values = rng.standard_normal((150, 1)) + rng.standard_normal((150, 6))
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(1, 7)])


UNIDENTIFIED = {
    "two indicators alone": ("f =~ x1 + x2", {"f =~ x2", "x1 ~~ x1", "x2 ~~ x2", "f ~~ f"}),
    "no marker": ("f =~ NA*x1 + x2 + x3", {"f =~ x1", "f =~ x2", "f =~ x3", "f ~~ f"}),
    "two means for one": ("f =~ x1 + x2 + x3\nf ~ 1", {"f ~1", "x1 ~1", "x2 ~1", "x3 ~1"}),
    "the same factor twice": (
        "f =~ x1 + x2 + x3 + x4\ng =~ x1 + x2 + x3 + x4",
        {"f ~~ f", "g ~~ g", "f ~~ g"},
    ),
    "no instruments": ("x1 ~ x2\nx2 ~ x1", {"x1 ~ x2", "x2 ~ x1"}),
    "free single residual": ("f =~ x1\nx1 ~~ x1\ng =~ x2 + x3 + x4\ng ~ f", {"x1 ~~ x1", "f ~~ f"}),
}


@pytest.mark.parametrize("case", UNIDENTIFIED)
def test_unidentified_parameters_are_named(case: str, frame: pd.DataFrame) -> None:
    model, some = UNIDENTIFIED[case]
    with pytest.raises(IdentificationError) as caught:
        sem(model, frame)
    message = str(caught.value)
    named = set(message.split("do not determine ")[1].split(";")[0].split(", "))
    assert some <= named


def test_means_of_factors_of_factors_are_seen_although_many_points_have_no_moments() -> None:
    # three first-order means and one of second order in each later group: random steps of one row's standard error
    # leave the region of positive definite covariances, smaller ones do not
    rng = np.random.default_rng(8)
    general = rng.standard_normal((600, 1))
    factors = np.repeat(0.6 * general + 0.8 * rng.standard_normal((600, 3)), 3, axis=1)
    data = pd.DataFrame(factors + 0.8 * rng.standard_normal((600, 9)), columns=[f"x{i}" for i in range(1, 10)])
    data["g"] = np.repeat(["a", "b", "c"], 200)
    model = "f1 =~ x1 + x2 + x3\nf2 =~ x4 + x5 + x6\nf3 =~ x7 + x8 + x9\nh =~ f1 + f2 + f3"
    with pytest.raises(IdentificationError, match=r"f1 ~1 \(group 2\).*h ~1 \(group 2\)"):
        cfa(model, data, group="g", group_equal=("loadings", "intercepts"))


def test_parameters_that_are_determined_are_not_accused(frame: pd.DataFrame) -> None:
    with pytest.raises(IdentificationError) as caught:
        sem("f =~ x1 + x2\ng =~ x3 + x4 + x5\nf ~~ 0*g", frame)
    assert "g =~" not in str(caught.value)


@pytest.mark.parametrize(
    "model",
    ["f =~ x1 + x2\ng =~ x3 + x4", "f =~ 1*x1 + 1*x2", "f =~ x1\nf ~~ x2", "f =~ x1 + a*x2 + a*x3\nf ~~ 1*f"],
    ids=["two factors of two", "equal loadings", "single indicator", "three with labels"],
)
def test_identified_models_pass(model: str, frame: pd.DataFrame) -> None:
    assert cfa(model, frame).converged


def test_dependent_columns_are_refused_with_their_relation(frame: pd.DataFrame) -> None:
    frame = frame.assign(x4=frame["x1"] + frame["x2"])
    frame.loc[:10, "x3"] = np.nan
    with pytest.raises(DataError, match="exactly dependent") as caught:
        cfa("f =~ x1 + x2 + x3 + x4", frame)
    relation = str(caught.value).split("maximum: ")[1].split(";")[0]
    assert relation in {"x4 = x1 + x2", "x1 = - x2 + x4", "x2 = - x1 + x4"}


def test_a_column_given_twice_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"(x1 = x2|x2 = x1)"):
        cfa("f =~ x1 + x2 + x3", frame.assign(x2=frame["x1"]))


def test_every_relation_is_found_with_its_coefficients() -> None:
    rng = np.random.default_rng(5)
    a, b, c = rng.standard_normal((3, 200))
    columns = np.column_stack([a, b, c, a + b, 1000 * (a - 2.5 * c)])
    relations = linear_relations(["a", "b", "c", "d", "e"], np.cov(columns.T))
    assert len(relations) == 2
    values = dict(zip("abcde", columns.T, strict=True))
    for relation in relations:
        left, right = relation.text.split(" = ")
        text = right.replace("- ", "-").replace("+ ", "+")
        total = sum(
            float((t[:-1].rstrip("*") or "+") + ("" if any(ch.isdigit() for ch in t) else "1")) * values[t[-1]]
            for t in text.split()
        )
        np.testing.assert_allclose(total, values[left], atol=5e-3 * np.abs(values[left]).max())


def test_independent_columns_have_no_relation() -> None:
    assert linear_relations(["a", "b"], np.array([[1.0, 0.999], [0.999, 1.0]])) == []


def test_too_few_rows_for_the_holes_are_not_called_dependent() -> None:
    """One complete row of six variables: the saturated likelihood is unbounded, the columns are independent."""
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((16, 1))
    values = factor * 0.8 + 0.6 * rng.standard_normal((16, 6))
    for row in range(1, 16):
        values[row, rng.choice(6, 3, replace=False)] = np.nan
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(1, 7)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = cfa("f =~ 1*x1 + 1*x2 + 1*x3 + 1*x4 + 1*x5 + 1*x6", frame)
    assert any(issubclass(w.category, CoverageWarning) and "grows without bound" in str(w.message) for w in caught)
    assert np.isnan(fit.fit_measures("chisq")["chisq"])
    assert np.isfinite(fit.loglik)
    assert fit.fit.notes
