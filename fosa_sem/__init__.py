"""fosa_sem: structural equation models with missing data.

FIML estimation, model-implied imputation, self-attention refinement and reports, checked against R's lavaan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fosa_sem import datasets, errors
from fosa_sem.api import bootstrap, cfa, growth, lavaan, lrt, sem, wald
from fosa_sem.data.reading import read_table
from fosa_sem.imputation.completion import Completion, GaussianRule
from fosa_sem.inference.moments import Moments
from fosa_sem.results import SemResults
from fosa_sem.syntax.read import parameter_table, parse
from fosa_sem.syntax.table import ParameterTable

if TYPE_CHECKING:
    from fosa_sem.evaluate.experiment import compare
    from fosa_sem.evaluate.masking import mask_cells
    from fosa_sem.evaluate.metrics import imputation_metrics
    from fosa_sem.imputer import FosaImputer
    from fosa_sem.refine.config import RefinerConfig
    from fosa_sem.refine.refiner import AttentionRefiner

_LAZY = {
    "AttentionRefiner": "fosa_sem.refine.refiner",
    "FosaImputer": "fosa_sem.imputer",
    "RefinerConfig": "fosa_sem.refine.config",
    "compare": "fosa_sem.evaluate.experiment",
    "imputation_metrics": "fosa_sem.evaluate.metrics",
    "mask_cells": "fosa_sem.evaluate.masking",
}
"""Public names whose modules need torch, scikit-learn or scipy.stats: loaded when first asked for."""

__all__ = [
    "AttentionRefiner", "Completion", "FosaImputer", "GaussianRule", "Moments", "ParameterTable", "RefinerConfig",
    "SemResults", "bootstrap", "cfa", "compare", "datasets", "errors", "growth", "imputation_metrics", "lavaan", "lrt",
    "mask_cells", "parameter_table", "parse", "read_table", "sem", "wald",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fosa_sem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
