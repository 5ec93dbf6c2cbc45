"""lavaan run now: it still gives what is stored, and we agree with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from r_cases import CASES, Case
from r_comparison import CHECKS

from fosa_sem import SemResults
from r_bridge import LavaanReference, r_info
from r_bridge.runtime import describe

pytestmark = pytest.mark.r

fit = cache(Case.ours)
answer = cache(Case.answer)


@pytest.fixture(scope="module", autouse=True)
def _needs_lavaan() -> None:
    missing = r_info().r_problems
    if missing:
        pytest.skip(describe(missing))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All plain values of nested lists and mappings, with their place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}/{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}/{i}")
    else:
        yield path, value


def same(stored: Any, live: Any) -> bool:
    """Words are equal; numbers of the same lavaan differ by the rounding of the linear algebra beneath."""
    if isinstance(stored, float) and isinstance(live, float | int):
        return math.isclose(stored, live, rel_tol=1e-4, abs_tol=1e-5)
    return bool(stored == live)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_stored_values_are_what_lavaan_says(case: Case) -> None:
    stored, live = case.stored()["answer"], answer(case)
    if stored["lavaan_version"] != live["lavaan_version"]:
        pytest.skip(f"stored values are of lavaan {stored['lavaan_version']}, here is {live['lavaan_version']}")
    now = dict(leaves(live))
    passed_over = ("/r_version", "/warnings")
    differing = [
        (place, value, now.get(place))
        for place, value in leaves(stored)
        if not place.startswith(passed_over) and not same(value, now.get(place))
    ]
    assert differing == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_we_agree_with_lavaan_now(case: Case, check: Callable[[SemResults, LavaanReference], None]) -> None:
    check(fit(case), case.reference(answer(case)))
