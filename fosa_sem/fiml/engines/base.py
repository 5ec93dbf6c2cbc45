"""What every engine does, and how one is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import EngineError, OptionError
from fosa_sem.fiml.problem import FitProblem

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """What an engine returns.

    Attributes
    ----------
    theta : ndarray, shape (k,)
        In the order of the table's free rows.
    iterations : int or None
    note : str
        For display; no formula reads it.
    """

    theta: FloatArray
    iterations: int | None = None
    note: str = ""


@runtime_checkable
class Engine(Protocol):
    """Finds theta that maximises the likelihood of a problem; raises `EngineError` if it cannot."""

    name: str

    def estimate(self, problem: FitProblem) -> Estimates:
        """Return the best theta that the engine can find."""
        ...


BUILT_IN = {
    "native": "fosa_sem.fiml.engines.native:NativeEngine",
    "semopy": "fosa_sem.fiml.engines.semopy:SemopyEngine",
}
"""Engines of this package; others announce themselves in the entry point group ``fosa_sem.engines``."""


def find_engine(engine: str | Engine) -> Engine:
    """An engine by name, or the engine given.

    Raises
    ------
    OptionError
        For an unknown name or an object that is no engine.
    EngineError
        If the engine's package cannot be imported.
    """
    if not isinstance(engine, str):
        if isinstance(engine, Engine):
            return engine
        raise OptionError(f"engine must be a name or have .name and .estimate(problem); got {engine!r}")
    group = "fosa_sem.engines"
    if engine in BUILT_IN:
        entry = EntryPoint(engine, BUILT_IN[engine], group)
    else:
        others = {other.name: other for other in entry_points(group=group)}
        if engine not in others:
            raise OptionError(f"unknown engine {engine!r}; there are {', '.join(sorted({*BUILT_IN, *others}))}")
        entry = others[engine]
    try:
        loaded: Engine = entry.load()()
    except ImportError as error:
        raise EngineError(f"engine {engine!r} needs a package that cannot be imported: {error}") from error
    return loaded
