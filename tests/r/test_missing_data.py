"""Patterns, pairs, flux, Welch's and Little's tests against mice, VIM and lavaan: stored, and run now."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from missing_cases import STORED, ask_r, tables
from numpy.testing import assert_allclose, assert_array_equal

from fosa_sem import compare_missing, coverage, influx_outflux, mcar_test, md_pairs, md_pattern
from fosa_sem.errors import DroppedRowsWarning
from fosa_sem.evaluate.ampute import amputation

NAMES = ["adults", "pupils_rule", "pupils_mar"]
FLUX = ["pobs", "influx", "outflux", "ainb", "aout", "fico"]


@cache
def stored() -> dict[str, Any]:
    return json.loads(STORED.read_text(encoding="utf-8"))


@cache
def table(name: str) -> pd.DataFrame:
    return tables()[name]


def check(name: str, answer: dict[str, Any]) -> None:
    """Everything of one table: counts are equal, shares and tests to the rounding of double precision and EM."""
    data = table(name)
    check_patterns(data, answer)
    check_counts_of_vim(data, answer)
    ours = influx_outflux(data)
    assert answer["flux"]["_row"] == list(ours.index)
    for column in FLUX:
        assert_allclose(ours[column], np.array(answer["flux"][column], dtype=float), rtol=1e-12)
    differences = compare_missing(data).set_index(["missing", "variable"])
    assert len(answer["welch"]) > 10
    for row in answer["welch"]:
        found = differences.loc[(row["missing"], row["variable"]), ["t", "df", "pvalue"]].astype(float)
        assert_allclose(found, [row["t"], row["df"], row["pvalue"]], rtol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedRowsWarning)
        test = mcar_test(data)
    # Both run EM to its end; what is left is where each of them stops.
    assert_allclose([test.chisq, test.pvalue], [answer["little"]["chisq"], answer["little"]["pvalue"]], rtol=1e-4)
    assert test.df == answer["little"]["df"]


def check_patterns(data: pd.DataFrame, answer: dict[str, Any]) -> None:
    ours = md_pattern(data)
    assert list(ours.columns[:-2]) == answer["pattern_names"]
    assert_array_equal(ours.iloc[:, :-1], answer["pattern"])
    assert_array_equal(ours["n"], answer["pattern_n"])
    pairs = md_pairs(data)
    for key in ("rr", "rm", "mr", "mm"):
        assert_array_equal(getattr(pairs, key), answer["pairs"][key])
    assert_allclose(coverage(data), np.array(answer["pairs"]["rr"]) / len(data))


def check_counts_of_vim(data: pd.DataFrame, answer: dict[str, Any]) -> None:
    ours = md_pattern(data)
    observed = ours[list(data.columns)].to_numpy()
    mine = {tuple(1 - row): n for row, n in zip(observed, ours["n"], strict=True)}
    assert mine == {tuple(row): n for row, n in zip(answer["vim_patterns"], answer["vim_counts"], strict=True)}
    assert_array_equal(data.isna().sum(), answer["vim_missing"])


@pytest.mark.parametrize("name", NAMES)
def test_we_agree_with_what_is_stored(name: str) -> None:
    check(name, stored()["answers"][name])


@cache
def lacking() -> str:
    if shutil.which("Rscript") is None:
        return "Rscript is not on the PATH"
    names = ("mice", "VIM", "lavaan", "jsonlite")
    question = f"for (p in c{names!r}) if (!requireNamespace(p, quietly = TRUE)) cat(p, '')"
    answer = subprocess.run(["Rscript", "--vanilla", "-e", question], capture_output=True, text=True, check=False)
    return f"R lacks {answer.stdout}" if answer.stdout.strip() else ""


@pytest.fixture
def _with_mice() -> None:
    if lacking():
        pytest.skip(lacking())


@pytest.mark.r
@pytest.mark.usefixtures("_with_mice")
def test_we_agree_with_r_now() -> None:
    answers = ask_r()["answers"]
    for name in NAMES:
        check(name, answers[name])


AMPUTE = """
suppressMessages(library(mice))
data <- read.csv("PATH")
set.seed(3)
cat("[")
for (mech in c("MAR", "MNAR")) for (type in c("RIGHT", "LEFT", "MID", "TAIL", "odds")) {
  discrete <- type == "odds"
  result <- suppressWarnings(
    if (discrete) ampute(data, 0.4, mech = mech, cont = FALSE) else ampute(data, 0.4, mech = mech, type = type)
  )
  score <- numeric(nrow(data))
  for (k in seq_along(result$scores)) score[result$cand == k] <- result$scores[[k]]
  gone <- !complete.cases(result$amp)
  cat(sprintf(
    '{"mech":"%s","type":"%s","share":%.8f,"score":%.8f,"size":%.8f,"mean":%.8f},',
    mech, type, mean(gone), mean(score[gone]), mean(abs(score[gone])), mean(result$amp[[1]], na.rm = TRUE)))
}
cat("null]")
"""


@pytest.mark.r
@pytest.mark.usefixtures("_with_mice")
def test_ampute_has_the_distribution_of_mice(tmp_path) -> None:
    rng = np.random.default_rng(8)
    n = 20000
    data = pd.DataFrame(rng.multivariate_normal(np.zeros(3), 0.5 + 0.5 * np.eye(3), n), columns=list("abc"))
    path = tmp_path / "data.csv"
    data.to_csv(path, index=False)
    script = AMPUTE.replace("PATH", path.as_posix())
    run = subprocess.run(["Rscript", "--vanilla", "-e", script], capture_output=True, text=True, check=True)
    for theirs in json.loads(run.stdout)[:-1]:
        odds = [1, 2, 3, 4] if theirs["type"] == "odds" else None
        kind = "RIGHT" if odds else theirs["type"]
        ours = amputation(data, 0.4, theirs["mech"], type=kind, odds=odds, seed=3)
        gone = ours.mask.any(axis=1).to_numpy()
        score = ours.scores[gone]
        found = [gone.mean(), score.mean(), np.abs(score).mean(), ours.data["a"].mean()]
        expected = [theirs["share"], theirs["score"], theirs["size"], theirs["mean"]]
        # Two independent draws: 4.5 standard errors of the difference, plus what mice's search for the shift is off
        # (three decimals in the proportion, from 10,000 random scores).
        error = np.sqrt(2.0) * np.array(
            [np.sqrt(0.24 / n), 1 / np.sqrt(0.4 * n), 0.7 / np.sqrt(0.4 * n), 1 / np.sqrt(n)]
        )
        assert np.all(np.abs(np.subtract(found, expected)) < 4.5 * error + 0.01), theirs
