"""Columns of categories, bounds and whole numbers in FosaImputer."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fosa_sem import FosaImputer, RefinerConfig, sem
from fosa_sem.errors import DataError, OptionError

MODEL = "x ~ grade + yes + flag\nfew ~ x"
N = 600


def complete_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    z = rng.normal(size=N)

    def noisy() -> np.ndarray:
        return z + rng.normal(scale=0.5, size=N)

    grade = np.digitize(noisy(), [-0.7, 0.7])
    race = np.argmax(np.column_stack([z, -z, 0 * z]) * 2 + rng.gumbel(size=(N, 3)), axis=1)
    return pd.DataFrame(
        {
            "x": noisy(),
            "grade": pd.Categorical.from_codes(grade, ["low", "mid", "high"], ordered=True),
            "yes": pd.Series(np.where(noisy() > 0, "Yes", "No"), dtype=object),
            "race": pd.Categorical.from_codes(race, ["A", "B", "C"]),
            "flag": pd.array(noisy() > 0.5, dtype="boolean"),
            "few": pd.array(np.digitize(noisy(), [-1, 0, 1]), dtype="Int64"),
            "other": "t",
        }
    )


def with_holes(table: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    table = table.copy()
    for name in table.columns[:-1]:
        hole = rng.random(N) < 0.2
        if name == "few":
            hole &= table["x"].notna().to_numpy()  # no row without a value of the smallest model
        table[name] = table[name].mask(hole)
    return table


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return complete_table()


@pytest.fixture(scope="module")
def holes(truth: pd.DataFrame) -> pd.DataFrame:
    return with_holes(truth)


def coded(table: pd.DataFrame) -> pd.DataFrame:
    """By hand, as the documentation says."""
    return pd.DataFrame(
        {
            "x": table["x"],
            "grade": table["grade"].map({"low": 0.0, "mid": 1.0, "high": 2.0}).astype(float),
            "yes": table["yes"].map({"No": 0.0, "Yes": 1.0}).astype(float),
            "flag": table["flag"].astype("Float64").to_numpy(dtype=float, na_value=np.nan),
            "few": table["few"].to_numpy(dtype=float, na_value=np.nan),
        }
    )


# ---- ordered categories, text and truth values --------------------------------------------------------------


def test_categories_enter_the_model_by_their_order_and_come_back_as_expected_values(holes: pd.DataFrame) -> None:
    before = holes.copy(deep=True)
    filled = FosaImputer(MODEL, refiner=None).fit(holes).transform(holes)
    expected = sem(MODEL, coded(holes), fixed_x=False).impute().to_frame()
    for name in expected.columns:
        np.testing.assert_allclose(filled[name], expected[name], rtol=1e-12)
    pd.testing.assert_frame_equal(holes, before)
    pd.testing.assert_series_equal(filled["race"], holes["race"])
    assert list(filled.columns) == list(holes.columns)


def test_most_probable_categories_come_in_the_dtype_of_the_column(truth: pd.DataFrame, holes: pd.DataFrame) -> None:
    imputer = FosaImputer(MODEL, refiner=None, output="category", categorical={"race": "nominal"}).fit(holes)
    filled = imputer.transform(holes)
    assert not filled.isna().any(axis=None)
    for name in ("grade", "yes", "race", "flag", "few"):
        assert filled[name].dtype == holes[name].dtype, name
        seen = holes[name].notna()
        assert (filled[name][seen] == truth[name][seen]).all()
        hit = (filled[name] == truth[name])[~seen].mean()
        assert hit > truth[name].value_counts(normalize=True).max() + 0.1, name
    pd.testing.assert_series_equal(filled["other"], holes["other"])
    assert filled["x"].dtype == float


def test_probabilities_agree_with_what_transform_gives(holes: pd.DataFrame) -> None:
    imputer = FosaImputer(MODEL, refiner=None, categorical={"race": "nominal"}).fit(holes)
    expected, found = imputer.transform(holes), imputer.category_probabilities(holes)
    chosen = imputer.set_params(output="category").transform(holes)
    assert list(found) == ["few", "grade", "yes", "flag", "race"] or set(found) == {
        "few", "grade", "yes", "flag", "race",
    }  # fmt: skip
    codes = {"few": [0, 1, 2, 3], "grade": [0, 1, 2], "yes": [0, 1], "flag": [0, 1]}
    for name, table in found.items():
        np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-9)
        seen = holes[name].notna()
        assert (table[seen].max(axis=1) == 1).all()
        assert (table.idxmax(axis=1) == chosen[name]).all()
        if name != "race":
            inside = expected[name].clip(min(codes[name]), max(codes[name]))
            np.testing.assert_allclose(table.to_numpy() @ codes[name], inside, atol=1e-5)
    pd.testing.assert_index_equal(found["race"].index, holes.index)


def test_numbers_with_few_values_are_filled_as_ever(holes: pd.DataFrame) -> None:
    table = coded(holes)
    auto = FosaImputer(MODEL, refiner=None).fit(table)
    none = FosaImputer(MODEL, refiner=None, categorical=None).fit(table)
    pd.testing.assert_frame_equal(auto.transform(table), none.transform(table), check_exact=True)
    assert {c.name: c.kind for c in auto.types_.columns} == {
        "grade": "ordinal", "yes": "binary", "flag": "binary", "few": "ordinal",
    }  # fmt: skip
    assert none.types_.columns == ()
    assert auto.completion_.table is table


def test_without_categories_columns_must_be_numbers(holes: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"'grade' is categorical|'yes'"):
        FosaImputer(MODEL, refiner=None, categorical=None).fit(holes)


def test_kinds_can_be_declared(holes: pd.DataFrame) -> None:
    table = coded(holes)
    declared = FosaImputer(MODEL, refiner=None, categorical={"few": "continuous", "yes": "ordinal"}).fit(table)
    assert {c.name: c.kind for c in declared.types_.columns} == {
        "grade": "ordinal", "yes": "ordinal", "flag": "binary",
    }  # fmt: skip


def test_few_values_that_are_rarely_observed_are_numbers() -> None:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"a": rng.integers(0, 9, 60).astype(float), "b": rng.normal(size=60)})
    assert FosaImputer("a ~~ b", refiner=None).fit(data).types_.columns == ()


def test_unobserved_categories_keep_their_place_in_the_order(holes: pd.DataFrame) -> None:
    table = holes.assign(grade=holes["grade"].cat.set_categories(["none", "low", "mid", "high"]))
    filled = FosaImputer(MODEL, refiner=None).fit(table).transform(table)
    assert set(filled["grade"][holes["grade"].notna()]) == {1.0, 2.0, 3.0}


# ---- nominal columns ----------------------------------------------------------------------------------------


def test_a_nominal_column_informs_by_its_indicators(holes: pd.DataFrame) -> None:
    imputer = FosaImputer("x ~ few", refiner=None, categorical={"race": "nominal"}).fit(holes)
    assert imputer.completion_.variables == ("x", "few", "race=B", "race=C")
    table = pd.DataFrame({"x": holes["x"], "few": coded(holes)["few"]})
    for name in "BC":
        table[name] = (holes["race"] == name).astype(float).mask(holes["race"].isna())
    expected = sem("x ~ few", table, fixed_x=False, auxiliary=("B", "C")).impute().to_frame()
    np.testing.assert_allclose(imputer.transform(holes)["x"], expected["x"], rtol=1e-10)
    named = FosaImputer("x ~ few", refiner=None, sem_options={"auxiliary": "race"}).fit(holes)
    pd.testing.assert_frame_equal(named.transform(holes), imputer.transform(holes))
    assert not imputer.transform(holes)["race"].isna().any()


def test_refined_indicators_are_the_probabilities(holes: pd.DataFrame) -> None:
    imputer = FosaImputer("x ~ few", refiner=None, categorical={"race": "nominal"}).fit(holes)
    found = imputer.category_probabilities(holes)["race"]
    np.testing.assert_allclose(imputer.refined_.values[:, 2:], found[["B", "C"]], atol=1e-12)


def test_numbers_can_be_nominal_and_keep_their_dtype(holes: pd.DataFrame) -> None:
    table = holes.assign(code=holes["race"].map({"A": 7, "B": 3, "C": 11}).astype("Int64"))
    imputer = FosaImputer("x ~ few", refiner=None, categorical={"code": "nominal"}).fit(table)
    filled = imputer.transform(table)
    assert filled["code"].dtype == "Int64"
    assert set(filled["code"]) == {3, 7, 11}
    assert imputer.completion_.variables[2:] == ("code=7", "code=11")


def test_a_nominal_column_in_the_model_is_refused_with_a_way_out(holes: pd.DataFrame) -> None:
    with pytest.raises(
        DataError, match=r"'race' has 3 unordered categories.*declare categorical=\{'race': 'nominal'\}"
    ):
        FosaImputer("x ~ race", refiner=None).fit(holes)


# ---- new rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("grade", "top"), ("yes", "Maybe"), ("race", "D"), ("few", 5)]
)  # fmt: skip
def test_an_unknown_category_is_named_with_its_column(holes: pd.DataFrame, name: str, value: Any) -> None:
    kinds = {"race": "nominal", "few": "ordinal"}
    imputer = FosaImputer(MODEL, refiner=None, categorical=kinds).fit(holes)
    new = holes.iloc[:4].astype({name: object})
    new.loc[2, name] = value
    with pytest.raises(DataError, match=rf"'{name}' has the value {value!r}, which was not in the data fitted to"):
        imputer.transform(new)


def test_a_new_number_in_a_detected_column_is_a_number(holes: pd.DataFrame) -> None:
    imputer = FosaImputer("few ~ x", refiner=None).fit(holes)
    new = pd.DataFrame(holes.iloc[:2]).assign(few=[7, 0], x=np.nan)
    assert np.isfinite(imputer.transform(new)["x"]).all()


def test_rows_with_another_dtype_of_the_same_values_are_read(holes: pd.DataFrame) -> None:
    imputer = FosaImputer(MODEL, refiner=None, output="category").fit(holes)
    new = holes.iloc[:50].assign(
        grade=holes["grade"].astype(object), yes=holes["yes"].astype("category"), few=holes["few"].astype("Float64")
    )
    filled, expected = imputer.transform(new), imputer.transform(holes.iloc[:50])
    names = ["x", "grade", "yes", "flag", "few"]
    assert (filled[names].astype(object) == expected[names].astype(object)).all(axis=None)
    lacking = holes.iloc[:50].assign(grade=pd.Categorical([None] * 49 + ["mid"], ["mid"], ordered=True))
    assert set(imputer.transform(lacking)["grade"]) <= {"low", "mid", "high"}


def test_saved_imputers_know_their_categories(holes: pd.DataFrame, tmp_path: Path) -> None:
    imputer = FosaImputer(
        MODEL,
        refiner=None,
        output="category",
        categorical={"race": "nominal"},
        bounds={"x": (-8, None)},
        integers="few",
    ).fit(holes)
    loaded = FosaImputer.load(imputer.save(tmp_path / "a"))
    assert loaded.get_params() == imputer.get_params()
    pd.testing.assert_frame_equal(loaded.transform(holes), imputer.transform(holes), check_exact=True)
    for name, table in imputer.category_probabilities(holes).items():
        pd.testing.assert_frame_equal(loaded.category_probabilities(holes)[name], table, check_exact=True)


def test_evaluation_scores_codes_and_leaves_indicators_alone(holes: pd.DataFrame) -> None:
    imputer = FosaImputer(MODEL, refiner=None, categorical={"race": "nominal"}).fit(holes)
    metrics = imputer.evaluate()
    assert set(metrics["variable"]) == {"x", "few", "grade", "yes", "flag", "overall"}
    repeated = holes.set_index(pd.Index(np.arange(N) // 2))  # an index need not be unique
    again = FosaImputer(MODEL, refiner=None, categorical={"race": "nominal"}).fit(repeated)
    pd.testing.assert_frame_equal(again.evaluate(), metrics)
    pd.testing.assert_frame_equal(
        again.set_params(output="category").transform(repeated).reset_index(drop=True),
        imputer.set_params(output="category").transform(holes),
    )


# ---- with a refiner -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refining(holes: pd.DataFrame) -> FosaImputer:
    config = RefinerConfig(epochs=20, width=16, heads=2, layers=1, folds=2, check_every=5)
    return FosaImputer(MODEL, refiner=config, categorical={"race": "nominal"}).fit(holes)


def test_the_refiner_knows_levels_and_blocks(refining: FosaImputer) -> None:
    assert refining.refiner_ is not None
    levels = {name: values.tolist() for name, values in refining.refiner_.levels.items()}
    assert levels == {
        "few": [0, 1, 2, 3], "grade": [0, 1, 2], "yes": [0, 1], "flag": [0, 1], "race=B": [0, 1], "race=C": [0, 1],
    }  # fmt: skip
    assert refining.refiner_.blocks == (("race=B", "race=C"),)


def test_refined_probabilities_agree_with_refined_values(refining: FosaImputer, holes: pd.DataFrame) -> None:
    expected, found = refining.transform(holes), refining.category_probabilities(holes)
    filled = copy(refining).set_params(output="category").transform(holes)
    for name, codes in {"few": [0, 1, 2, 3], "grade": [0, 1, 2], "yes": [0, 1], "flag": [0, 1]}.items():
        inside = expected[name].clip(min(codes), max(codes))
        np.testing.assert_allclose(found[name].to_numpy() @ codes, inside, atol=1e-5)
        assert (found[name].idxmax(axis=1) == filled[name]).all()
    assert (found["race"].idxmax(axis=1) == expected["race"]).all()
    np.testing.assert_allclose(found["race"].sum(axis=1), 1.0, rtol=1e-9)


def test_saved_refined_categories_are_the_same(refining: FosaImputer, holes: pd.DataFrame, tmp_path: Path) -> None:
    loaded = FosaImputer.load(refining.save(tmp_path / "a"))
    pd.testing.assert_frame_equal(loaded.transform(holes), refining.transform(holes), check_exact=True)
    for name, table in refining.category_probabilities(holes).items():
        pd.testing.assert_frame_equal(loaded.category_probabilities(holes)[name], table, check_exact=True)


# ---- bounds and whole numbers -------------------------------------------------------------------------------


def skewed() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    a = rng.normal(size=300)
    table = pd.DataFrame({"a": a, "count": np.floor(np.exp(a + rng.normal(scale=0.3, size=300))), "c": a})
    table["c"] = (a + rng.normal(size=300)).clip(-1.5, 1.5)
    return table.mask(rng.random(table.shape) < 0.3).dropna(how="all").reset_index(drop=True)


def test_bounds_and_whole_numbers_are_respected_and_counted(tmp_path: Path) -> None:
    data = skewed()
    free = FosaImputer("count ~ a + c", refiner=None).fit(data)
    ruled = FosaImputer(
        "count ~ a + c", refiner=None, bounds={"count": (0, None), "c": (-1.5, 1.5)}, integers=["count"]
    ).fit(data)
    values, filled = free.transform(data), ruled.transform(data)
    pd.testing.assert_frame_equal(filled, ruled.refined_.to_frame())
    pd.testing.assert_series_equal(filled["a"], values["a"])
    clipped = values["count"].clip(lower=0)
    np.testing.assert_array_equal(filled["count"], clipped.round())
    np.testing.assert_array_equal(filled["c"], values["c"].clip(-1.5, 1.5))
    expected = pd.DataFrame(
        {
            "variable": ["count", "c"],
            "filled": data[["count", "c"]].isna().sum().to_numpy(),
            "clipped": [(values["count"] < 0).sum(), (values["c"].abs() > 1.5).sum()],
            "rounded": [(clipped != clipped.round()).sum(), 0],
        }
    )
    pd.testing.assert_frame_equal(ruled.adjustments_, expected)
    assert expected["clipped"].min() > 0
    assert (ruled.completion_.values == free.completion_.values).all()
    assert len(free.adjustments_) == 0
    report = ruled.report(tmp_path / "a.md").read_text(encoding="utf-8")
    assert "Filled values moved to bounds and whole numbers" in report
    assert "moved to bounds" not in free.report(tmp_path / "b.md").read_text(encoding="utf-8")


def test_bounds_of_whole_numbers_that_are_not_whole_are_drawn_in() -> None:
    data = skewed()
    imputer = FosaImputer("count ~ a + c", refiner=None, bounds={"count": (-0.7, 60.5)}, integers="count")
    filled = imputer.fit(data)
    assert filled.transform(data)["count"].min() == 0
    assert imputer.adjustments_["clipped"].item() > 0


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"bounds": {"count": (1, 2)}}, DataError, "outside its bounds"),
        ({"bounds": {"count": (2, 1)}}, OptionError, "lower limit"),
        ({"bounds": {"b": (0, 1)}}, OptionError, "'b'"),
        ({"integers": "a"}, DataError, "no whole numbers"),
        ({"integers": ["b"]}, OptionError, "'b'"),
        ({"output": "mode"}, OptionError, "output"),
        ({"categorical": "yes"}, OptionError, "categorical"),
        ({"categorical": {"a": "count"}}, OptionError, "kind|must be one of"),
        ({"categorical": {"b": "binary"}}, OptionError, "no column"),
        ({"categorical": {"count": "binary"}}, OptionError, "binary"),
        ({"categorical": {"a": "ordinal"}}, OptionError, "distinct values"),
        ({"categorical": {"spare": "binary"}}, OptionError, "no variable of the model"),
        ({"categorical": {"count": "nominal"}}, DataError, "unordered"),
        ({"categorical": {"kind": "nominal"}, "bounds": {"kind=b": (0, 1)}}, OptionError, "stands for a category"),
        ({"categorical": {"kind": "ordinal"}, "sem_options": {"auxiliary": "kind"}}, OptionError, "no order"),
    ],
)
def test_what_cannot_be_asked_is_said(parameters: dict[str, Any], error: type[Exception], said: str) -> None:
    data = skewed()
    data = data.assign(spare=1.0 * (data.index < 100), kind=np.array(list("abc"))[data.index % 3])
    with pytest.raises(error, match=said):
        FosaImputer("count ~ a + c", refiner=None, **parameters).fit(data)


def test_an_indicator_may_not_take_the_name_of_a_column(holes: pd.DataFrame) -> None:
    table = holes.assign(**{"race=B": 1.0})
    with pytest.raises(DataError, match="race=B"):
        FosaImputer("x ~ few", refiner=None, categorical={"race": "nominal"}).fit(table)
