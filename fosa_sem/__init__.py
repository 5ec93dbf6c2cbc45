"""fosa_sem: structural equation models with missing data.

FIML estimation, model-implied imputation, self-attention refinement and reports, checked against R's lavaan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fosa_sem import datasets, errors
from fosa_sem.api import bootstrap, cfa, growth, impute, lavaan, lrt, sem, wald
from fosa_sem.data.reading import read_table
from fosa_sem.imputation.completion import Completion, GaussianRule
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.imputation.pooled_sem import PooledSem
from fosa_sem.inference.moments import Moments
from fosa_sem.results import SemResults
from fosa_sem.syntax.read import parameter_table, parse
from fosa_sem.syntax.table import ParameterTable

if TYPE_CHECKING:
    from fosa_sem.data.missingness import (
        PairCounts,
        compare_missing,
        coverage,
        influx_outflux,
        md_pairs,
        md_pattern,
        uncovered_pairs,
    )
    from fosa_sem.evaluate.ablate import ablation
    from fosa_sem.evaluate.ampute import Amputation, amputation, ampute
    from fosa_sem.evaluate.delta import delta_adjust
    from fosa_sem.evaluate.experiment import compare
    from fosa_sem.evaluate.masking import mask_cells
    from fosa_sem.evaluate.metrics import imputation_metrics
    from fosa_sem.evaluate.sensitivity import Sensitivity, sensitivity
    from fosa_sem.imputation.model_comparison import pool_lrt
    from fosa_sem.imputation.pooling import Pooled, pool
    from fosa_sem.imputation.pooling_path import pooling_path
    from fosa_sem.imputer import FosaImputer
    from fosa_sem.inference.mcar import McarTest, mcar_test
    from fosa_sem.refine.config import RefinerConfig
    from fosa_sem.refine.refiner import AttentionRefiner
    from fosa_sem.report.ablation_plots import plot_ablation
    from fosa_sem.report.imputation_plots import plot_densities, plot_pooling, plot_strips
    from fosa_sem.report.missing_plots import plot_coverage, plot_patterns
    from fosa_sem.report.sensitivity_plots import plot_sensitivity

_LAZY = {
    "Amputation": "fosa_sem.evaluate.ampute",
    "AttentionRefiner": "fosa_sem.refine.refiner",
    "FosaImputer": "fosa_sem.imputer",
    "McarTest": "fosa_sem.inference.mcar",
    "PairCounts": "fosa_sem.data.missingness",
    "Pooled": "fosa_sem.imputation.pooling",
    "RefinerConfig": "fosa_sem.refine.config",
    "Sensitivity": "fosa_sem.evaluate.sensitivity",
    "ablation": "fosa_sem.evaluate.ablate",
    "amputation": "fosa_sem.evaluate.ampute",
    "ampute": "fosa_sem.evaluate.ampute",
    "compare": "fosa_sem.evaluate.experiment",
    "compare_missing": "fosa_sem.data.missingness",
    "coverage": "fosa_sem.data.missingness",
    "delta_adjust": "fosa_sem.evaluate.delta",
    "imputation_metrics": "fosa_sem.evaluate.metrics",
    "influx_outflux": "fosa_sem.data.missingness",
    "mask_cells": "fosa_sem.evaluate.masking",
    "mcar_test": "fosa_sem.inference.mcar",
    "md_pairs": "fosa_sem.data.missingness",
    "md_pattern": "fosa_sem.data.missingness",
    "plot_ablation": "fosa_sem.report.ablation_plots",
    "plot_coverage": "fosa_sem.report.missing_plots",
    "plot_densities": "fosa_sem.report.imputation_plots",
    "plot_patterns": "fosa_sem.report.missing_plots",
    "plot_pooling": "fosa_sem.report.imputation_plots",
    "plot_sensitivity": "fosa_sem.report.sensitivity_plots",
    "plot_strips": "fosa_sem.report.imputation_plots",
    "pool": "fosa_sem.imputation.pooling",
    "pool_lrt": "fosa_sem.imputation.model_comparison",
    "pooling_path": "fosa_sem.imputation.pooling_path",
    "sensitivity": "fosa_sem.evaluate.sensitivity",
    "uncovered_pairs": "fosa_sem.data.missingness",
}
"""Public names whose modules are large (torch, scikit-learn, scipy.stats) or not needed by a fit: loaded when first
asked for."""

__all__ = [
    "Amputation", "AttentionRefiner", "Completion", "FosaImputer", "GaussianRule", "McarTest", "Moments",
    "MultipleImputation", "PairCounts", "ParameterTable", "Pooled", "PooledSem", "RefinerConfig", "SemResults",
    "Sensitivity", "ablation", "amputation", "ampute", "bootstrap", "cfa", "compare", "compare_missing", "coverage",
    "datasets", "delta_adjust", "errors", "growth", "imputation_metrics", "impute", "influx_outflux", "lavaan", "lrt",
    "mask_cells", "mcar_test", "md_pairs", "md_pattern", "parameter_table", "parse", "plot_ablation", "plot_coverage",
    "plot_densities", "plot_patterns", "plot_pooling", "plot_sensitivity", "plot_strips", "pool", "pool_lrt",
    "pooling_path", "read_table", "sem", "sensitivity", "uncovered_pairs", "wald",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fosa_sem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
