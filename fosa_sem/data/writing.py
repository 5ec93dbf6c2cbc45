"""Writing files whole or not at all: to a temporary file in the same folder, then into place."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fosa_sem.errors import OptionError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and move it to ``path`` when the block ends well.

    Parameters
    ----------
    path : path
        The file to make or replace. A link is followed; the permissions of a file that is replaced are kept.

    Yields
    ------
    Path
        An empty file in the same folder with the same suffix. If the block raises, it is removed, and what
        was at ``path`` before stays as it was.

    Raises
    ------
    OptionError
        If the folder does not exist, if something at ``path`` cannot be replaced, or if writing fails.
    """
    target = _target(path)
    temporary = target.with_name(f".fosa-{secrets.token_hex(8)}{target.suffix}")
    try:
        temporary.touch(exist_ok=False)
        if target.exists():
            shutil.copymode(target, temporary)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise OptionError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a text file whole or not at all, as UTF-8 with ``\n`` at line ends.

    Parameters
    ----------
    path : path
        The file to make or replace.
    text : str
        Its content.

    Raises
    ------
    OptionError
        As `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path meant, after checks that give a clearer message than the system's."""
    try:
        target = Path(os.path.expanduser(path)).resolve()
        folder_exists, exists = target.parent.is_dir(), target.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise OptionError(f"cannot write {path!r}: it is not a usable path ({error})") from error
    if target.is_dir():
        raise OptionError(f"cannot write {path}: it is a folder; give the name of a file")
    if not folder_exists:
        raise OptionError(f"cannot write {path}: the folder {target.parent} does not exist; create it first")
    if exists and not target.is_file():
        raise OptionError(f"cannot write {path}: it is not an ordinary file")
    if not os.access(target if exists else target.parent, os.W_OK):
        raise OptionError(f"cannot write {path}: no permission; choose another place")
    return target
