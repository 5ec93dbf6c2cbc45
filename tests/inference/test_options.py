"""What is made of options that are left open, against lavaan's own resolution (stored; live where R is)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from make_lavaan_options import STORED, ask_lavaan, questions
from zoo import BY_NAME

import fosa_sem
from fosa_sem.errors import DataError, DroppedRowsWarning, OptionError
from fosa_sem.inference.options import fit_options
from r_bridge import r_info
from r_bridge.runtime import describe

CONTENT = json.loads(STORED.read_text(encoding="utf-8"))
PAIRS: list[dict[str, Any]] = CONTENT["pairs"]
OWN_TEST = {"MLR": "yuan.bentler.mplus", "MLM": "satorra.bentler"}
"""Scaled tests that lavaan's estimators bring, and keep in front of one that is asked for."""


def _name(pair: Mapping[str, Any]) -> str:
    asked = pair["asked"]
    words = [asked["func"], *(f"{name}={value}" for name, value in asked["options"].items())]
    return " ".join(words + ["~x"] * ("~ x" in asked["model"]) + ["~1"] * ("~ 1" in asked["model"]))


def ours(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Our resolution in lavaan's words."""
    given = {k.replace(".", "_"): tuple(v) if isinstance(v, list) else v for k, v in asked["options"].items()}
    options = fit_options(asked["func"], given)  # type: ignore[arg-type]
    found = options.resolve()
    table = options.table_options(has_intercepts="~ 1" in asked["model"])
    both = (found.information, found.test_information)
    return {
        "missing": [found.missing],
        "se": [found.se],
        "test": [found.test],
        "information": [one.kind for one in both],
        "observed.information": [one.observed for one in both],
        "h1.information": [one.moments for one in both],
        "meanstructure": [table.meanstructure],
        # lavaan says FALSE where there is nothing to fix
        "fixed.x": [table.fixed_x and "~ x" in asked["model"]],
        "likelihood": [found.likelihood],
    }


def lavaans(answer: Mapping[str, Any]) -> dict[str, Any]:
    """lavaan's resolution: its tests but for the standard one, which always stands beside them."""
    tests = [name for name in answer["test"] if name != "standard"] or ["standard"]
    pairs = {n: answer[n] * (3 - len(answer[n])) for n in ("information", "observed.information", "h1.information")}
    return {**answer, "test": tests, **pairs}


def _is_changed(answer: Mapping[str, Any]) -> bool:
    """Whether lavaan did something else than it was asked to, with a warning."""
    return any("will be set to" in w or "forces" in w for w in answer.get("warnings", []))


def _is_contradicted(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    """meanstructure=FALSE, overruled in silence by means elsewhere in the call."""
    return asked["options"].get("meanstructure") is False and (
        answer["meanstructure"] == [True] or "~ 1" in asked["model"]
    )


def check(asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """lavaan's defaults are ours; what it refuses or overrules is refused, unless it can be done as asked."""
    wishes = asked["options"]
    if "error" in answer:
        with pytest.raises(OptionError):
            ours(asked)
        return
    two_stage = wishes["missing"].endswith("two.stage")
    if _is_contradicted(asked, answer) or (two_stage and wishes.get("estimator") == "MLF"):
        with pytest.raises(OptionError):
            ours(asked)
        return
    theirs = lavaans(answer)
    try:
        mine = ours(asked)
    except OptionError:
        if not _is_changed(answer):
            raise
        return
    own = "satorra.bentler" if two_stage else OWN_TEST.get(wishes.get("estimator", "ML"))
    if own and wishes.get("test") == "standard":  # lavaan gives the scaled test all the same
        assert mine["test"] == ["standard"]
        mine = {**mine, "test": [own], "observed.information": theirs["observed.information"]}
        theirs = {**theirs, "test": [own]}
    if own and len(theirs["test"]) > 1:  # the one that was asked for, or that suits the EM moments, comes last
        theirs = {**theirs, "test": theirs["test"][-1:]}
    for name in ("se", "test"):  # nothing can always be left out
        if wishes.get(name) == "none":
            assert mine[name] == ["none"]
            theirs = {**theirs, name: ["none"]}
    assert mine == {name: theirs[name] for name in mine}


@pytest.mark.parametrize("pair", PAIRS, ids=_name)
def test_defaults_are_lavaans(pair: dict[str, Any]) -> None:
    check(pair["asked"], pair["answer"])


def test_the_stored_answers_are_those_to_these_questions() -> None:
    assert [pair["asked"] for pair in PAIRS] == questions()


@pytest.mark.r
def test_lavaan_still_says_so() -> None:
    missing = r_info().r_problems
    if missing:
        pytest.skip(describe(missing))
    some = PAIRS[::25]
    live = ask_lavaan([pair["asked"] for pair in some])
    if live["versions"]["lavaan"] != CONTENT["versions"]["lavaan"]:
        pytest.skip(f"stored answers are of lavaan {CONTENT['versions']['lavaan']}")
    assert live["pairs"] == some


# ---- options that need the data ----------------------------------------------------------------------------


GROUPED = BY_NAME["two_groups"]


@pytest.mark.filterwarnings("ignore::fosa_sem.errors.DroppedRowsWarning")
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("north", "east"), "group_label names 'east'.*the groups are (south, north|north, south)"),
        ("north", "at least two are needed"),
        (("north", "north"), "names something twice"),
        ((1, 2), "must be a string or several"),
    ],
)
def test_group_labels_that_cannot_be(labels: object, words: str) -> None:
    with pytest.raises((DataError, OptionError), match=words):
        fosa_sem.cfa(GROUPED.model, GROUPED.data(), group="school", group_label=labels)  # type: ignore[arg-type]


def test_groups_come_in_the_order_of_the_table_not_of_the_rows_that_are_used() -> None:
    data = GROUPED.data().dropna().reset_index(drop=True)
    first, second = data["school"].unique()
    data.loc[data["school"].eq(first).idxmax(), list(GROUPED.columns)] = np.nan
    data = pd.concat([data[data.index == 0], data[data["school"] == second], data[data["school"] == first].iloc[1:]])
    assert data["school"].iloc[0] == first
    with pytest.warns(DroppedRowsWarning):
        results = fosa_sem.cfa(GROUPED.model, data, group="school", missing="listwise")
    assert [moments.group for moments in results.implied()] == [first, second]


def test_scaled_measures_without_degrees_of_freedom_are_lavaans() -> None:
    # lavaan has no scaled RMSEA there, and leaves out the scaling factors of the log-likelihoods
    data = BY_NAME["cfa"].data()[["x1", "x2", "x3"]].dropna(how="all")
    measures = fosa_sem.cfa("f =~ x1 + x2 + x3", data, estimator="MLR").fit_measures()
    assert measures["rmsea"] == 0.0
    assert math.isnan(measures["rmsea.scaled"])
    assert "scaling.factor.h1" not in measures.index
