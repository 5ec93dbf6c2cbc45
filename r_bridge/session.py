"""R within this process, through rpy2: started once, called by the names of our own R functions only.

What is handed over is data (see `r_bridge.wire`); no text becomes R code here. Everything of R that a call could
change for others is put back: random state, options, locale, and the console's callbacks.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from fosa_sem.errors import DataError, EngineError, EngineWarning, MissingDependencyError
from r_bridge.runtime import describe, r_info
from r_bridge.wire import Packed, pack, unpack

LOG = logging.getLogger("r_bridge")
FILES = ("wire.R", "lavaan.R", "mids.R", "serve.R")
START = ("rpy2", "--quiet", "--no-save", "--no-restore-data")
"""How R starts: without loading what a former session left in the folder."""

_LOCK = threading.RLock()


class Answer(NamedTuple):
    """What an R function returned.

    Attributes
    ----------
    value : object
    warnings : tuple of str
        R's, in their order.
    """

    value: Any
    warnings: tuple[str, ...]


def call(function: str, **arguments: object) -> Answer:
    """Call a function of ``R/lavaan.R``.

    Parameters
    ----------
    function : str
        Its name.
    **arguments
        See `r_bridge.wire.pack`.

    Returns
    -------
    Answer
        What R printed on the way is in the log ``r_bridge``.

    Raises
    ------
    EngineError
        If R stops, with R's message.
    MissingDependencyError
        If R, lavaan or rpy2 is missing or does not fit; the message holds the cure.
    DataError, OptionError
        If an argument cannot be handed over.
    """
    value, warned = _ask("serve", function, pack(arguments))
    return Answer(unpack(_from_r(value)), warned)


def make(function: str, **arguments: object) -> Any:
    """Call a function of our R files whose value stays in R.

    Parameters
    ----------
    function : str
        Its name.
    **arguments
        See `r_bridge.wire.pack`.

    Returns
    -------
    rpy2.rinterface.Sexp

    Raises
    ------
    EngineError, MissingDependencyError, DataError, OptionError
        As `call`.
    """
    return _ask("make", function, pack(arguments), "R")[0]


def read(function: str, value: object) -> Answer:
    """Call a function of our R files with an R object (`rpy2.rinterface` or `rpy2.robjects`).

    Raises
    ------
    EngineError, MissingDependencyError
        As `call`.
    """
    answer, warned = _ask("read", function, value, "R")
    return Answer(unpack(_from_r(answer)), warned)


def _ask(door: str, function: str, argument: Any, who: str = "lavaan") -> tuple[Any, tuple[str, ...]]:
    """Value, still in R, and warnings of a function behind one of the doors of ``R/serve.R``."""
    with _LOCK:
        serve = _server_function(door)
        with _console() as said:
            answer = serve(_text(function), _to_r(argument) if isinstance(argument, dict) else argument)
        value, *others = (answer[list(answer.names).index(name)] for name in ("value", "warnings", "messages", "error"))
        warned, messages, error = map(_from_r, others)
    for text in (*said, *map(_line, messages)):
        LOG.info("R: %s", text)
    if error is not None:
        raise EngineError(f"{who} stopped: {_line(error)}")
    return value, tuple(_line(text) for text in warned)


def _line(text: object) -> str:
    return " ".join(str(text).split())


def warn(answer: Answer, stacklevel: int = 3) -> None:
    """Pass R's warnings on as Python's.

    Warns
    -----
    EngineWarning
    """
    for text in answer.warnings:
        warnings.warn(text, EngineWarning, stacklevel=stacklevel)


# ---- R itself ----------------------------------------------------------------------------------------------


def require_r() -> None:
    """Start R, or say everything that is missing.

    Raises
    ------
    MissingDependencyError
        Names what is missing or does not fit (R, lavaan, rpy2), with the commands that cure it.
    EngineError
        If this Python itself runs within R.
    """
    with _LOCK:
        _server()


@cache
def _server() -> Any:
    """The R function that we call, from files that are ours; starts R."""
    if _hosted_by_r():
        raise EngineError(
            "this Python runs within R, which cannot be called from here; there, fosa_crosscheck() compares with lavaan"
        )
    problems = r_info().problems
    if problems:
        raise MissingDependencyError(describe(problems))
    rinterface = _start()
    base = rinterface.baseenv
    space = base["new.env"](parent=base)
    for name in FILES:
        with resources.as_file(resources.files("r_bridge") / "R" / name) as path, _console():
            base["sys.source"](_text(str(path)), envir=space, **{"keep.source": rinterface.BoolSexpVector([False])})
    return space["serve"]


def _hosted_by_r() -> bool:
    started = dict(part.partition("=")[::2] for part in os.environ.get("R_SESSION_INITIALIZED", "").split(":"))
    return started.get("PID") == str(os.getpid())


def _start() -> Any:
    """Start R unless someone has, leaving Python's interrupt handler and environment as they are."""
    with _quiet_rpy2(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rpy2's own, about threads and signals; both are seen to here
        try:
            from rpy2 import rinterface
            from rpy2.rinterface_lib import embedded
        except Exception as error:
            message = f"rpy2 is installed but cannot be loaded ({error}); r_bridge.r_info() shows the versions"
            raise MissingDependencyError(message) from error
        if not embedded.isinitialized():
            with _kept_environment(), _kept_interrupt_handler():
                embedded.set_initoptions(START)
                rinterface.initr(interactive=False)
    return rinterface


@contextmanager
def _quiet_rpy2() -> Iterator[None]:
    """rpy2 logs how it was built on its root logger, as if that were a problem."""
    logger = logging.getLogger("rpy2")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _kept_environment() -> Iterator[None]:
    """rpy2 copies R's environment into ours: what is not R's own (PAGER, LD_LIBRARY_PATH ...) is put back."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            if not name.startswith(("R_", "PYTHON_SESSION")):
                del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if not name.startswith("R_")})


@contextmanager
def _kept_interrupt_handler() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _console() -> Iterator[list[str]]:
    """What R writes is collected, and whatever it might ask is answered with an empty line."""
    from rpy2.rinterface_lib import callbacks

    said: list[str] = []

    def hear(text: str) -> None:
        if text.strip():
            said.append(text.strip())

    replaced = {
        "consolewrite_print": hear, "consolewrite_warnerror": hear, "showmessage": hear,
        "consoleread": lambda prompt: "\n", "consoleflush": lambda: None,
    }  # fmt: skip
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(callbacks.replace_in_module(callbacks, name, function))
        yield said


# ---- plain parts <-> R objects -----------------------------------------------------------------------------


def _text(value: str) -> Any:
    from rpy2.rinterface import StrSexpVector

    return StrSexpVector([value])


def _to_r(part: Any) -> Any:
    from rpy2 import rinterface as ri

    if part is None:
        return ri.NULL
    if isinstance(part, bool):
        return ri.BoolSexpVector([part])
    if isinstance(part, int):
        return ri.FloatSexpVector([float(part)])
    if isinstance(part, str):
        return ri.StrSexpVector([part])
    if isinstance(part, bytes):
        # R cannot make an empty vector from a view of nothing.
        return ri.ByteSexpVector.from_memoryview(memoryview(part)) if part else ri.ByteSexpVector([])
    if isinstance(part, Mapping):
        result = ri.ListSexpVector([_to_r(item) for item in part.values()])
        result.names = ri.StrSexpVector(list(part))
        return result
    if part and all(isinstance(item, str) for item in part):
        return ri.StrSexpVector(part)
    return ri.ListSexpVector([_to_r(item) for item in part])


def _from_r(part: Any) -> Any:
    from rpy2 import rinterface as ri

    if part is ri.NULL or isinstance(part, type(ri.NULL)):
        return None
    if isinstance(part, ri.ByteSexpVector):
        return np.asarray(part).tobytes() if len(part) else b""
    if isinstance(part, ri.ListSexpVector):
        items = [_from_r(item) for item in part]
        names = part.names
        return items if isinstance(names, type(ri.NULL)) else dict(zip(names, items, strict=True))
    values = list(part)
    return values[0] if len(values) == 1 else values


def to_r(frame: Any) -> Any:
    """A table as an R data frame, for R code of one's own (`rpy2.rinterface` object).

    Parameters
    ----------
    frame : DataFrame
        Or anything else that `r_bridge.wire.pack` takes.

    Returns
    -------
    rpy2.rinterface.Sexp
        Names are kept whatever they are; types and index are noted in attributes for `from_r`.
    """
    require_r()
    packed: Packed = pack(frame)
    with _LOCK, _console():
        return _server_function("unpack")(_to_r(packed))


def from_r(value: Any) -> Any:
    """An R object (`rpy2.rinterface` or `rpy2.robjects`) as pandas and numpy know it; see `r_bridge.wire.unpack`.

    Raises
    ------
    DataError
        For what pandas has nothing like, such as a list within a data frame.
    """
    require_r()
    from rpy2.rinterface_lib.embedded import RRuntimeError

    with _LOCK, _console():
        try:
            packed = _server_function("pack")(value)
        except RRuntimeError as error:
            raise DataError(_line(error).removeprefix("Error: ")) from error
        return unpack(_from_r(packed))


def _server_function(name: str) -> Any:
    return _server().closureenv[name]
