"""Model string -> tokens that know where they stand; the tokenizer knows characters, not models."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from fosa_sem.errors import ModelSyntaxError, SourceSpan

Kind = Literal["name", "number", "string", "symbol", "newline"]

NESTING = {"(": 1, ")": -1}
"""By how many parentheses a token leads further in; strings keep their quotes, so that its text says enough."""

_PATTERN = re.compile(
    r"""[ \t\r\f\v\u00a0]*
      (?:(?P<comment>[#!].*)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[^\W\d_][\w.]*|\.[\w.]*)
      | (?P<string>"[^"\n]*"|'[^'\n]*')
      | (?P<symbol>=~|~~|:=|==|<~|~\*~|[~<>=|+\-*/^(),;:])
      | (?P<other>[^ \t\r\f\v\u00a0]))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the model string.

    Attributes
    ----------
    kind : {"name", "number", "string", "symbol", "newline"}
    text : str
        As written (strings keep their quotes).
    line, column : int
        1-based place of the first character.
    source : str
        The whole line, for error messages.
    """

    kind: Kind
    text: str
    line: int
    column: int
    source: str

    @property
    def span(self) -> SourceSpan:
        """Where the token stands."""
        return SourceSpan(self.line, self.column, max(1, len(self.text.rstrip("\n"))), self.source)

    def is_symbol(self, *texts: str) -> bool:
        """Whether this is one of the symbols."""
        return self.kind == "symbol" and self.text in texts


def tokenize(model: str) -> tuple[Token, ...]:
    """Split a model string into tokens; blanks and comments are left out.

    Raises
    ------
    ModelSyntaxError
        At a character that the model language does not have, or an unmatched quote.
    """
    lines = model.split("\n")
    tokens: list[Token] = []
    for number, source in enumerate(lines, start=1):
        for match in _PATTERN.finditer(source):
            kind = match.lastgroup or ""
            text, column = match.group(kind), match.start(kind) + 1
            if kind == "other":
                raise ModelSyntaxError(_unexpected(text), SourceSpan(number, column, 1, source))
            if kind != "comment":
                tokens.append(Token(kind, text, number, column, source))  # type: ignore[arg-type]
        tokens.append(Token("newline", "\n", number, len(source) + 1, source))
    return _join_operators(tokens)


_SPLIT_OPERATORS = {("=", "~"): "=~", ("~", "~"): "~~", (":", "="): ":=", ("=", "="): "==", ("<", "~"): "<~"}


def _join_operators(tokens: list[Token]) -> tuple[Token, ...]:
    """An operator may have a blank in it (``f = ~ x``): lavaan reads models without their blanks."""
    joined: list[Token] = []
    for token in tokens:
        last = joined[-1] if joined else None
        if last is not None and last.kind == token.kind == "symbol" and last.line == token.line:
            operator = _SPLIT_OPERATORS.get((last.text, token.text))
            if operator is not None:
                joined[-1] = last._replace(text=operator)
                continue
        joined.append(token)
    return tuple(joined)


LOOKALIKES = {"−": "-", "–": "-", "“": '"', "”": '"', "‘": "'", "’": "'", "∼": "~", "˜": "~", "×": "*", "∗": "*"}


def _unexpected(character: str) -> str:
    if character in "\"'":
        return f"unmatched quote {character}"
    plain = LOOKALIKES.get(character)
    return f"unexpected character {character!r}" + (f"; did you mean {plain!r}?" if plain else "")
