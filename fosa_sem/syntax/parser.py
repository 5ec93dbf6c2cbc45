"""Tokens -> statements: what the user wrote, term by term, each with its place in the text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fosa_sem.errors import ModelSpecificationError, ModelSyntaxError, SourceSpan
from fosa_sem.syntax.expressions import Node, evaluate, labels, parse_expression
from fosa_sem.syntax.tokens import Token, tokenize

FORMULA_OPERATORS = ("=~", "~", "~~")
LATER_OPERATORS = {
    "<~": "composites",
    "==": "equality constraints by formula",
    "<": "inequality constraints",
    ">": "inequality constraints",
    "|": "thresholds of ordinal indicators",
    "~*~": "scaling factors",
}
OPERATORS = (*FORMULA_OPERATORS, ":=", *LATER_OPERATORS)
MODIFIERS = ("c", "start", "label", "equal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifiers:
    """What stands before ``*``; a tuple holds one entry per group, one entry serves all groups.

    Attributes
    ----------
    fixed : tuple of float
        Fixed values; NaN frees the parameter (``NA*x``). Empty: not given.
    start : tuple of float
        Starting values.
    label : tuple of str
        Labels; parameters that share one are equal.
    """

    fixed: tuple[float, ...] = ()
    start: tuple[float, ...] = ()
    label: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One relation between two variables, or one defined parameter.

    Attributes
    ----------
    lhs, op, rhs : str
        As in lavaan: ``=~``, ``~``, ``~~``, ``~1`` (rhs empty) or ``:=`` (rhs the formula's text).
    modifiers : Modifiers
    span, left : SourceSpan
        Places of the right-hand and the left-hand variable (both the name, for ``:=``).
    formula : Node or None
        Of a defined parameter.
    """

    lhs: str
    op: str
    rhs: str
    span: SourceSpan
    left: SourceSpan
    modifiers: Modifiers = Modifiers()
    formula: Node | None = None


def parse_model(model: str) -> tuple[Statement, ...]:
    """Parse a model string.

    Parameters
    ----------
    model : str
        lavaan's model syntax: ``=~``, ``~``, ``~~``, ``~ 1``, ``:=``, ``#`` and ``!`` comments, statements
        separated by newlines or ``;``.

    Returns
    -------
    tuple of Statement
        One per relation, in the order of the text; repeated terms are merged.

    Raises
    ------
    ModelSyntaxError
        With line and column, at anything that is not understood.
    ModelSpecificationError
        For contradicting modifiers and duplicated definitions.
    """
    if not isinstance(model, str):
        raise ModelSyntaxError(f"the model must be a string, got {type(model).__name__}")
    found: list[Statement] = []
    for tokens in _split_statements(tokenize(model)):
        found.extend(_parse_statement(tokens))
    if not found:
        raise ModelSyntaxError("the model is empty: write at least one formula, such as 'f =~ x1 + x2 + x3'")
    return tuple(_merge_repeated(found))


def _split_statements(tokens: tuple[Token, ...]) -> Iterable[tuple[Token, ...]]:
    current: list[Token] = []
    depth = 0
    for i, token in enumerate(tokens):
        if token.is_symbol(";") or (
            token.kind == "newline" and depth <= 0 and not _continues(current, tokens[i + 1 :])
        ):
            if current:
                yield tuple(current)
            current, depth = [], 0
        elif token.kind != "newline":
            depth += token.is_symbol("(") - token.is_symbol(")")
            current.append(token)
    if current:
        yield tuple(current)


def _continues(current: list[Token], rest: tuple[Token, ...]) -> bool:
    """Whether a statement goes on after a line break."""
    following = next((t for t in rest if t.kind != "newline"), None)
    if not current or following is None:
        return False
    if current[-1].is_symbol("+", "-", "*", "/", "^", ",", "(", *OPERATORS):
        return True
    has_operator = any(t.is_symbol(*OPERATORS) for t in current)
    return following.is_symbol("+", "*", "/", "^", ")", ",") or (not has_operator and following.is_symbol(*OPERATORS))


def _parse_statement(tokens: tuple[Token, ...]) -> list[Statement]:
    at = next((i for i, t in enumerate(tokens) if t.is_symbol(*OPERATORS)), None)
    if at is None:
        raise ModelSyntaxError(_no_operator(tokens), _suspect(tokens).span)
    operator, left, right = tokens[at], tokens[:at], tokens[at + 1 :]
    if operator.text in LATER_OPERATORS:
        what = LATER_OPERATORS[operator.text]
        raise ModelSyntaxError(f"{what} ('{operator.text}') are not supported yet", operator.span)
    if not left:
        raise ModelSyntaxError(f"expected a variable before '{operator.text}'", operator.span)
    if not right:
        raise ModelSyntaxError(f"expected a variable after '{operator.text}'", operator.span)
    if operator.text == ":=":
        return [_definition(left, operator, right)]
    names = [_variable(part, operator) for part in _split_terms(left, operator)]
    statements = []
    for lhs in names:
        for part in _split_terms(right, operator):
            statements.append(_term(lhs, operator, part))
    return statements


