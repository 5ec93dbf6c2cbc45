"""Estimates and fit under the column names of R's broom, dots as underscores."""

from __future__ import annotations

import pandas as pd

from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.fit_measures import fit_measures
from fosa_sem.inference.parameters import parameter_estimates

_TIDY = {
    "est": "estimate", "se": "std_error", "z": "statistic", "pvalue": "p_value",
    "ci_lower": "conf_low", "ci_upper": "conf_high",
}  # fmt: skip
_GLANCE = {
    "agfi": "agfi", "AIC": "aic", "BIC": "bic", "cfi": "cfi", "chisq": "chisq", "npar": "npar", "rmsea": "rmsea",
    "rmsea_conf_high": "rmsea.ci.upper", "srmr": "srmr", "tli": "tli",
}  # fmt: skip
_ROBUST = ("chisq.scaled", "cfi.robust", "tli.robust", "rmsea.robust")


def tidy(fit: FimlFit, *, conf_int: bool = False, conf_level: float = 0.95) -> pd.DataFrame:
    """One row per parameter (broom: ``tidy()``).

    Parameters
    ----------
    fit : FimlFit
    conf_int : bool, default False
        Add conf_low and conf_high.
    conf_level : float, default 0.95

    Returns
    -------
    DataFrame
        term op label group estimate std_error statistic p_value (conf_low conf_high) std_lv std_all std_nox.
    """
    frame = parameter_estimates(fit, level=conf_level, standardized=True)
    frame.insert(0, "term", (frame["lhs"] + " " + frame["op"] + " " + frame["rhs"]).str.rstrip())
    limits = [] if conf_int else ["ci_lower", "ci_upper"]
    return frame.drop(columns=["lhs", "rhs", *limits]).rename(columns=_TIDY)


def glance(fit: FimlFit) -> pd.DataFrame:
    """One row for the fit (broom: ``glance()``), with the robust measures beside the plain ones.

    Returns
    -------
    DataFrame
        agfi AIC BIC cfi chisq npar rmsea rmsea_conf_high srmr tli converged estimator ngroups missing_method nobs
        norig nexcluded, and chisq_scaled cfi_robust tli_robust rmsea_robust (NaN where the fit has none).
    """
    measures = fit_measures(fit).reindex([*_GLANCE.values(), *_ROBUST])
    row: dict[str, object] = {name: measures[measure] for name, measure in _GLANCE.items()}
    sample = fit.sample
    row |= {
        "npar": fit.npar, "converged": fit.audit.maximum, "estimator": fit.options.estimator,
        "ngroups": len(sample.groups), "missing_method": fit.resolved.missing, "nobs": sample.n_used,
        "norig": sample.n_given, "nexcluded": sample.n_given - sample.n_used,
    }  # fmt: skip
    row |= {name.replace(".", "_"): measures[name] for name in _ROBUST}
    return pd.DataFrame([row])
