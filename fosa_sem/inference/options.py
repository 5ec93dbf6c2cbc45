"""The options of a fit, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fosa_sem.errors import OptionError
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.syntax.table import FunctionName, TableOptions

MISSING = {"fiml": "fiml", "ml": "fiml", "direct": "fiml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How a model is fitted; the defaults are those of `fosa_sem.sem`.

    Attributes
    ----------
    func : {"sem", "cfa", "growth", "lavaan"}
    missing : {"fiml", "ml", "direct"}
        Three names of full-information maximum likelihood, as in lavaan.
    estimator : {"ML"}
    engine : str or Engine
    group : str, optional
        Column that holds the groups.
    table : dict
        Fields of `TableOptions`; None keeps the function's default.
    ridge : float
        Added to the variance of every column, as a share of it; 0 unless columns are exactly dependent and the
        caller accepts it (then chi-square and standard errors are withheld).
    """

    func: FunctionName = "sem"
    missing: str = "fiml"
    estimator: str = "ML"
    engine: str | Engine = "native"
    group: str | None = None
    table: dict[str, Any] = field(default_factory=dict)
    ridge: float = 0.0

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise OptionError(f"missing must be 'fiml' (or its synonyms 'ml', 'direct'), got {self.missing!r}")
        if self.estimator != "ML":
            raise OptionError(f"estimator must be 'ML', got {self.estimator!r}")
        if self.group is not None and not isinstance(self.group, str):
            raise OptionError(f"group must be the name of a column, got {self.group!r}")
        if not 0.0 <= self.ridge < 1.0:
            raise OptionError(f"ridge must be at least 0 and below 1, got {self.ridge!r}")

    def table_options(self) -> TableOptions:
        """Resolve what lavaan resolves per function."""
        return TableOptions.for_function(self.func, **self.table)

    @property
    def engine_name(self) -> str:
        """For display."""
        return self.engine if isinstance(self.engine, str) else self.engine.name
