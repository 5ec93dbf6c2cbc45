"""The paper's experiments are set as they should be, and their text comes from their results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.imputation_tasks import task
from vignettes.paper_experiments import report, run
from vignettes.paper_experiments.settings import (
    KEY,
    OMITTED,
    TABLES,
    UNRELATED,
    Setting,
    mask,
    source,
)


@pytest.fixture
def results():
    """Made-up scores of all settings: FOSA gains .1 over FIML at pattern (b) alone."""
    rows = []
    for setting, methods in run.pending(list(TABLES), ()):
        for method in methods:
            r2 = 0.5 + 0.1 * (method == "fosa" and setting.data == "b")
            seconds = 10.0 if method == "fosa" else 0.5
            row = {"method": method, "error": "", "cpu_seconds": seconds, "R2": r2} | dict.fromkeys(
                run.COLUMNS[8:12], 0.25
            )
            rows.append(dict(zip(KEY, setting.key, strict=True)) | row)
    return pd.DataFrame(rows, columns=list(run.COLUMNS)).assign(cov_error=0.125)


@pytest.mark.parametrize(("data", "name"), [("a", "T1"), ("b", "T2"), ("b", "T2-MNAR")])
def test_settings_are_the_tasks_of_the_benchmark(data, name):
    mechanism = name.partition("-")[2] or "MCAR"
    setting = Setting(data=data, n=500, rate=0.2, mechanism=mechanism, seed=3)
    truth, model, func = source(setting)
    expected = task(name, 3)
    pd.testing.assert_frame_equal(truth, expected.truth)
    pd.testing.assert_frame_equal(mask(truth, setting), expected.mask)
    assert (model, func) == (expected.model, expected.func)


@pytest.mark.parametrize("model", [OMITTED, UNRELATED])
def test_wrong_models_are_worse_than_none(model):
    rows = run.run_one(Setting(data="a", n=500, rate=0.2, model=model, seed=1), ("mean", "em", "sem"))
    rows = pd.DataFrame(rows).set_index("method")
    assert (rows["error"] == "").all()
    assert rows["R2"]["sem"] < rows["R2"]["em"] - 0.05
    if model == UNRELATED:
        np.testing.assert_allclose(rows["R2"]["sem"], rows["R2"]["mean"], atol=1e-6)


def test_a_failure_is_a_row():
    rows = run.run_one(Setting(data="a", n=500, rate=0.2, seed=1), ("mean", "none"))
    assert [row["error"] for row in rows] == ["", "KeyError: 'none'"]


def test_text_says_what_the_numbers_say(results):
    printed = pd.read_csv(report.FOLDER / "printed.csv")
    text = report.text(results, printed)
    assert "| pattern (b) | FOSA | 0.6000 | 0.250 |" in text
    assert "| survey | 300,000 | 40% | FOSA, paper's settings |" in text
    assert "0.5 (paper: 280 s by the clock on two CPU cores; 10 s on a large GPU)" in text
    assert "R2 of FOSA is better in 1 of 20 settings (by up to 0.100), worse in 0, the same within 0.001 in 19" in text
    assert "pattern (b): +0.1000" in text
    assert "takes 20 times as long" in text
    assert "that is the whole run" in text
    some = report.text(results[results["data"] != "a"], printed)
    assert "settings are left to run" in some


def test_only_what_is_left_is_run(results):
    done = set(results[[*KEY, "method"]].itertuples(index=False, name=None))
    assert run.pending(list(TABLES), done) == []
    key = next(key for key in done if key[-1] == "sem")
    (left,) = run.pending(list(TABLES), done - {key})
    assert (*left[0].key, *left[1]) == key


def test_means_are_over_the_same_seeds(results):
    one_seed = results[(results["seed"] == 0) | (results["method"] != "fosa")]
    shifted = one_seed.assign(R2=one_seed["R2"] + one_seed["seed"])
    means = report.cell_means(shifted, TABLES["table 2"]())
    assert (means["seeds"] == 1).all()
    np.testing.assert_allclose(report.differences(means, "fosa"), [0.0, 0.1], atol=1e-12)


def test_text_before_fosa_was_run(results):
    printed = pd.read_csv(report.FOLDER / "printed.csv")
    text = report.text(results[results["method"].isin(["mean", "em", "sem"])], printed)
    assert "R2 of FOSA is not known yet" in text
    assert "10 of its settings are not complete yet" in text


def test_text_in_the_folder_is_that_of_the_results_in_the_folder():
    path = report.FOLDER / "paper_experiments.md"
    assert path.read_text(encoding="utf-8") == report.text(
        run.RESULTS.read(), pd.read_csv(report.FOLDER / "printed.csv")
    )


def test_figure(results, tmp_path):
    means = report.cell_means(results, TABLES["rates"]())
    report.figure(means, "rate", "share", tmp_path / "rate.png")
    assert (tmp_path / "rate.png").stat().st_size > 5_000
