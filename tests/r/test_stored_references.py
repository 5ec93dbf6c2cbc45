"""Our numbers against those of lavaan that are stored here; needs no R."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from r_cases import CASES, REFERENCES, Case
from r_comparison import CHECKS

from fosa_sem import SemResults
from r_bridge.reference import LavaanReference

fit = cache(Case.ours)


@cache
def stored(case: Case) -> LavaanReference:
    return case.reference(case.stored()["answer"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_question_is_the_one_that_lavaan_was_asked(case: Case) -> None:
    assert case.stored()["asked"] == case.asked()


def test_every_stored_file_belongs_to_a_case() -> None:
    assert {file.name for file in REFERENCES.glob("*.json")} == {case.file.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_we_agree_with_lavaan(case: Case, check: Callable[[SemResults, LavaanReference], None]) -> None:
    check(fit(case), stored(case))
