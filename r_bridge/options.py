"""Options under the names that the installed lavaan has for them, and ours in its terms: the one table of them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from fosa_sem.errors import OptionError
from fosa_sem.inference.options import FitOptions
from fosa_sem.syntax.options import TableOptions
from r_bridge.model_text import plain_model
from r_bridge.session import call

FUNCTIONS = ("sem", "cfa", "growth", "lavaan")

OURS = {
    "missing": "missing", "estimator": "estimator", "group": "group", "likelihood": "likelihood",
    "information": "information", "observed_information": "observed_information", "h1_information": "h1_information",
    "se": "se", "test": "test", "auxiliary": "aux", "fixed_x": "fixed_x", "std_lv": "std_lv",
    "orthogonal": "orthogonal", "effect_coding": "effect_coding", "int_ov_free": "int_ov_free",
    "int_lv_free": "int_lv_free", "auto_fix_first": "auto_fix_first", "auto_fix_single": "auto_fix_single",
    "auto_var": "auto_var", "auto_cov_lv_x": "auto_cov_lv_x", "auto_cov_y": "auto_cov_y",
    "group_equal": "group_equal", "group_partial": "group_partial", "group_label": "group_label",
    "meanstructure": "meanstructure",
}  # fmt: skip
"""Our options and lavaan's names for them (with underscores; `lavaan_names` finds the installed lavaan's)."""
NOT_OF_THE_MODEL = ("func", "engine", "table", "seed", "bootstrap", "start", "start_strict", "ridge")
"""Fields that say how the estimates are found, not what they are; a ridge and draws are refused below."""
SWITCHES = (
    "int_ov_free",
    "int_lv_free",
    "auto_fix_first",
    "auto_fix_single",
    "auto_var",
    "auto_cov_lv_x",
    "auto_cov_y",
)
"""lavaan's sem(), cfa() and growth() overwrite these silently; lavaan() itself does what they say."""


def lavaan_names(options: Mapping[str, Any], known: Iterable[str] | None = None) -> dict[str, Any]:
    """Options under the names of the installed lavaan: 0.6 has dots where 0.7 has underscores.

    Parameters
    ----------
    options : mapping
        With underscores or dots. None leaves lavaan's default.
    known : iterable of str, optional
        lavaan's names (of its function and of ``lavOptions()``); R is asked for them by default.

    Raises
    ------
    OptionError
        For a name that lavaan does not have, with the closest one.
    """
    theirs = _folded_names(_installed() if known is None else known)
    named: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if _folded(name) not in theirs:
            close = difflib.get_close_matches(_folded(name), theirs, n=1)
            hint = f"; did you mean {theirs[close[0]]!r}?" if close else ""
            raise OptionError(f"lavaan has no option {name!r}{hint}")
        named[theirs[_folded(name)]] = _checked(name, value)
    return named


def _checked(name: str, value: Any) -> Any:
    """The options whose values lavaan reads as more than values."""
    if name == "constraints" and value:
        return plain_model("\n".join([value] if isinstance(value, str) else value))
    if name == "control" and isinstance(value, Mapping):
        return {key.replace("_", "."): item for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _folded(name: str) -> str:
    return name.replace(".", "_").lower()


def _folded_names(names: Iterable[str]) -> dict[str, str]:
    return {_folded(str(name)): str(name) for name in names}


@cache
def _installed() -> tuple[str, ...]:
    return tuple(str(name) for name in call("known_options").value)


def lavaan_call(options: FitOptions) -> tuple[str, dict[str, Any]]:
    """The function of lavaan and its arguments that mean what our options mean.

    Parameters
    ----------
    options : FitOptions

    Returns
    -------
    func : str
    arguments : dict
        With underscores.

    Raises
    ------
    OptionError
        For an option that lavaan has nothing like, by name.
    """
    if options.ridge:
        raise _no_counterpart("a ridge added to the variances")
    if options.se == "bootstrap":
        raise _no_counterpart("se='bootstrap', which rests on random draws,")
    fields = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name not in NOT_OF_THE_MODEL}
    fields |= {name: value for name, value in options.table.items() if value is not None}
    unknown = [name for name in fields if name not in OURS]
    if unknown:
        raise OptionError(f"the option {unknown[0]!r} is not known to the check against lavaan")
    func: str = options.func
    if any(name in fields for name in SWITCHES):
        func = "lavaan"
        resolved = dataclasses.asdict(TableOptions.for_function(options.func, **options.table))
        fields |= {name: resolved[name] for name in SWITCHES}
    arguments = {OURS[name]: value for name, value in fields.items() if value not in (None, (), "")}
    return func, arguments


def _no_counterpart(what: str) -> OptionError:
    return OptionError(f"{what} has no counterpart in lavaan, so this fit cannot be checked against it")
