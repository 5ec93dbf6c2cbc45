"""Safe arithmetic for ``:=`` and constraints: text -> tree -> value and derivative; never evaluated as Python.

The language has numbers, labels, ``+ - * / ^``, parentheses and the functions exp, log, sqrt, abs,
sin, cos, min and max.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import ModelSyntaxError, SourceSpan
from fosa_sem.syntax.tokens import Token

FloatArray = NDArray[np.float64]

MAX_DEPTH = 100
"""Nesting that no sensible formula reaches; keeps a hostile one from exhausting the stack."""


@dataclass(frozen=True, slots=True)
class Dual:
    """A value with its gradient, for forward differentiation.

    Attributes
    ----------
    value : float
    gradient : ndarray, shape (k,)
    """

    value: float
    gradient: FloatArray


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a formula: a number, a label, or an operation on parts.

    Attributes
    ----------
    kind : {"number", "label", "call"}
    name : str
        The label, or the operator or function name.
    value : float
        The number.
    parts : tuple of Node
    span : SourceSpan
    """

    kind: str
    span: SourceSpan
    name: str = ""
    value: float = 0.0
    parts: tuple[Node, ...] = ()


FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "exp": (math.exp, math.exp),
    "log": (math.log, lambda x: 1.0 / x),
    "sqrt": (math.sqrt, lambda x: math.inf if x == 0 else 0.5 / math.sqrt(x)),
    "abs": (abs, lambda x: math.copysign(1.0, x) if x else 0.0),
    "sin": (math.sin, math.cos),
    "cos": (math.cos, lambda x: -math.sin(x)),
    "neg": (lambda x: -x, lambda x: -1.0),
}


CHOICES: dict[str, Callable[..., Dual]] = {"min": min, "max": max}
"""Functions of several arguments that pick one of them."""


def labels(node: Node) -> list[Node]:
    """All label nodes of a formula, in reading order."""
    return [part for part in _postorder(node) if part.kind == "label"]


def _postorder(node: Node) -> list[Node]:
    """Every node, parts before the whole; without recursion, for a sum of thousands of terms is a deep tree."""
    found, waiting = [], [node]
    while waiting:
        part = waiting.pop()
        found.append(part)
        waiting.extend(part.parts)
    return found[::-1]


def evaluate(node: Node, values: Mapping[str, Dual], size: int) -> Dual:
    """Evaluate a formula with its gradient.

    Parameters
    ----------
    node : Node
    values : mapping of label to Dual
    size : int
        Length k of the gradients.

    Returns
    -------
    Dual
        NaN where the formula is undefined (log of a negative number, division by zero).
    """
    done: list[Dual] = []
    for part in _postorder(node):
        if part.kind == "number":
            done.append(Dual(part.value, np.zeros(size)))
        elif part.kind == "label":
            done.append(values[part.name])
        else:
            operands = [done.pop() for _ in part.parts][::-1]
            done.append(_apply_or_nan(part.name, operands, size))
    return done.pop()


def _apply_or_nan(name: str, parts: list[Dual], size: int) -> Dual:
    try:
        return _apply(name, parts)
    except (ValueError, ZeroDivisionError, OverflowError):
        return Dual(math.nan, np.full(size, math.nan))


def _apply(name: str, parts: list[Dual]) -> Dual:
    if name in CHOICES:
        return CHOICES[name](parts, key=lambda part: part.value)
    if len(parts) == 1:
        function, slope = FUNCTIONS[name]
        (x,) = parts
        return Dual(function(x.value), slope(x.value) * x.gradient)
    a, b = parts
    if name == "+":
        return Dual(a.value + b.value, a.gradient + b.gradient)
    if name == "-":
        return Dual(a.value - b.value, a.gradient - b.gradient)
    if name == "*":
        return Dual(a.value * b.value, a.gradient * b.value + a.value * b.gradient)
    if name == "/":
        quotient = a.value / b.value
        return Dual(quotient, (a.gradient - quotient * b.gradient) / b.value)
    value = _power(a.value, b.value)
    gradient = np.zeros_like(a.gradient)
    if a.gradient.any():
        gradient = gradient + b.value * _power(a.value, b.value - 1.0) * a.gradient
    if b.gradient.any():
        gradient = gradient + value * math.log(a.value) * b.gradient
    return Dual(value, gradient)


