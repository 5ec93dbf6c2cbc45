from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fosa_sem import ampute
from fosa_sem.errors import DataError, FosaWarning, OptionError
from fosa_sem.evaluate.ampute import amputation

N = 5000


@pytest.fixture(scope="module")
def complete() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    values = rng.multivariate_normal([5.0, 0.0, -2.0], [[4.0, 1.0, 0.5], [1.0, 1.0, 0.3], [0.5, 0.3, 1.0]], N)
    return pd.DataFrame(values, columns=list("abc"), index=np.arange(N) + 10)


@pytest.mark.parametrize("mechanism", ["MCAR", "MAR", "MNAR"])
@pytest.mark.parametrize("kind", ["RIGHT", "LEFT", "MID", "TAIL"])
def test_expected_proportion_is_exact_and_the_found_one_is_near(complete, mechanism, kind) -> None:
    result = amputation(complete, 0.35, mechanism, type=kind, seed=4)
    assert_allclose(result.probability.mean(), 0.35, atol=1e-9)
    assert abs(result.mask.any(axis=1).mean() - 0.35) < 4 * np.sqrt(0.35 * 0.65 / N)


def test_only_masked_cells_are_gone(complete) -> None:
    options = {"patterns": [[0, 1, 1], [1, 0, 0]], "freq": [1, 3], "seed": 1}
    result = amputation(complete, 0.5, **options)
    assert_array_equal(result.data.isna(), result.mask)
    assert (result.data.where(~result.mask, 0.0) == complete.where(~result.mask, 0.0)).to_numpy().all()
    assert result.data.index.equals(complete.index)
    patterns = {tuple(row) for row in result.mask.to_numpy()}
    assert patterns == {(False, False, False), (True, False, False), (False, True, True)}
    share = result.mask["a"].sum() / result.mask.any(axis=1).sum()
    assert abs(share - 0.25) < 0.04
    pd.testing.assert_frame_equal(
        result.data, ampute(complete, 0.5, patterns=[[0, 1, 1], [1, 0, 0]], freq=[1, 3], seed=1)
    )


def test_the_seed_decides(complete) -> None:
    first, second = (ampute(complete, seed=s) for s in (1, 1))
    pd.testing.assert_frame_equal(first, second)
    assert (ampute(complete, seed=2).isna() != first.isna()).to_numpy().any()


def test_mar_depends_on_what_stays_and_mnar_on_what_goes(complete) -> None:
    pattern = [[1, 0, 1]]
    gone = {m: ampute(complete, 0.4, m, patterns=pattern, seed=3)["b"].isna() for m in ("MCAR", "MAR", "MNAR")}
    z = (complete - complete.mean()) / complete.std()
    gap = {m: z[g].mean() - z[~g].mean() for m, g in gone.items()}
    assert gap["MCAR"].abs().max() < 0.12
    assert gap["MAR"]["a"] > 0.5
    assert gap["MNAR"]["b"] > 0.7
    # Under MNAR the others are related to the holes only through b: nothing is left given b.
    others = z[["a", "c"]].sub(np.outer(z["b"], [z["a"].corr(z["b"]), z["c"].corr(z["b"])]))
    assert (others[gone["MNAR"]].mean() - others[~gone["MNAR"]].mean()).abs().max() < 0.12


def test_probabilities_are_the_logistic_ones(complete) -> None:
    result = amputation(complete, 0.3, "MNAR", patterns=[[0, 1, 1]], type="RIGHT", seed=5)
    z = (complete["a"] - complete["a"].mean()) / complete["a"].std()
    assert_allclose(result.scores, z, rtol=1e-9)
    logit = np.log(result.probability / (1 - result.probability))
    assert_allclose(np.diff(logit), np.diff(z), atol=1e-8)
    tail = amputation(complete, 0.3, "MNAR", patterns=[[0, 1, 1]], type="TAIL", seed=5).probability
    assert_allclose(np.diff(np.log(tail / (1 - tail))), np.diff(np.abs(z)), atol=1e-8)


def test_odds_are_those_of_quantile_groups(complete) -> None:
    result = amputation(complete, 0.3, "MNAR", patterns=[[0, 1, 1]], odds=[1, 2, 3, np.nan], seed=5)
    group = pd.qcut(complete["a"], 3, labels=False).to_numpy()
    assert_allclose([result.probability[group == g].mean() for g in range(3)], [0.15, 0.3, 0.45], rtol=1e-3)
    assert set(np.round(result.probability, 9)) == {0.15, 0.3, 0.45}


def test_weights_and_std(complete) -> None:
    raw = amputation(complete, 0.3, patterns=[[1, 0, 1]], weights=[1, 0, 2], std=False, seed=1)
    scores = complete @ np.array([1, 0, 2])
    assert_allclose(raw.scores, (scores - scores.mean()) / scores.std())
    standardised = amputation(complete, 0.3, patterns=[[1, 0, 1]], weights=[1, 0, 2], seed=1)
    z = ((complete - complete.mean()) / complete.std()) @ np.array([1, 0, 2])
    assert_allclose(standardised.scores, (z - z.mean()) / z.std())


