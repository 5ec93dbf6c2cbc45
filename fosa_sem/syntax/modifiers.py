"""Tokens before ``*`` -> modifiers: arithmetic on literals, ``c rep paste paste0`` and the named modifiers.

Only these are understood, by the evaluator below. lavaan hands other calls to R; here they are refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from fosa_sem.errors import ModelSpecificationError, ModelSyntaxError, SourceSpan
from fosa_sem.syntax.expressions import CHOICES, FUNCTIONS, MAX_DEPTH, evaluate, labels, parse_expression
from fosa_sem.syntax.statements import NO_MODIFIERS, RESERVED, Modifiers
from fosa_sem.syntax.tokens import NESTING, Token

Value = float | str
Tokens = tuple[Token, ...]

NUMERIC = ("start", "lower", "upper")
TEXTUAL = ("label", "equal", "rv", "efa")
VECTORS = ("c", "rep", "paste", "paste0")
MAX_ENTRIES = 1000
"""Entries of a vector: more groups than any model has."""


def parse_modifier(tokens: Tokens) -> Modifiers:
    """Read one modifier.

    Parameters
    ----------
    tokens : tuple of Token
        All that stands before one ``*``; not empty.

    Raises
    ------
    ModelSyntaxError
        If it is not a number, a label or a known call.
    """
    tokens = without_parentheses(tokens)
    name = _called(tokens)
    if name is None or name in {*VECTORS, *FUNCTIONS, *CHOICES}:
        return _plain(vector(tokens))
    if name not in (*NUMERIC, *TEXTUAL):
        known = ", ".join(f"{m}()" for m in (*NUMERIC, *TEXTUAL, *VECTORS))
        raise ModelSyntaxError(f"unknown modifier {name}(): the modifiers are {known}", tokens[0].span)
    values = [(value, argument[0]) for argument in _arguments(tokens) for value in vector(argument)]
    if name in NUMERIC:
        given: dict[str, Any] = {name: tuple(_as_number(value, name, at) for value, at in values)}
    else:
        given = {"label" if name == "equal" else name: tuple(_as_text(value, name, at) for value, at in values)}
    return Modifiers(**given)


def _plain(values: list[Value]) -> Modifiers:
    """A vector without a name: labels if it holds any text, else fixed values."""
    if any(isinstance(v, str) for v in values):
        return Modifiers(label=tuple("" if isinstance(v, float) and math.isnan(v) else _shown(v) for v in values))
    return Modifiers(fixed=tuple(float(v) for v in values))


def combine(old: Modifiers, new: Modifiers, span: SourceSpan) -> Modifiers:
    """Add modifiers of one term.

    Raises
    ------
    ModelSpecificationError
        If one kind is given twice with different values.
    """
    if NO_MODIFIERS in (old, new):
        return new if old == NO_MODIFIERS else old
    merged = {}
    for field in fields(Modifiers):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before and after and repr(before) != repr(after):  # repr: two NaN are the same NA
            given = " and ".join(", ".join(map(_shown, values)) for values in (before, after))
            raise ModelSpecificationError(f"two {field.name} modifiers for one parameter: {given}", span)
        merged[field.name] = after or before
    return Modifiers(**merged)


def vector(tokens: Tokens) -> list[Value]:
    """Evaluate literals, arithmetic on numbers, and the vector functions.

    Raises
    ------
    ModelSyntaxError
        For anything else.
    """
    tokens = without_parentheses(tokens)
    first = tokens[0]
    if len(tokens) == 1:
        if first.kind == "name" and first.text in RESERVED - {"NA"}:
            raise ModelSyntaxError(f"{first.text!r} is a word that R reserves; rename the label", first.span)
        if first.kind == "name":
            return [math.nan if first.text == "NA" else first.text]
        if first.kind == "string":
            return [first.text[1:-1]]
    name = _called(tokens)
    if name in VECTORS:
        return _call(name, tokens)
    return [_arithmetic(tokens)]


def _call(name: str, tokens: Tokens) -> list[Value]:
    named: dict[str, list[Value]] = {}
    plain: list[list[Value]] = []
    for argument in _arguments(tokens):
        if len(argument) > 2 and argument[0].kind == "name" and argument[1].is_symbol("="):
            named[argument[0].text] = vector(argument[2:])
        else:
            plain.append(vector(argument))
    allowed = {"c": (), "rep": ("times", "each"), "paste": ("sep",), "paste0": ()}[name]
    odd = [key for key in named if key not in allowed]
    if odd or not plain:
        problem = f"no argument {odd[0]!r}" if odd else "needs an argument"
        raise ModelSyntaxError(f"{name}() has {problem}" if odd else f"{name}() {problem}", tokens[0].span)
    function: dict[str, Callable[[], list[Value]]] = {
        "c": lambda: [value for values in plain for value in values],
        "rep": lambda: _rep(plain, named, tokens[0]),
        "paste": lambda: _paste(plain, str(named.get("sep", [" "])[0])),
        "paste0": lambda: _paste(plain, ""),
    }
    values = function[name]()
    if len(values) > MAX_ENTRIES:
        raise ModelSyntaxError(f"{name}() gives more than {MAX_ENTRIES} entries", tokens[0].span)
    return values


def _rep(plain: list[list[Value]], named: dict[str, list[Value]], call: Token) -> list[Value]:
    if len(plain) > 2 or (len(plain) == 2 and "times" in named):
        raise ModelSyntaxError("rep() takes a vector and how often to repeat it", call.span)
    each = _count(named.get("each", [1.0]), call)
    times = _count(plain[1] if len(plain) == 2 else named.get("times", [1.0]), call)
    return [value for value in plain[0] for _ in range(each)] * times


def _count(values: list[Value], call: Token) -> int:
    (value, *more) = values
    if more or isinstance(value, str) or not (1 <= value <= MAX_ENTRIES) or value != int(value):
        raise ModelSyntaxError(f"rep() repeats a whole number of times, from 1 to {MAX_ENTRIES}", call.span)
    return int(value)


def _paste(parts: list[list[Value]], separator: str) -> list[Value]:
    """R's paste: shorter vectors are recycled."""
    length = max(len(part) for part in parts)
    return [separator.join(_shown(part[i % len(part)]) for part in parts) for i in range(length)]


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value
    return "NA" if math.isnan(value) else f"{value:.15g}"


