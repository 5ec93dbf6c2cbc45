"""How good are filled cells: hide observed cells, fill them again without a look at them, and score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fosa_sem.evaluate.ablate import ablation
    from fosa_sem.evaluate.summary import overall_table

_LAZY = {"ablation": "fosa_sem.evaluate.ablate", "overall_table": "fosa_sem.evaluate.summary"}

__all__ = ["ablation", "overall_table"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
