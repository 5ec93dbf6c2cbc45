"""The grammar, case by case: text -> statements, and text -> error with its place and words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fosa_sem import parameter_table, parse
from fosa_sem.errors import FosaError, ModelSpecificationError, ModelSyntaxError
from fosa_sem.syntax.expressions import Dual, evaluate
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.tokens import tokenize

ACCEPTED = {
    "loadings": ("f =~ x1 + x2", ["f=~x1", "f=~x2"]),
    "no blanks": ("f=~x1+x2", ["f=~x1", "f=~x2"]),
    "sign before the first term": ("y ~ +x + z", ["y~x", "y~z"]),
    "variable in parentheses": ("y ~ a*(x) + (z)", ["y~x{a}", "y~z"]),
    "product of numbers": ("y ~ 2*3*x + 1/2*4*z", ["y~x[6]", "y~z[2]"]),
    "two outcomes": ("y1 + y2 ~ x", ["y1~x", "y2~x"]),
    "covariances": ("x1 ~~ x1 + x2", ["x1~~x1", "x1~~x2"]),
    "intercept": ("y ~ 1", ["y~1"]),
    "predictor and intercept": ("y ~ 1 + x", ["y~1", "y~x"]),
    "semicolons": ("y ~ x; x ~~ x", ["y~x", "x~~x"]),
    "comments": ("# head\nf =~ x1 + # first\n x2 ! last", ["f=~x1", "f=~x2"]),
    "continued after plus": ("f =~ x1 +\n\n  x2", ["f=~x1", "f=~x2"]),
    "continued before plus": ("f =~ x1\n  + x2", ["f=~x1", "f=~x2"]),
    "continued before the operator": ("f\n =~ x1", ["f=~x1"]),
    "continued in parentheses": ("y ~ c(1,\n 2)*x", ["y~x[1;2]"]),
    "carriage returns": ("f =~ x1\r\ng =~ x2\r\n", ["f=~x1", "g=~x2"]),
    "unicode names": ("Größe =~ été + x.1", ["Größe=~été", "Größe=~x.1"]),
    "product of columns": ("y ~ x1:x2", ["y~x1:x2"]),
    "fixed": ("f =~ 1*x1 + -0.5*x2", ["f=~x1[1]", "f=~x2[-0.5]"]),
    "scientific number": ("f =~ 1e-2*x1", ["f=~x1[0.01]"]),
    "arithmetic on numbers": ("f =~ (1/4)*x1 + (2^3)*x2", ["f=~x1[0.25]", "f=~x2[8]"]),
    "free": ("f =~ NA*x1", ["f=~x1[NA]"]),
    "label": ("f =~ a*x1 + \"b\"*x2 + label('d')*x3", ["f=~x1{a}", "f=~x2{b}", "f=~x3{d}"]),
    "start": ("f =~ start(0.8)*x1", ["f=~x1<0.8>"]),
    "equal": ('f =~ x1 + equal("f=~x1")*x2', ["f=~x1", "f=~x2{f=~x1}"]),
    "several modifiers": ("f =~ a*start(2)*x1", ["f=~x1<2>{a}"]),
    "modifiers by repetition": ("f =~ x1 + a*x1 + start(2)*x1", ["f=~x1<2>{a}"]),
    "group labels": ("f =~ c(a, b)*x1", ["f=~x1{a;b}"]),
    "group labels with NA": ("f =~ c(a, NA)*x1", ["f=~x1{a;}"]),
    "group values": ("f =~ c(1, NA)*x1", ["f=~x1[1;NA]"]),
    "group starts": ("f =~ start(c(1, 2))*x1", ["f=~x1<1;2>"]),
    "intercept fixed at 0": ("y ~ 0", ["y~1[0]"]),
    "labelled intercept": ("y ~ i*1", ["y~1{i}"]),
    "definition": ("y ~ a*x\nq := a^2", ["y~x{a}", "q:=a^2"]),
    "several latent variables on the left": ("f + g =~ x1 + x2", ["f=~x1", "f=~x2", "g=~x1", "g=~x2"]),
    "sides of a covariance, each with each": ("a + b ~~ c + d", ["a~~c", "a~~d", "b~~c", "b~~d"]),
    "a factor comes first in a covariance": ("f =~ x1\nx2 ~~ f", ["f=~x1", "f~~x2"]),
    "composite": ("c <~ x1 + 2*x2", ["c<~x1", "c<~x2[2]"]),
    "factor without indicators": ("f =~ 0", ["f=~f[0]"]),
    "equality": ("y ~ a*x + b*z\na == 2*b", ["y~x{a}", "y~z{b}", "a==2*b"]),
    "inequalities": ("y ~ a*x\na > 0; a < exp(1)", ["y~x{a}", "a>0", "a<exp(1)"]),
    "constraint with a formula on the left": ("y ~ a*x + b*z\na + b == 1", ["y~x{a}", "y~z{b}", "a+b==1"]),
    "thresholds": ("x | t1 + t2", ["x|t1", "x|t2"]),
    "scaling factor": ("x ~*~ 1*x", ["x~*~x[1]"]),
    "groups": ("group: 1\ny ~ x\ngroup: two\ny ~ 2*x", ["group:1", "y~x", "group:two", "y~x[2]"]),
    "levels": ("level: 1\ny ~ x\nlevel: 2\ny ~ z", ["level:1", "y~x", "level:2", "y~z"]),
    "block head in capitals": ("Group: 1\ny ~ x", ["group:1", "y~x"]),
    "exploratory factor": ('efa("set")*f =~ x1', ["f=~x1"]),
    "random slope": ('y ~ rv("s")*x', ["y~x"]),
    "terms that stand twice in a formula are one": ("y ~ x + x", ["y~x"]),
    "a modifier added in a later formula": ("y ~ x\ny ~ a*x", ["y~x{a}"]),
    "bounds": ("y ~ lower(0)*x + upper(1)*x", ["y~x"]),
    "rep of a text": ('f =~ rep("a", 2)*x1', ["f=~x1{a;a}"]),
    "rep each": ("f =~ rep(c(1, 2), each = 2)*x1", ["f=~x1[1;1;2;2]"]),
    "paste": ('f =~ c(paste("a", 1), paste0("b", 2))*x1', ["f=~x1{a 1;b2}"]),
    "nested vectors": ("f =~ c(1, c(2, 3))*x1", ["f=~x1[1;2;3]"]),
    "functions of numbers": ("f =~ sqrt(4)*x1 + exp(0)*x2 + min(3, 2)*x3", ["f=~x1[2]", "f=~x2[1]", "f=~x3[2]"]),
    "start from arithmetic": ("f =~ start(1/4 + 1)*x1", ["f=~x1<1.25>"]),
    "a label that is a variable": ("y ~ x*z + x", ["y~z{x}", "y~x"]),
    "operators with a blank inside": ("f = ~ x1; x1 ~ ~ x2", ["f=~x1", "x1~~x2"]),
    "names with dots, underscores and digits": ("f.1 =~ x_1 + .y + x1e3", ["f.1=~x_1", "f.1=~.y", "f.1=~x1e3"]),
    "a blank before the digits of a name": ("y ~ x 1", ["y~x1"]),
    "a formula over several lines": ("f =~ x1 +\n # note\n x2\n  + x3", ["f=~x1", "f=~x2", "f=~x3"]),
    "a constraint over two lines": ("y ~ a*x\na ==\n 1", ["y~x{a}", "a==1"]),
}


def _shown(model: str) -> list[str]:
    rows = parse(model).to_dict("records")
    return [
        f"{r['lhs']}{r['op']}{r['rhs']}"
        + (f"[{r['fixed']}]" if r["fixed"] else "")
        + (f"<{r['start']}>" if r["start"] else "")
        + (f"{{{r['label']}}}" if r["label"] else "")
        for r in rows
    ]


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_written_is_what_is_read(case: str) -> None:
    model, expected = ACCEPTED[case]
    assert _shown(model) == expected


REJECTED = {
    "empty": ("", ModelSyntaxError, None, None, "empty"),
    "blank": (" \n\t\n", ModelSyntaxError, None, None, "empty"),
    "only comments": ("# f =~ x1", ModelSyntaxError, None, None, "empty"),
    "not text": (12, ModelSyntaxError, None, None, "must be a string"),
    "missing variable": ("f =~ x1 +  + x3", ModelSyntaxError, 1, 12, "before '+'"),
    "trailing plus": ("f =~ x1 +", ModelSyntaxError, 1, 9, "after '+'"),
    "no right side": ("f =~", ModelSyntaxError, 1, 3, "after '=~'"),
    "no left side": ("y ~ x\n ~~ x2", ModelSyntaxError, 2, 2, "before '~~'"),
    "nothing before": ("=~ x1", ModelSyntaxError, 1, 1, "before '=~'"),
    "trailing star": ("f =~ a*", ModelSyntaxError, 1, 7, "after '*'"),
    "leading star": ("f =~ *x1", ModelSyntaxError, 1, 6, "modifier before"),
    "wrong equals": ("y = x", ModelSyntaxError, 1, 3, "not an operator"),
    "no operator": ("f =~ x1\nx2 x3", ModelSyntaxError, 2, 1, "or a '+' at the end of the line before"),
    "two operators": ("y ~ x ~ z", ModelSyntaxError, 1, 7, "second operator"),
    "missing plus": ("f =~ x1 x2", ModelSyntaxError, 1, 9, "before 'x2'"),
    "unknown character": ("f =~ x1 + $x", ModelSyntaxError, 1, 11, "unexpected character '$'"),
    "unmatched quote": ('f =~ "a*x1', ModelSyntaxError, 1, 6, "unmatched quote"),
    "unclosed": ("f =~ c(1, 2*x1", ModelSyntaxError, 1, 7, "missing ')'"),
    "unopened": ("f =~ 1)*x1", ModelSyntaxError, 1, 7, "without '('"),
    "unknown modifier": ("f =~ strat(1)*x1", ModelSyntaxError, 1, 6, "unknown modifier strat()"),
    "bad start": ('f =~ start("a")*x1', ModelSyntaxError, 1, 12, "expected a number"),
    "start of a name": ("f =~ start(abc)*x1", ModelSyntaxError, 1, 12, "abc"),
    "empty argument": ("f =~ c(1,,2)*x1", ModelSyntaxError, 1, 6, "empty argument"),
    "division by zero": ("f =~ (1/0)*x1", ModelSyntaxError, 1, 7, "no finite value"),
    "intercept of 2": ("y ~ 2", ModelSyntaxError, 1, 5, "found '2'"),
    "number as an indicator": ("f =~ 1", ModelSyntaxError, 1, 6, "found '1'"),
    "own indicator": ("f =~ f", ModelSpecificationError, 1, 6, "own indicator"),
    "own predictor": ("y ~ y", ModelSpecificationError, 1, 5, "regressed on itself"),
    "twice": ("y ~ x\ny ~ x", ModelSpecificationError, 2, 5, "'y ~ x' stands twice"),
    "two fixed values": (
        "y ~ 1*x + 2*x",
        ModelSpecificationError,
        1,
        13,
        "two fixed modifiers for one parameter: 1 and 2",
    ),
    "two labels": ("y ~ a*x + b*x", ModelSpecificationError, 1, 13, "two label modifiers for one parameter: a and b"),
    "defined twice": ("y ~ a*x\nq := a\nq := a*2", ModelSpecificationError, 3, 1, "defined twice"),
    "empty definition": ("y ~ a*x\nq :=", ModelSyntaxError, 2, 3, "after ':='"),
    "half a definition": ("y ~ a*x\nq := a +", ModelSyntaxError, 2, 8, "ends too early"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_is_wrong_is_named_with_its_place(case: str) -> None:
    model, kind, line, column, words = REJECTED[case]
    with pytest.raises(kind) as caught:
        parse(model)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert words in str(caught.value)
    if line is not None:
        assert (caught.value.line, caught.value.column) == (line, column)


def test_caret_stands_under_the_place() -> None:
    with pytest.raises(ModelSyntaxError) as caught:
        parse("y ~ x\n\tf =~ x1 + $x")
    first, source, carets = str(caught.value).splitlines()
    assert first.startswith("line 2, column 12:")
    assert source[carets.index("^")] == "$"


def test_caret_is_as_long_as_the_word() -> None:
    with pytest.raises(ModelSyntaxError) as caught:
        parse("f =~ strat(1)*x1")
    assert str(caught.value).splitlines()[2].strip() == "^" * len("strat")


def test_a_syntax_error_is_a_value_error_and_ours() -> None:
    with pytest.raises(ValueError, match="empty"):
        parse("")
    assert issubclass(ModelSyntaxError, FosaError)


def test_parse_shows_definitions_in_block_0_and_the_rest_in_block_1() -> None:
    frame = parse("y ~ a*x\nq := a")
    assert list(frame.columns) == ["lhs", "op", "rhs", "block", "fixed", "start", "lower", "upper", "label"]
    assert list(frame["block"]) == [1, 0]


def test_tokens_know_their_place_and_text_is_lost_nowhere() -> None:
    model = "f =~ 1.5*x1 +\n  c('a', b)*x2 # done"
    tokens = [t for t in tokenize(model) if t.kind != "newline"]
    lines = model.split("\n")
    for token in tokens:
        assert lines[token.line - 1][token.column - 1 :].startswith(token.text)
    bare = "".join(t.text for t in tokens)
    assert bare == "f=~1.5*x1+c('a',b)*x2"


def test_numbers_keep_full_precision() -> None:
    (statement,) = parse_model("f =~ 0.1234567890123456*x1")
    assert statement.modifiers.fixed == (0.1234567890123456,)


def test_na_frees() -> None:
    (statement,) = parse_model("f =~ NA*x1")
    assert math.isnan(statement.modifiers.fixed[0])


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "q := " + "(" * 10_000 + "a" + ")" * 10_000,
        "q := " + "exp(" * 10_000 + "a" + ")" * 10_000,
        "q := " + "^".join(["a"] * 10_000),
        "f =~ " + "(" * 10_000 + "1" + ")" * 10_000 + "*x1",
        "=~" * 5_000,
        "~" * 10_000,
        "f =~ " + "a*" * 10_000,
        "c(" * 5_000,
    ],
    ids=range(9),
)
def test_hostile_input_ends_in_one_clean_error(text: str) -> None:
    with pytest.raises(FosaError):
        parse(f"y ~ a*x\n{text}")


def test_a_long_sum_is_no_nesting() -> None:
    table = parameter_table("y ~ a*x\nq := " + "+".join(["a"] * 3_000))
    assert evaluate(table.definitions[0].formulas[0], {"a": Dual(2.0, np.ones(1))}, 1).value == 6_000.0


def test_a_long_model_is_read() -> None:
    assert len(parse("f =~ " + " + ".join(f"x{i}" for i in range(5_000)))) == 5_000
