"""The options of a fit, checked once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any, TypedDict

from fosa_sem.errors import OptionError
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.syntax.options import FunctionName, TableOptions

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


class FitKeywords(TypedDict, total=False):
    """Keyword arguments of `sem`, `cfa`, `growth` and `lavaan`.

    Attributes
    ----------
    missing : {"fiml", "ml", "direct"}, default "fiml"
        Full-information maximum likelihood. The one deliberate difference from lavaan's defaults (listwise).
    estimator : {"ML"}, default "ML"
    engine : str or Engine, default "native"
        "native", "semopy", or an object with ``name`` and ``estimate(problem)``. It finds the estimates;
        everything else is computed from them here.
    meanstructure : bool, optional
        Only True is possible with FIML; None means True.
    fixed_x : bool, optional
        Exogenous observed variables keep their sample moments, and rows in which one is missing are dropped
        (lavaan's default, True). False models them jointly and keeps every row.
    std_lv : bool, default False
        Fix latent variances to 1 instead of first loadings.
    orthogonal : bool, default False
        Fix the covariances of exogenous latent variables to 0.
    int_ov_free, int_lv_free, auto_fix_first, auto_fix_single, auto_var, auto_cov_lv_x, auto_cov_y : bool, optional
        lavaan's switches; None keeps the default of the function called.
    group : str, optional
        Column that holds the groups; all parameters differ between groups unless they share a label.
    group_equal : str or tuple of str
        Kinds of parameters that are equal across groups: loadings, intercepts, means, residuals,
        residual.covariances, lv.variances, lv.covariances, regressions, composite.loadings.
    group_partial : str or tuple of str
        Parameters exempt from that, such as ``"f=~x2"``.
    """

    missing: str
    estimator: str
    engine: str | Engine
    meanstructure: bool | None
    fixed_x: bool | None
    std_lv: bool | None
    orthogonal: bool | None
    int_ov_free: bool | None
    int_lv_free: bool | None
    auto_fix_first: bool | None
    auto_fix_single: bool | None
    auto_var: bool | None
    auto_cov_lv_x: bool | None
    auto_cov_y: bool | None
    group: str | None
    group_equal: str | tuple[str, ...]
    group_partial: str | tuple[str, ...]


_OF_THE_FIT = ("missing", "estimator", "engine", "group")


def fit_options(func: FunctionName, options: FitKeywords) -> FitOptions:
    """Check keyword arguments of one of lavaan's functions.

    Raises
    ------
    OptionError
        For an unknown option (with the closest known one), or a value out of range.
    """
    given = dict(options)
    for name in given:
        if name not in FitKeywords.__annotations__:
            close = difflib.get_close_matches(name, FitKeywords.__annotations__, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f": known are {', '.join(FitKeywords.__annotations__)}"
            raise OptionError(f"{func}() has no option {name!r}{hint}")
    if given.pop("meanstructure", None) not in (None, True):
        raise OptionError("meanstructure must be True or None: FIML fits the means too")
    of_the_fit = {name: given.pop(name) for name in _OF_THE_FIT if name in given}
    return FitOptions(func=func, table=given, **of_the_fit)  # type: ignore[arg-type]
