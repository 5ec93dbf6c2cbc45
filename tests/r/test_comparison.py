"""The comparison with lavaan notices a difference in every quantity."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import r_comparison
from r_cases import CASES, Case

CASE = next(case for case in CASES if case.name == "pupils_two_schools")


def nudge(values: list[Any], by: float) -> None:
    """Move the last number of a (nested) list."""
    while isinstance(values[-1], list):
        values = values[-1]
    values[-1] += by


NUDGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "sample": lambda a: nudge(a["nobs"], 1),
    "loglik": lambda a: a.update(loglik=a["loglik"] + 2e-4),
    "estimates": lambda a: nudge_free(a, "est", 2e-3),
    "standard_errors": lambda a: nudge_free(a, "se", 5e-3),
    "fit_measures": lambda a: nudge_measure(a, "cfi", 2e-3),
    "standardized": lambda a: nudge(a["standardized"]["est.std"], 1e-3),
    "r_squared": lambda a: nudge(a["r_squared"]["r2"], 1e-3),
    "moments": lambda a: nudge(a["saturated"][-1]["cov"], 1e-3),
    "scores": lambda a: nudge(a["scores"][-1]["values"], 1e-2),
}


def nudge_free(answer: dict[str, Any], column: str, share: float) -> None:
    """Move the number of the first free parameter by a share of its standard error."""
    table = answer["parameters"]
    row = next(i for i, se in enumerate(table["se"]) if se)
    table[column][row] += share * table["se"][row]


def nudge_measure(answer: dict[str, Any], name: str, by: float) -> None:
    place = answer["fit_measures"]["name"].index(name)
    answer["fit_measures"]["value"][place] += by


@pytest.mark.parametrize("name", NUDGES)
def test_a_difference_is_noticed(name: str) -> None:
    check = getattr(r_comparison, f"check_{name}")
    answer = deepcopy(CASE.stored()["answer"])
    ours = Case.ours(CASE)
    check(ours, CASE.reference(answer))
    NUDGES[name](answer)
    with pytest.raises(AssertionError):
        check(ours, CASE.reference(answer))


def test_every_check_is_tried() -> None:
    assert {check.__name__ for check in r_comparison.CHECKS} == {f"check_{name}" for name in NUDGES}


def test_a_parameter_on_one_side_only_is_noticed() -> None:
    answer = deepcopy(CASE.stored()["answer"])
    for column in answer["parameters"].values():
        column.pop()
    with pytest.raises(AssertionError, match="one side only"):
        r_comparison.check_estimates(CASE.ours(), CASE.reference(answer))
