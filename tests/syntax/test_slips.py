"""Common slips: each is named with its place, in words that say what to write instead."""

from __future__ import annotations

import pandas as pd
import pytest

import fosa_sem
from fosa_sem import parameter_table, parse
from fosa_sem.errors import DataError, FosaWarning, ModelSpecificationError, ModelSyntaxError, ModelWarning, OptionError

MODEL = "y ~ a*x + b*z\n"

SLIPS = {
    "= for ~": ("y = x", 1, 3, "'=' is not an operator; write '=~'"),
    "= for ==": (MODEL + "a = b", 2, 3, "'==' (equals)"),
    "<-": ("y <- x", 1, 3, "'<-' is not an operator; write 'y ~ x', or 'f =~ x'"),
    "->": ("x -> y", 1, 3, "'->' is not an operator; write the outcome first: 'y ~ x'"),
    "~-": ("y ~- x", 1, 4, "'~-' is not an operator; did you mean '~'?"),
    "=~-": ("f =~ x1\nf =~- x2", 2, 5, "'=~-' is not an operator; did you mean '=~'?"),
    "=-~": ("f =-~ x1", 1, 3, "unexpected '=' before '~'; did you mean '=~'?"),
    "~=": ("f ~= x1", 1, 4, "'~=' is not an operator; write '=~' (is measured by)"),
    "~~~": ("y ~~~ x", 1, 5, "'~~~' is not an operator"),
    "=~~": ("f =~~ x1", 1, 5, "'=~~' is not an operator"),
    ">=": (MODEL + "a >= 0", 2, 3, "'>=' is not an operator; write '>'"),
    "<=": (MODEL + "a <= b", 2, 3, "'<=' is not an operator; write '<'"),
    "no operator between lines": ("f =~ x1 + x2\nx3 + x4", 2, 1, "or a '+' at the end of the line before"),
    "no line break": ("f =~ x1 + x2 y ~ x", 1, 16, "is a line break missing?"),
    "nothing after the operator, then a line": ("f =~\ny ~ x", 1, 3, "expected a variable after '=~'"),
    "unmatched single quote": ("f =~ 'a*x1", 1, 6, "unmatched quote '"),
    "unmatched double quote": ('f =~ x1 +\n "a*x2', 2, 2, 'unmatched quote "'),
    "typographic quotes": ("f =~ “a”*x1", 1, 6, "did you mean '\"'?"),
    "minus sign": ("f =~ −1*x1", 1, 6, "did you mean '-'?"),
    "unmatched opening": ("f =~ x1 + c(a, b*x2", 1, 12, "missing ')' for this opening"),
    "unmatched closing": ("f =~ x1 + 1)*x2", 1, 12, "')' without '('"),
    "minus between terms": ("f =~ x1 - x2", 1, 9, "terms are joined by '+'"),
    "range of variables": ("f =~ x1-x3", 1, 8, "terms are joined by '+'"),
    "no intercept, as in R": ("y ~ x - 1", 1, 7, "terms are joined by '+'"),
    "function of a variable": ("y ~ log(x)", 1, 8, "compute the column in the data first"),
    "power of a variable": ("y ~ x^2", 1, 6, "compute the column in the data first"),
    "product of three": ("y ~ x:z:w", 1, 6, "a product has two variables"),
    "Mplus BY": ("f BY x1 x2", 1, 3, "Mplus's 'BY' is written '=~' here"),
    "Mplus on": ("y on x", 1, 3, "Mplus's 'on' is written '~' here"),
    "Mplus WITH": ("y WITH x", 1, 3, "Mplus's 'WITH' is written '~~' here"),
    "unknown block": ("grp: 1\ny ~ x", 1, 1, "unknown block 'grp'"),
    "block without a colon": ("group 1\ny ~ x", 1, 1, "expected ':' and a name after 'group'"),
    "block without a name": ("group:\ny ~ x", 1, 6, "expected a name after 'group:'"),
    "modifier without a variable": ("y ~ a*", 1, 6, "expected a variable after '*'"),
    "modifier on the left": ("2*y ~ x", 1, 1, "modifiers stand on the right of '~'"),
    "reserved word as a variable": ("if ~ x", 1, 1, "'if' is a word that R reserves"),
    "reserved word as a label": ("y ~ TRUE*x", 1, 5, "'TRUE' is a word that R reserves"),
    "another R function": ("y ~ runif(1)*x", 1, 5, "unknown modifier runif(): the modifiers are start()"),
    "misspelt modifier": ("y ~ strat(1)*x", 1, 5, "unknown modifier strat()"),
    "formula that ends": (MODEL + "q := a *", 2, 8, "ends too early"),
    "unknown function in a formula": (MODEL + "q := tan(a)", 2, 6, "unknown function tan(): the formula language has"),
    "two operators in a constraint": (MODEL + "a == b == 1", 2, 8, "a second operator '=='"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_language_is_named_where_it_is(slip: str) -> None:
    model, line, column, words = SLIPS[slip]
    with pytest.raises(ModelSyntaxError) as caught:
        parse(model)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


NONSENSE = {
    "the same row": ("f =~ x1 + x2\nf =~ x2", 2, 6, "'f =~ x2' stands twice in the model"),
    "the same covariance": ("x ~~ z\nz ~~ x", 2, 6, "'z ~~ x' stands twice"),
    "two values": ("y ~ 0.5*x + 1*x", 1, 15, "two fixed modifiers for one parameter: 0.5 and 1"),
    "two values in two lines": ("y ~ 0.5*x\ny ~ 1*x", 2, 7, "two fixed modifiers for one parameter: 0.5 and 1"),
    "two labels": ("y ~ a*x\ny ~ b*x", 2, 7, "two label modifiers for one parameter: a and b"),
    "two starts": ("y ~ start(1)*x + start(2)*x", 1, 27, "two start modifiers for one parameter: 1 and 2"),
    "a definition twice": (MODEL + "q := a\nq := b", 3, 1, "'q' is defined twice"),
    "a definition that is a label": (MODEL + "a := b", 2, 1, "'a' is already a label"),
    "a label of a definition": ("y ~ slope*x\nq := slop^2", 2, 6, "unknown label 'slop' in the formula; did you mean "
                                "'slope'?"),
    "a label of a constraint": (MODEL + "a == bb", 2, 6, "unknown label 'bb' in the formula; did you mean 'b'?"),
    "a label like no other": (MODEL + "a > omega", 2, 5, "unknown label 'omega' in the formula: the labels are a, b"),
    "a label without labels": ("y ~ x\nq := slope", 2, 6, "the model has no labels"),
    "its own indicator": ("f =~ x1 + f", 1, 11, "'f' cannot be its own indicator"),
    "its own predictor": ("y ~ x + y", 1, 9, "'y' cannot be regressed on itself"),
    "a product that is explained": ("y ~ x\nx:z ~ y", 2, 1, "the product 'x:z' can only stand on the right"),
    "bounds the wrong way": ("y ~ lower(2)*x + upper(1)*x", 1, 14, "lower bound 2 lies above upper bound 1"),
    "only formulas of labels": ("a == b", 1, 1, "the model has no formula for any variable"),
    "equal to nothing": ('f =~ x1 + x2 + equal("f=~x9")*x3', 1, 31, "names no parameter of the model"),
    "entries for other groups": ("y ~ c(a, b)*x", 1, 13, "2 entries, but the number of groups is 1"),
    "blocks for other groups": ("group: 1\ny ~ x\ngroup: 2\ny ~ x", 3, 1, "2 group blocks, but the number of groups"),
    "a formula before the first block": ("y ~ x\ngroup: 1\nz ~ y", 1, 1, "stands before the first 'group:'"),
    "a block without formulas": ("group: 1", 1, 1, "no formula for any variable"),
    "thresholds": ("f =~ x1 + x2\nx1 | t1", 2, 6, "ordinal indicators are not supported yet: thresholds of 'x1'"),
    "scaling factors": ("f =~ x1 + x2\nx1 ~*~ 1*x1", 2, 10, "scaling factors (~*~) of 'x1'"),
    "levels": ("level: 1\ny ~ x", 1, 1, "multilevel models ('level:') are not supported"),
    "classes": ("class: 1\ny ~ x", 1, 1, "blocks other than groups ('class:') are not supported"),
    "groups within levels": ("level: 1\ny ~ x\ngroup: 1\ny ~ x", 3, 1, "groups cannot stand within levels"),
    "exploratory factors": ('efa("a")*f =~ x1 + x2', 1, 10, "exploratory factors (efa()) are not supported: 'f'"),
    "random slopes": ('y ~ rv("s")*x', 1, 13, "random slopes (rv()) are not supported: y ~ x"),
    "latent product": ("f =~ x1 + x2\ny ~ f:x3", 2, 5, "products of latent variables are not supported: 'f' in 'f:x3'"),
}  # fmt: skip


@pytest.mark.parametrize("case", NONSENSE)
def test_what_makes_no_sense_is_named_where_it_is(case: str) -> None:
    model, line, column, words = NONSENSE[case]
    with pytest.raises(ModelSpecificationError) as caught:
        parameter_table(model)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_group_blocks_give_variables_the_same_roles() -> None:
    with pytest.raises(ModelSpecificationError, match=r"'x3' differs in 'group: b'"):
        parameter_table("group: a\nf =~ x1 + x2\ngroup: b\nf =~ x1 + x2 + x3", ngroups=2)
    with pytest.raises(ModelSpecificationError, match=r"'group: 2' has no formula"):
        parameter_table("group: 1\ny ~ x\ngroup: 2", ngroups=2)


def test_a_name_that_differs_from_a_column_by_one_letter(one_factor: pd.DataFrame) -> None:
    with pytest.raises(ModelSpecificationError, match=r"'X3' is not a column of the data; did you mean 'x3'") as caught:
        fosa_sem.cfa("f =~ x1 + x2 +\n     X3", one_factor)
    assert (caught.value.line, caught.value.column) == (2, 6)


def test_a_variable_both_latent_and_in_the_data(one_factor: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="'x4' is a latent variable of the model and a column"):
        fosa_sem.cfa("x4 =~ x1 + x2 + x3", one_factor)


def test_a_label_of_parameters_fixed_at_different_values_warns_and_the_first_counts() -> None:
    with pytest.warns(FosaWarning, match="label 'a' ties parameters that are fixed at .* values; 0.5, the first"):
        table = parameter_table("y ~ 0.5*x + a*x + 2*z + a*z + a*w")
    assert [row.ustart for row in table.rows if row.op == "~"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group_equal": "loading"}, "group_equal has no kind 'loading'; there are loadings"),
        ({"group_equal": 1}, "group_equal must be a string or several"),
        ({"group_equal": "loadings", "group_partial": "f=~x9"}, "group_partial names 'f=~x9', which is no parameter"),
    ],
)
def test_options_that_name_nothing(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parameter_table("f =~ x1 + x2 + x3", ngroups=2, **options)


def test_a_label_that_is_also_a_variable_is_read_as_lavaan_does_and_warned_of() -> None:
    with pytest.warns(ModelWarning, match=r"'x' is a variable and, in 'y ~ x\*z', a label .* written 'x:z'"):
        table = parameter_table("y ~ x*z + x")
    assert [(row.rhs, row.label) for row in table.rows if row.op == "~"] == [("z", "x"), ("x", "")]
