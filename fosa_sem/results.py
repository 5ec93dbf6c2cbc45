"""What a user holds after a fit: names beside numbers, and accessors that arrange what other modules compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.data.diagnostics import coverage_table, pattern_table
from fosa_sem.data.writing import atomic_write_text
from fosa_sem.errors import MissingDependencyError, OptionError
from fosa_sem.fiml.information import InformationKind
from fosa_sem.imputation.completion import Completion
from fosa_sem.imputation.conditional import complete
from fosa_sem.imputation.draws import Adjustment, DrawKeywords, draw_options, model_draws
from fosa_sem.imputation.factor_scores import ScoreMethod, augment, expected_values, factor_scores
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.inference.audit import Audit
from fosa_sem.inference.bootstrap import IntervalType
from fosa_sem.inference.casewise import casewise_loglik, casewise_scores
from fosa_sem.inference.constraint_tests import ScoreTest, score_test
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.fit_measures import fit_measures, likelihood_measures
from fosa_sem.inference.modification import modification_indices
from fosa_sem.inference.moments import Moments, named_moments
from fosa_sem.inference.parameters import is_free, parameter_estimates
from fosa_sem.inference.reliability import reliability
from fosa_sem.inference.residuals import ResidualType, residuals
from fosa_sem.inference.standardized import StandardizedType, r_squared, standardized_solution
from fosa_sem.inference.tidy import glance, tidy
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.report.collect import collect_fit
from fosa_sem.report.document import Section
from fosa_sem.report.records import ImputationReport

if TYPE_CHECKING:
    from fosa_sem.evaluate.sensitivity import Sensitivity
    from fosa_sem.imputation.pooled_sem import PooledSem
    from fosa_sem.refine.refiner import FittedRefiner

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SemResults:
    """A fitted structural equation model.

    Standard errors, tests and fit measures come from the FIML fit, never from imputed data.

    Attributes
    ----------
    fit : FimlFit
        The numbers.
    data : DataFrame
        The user's table, by reference; never changed.
    """

    fit: FimlFit
    data: pd.DataFrame

    # ---- the fit at a glance -------------------------------------------------------------------------------

    def summary(
        self, fit_measures: bool = True, standardized: bool = True, rsquare: bool = True, fmi: bool = False,
        ci: bool = False,
    ) -> str:  # fmt: skip
        """The fit as text of 80 columns (lavaan: ``summary()``).

        Parameters
        ----------
        fit_measures, standardized, rsquare : bool, default True
            Sections and columns to show.
        fmi : bool, default False
            Show the fraction of missing information.
        ci : bool, default False
            Show confidence limits.
        """
        from fosa_sem.report.text import summary_text

        return summary_text(
            collect_fit(self.fit, fmi=fmi), fit_measures=fit_measures, standardized=standardized, rsquare=rsquare,
            fmi=fmi, ci=ci,
        )  # fmt: skip

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT CONVERGED"
        return (
            f"<SemResults: {self.fit.options.func}(), {self.nobs} rows, {self.npar} parameters, "
            f"loglik {self.loglik:.3f}, {state}; .summary() shows all>"
        )

    def _repr_html_(self) -> str | None:
        from fosa_sem.report.html import summary_html

        try:
            return summary_html(collect_fit(self.fit))
        except MissingDependencyError:  # a notebook then shows the text
            return None

    def report(
        self,
        path: str | PathLike[str],
        imputation: ImputationReport | None = None,
        statements: Mapping[str, str] | None = None,
        *,
        imputations: MultipleImputation | None = None,
        pooled: PooledSem | None = None,
        sensitivity: Sensitivity | Sequence[Sensitivity] = (),
        sections: Sequence[Section] = (),
    ) -> Path:
        """Write a report in the format of the suffix: .html, .md or .txt.

        Parameters
        ----------
        path : path-like
        imputation : ImputationReport, optional
            Sections on imputed values.
        statements : mapping of prompt to text, optional
            What only the analyst can say, under the prompts of `fosa_sem.report.records.PROMPTS` or others; a
            prompt without a text is printed as not stated.
        imputations : MultipleImputation, optional
            Section on multiple imputations.
        pooled : PooledSem, optional
            What ``imputations.fit(model)`` gave, for the same section.
        sensitivity : Sensitivity or sequence of Sensitivity, optional
            Section on values missing not at random.
        sections : sequence of Section
            Sections from elsewhere, such as ``r_bridge.crosscheck(results).section()``.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        OptionError
            For another suffix, or a place that cannot be written; no partial file is left. Also for a pooled fit
            without the imputations, or of another number of them.
        """
        from fosa_sem.report.collect_multiple import with_multiple
        from fosa_sem.report.write import render

        target = Path(path)
        fit_report = collect_fit(
            self.fit, statements=tuple((statements or {}).items()), diagnostics=True, further=tuple(sections)
        )
        full = with_multiple(imputation, imputations, pooled, sensitivity)
        text = render(target.suffix.lower(), fit_report, full)
        atomic_write_text(target, text)
        return target

    # ---- lavaan's tables -----------------------------------------------------------------------------------

    def parameter_estimates(
        self, ci: bool = True, level: float = 0.95, standardized: bool = False, fmi: bool = False,
        boot_ci_type: IntervalType = "perc",
    ) -> pd.DataFrame:  # fmt: skip
        """Estimates with inference (lavaan: ``parameterEstimates()``).

        Parameters
        ----------
        ci : bool, default True
            Include ci_lower and ci_upper.
        level : float, default 0.95
        standardized : bool, default False
            Add std_lv, std_all and std_nox.
        fmi : bool, default False
            Add the fraction of missing information, 1 - (complete-data / actual squared standard error); NaN for what
            is fixed, and with a warning for fits other than FIML with ordinary standard errors.
        boot_ci_type : {"perc", "norm", "basic", "bca.simple", "bca"}, default "perc"
            Kind of the intervals of a fit with ``se="bootstrap"`` (lavaan: ``boot.ci.type``).

        Returns
        -------
        DataFrame
            lhs op rhs label group est se z pvalue ci_lower ci_upper. Fixed parameters have se 0 and z NaN; ``:=``
            parameters have group 0.
        """
        frame = parameter_estimates(
            self.fit, level=level, standardized=standardized, fmi=fmi, boot_ci_type=boot_ci_type
        )
        return frame if ci else frame.drop(columns=["ci_lower", "ci_upper"])

    def standardized_solution(self, type: StandardizedType = "std.all", level: float = 0.95) -> pd.DataFrame:
        """Standardised estimates with delta-method standard errors (lavaan: ``standardizedSolution()``).

        Parameters
        ----------
        type : {"std.all", "std.lv", "std.nox"}, default "std.all"
        level : float, default 0.95

        Returns
        -------
        DataFrame
            lhs op rhs group est_std se z pvalue ci_lower ci_upper.
        """
        return standardized_solution(self.fit, type, level)

    def fit_measures(self, names: str | Sequence[str] | None = None) -> pd.Series:
        """Fit measures under lavaan's names (lavaan: ``fitMeasures()``).

        Parameters
        ----------
        names : str or sequence of str, optional
            Only these.

        Raises
        ------
        OptionError
            For a name that does not exist.
        """
        measures = fit_measures(self.fit)
        if names is None:
            return measures
        chosen = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in chosen if name not in measures.index]
        if unknown:
            raise OptionError(f"no fit measure {unknown[0]!r}; there are {', '.join(measures.index)}")
        return measures[chosen]

    def r_squared(self) -> pd.DataFrame:
        """Explained variance: columns group, variable, r2 (lavaan: ``lavInspect(fit, "rsquare")``)."""
        return r_squared(self.fit)

    def implied(self) -> tuple[Moments, ...]:
        """Model-implied moments, one per group (lavaan: ``fitted()``)."""
        return named_moments(self.fit, self.fit.tested.moments)

    def sample_stats(self) -> tuple[Moments, ...]:
        """EM moments of the saturated model, one per group (lavaan: ``lavInspect(fit, "sampstat")``)."""
        return named_moments(self.fit, self.fit.saturated.at)

    def residuals(self, type: ResidualType = "raw") -> tuple[Moments, ...]:
        """Residuals of the moments: `sample_stats` less `implied`, one per group (lavaan: ``residuals()``).

        Parameters
        ----------
        type : str, default "raw"
            "raw": in the units of the data. "cor" or "cor.bollen": differences of correlations, each matrix scaled by
            its own standard deviations. "cor.bentler": raw ones, scaled by the saturated standard deviations (as in
            SRMR). "standardized": over their standard errors, about N(0, 1) if the model holds.
            "standardized.mplus": over those that Mplus gives. "normalized": over the standard errors of the saturated
            moments, which is too small. Means are scaled by the saturated standard deviations wherever correlations
            are compared.

        Returns
        -------
        tuple of Moments
            As of `implied`. Where a model fits a moment by construction, so that its residual has no spread, a
            standardised residual is 0, and NaN if there is a residual all the same (or a variance below 0:
            "standardized.mplus"); NaN also for pairs that no row has.

        Raises
        ------
        OptionError
            For another type.
        """
        return residuals(self.fit, type)

    def modification_indices(
        self, sort: bool = False, power: bool = False, free_remove: bool = True,
        op: str | Sequence[str] | None = None, minimum_value: float = 0.0, maximum_number: int | None = None,
        standardized: bool = True, na_remove: bool = True, delta: float = 0.1, alpha: float = 0.05,
        high_power: float = 0.75,
    ) -> pd.DataFrame:  # fmt: skip
        """What chi-square would lose, about, if fixed parameters were freed (lavaan: ``modificationIndices()``).

        Parameters
        ----------
        sort : bool, default False
            Largest index first.
        power : bool, default False
            Add delta, ncp, power and decision (Saris, Satorra & van der Veld 2009), in place of sepc_lv and sepc_nox.
        free_remove : bool, default True
            Leave out the free parameters of the model.
        op : str or sequence of str, optional
            Only these operators.
        minimum_value : float, default 0
            Only indices above it.
        maximum_number : int, optional
            Only the first rows.
        standardized : bool, default True
            Add the standardised changes sepc_lv, sepc_all and sepc_nox.
        na_remove : bool, default True
            Leave out parameters that would not be identified.
        delta, alpha, high_power : float, default 0.1, 0.05, 0.75
            For ``power``: misspecification that should be found, level of the test, power that counts as high.

        Returns
        -------
        DataFrame
            lhs op rhs group mi epc sepc_lv sepc_all sepc_nox: score test and expected change of each parameter alone,
            with the expected information. Equality constraints stay in force (`score_test` releases them).

        Raises
        ------
        OptionError, IdentificationError
        """
        return modification_indices(
            self.fit, sort=sort, power=power, free_remove=free_remove, op=op, minimum_value=minimum_value,
            maximum_number=maximum_number, standardized=standardized, na_remove=na_remove, delta=delta, alpha=alpha,
            high_power=high_power,
        )  # fmt: skip

    def score_test(
        self, add: str | None = None, release: Sequence[int] | None = None, cumulative: bool = False,
        epc: bool = False, information: InformationKind = "expected",
    ) -> ScoreTest:  # fmt: skip
        """Score test of equality constraints, or of parameters left out (lavaan: ``lavTestScore()``).

        Parameters
        ----------
        add : str, optional
            Parameters that the model lacks or fixes, such as ``"f =~ x4"``.
        release : sequence of int, optional
            Numbers, from 1, of the equality constraints to test; all by default, in the order of the table that comes
            back.
        cumulative : bool, default False
            Also release the constraints one after the other.
        epc : bool, default False
            Also give the expected changes of all parameters.
        information : {"expected", "observed", "first.order"}, default "expected"

        Returns
        -------
        ScoreTest
            ``stat``, ``df``, ``pvalue`` of all together, ``univariate`` of each alone; shared labels stand there under
            lavaan's own names (``.p2. == .p38.``, by place in the parameter table).

        Raises
        ------
        OptionError
        ModelSyntaxError, ModelSpecificationError
            For ``add``.
        """
        return score_test(self.fit, add=add, release=release, cumulative=cumulative, epc=epc, information=information)

    def reliability(self, total: bool = False, omit_factors: str | Sequence[str] = ()) -> pd.DataFrame:
        """Reliability of the sum of each factor's indicators (semTools: ``reliability()``, ``compRelSEM()``).

        Parameters
        ----------
        total : bool, default False
            Add a row ``total`` for the sum of all indicators, where there are several factors.
        omit_factors : str or sequence of str
            Leave these out.

        Returns
        -------
        DataFrame
            group, factor, alpha, omega (over true and error variance), omega2 (over the model-implied variance of the
            sum), omega3 (over the saturated one) and avevar (average variance extracted; NaN with cross-loadings), for
            every factor with two observed indicators.

        Raises
        ------
        OptionError
            Without latent variables, or for a factor that the model lacks.
        """
        return reliability(self.fit, total=total, omit_factors=omit_factors)

    def coverage(self) -> tuple[pd.DataFrame, ...]:
        """Share of rows in which both of a pair are observed, per group."""
        return coverage_table(self.fit.sample)

    def patterns(self) -> tuple[pd.DataFrame, ...]:
        """Missing-data patterns with their counts, per group, most frequent first."""
        return pattern_table(self.fit.sample)

    # ---- statsmodels' names --------------------------------------------------------------------------------

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

    # ---- values --------------------------------------------------------------------------------------------

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

    # ---- rows ----------------------------------------------------------------------------------------------

    def predict(
        self, type: Literal["lv", "ov"] = "lv", method: ScoreMethod = "regression",
        newdata: pd.DataFrame | None = None, append_se: bool = False,
    ) -> pd.DataFrame:  # fmt: skip
        """Factor scores, or what they imply for observed variables; rows may have holes (lavaan: ``lavPredict()``).

        Parameters
        ----------
        type : {"lv", "ov"}, default "lv"
            "lv": scores of the latent variables. "ov": expected observed variables given these scores and the values
            of predictors that nothing explains. That is no imputation: cells that are missing, and those that are
            not, are conditioned on by way of the scores alone (`impute` fills holes).
        method : {"regression", "bartlett"}, default "regression"
            "regression": E[latent | observed] (Thurstone 1935; lavaan: "EBM"), shrunken to the mean the more is
            missing. "bartlett": weighted least squares (Bartlett 1937; lavaan: "ML"), unbiased given the latent
            variable; NaN where the values of a row do not determine it.
        newdata : DataFrame, optional
            Rows to score; the data of the fit by default.
        append_se : bool, default False
            Add ``<name>_se``: the standard deviation of the latent variable given the score's row (regression), or of
            the score given the latent variable (bartlett), by the pattern of missing values. The estimates count as
            known. NaN where it is 0.

        Returns
        -------
        DataFrame
            One row per row of the data, same index, but for rows that the fit dropped (listwise, without a group or an
            exogenous variable; new ones without the latter are dropped with a warning); NaN where nothing is observed.
            A column ``group`` if there are several.

        Raises
        ------
        OptionError
            For another type or method, for "lv" of a model without latent variables, and for standard errors of "ov".
        DataError, ModelSpecificationError
            For columns of ``newdata`` that cannot be used.
        """
        if type not in ("lv", "ov"):
            raise OptionError(f"type must be 'lv' or 'ov', got {type!r}")
        if type == "ov" and append_se:
            raise OptionError("standard errors are those of factor scores: append_se needs type='lv'")
        data = self.data.iloc[self._scored] if newdata is None else newdata
        if type == "ov":
            return expected_values(self.fit, data, method)
        return factor_scores(self.fit, data, method, append_se=append_se)

    @property
    def _scored(self) -> NDArray[np.intp]:
        """Positions of the rows that have scores, be they NaN."""
        return np.sort(np.concatenate([self.fit.sample.empty, *(g.rows for g in self.fit.sample.groups)]))

    def scores(self, ignore_constraints: bool = False, remove_duplicated: bool = True) -> pd.DataFrame:
        """Scores of the rows used, d loglik_i / d theta at the estimate (lavaan: ``lavScores()``).

        Parameters
        ----------
        ignore_constraints : bool, default False
            Leave in what equality constraints hold against the scores.
        remove_duplicated : bool, default True
            One column, the sum, for parameters that are the same; the name is that of the first.

        Returns
        -------
        DataFrame, shape (N, k)
            Columns as `coef`, index that of the data. Columns sum to the gradient, 0 up to how far the estimate is
            from the maximum; with ``ignore_constraints`` only along the constraints.

        Raises
        ------
        OptionError
            For two-stage estimates, which maximise no likelihood of rows.
        """
        found = casewise_scores(self.fit, ignore_constraints=ignore_constraints, remove_duplicated=remove_duplicated)
        return pd.DataFrame(found.values, columns=list(found.columns), index=self.data.index[found.rows])

    def casewise_loglik(self) -> pd.Series:
        """Log-likelihoods of the rows used, which sum to `loglik` (lavaan: ``lavInspect(fit, "loglik.casewise")``).

        Raises
        ------
        OptionError
            For two-stage estimates and ``likelihood="wishart"``, which have no such likelihood.
        """
        rows, values = casewise_loglik(self.fit)
        return pd.Series(values, index=self.data.index[rows], name="loglik")

    # ---- broom's names -------------------------------------------------------------------------------------

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

    def augment(self, data: pd.DataFrame | None = None, method: ScoreMethod = "regression") -> pd.DataFrame:
        """The data with factor scores, expected values and residuals beside them (see `predict`).

        Parameters
        ----------
        data : DataFrame, optional
            New rows; the data of the fit by default.
        method : {"regression", "bartlett"}, default "regression"
            Of the factor scores.

        Returns
        -------
        DataFrame
            All rows and columns of the table, then the latent variables, then ``_fitted_<name>`` and ``_resid_<name>``
            of every observed variable that the model explains. NaN where the value is missing, or not known.

        Raises
        ------
        DataError
            If the table has a column of such a name.
        """
        return (
            augment(self.fit, self.data, self._scored, method)
            if data is None
            else augment(self.fit, data, None, method)
        )

    def impute(self, data: pd.DataFrame | None = None) -> Completion:
        """Fill missing cells with the conditional expectations that the model implies.

        Parameters
        ----------
        data : DataFrame, optional
            The data of the fit by default; new rows are welcome.

        Returns
        -------
        Completion
            Values, conditional standard deviations and the origin of every cell; ``.to_frame()`` gives the table.
            Single imputation is for prediction: inference belongs to the FIML fit.

        Raises
        ------
        OptionError
            If an exogenous value is missing and the model was fitted with ``fixed_x=True``.
        """
        return complete(self.fit, self.data if data is None else data)

    def multiple_imputations(
        self, m: int = 20, seed: int = 0, *, data: pd.DataFrame | None = None,
        refiner: Literal["attention"] | RefinerConfig | FittedRefiner | None = None,
        **options: Unpack[DrawKeywords],
    ) -> MultipleImputation:  # fmt: skip
        """Draw m completed tables from the model: proper multiple imputations, for inference.

        Each imputation draws parameters theta* ~ N(theta, vcov), and then all missing cells of a row jointly from their
        normal distribution given theta* and what the row shows (Rubin 1987; Schafer 1997). Rows in which nothing is
        observed are drawn too.

        Parameters
        ----------
        m : int, default 20
            Imputations.
        seed : int, default 0
            Imputation i has the same numbers whatever m and whatever the number of processes.
        data : DataFrame, optional
            Table to impute; the data of the fit by default.
        refiner : {"attention"}, RefinerConfig or FittedRefiner, optional
            Draw around refined values instead of conditional means, with the conditional covariances scaled, variable
            by variable, to the refiner's mean squared error on held-out cells. This takes the network as known, its
            error for missing cells to be that for held-out ones, and the correlations of what is left to be the
            model's.
        **options
            See `DrawKeywords`: bounds, integers, pmm, ordinal, donors, parameter_draws.

        Returns
        -------
        MultipleImputation

        Raises
        ------
        OptionError
            If vcov is not available (``parameter_draws="bootstrap"`` does without), an option is out of range, bounds
            are impossible, or an exogenous value is missing and the model was fitted with ``fixed_x=True``.
        DataError
            If observed values contradict bounds, integers or ordinal, or a category was never observed.
        ConvergenceError
            If hardly any draw of parameters implies a proper covariance matrix.
        """
        table, adjustment = self.data if data is None else data, None
        if refiner is not None:
            trained, completion = _trained(refiner, self, seed), self.impute(data)
            adjustment = Adjustment.from_refined(completion, trained.refine(completion), trained.spread)
        draws = model_draws(self.fit, table, m=m, seed=seed, options=draw_options(options), adjustment=adjustment)
        return MultipleImputation(table=table, m=m, draws=draws, model=self.fit)


def _trained(refiner: object, results: SemResults, seed: int) -> FittedRefiner:
    """The refiner itself, or one trained on the rows of the fit."""
    from fosa_sem.refine.refiner import AttentionRefiner, FittedRefiner

    if isinstance(refiner, FittedRefiner):
        return refiner
    config = RefinerConfig(seed=seed) if refiner == "attention" else refiner
    if not isinstance(config, RefinerConfig):
        raise OptionError(f"refiner must be 'attention', a RefinerConfig, a FittedRefiner or None, got {refiner!r}")
    return AttentionRefiner(config=config).fit(results.impute())
