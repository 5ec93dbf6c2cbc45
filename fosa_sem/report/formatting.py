"""Numbers and names as strings: fixed decimals, APA p-values, widths, visible truncation."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

DASH = "—"
ELLIPSIS = "…"


def clean(value: object) -> str:
    """Return a name on one line: unprintable characters become a visible sign, None and NaN an empty str.

    Parameters
    ----------
    value : object
        Usually a str.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def display_width(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def shorten(text: str, width: int) -> str:
    """Cut a text in the middle, with an ellipsis; both ends stay, since names often differ at their end.

    Parameters
    ----------
    text : str
    width : int
        Columns allowed, at least 1.
    """
    if display_width(text) <= width:
        return text
    head, tail = "", ""
    while True:
        from_head = display_width(head) <= display_width(tail)
        char = text[len(head)] if from_head else text[-len(tail) - 1]
        if display_width(head + char + tail) > width - 1:
            return head + ELLIPSIS + tail
        head, tail = (head + char, tail) if from_head else (head, char + tail)


def pad_left(text: str, width: int) -> str:
    """Right-align a text in a field of display columns."""
    return " " * (width - display_width(text)) + text


def pad_right(text: str, width: int) -> str:
    """Left-align a text in a field of display columns."""
    return text + " " * (width - display_width(text))


def decimal(value: float, digits: int = 3) -> str:
    """Return a number with fixed decimals; a dash where it is undefined.

    Parameters
    ----------
    value : float
    digits : int, default 3
    """
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:.{digits}f}"


def narrow(value: float, width: int, digits: int = 3) -> str:
    """Return a number in at most `width` characters, giving up decimals and then the plain notation.

    Parameters
    ----------
    value : float
    width : int
        At least 7, so that ``-1e-300`` fits.
    digits : int, default 3
        Decimals where there is room.
    """
    usual = decimal(value, digits)
    if len(usual) <= width:
        return usual
    forms = (form(value, d) for form in (decimal, _scientific) for d in range(digits, -1, -1))
    return next(form for form in forms if len(form) <= width)


def cell(value: float, width: int, digits: int = 3) -> str:
    """Return a number as `narrow` does, right-aligned in a field with at least one blank before it."""
    return pad_left(narrow(value, width - 1, digits), width)


def cells(values: Sequence[float], width: int) -> str:
    """Return numbers with three decimals, each as `cell` does."""
    usual = f"%{width}.3f" * len(values) % tuple(values)
    # Every field begins with a blank, none has run over, and there is no nan or inf.
    if usual[::width].isspace() and len(usual) == width * len(values) and "n" not in usual:
        return usual
    return "".join([cell(value, width) for value in values])


def _scientific(value: float, digits: int) -> str:
    """Write the shortest exponent: 1.2e15, 1.2e-5."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def readable(value: float, digits: int = 3) -> str:
    """Return a number with fixed decimals, unless that would hide a small one or sprawl over a large one.

    Parameters
    ----------
    value : float
        Below 1e-12 in size it counts as zero.
    digits : int, default 3
    """
    size = abs(value)
    if 1e-12 <= size < 0.5 * 10.0**-digits:
        return f"{value:.2g}"
    return f"{value:.4g}" if 1e7 <= size < math.inf else decimal(value, digits)


def count(value: float) -> str:
    """Return a count; decimals only if it is not a whole number, a dash where it is undefined."""
    return f"{value:.0f}" if math.isfinite(value) and float(value).is_integer() else decimal(value)


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage, with the sign."""
    return DASH if math.isnan(share) else f"{100 * share:.{digits}f}%"


def apa_unit(value: float, digits: int = 3) -> str:
    """Return a number that cannot leave [-1, 1] in APA style: no zero before the point."""
    text = decimal(value, digits)
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def p_apa(value: float, digits: int = 3) -> str:
    """Return a p-value in APA style: ``.035``, and ``< .001`` where it is smaller.

    Parameters
    ----------
    value : float
    digits : int, default 3
    """
    smallest = 10.0**-digits
    return f"< {apa_unit(smallest, digits)}" if value < smallest else apa_unit(value, digits)


def p_equation(value: float) -> str:
    """Return a p-value within a sentence: ``p < .001`` or ``p = .035``."""
    text = p_apa(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
