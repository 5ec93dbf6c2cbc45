"""Pooled numbers against mice, semTools and mitml on the same imputations: stored answers, and R now."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from pooling_cases import CASES, R_PACKAGES, ask_r, imputations, stored

from fosa_sem import PooledSem, pool, pool_lrt
from fosa_sem.imputation.pooled_tests import d2
from fosa_sem.inference.indices import incremental_measures

EQUATIONS = [name for name, case in CASES.items() if case.kind == "equations"]
PECULIAR = {
    "tli.robust", "nnfi.robust",  # always 1 in semTools 0.5
    "rmsea.ci.upper.scaled",  # 0 there where the lower limit is
    "gammaHat.scaled", "adjGammaHat.scaled",  # not reported by us
}  # fmt: skip
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}
CONSTRAINED = 1e-5
"""lavaan's estimates under constraints are accurate to about 1e-6 only."""
DF = 1e-5
"""Degrees of freedom go with the inverse square of what varies between imputations, some hundred times its error."""
ROOT = 2e-4
"""semTools looks for RMSEA's limits by uniroot() at its default precision."""


@cache
def fits(name: str) -> tuple[PooledSem, PooledSem]:
    return CASES[name].fits()


@pytest.fixture(scope="module", params=["stored", pytest.param("live", marks=pytest.mark.r)])
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "stored":
        return stored()
    absent = "Rscript is not on the PATH"
    if rscript := shutil.which("Rscript"):
        checks = "; ".join(f"loadNamespace('{name}')" for name in R_PACKAGES)
        done = subprocess.run([rscript, "-e", checks], capture_output=True, text=True, check=False)
        absent = done.stderr.strip() if done.returncode else ""
    if absent:
        pytest.skip(f"R with {', '.join(R_PACKAGES)} is needed: {absent}")
    return ask_r()


def same(ours: pd.Series | pd.DataFrame, theirs: Mapping[str, float], **tolerance: float) -> None:
    """Every number of R is ours too."""
    names = {"ariv": "riv"}
    theirs = {names.get(name, name): value for name, value in theirs.items()}
    assert theirs
    got = ours[list(theirs)].to_numpy(dtype=float)
    np.testing.assert_allclose(got, list(theirs.values()), **{**TOLERANCE, **tolerance}, err_msg=str(list(theirs)))


def columns(ours: pd.DataFrame, theirs: Mapping[str, Any], names: Mapping[str, str], rows: Any = slice(None)) -> None:
    """Columns of R's table are ours, in the same order of rows."""
    for mine, other in names.items():
        expected = np.array(theirs[other], dtype=float)[rows]
        tolerance = {**TOLERANCE, "rtol": DF} if mine == "df" else TOLERANCE
        np.testing.assert_allclose(ours[mine].to_numpy(dtype=float)[rows], expected, **tolerance, err_msg=mine)


# ---- mice and mitml on regressions -------------------------------------------------------------------------


def test_regressions_are_pooled_as_mice_does(answers: dict[str, Any]) -> None:
    table = pd.DataFrame(answers["lm"]["table"])
    analyses = imputations().apply(lambda table: smf.ols(CASES["lm"].full, table).fit())
    ours = pool(analyses).to_frame()
    names = {
        "est": "estimate", "se": "std.error", "t": "statistic", "df": "df", "pvalue": "p.value", "ci_lower": "2.5 %",
        "ci_upper": "97.5 %", "riv": "riv", "lambda": "lambda", "fmi": "fmi",
    }  # fmt: skip
    columns(ours, table, names)
    assert pool(analyses).dfcom == table["dfcom"][0]


def test_a_table_of_estimates_is_pooled_as_results_are(answers: dict[str, Any]) -> None:
    analyses = imputations().apply(lambda table: smf.ols(CASES["lm"].full, table).fit())
    frames = [pd.DataFrame({"estimate": a.params, "std_error": a.bse}).rename_axis("term") for a in analyses]
    ours = pool(pd.concat(frames).reset_index(), dfcom=analyses[0].df_resid).to_frame()
    columns(ours, pd.DataFrame(answers["lm"]["table"]), {"est": "estimate", "se": "std.error", "df": "df"})


def test_several_coefficients_are_tested_as_mice_does(answers: dict[str, Any]) -> None:
    analyses = imputations().apply(lambda table: smf.ols(CASES["lm"].full, table).fit())
    same(pool(analyses).wald(["x2", "x4"]), answers["lm"]["D1"])
    same(pool(analyses, dfcom=np.inf).wald(["x2", "x4"]), answers["lm"]["D1_large"])
    full, small = (np.array(answers["lm"]["logliks"][name]) for name in ("full", "restricted"))
    same(d2(2 * (full - small), 2), answers["lm"]["D2"])


