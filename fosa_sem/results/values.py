"""Values of a fit under statsmodels' and broom's names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fosa_sem.inference.audit import Audit
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.fit_measures import likelihood_measures
from fosa_sem.inference.parameters import is_free, parameter_estimates
from fosa_sem.inference.tidy import glance, tidy

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class FitValues:
    """What a fit is in numbers and named vectors.

    Attributes
    ----------
    fit : FimlFit
        The numbers.
    data : DataFrame
        The user's table, by reference; never changed.
    """

    fit: FimlFit
    data: pd.DataFrame

    @cached_property
    def _free_names(self) -> list[str]:
        return self.fit.table.free_names()

    def coef(self) -> pd.Series:
        """Free parameters by name (lavaan: ``coef()``)."""
        return pd.Series(self.fit.theta, index=self._free_names, name="est")

    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the free parameters (lavaan: ``vcov()``); NaN if it is not available."""
        k = len(self.fit.theta)
        values = np.full((k, k), np.nan) if self.fit.vcov is None else self.fit.vcov
        return pd.DataFrame(values, index=self._free_names, columns=self._free_names)

    @property
    def params(self) -> pd.Series:
        """As `coef`."""
        return self.coef()

    def cov_params(self) -> pd.DataFrame:
        """As `vcov`."""
        return self.vcov()

    def _free(self, column: str) -> pd.Series:
        frame = parameter_estimates(self.fit)
        return pd.Series(frame.loc[is_free(self.fit), column].to_numpy(), index=self._free_names, name=column)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the free parameters."""
        return self._free("se")

    @property
    def zvalues(self) -> pd.Series:
        """Estimates over standard errors, of the free parameters."""
        return self._free("z")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the free parameters."""
        return self._free("pvalue")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Confidence limits of the free parameters, columns lower and upper, at level 1 - alpha."""
        frame = parameter_estimates(self.fit, level=1.0 - alpha)
        limits = frame.loc[is_free(self.fit), ["ci_lower", "ci_upper"]].set_axis(["lower", "upper"], axis=1)
        return limits.set_axis(self._free_names, axis=0)

    @property
    def loglik(self) -> float:
        """Log-likelihood, conditional on exogenous variables if ``fixed_x`` (lavaan: ``logLik()``)."""
        return self.fit.loglik

    @property
    def llf(self) -> float:
        """As `loglik`."""
        return self.loglik

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return likelihood_measures(self.fit)["aic"]

    @property
    def bic(self) -> float:
        """Schwarz's information criterion."""
        return likelihood_measures(self.fit)["bic"]

    @property
    def df(self) -> int:
        """Degrees of freedom of the test against the saturated model."""
        return self.fit.df

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.fit.sample.n_used

    @property
    def nobs_by_group(self) -> tuple[int, ...]:
        """Rows used, per group."""
        return tuple(g.patterns.n_rows for g in self.fit.sample.groups)

    @property
    def npatterns_by_group(self) -> tuple[int, ...]:
        """Missing-data patterns, per group."""
        return tuple(len(g.patterns.n) for g in self.fit.sample.groups)

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Latent variables."""
        return self.fit.table.names.latent

    @property
    def npar(self) -> int:
        """Free parameters minus the rank of the equality constraints."""
        return self.fit.npar

    @property
    def converged(self) -> bool:
        """Whether the audit certifies the estimate as a maximum of the likelihood."""
        return self.fit.audit.maximum

    @property
    def audit(self) -> Audit:
        """What was found at the estimate."""
        return self.fit.audit

    def tidy(self, conf_int: bool = False, conf_level: float = 0.95) -> pd.DataFrame:
        """One row per parameter, under broom's names.

        term, op, label, group, estimate, std_error, statistic, p_value, std_lv, std_all, std_nox.

        Parameters
        ----------
        conf_int : bool, default False
            Add conf_low and conf_high.
        conf_level : float, default 0.95
        """
        return tidy(self.fit, conf_int=conf_int, conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """The fit in one row: the columns of broom's ``glance()``, then the scaled and robust measures.

        agfi, AIC, BIC, cfi, chisq, npar, rmsea, rmsea_conf_high, srmr, tli, converged, estimator, ngroups,
        missing_method, nobs, norig, nexcluded; chisq_scaled, cfi_robust, tli_robust, rmsea_robust.
        """
        return glance(self.fit)
