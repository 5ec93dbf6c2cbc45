"""Residuals, factor scores, scores and casewise log-likelihoods against lavaan's, stored and live.

The stored values are written by ``python tests/r/row_cases.py`` (needs R with lavaan).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from r_cases import Case
from row_cases import ROW_CASES, ROWS_KEPT, RowCase

from fosa_sem import Moments, SemResults
from fosa_sem.errors import OptionError
from r_bridge import r_info
from r_bridge.runtime import describe

fit = cache(Case.ours)
live = cache(RowCase.answer)


@cache
def stored(case: RowCase) -> dict[str, Any]:
    answer: dict[str, Any] = case.stored()["answer"]
    return answer


def said(case: RowCase, source: str) -> dict[str, Any]:
    if source == "stored":
        return stored(case)
    found = r_info()
    if found.r_problems:
        pytest.skip(describe(found.r_problems))
    if found.jsonlite_version is None:
        pytest.skip("R has no package jsonlite")
    return live(case)


everywhere = pytest.mark.parametrize("source", ["stored", pytest.param("live", marks=pytest.mark.r)])
every_case = pytest.mark.parametrize("case", ROW_CASES, ids=lambda case: case.name)


def array(values: Any) -> np.ndarray:
    """Numbers of R's JSON; null is NaN."""
    return np.array(values, dtype=float)


def by_rows(case: RowCase, answer: dict[str, Any], frame: pd.DataFrame | pd.Series) -> list[Any]:
    """Our values of the rows that lavaan's are of, per group."""
    places = frame.set_axis(case.table().index.get_indexer(frame.index), axis=0)
    return [places.loc[np.array(rows) - 1] for rows in answer["cases"]]