# ---- semTools and mitml on structural equation models ------------------------------------------------------


@pytest.mark.parametrize("name", EQUATIONS)
def test_estimates_are_pooled_as_semtools_does(name: str, answers: dict[str, Any]) -> None:
    full, _ = fits(name)
    theirs = answers[name]["rubin"]
    ours = full.parameter_estimates().iloc[: len(theirs["est"])]
    rows = np.array([value is not None for value in theirs["t"]])
    assert list(ours["rhs"][rows & (ours["op"] != ":=")]) == [
        rhs for rhs, op, free in zip(theirs["rhs"], theirs["op"], rows, strict=True) if free and op != ":="
    ]
    columns(ours, theirs, {"est": "est"})
    # semTools takes the slopes of defined parameters at other values than the pooled ones
    rows &= np.array(theirs["op"]) != ":="
    names = {"se": "se", "t": "t", "df": "df", "pvalue": "pvalue", "ci_lower": "ci.lower", "ci_upper": "ci.upper"}
    columns(ours, theirs, names, rows)
    columns(ours, theirs, {"lambda": "fmi", "riv": "riv"}, rows)
    columns(full.parameter_estimates(scaled=True), answers[name]["scaled"], {"se": "se", "ci_lower": "ci.lower"}, rows)


@pytest.mark.parametrize("name", [name for name in EQUATIONS if name != "mediation"])
def test_standardised_estimates_are_those_of_semtools(name: str, answers: dict[str, Any]) -> None:
    # with fixed exogenous variables semTools takes their moments from one of the tables, we from all
    theirs = answers[name]["rubin"]
    n = len(theirs["est"])
    for mine, other in (("std.all", "std.all"), ("std.lv", "std.lv")):
        frame = fits(name)[0].standardized_solution(mine).iloc[:n]  # type: ignore[arg-type]
        columns(frame, theirs, {"est_std": other})


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("method", ["D2", "D3"])
def test_nested_models_are_compared_as_semtools_does(name: str, method: str, answers: dict[str, Any]) -> None:
    full, small = fits(name)
    same(pool_lrt(small, full, method=method), answers[name][method], rtol=CONSTRAINED)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in EQUATIONS if name != "robust"])
@pytest.mark.parametrize("riv", ["default", "positive", "robust"])
def test_stacked_tables_are_compared_as_mitml_does(name: str, riv: str, answers: dict[str, Any]) -> None:
    full, small = fits(name)
    same(pool_lrt(small, full, method="D4", riv=riv), answers[name]["D4"][riv])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in EQUATIONS if CASES[name].wald])
def test_wald_tests_are_those_of_semtools(name: str, answers: dict[str, Any]) -> None:
    # semTools scales by the average increase of all parameters, Li, Raghunathan and Rubin by that of those tested
    full, small = fits(name)
    ours, theirs = pool_lrt(small, full, method="D1"), answers[name]["D1"]
    factor = (1 + full.fits.riv) / (1 + ours["riv"])
    assert ours["F"] == pytest.approx(theirs["F"] * factor, rel=1e-6)
    assert ours["df2"] == pytest.approx(theirs["df2"], rel=1e-6)
    assert ours["riv"] == pytest.approx(theirs["ariv"], rel=1e-6)


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("method", ["D2", "D3"])
def test_fit_measures_are_those_of_semtools(name: str, method: str, answers: dict[str, Any]) -> None:
    ours = fits(name)[0].fit_measures(method=method)  # type: ignore[arg-type]
    theirs = {key: value for key, value in answers[name][f"measures_{method}"].items() if key not in PECULIAR}
    if name in ("means", "groups"):
        theirs.pop("crmr")  # with means, semTools scales them otherwise than lavaan, whom we follow
    if name == "mediation":  # semTools has fixed exogenous moments from one of the tables, we from all
        theirs = {key: value for key, value in theirs.items() if "rmr" not in key}
        if method == "D3":
            theirs = {key: value for key, value in theirs.items() if key not in incremental_measures(1, 1, 1, 1)}
            theirs = {key: value for key, value in theirs.items() if "baseline" not in key}
    limits = {key: theirs.pop(key) for key in list(theirs) if ".ci." in key}
    same(ours, theirs)
    same(ours, limits, atol=ROOT)