def _no_operator(tokens: tuple[Token, ...]) -> str:
    if any(t.is_symbol("=") for t in tokens):
        return "'=' is not an operator: use '=~' (measured by), '~' (regressed on), '~~' (covaries with) or '=='"
    if any(t.is_symbol(":") for t in tokens):
        return "blocks ('group:', 'level:') are not supported yet"
    return f"expected an operator ({', '.join(FORMULA_OPERATORS)} or :=) in this line"


def _suspect(tokens: tuple[Token, ...]) -> Token:
    return next((t for t in tokens if t.is_symbol("=", ":")), tokens[-1])


def _split_terms(tokens: tuple[Token, ...], operator: Token) -> list[tuple[Token, ...]]:
    """Split at ``+`` outside parentheses; a sign after ``*`` or at the start belongs to a number."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += token.is_symbol("(") - token.is_symbol(")")
        if depth < 0:
            raise ModelSyntaxError("')' without '('", token.span)
        is_sign = bool(parts[-1]) and parts[-1][-1].is_symbol("*")
        if token.is_symbol("+") and depth == 0 and not is_sign:
            if not parts[-1]:
                raise ModelSyntaxError("expected a variable before '+'", token.span)
            parts.append([])
            last_plus = token
        else:
            parts[-1].append(token)
    if depth > 0:
        opening = [t for t in tokens if t.is_symbol("(")][-1]
        raise ModelSyntaxError("missing ')' for this opening", opening.span)
    if not parts[-1]:
        raise ModelSyntaxError("expected a variable after '+'", last_plus.span if len(parts) > 1 else operator.span)
    return [tuple(part) for part in parts]


def _variable(part: tuple[Token, ...], operator: Token) -> Token:
    """One variable name; ``x:z`` is a name too (a product that the data must have as a column)."""
    if len(part) == 1 and part[0].kind == "name":
        return part[0]
    if len(part) == 3 and part[0].kind == part[2].kind == "name" and part[1].is_symbol(":"):
        return replace(part[0], text=f"{part[0].text}:{part[2].text}")
    odd = next((t for t in part if t.kind != "name"), part[-1])
    if odd.is_symbol(*OPERATORS):
        raise ModelSyntaxError(f"a second operator '{odd.text}' in one formula: is a line break missing?", odd.span)
    if odd.kind == "name":
        raise ModelSyntaxError(f"expected '+', '*' or a new line before {odd.text!r}", odd.span)
    raise ModelSyntaxError(f"expected the name of a variable, found {odd.text!r}", odd.span)


def _term(lhs: Token, operator: Token, part: tuple[Token, ...]) -> Statement:
    factors = _split_factors(part)
    *before, last = factors
    modifiers = Modifiers()
    for factor in before:
        modifiers = _combine(modifiers, _modifier(factor), factor[0].span)
    if len(last) == 1 and last[0].kind == "number":
        return _intercept(lhs, operator, last[0], modifiers)
    variable = _variable(last, operator)
    if operator.text == "=~" and variable.text == lhs.text:
        raise ModelSpecificationError(f"{lhs.text!r} cannot be its own indicator", variable.span)
    if operator.text == "~" and variable.text == lhs.text:
        raise ModelSpecificationError(f"{lhs.text!r} cannot be regressed on itself", variable.span)
    return Statement(
        lhs=lhs.text, op=operator.text, rhs=variable.text, span=variable.span, left=lhs.span, modifiers=modifiers
    )


def _intercept(lhs: Token, operator: Token, number: Token, modifiers: Modifiers) -> Statement:
    value = float(number.text)
    if operator.text != "~" or value not in (0.0, 1.0):
        raise ModelSyntaxError(f"expected the name of a variable, found {number.text!r}", number.span)
    if value == 0.0:
        modifiers = _combine(modifiers, Modifiers(fixed=(0.0,)), number.span)
    return Statement(lhs=lhs.text, op="~1", rhs="", span=number.span, left=lhs.span, modifiers=modifiers)


def _split_factors(part: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    factors: list[list[Token]] = [[]]
    depth = 0
    for token in part:
        depth += token.is_symbol("(") - token.is_symbol(")")
        if token.is_symbol("*") and depth == 0:
            if not factors[-1]:
                raise ModelSyntaxError("expected a modifier before '*'", token.span)
            factors.append([])
        else:
            factors[-1].append(token)
    if not factors[-1]:
        raise ModelSyntaxError("expected a variable after '*'", part[-1].span)
    return [tuple(factor) for factor in factors]


def _modifier(tokens: tuple[Token, ...]) -> Modifiers:
    first = tokens[0]
    if len(tokens) == 1 and first.kind == "name":
        return Modifiers(fixed=(math.nan,)) if first.text == "NA" else Modifiers(label=(first.text,))
    if len(tokens) == 1 and first.kind == "string":
        return Modifiers(label=(first.text[1:-1],))
    if first.kind == "name" and len(tokens) > 1 and tokens[1].is_symbol("("):
        return _call(tokens)
    return Modifiers(fixed=(_number(tokens),))


def _call(tokens: tuple[Token, ...]) -> Modifiers:
    name = tokens[0].text
    if name not in MODIFIERS:
        raise ModelSyntaxError(
            f"unknown modifier {name}(): the modifiers are {', '.join(m + '()' for m in MODIFIERS)}", tokens[0].span
        )
    if not tokens[-1].is_symbol(")"):
        raise ModelSyntaxError("expected '*' after the modifier", tokens[-1].span)
    entries = _entries(tokens[2:-1], tokens[0])
    if name == "c" and all(e[0].kind in ("name", "string") for e in entries if not _is_na(e)):
        if not all(_is_na(e) for e in entries):
            return Modifiers(label=tuple("" if _is_na(e) else _text(e) for e in entries))
        return Modifiers(fixed=(math.nan,) * len(entries))
    if name in ("c", "start"):
        values = tuple(math.nan if _is_na(e) else _number(e) for e in entries)
        return Modifiers(fixed=values) if name == "c" else Modifiers(start=values)
    return Modifiers(label=tuple(_text(e) for e in entries))


def _entries(tokens: tuple[Token, ...], call: Token) -> list[tuple[Token, ...]]:
    """Arguments of a call; ``c(...)`` inside start() or label() is flattened."""
    if len(tokens) > 2 and tokens[0].text == "c" and tokens[1].is_symbol("(") and tokens[-1].is_symbol(")"):
        tokens = tokens[2:-1]
    entries: list[list[Token]] = [[]]
    for token in tokens:
        if token.is_symbol(","):
            entries.append([])
        else:
            entries[-1].append(token)
    if any(not entry for entry in entries):
        raise ModelSyntaxError(f"empty argument in {call.text}()", call.span)
    return [tuple(entry) for entry in entries]


def _is_na(entry: tuple[Token, ...]) -> bool:
    return len(entry) == 1 and entry[0].text == "NA"


def _text(entry: tuple[Token, ...]) -> str:
    if len(entry) != 1 or entry[0].kind not in ("name", "string"):
        raise ModelSyntaxError("expected a label", entry[0].span)
    return entry[0].text.strip("\"'")


def _number(tokens: tuple[Token, ...]) -> float:
    """A number or arithmetic on numbers."""
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


def _combine(old: Modifiers, new: Modifiers, span: SourceSpan) -> Modifiers:
    """Add modifiers of one term; giving the same kind twice is a contradiction."""
    for kind in ("fixed", "start", "label"):
        if getattr(old, kind) and getattr(new, kind):
            raise ModelSpecificationError(f"two {kind} modifiers for one parameter", span)
    return Modifiers(fixed=old.fixed or new.fixed, start=old.start or new.start, label=old.label or new.label)


def _definition(left: tuple[Token, ...], operator: Token, right: tuple[Token, ...]) -> Statement:
    name = _variable(left, operator)
    formula = parse_expression(right, operator.span)
    text = "".join(t.text for t in right)
    return Statement(lhs=name.text, op=":=", rhs=text, span=name.span, left=name.span, formula=formula)


def _key(statement: Statement) -> tuple[str, ...]:
    if statement.op == "~~":
        return (statement.op, *sorted((statement.lhs, statement.rhs)))
    return (statement.op, statement.lhs, "" if statement.op == ":=" else statement.rhs)


def _merge_repeated(statements: list[Statement]) -> list[Statement]:
    merged: dict[tuple[str, ...], Statement] = {}
    for statement in statements:
        key = _key(statement)
        first = merged.get(key)
        if first is None:
            merged[key] = statement
            continue
        if statement.op == ":=":
            raise ModelSpecificationError(f"{statement.lhs!r} is defined twice", statement.span)
        if statement.modifiers == Modifiers() and first.modifiers == Modifiers():
            raise ModelSpecificationError(
                f"'{statement.lhs} {statement.op} {statement.rhs}' stands twice in the model", statement.span
            )
        merged[key] = replace(first, modifiers=_combine(first.modifiers, statement.modifiers, statement.span))
    return list(merged.values())