def vectors(ours: Moments, lavaan: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Means and lower triangle of the covariances of both, in lavaan's order."""
    names = lavaan["variables"]
    lower = np.tril_indices(len(names))
    assert (ours.mean is None) == (not lavaan["mean"])
    mine = ours.cov.loc[names, names].to_numpy()[lower]
    theirs = array(lavaan["cov"])[lower]
    if ours.mean is None:
        return mine, theirs
    return np.concatenate([ours.mean[names], mine]), np.concatenate([array(lavaan["mean"]), theirs])


@every_case
def test_the_question_is_the_one_that_lavaan_was_asked(case: RowCase) -> None:
    assert case.stored()["asked"] == case.asked()


@everywhere
@every_case
@pytest.mark.parametrize("kind", ["raw", "cor", "cor.bentler"])
def test_residuals(case: RowCase, source: str, kind: str) -> None:
    ours = fit(case).residuals(kind)  # type: ignore[arg-type]
    sds = [np.sqrt(np.diag(m.cov)) for m in fit(case).sample_stats()]
    for mine, theirs, sd in zip(ours, said(case, source)["residuals"][kind], sds, strict=True):
        a, b = vectors(mine, theirs)
        # As the moments themselves: what is left of EM and of two optimisers, in standard deviations.
        unit = sd.max() ** 2 if kind == "raw" else 1.0
        assert_allclose(a, b, rtol=0, atol=1e-4 * max(unit, 1.0))


@everywhere
@every_case
@pytest.mark.parametrize("kind", ["standardized", "standardized.mplus", "normalized"])
def test_standardized_residuals(case: RowCase, source: str, kind: str) -> None:
    answer = said(case, source)["residuals"]
    ours = fit(case).residuals(kind)  # type: ignore[arg-type]
    for mine, theirs, wide in zip(ours, answer[kind], answer["normalized"], strict=True):
        a, b = vectors(mine, theirs)
        _, normalized = vectors(mine, wide)
        # What remains of a variance when the model's part is taken away has the error of the whole; lavaan takes the
        # information from differences of its gradient, good to about 1e-5 of a variance.
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = np.where(np.abs(normalized) > 1e-6, np.square(b / normalized), 1.0)
        # A residual below 1e-5, which lavaan leaves undivided, is below 1e-3 standard errors here.
        assert (np.isnan(a) == np.isnan(b)).all()
        known = ~np.isnan(b)
        allowed = 2e-3 + 1e-5 * np.abs(b) * np.maximum(whole, 1.0) + 1e-4 * np.abs(b)
        assert (np.abs(a - b) <= allowed)[known].all(), np.column_stack([a, b, allowed])[np.abs(a - b) > allowed]
        assert known.any()


@everywhere
@every_case
@pytest.mark.parametrize("method", ["regression", "bartlett"])
def test_factor_scores_and_their_standard_errors(case: RowCase, source: str, method: str) -> None:
    answer = said(case, source)
    latent = answer[method]["latent"]
    frame = fit(case).predict(method=method, append_se=True)  # type: ignore[arg-type]
    for mine, scores, se in zip(
        by_rows(case, answer, frame), answer[method]["values"], answer[method]["se"], strict=True
    ):
        # Linear in the data, with weights that are smooth functions of the estimates.
        spread = np.nanstd(array(scores))
        assert_allclose(mine[latent], array(scores), rtol=0, atol=1e-3 * spread)
        # For complete data lavaan gives one row for all.
        wanted = np.broadcast_to(array(se), (len(mine), len(latent)))
        assert_allclose(mine[[f"{name}_se" for name in latent]], wanted, rtol=1e-3)


@everywhere
@every_case
@pytest.mark.parametrize("method", ["regression", "bartlett"])
def test_expected_indicators(case: RowCase, source: str, method: str) -> None:
    answer = said(case, source)
    frame = fit(case).predict("ov", method)  # type: ignore[arg-type]
    for mine, theirs in zip(by_rows(case, answer, frame), answer[method]["observed"], strict=True):
        names = [n for n in theirs["variables"] if case.name != "outcome" or n in ("x1", "x2", "x3", "ageyr")]
        wanted = pd.DataFrame(array(theirs["values"]), columns=theirs["variables"])[names].to_numpy()
        # Where one latent variable has no score, lavaan's matrix product leaves nothing of the others.
        known = ~np.isnan(wanted)
        assert known.any()
        assert_allclose(
            mine[names].to_numpy()[known], wanted[known], rtol=0, atol=1e-3 * np.nanstd(wanted, axis=0).max()
        )


@everywhere
def test_lavaan_counts_an_effect_between_factors_twice_beside_observed_outcomes(source: str) -> None:
    # Given its scores, g alone bears on x4; lavaan 0.6-14 adds what f does by way of g. It leaves out what ageyr
    # does to the outcome x9.
    case = next(case for case in ROW_CASES if case.name == "outcome")
    answer = said(case, source)
    results = fit(case)
    est = results.params
    (mine,) = by_rows(case, answer, results.predict("ov", "bartlett"))
    (scores,) = by_rows(case, answer, results.predict("lv", "bartlett"))
    theirs = pd.DataFrame(
        array(answer["bartlett"]["observed"][0]["values"]), columns=answer["bartlett"]["observed"][0]["variables"],
        index=mine.index,
    )  # fmt: skip
    twice = est["g~f"] * scores["f"]
    for name, loading in (("x4", 1.0), ("x5", est["g=~x5"]), ("x6", est["g=~x6"])):
        assert_allclose(theirs[name] - mine[name], loading * twice, rtol=0, atol=1e-3)
        assert_allclose(mine[name], est[f"{name}~1"] + loading * scores["g"], rtol=1e-9)
    age = case.table()["ageyr"].iloc[mine.index].to_numpy()
    left_out = est["x9~ageyr"] * (age - case.table()["ageyr"].mean())
    assert_allclose(theirs["x9"] - mine["x9"], -left_out, rtol=0, atol=1e-3)


@everywhere
@every_case
@pytest.mark.parametrize(("key", "raw"), [("scores", False), ("scores_all", True)])
def test_scores(case: RowCase, source: str, key: str, raw: bool) -> None:
    theirs = said(case, source)[key]
    results = fit(case)
    mine = results.scores(ignore_constraints=raw, remove_duplicated=not raw)
    if not theirs:
        # lavaan stops where rows were dropped
        assert case.name == "causes_dropped_rows"
        assert mine.shape == (results.nobs, results.npar)
        return
    wanted = array(theirs)
    assert wanted.shape[1] == mine.shape[1]
    size = np.abs(mine.to_numpy()).max(axis=0)
    assert_allclose(mine.iloc[:ROWS_KEPT] / size, wanted / size, rtol=0, atol=1e-4)


@everywhere
@every_case
def test_casewise_loglik(case: RowCase, source: str) -> None:
    answer = said(case, source)
    if case.name == "wishart":
        # lavaan gives normal densities of the rows, whose sum is not its log-likelihood
        with pytest.raises(OptionError, match="wishart"):
            fit(case).casewise_loglik()
        return
    for mine, theirs in zip(by_rows(case, answer, fit(case).casewise_loglik()), answer["casewise_loglik"], strict=True):
        assert_allclose(mine, array(theirs), rtol=0, atol=1e-3)


def test_every_stored_file_belongs_to_a_case() -> None:
    folder = ROW_CASES[0].file.parent
    assert {file.name for file in folder.glob("*.json")} == {case.file.name for case in ROW_CASES}


def test_the_cases_differ_in_what_matters() -> None:
    results: dict[str, SemResults] = {case.name: fit(case) for case in ROW_CASES}
    assert results["causes_dropped_rows"].nobs < 301
    assert results["causes_missing_x"].nobs == 301
    assert results["causes_no_means"].implied()[0].mean is None
    assert results["schools_mlr"].npar < len(results["schools_mlr"].params)