def _power(base: float, exponent: float) -> float:
    value: float | complex = base**exponent
    if isinstance(value, complex):
        raise ValueError("negative base with a fractional exponent")  # noqa: TRY004 - a matter of value, not of type
    return value


def parse_expression(tokens: tuple[Token, ...], where: SourceSpan) -> Node:
    """Parse the tokens of one formula.

    Parameters
    ----------
    tokens : tuple of Token
        The whole formula.
    where : SourceSpan
        Named in the error if the formula is empty.

    Raises
    ------
    ModelSyntaxError
        If the tokens are not a formula.
    """
    parser = _Formula(tokens, where)
    node = parser.sum(0)
    if parser.peek() is not None:
        raise ModelSyntaxError(f"unexpected {parser.tokens[parser.at].text!r} in the formula", parser.here())
    return node


class _Formula:
    """Recursive descent: sum > product > sign > power > atom (R's precedence: -2^2 is -4)."""

    def __init__(self, tokens: tuple[Token, ...], where: SourceSpan) -> None:
        self.tokens = tokens
        self.at = 0
        self.where = where

    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def here(self) -> SourceSpan:
        token = self.peek()
        return token.span if token else (self.tokens[-1].span if self.tokens else self.where)

    def take(self, *texts: str) -> Token | None:
        token = self.peek()
        if token is not None and token.is_symbol(*texts):
            self.at += 1
            return token
        return None

    def sum(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ModelSyntaxError(f"the formula is nested more than {MAX_DEPTH} deep", self.here())
        node = self.product(depth)
        while sign := self.take("+", "-"):
            node = Node("call", sign.span, sign.text, parts=(node, self.product(depth)))
        return node

    def product(self, depth: int) -> Node:
        node = self.signed(depth)
        while sign := self.take("*", "/"):
            node = Node("call", sign.span, sign.text, parts=(node, self.signed(depth)))
        return node

    def signed(self, depth: int) -> Node:
        negative, span = False, self.here()
        while sign := self.take("+", "-"):
            negative ^= sign.text == "-"
        node = self.power(depth)
        return Node("call", span, "neg", parts=(node,)) if negative else node

    def power(self, depth: int) -> Node:
        node = self.atom(depth)
        if sign := self.take("^"):
            if depth > MAX_DEPTH:
                raise ModelSyntaxError(f"the formula is nested more than {MAX_DEPTH} deep", sign.span)
            node = Node("call", sign.span, "^", parts=(node, self.signed(depth + 1)))
        return node

    def atom(self, depth: int) -> Node:
        token = self.peek()
        if token is None:
            raise ModelSyntaxError("the formula ends too early: expected a number, a label or '('", self.here())
        self.at += 1
        if token.kind == "number":
            return Node("number", token.span, value=float(token.text))
        if token.kind == "name":
            if self.take("("):
                return self.call(token, depth)
            return Node("label", token.span, token.text)
        if token.is_symbol("("):
            node = self.sum(depth + 1)
            self.close(token)
            return node
        raise ModelSyntaxError(f"expected a number, a label or '(', found {token.text!r}", token.span)

    def call(self, token: Token, depth: int) -> Node:
        known = sorted({*FUNCTIONS, *CHOICES} - {"neg"})
        if token.text not in known:
            raise ModelSyntaxError(
                f"unknown function {token.text}(): the formula language has {', '.join(known)}", token.span
            )
        parts = [self.sum(depth + 1)]
        while token.text in CHOICES and self.take(","):
            parts.append(self.sum(depth + 1))
        self.close(token)
        return Node("call", token.span, token.text, parts=tuple(parts))

    def close(self, opening: Token) -> None:
        if not self.take(")"):
            raise ModelSyntaxError("missing ')' for this opening", opening.span)
