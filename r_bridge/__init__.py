"""The bridge to R: lavaan as engine, lavaan's own numbers beside ours, and imputations as objects of mice.

Importing this package needs neither R nor rpy2; `r_info` says what is missing and how to get it.
"""

from __future__ import annotations

from r_bridge.comparison import CrossCheck, crosscheck
from r_bridge.engine import LavaanEngine
from r_bridge.lavaan import LavaanFit, fit_lavaan
from r_bridge.mids import from_mids, to_mids
from r_bridge.runtime import Problem, RInfo, r_info
from r_bridge.session import from_r, to_r

__all__ = [
    "CrossCheck", "LavaanEngine", "LavaanFit", "Problem", "RInfo", "crosscheck", "fit_lavaan", "from_mids", "from_r",
    "r_info", "to_mids", "to_r",
]  # fmt: skip