def test_share_of_cells(complete) -> None:
    result = amputation(complete, 0.2, "MCAR", patterns=[[0, 1, 1], [1, 0, 0]], by_cases=False, seed=2)
    assert_allclose(result.proportion, 0.2 * 3 * (0.5 / 1 + 0.5 / 2))
    pattern = result.candidate[result.mask.any(axis=1)]
    rows = np.bincount(pattern)
    assert abs(rows[0] - rows[1]) < 4 * np.sqrt(N * 0.25)


def test_patterns_by_name_and_those_that_remove_nothing(complete) -> None:
    by_name = pd.DataFrame({"c": [0, 1], "a": [1, 1], "b": [1, 1]})
    with pytest.warns(FosaWarning, match=r"becomes 0\.2"):
        result = amputation(complete, 0.4, patterns=by_name, weights=[[1, 0, 0], [0, 1, 0]], type=["RIGHT", "LEFT"])
    assert result.patterns.to_numpy().tolist() == [[1, 1, 0]]
    assert result.weights.to_numpy().tolist() == [[1, 0, 0]]
    assert result.mask[["a", "b"]].to_numpy().sum() == 0
    assert_allclose(result.proportion, 0.2)


def test_mcar_takes_columns_of_any_type(complete) -> None:
    mixed = complete.head(200).assign(word="a", count=np.arange(200), yes=True)
    holes = ampute(mixed, 0.6, "MCAR", seed=1)
    assert holes["word"].isna().any()
    assert holes["count"].dtype == np.float64
    assert "word" not in mixed.columns[mixed.isna().any()]
    with pytest.raises(DataError, match="'word' has dtype"):
        ampute(mixed, 0.6, "MAR")


def test_constant_scores_are_told(complete) -> None:
    flat = complete.assign(a=1.1)
    with pytest.warns(FosaWarning, match="same score"):
        result = amputation(flat, 0.3, patterns=[[1, 0, 0]], seed=1)
    assert_allclose(result.probability, 0.3)


def test_patterns_without_candidates_and_cut_odds_are_told(complete) -> None:
    with pytest.warns(FosaWarning, match="pattern 2"):
        ampute(complete.head(20), patterns=[[0, 1, 1], [1, 0, 1]], freq=[1, 0], seed=1)
    with pytest.warns(FosaWarning, match="above 1"):
        ampute(complete, 0.8, patterns=[[0, 1, 1]], odds=[0, 0, 0, 1], seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"proportion": 0}, "above 0 and below 1"),
        ({"proportion": True}, "above 0 and below 1"),
        ({"mechanism": "mar"}, "MCAR, MAR, MNAR"),
        ({"patterns": [[1, 2, 0]]}, "0 .removed. and 1"),
        ({"patterns": [[1, 0]]}, "2 columns and the data 3"),
        ({"patterns": [[1, 1, 1]]}, "remove nothing"),
        ({"patterns": [[0, 0, 0]]}, "leaves nothing on which MAR"),
        ({"patterns": [["a", "b", "c"]]}, "must hold numbers"),
        ({"patterns": pd.DataFrame({"a": [0], "b": [1]})}, "columns of the data"),
        ({"freq": [1, 2]}, "3 numbers"),
        ({"freq": [1, -1, 1]}, "none negative"),
        ({"weights": [1, 1]}, "2 columns"),
        ({"weights": [[1, 1, 1], [1, 1, 1]]}, "weights has 2 rows"),
        ({"weights": [0, 0, 0]}, "zeros only"),
        ({"weights": [1, 1, 1], "mechanism": "MCAR"}, "no meaning under MCAR"),
        ({"odds": [1, 2], "mechanism": "MCAR"}, "no meaning under MCAR"),
        ({"odds": [1, -2]}, "not negative"),
        ({"odds": [[1, 2], [1, 2]]}, "odds has 2 rows"),
        ({"type": "UP"}, "RIGHT, LEFT, MID, TAIL"),
        ({"type": ["LEFT", "RIGHT"]}, "type has 2 rows"),
        ({"by_cases": False, "proportion": 0.5}, "holes in 150% of the rows"),
        ({"seed": -1}, "not negative"),
        ({"seed": 1.5}, "whole number"),
    ],
)
def test_bad_arguments(complete, arguments, message) -> None:
    with pytest.raises(OptionError, match=message):
        ampute(complete, **arguments)


def test_bad_data(complete) -> None:
    with pytest.raises(DataError, match=r"'b' has holes.*mask_cells"):
        ampute(complete.assign(b=np.nan))
    with pytest.raises(DataError, match="one column"):
        ampute(complete[["a"]])
    with pytest.raises(DataError, match="too few values"):
        ampute(complete.round(0).clip(0, 1), patterns=[[1, 0, 0]], odds=[1, 2, 3, 4])
