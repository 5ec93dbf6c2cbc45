"""Drawn values of bounded, whole-number, matched and ordinal columns, and what inference makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fosa_sem import impute, sem

ROWS = 600


@pytest.fixture(scope="module")
def survey() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A count, a share, a skewed score and a yes/no answer that depend on x, complete and with holes that do so too."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal(ROWS)
    z = 0.7 * x + rng.standard_normal((4, ROWS)) * 0.7
    complete = pd.DataFrame(
        {
            "x": x,
            "count": np.clip(np.rint(3 + 1.5 * z[0]), 0, 10) + 0.0,
            "share": 1 / (1 + np.exp(-z[1])),
            "score": np.exp(z[2]),
            "answer": (z[3] > 0.8).astype(float),
        }
    )
    holes = rng.random((ROWS, 4)) < 1 / (1 + np.exp(1.0 - x))[:, None]
    data = complete.copy()
    data.iloc[:, 1:] = complete.iloc[:, 1:].mask(holes)
    return complete, data


MODEL = (
    "count ~ x\nshare ~ x\nscore ~ x\nanswer ~ x\n"
    "count ~~ share + score + answer\nshare ~~ score + answer\nscore ~~ answer"
)
RULES = {"bounds": {"count": (0, 10), "share": (0, 1)}, "integers": "count", "pmm": "score", "ordinal": "answer"}


def test_imputed_values_are_possible_values(survey: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, data = survey
    for table in impute(data, MODEL, 3, **RULES):  # type: ignore[arg-type]
        count = table["count"]
        assert np.array_equal(count, np.rint(count))
        assert count.between(0, 10).all()
        assert not np.signbit(count).any()
        assert table["share"].between(0, 1).all()
        assert set(table["score"]) <= set(data["score"].dropna())
        assert set(table["answer"]) == {0.0, 1.0}
        pd.testing.assert_frame_equal(table.where(data.notna()), data)


def test_shares_of_answers_are_those_of_the_complete_data(survey: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    complete, data = survey
    truth = complete["answer"].mean()
    naive = data["answer"].mean()
    imputed = np.mean([table["answer"].mean() for table in impute(data, MODEL, 20, ordinal="answer")])
    error = np.sqrt(truth * (1 - truth) / ROWS)
    assert truth - naive > 2 * error  # answers are missing where they would be yes
    assert imputed == pytest.approx(truth, abs=2 * error)


def test_matched_cells_of_a_row_stay_correlated() -> None:
    rng = np.random.default_rng(5)
    values = rng.multivariate_normal([0, 0, 0], [[1, 0.3, 0.3], [0.3, 1, 0.9], [0.3, 0.9, 1]], 2000)
    data = pd.DataFrame(values, columns=["x", "a", "b"])
    together = rng.random(2000) < 0.4
    data.loc[together, ["a", "b"]] = np.nan
    table = impute(data, "a ~ x\nb ~ x\na ~~ b", 1, pmm=("a", "b"), donors=10).complete(1)
    found = np.corrcoef(table.loc[together, ["a", "b"]].T)[0, 1]
    # choosing one of ten ordered donors loses little of a correlation of .9; independent donors would leave .09
    assert 0.75 < found < 0.95


def test_matching_keeps_the_distribution_that_normal_draws_miss(survey: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    complete, data = survey
    matched = np.concatenate([t["score"][data["score"].isna()] for t in impute(data, MODEL, 10, pmm="score")])
    normal = np.concatenate([t["score"][data["score"].isna()] for t in impute(data, MODEL, 10)])
    hidden = complete["score"][data["score"].isna()]
    levels = [0.05, 0.25, 0.5]
    errors = [np.abs(np.quantile(drawn, levels) - np.quantile(hidden, levels)).max() for drawn in (matched, normal)]
    assert matched.min() > 0 > normal.min()
    assert errors[0] < errors[1] / 2


def test_regressions_are_recovered_from_matched_and_rounded_columns(survey: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    complete, data = survey
    analysis = "share ~ x\ncount ~ x\nshare ~~ count"
    truth = sem(analysis, complete).parameter_estimates().set_index(["lhs", "op", "rhs"])
    pooled = impute(data, MODEL, 20, **RULES).fit(analysis).parameter_estimates()  # type: ignore[arg-type]
    pooled = pooled.set_index(["lhs", "op", "rhs"])
    slopes = [("share", "~", "x"), ("count", "~", "x")]
    difference = pooled.loc[slopes, "est"] - truth.loc[slopes, "est"]
    assert (difference.abs() < 3 * pooled.loc[slopes, "se"]).all()


def test_ordinal_categories_can_be_named(survey: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, data = survey
    named = impute(data, MODEL, 1, ordinal={"answer": (0, 1)}).complete(1)
    pd.testing.assert_frame_equal(named, impute(data, MODEL, 1, ordinal="answer").complete(1))


def test_nullable_columns_keep_their_types() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(200)
    data = pd.DataFrame({"x": x, "k": np.rint(x + rng.standard_normal(200)), "yes": x + rng.standard_normal(200) > 0})
    holes = rng.random((200, 3)) < 0.2
    data = data.mask(holes & ~holes.all(axis=1, keepdims=True)).astype({"x": "Float64", "k": "Int64", "yes": "boolean"})
    table = impute(data, "k ~ x\nyes ~ x + k", 1, integers="k", ordinal="yes").complete(1)
    assert table.dtypes.astype(str).tolist() == ["Float64", "Int64", "boolean"]
    assert table.notna().all().all()
    plain = impute(data, "k ~ x\nyes ~ x + k", 1).complete(1)
    assert plain.dtypes.astype(str).tolist() == ["Float64", "float64", "float64"]
    assert_allclose(plain["k"][data["k"].notna()], data["k"].dropna().astype(float))