def _arguments(tokens: Tokens) -> list[Tokens]:
    """The arguments of a call, split at commas outside inner parentheses."""
    arguments: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[2:-1]:
        depth += NESTING.get(token.text, 0)
        if token.is_symbol(",") and depth == 0:
            arguments.append([])
        else:
            arguments[-1].append(token)
    if any(not argument for argument in arguments):
        raise ModelSyntaxError(f"empty argument in {tokens[0].text}()", tokens[0].span)
    return [tuple(argument) for argument in arguments]


def _called(tokens: Tokens) -> str | None:
    """Name of the function if the tokens are one call and nothing else."""
    if len(tokens) < 3 or tokens[0].kind != "name" or not tokens[1].is_symbol("("):
        return None
    return tokens[0].text if _closes(tokens, 1) == len(tokens) - 1 else None


def _closes(tokens: Tokens, opening: int) -> int:
    depth = 0
    for i in range(opening, len(tokens)):
        depth += NESTING.get(tokens[i].text, 0)
        if depth == 0:
            return i
    return -1


def without_parentheses(tokens: Tokens) -> Tokens:
    """The tokens without the parentheses around all of them."""
    for _ in range(MAX_DEPTH):
        if len(tokens) < 3 or not tokens[0].is_symbol("(") or _closes(tokens, 0) != len(tokens) - 1:
            return tokens
        tokens = tokens[1:-1]
    raise ModelSyntaxError(f"parentheses are nested more than {MAX_DEPTH} deep", tokens[0].span)


def _arithmetic(tokens: Tokens) -> float:
    bad = next((t for t in tokens if t.kind == "string"), None)
    if bad is not None:
        raise ModelSyntaxError(f"expected a number, found {bad.text}", bad.span)
    node = parse_expression(tokens, tokens[0].span)
    names = labels(node)
    if names:
        raise ModelSyntaxError(f"expected a number, found the name {names[0].name!r}", names[0].span)
    value = evaluate(node, {}, 0).value
    if not math.isfinite(value):
        raise ModelSyntaxError("the modifier has no finite value", tokens[0].span)
    return value


def _as_number(value: Value, name: str, at: Token) -> float:
    if isinstance(value, str):
        raise ModelSyntaxError(f"{name}() expected a number, found {value!r}", at.span)
    return value


def _as_text(value: Value, name: str, at: Token) -> str:
    if isinstance(value, float) and not math.isnan(value):
        raise ModelSyntaxError(f"{name}() expected a text, found {_shown(value)}", at.span)
    return "" if isinstance(value, float) else value
