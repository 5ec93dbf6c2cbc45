"""A model string as lavaan may see it: read by us first, without comments, and with no text that R could run."""

from __future__ import annotations

import re

from fosa_sem.errors import ModelSyntaxError
from fosa_sem.syntax.parser import parse_model
from fosa_sem.syntax.tokens import tokenize

_PLAIN_STRING = re.compile(r"[\w.~=: -]*")


def plain_model(model: str) -> str:
    """The model for lavaan, which runs modifiers that it does not know as R code.

    What our parser reads holds no calls but those of the model language. lavaan 0.6 cuts the text up by search and
    replace, though: a ``;`` in a comment starts a statement there, and so may operators in quotes. The text handed
    over is therefore put together from our tokens.

    Parameters
    ----------
    model : str

    Returns
    -------
    str
        The same statements on the same lines, without comments, every quote a double one.

    Raises
    ------
    ModelSyntaxError, ModelSpecificationError
        If the model cannot be read, or has quotes around more than letters, digits, blanks and ``. _ ~ = : -``.
    """
    parse_model(model)
    words = []
    for token in tokenize(model):
        text = token.text
        if token.kind == "string":
            if not _PLAIN_STRING.fullmatch(text[1:-1]):
                raise ModelSyntaxError(f"the text {text} is not handed to R; use letters and digits in it", token.span)
            text = f'"{text[1:-1]}"'
        words.append(text)
    return " ".join(words)
