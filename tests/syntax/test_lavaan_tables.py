"""Our parameter tables against lavaan's, row by row, in its order (stored; live where R is)."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import pytest
from make_lavaan_tables import STORED, ask_lavaan, question
from table_cases import BY_NAME, CASES, TableCase

from fosa_sem import parameter_table
from fosa_sem.errors import FosaError
from fosa_sem.syntax.table import ParameterTable
from r_bridge import r_info
from r_bridge.runtime import describe

# What is read is the matter here; the warnings have tests of their own (test_slips.py).
pytestmark = pytest.mark.filterwarnings("ignore::fosa_sem.errors.ModelWarning")

IGNORED_TIE = (
    "equal() of a labelled parameter: 0.6-14 compares the text with the label and ties nothing; here it ties to the "
    "parameter that is named"
)
LATER_FORMULA = "a later formula adds a modifier: 0.6-14 calls it a duplicate, 0.7 reads it, and so do we"
BARE_NA = (
    "c(a, NA) without quotes: 0.6-14 drops the NA and gives the one label to every group; c('a', NA) it reads as we "
    "read both, a label for the first group only"
)
START_NA = "start(c(2, NA)) on a marker: 0.6-14 fixes the second group's at NA, which it cannot fit; here at 1"
PARTIAL_BLANKS = "group.partial with blanks: 0.6-14 passes over the name in silence; here blanks do not count"

KNOWN = {
    **{f"equal to a labelled one [{kind}]": IGNORED_TIE for kind in ("sem", "lavaan", "std_lv", "orthogonal")},
    **{f"repetition across formulas [{kind}]": LATER_FORMULA for kind in ("sem", "lavaan", "std_lv", "orthogonal")},
    "groups: label and NA": BARE_NA,
    "groups: label and NA [fixed_x]": BARE_NA,
    "equal: labelled in one of three groups": BARE_NA,
    "groups: start on the marker with NA": START_NA,
    "groups: start on the marker with NA [fixed_x]": START_NA,
    "equal: partial, with blanks": PARTIAL_BLANKS,
}
"""Where we differ from lavaan 0.6-14, and why."""


@cache
def stored() -> dict[str, Any]:
    return dict(json.loads(STORED.read_text(encoding="utf-8")))


def _plain(value: object) -> object:
    """Numbers rounded to what both programs print; no number is None."""
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    return value


def lavaans_rows(case: TableCase, tables: dict[str, Any] | None = None) -> list[dict[str, object]]:
    table = (tables or stored()["tables"])[case.name]
    if "error" in table:
        return []
    return [{name: _plain(column[i]) for name, column in table.items()} for i in range(len(table["lhs"]))]


def our_rows(case: TableCase, columns: list[str]) -> list[dict[str, object]]:
    frame = table_of(case).to_frame()
    return [{name: _plain(row[name]) for name in columns} for row in frame.to_dict("records")]


def table_of(case: TableCase) -> ParameterTable:
    return parameter_table(case.model, case.func, **case.options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in KNOWN])
def test_rows_order_numbers_and_labels_are_lavaans(name: str) -> None:
    theirs = lavaans_rows(BY_NAME[name])
    assert our_rows(BY_NAME[name], list(theirs[0])) == theirs


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_differences_are_still_there(name: str) -> None:
    theirs = lavaans_rows(BY_NAME[name])
    assert our_rows(BY_NAME[name], list(theirs[0]) if theirs else ["lhs"]) != theirs


def test_bounds_are_compared_where_lavaan_has_them() -> None:
    bounded = [name for name, table in stored()["tables"].items() if "lower" in table or "upper" in table]
    assert len(bounded) > 5


def test_the_stored_answers_are_to_these_questions() -> None:
    assert stored()["questions"] == [json.loads(json.dumps(question(case))) for case in CASES]
    assert set(stored()["versions"]) == {"lavaan", "R"}


@pytest.mark.parametrize(
    "model",
    ["f =~ x1 + f", "y ~ x\ny ~ x", "y ~", "x ~~ y\ny ~~ x", "group:\ny ~ x", "y ~ x:z:w", "y ~ log(x)"],
)
def test_what_lavaan_refuses_is_refused(model: str) -> None:
    with pytest.raises(FosaError):
        parameter_table(model)


@pytest.fixture(scope="module")
def _lavaan() -> None:
    found = r_info()
    if found.r_problems:
        pytest.skip(describe(found.r_problems))
    if found.jsonlite_version is None:
        pytest.skip("R has no package jsonlite")


@pytest.mark.r
@pytest.mark.usefixtures("_lavaan")
def test_lavaan_still_says_what_is_stored() -> None:
    live = ask_lavaan()
    if live["versions"]["lavaan"] != stored()["versions"]["lavaan"]:
        pytest.skip(f"stored tables are of lavaan {stored()['versions']['lavaan']}")
    differing = [name for name, table in live["tables"].items() if table != stored()["tables"][name]]
    assert differing == []


@pytest.mark.r
@pytest.mark.usefixtures("_lavaan")
def test_lavaan_reads_what_we_write_as_we_do() -> None:
    cases = []
    for case in CASES:
        table = table_of(case)
        options = {"ngroups": table.ngroups, "fixed_x": table.fixed_x}
        if not any(":" in row.lhs for row in table.rows if not row.exo):  # lavaan has no products on the left
            cases.append(TableCase(name=case.name, model=table.to_syntax(), func="lavaan", options=options))
    live = ask_lavaan(cases)["tables"]
    assert len(cases) > 400
    for case in cases:
        theirs = lavaans_rows(case, live)
        assert theirs, case.name
        assert our_rows(case, list(theirs[0])) == theirs, case.name
