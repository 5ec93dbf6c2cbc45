"""Methods see the holes and never the truth, and all are scored on the same cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.ampute import ampute
from fosa_sem.evaluate.baselines import column_mean
from fosa_sem.evaluate.experiment import compare
from fosa_sem.evaluate.masking import hide_cells, mask_cells
from fosa_sem.evaluate.metrics import COLUMNS, imputation_metrics
from fosa_sem.evaluate.summary import overall_table


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    frame = pd.DataFrame({"x": x, "y": x + 0.5 * rng.normal(size=80), "z": rng.normal(size=80)})
    return frame.mask(rng.random(frame.shape) < 0.1)


class Spy:
    """Fills with zeros, keeps what it was given, and then spoils it."""

    def __init__(self):
        self.seen = []
        self.seeds = []

    def __call__(self, table, seed):
        self.seen.append(table.copy())
        self.seeds.append(seed)
        filled = table.fillna(0.0)
        table[table.select_dtypes("number").columns] = -1.0
        return filled


def noise(table, seed):
    return table.fillna(pd.DataFrame(np.random.default_rng(seed).normal(size=table.shape), columns=table.columns))


def test_methods_get_holes_instead_of_the_truth(data):
    copy = data.copy()
    spies = {"one": Spy(), "two": Spy()}
    compare(data, spies, seeds=(3, 5), proportion=0.2)
    pd.testing.assert_frame_equal(data, copy)
    for spy in spies.values():
        assert spy.seeds == [3, 5]
        for table, seed in zip(spy.seen, spy.seeds, strict=True):
            pd.testing.assert_frame_equal(table, hide_cells(data, mask_cells(data, 0.2, seed)))


def test_hidden_values_have_no_influence_on_what_methods_get(data):
    mask = mask_cells(data, 0.2, seed=1)
    other = data.mask(mask & data.notna(), 1e6)
    first, second = Spy(), Spy()
    compare(data, {"spy": first}, mask=mask)
    compare(other, {"spy": second}, mask=mask)
    pd.testing.assert_frame_equal(first.seen[0], second.seen[0])


def test_rows_are_those_of_the_metrics(data):
    table = compare(data, {"mean": column_mean, "noise": noise}, seeds=(0, 1), proportion=0.2)
    assert list(table.columns) == ["seed", "method", *COLUMNS]
    assert table["variable"].tolist() == ["x", "y", "z", "overall"] * 4
    for seed in (0, 1):
        mask = mask_cells(data, 0.2, seed)
        holes = hide_cells(data, mask)
        for name, method in {"mean": column_mean, "noise": noise}.items():
            rows = table[(table["seed"] == seed) & (table["method"] == name)]
            expected = imputation_metrics(data, method(holes, seed), mask)
            pd.testing.assert_frame_equal(rows[list(COLUMNS)].reset_index(drop=True), expected)


def test_same_seeds_same_table(data):
    runs = [compare(data, {"noise": noise}, seeds=(0, 1)) for _ in range(2)]
    pd.testing.assert_frame_equal(*runs)
    assert not runs[0].equals(compare(data, {"noise": noise}, seeds=(0, 2)))


def test_one_call_may_give_several_tables(data):
    calls = []

    def both(table, seed):
        calls.append(seed)
        return {"sem": column_mean(table), "refined": table.fillna(0.0)}

    table = compare(data, {"both": both, "mean": column_mean})
    assert calls == [0]
    assert table["method"].unique().tolist() == ["sem", "refined", "mean"]
    scores = {name: rows[list(COLUMNS)].reset_index(drop=True) for name, rows in table.groupby("method")}
    pd.testing.assert_frame_equal(scores["sem"], scores["mean"])
    assert not scores["sem"].equals(scores["refined"])


def test_given_mask_columns_and_discrete(data):
    mask = mask_cells(data, 0.3, seed=9, columns=["z", "x"])
    table = compare(data, {"mean": column_mean}, mask=mask.to_numpy(), seeds=(0, 1))
    assert table["variable"].tolist() == ["x", "z", "overall"] * 2
    assert table["n_masked"].tolist()[:2] == [mask["x"].sum(), mask["z"].sum()]
    assert compare(data, {"mean": column_mean}, columns=["x", "y"])["variable"].tolist() == [
        "x",
        "y",
        "overall",
    ]
    codes = data.round().clip(-1, 1)
    by_category = compare(codes, {"noise": noise})["kl"]
    assert not np.allclose(by_category, compare(codes, {"noise": noise}, discrete=())["kl"])


def test_a_failing_method_is_named(data):
    def broken(table, seed):
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError) as caught:
        compare(data, {"mean": column_mean, "broken": broken}, seeds=(4,))
    assert caught.value.__notes__ == ["in method 'broken', seed 4"]


def test_a_method_that_leaves_holes_is_named(data):
    with pytest.raises(DataError, match="'x' of imputed is missing") as caught:
        compare(data, {"lazy": lambda table, seed: table})
    assert caught.value.__notes__ == ["in method 'lazy', seed 0"]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "methods is empty"),
        ({"array": lambda table, seed: table.to_numpy()}, "'array' returned ndarray"),
        ({"none": lambda table, seed: {}}, "'none' returned dict without a table"),
        ({"inner": lambda table, seed: {"a": 1}}, "returned int as 'a'"),
        ({"sem": column_mean, "both": lambda table, seed: {"sem": column_mean(table)}}, "are called 'sem'"),
    ],
)
def test_bad_methods(data, methods, message):
    with pytest.raises(OptionError, match=message):
        compare(data, methods)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [((), "seeds is empty"), (3, r"write \(3,\)"), ((1, 1), "twice"), ((-1,), "seed must be")],
)
def test_bad_seeds(data, seeds, message):
    with pytest.raises(OptionError, match=message):
        compare(data, {"mean": column_mean}, seeds=seeds)


def test_progress_goes_to_the_error_stream_on_request_only(data, capsys):
    compare(data, {"mean": column_mean})
    assert capsys.readouterr() == ("", "")
    compare(data, {"mean": column_mean}, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "seed 0, mean" in shown.err


def test_overall_table(data):
    table = compare(data, {"noise": noise, "mean": column_mean}, seeds=(0, 1, 2))
    overall = overall_table(table)
    assert overall["method"].tolist() == ["noise", "mean"]
    assert overall["seeds"].tolist() == [3, 3]
    rows = table[(table["variable"] == "overall") & (table["method"] == "noise")]
    assert list(overall.columns) == ["method", "seeds", *COLUMNS[1:]]
    assert_allclose(overall.loc[0, list(COLUMNS[1:])].to_numpy(float), rows[list(COLUMNS[1:])].mean().to_numpy())


def test_overall_table_needs_a_comparison(data):
    table = compare(data, {"mean": column_mean})
    with pytest.raises(DataError, match="no column 'method'"):
        overall_table(table.drop(columns="method"))
    with pytest.raises(DataError, match="no row 'overall'"):
        overall_table(table[table["variable"] == "x"])


@pytest.fixture
def complete(data):
    rng = np.random.default_rng(1)
    return data.fillna(0.0).assign(name=[f"row {i}" for i in range(len(data))], z=rng.normal(size=len(data)))


def test_mechanism_hides_what_ampute_removes(complete):
    for mechanism in ("MCAR", "MAR", "MNAR"):
        spy = Spy()
        table = compare(complete, {"spy": spy}, mechanism=mechanism, seeds=(2, 3))
        for seen, seed in zip(spy.seen, (2, 3), strict=True):
            removed = ampute(complete[["x", "y", "z"]], 0.5, mechanism, seed=seed)
            pd.testing.assert_frame_equal(seen[["x", "y", "z"]], removed)
            assert seen["name"].equals(complete["name"])
        hidden = [int(seen.isna().sum().sum()) for seen in spy.seen]
        assert table.query("variable == 'overall'")["n_masked"].tolist() == hidden


def test_mechanism_takes_the_arguments_of_ampute(complete):
    spy = Spy()
    given = {"mechanism": "MAR", "proportion": 0.2, "patterns": [[1, 0]], "type": "TAIL"}
    table = compare(complete, {"spy": spy}, mechanism=given, columns=["x", "y"])
    expected = ampute(complete[["x", "y"]], 0.2, "MAR", patterns=[[1, 0]], type="TAIL", seed=0)
    pd.testing.assert_frame_equal(spy.seen[0][["x", "y"]], expected)
    assert table["variable"].tolist() == ["y", "overall"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "MAR", "proportion": 0.3}, "proportion and mechanism are given"),
        ({"mask": np.ones((80, 4), dtype=bool), "mechanism": "MAR"}, "mask and mechanism are given"),
        ({"mask": np.ones((80, 4), dtype=bool), "proportion": 0.1}, "mask and proportion are given"),
        ({"mechanism": "NMAR"}, "must be one of MCAR, MAR, MNAR"),
        ({"mechanism": {"share": 0.3}}, "'share', no argument of ampute"),
        ({"mechanism": {"seed": 3}}, "'seed', no argument of ampute"),
        ({"mechanism": "MAR", "columns": ["x", "w"]}, "'w', which is not a column"),
    ],
)
def test_bad_choice_of_cells(complete, options, message):
    with pytest.raises(OptionError, match=message):
        compare(complete, {"mean": column_mean}, **options)


def test_mechanism_needs_complete_data(data):
    with pytest.raises(DataError, match="has holes"):
        compare(data, {"mean": column_mean}, mechanism="MAR")
