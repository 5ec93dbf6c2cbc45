"""The parameter table: lavaan's rows, order, numbering and switches, written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fosa_sem import parameter_table
from fosa_sem.errors import ModelSpecificationError, OptionError
from fosa_sem.syntax.options import TableOptions


def _rows(model: str, func: str = "sem", **options: object) -> list[str]:
    """``name free-number`` or ``name =value`` (``=x`` for a moment of an exogenous variable)."""
    table = parameter_table(model, func, **options)  # type: ignore[arg-type]
    return [
        f"{r.lhs}{r.op}{r.rhs} " + (str(r.free) if r.free else "=x" if r.exo else f"={r.ustart:g}") for r in table.rows
    ]


CFA = "f =~ x1 + x2 + x3\ng =~ x4 + x5"


def test_cfa() -> None:
    assert _rows(CFA, "cfa") == [
        "f=~x1 =1", "f=~x2 1", "f=~x3 2", "g=~x4 =1", "g=~x5 3",
        "x1~~x1 4", "x2~~x2 5", "x3~~x3 6", "x4~~x4 7", "x5~~x5 8", "f~~f 9", "g~~g 10", "f~~g 11",
        "x1~1 12", "x2~1 13", "x3~1 14", "x4~1 15", "x5~1 16", "f~1 =0", "g~1 =0",
    ]  # fmt: skip


def test_std_lv_frees_the_first_loading_and_fixes_the_variance() -> None:
    rows = _rows(CFA, "cfa", std_lv=True)
    assert {"f=~x1 1", "f~~f =1", "g~~g =1"} <= set(rows)


def test_orthogonal_fixes_the_automatic_covariances_of_latent_variables() -> None:
    rows = _rows(CFA + "\nh =~ x6 + x7\nk =~ x8 + x9\nh + k ~ f\nz ~ f", "cfa", orthogonal=True)
    assert {"f~~g =0", "h~~k =0"} <= set(rows)
    assert not any(r.startswith(("f~~h", "g~~h", "h~~f")) for r in rows)
    assert any(r.startswith("h~~z") and "=" not in r for r in rows)


def test_path_model_with_fixed_x() -> None:
    assert _rows("m ~ x1 + x2\ny ~ m", fixed_x=True) == [
        "m~x1 1", "m~x2 2", "y~m 3", "m~~m 4", "y~~y 5",
        "x1~~x1 =x", "x1~~x2 =x", "x2~~x2 =x", "m~1 6", "y~1 7", "x1~1 =x", "x2~1 =x",
    ]  # fmt: skip


def test_path_model_with_free_x() -> None:
    assert _rows("m ~ x1 + x2\ny ~ m", fixed_x=False) == [
        "m~x1 1", "m~x2 2", "y~m 3", "m~~m 4", "y~~y 5",
        "x1~~x1 6", "x1~~x2 7", "x2~~x2 8", "m~1 9", "y~1 10", "x1~1 11", "x2~1 12",
    ]  # fmt: skip


def test_an_exogenous_variable_with_a_written_moment_is_no_longer_exogenous() -> None:
    rows = _rows("y ~ x1 + x2\nx1 ~~ x1", fixed_x=True)
    assert {"x1~~x1 3", "x2~~x2 =x", "x1~1 6", "x2~1 =x"} <= set(rows)
    assert not any(r.startswith("x1~~x2") for r in rows)


def test_pure_outcomes_covary_latent_ones_first() -> None:
    rows = _rows("f =~ x1 + x2 + x3\ny1 + y2 + f ~ z")
    assert [r.split()[0] for r in rows if "~~" in r and r.split("~~")[0] != r.split("~~")[1].split()[0]] == [
        "f~~y1", "f~~y2", "y1~~y2",
    ]  # fmt: skip


def test_growth_fixes_observed_intercepts_and_frees_latent_means() -> None:
    rows = _rows("i =~ 1*t1 + 1*t2\ns =~ 0*t1 + 1*t2", "growth")
    assert rows[:4] == ["i=~t1 =1", "i=~t2 =1", "s=~t1 =0", "s=~t2 =1"]
    assert rows[-4:] == ["t1~1 =0", "t2~1 =0", "i~1 6", "s~1 7"]


def test_lavaan_adds_nothing_free_and_fixes_no_loading() -> None:
    rows = _rows("f =~ x1 + x2\nx1 ~~ x1", "lavaan")
    assert rows == [
        "f=~x1 1", "f=~x2 2", "x1~~x1 3", "x2~~x2 =0", "f~~f =0", "x1~1 =0", "x2~1 =0", "f~1 =0",
    ]  # fmt: skip


def test_a_single_indicator_has_no_residual_unless_written() -> None:
    assert "x1~~x1 =0" in _rows("f =~ x1\nf ~~ f")
    assert "x1~~x1 =0.3" in _rows("f =~ x1\nx1 ~~ 0.3*x1")


def test_na_frees_a_marker_and_a_number_fixes() -> None:
    rows = _rows("f =~ NA*x1 + 1*x2 + x3")
    assert rows[:3] == ["f=~x1 1", "f=~x2 =1", "f=~x3 2"]


def test_groups_repeat_the_rows_and_share_labels() -> None:
    table = parameter_table("f =~ x1 + a*x2 + c(b, d)*x3", ngroups=2)
    assert table.n_free == 18
    frame = table.to_frame()
    assert list(frame["plabel"][:2]) == [".p1.", ".p2."]
    assert list(frame.loc[frame["op"] == "==", ["lhs", "rhs"]].to_numpy().ravel()) == [".p2.", ".p13."]
    assert table.ties() == ((0, 9),)


def test_group_entries_fix_free_and_start() -> None:
    table = parameter_table("f =~ x1 + c(0.5, NA)*x2 + start(c(2, 3))*x3", ngroups=2)
    found = [(r.free, r.ustart) for r in table.rows if r.op == "=~"]
    assert [f[0] > 0 for f in found] == [False, False, True, False, True, True]
    assert found[1][1] == 0.5
    assert np.isnan(found[4][1])
    assert (found[2][1], found[5][1]) == (2.0, 3.0)


def test_equal_ties_to_the_named_parameter() -> None:
    table = parameter_table('f =~ x1 + x2 + equal("f =~ x2")*x3 + x4\nx1 ~~ v*x1\nx2 ~~ equal("x1~~x1")*x2')
    free = table.free_rows()
    assert [(free[i].rhs, free[j].rhs) for i, j in table.ties()] == [("x2", "x3"), ("x1", "x2")]


def test_equal_to_nothing_is_an_error() -> None:
    with pytest.raises(ModelSpecificationError, match="names no parameter"):
        parameter_table('f =~ x1 + x2 + equal("f=~x9")*x3')


def test_covariances_stand_in_the_order_latent_then_observed() -> None:
    rows = _rows("f =~ x1 + x2 + x3\nz ~~ f\nz ~~ x2")
    assert {"f~~z 3", "x2~~z 4"} <= set(rows)


def test_definitions_come_last_in_block_0() -> None:
    frame = parameter_table("y ~ a*x\nq := a^2").to_frame()
    last = frame.iloc[-1]
    assert (last["lhs"], last["op"], last["rhs"], last["block"], last["free"], last["label"]) == (
        "q", ":=", "a^2", 0, 0, "q",
    )  # fmt: skip


def test_user_column_tells_written_from_automatic() -> None:
    frame = parameter_table("y ~ x\nx ~~ x").to_frame()
    assert dict(zip(frame["lhs"] + frame["op"] + frame["rhs"], frame["user"], strict=True)) == {
        "y~x": 1, "x~~x": 1, "y~~y": 0, "y~1": 0, "x~1": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "line", "column", "words"),
    [
        ("y ~ a*x\nq := b", 2, 6, "unknown label 'b'"),
        ("y ~ a*x\nq := r\nr := a", 2, 6, "unknown label 'r'"),
        ("y ~ a*x\na := a", 2, 1, "already a label"),
        ("f =~ x1 + c(1, 2)*x2", 1, 19, "2 entries, but the number of groups is 1"),
        ("q := 1", 1, 1, "no formula"),
    ],
)
def test_specification_errors(model: str, line: int | None, column: int | None, words: str) -> None:
    with pytest.raises(ModelSpecificationError) as caught:
        parameter_table(model)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"func": "esem"}, "func must be"),
        ({"ngroups": 0}, "ngroups"),
        ({"ngroups": 1.5}, "ngroups"),
        ({"meanstructure": "no"}, "meanstructure must be True, False or None"),
        ({"std_lv": 1}, "std_lv must be True, False or None"),
        ({"standard_lv": True}, "unknown option 'standard_lv'"),
    ],
)
def test_option_errors(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parameter_table("y ~ x", **arguments)  # type: ignore[arg-type]


def test_none_keeps_the_default_of_the_function() -> None:
    assert TableOptions.for_function("growth", int_ov_free=None) == TableOptions.for_function("growth")
    assert TableOptions.for_function("lavaan").auto_var is False
    assert TableOptions.for_function("sem", std_lv=True, auto_fix_first=True).auto_fix_first is False


def test_a_start_on_a_marker_is_the_value_it_is_fixed_at() -> None:
    assert _rows("f =~ start(3)*x1 + start(2)*x2")[:2] == ["f=~x1 =3", "f=~x2 1"]
    assert _rows("f =~ x1 + x2\nf ~~ start(2)*f", std_lv=True)[2] == "f~~f =2"
    table = parameter_table("f =~ start(c(2, NA))*x1 + x2", ngroups=2)
    assert [r.ustart for r in table.rows if r.rhs == "x1" and r.op == "=~"] == [2.0, 1.0]


def test_a_label_shared_with_a_fixed_parameter_fixes_the_others_at_its_value() -> None:
    # lavaan: lavaanify("f =~ a*x1 + b*x2 + a*x3") has free = 0 and ustart = 1 for x1 and x3
    frame = parameter_table("f =~ a*x1 + b*x2 + a*x3").to_frame()
    loadings = frame[frame["op"] == "=~"]
    assert loadings["free"].tolist() == [0, 1, 0]
    assert loadings["ustart"].tolist()[::2] == [1.0, 1.0]
    assert frame["free"].max() == 8
    assert not (frame["op"] == "==").any()
