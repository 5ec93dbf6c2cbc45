"""lavaan's switches for automatic parameters and for equality across groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fosa_sem.errors import OptionError

FunctionName = Literal["sem", "cfa", "growth", "lavaan"]

GROUP_EQUAL = (
    "loadings", "composite.loadings", "intercepts", "means", "residuals", "residual.covariances", "lv.variances",
    "lv.covariances", "regressions",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """Which parameters are added and fixed automatically (lavaan's ``model.type = "sem"`` by default).

    Attributes
    ----------
    fixed_x : bool
        Exogenous observed variables keep their sample moments.
    std_lv : bool
        Latent variances are 1 and first loadings free, whatever `auto_fix_first` says.
    orthogonal : bool
        Latent variables do not covary unless the user says so.
    int_ov_free, int_lv_free : bool
        Observed intercepts / latent means are free.
    auto_fix_first, auto_fix_single, auto_var, auto_cov_lv_x, auto_cov_y : bool
        lavaan's ``auto.*`` switches.
    group_equal : tuple of str
        Kinds of parameters that are equal across groups, out of `GROUP_EQUAL`.
    group_partial : tuple of str
        Parameters exempt from that, such as ``"f=~x2"`` or ``"x3~1"``.
    """

    fixed_x: bool = True
    std_lv: bool = False
    orthogonal: bool = False
    int_ov_free: bool = True
    int_lv_free: bool = False
    auto_fix_first: bool = True
    auto_fix_single: bool = True
    auto_var: bool = True
    auto_cov_lv_x: bool = True
    auto_cov_y: bool = True
    group_equal: tuple[str, ...] = ()
    group_partial: tuple[str, ...] = ()

    @classmethod
    def for_function(cls, func: FunctionName, **given: Any) -> TableOptions:
        """Options of ``sem``, ``cfa``, ``growth`` or ``lavaan``; ``None`` keeps that function's default.

        Raises
        ------
        OptionError
            For an unknown function or option, or a value of the wrong type or out of range.
        """
        if func not in ("sem", "cfa", "growth", "lavaan"):
            raise OptionError(f"func must be 'sem', 'cfa', 'growth' or 'lavaan', got {func!r}")
        unknown = sorted(set(given) - set(cls.__dataclass_fields__))
        if unknown:
            raise OptionError(f"unknown option {unknown[0]!r}: known are {', '.join(cls.__dataclass_fields__)}")
        chosen = {name: value for name, value in given.items() if value is not None}
        for name, value in chosen.items():
            if name in ("group_equal", "group_partial"):
                chosen[name] = _texts(name, value)
            elif not isinstance(value, bool):
                raise OptionError(f"{name} must be True, False or None, got {value!r}")
        base: dict[str, Any] = {}
        if func == "growth":
            base = {"int_ov_free": False, "int_lv_free": True}
        elif func == "lavaan":
            base = dict.fromkeys((n for n in cls.__dataclass_fields__ if n.startswith(("auto", "int"))), False)
        if chosen.get("std_lv"):
            chosen["auto_fix_first"] = False  # as lavaan() does, whatever the user says
        return cls(**{**base, **chosen})


def _texts(name: str, value: object) -> tuple[str, ...]:
    """One string is as good as a tuple of one."""
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else (None,)
    if not all(isinstance(text, str) for text in texts):
        raise OptionError(f"{name} must be a string or several, got {value!r}")
    odd = [text for text in texts if name == "group_equal" and text not in GROUP_EQUAL]
    if odd:
        raise OptionError(f"group_equal has no kind {odd[0]!r}; there are {', '.join(GROUP_EQUAL)}")
    return tuple("".join(str(text).split()) for text in texts)
