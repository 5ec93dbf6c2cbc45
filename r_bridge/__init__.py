"""The bridge to R: lavaan's own numbers for the same model and data, and whether R is ready.

Importing this package needs neither R nor rpy2; `r_info` says what is missing and how to get it.
"""

from __future__ import annotations

from r_bridge.reference import LavaanReference, run_lavaan
from r_bridge.runtime import Problem, RInfo, r_info

__all__ = ["LavaanReference", "Problem", "RInfo", "r_info", "run_lavaan"]
