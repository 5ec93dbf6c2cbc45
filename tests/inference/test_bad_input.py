"""Whatever a user gets wrong, the error is ours and says what, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from zoo import BY_NAME, fitted

import fosa_sem
from fosa_sem.errors import (
    CoverageWarning,
    DataError,
    DroppedRowsWarning,
    FosaError,
    FosaWarning,
    ModelSpecificationError,
    ModelSyntaxError,
    OptionError,
)

FUNCTIONS = ("sem", "cfa", "growth", "lavaan")
MODEL = "f =~ x1 + x2 + x3 + x4"


@pytest.fixture(params=FUNCTIONS)
def function(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return getattr(fosa_sem, request.param)


def test_unknown_variable_names_the_closest_column_and_the_place(function, one_factor: pd.DataFrame) -> None:
    with pytest.raises(ModelSpecificationError, match="'x44' is not a column of the data; did you mean 'x4'") as caught:
        function("f =~ x1 + x2 +\n  x3 + x44", one_factor)
    assert (caught.value.line, caught.value.column) == (2, 8)


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("", ModelSyntaxError, "empty"),
        (None, ModelSyntaxError, "must be a string, got NoneType"),
        (["f =~ x1"], ModelSyntaxError, "must be a string, got list"),
        ("f =~ (x1 + x2", ModelSyntaxError, "missing '\\)'"),
        ("f <- x1", ModelSyntaxError, "'<-' is not an operator; write 'y ~ x', or 'f =~ x'"),
        ("f =~ x1 + x2 + x3\nx1 | t1", ModelSpecificationError, "ordinal indicators are not supported yet.*'x1'"),
        ("f =~ x1 + x2\nx1 ~*~ 1*x1", ModelSpecificationError, "scaling factors.*'x1'"),
        ("level: 1\nf =~ x1 + x2", ModelSpecificationError, "multilevel models"),
        ("block: 1\nf =~ x1 + x2", ModelSpecificationError, "blocks other than groups"),
        ("efa('a')*f =~ x1 + x2 + x3", ModelSpecificationError, "exploratory factors.*'f'"),
        ("x1 ~ rv('s')*x2", ModelSpecificationError, "random slopes.*x1 ~ x2"),
        ("f =~ x1 + x2 + x3\nx4 ~ f:x1", ModelSpecificationError, "products of latent variables.*'f' in 'f:x1'"),
        ("f =~ x1 + x2 + x3\nx1 ~~ upper(0)*lower(1)*x1", ModelSpecificationError, "lower bound 1 lies above"),
        ("f =~ upper(0.5)*1*x1 + x2 + x3", ModelSpecificationError, "is fixed at 1, outside its bound 0.5"),
        ("f =~ x1 + a*x2 + b*x3\na == b\na == b + 1", ModelSpecificationError, "contradict each other"),
        ("f =~ x1 + x2 + x3\nq := zz", ModelSpecificationError, "unknown label 'zz'"),
        ("q := 1", ModelSpecificationError, "no formula"),
    ],
)
def test_models_that_cannot_be_read(function, model: Any, kind: type, words: str, one_factor: pd.DataFrame) -> None:
    with pytest.raises(kind, match=words):
        function(model, one_factor)


def _change(name: str) -> Callable[[pd.DataFrame], object]:
    changes: dict[str, Callable[[pd.DataFrame], object]] = {
        "no table": lambda d: d.to_numpy(),
        "a path": lambda d: "data.csv",
        "duplicate": lambda d: pd.concat([d, d[["x2"]]], axis=1),
        "numbers as names": lambda d: d.set_axis([1, 2, 3, 4], axis=1),
        "text": lambda d: d.assign(x2="a"),
        "number as text": lambda d: d.assign(x2=d["x2"].astype(str)),
        "complex": lambda d: d.assign(x2=d["x2"] * 1j),
        "category": lambda d: d.assign(x2=pd.Categorical(d["x2"])),
        "dates": lambda d: d.assign(x2=pd.Timestamp("2020-01-01")),
        "infinite": lambda d: d.assign(x2=d["x2"].mask(d.index == 7, np.inf)),
        "constant": lambda d: d.assign(x2=3.0),
        "all missing": lambda d: d.assign(x2=np.nan),
        "too few rows": lambda d: d.fillna(0.0).head(4),
        "no rows": lambda d: d.head(0),
        "latent name": lambda d: d.assign(f=1.0),
        "dependent": lambda d: d.assign(x2=d["x1"] - 3 * d["x3"]).dropna(),
    }
    return changes[name]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("no table", DataError, "DataFrame, got ndarray"),
        ("a path", DataError, "read_table"),
        ("duplicate", DataError, "'x2' occurs 2 times"),
        ("numbers as names", DataError, "must be strings"),
        ("text", DataError, "'x2'.*number"),
        ("number as text", DataError, "'x2'.*number"),
        ("complex", DataError, "'x2' has complex"),
        ("category", DataError, "'x2' is categorical"),
        ("dates", DataError, "'x2' has type datetime64"),
        ("infinite", DataError, "'x2' has 1 infinite"),
        ("constant", DataError, "'x2' is constant"),
        ("all missing", DataError, "'x2' has no value"),
        ("too few rows", DataError, "4 usable rows for 4 variables; at least 5"),
        ("no rows", DataError, "no rows"),
        ("latent name", DataError, "'f' is a latent variable of the model and a column"),
        ("dependent", DataError, "exactly dependent.* = .*x"),
    ],
)
def test_data_that_cannot_be_used(function, change: str, kind: type, words: str, one_factor: pd.DataFrame) -> None:
    model = MODEL if function is not fosa_sem.lavaan else MODEL + "\nx1 ~~ x1\nx2 ~~ x2\nx3 ~~ x3\nx4 ~~ x4\nf ~~ 1*f"
    with pytest.raises(kind, match=words):
        function(model, _change(change)(one_factor))


@pytest.mark.filterwarnings("ignore::fosa_sem.errors.DroppedRowsWarning")
def test_all_rows_empty(one_factor: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no value"):
        fosa_sem.cfa(MODEL, one_factor * np.nan)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fixedx": True}, "no option 'fixedx'; did you mean 'fixed_x'"),
        ({"estimater": "ML"}, "did you mean 'estimator'"),
        ({"zzz": 1}, "no option 'zzz': known are"),
        ({"missing": "pairwise"}, "missing must be.*'pairwise'"),
        ({"estimator": "WLSMV"}, "estimator must be"),
        ({"engine": "lavan"}, "unknown engine 'lavan'"),
        ({"engine": 1}, "engine must be"),
        ({"meanstructure": False}, "meanstructure"),
        ({"std_lv": "yes"}, "std_lv must be True, False or None, got 'yes'"),
        ({"fixed_x": 1}, "fixed_x must be"),
        ({"group": 1}, "group must be the name of a column"),
    ],
)
def test_options_out_of_range(function, options: dict[str, Any], words: str, one_factor: pd.DataFrame) -> None:
    with pytest.raises(OptionError, match=words):
        function(MODEL, one_factor, **options)


def test_group_that_is_no_column(one_factor: pd.DataFrame) -> None:
    with pytest.raises(ModelSpecificationError, match=r"'shool' is not a column.*'school'"):
        fosa_sem.cfa(MODEL, one_factor.assign(school="a"), group="shool")


def test_modifiers_must_fit_the_number_of_groups(one_factor: pd.DataFrame) -> None:
    frame = one_factor.assign(g=["a", "b", "c"] * 40)
    with pytest.raises(ModelSpecificationError, match="2 entries, but the number of groups is 3"):
        fosa_sem.cfa("f =~ x1 + c(1, 2)*x2 + x3", frame, group="g")


def test_none_options_mean_the_default(one_factor: pd.DataFrame) -> None:
    plain = fosa_sem.cfa(MODEL, one_factor)
    same = fosa_sem.cfa(MODEL, one_factor, fixed_x=None, meanstructure=None, group=None, auto_var=None)
    assert same.loglik == plain.loglik


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda r: r.fit_measures("cfii"), OptionError, "no fit measure 'cfii'"),
        (lambda r: r.fit_measures(["cfi", "nope"]), OptionError, "'nope'"),
        (lambda r: r.standardized_solution("std"), OptionError, "type must be one of std.all"),
        (lambda r: r.parameter_estimates(level=95), OptionError, "level must lie between 0 and 1, got 95"),
        (lambda r: r.parameter_estimates(level=0.0), OptionError, "level"),
        (lambda r: r.standardized_solution(level=1.0), OptionError, "level"),
        (lambda r: r.conf_int(alpha=1.5), OptionError, "level"),
        (lambda r: r.predict("bartlett"), OptionError, "type must be 'lv' or 'ov'"),
        (lambda r: r.predict(newdata=[1]), DataError, "DataFrame"),
        (
            lambda r: r.predict(newdata=pd.DataFrame({"x1": [1.0]})),
            ModelSpecificationError,
            "is not a column",
        ),
        (lambda r: r.impute(pd.DataFrame({"x1": [1.0]})), ModelSpecificationError, "is not a column"),
        (lambda r: r.report("report.pdf"), OptionError, "pdf"),
    ],
)
def test_results_refuse_what_they_cannot_give(call: Callable[[Any], Any], kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        call(fitted("cfa"))


def test_results_answer_what_they_can() -> None:
    results = fitted("cfa")
    assert list(results.fit_measures("cfi").index) == ["cfi"]
    assert list(results.fit_measures(["rmsea", "cfi"]).index) == ["rmsea", "cfi"]
    assert list(results.parameter_estimates(ci=False).columns) == [
        "lhs",
        "op",
        "rhs",
        "label",
        "group",
        "est",
        "se",
        "z",
        "pvalue",
    ]
    assert list(results.conf_int().columns) == ["lower", "upper"]
    wide, narrow = results.conf_int(alpha=0.01), results.conf_int(alpha=0.1)
    assert ((wide["upper"] - wide["lower"]) > (narrow["upper"] - narrow["lower"])).all()
    assert (results.params == results.coef()).all()
    assert results.pvalues.between(0, 1).all()
    assert {"std_lv", "std_all", "std_nox"} <= set(results.parameter_estimates(standardized=True).columns)
    assert "250 rows" in repr(results)
    assert results.latent_names == ("f", "g")
    assert results.npatterns_by_group == (len(results.patterns()[0]),)
    assert "<" in results._repr_html_()


def test_one_except_clause_catches_every_error_and_one_filter_every_warning() -> None:
    errors = [v for v in vars(fosa_sem.errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    ours = [e for e in errors if e.__module__ == "fosa_sem.errors"]
    assert len(ours) > 10
    assert all(issubclass(e, FosaError | FosaWarning) for e in ours)


def test_warnings_say_how_many(one_factor: pd.DataFrame) -> None:
    frame = one_factor.copy()
    frame.iloc[[1, 2, 3]] = np.nan
    with pytest.warns(DroppedRowsWarning, match="3 of 120 rows were dropped: empty rows"):
        results = fosa_sem.cfa(MODEL, frame)
    assert results.nobs == 117
    assert results.fit.sample.dropped == (("empty rows", 3),)


def test_missing_fixed_x_is_dropped_and_counted() -> None:
    data = BY_NAME["path_fixed_x"].data()
    data.loc[[0, 4], "x1"] = np.nan
    data.loc[4, "x2"] = np.nan
    with pytest.warns(DroppedRowsWarning, match="2 of 250 rows.*exogenous variable \\(x1, x2; fixed_x=True\\)"):
        results = fosa_sem.sem(BY_NAME["path_fixed_x"].model, data)
    assert results.nobs == 248
    kept = data.drop(index=[0, 4])
    assert results.loglik == pytest.approx(fosa_sem.sem(BY_NAME["path_fixed_x"].model, kept).loglik, abs=1e-8)


def test_uncovered_pairs_are_named_once_each(one_factor: pd.DataFrame) -> None:
    frame = one_factor.copy()
    frame.loc[:59, "x1"] = np.nan
    frame.loc[60:, "x4"] = np.nan
    frame = frame.dropna(how="all")
    with pytest.warns(CoverageWarning, match="1 pair\\(s\\).*x1-x4"):
        fosa_sem.cfa(MODEL, frame)
