"""Common slips in model strings, and what to write instead."""

from __future__ import annotations

from fosa_sem.errors import ModelSyntaxError
from fosa_sem.syntax.statements import BLOCKS, OPERATORS
from fosa_sem.syntax.tokens import Token

Tokens = tuple[Token, ...]

MEANINGS = "'=~' (is measured by), '~' (is regressed on), '~~' (covaries with), '==' (equals)"


def missing_operator(tokens: Tokens) -> ModelSyntaxError:
    """What to say of a line without an operator."""
    equal = next((t for t in tokens if t.is_symbol("=")), None)
    if equal is not None:
        return ModelSyntaxError(f"'=' is not an operator; write {MEANINGS}", equal.span)
    colon = next((t for t in tokens if t.is_symbol(":")), None)
    if colon is not None and tokens[0].text not in BLOCKS:
        return ModelSyntaxError(
            f"unknown block {tokens[0].text!r}: a block starts with 'group:', 'level:' or 'block:'", tokens[0].span
        )
    return ModelSyntaxError(
        f"expected an operator in this line: {MEANINGS} or ':='; or a '+' at the end of the line before",
        tokens[0].span,
    )


def wrong_arrow(left: Tokens, operator: Token, right: Tokens) -> ModelSyntaxError | None:
    """``->``, ``<-``, ``=-~``, ``~-`` and a single ``=`` before the operator."""
    if operator.text == ">" and left and left[-1].is_symbol("-"):
        return ModelSyntaxError("'->' is not an operator; write the outcome first: 'y ~ x', or 'f =~ x'", left[-1].span)
    touching = right and right[0].line == operator.line and right[0].column == operator.column + 1
    if operator.text == "<" and touching and right[0].is_symbol("-") and len(right) > 1 and right[1].kind == "name":
        return ModelSyntaxError("'<-' is not an operator; write 'y ~ x', or 'f =~ x'", operator.span)
    odd = next((t for t in left if t.is_symbol("=", "-")), None)
    if odd is not None and operator.text in ("~", "~~", "=~"):
        return ModelSyntaxError(f"unexpected {odd.text!r} before '{operator.text}'; did you mean '=~'?", odd.span)
    if right and right[0].is_symbol("-") and operator.text != "==" and len(right) > 1 and right[1].kind == "name":
        text = f"{operator.text}{right[0].text}"
        if operator.text in ("~", "~~", "=~", "<~"):
            return ModelSyntaxError(f"'{text}' is not an operator; did you mean '{operator.text}'?", right[0].span)
    return None


def stray_symbol(part: Tokens) -> ModelSyntaxError:
    """What to say of tokens that should be one variable."""
    odd = next((t for t in part if t.kind != "name"), part[-1])
    if odd.is_symbol(*OPERATORS):
        return ModelSyntaxError(f"a second operator '{odd.text}' in one formula: is a line break missing?", odd.span)
    if odd.kind == "name":
        return ModelSyntaxError(f"expected '+', '*' or a new line before {odd.text!r}", odd.span)
    if odd.is_symbol("="):
        return ModelSyntaxError(f"'=' is not an operator; write {MEANINGS}", odd.span)
    return ModelSyntaxError(f"expected the name of a variable, found {odd.text!r}", odd.span)
