"""What the user wrote, term by term: the records between the parser and the parameter table."""

from __future__ import annotations

from dataclasses import dataclass

from fosa_sem.errors import SourceSpan
from fosa_sem.syntax.expressions import Node

RELATIONS = ("=~", "<~", "~", "~~", "|", "~*~")
"""Operators between variables, as written; ``~ 1`` becomes the operator ``~1``."""
CONSTRAINTS = ("==", "<", ">")
OPERATORS = (*RELATIONS, ":=", *CONSTRAINTS)
BLOCKS = ("group", "level", "block", "class")
RESERVED = frozenset({
    "if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE", "NULL", "Inf", "NaN",
    "NA", "NA_integer_", "NA_real_", "NA_complex_", "NA_character_",
})  # fmt: skip
"""Words that R keeps for itself; lavaan refuses them as names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifiers:
    """What stands before ``*``; a tuple holds one entry per group, one entry serves all groups.

    Attributes
    ----------
    fixed : tuple of float
        Fixed values; NaN frees the parameter (``NA*x``). Empty: not given, here and below.
    start : tuple of float
        Starting values.
    lower, upper : tuple of float
        Bounds.
    label : tuple of str
        Labels; parameters that share one are equal.
    rv : tuple of str
        Name of a random slope.
    efa : tuple of str
        Name of the set of exploratory factors that a latent variable belongs to.
    """

    fixed: tuple[float, ...] = ()
    start: tuple[float, ...] = ()
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    label: tuple[str, ...] = ()
    rv: tuple[str, ...] = ()
    efa: tuple[str, ...] = ()


NO_MODIFIERS = Modifiers()
"""Of a term that stands alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One relation between two variables, one defined parameter, one constraint, or the head of a block.

    Attributes
    ----------
    lhs, op, rhs : str
        As in lavaan: ``=~``, ``<~``, ``~``, ``~~``, ``~1`` (rhs empty), ``|``, ``~*~``; ``:=``, ``==``, ``<`` and
        ``>`` with the formulas' texts; ``:`` with the block's kind and name.
    block : int
        1-based; 0 for ``:=`` and constraints.
    span, left : SourceSpan
        Places of the right-hand and the left-hand side.
    modifiers : Modifiers
    formulas : tuple of Node
        The right-hand side of ``:=``; both sides of a constraint.
    """

    lhs: str
    op: str
    rhs: str
    block: int
    span: SourceSpan
    left: SourceSpan
    modifiers: Modifiers = NO_MODIFIERS
    formulas: tuple[Node, ...] = ()
