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
EFFECT_CODING = ("loadings", "intercepts")
_KINDS = {"group_equal": GROUP_EQUAL, "group_partial": None, "effect_coding": EFFECT_CODING}
"""Options that are sets of words, with the words allowed (None: any)."""


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
    meanstructure : bool
        The model has intercepts; without, the means are the sample's.
    effect_coding : tuple of str
        Out of `EFFECT_CODING`.
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
    meanstructure: bool = True
    effect_coding: tuple[str, ...] = ()

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
            if name in _KINDS:
                chosen[name] = _texts(name, value)
            elif not isinstance(value, bool):
                raise OptionError(f"{name} must be True, False or None, got {value!r}")
        base: dict[str, Any] = {}
        if func == "growth":
            base = {"int_ov_free": False, "int_lv_free": True}
        elif func == "lavaan":
            base = dict.fromkeys((n for n in cls.__dataclass_fields__ if n.startswith(("auto", "int"))), False)
        if chosen.get("std_lv") and "loadings" in chosen.get("effect_coding", ()):
            raise OptionError("std_lv=True and effect_coding='loadings' both fix the scale of the factors: choose one")
        if chosen.get("std_lv") or "loadings" in chosen.get("effect_coding", ()):
            chosen["auto_fix_first"] = False  # as lavaan() does, whatever the user says
        return cls(**{**base, **chosen})


def _texts(name: str, value: object) -> tuple[str, ...]:
    """One string is as good as a tuple of one; True stands for all kinds, False for none."""
    if isinstance(value, bool) and name == "effect_coding":
        return EFFECT_CODING if value else ()
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else (None,)
    if not all(isinstance(text, str) for text in texts):
        raise OptionError(f"{name} must be a string or several, got {value!r}")
    known = _KINDS[name]
    odd = [text for text in texts if known is not None and text not in known]
    if known is not None and odd:
        raise OptionError(f"{name} has no kind {odd[0]!r}; there are {', '.join(known)}")
    return tuple("".join(str(text).split()) for text in texts)
