"""A structural equation model fitted to m completed tables, pooled: estimates, standardised solution, fit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fosa_sem.data.checks import check_names, column_parts
from fosa_sem.errors import (
    AdmissibilityWarning,
    CongenialityWarning,
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    OptionError,
)
from fosa_sem.imputation.congeniality import lacking
from fosa_sem.imputation.imputed_fit import Tables, fit_each
from fosa_sem.imputation.pooled_fits import PooledFits
from fosa_sem.imputation.pooled_measures import pooled_fit_measures
from fosa_sem.imputation.pooled_tests import TestMethod
from fosa_sem.imputation.pooling import ScalarPooling, check_m, with_missing_information, with_pooled_inference
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.options import FitOptions
from fosa_sem.inference.parameters import is_free, parameter_estimates
from fosa_sem.inference.standardized import StandardizedType, r_squared, standardized_solution
from fosa_sem.syntax.groups import relations_of_first_group
from fosa_sem.syntax.names import classify
from fosa_sem.syntax.parser import parse_model


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledSem:
    """A model fitted to each completed table, and what Rubin's rules make of the fits (semTools: ``lavaan.mi``).

    Attributes
    ----------
    m : int
        Imputations.
    used : tuple of int
        Numbers of those whose fit is pooled.
    failed : tuple of (int, str)
        Numbers of the others, with the reason.
    fits : PooledFits
        The fits to those in ``used``, and pooled numbers.
    """

    m: int
    used: tuple[int, ...]
    failed: tuple[tuple[int, str], ...]
    fits: PooledFits

    # ---- tables --------------------------------------------------------------------------------------------

    def coef(self) -> pd.Series:
        """Pooled free parameters by name."""
        return pd.Series(self.fits.theta, index=self.fits.template.table.free_names(), name="est")

    def vcov(self, *, scaled: bool = False) -> pd.DataFrame:
        """Total covariance matrix of the pooled parameters.

        Parameters
        ----------
        scaled : bool, default False
            Within-imputation covariances times 1 + `riv` (semTools: ``scale.W``) in place of the sum of those within
            and between.
        """
        names = self.fits.template.table.free_names()
        return pd.DataFrame(self.fits.total(scaled=scaled), index=names, columns=names)

    def parameter_estimates(
        self, level: float = 0.95, *, fmi: bool = True, standardized: bool = False, scaled: bool = False,
        dfcom: float = math.inf,
    ) -> pd.DataFrame:  # fmt: skip
        """Pooled estimates with inference (semTools: ``summary()`` of a ``lavaan.mi``).

        Parameters
        ----------
        level : float, default 0.95
        fmi : bool, default True
            Add riv, lambda and fmi.
        standardized : bool, default False
            Add std_lv, std_all and std_nox at the pooled estimates.
        scaled : bool, default False
            Standard errors by the average increase in variance, as semTools has them by default; otherwise those of
            Rubin's rules.
        dfcom : float, default infinite
            Degrees of freedom that complete data would have (Barnard & Rubin 1999); maximum likelihood has no finite
            ones.

        Returns
        -------
        DataFrame
            lhs op rhs label group est se t df pvalue ci_lower ci_upper riv lambda fmi. ``:=`` parameters are pooled
            like any other estimate: the mean of their values, with the variances of these.
        """
        pooled = replace(self.fits.pooled, vcov=self.fits.total(scaled=scaled))
        frame = parameter_estimates(pooled, level=level, standardized=standardized)
        pooling = self._variances(dfcom)
        se = frame["se"].to_numpy(dtype=float, copy=True)
        defined = len(self.fits.template.table.definitions)
        if defined:
            rows = slice(len(frame) - defined, None)
            frame.loc[frame.index[rows], "est"] = np.mean([fit.defined for fit in self.fits.each], axis=0)
            pooling.within[rows] = np.mean([fit.defined_se**2 for fit in self.fits.each], axis=0)
            pooling.between[rows] = np.var([fit.defined for fit in self.fits.each], axis=0, ddof=1)
            if not scaled:
                se[rows] = np.sqrt(pooling.total[rows])
        names = ["lhs", "op", "rhs", "label", "group", "est", "se", "t", "df", "pvalue", "ci_lower", "ci_upper"]
        frame = with_pooled_inference(frame.drop(columns="z"), "est", pooling, se, level)
        extra = [name for name in frame.columns if name not in names]
        if fmi:
            frame, extra = with_missing_information(frame, pooling), ["riv", "lambda", "fmi", *extra]
        return frame[[*names, *extra]]

    def standardized_solution(
        self, type: StandardizedType = "std.all", level: float = 0.95, *, dfcom: float = math.inf
    ) -> pd.DataFrame:
        """Standardised solution at the pooled estimates, with delta-method standard errors of Rubin's rules.

        Parameters
        ----------
        type : {"std.all", "std.lv", "std.nox"}, default "std.all"
        level : float, default 0.95
        dfcom : float, default infinite

        Returns
        -------
        DataFrame
            lhs op rhs group est_std se t df pvalue ci_lower ci_upper riv lambda fmi.
        """
        frame = standardized_solution(self.fits.pooled, type, level)
        squared = [
            standardized_solution(replace(self.fits.pooled, vcov=vcov), type)["se"].to_numpy(dtype=float) ** 2
            for vcov in (self.fits.within, self.fits.between)
        ]
        pooling = ScalarPooling(m=self.fits.m, within=squared[0], between=squared[1], dfcom=dfcom)
        frame = with_pooled_inference(frame.drop(columns="z"), "est_std", pooling, level=level)
        names = ["lhs", "op", "rhs", "group", "est_std", "se", "t", "df", "pvalue", "ci_lower", "ci_upper"]
        return with_missing_information(frame[names], pooling)[[*names, "riv", "lambda", "fmi"]]

    def r_squared(self) -> pd.DataFrame:
        """Explained variance at the pooled estimates: columns group, variable, r2."""
        return r_squared(self.fits.pooled)

    def fit_measures(self, names: str | Sequence[str] | None = None, *, method: TestMethod = "D4") -> pd.Series:
        """Fit measures of the pooled chi-square (semTools: ``fitMeasures()`` of a ``lavaan.mi``).

        Parameters
        ----------
        names : str or sequence of str, optional
            Only these.
        method : {"D4", "D3", "D2"}, default "D4"
            How chi-square is pooled, see `fosa_sem.pool_lrt`. semTools 0.5 takes D3, lavaan.mi D4.

        Raises
        ------
        OptionError
            For a name that does not exist, or where there is no chi-square.
        """
        measures = pooled_fit_measures(self.fits, method)
        if names is None:
            return measures
        chosen = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in chosen if name not in measures.index]
        if unknown:
            raise OptionError(f"no fit measure {unknown[0]!r}; there are {', '.join(measures.index)}")
        return measures[chosen]

    # ---- statsmodels' names --------------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series:
        """As `coef`."""
        return self.coef()

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the free parameters."""
        frame = self.parameter_estimates(fmi=False)
        return pd.Series(frame.loc[is_free(self.fits.template), "se"].to_numpy(), index=self.coef().index, name="se")

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.fits.template.sample.n_used

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return (
            f"<PooledSem: {self.fits.template.options.func}() on {self.fits.m} imputations{failed}, {self.nobs} rows, "
            f"{self.fits.template.npar} parameters; .summary() shows all>"
        )

    def summary(self, *, method: TestMethod = "D4", level: float = 0.95) -> str:
        """The pooled fit as text.

        Parameters
        ----------
        method : {"D4", "D3", "D2"}, default "D4"
            How chi-square is pooled.
        level : float, default 0.95
            Of the intervals.
        """
        lines = [
            f"{self.fits.template.options.func}() on {self.fits.m} of {self.m} imputed tables of {self.nobs} rows",
            "Estimates and standard errors pooled by Rubin's rules; t tests with the degrees of freedom of",
            "Barnard and Rubin; fmi is the fraction of missing information.",
        ]
        lines += [f"Imputation {i} left out: {reason}" for i, reason in self.failed]
        if self.fits.template.has_test:
            measures = self.fit_measures(method=method)
            shown = ["chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "srmr"]
            lines += ["", f"Fit (chi-square pooled by {method})"]
            lines += [f"  {name:<16}{measures[name]:10.3f}" for name in shown]
        frame = self.parameter_estimates(level)
        frame = frame.drop(columns=["label", "riv", "lambda"] + ([] if self._has_groups else ["group"]))
        return "\n".join([*lines, "", frame.to_string(index=False, float_format=lambda x: f"{x:.3f}", na_rep="")])

    def _variances(self, dfcom: float) -> ScalarPooling:
        """Within and between variances of the rows of the table of estimates."""
        within, between = (
            parameter_estimates(replace(self.fits.pooled, vcov=vcov))["se"].to_numpy(dtype=float) ** 2
            for vcov in (self.fits.within, self.fits.between)
        )
        return ScalarPooling(m=self.fits.m, within=within, between=between, dfcom=dfcom)

    @property
    def _has_groups(self) -> bool:
        return self.fits.template.table.ngroups > 1


def fit_imputations(
    tables: Tables, model: str, options: FitOptions, *, imputation_model: FimlFit | None = None,
    n_jobs: int = 1, max_failed: float = 0.2,
) -> PooledSem:  # fmt: skip
    """Fit a model to every completed table; see `fosa_sem.MultipleImputation.fit`."""
    check_m(tables.m)
    if not 0.0 <= max_failed < 1.0:
        raise OptionError(f"max_failed must be at least 0 and below 1, got {max_failed!r}")
    if options.se == "bootstrap":
        raise OptionError("se='bootstrap' is not for imputed data: the imputations have their own variance to add")
    outcomes = fit_each(tables, model, options, n_jobs, _check_complete(model, options))
    used = tuple(i for i, outcome in enumerate(outcomes, start=1) if outcome.fit is not None)
    failed = tuple((i, str(o.error)) for i, o in enumerate(outcomes, start=1) if o.fit is None)
    if not used and outcomes[0].error is not None:
        raise outcomes[0].error
    if len(failed) > max_failed * tables.m or len(used) < 2:
        raise ConvergenceError(
            f"the model fails in {len(failed)} of {tables.m} imputations, more than max_failed={max_failed:g} allows; "
            f"in imputation {failed[0][0]}: {failed[0][1]}"
        )
    fits = PooledFits(
        each=tuple(o.fit for o in outcomes if o.fit is not None),
        template=next(o.template for o in outcomes if o.template is not None),
    )
    _warn(fits, failed, tables.m, imputation_model)
    return PooledSem(m=tables.m, used=used, failed=failed, fits=fits)


def _check_complete(model: str, options: FitOptions) -> Callable[[pd.DataFrame], None]:
    """A check that the variables of the analysis have no holes any more."""
    names = classify(relations_of_first_group(parse_model(model))).observed

    def check(completed: pd.DataFrame) -> None:
        check_names(completed, names, {})
        for name in dict.fromkeys(part for n in (*names, *options.auxiliary) for part in column_parts(completed, n)):
            holes = int(completed[name].isna().sum())
            if holes:
                raise DataError(
                    f"{name!r} still has {holes} missing values: it was not imputed; impute with a model that has it "
                    "(as a variable, or in auxiliary)"
                )

    return check


def _warn(fits: PooledFits, failed: tuple[tuple[int, str], ...], m: int, imputation_model: FimlFit | None) -> None:
    improper = sum(fit.improper for fit in fits.each)
    if improper:
        warnings.warn(
            f"{improper} of {fits.m} fits are improper (a negative variance, or latent variables without a proper "
            "covariance matrix); they are pooled like the others",
            AdmissibilityWarning,
            stacklevel=4,
        )
    if failed:
        warnings.warn(
            f"the model failed in {len(failed)} of {m} imputations, which are left out; the first, "
            f"{failed[0][0]}: {failed[0][1]}",
            ConvergenceWarning,
            stacklevel=4,
        )
    missing = lacking(fits.template, imputation_model) if imputation_model is not None else ()
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        warnings.warn(
            f"the imputation model lacks what the analysis asks for: {shown}. Imputed values follow the imputation "
            "model, so that these estimates are drawn towards it; impute with a model that allows for them",
            CongenialityWarning,
            stacklevel=4,
        )
