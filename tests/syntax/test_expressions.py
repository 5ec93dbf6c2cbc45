"""Formulas: value, precedence, gradient, and that nothing is evaluated as Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fosa_sem import parameter_table
from fosa_sem.errors import ModelSpecificationError, ModelSyntaxError, SourceSpan
from fosa_sem.syntax.expressions import MAX_DEPTH, Dual, Node, evaluate, labels, parse_expression
from fosa_sem.syntax.tokens import tokenize

SOMEWHERE = SourceSpan(1, 1, 1, "")
VALUES = {"a": 0.7, "b": -1.3, "c": 2.1}


def _tree(text: str) -> Node:
    return parse_expression(tuple(t for t in tokenize(text) if t.kind != "newline"), SOMEWHERE)


def _value(text: str, values: dict[str, float] | None = None) -> Dual:
    values = values or VALUES
    unit = np.eye(len(values))
    return evaluate(_tree(text), {k: Dual(v, unit[i]) for i, (k, v) in enumerate(values.items())}, len(values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3", 7.0),
        ("(1 + 2)*3", 9.0),
        ("-2^2", -4.0),
        ("(-2)^2", 4.0),
        ("2^-1", 0.5),
        ("2^3^2", 512.0),
        ("2^-3^2", 2.0**-9),
        ("8/4/2", 1.0),
        ("8 - 4 - 2", 2.0),
        ("- -3", 3.0),
        ("-+3", -3.0),
        ("2*-3", -6.0),
        ("-a*b", 0.7 * 1.3),
        ("a/b*c", 0.7 / -1.3 * 2.1),
        ("exp(0) + log(1) + sqrt(4) + abs(-5) + sin(0) + cos(0)", 9.0),
        (".5 + 1. + 1e3", 1001.5),
    ],
)
def test_values_follow_rs_precedence(text: str, expected: float) -> None:
    assert _value(text).value == pytest.approx(expected, rel=1e-15)


FORMULAS = (
    "a*b + c",
    "a/b - c/a",
    "-a^2",
    "c^a",
    "c^2^a",
    "exp(a*b)",
    "log(a)*log(c)",
    "sqrt(a + c)",
    "abs(b)*a",
    "sin(a)*cos(b)",
    "(a + b)*(b + c)/(a*c - b)",
    "b^3",
    "a^-2",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_gradient_matches_central_differences(text: str) -> None:
    found = _value(text).gradient
    step = 1e-6
    for i, name in enumerate(VALUES):
        ahead = _value(text, {**VALUES, name: VALUES[name] + step}).value
        behind = _value(text, {**VALUES, name: VALUES[name] - step}).value
        assert found[i] == pytest.approx((ahead - behind) / (2 * step), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("text", ["1/0", "a/(b - b)", "log(b)", "sqrt(b)", "b^0.5", "0^-1", "exp(1000)", "log(0)"])
def test_undefined_is_nan_not_an_exception(text: str) -> None:
    found = _value(text)
    assert math.isnan(found.value)
    assert np.isnan(found.gradient).all()


def test_nan_stays_nan() -> None:
    assert math.isnan(_value("1 + 0*log(b)").value)


def test_labels_come_in_reading_order() -> None:
    assert [n.name for n in labels(_tree("b*(a + c)/b"))] == ["b", "a", "c", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os')", "unexpected character '_'"),
        ("eval(a)", "unknown function eval()"),
        ("a.real()", "unknown function a.real()"),
        ("exp(a, b)", "missing ')'"),
        ("exp()", "expected a number"),
        ("a b", "unexpected 'b'"),
        ("a**2", "expected a number"),
        ("a +", "ends too early"),
        ("(a", "missing ')'"),
        ("a)", "unexpected ')'"),
        ("a[0]", "unexpected character '['"),
        ("a == b", "unexpected '=='"),
        ("'a'", "expected a number"),
        ("", "ends too early"),
        ("lambda: 1", "unexpected ':'"),
    ],
)
def test_anything_else_is_no_formula(text: str, words: str) -> None:
    with pytest.raises(ModelSyntaxError) as caught:
        _tree(text)
    assert words in str(caught.value)


def test_an_attribute_is_a_plain_label_that_must_exist() -> None:
    with pytest.raises(ModelSpecificationError, match=r"unknown label 'a\.__class__'"):
        parameter_table("y ~ a*x\nq := a.__class__")


def test_nesting_is_limited_and_the_limit_is_generous() -> None:
    fine = "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    assert _value(fine).value == VALUES["a"]
    with pytest.raises(ModelSyntaxError, match="nested more than"):
        _tree("(" + fine + ")")
