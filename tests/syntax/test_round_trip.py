"""Model string -> table -> model string -> table: nothing is lost or changed on the way."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from table_cases import BY_NAME

from fosa_sem import parameter_table, parse
from fosa_sem.errors import ModelSpecificationError
from fosa_sem.syntax.table import ParameterTable

pytestmark = pytest.mark.filterwarnings("ignore::fosa_sem.errors.FosaWarning")

LATENT = ("f", "g", "h")
OBSERVED = ("x1", "x2", "x3", "y1", "y2", "Größe", "z.1", "x1:x2")
LABELS = ("a", "b", "slope", "p1", "x1", ".b_2")
NUMBERS = (0.0, 1.0, -0.5, 1e-3, 1 / 3)


@st.composite
def modifiers(draw: st.DrawFn, ngroups: int) -> str:
    """Nothing, or one modifier for all groups or each."""
    kinds = ("", "", "", "fixed", "NA", "label", "start", "lower", "upper", "fixed and label")
    kind = draw(st.sampled_from(kinds))
    several = ngroups > 1 and draw(st.booleans())

    def entry(values: tuple[Any, ...]) -> str:
        chosen = [str(draw(st.sampled_from(values))) for _ in range(ngroups if several else 1)]
        return f"c({', '.join(chosen)})" if several else chosen[0]

    quoted = tuple(f'"{label}"' for label in LABELS)
    written = {
        "": lambda: "", "NA": lambda: "NA*", "fixed": lambda: f"{entry(NUMBERS)}*",
        "label": lambda: f"{entry(quoted)}*", "start": lambda: f"start({entry(NUMBERS)})*",
        "lower": lambda: f"lower({entry(NUMBERS)})*", "upper": lambda: f"upper({entry(NUMBERS)})*",
        "fixed and label": lambda: f"{entry(NUMBERS)}*{entry(quoted)}*",
    }  # fmt: skip
    return written[kind]()


@st.composite
def formulas(draw: st.DrawFn, ngroups: int) -> str:
    """Relations between variables that may or may not make sense together."""
    factors = draw(st.lists(st.sampled_from(LATENT), unique=True, max_size=3))
    names = (*factors, *OBSERVED)
    lines = []
    for factor in factors:
        operator = draw(st.sampled_from(("=~", "=~", "=~", "<~")))
        indicators = draw(st.lists(st.sampled_from(OBSERVED), min_size=1, max_size=4, unique=True))
        lines.append(f"{factor} {operator} " + " + ".join(f"{draw(modifiers(ngroups))}{name}" for name in indicators))
    for _ in range(draw(st.integers(0 if factors else 1, 4))):
        lhs, rhs = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        operator = draw(st.sampled_from(("~", "~~", "~1")))
        right = f"{draw(modifiers(ngroups))}{'1' if operator == '~1' else rhs}"
        lines.append(f"{lhs} {'~' if operator == '~1' else operator} {right}")
    return "\n".join(lines)


@st.composite
def tables(draw: st.DrawFn) -> ParameterTable:
    """A table of a random model, function and options, with formulas of its own labels."""
    ngroups = draw(st.integers(1, 3))
    options: dict[str, Any] = {
        "ngroups": ngroups, "func": draw(st.sampled_from(("sem", "cfa", "growth", "lavaan"))),
        **{name: draw(st.booleans()) for name in ("fixed_x", "std_lv", "orthogonal")},
        "group_equal": draw(st.sampled_from(((), "loadings", ("loadings", "intercepts"), ("residuals", "means")))),
    }  # fmt: skip
    model = draw(formulas(ngroups))
    try:
        table = parameter_table(model, **options)
    except ModelSpecificationError:
        assume(False)
    used = [*sorted({row.label for row in table.rows if row.label}), ".p1."]
    first, second = draw(st.sampled_from(used)), draw(st.sampled_from(used))
    extra = ("", f"\nq := {first}^2 - exp({second})", f"\n{first} == 2*{second} + 1", f"\n{first} > 0; {second} < 1e2")
    return parameter_table(model + draw(st.sampled_from(extra)), **options)


def parameters(table: ParameterTable) -> dict[tuple[object, ...], tuple[object, ...]]:
    """What a table says of each parameter, but for names that count its rows."""
    return {
        (row.lhs, row.op, row.rhs, row.group): (
            row.free, row.exo, None if math.isnan(row.ustart) else row.ustart, row.lower, row.upper,
            row.label if row.label and not row.label.startswith(".p") and "~" not in row.label else None,
        )
        for row in table.rows
    }  # fmt: skip


def again(table: ParameterTable) -> ParameterTable:
    return parameter_table(table.to_syntax(), "lavaan", ngroups=table.ngroups, fixed_x=table.fixed_x)


def check(table: ParameterTable) -> None:
    """The written model has the same parameters, ties, formulas and roles, and is written the same again."""
    copy = again(table)
    ours, theirs = parameters(table), parameters(copy)
    # labels that count rows (".p2.") are written as a label that does not
    counted = {key for key, value in ours.items() if value[-1] is None}
    assert {k: v[:-1] if k in counted else v for k, v in theirs.items()} == {
        k: v[:-1] if k in counted else v for k, v in ours.items()
    }
    assert copy.ties() == table.ties()
    assert [s.op for s in copy.relations] == [s.op for s in table.relations]
    assert [s.lhs for s in copy.definitions] == [s.lhs for s in table.definitions]
    if table.fixed_x:  # else their moments are written out, which is how a model says that x is random
        assert copy.names.observed_x == table.names.observed_x
    text = table.to_syntax()
    assert again(copy).to_syntax() == copy.to_syntax() == text
    assert parse(copy.to_syntax()).equals(parse(text))


@settings(max_examples=250, deadline=None)
@given(tables())
def test_random_models_come_back(table: ParameterTable) -> None:
    check(table)


UNREAD = ("repetition across formulas",)


@pytest.mark.parametrize("name", [name for name in BY_NAME if not name.startswith(UNREAD)])
def test_the_models_that_are_compared_with_lavaan_come_back(name: str) -> None:
    case = BY_NAME[name]
    check(parameter_table(case.model, case.func, **case.options))  # type: ignore[arg-type]


def test_what_is_written_is_lavaans_language() -> None:
    table = parameter_table("f =~ x1 + a*x2 + start(2)*x3\ny ~ f + lower(0)*z\nq := a^2", fixed_x=True)
    assert table.to_syntax().splitlines() == [
        "f =~ 1.0*x1",
        'f =~ NA*x2 + label("a")*x2',
        "f =~ NA*x3 + start(2.0)*x3",
        "y ~ NA*f",
        "y ~ NA*z + lower(0.0)*z",
        "x1 ~~ NA*x1", "x2 ~~ NA*x2", "x3 ~~ NA*x3", "y ~~ NA*y", "f ~~ NA*f",
        "x1 ~ NA*1", "x2 ~ NA*1", "x3 ~ NA*1", "y ~ NA*1", "f ~ 0.0*1",
        "q := a^2",
    ]  # fmt: skip


def test_a_parameter_that_a_formula_names_by_its_row_keeps_its_meaning() -> None:
    # x's own moments are left out, so the rows of the copy are counted differently
    table = parameter_table("y ~ x1 + x2\nm ~ x1\n.p11. == .p3.", fixed_x=True)
    text = table.to_syntax()
    assert 'm ~ NA*x1 + label("p3")*x1' in text
    assert "p11 == p3" in text
    assert {row.label: row.lhs + row.op for row in again(table).rows if row.label} == {"p3": "m~", "p11": "m~1"}


def test_a_formula_of_a_sample_moment_cannot_be_written() -> None:
    table = parameter_table("y ~ x\nv := .p3. * 2", fixed_x=True)
    with pytest.raises(ModelSpecificationError, match=r"\.p3\. is the sample moment 'x~~x', which a model string"):
        table.to_syntax()


def test_labels_with_quotes_come_back() -> None:
    table = parameter_table("""y ~ 'a"b'*x + "it's"*z""")
    assert [row.label for row in again(table).rows[:2]] == ['a"b', "it's"]
