"""Common slips in model strings, and what to write instead."""

from __future__ import annotations

from fosa_sem.errors import ModelSyntaxError
from fosa_sem.syntax.statements import BLOCKS, OPERATORS, RELATIONS
from fosa_sem.syntax.tokens import Token

Tokens = tuple[Token, ...]

MEANINGS = "'=~' (is measured by), '~' (is regressed on), '~~' (covaries with), '==' (equals)"


MPLUS = {"by": "=~", "on": "~", "with": "~~"}


def missing_operator(tokens: Tokens) -> ModelSyntaxError:
    """What to say of a line without an operator."""
    equal = next((t for t in tokens if t.is_symbol("=")), None)
    if equal is not None:
        return ModelSyntaxError(f"'=' is not an operator; write {MEANINGS}", equal.span)
    first = tokens[0]
    if first.text.lower() in BLOCKS:
        return ModelSyntaxError(f"expected ':' and a name after {first.text!r}, as in 'group: 1'", first.span)
    colon = next((t for t in tokens if t.is_symbol(":")), None)
    if colon is not None:
        return ModelSyntaxError(
            f"unknown block {first.text!r}: a block starts with 'group:', 'level:' or 'block:'", first.span
        )
    word = next((t for t in tokens[1:] if t.text.lower() in MPLUS), None)
    if word is not None:
        return ModelSyntaxError(f"Mplus's {word.text!r} is written '{MPLUS[word.text.lower()]}' here", word.span)
    return ModelSyntaxError(
        f"expected an operator in this line: {MEANINGS} or ':='; or a '+' at the end of the line before",
        first.span,
    )


def wrong_operator(left: Tokens, operator: Token, right: Tokens) -> ModelSyntaxError | None:
    """``->``, ``<-``, ``=-~``, ``~-``, ``~=``, ``=~~``, ``>=`` and a single ``=`` before the operator."""
    text = operator.text
    if text == ">" and left and left[-1].is_symbol("-"):
        return ModelSyntaxError("'->' is not an operator; write the outcome first: 'y ~ x', or 'f =~ x'", left[-1].span)
    odd = next((t for t in left if t.is_symbol("=", "-")), None)
    if odd is not None and text in ("~", "~~", "=~"):
        return ModelSyntaxError(f"unexpected {odd.text!r} before '{text}'; did you mean '=~'?", odd.span)
    if not right:
        return None
    after = right[0]
    touching = after.line == operator.line and after.column == operator.column + len(text)
    names = len(right) > 1 and right[1].kind == "name"
    if text in ("<", ">") and touching and after.is_symbol("="):
        return ModelSyntaxError(f"'{text}=' is not an operator; write '{text}'", operator.span)
    if text == "<" and touching and names and after.is_symbol("-"):
        return ModelSyntaxError("'<-' is not an operator; write 'y ~ x', or 'f =~ x'", operator.span)
    if text in RELATIONS and after.is_symbol("-") and names:
        return ModelSyntaxError(f"'{text}-' is not an operator; did you mean '{text}'?", after.span)
    if text in RELATIONS and touching and after.is_symbol("=", *OPERATORS):
        return ModelSyntaxError(f"'{text}{after.text}' is not an operator; write {MEANINGS}", after.span)
    return None


REASONS = {
    "-": "terms are joined by '+'; a minus belongs to a number, as in '-1*x'",
    "(": "neither functions of variables nor parentheses are understood: compute the column in the data first",
    "^": "powers of variables are not understood: compute the column in the data first",
    ":": "a product has two variables, as in 'x:z'",
}


def stray_symbol(part: Tokens) -> ModelSyntaxError:
    """What to say of tokens that should be one variable."""
    odd = next((t for t in part if t.kind != "name"), part[-1])
    if odd.is_symbol(*OPERATORS):
        return ModelSyntaxError(f"a second operator '{odd.text}' in one formula: is a line break missing?", odd.span)
    if odd.kind == "name":
        return ModelSyntaxError(f"expected '+', '*' or a new line before {odd.text!r}", odd.span)
    if odd.is_symbol("="):
        return ModelSyntaxError(f"'=' is not an operator; write {MEANINGS}", odd.span)
    reason = f": {REASONS[odd.text]}" if odd.text in REASONS else ""
    return ModelSyntaxError(f"expected the name of a variable, found {odd.text!r}{reason}", odd.span)
