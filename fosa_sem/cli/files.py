"""Inputs and outputs of a command: what cannot be read or written is said before the long work starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from fosa_sem.data.reading import write_table
from fosa_sem.data.writing import atomic_path
from fosa_sem.errors import FosaError, MissingDependencyError, OptionError
from fosa_sem.report.write import SUFFIXES

STDIN = "-"


def read_model(path: str) -> str:
    """Read a model from a text file, or from standard input if the path is "-".

    Raises
    ------
    OptionError
        The file cannot be read, is not UTF-8 or holds nothing.
    """
    try:
        text = sys.stdin.read() if path == STDIN else Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(f"{path}: not UTF-8 text ({error.reason}); save the model as UTF-8") from error
    except (OSError, ValueError) as error:
        hint = "; to give the model itself, pipe it in and write - for MODEL" if "~" in path else ""
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"{path}: cannot be read as a model ({reason}){hint}") from error
    if not text.strip():
        raise OptionError(f"{'standard input' if path == STDIN else path}: there is no model in it")
    return text


def check_distinct(inputs: Sequence[str], outputs: Sequence[str | None]) -> None:
    """Refuse to write over what is read, or twice to one place.

    Raises
    ------
    OptionError
    """
    taken = {_place(path): f"{path} is an input" for path in inputs if path != STDIN}
    for path in filter(None, outputs):
        if _place(path) in taken:
            raise OptionError(f"cannot write {path}: {taken[_place(path)]}; choose another name")
        taken[_place(path)] = f"{path} is written already"


def check_report(path: str | None) -> None:
    """Find out whether a report can be written, if one is asked for.

    Raises
    ------
    OptionError
        Unknown suffix, or no place to write to.
    MissingDependencyError
        HTML without jinja2 or matplotlib.
    """
    if path is None:
        return
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"{path}: a report's file name must end in {', '.join(SUFFIXES)}")
    for package in ("jinja2", "matplotlib") if suffix == ".html" else ():
        if find_spec(package) is None:
            raise MissingDependencyError(f'HTML reports need {package}: pip install "fosa-sem[report]"')
    _rehearse(path, lambda temporary: None)


def check_table_output(path: str, data: pd.DataFrame) -> None:
    """Find out whether a table like the data can be written to a path, in the format of its suffix.

    Raises
    ------
    OptionError, DataError, MissingDependencyError
        As of `fosa_sem.data.reading.write_table`.
    """
    _rehearse(path, lambda temporary: write_table(data, temporary))


class _Enough(Exception):  # noqa: N818 (a signal, not an error)
    """Ends a rehearsal before anything is put in place."""


def _rehearse(path: str, write: Callable[[Path], None]) -> None:
    """Write to a temporary file beside the path and throw it away; what is at the path stays as it is."""
    with suppress(_Enough), atomic_path(path) as temporary:
        try:
            write(temporary)
        except FosaError as error:
            raise type(error)(str(error).replace(str(temporary), path)) from error
        raise _Enough


def _place(path: str) -> Path:
    return Path(path).expanduser().absolute()
