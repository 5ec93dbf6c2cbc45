"""Tests of models, missing information, reliability and bootstrap against lavaan and semTools, stored and live.

The stored values are written by ``python tests/r/model_test_cases.py`` (needs R with lavaan and semTools).
"""

from __future__ import annotations

import json
import warnings
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_test_cases import FITS, FOR_LAVAAN, QUESTIONS, STORE, TABLES, Question, answer, asked
from numpy.testing import assert_allclose

import fosa_sem
from fosa_sem import SemResults
from fosa_sem.errors import DroppedRowsWarning, FosaWarning, InferenceWarning, OptionError
from fosa_sem.inference import resampling
from r_bridge import r_info
from r_bridge.runtime import describe

KEYS = ["lhs", "op", "rhs", "group"]
PYTHON_NAMES = {
    "sepc.lv": "sepc_lv", "sepc.all": "sepc_all", "sepc.nox": "sepc_nox", "X2": "x2", "p.value": "pvalue", "Df": "df",
    "AIC": "aic", "BIC": "bic", "Chisq": "chisq", "Chisq diff": "chisq_diff", "RMSEA": "rmsea", "Df diff": "df_diff",
    "Pr(>Chisq)": "pvalue",
}  # fmt: skip
live = cache(answer)


@cache
def stored() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(STORE.read_text(encoding="utf-8"))
    return content


@cache
def fit(name: str) -> SemResults:
    case = FITS[name]
    options = {key: value for key, value in case.options.items() if key not in FOR_LAVAAN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)  # dropped rows and improper draws, which lavaan has too
        return getattr(fosa_sem, case.func)(case.model, case.table(), **options)


def said(question: Question, source: str) -> Any:
    if source == "live":
        missing = r_info().r_problems
        if missing:
            pytest.skip(describe(missing))
    found = stored()["answer"] if source == "stored" else live()
    return found["answers"][QUESTIONS.index(question)]


def every(kind: str) -> pytest.MarkDecorator:
    chosen = [question for question in QUESTIONS if question.kind == kind]
    assert chosen
    return pytest.mark.parametrize("question", chosen, ids=lambda question: question.name)


everywhere = pytest.mark.parametrize("source", ["stored", pytest.param("live", marks=pytest.mark.r)])


def frame(columns: dict[str, Any]) -> pd.DataFrame:
    """A table of R's; without a column group there is one."""
    table = pd.DataFrame({PYTHON_NAMES.get(name, name): values for name, values in columns.items()})
    for name in table.columns:
        if name not in ("lhs", "op", "rhs", "names", "decision"):
            table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    if "group" not in table:
        table["group"] = 1
    return table.astype({"group": int})


def same_keys(ours: pd.DataFrame, lavaans: pd.DataFrame) -> bool:
    return ours[KEYS].to_numpy().tolist() == lavaans[KEYS].to_numpy().tolist()


def test_the_questions_are_those_that_lavaan_was_asked() -> None:
    assert stored()["asked"] == asked()
    assert len(stored()["answer"]["answers"]) == len(QUESTIONS)


@everywhere
@every("modification")
def test_modification_indices(question: Question, source: str) -> None:
    options = {name.replace(".", "_"): value for name, value in question.options.items()}
    lavaans = frame(said(question, source))
    ours = fit(question.fits[0]).modification_indices(**options)
    wanted = set(map(tuple, lavaans[KEYS].to_numpy()))
    more = np.array([tuple(row) not in wanted for row in ours[KEYS].to_numpy()])
    # lavaan drops what tells less than 6e-6 per row in the units of the data, here those of ages and blood pressure.
    assert not more.any() or question.fits[0].startswith("apart")
    ours = ours[~more].reset_index(drop=True)
    assert same_keys(ours, lavaans)
    # An index is the square of a standard normal, which moves by what the estimates differ in standard errors.
    z, theirs = np.sqrt(ours["mi"]), np.sqrt(lavaans["mi"])
    assert_allclose(z, theirs, rtol=0, atol=1e-3)
    # A change is that normal times its standard error; the sign of none at all is chance.
    unit = (ours["epc"] / z).abs()
    assert ((ours["epc"] - lavaans["epc"]).abs() <= 1e-3 * unit + 1e-9).all()
    moved = z > 1e-2
    for name in [name for name in ("sepc_lv", "sepc_all", "sepc_nox") if name in lavaans]:
        assert_allclose(ours.loc[moved, name], lavaans.loc[moved, name], rtol=2e-3, atol=2e-4)
    if "power" in lavaans:
        assert ours["decision"].tolist() == lavaans["decision"].tolist()
        assert_allclose(ours["power"], lavaans["power"], rtol=0, atol=1e-4)


