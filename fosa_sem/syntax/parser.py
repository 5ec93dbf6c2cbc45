"""Tokens -> statements: what the user wrote, term by term, each with its place in the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fosa_sem.errors import ModelSpecificationError, ModelSyntaxError
from fosa_sem.syntax.expressions import Node, parse_expression
from fosa_sem.syntax.modifiers import combine, parse_modifier, without_parentheses
from fosa_sem.syntax.slips import missing_operator, stray_symbol, wrong_operator
from fosa_sem.syntax.statements import BLOCKS, CONSTRAINTS, NO_MODIFIERS, OPERATORS, RESERVED, Modifiers, Statement
from fosa_sem.syntax.tokens import NESTING, Token, tokenize

Tokens = tuple[Token, ...]


def parse_model(model: str) -> tuple[Statement, ...]:
    """Parse a model string.

    Parameters
    ----------
    model : str
        lavaan's model syntax; statements are separated by newlines or ``;``, comments start with ``#`` or ``!``.

    Returns
    -------
    tuple of Statement
        In the order of the text; repeated terms are merged.

    Raises
    ------
    ModelSyntaxError
        With line and column, at anything that is not understood.
    ModelSpecificationError
        For contradicting modifiers and duplicated statements.
    """
    if not isinstance(model, str):
        raise ModelSyntaxError(f"the model must be a string, got {type(model).__name__}")
    found: list[Statement] = []
    blocks: dict[tuple[str, ...], int] = {}
    block, group = 1, ""
    for tokens in _split_statements(tokenize(model)):
        head = _block_head(tokens)
        if head is None:
            found.extend(_merge_repeated(_parse_statement(tokens, block), within_formula=True))
            continue
        _check_nesting(head, found)
        group = head.rhs if head.lhs == "group" else group
        key = (head.lhs, head.rhs, group)
        is_new = key not in blocks
        block = blocks.setdefault(key, len(blocks) + 1)
        if is_new:
            found.append(replace(head, block=block))
    if not found:
        raise ModelSyntaxError("the model is empty: write at least one formula, such as 'f =~ x1 + x2 + x3'")
    return tuple(_merge_repeated(found, within_formula=False))


def _split_statements(tokens: Tokens) -> Iterable[Tokens]:
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
            depth += NESTING.get(token.text, 0)
            current.append(token)
    if current:
        yield tuple(current)


def _continues(current: list[Token], rest: Tokens) -> bool:
    """Whether a statement goes on after a line break."""
    if not current:
        return False
    following = next((t for t in rest if t.kind != "newline"), None)
    if following is None:
        return False
    if current[-1].is_symbol("+", "-", "*", "/", "^", ",", "(", *OPERATORS):
        return True
    if following.is_symbol("+", "*", "/", "^", ")", ","):
        return True
    return following.is_symbol(*OPERATORS) and not any(t.is_symbol(*OPERATORS) for t in current)


def _block_head(tokens: Tokens) -> Statement | None:
    """``group: 1`` and its kin."""
    if len(tokens) < 2 or tokens[0].text.lower() not in BLOCKS or not tokens[1].is_symbol(":"):
        return None
    if any(t.is_symbol(*OPERATORS) for t in tokens):
        return None
    if len(tokens) == 2:
        raise ModelSyntaxError(f"expected a name after '{tokens[0].text}:'", tokens[1].span)
    name = "".join(t.text for t in tokens[2:]).strip("\"'")
    return Statement(lhs=tokens[0].text.lower(), op=":", rhs=name, block=1, span=tokens[2].span, left=tokens[0].span)


def _check_nesting(head: Statement, found: list[Statement]) -> None:
    kinds = [s.lhs for s in found if s.op == ":"]
    if head.lhs == "group" and "level" in kinds and "group" not in kinds:
        raise ModelSpecificationError("groups cannot stand within levels", head.left)


def _parse_statement(tokens: Tokens, block: int) -> list[Statement]:
    at = next((i for i, t in enumerate(tokens) if t.is_symbol(*OPERATORS)), None)
    if at is None:
        raise missing_operator(tokens)
    operator, left, right = tokens[at], tokens[:at], tokens[at + 1 :]
    slip = wrong_operator(left, operator, right)
    if slip is not None:
        raise slip
    if not left:
        raise ModelSyntaxError(f"expected a variable before '{operator.text}'", operator.span)
    ends_here = right and right[0].line > operator.line and any(t.is_symbol(*OPERATORS) for t in right)
    if not right or ends_here:  # the next line is a statement of its own
        raise ModelSyntaxError(f"expected a variable after '{operator.text}'", operator.span)
    if operator.text == ":=":
        return [_definition(left, operator, right)]
    if operator.text in CONSTRAINTS:
        return [_constraint(left, operator, right)]
    statements = []
    for part in _split_terms(left, operator):
        lhs, of_lhs = _left_side(part, operator)
        for term in _split_terms(right, operator):
            statement = _term(lhs, operator, term, block)
            if of_lhs is not NO_MODIFIERS:
                statement = replace(statement, modifiers=combine(statement.modifiers, of_lhs, lhs.span))
            statements.append(statement)
    return statements


def _split_terms(tokens: Tokens, operator: Token) -> list[Tokens]:
    """Split at ``+`` outside parentheses; a sign after ``*`` belongs to a number."""
    parts: list[list[Token]] = [[]]
    depth = 0
    last_plus = operator
    for token in tokens:
        depth += NESTING.get(token.text, 0)
        if depth < 0:
            raise ModelSyntaxError("')' without '('", token.span)
        is_sign = bool(parts[-1]) and parts[-1][-1].is_symbol("*")
        if token.is_symbol("+") and depth == 0 and not is_sign:
            if parts == [[]]:  # a sign before the first term says nothing
                last_plus = token
                continue
            if not parts[-1]:
                raise ModelSyntaxError("expected a variable before '+'", token.span)
            parts.append([])
            last_plus = token
        else:
            parts[-1].append(token)
    if depth > 0:
        raise ModelSyntaxError("missing ')' for this opening", _unclosed(tokens).span)
    if not parts[-1]:
        raise ModelSyntaxError("expected a variable after '+'", last_plus.span)
    return [tuple(part) for part in parts]


def _unclosed(tokens: Tokens) -> Token:
    open_at: list[Token] = []
    for token in tokens:
        if token.is_symbol("("):
            open_at.append(token)
        elif token.is_symbol(")"):
            open_at.pop()
    return open_at[-1]


def _variable(part: Tokens) -> Token:
    """One variable name; ``x:z`` is a name too, and a blank before digits does not end a name, as in lavaan."""
    part = without_parentheses(part)
    names = [t for t in part if not t.is_symbol(":")]
    if len(names) == 2 and len(part) == 3 and part[1].is_symbol(":") and names[0].kind == names[1].kind == "name":
        return part[0]._replace(text=f"{part[0].text}:{part[2].text}")
    if len(part) == 2 and part[0].kind == "name" and (part[1].text.isdigit() or part[0].text == "."):
        return part[0]._replace(text=part[0].text + part[1].text)
    if len(part) != 1 or part[0].kind != "name":
        raise stray_symbol(part)
    if part[0].text in RESERVED:
        raise ModelSyntaxError(f"{part[0].text!r} is a word that R reserves; rename the variable", part[0].span)
    return part[0]


def _left_side(part: Tokens, operator: Token) -> tuple[Token, Modifiers]:
    """A variable, with ``efa("name")*`` before it if it is an exploratory factor."""
    *before, last = _split_factors(part)
    modifiers = NO_MODIFIERS
    for factor in before:
        found = parse_modifier(factor)
        if not found.efa or operator.text != "=~":
            raise ModelSyntaxError(f"modifiers stand on the right of '{operator.text}'", factor[0].span)
        modifiers = combine(modifiers, found, factor[0].span)
    return _variable(last), modifiers


def _term(lhs: Token, operator: Token, part: Tokens, block: int) -> Statement:
    *before, last = _split_factors(part)
    modifiers = NO_MODIFIERS
    for factor in _join_numbers(before, part):
        modifiers = combine(modifiers, parse_modifier(factor), factor[0].span)
    if len(last) == 1 and last[0].kind == "number":
        return _constant(lhs, operator, last[0], modifiers, block)
    variable = _variable(last)
    if operator.text in ("=~", "<~") and variable.text == lhs.text:
        raise ModelSpecificationError(f"{lhs.text!r} cannot be its own indicator", variable.span)
    if ":" in lhs.text and operator.text != "~~":
        raise ModelSpecificationError(f"the product {lhs.text!r} can only stand on the right of a formula", lhs.span)
    if operator.text == "~" and variable.text == lhs.text:
        raise ModelSpecificationError(f"{lhs.text!r} cannot be regressed on itself", variable.span)
    return Statement(
        lhs=lhs.text, op=operator.text, rhs=variable.text, block=block, span=variable.span, left=lhs.span,
        modifiers=modifiers,
    )  # fmt: skip


def _constant(lhs: Token, operator: Token, number: Token, modifiers: Modifiers, block: int) -> Statement:
    """``y ~ 1``, ``y ~ 0`` (an intercept of 0), and ``f =~ 0`` (a latent variable without indicators)."""
    value = float(number.text)
    op, rhs = ("~1", "") if operator.text == "~" else ("=~", lhs.text)
    if operator.text not in ("~", "=~") or value not in (0.0, 1.0) or (op == "=~" and value == 1.0):
        raise ModelSyntaxError(f"expected the name of a variable, found {number.text!r}", number.span)
    if value == 0.0:
        modifiers = combine(modifiers, Modifiers(fixed=(0.0,)), number.span)
    return Statement(lhs=lhs.text, op=op, rhs=rhs, block=block, span=number.span, left=lhs.span, modifiers=modifiers)


def _split_factors(part: Tokens) -> list[Tokens]:
    factors: list[list[Token]] = [[]]
    depth = 0
    for token in part:
        depth += NESTING.get(token.text, 0)
        if token.is_symbol("*") and depth == 0:
            if not factors[-1]:
                raise ModelSyntaxError("expected a modifier before '*'", token.span)
            factors.append([])
        else:
            factors[-1].append(token)
    if not factors[-1]:
        raise ModelSyntaxError("expected a variable after '*'", part[-1].span)
    return [tuple(factor) for factor in factors]


def _join_numbers(factors: list[Tokens], part: Tokens) -> list[Tokens]:
    """Numbers that follow each other are one modifier, their product: ``2*3*x`` is ``6*x``."""
    joined: list[Tokens] = []
    for factor in factors:
        if joined and _is_number(joined[-1]) and _is_number(factor):
            times = next(t for t in part if t.is_symbol("*"))
            joined[-1] = (*joined[-1], times, *factor)
        else:
            joined.append(factor)
    return joined


def _is_number(tokens: Tokens) -> bool:
    return all(t.kind == "number" or t.is_symbol("+", "-", "*", "/", "^", "(", ")") for t in tokens)


def _definition(left: Tokens, operator: Token, right: Tokens) -> Statement:
    name = _variable(left)
    return Statement(
        lhs=name.text, op=":=", rhs=_text(right), block=0, span=name.span, left=name.span,
        formulas=(_formula(right, operator),),
    )  # fmt: skip


def _constraint(left: Tokens, operator: Token, right: Tokens) -> Statement:
    return Statement(
        lhs=_text(left), op=operator.text, rhs=_text(right), block=0, span=right[0].span, left=left[0].span,
        formulas=(_formula(left, operator), _formula(right, operator)),
    )  # fmt: skip


def _formula(tokens: Tokens, operator: Token) -> Node:
    second = next((t for t in tokens if t.is_symbol(*OPERATORS)), None)
    if second is not None:
        raise ModelSyntaxError(f"a second operator '{second.text}' in one line", second.span)
    return parse_expression(tokens, operator.span)


def _text(tokens: Tokens) -> str:
    return "".join(t.text for t in tokens)


def _key(statement: Statement) -> tuple[object, ...]:
    if statement.op == "~~":
        return (statement.block, statement.op, *sorted((statement.lhs, statement.rhs)))
    if statement.op in CONSTRAINTS:
        return (statement.op, statement.lhs, statement.rhs)
    return (statement.block, statement.op, statement.lhs, "" if statement.op == ":=" else statement.rhs)


def _merge_repeated(statements: Iterable[Statement], *, within_formula: bool) -> list[Statement]:
    """Terms that stand twice are one parameter with the modifiers of both.

    Within a formula that is lavaan's own way of giving several modifiers; across formulas a repetition must add a
    modifier, else it is taken for a mistake.
    """
    merged: dict[tuple[object, ...], Statement] = {}
    for statement in statements:
        key = _key(statement)
        first = merged.get(key)
        if first is None:
            merged[key] = statement
            continue
        if statement.op == ":=":
            raise ModelSpecificationError(f"{statement.lhs!r} is defined twice", statement.span)
        bare = statement.modifiers == first.modifiers == NO_MODIFIERS
        if bare and not within_formula:
            raise _twice(statement)
        merged[key] = replace(first, modifiers=combine(first.modifiers, statement.modifiers, statement.span))
    return list(merged.values())


def _twice(statement: Statement) -> ModelSpecificationError:
    shown = f"{statement.lhs} {statement.op} {statement.rhs}".strip()
    return ModelSpecificationError(f"'{shown}' stands twice in the model", statement.span)
