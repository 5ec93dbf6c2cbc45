"""What a fit says about single rows: scores, filled cells, draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import OptionError
from fosa_sem.imputation.completion import Completion
from fosa_sem.imputation.conditional import complete
from fosa_sem.imputation.draws import Adjustment, DrawKeywords, draw_options, model_draws
from fosa_sem.imputation.factor_scores import ScoreMethod, augment, expected_values, factor_scores
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.inference.casewise import casewise_loglik, casewise_scores
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.results.tables import FitTables

if TYPE_CHECKING:
    from fosa_sem.refine.refiner import FittedRefiner


@dataclass(frozen=True, kw_only=True)
class FitRows(FitTables):
    """Scores, conditional expectations and draws of rows, of the data of the fit or new ones."""

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


def _trained(refiner: object, results: FitRows, seed: int) -> FittedRefiner:
    """The refiner itself, or one trained on the rows of the fit."""
    from fosa_sem.refine.refiner import AttentionRefiner, FittedRefiner

    if isinstance(refiner, FittedRefiner):
        return refiner
    completion = results.impute()
    config = RefinerConfig.suited(completion.observed, seed=seed) if refiner == "attention" else refiner
    if not isinstance(config, RefinerConfig):
        raise OptionError(f"refiner must be 'attention', a RefinerConfig, a FittedRefiner or None, got {refiner!r}")
    return AttentionRefiner(config=config).fit(completion)