@everywhere
@every("score")
def test_score_tests(question: Question, source: str) -> None:
    theirs = said(question, source)
    fitted = fit(question.fits[0])
    on_bound = pytest.warns(InferenceWarning, match="x4 ~~ x4") if fitted.audit.active else nullcontext()
    with on_bound:
        ours = fitted.score_test(**question.options)
    total = frame(theirs["test"]).iloc[0]
    assert ours.df == total["df"]
    assert_allclose(np.sqrt(ours.stat), np.sqrt(total["x2"]), rtol=0, atol=1e-3)
    for mine, table in ((ours.univariate, theirs["uni"]), (ours.cumulative, theirs["cumulative"])):
        if not table:
            continue
        lavaans = frame(table)
        assert mine[["lhs", "op", "rhs"]].to_numpy().tolist() == lavaans[["lhs", "op", "rhs"]].to_numpy().tolist()
        assert_allclose(np.sqrt(mine["x2"]), np.sqrt(lavaans["x2"]), rtol=0, atol=1e-3)
        assert_allclose(mine["pvalue"], lavaans["pvalue"], rtol=0, atol=1e-3)
        if "epc" in lavaans:
            assert_allclose(mine["epc"], lavaans["epc"], rtol=0, atol=2e-4)
    if theirs["epc"]:
        lavaans = frame(theirs["epc"])
        assert same_keys(ours.epc, lavaans)
        for name in ("est", "epc", "epv"):
            # Where the optimisers stop (1e-3 of standard errors of about .1), and a step from there.
            assert_allclose(ours.epc[name], lavaans[name], rtol=0, atol=2e-4)


@everywhere
@every("refusal")
def test_score_tests_within_inequalities_are_refused_by_both(question: Question, source: str) -> None:
    assert "inequality constraints" in said(question, source)[0]
    with pytest.raises(OptionError, match="inequality constraints"):
        fit(question.fits[0]).score_test(**question.options)


@everywhere
@every("wald")
def test_wald_tests(question: Question, source: str) -> None:
    theirs = said(question, source)
    ours = fosa_sem.wald(fit(question.fits[0]), question.options["constraints"])
    assert ours.df == theirs["df"][0]
    assert ours.se == theirs["se"][0]
    # Standard errors agree to about 1e-5, estimates to 1e-3 standard errors at worst.
    assert_allclose(np.sqrt(ours.stat), np.sqrt(theirs["stat"][0]), rtol=1e-4, atol=1e-3)
    assert_allclose(ours.pvalue, theirs["p.value"][0], rtol=0, atol=1e-3)


@everywhere
@every("fmi")
def test_fraction_of_missing_information(question: Question, source: str) -> None:
    lavaans = frame(said(question, source))
    ours = fit(question.fits[0]).parameter_estimates(fmi=True)
    assert ours["lhs"].tolist() == lavaans["lhs"].tolist()
    # A ratio of squared standard errors, of which lavaan's come from differences of its gradient.
    assert_allclose(ours["fmi"], lavaans["fmi"], rtol=0, atol=1e-4)
    assert ours["fmi"].notna().any()


