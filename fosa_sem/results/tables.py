"""Tables of a fit under lavaan's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from fosa_sem.data.diagnostics import coverage_table, pattern_table
from fosa_sem.errors import OptionError
from fosa_sem.fiml.information import InformationKind
from fosa_sem.inference.bootstrap import IntervalType
from fosa_sem.inference.constraint_tests import ScoreTest, score_test
from fosa_sem.inference.fit_measures import fit_measures
from fosa_sem.inference.modification import modification_indices
from fosa_sem.inference.moments import Moments, named_moments
from fosa_sem.inference.parameters import parameter_estimates
from fosa_sem.inference.reliability import reliability
from fosa_sem.inference.residuals import ResidualType, residuals
from fosa_sem.inference.standardized import StandardizedType, r_squared, standardized_solution
from fosa_sem.results.values import FitValues

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class FitTables(FitValues):
    """lavaan's tables of a fit."""

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
