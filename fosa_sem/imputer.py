"""FosaImputer: fit, fill and refine behind scikit-learn's methods."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data

from fosa_sem.data.checks import check_column_values, check_table, column_parts
from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.baselines import column_mean
from fosa_sem.evaluate.experiment import compare
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.imputation.completion import Completion
from fosa_sem.inference import FitOptions
from fosa_sem.inference.options import FitKeywords, fit_options
from fosa_sem.inference.ridge import fit_or_ridge
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.report.collect import collect_imputation
from fosa_sem.report.records import ImputationReport
from fosa_sem.results import SemResults
from fosa_sem.syntax.options import FunctionName


class FosaImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills holes by a structural equation model and refines the values by self-attention (FOSA).

    The model is fitted by FIML with ``fixed_x=False``, so that exogenous variables have a distribution too: a
    row is dropped from the fit only if nothing in it is observed, and every variable of the model can be
    filled. Columns that the model does not name pass through untouched.

    Parameters
    ----------
    model : str
        lavaan's model syntax; its observed variables are columns of X.
    func : {"sem", "cfa", "growth", "lavaan"}, default "sem"
        Whose defaults complete the model.
    refiner : {"attention"}, RefinerConfig or None, default "attention"
        How conditional means are corrected; None keeps them. "attention" has the defaults of `RefinerConfig`
        and the seed given here.
    engine : str or Engine, default "native"
        What finds the estimates: "native", "semopy", or an object with ``name`` and ``estimate(problem)``.
    sem_options : mapping, optional
        Further keyword arguments as of `fosa_sem.sem`: ``group``, ``std_lv``, ``orthogonal`` ...
    seed : int, default 0
        Of the training with ``refiner="attention"``; a `RefinerConfig` carries its own.
    verbose : bool, optional
        Show a progress bar; None shows one on a terminal only.

    Attributes
    ----------
    sem_results_ : SemResults
        The FIML fit. Standard errors, tests and fit measures come from here, never from imputed data.
    completion_ : Completion
        The table of `fit` filled with E[missing | observed] under the model.
    refined_ : Completion
        The same after refinement; ``completion_`` itself without a refiner.
    refiner_ : FittedRefiner or None
        The trained network with its ``gates`` and ``history``.
    metrics_ : DataFrame
        Accuracy on hidden cells, once `evaluate` was called.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Notes
    -----
    lavaan has no equivalent; the first step is its ``sem(missing = "ml", fixed.x = FALSE)``. Exactly
    dependent columns, an error for `fosa_sem.sem`, are fitted here with a ridge of 1e-6 of each variance: a
    `CollinearityWarning` names them, and chi-square and standard errors are withheld.

    Examples
    --------
    >>> from fosa_sem.datasets import load_nhanes
    >>> imputer = FosaImputer("waist ~ bmi + age + female", refiner=None)
    >>> completed = imputer.fit_transform(load_nhanes())
    >>> int(completed["waist"].isna().sum())
    0
    """

    def __init__(
        self,
        model: str,
        *,
        func: FunctionName = "sem",
        refiner: Literal["attention"] | RefinerConfig | None = "attention",
        engine: str | Engine = "native",
        sem_options: Mapping[str, Any] | None = None,
        seed: int = 0,
        verbose: bool | None = None,
    ) -> None:
        self.model = model
        self.func = func
        self.refiner = refiner
        self.engine = engine
        self.sem_options = sem_options
        self.seed = seed
        self.verbose = verbose

    def fit(self, X: pd.DataFrame, y: object = None) -> FosaImputer:
        """Fit the model, fill the table, and train the refiner on its observed cells.

        Parameters
        ----------
        X : DataFrame, shape (n, columns)
            Missing values are NaN, None or pandas.NA. Kept by reference, never changed.
        y : ignored
            There for scikit-learn's conventions.

        Returns
        -------
        FosaImputer
            The imputer itself.

        Raises
        ------
        DataError
            X is not a DataFrame with named columns, or a column of the model cannot be used.
        OptionError
            A parameter is out of range, or ``sem_options`` asks for ``fixed_x=True``.
        ModelSyntaxError, ModelSpecificationError, IdentificationError, ConvergenceError, EngineError
            As of `fosa_sem.sem`.

        Warns
        -----
        CollinearityWarning
            Columns are exactly dependent and a ridge was added.
        FosaWarning
            Whatever the fit and the training have to say.
        """
        X = _named_columns(check_table(X))
        config = _refiner_config(self.refiner, self.seed)
        options = _fit_options(self.func, self.engine, self.sem_options)
        results = SemResults(fit=fit_or_ridge(self.model, X, options), data=X)
        completion = results.impute()
        refiner = None
        if config is not None:
            from fosa_sem.refine.refiner import AttentionRefiner

            refiner = AttentionRefiner(config=config).fit(completion, progress=self._progress())
        self.sem_results_, self.completion_, self.refiner_ = results, completion, refiner
        self.refined_ = completion if refiner is None else refiner.refine(completion)
        self._metrics: pd.DataFrame | None = None
        validate_data(self, X, reset=True, skip_check_array=True)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Fill the holes of the table fitted to, or of new rows.

        Single imputation is for prediction: the filled values are point predictions whose spread is smaller
        than that of the data. Take standard errors, tests and fit measures from ``sem_results_``, the FIML
        fit, and never from an analysis of the filled table.

        Parameters
        ----------
        X : DataFrame, shape (m, columns)
            The columns of `fit` in their order; one row is enough. Never changed.

        Returns
        -------
        DataFrame
            Same rows, index and columns. Observed cells, and columns that the model does not name, are those
            of X; a row with nothing observed gets the model's means. A column with a filled cell has dtype
            float64.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        DataError
            Columns are missing, new or in another order, or a value cannot be used.
        """
        check_is_fitted(self, "sem_results_")
        X = check_table(X)
        try:
            validate_data(self, X, reset=False, skip_check_array=True)
        except ValueError as error:
            raise DataError(str(error)) from None
        completion = self.sem_results_.impute(X)
        refined = completion if self.refiner_ is None else self.refiner_.refine(completion)
        return refined.to_frame()

    def evaluate(self, *, proportion: float = 0.1, seeds: Sequence[int] = (0,)) -> pd.DataFrame:
        """Hide observed cells of the fitted table, refit without them, and score what takes their place.

        The model is fitted and the refiner trained anew for each seed, without a look at the hidden cells.
        Each seed costs as much time as `fit`.

        Parameters
        ----------
        proportion : float, default 0.1
            Share of each modelled variable's observed cells to hide, completely at random.
        seeds : sequence of int, default (0,)
            One repetition each: the seed draws the hidden cells. Training keeps its own seed.

        Returns
        -------
        DataFrame
            Also kept as ``metrics_``. For every seed and method ("mean", the column mean; "sem", the
            conditional expectation; "refined", with a refiner), one row per variable and a row "overall"; see
            `fosa_sem.imputation_metrics` for the columns.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        OptionError
            ``proportion`` or ``seeds`` are out of range or leave too little data.
        FosaError
            If the model cannot be fitted without the hidden cells.
        """
        check_is_fitted(self, "sem_results_")
        table = _modelled_columns(self.completion_)
        group = self.sem_results_.fit.options.group
        self._metrics = compare(
            table if group is None else table.assign(**{group: self.completion_.table[group]}),
            {"mean": column_mean, "fosa": self._refit},
            proportion=proportion,
            seeds=seeds,
            columns=tuple(table.columns),
        )
        return self._metrics

    @property
    def metrics_(self) -> pd.DataFrame:
        """What `evaluate` found; it is never computed in passing, since it takes as long as another `fit`."""
        metrics: pd.DataFrame | None = getattr(self, "_metrics", None)
        if metrics is None:
            raise NotFittedError("metrics_ comes from evaluate(), which fits and trains anew; call it first")
        return metrics

    def imputation_report(self, notes: tuple[str, ...] = ()) -> ImputationReport:
        """Collect what reports say about the imputation.

        Parameters
        ----------
        notes : tuple of str
            Remarks to print.

        Returns
        -------
        ImputationReport
            With the metrics, if `evaluate` was called.
        """
        check_is_fitted(self, "sem_results_")
        refiner = self.refiner_
        return collect_imputation(
            self.completion_,
            None if refiner is None else self.refined_,
            metrics=self._metrics,
            history=None if refiner is None else refiner.history,
            gates=None if refiner is None else refiner.gates,
            notes=notes,
        )

    def report(self, path: str | PathLike[str], notes: tuple[str, ...] = ()) -> Path:
        """Write a report on fit and imputation: .html, .md or .txt by suffix.

        Parameters
        ----------
        path : path-like
        notes : tuple of str
            Remarks to print.

        Returns
        -------
        Path
            The file written. It has the accuracy on hidden cells if `evaluate` was called.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        OptionError
            For another suffix, or a place that cannot be written; no partial file is left.
        """
        check_is_fitted(self, "sem_results_")
        return self.sem_results_.report(path, self.imputation_report(notes))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        # Columns are known by name: an array, or a table without these names, cannot be read.
        tags.input_tags.two_d_array = False
        # A column with a filled cell becomes float64, whatever it was.
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _refit(self, table: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
        """Completed tables of a copy of this imputer that sees nothing but the table given."""
        other = clone(self).fit(table)
        tables = {"sem": other.completion_.to_frame()}
        return tables if other.refiner_ is None else tables | {"refined": other.refined_.to_frame()}

    def _progress(self) -> bool:
        return sys.stderr.isatty() if self.verbose is None else bool(self.verbose)


def _named_columns(X: pd.DataFrame) -> pd.DataFrame:
    """Return the table if every column has a name of its own: unlike a fit, a transformer accounts for all of them."""
    odd = [c for c in X.columns if not isinstance(c, str)]
    if odd:
        raise DataError(f"column names must be strings; {odd[0]!r} is {type(odd[0]).__name__}: rename it")
    twice = X.columns[X.columns.duplicated()]
    if len(twice):
        raise DataError(f"column {twice[0]!r} occurs more than once in the data; keep one")
    return X


def _refiner_config(refiner: object, seed: int) -> RefinerConfig | None:
    if refiner is None or isinstance(refiner, RefinerConfig):
        return refiner
    if isinstance(refiner, str) and refiner == "attention":
        return RefinerConfig(seed=seed)
    raise OptionError(f"refiner must be 'attention', a RefinerConfig or None, got {refiner!r}")


def _fit_options(func: FunctionName, engine: str | Engine, sem_options: Mapping[str, Any] | None) -> FitOptions:
    given = dict(sem_options or {})
    if "engine" in given:
        raise OptionError("sem_options has 'engine'; give it to FosaImputer itself")
    if given.pop("fixed_x", None) not in (None, False):
        raise OptionError(
            "sem_options may not change fixed_x=False: another value gives exogenous variables no distribution to fill "
            "them from; leave it out"
        )
    keywords = cast(FitKeywords, {**given, "engine": engine, "fixed_x": False})
    return fit_options(func, keywords)


def _modelled_columns(completion: Completion) -> pd.DataFrame:
    """Return the columns that the model uses, as numbers with holes; of a product ``x:z``, its two columns."""
    table = completion.table
    names = dict.fromkeys(part for name in completion.variables for part in column_parts(table, name))
    return pd.DataFrame({name: check_column_values(table[name]) for name in names}, index=table.index)