@everywhere
@every("reliability")
def test_reliability(question: Question, source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)  # second-order factors: tested elsewhere
        ours = fit(question.fits[0]).reliability(**question.options)
    for group, theirs in enumerate(said(question, source), start=1):
        mine = ours[ours["group"] == group].set_index("factor")
        assert mine.index.tolist() == theirs["factors"]
        values = pd.DataFrame(theirs["values"], index=theirs["rows"]).apply(pd.to_numeric, errors="coerce").T
        # Smooth functions of the estimates, between 0 and 1.
        assert_allclose(mine[theirs["rows"]], values, rtol=0, atol=1e-4)


@everywhere
@every("composite")
def test_composite_reliability(question: Question, source: str) -> None:
    ours = fit(question.fits[0]).reliability()
    for name, values in said(question, source).items():
        assert_allclose(ours[name], values, rtol=0, atol=1e-4)


@everywhere
@every("compare")
def test_chi_square_differences(question: Question, source: str) -> None:
    theirs = said(question, source)
    assert theirs.pop("warnings") == []
    lavaans = frame(theirs).drop(columns="group").set_index("names")
    ours = fosa_sem.lrt(*map(fit, question.fits), names=question.fits, **question.options).to_frame()
    if len(question.fits) > 1:
        assert ours.index.tolist() == lavaans.index.tolist()
    assert ours.columns.tolist() == lavaans.columns.tolist()
    for name in lavaans:
        # Twice the log-likelihood agrees to 2e-4, scaling factors to 1e-3 as fit measures do.
        assert_allclose(ours[name], lavaans[name], rtol=1e-3, atol=1e-3, err_msg=name)


def _with_lavaans_rows(monkeypatch: pytest.MonkeyPatch, rows: Any) -> None:
    monkeypatch.setattr(resampling, "_rows", lambda seed, number, sizes: [np.array(rows[number]) - 1])


@everywhere
@every("resampled")
def test_refits_of_lavaans_draws(question: Question, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, results = said(question, source), fit(question.fits[0])
    assert (results.fit.sample.groups[0].rows + 1).tolist() == theirs["cases"]
    _with_lavaans_rows(monkeypatch, theirs["rows"])
    draws = fosa_sem.bootstrap(results, n=len(theirs["rows"])).to_frame()
    assert np.abs((draws - np.array(theirs["draws"])) / results.bse).to_numpy().max() < 1e-3


@everywhere
@every("bootstrap")
def test_bootstrap_intervals_from_lavaans_draws(
    question: Question, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, case = said(question, source), FITS[question.fits[0]]
    assert not theirs["failed"]
    _with_lavaans_rows(monkeypatch, theirs["rows"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)
        results = fosa_sem.cfa(case.model, case.table(), se="bootstrap", bootstrap=len(theirs["rows"]))
    assert results.fit.draws is not None
    assert np.abs((results.fit.draws.values - np.array(theirs["draws"])) / results.bse.to_numpy()).max() < 1e-3
    assert_allclose(results.vcov(), theirs["vcov"], rtol=1e-4, atol=1e-4)
    for kind, table in theirs["tables"].items():
        ours = results.parameter_estimates(level=question.options["level"], boot_ci_type=kind)
        wanted = frame(table)
        unit = wanted["se"].where(wanted["se"] > 0, 1.0)
        for mine, name in (("est", "est"), ("se", "se"), ("ci_lower", "ci.lower"), ("ci_upper", "ci.upper")):
            # Draws and estimates agree to 1e-3 standard errors; order statistics no worse; the corrections of BCa
            # count draws below the estimate, which all have their distance from it.
            assert (np.abs(ours[mine] - wanted[name]) <= 3e-3 * unit).all(), (kind, name)


def test_tables_are_the_bundled_ones() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedRowsWarning)
        assert {name: len(table()) > 70 for name, table in TABLES.items()} == dict.fromkeys(TABLES, True)
