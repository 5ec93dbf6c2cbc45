"""MultipleImputation: completed tables, ways out, and fits to all of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import fosa_sem
from fosa_sem import MultipleImputation, PooledSem, SemResults, impute, pool_lrt, read_table, sem
from fosa_sem.errors import (
    AdmissibilityWarning,
    CongenialityWarning,
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    ModelSpecificationError,
    OptionError,
)

MODEL = "f =~ x1 + x2 + x3 + x4"


@pytest.fixture
def results(one_factor: pd.DataFrame) -> SemResults:
    return sem(MODEL, one_factor.assign(note="kept", z=range(len(one_factor))))


@pytest.fixture
def imputations(results: SemResults) -> MultipleImputation:
    return results.multiple_imputations(4, seed=2)


@pytest.fixture
def pooled(imputations: MultipleImputation) -> PooledSem:
    return imputations.fit(MODEL)


# ---- tables ------------------------------------------------------------------------------------------------


def test_tables_are_counted_from_one(imputations: MultipleImputation) -> None:
    tables = list(imputations)
    assert len(tables) == len(imputations) == 4
    for i, table in enumerate(tables, start=1):
        pd.testing.assert_frame_equal(table, imputations.complete(i))
    for wrong in (0, 5, True, "1", 1.0):
        with pytest.raises(OptionError, match="counted from 1 to 4"):
            imputations.complete(wrong)  # type: ignore[arg-type]


def test_completed_tables_keep_rows_columns_and_index(one_factor: pd.DataFrame) -> None:
    data = one_factor.assign(note="kept")[["note", "x4", "x2", "x3", "x1"]]
    data.index = pd.Index([f"r{i}" for i in range(len(data))], name="row")
    table = sem(MODEL, data).multiple_imputations(1).complete(1)
    assert list(table.columns) == list(data.columns)
    assert table.index.equals(data.index)
    assert (table["note"] == "kept").all()


def test_long_has_numbers_and_rows(imputations: MultipleImputation) -> None:
    long = imputations.long(original=True)
    assert list(long.columns[:2]) == [".imp", ".id"]
    assert long[".imp"].value_counts().to_dict() == dict.fromkeys(range(5), 120)
    part = long[long[".imp"] == 3].drop(columns=[".imp", ".id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(part, imputations.complete(3))
    assert long[long[".imp"] == 0]["x1"].isna().sum() == imputations.table["x1"].isna().sum()
    assert set(imputations.long()[".imp"]) == {1, 2, 3, 4}


def test_imputed_values_are_those_of_the_tables(imputations: MultipleImputation) -> None:
    values = imputations.imputed_values("x2")
    missing = imputations.table["x2"].isna()
    assert list(values.columns) == [1, 2, 3, 4]
    assert values.index.equals(imputations.table.index[missing])
    assert_allclose(values[4], imputations.complete(4).loc[missing, "x2"])
    assert values.std(axis=1).min() > 0
    assert imputations.where["x2"].equals(missing)
    assert not imputations.where["note"].any()
    with pytest.raises(OptionError, match="not a column"):
        imputations.imputed_values("x9")


def test_columns_outside_the_model_are_not_imputed(one_factor: pd.DataFrame) -> None:
    data = one_factor.assign(other=np.where(np.arange(120) < 5, np.nan, 1.0))
    made = sem(MODEL, data).multiple_imputations(1)
    assert made.complete(1)["other"].isna().sum() == 5
    assert not made.where["other"].any()


def test_parquet_holds_what_long_gives(imputations: MultipleImputation, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = imputations.to_parquet(tmp_path / "imputations.parquet", original=True)
    pd.testing.assert_frame_equal(read_table(path), imputations.long(original=True), check_dtype=False)
    assert parquet.ParquetFile(path).num_row_groups == 5  # one table in memory at a time
    with pytest.raises(OptionError, match=r"suffix must be [.]parquet"):
        imputations.to_parquet(tmp_path / "imputations.csv")
    with pytest.raises(OptionError, match="does not exist"):
        imputations.to_parquet(tmp_path / "nowhere" / "imputations.parquet")


def test_parquet_takes_whatever_types_holes_gave_a_column(tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("pyarrow")
    x = rng.standard_normal(60)
    data = pd.DataFrame({"x": x, "y": (x + rng.standard_normal(60) > 0).astype(object), "note": None})
    data.loc[:5, "y"] = None
    made = impute(data, "y ~ x", 2)
    read = read_table(made.to_parquet(tmp_path / "made.parquet", original=True))
    assert read["y"].isna().sum() == 6
    assert read["note"].isna().all()
    mixed = impute(data.assign(note=[1, "a"] * 30), "y ~ x", 2)
    with pytest.raises(DataError, match="Parquet cannot hold"):
        mixed.to_parquet(tmp_path / "mixed.parquet")
    assert not (tmp_path / "mixed.parquet").exists()


def test_functions_are_applied_to_every_table(imputations: MultipleImputation) -> None:
    means = imputations.apply(lambda table: table["x1"].mean())
    assert means == [table["x1"].mean() for table in imputations]
    assert imputations.apply(len, n_jobs=2) == [120] * 4


def test_imputations_from_elsewhere(imputations: MultipleImputation, pooled: PooledSem) -> None:
    again = MultipleImputation.from_frames(imputations.to_frames(), imputations.table)
    for a, b in zip(again, imputations, strict=True):
        pd.testing.assert_frame_equal(a, b)
    assert_allclose(again.fit(MODEL).coef(), pooled.coef())
    frames = list(imputations.to_frames())
    with pytest.raises(DataError, match="no completed table"):
        MultipleImputation.from_frames([], imputations.table)
    with pytest.raises(DataError, match="table 2 has 119 rows"):
        MultipleImputation.from_frames([frames[0], frames[1].iloc[1:]], imputations.table)
    with pytest.raises(DataError, match="table 1 lacks the column 'x3'"):
        MultipleImputation.from_frames([frames[0].drop(columns="x3")], imputations.table)
    changed = frames[0].copy()
    row = imputations.table["x1"].first_valid_index()
    changed.loc[row, "x1"] += 1.0
    with pytest.raises(DataError, match=f"changes the observed value of 'x1' in row {row}"):
        MultipleImputation.from_frames([changed], imputations.table)


def test_a_column_that_long_needs_is_refused(one_factor: pd.DataFrame) -> None:
    made = sem(MODEL, one_factor.assign(**{".imp": 1})).multiple_imputations(1)
    with pytest.raises(DataError, match=r"a column '[.]imp'"):
        made.long()


# ---- fits --------------------------------------------------------------------------------------------------


def test_estimates_are_pooled_by_rubins_rules(imputations: MultipleImputation, pooled: PooledSem) -> None:
    fits = [sem(MODEL, table) for table in imputations]
    frame = pooled.parameter_estimates()
    est = np.array([fit.parameter_estimates()["est"] for fit in fits])
    se = np.array([fit.parameter_estimates()["se"] for fit in fits])
    within, between = (se**2).mean(axis=0), est.var(axis=0, ddof=1)
    total = within + 1.25 * between
    assert_allclose(frame["est"], est.mean(axis=0), rtol=1e-10)
    assert_allclose(frame["se"], np.sqrt(total), rtol=1e-8)
    free = se[0] > 0
    share = 1.25 * between[free] / total[free]
    assert_allclose(frame["lambda"][free], share, rtol=1e-7)
    assert_allclose(frame["df"][free], 3 / np.maximum(share, 1e-4) ** 2, rtol=1e-6)
    assert frame.loc[~free, ["t", "df", "fmi"]].isna().all().all()
    assert (frame.loc[~free, "ci_lower"] == frame.loc[~free, "est"]).all()
    assert_allclose(pooled.bse, frame["se"][free])
    assert_allclose(np.sqrt(np.diag(pooled.vcov())), frame["se"][free], rtol=1e-10)
    assert pooled.nobs == 120


def test_pooled_estimates_are_those_of_fiml(results: SemResults) -> None:
    pooled = results.multiple_imputations(150).fit(MODEL)
    difference = (pooled.params - results.params) / results.bse
    # the Monte-Carlo error of 150 imputations is below .03; the means differ by the order of 1/n besides
    assert difference.abs().max() < 0.15
    assert_allclose(pooled.bse / results.bse, 1.0, atol=0.12)


def test_defined_parameters_are_pooled_like_others(rng: np.random.Generator) -> None:
    data = pd.DataFrame(rng.standard_normal((150, 3)), columns=["x", "m", "y"])
    data["m"] += data["x"]
    data["y"] += data["m"]
    data = data.mask(rng.random(data.shape) < 0.15).dropna(how="all")
    model = "m ~ a*x\ny ~ b*m\nab := a*b"
    made = impute(data, model + "\ny ~ x", 5)
    each = [sem(model, table).parameter_estimates().iloc[-1] for table in made]
    row = made.fit(model).parameter_estimates().iloc[-1]
    est, variance = (np.array([r[name] for r in each]) ** power for name, power in (("est", 1), ("se", 2)))
    assert row["est"] == pytest.approx(est.mean(), rel=1e-9)
    assert row["se"] == pytest.approx(np.sqrt(variance.mean() + 1.2 * est.var(ddof=1)), rel=1e-9)


def test_standardised_solution_is_that_of_the_pooled_estimates(pooled: PooledSem) -> None:
    frame = pooled.standardized_solution().set_index(["lhs", "op", "rhs"])
    plain = pooled.parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
    for name in ("x2", "x3"):
        loading, factor = plain["f", "=~", name], plain["f", "~~", "f"]
        total = loading**2 * factor + plain[name, "~~", name]
        expected = loading * np.sqrt(factor / total)
        assert frame.loc[("f", "=~", name), "est_std"] == pytest.approx(expected, rel=1e-10)
        r2 = pooled.r_squared().set_index("variable")["r2"][name]
        assert r2 == pytest.approx(expected**2, rel=1e-10)
    assert (frame["se"][frame["se"] > 0] < 1).all()
    columns = pooled.parameter_estimates(standardized=True)
    assert_allclose(columns["std_all"], frame["est_std"], rtol=1e-10)


def test_number_of_processes_changes_no_number(imputations: MultipleImputation, pooled: PooledSem) -> None:
    parallel = imputations.fit(MODEL, n_jobs=2)
    pd.testing.assert_frame_equal(parallel.parameter_estimates(), pooled.parameter_estimates(), rtol=0, atol=0)


def test_summary_says_what_was_done(pooled: PooledSem) -> None:
    text = pooled.summary()
    assert "sem() on 4 of 4 imputed tables of 120 rows" in text
    assert "Rubin" in text
    assert "chi-square pooled by D4" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "4 imputations" in repr(pooled)
    assert "m = 4" in repr(pooled.fits.template) or "PooledSem" in repr(pooled)


def test_fit_measures_by_name(pooled: PooledSem) -> None:
    measures = pooled.fit_measures(["cfi", "rmsea"])
    assert list(measures.index) == ["cfi", "rmsea"]
    assert pooled.fit_measures("df")["df"] == 2
    with pytest.raises(OptionError, match="no fit measure 'cfl'"):
        pooled.fit_measures("cfl")
    with pytest.raises(OptionError, match="method must be one of D2, D3, D4"):
        pooled.fit_measures(method="D1")


def test_complete_data_are_pooled_to_the_fit_itself(rng: np.random.Generator) -> None:
    factor = rng.standard_normal((200, 1))
    data = pd.DataFrame(factor + rng.standard_normal((200, 4)), columns=["x1", "x2", "x3", "x4"])
    results = sem(MODEL, data)
    pooled = results.multiple_imputations(3).fit(MODEL)
    frame, alone = pooled.parameter_estimates(), results.parameter_estimates()
    assert_allclose(frame["se"], alone["se"], rtol=1e-6)
    assert_allclose(frame["est"], alone["est"], atol=1e-7)
    for method in ("D2", "D3", "D4"):
        ours = pooled.fit_measures(method=method)  # type: ignore[arg-type]
        shared = [name for name in results.fit_measures().index if name in ours.index and not name.endswith("robust")]
        assert len(shared) > 30
        assert_allclose(ours[shared], results.fit_measures(shared), rtol=1e-5, atol=1e-7)


# ---- what goes wrong ---------------------------------------------------------------------------------------


def test_one_imputation_cannot_be_pooled(results: SemResults) -> None:
    with pytest.raises(OptionError, match="at least two"):
        results.multiple_imputations(1).fit(MODEL)


def test_variables_that_were_not_imputed(one_factor: pd.DataFrame) -> None:
    data = one_factor.assign(w=np.where(np.arange(120) % 9 == 0, np.nan, np.arange(120) % 7))
    made = sem(MODEL, data).multiple_imputations(2)
    with pytest.raises(DataError, match="'w' still has 14 missing values: it was not imputed"):
        made.fit(MODEL + "\nf ~ w")
    with pytest.raises(ModelSpecificationError, match="'v' is not a column"):
        made.fit(MODEL + "\nf ~ v")


def test_fits_that_fail_are_counted(one_factor: pd.DataFrame, imputations: MultipleImputation) -> None:
    frames = [frame[["x1", "x2", "x3", "x4"]].copy() for _ in range(3) for frame in imputations]
    frames[4]["x4"] = frames[4]["x3"]  # exactly dependent: no fit
    changed = one_factor.assign(x4=np.nan)
    with pytest.warns(ConvergenceWarning, match="failed in 1 of 12 imputations.*5"):
        fitted = MultipleImputation.from_frames(frames, changed).fit(MODEL)
    assert fitted.used == (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12)
    assert fitted.failed[0][0] == 5
    assert "dependent" in fitted.failed[0][1]
    assert "Imputation 5 left out" in fitted.summary()
    for place in (0, 7):
        frames[place]["x4"] = frames[place]["x3"]
    with pytest.raises(ConvergenceError, match=r"fails in 3 of 12 imputations, more than max_failed=0[.]2"):
        MultipleImputation.from_frames(frames, changed).fit(MODEL)
    for frame in frames:
        frame["x4"] = frame["x3"]
    with pytest.raises(DataError, match="dependent"):
        MultipleImputation.from_frames(frames, changed).fit(MODEL)


def test_improper_fits_are_told(rng: np.random.Generator) -> None:
    data = pd.DataFrame(rng.multivariate_normal(np.zeros(3), [[1, 0.9, 0.8], [0.9, 1, 0.5], [0.8, 0.5, 1]], 100))
    data.columns = ["x1", "x2", "x3"]
    made = MultipleImputation.from_frames([data, data + 0.0], data)
    with pytest.warns(AdmissibilityWarning, match="2 of 2 fits are improper"):
        made.fit("f =~ x1 + x2 + x3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_failed": 1.0}, "max_failed"),
        ({"se": "bootstrap"}, "not for imputed data"),
        ({"missing": "zero"}, "missing must be"),
        ({"estimater": "ML"}, "no option 'estimater'"),
    ],
)
def test_bad_options_of_fits(imputations: MultipleImputation, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        imputations.fit(MODEL, **options)


# ---- congeniality ------------------------------------------------------------------------------------------


CAUSES = "x4 ~ x3\nx3 ~ x1 + x2"


@pytest.mark.parametrize(
    ("imputed_by", "analysis", "lacks"),
    [
        (MODEL, MODEL + "\nx1 ~~ x2", "x1 ~~ x2"),
        (MODEL, "x4 ~ x1", "x4 ~ x1"),
        (MODEL, MODEL + "\nf ~ z", "variable 'z'"),
        (CAUSES, CAUSES + "\nx4 ~ x1", "x4 ~ x1"),
        (MODEL + "\nx1 ~ m*1\nx2 ~ m*1", MODEL, "equality constraints"),
        (MODEL + "\nx1 ~ 1*1", MODEL, "x1 ~ 1"),
    ],
)
def test_an_analysis_that_asks_for_more_than_the_imputation_model(
    one_factor: pd.DataFrame, imputed_by: str, analysis: str, lacks: str
) -> None:
    made = impute(one_factor.assign(z=np.arange(120.0)), imputed_by, 2)
    with pytest.warns(CongenialityWarning, match="lacks what the analysis asks for") as caught:
        made.fit(analysis, fixed_x=False)
    assert lacks in "".join(str(w.message) for w in caught)


@pytest.mark.parametrize(
    ("imputed_by", "analysis"),
    [
        (MODEL, MODEL),
        (MODEL, MODEL.replace("f", "ability")),
        (MODEL, "g =~ x1 + x2 + x3"),
        (CAUSES, "x3 ~ x1"),
        ("x1 ~~ x2 + x3 + x4\nx2 ~~ x3 + x4\nx3 ~~ x4", CAUSES),
        ("x1 ~~ x2 + x3 + x4\nx2 ~~ x3 + x4\nx3 ~~ x4", MODEL),
    ],
)
def test_an_analysis_that_the_imputation_model_allows_for(
    one_factor: pd.DataFrame, imputed_by: str, analysis: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CongenialityWarning)
        impute(one_factor, imputed_by, 2).fit(analysis)


def test_differences_between_groups_need_an_imputation_model_with_groups(one_factor: pd.DataFrame) -> None:
    data = one_factor.assign(g=np.repeat(["a", "b"], 60))
    with pytest.warns(CongenialityWarning, match="differences between groups of 'g'"):
        sem(MODEL, data).multiple_imputations(2).fit(MODEL, group="g")


# ---- comparisons -------------------------------------------------------------------------------------------


def test_comparisons_of_models_that_cannot_be_compared(imputations: MultipleImputation, pooled: PooledSem) -> None:
    equal = imputations.fit("f =~ x1 + a*x2 + a*x3 + x4")
    with pytest.raises(OptionError, match="2 degrees of freedom, so that none"):
        pool_lrt(pooled, pooled)
    with pytest.raises(OptionError, match="method must be one of"):
        pool_lrt(pooled, equal, method="D5")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="riv must be"):
        pool_lrt(pooled, equal, riv="negative")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="same observed variables"):
        pool_lrt(pooled, imputations.fit("f =~ x1 + x2 + x3"))
    other = impute(imputations.table, MODEL, 4, seed=99).fit("f =~ x1 + a*x2 + a*x3 + x4")
    with pytest.raises(OptionError, match="different imputations"):
        pool_lrt(pooled, other)
    with pytest.raises(OptionError, match="give the larger model"):
        pool_lrt(pooled, method="D1")
    one_mean = imputations.fit("x1 ~~ x1\nx2 ~~ x2\nx3 ~~ x3\nx4 ~~ x4")
    with pytest.raises(OptionError, match="D1 compares parameters"):
        pool_lrt(one_mean, pooled, method="D1")


def test_the_order_of_models_does_not_matter(imputations: MultipleImputation, pooled: PooledSem) -> None:
    equal = imputations.fit("f =~ x1 + a*x2 + a*x3 + x4")
    for method in ("D1", "D2", "D3", "D4"):
        forth, back = (pool_lrt(*pair, method=method) for pair in ((equal, pooled), (pooled, equal)))  # type: ignore[arg-type]
        pd.testing.assert_series_equal(forth, back)
        assert forth.name == method
        assert forth["df1"] == 1
        large = pool_lrt(equal, pooled, method=method, asymptotic=True)  # type: ignore[arg-type]
        assert large["chisq"] == pytest.approx(forth["F"] * forth["df1"])
    assert pool_lrt(pooled)["df1"] == 2


def test_wald_and_likelihood_ratio_tests_tell_the_same(imputations: MultipleImputation, pooled: PooledSem) -> None:
    # asymptotically equal; with 120 rows, and an estimate of the increase in variance each, to about a fifth
    equal = imputations.fit("f =~ x1 + a*x2 + a*x3 + a*x4")
    values = {method: pool_lrt(equal, pooled, method=method)["F"] for method in ("D1", "D4")}  # type: ignore[arg-type]
    assert values["D1"] == pytest.approx(values["D4"], rel=0.25, abs=0.25)


def test_public_names() -> None:
    for name in ("impute", "pool", "pool_lrt", "MultipleImputation", "PooledSem"):
        assert name in fosa_sem.__all__
        assert callable(getattr(fosa_sem, name))
