"""FosaImputer: fit, fill and refine behind scikit-learn's methods."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data

from fosa_sem.data.checks import check_table
from fosa_sem.errors import DataError, OptionError
from fosa_sem.evaluate.baselines import column_mean
from fosa_sem.evaluate.experiment import compare
from fosa_sem.fiml.engines.base import Engine
from fosa_sem.imputation.categories import Asked, encode
from fosa_sem.imputation.column_types import ColumnTypes, Output
from fosa_sem.imputation.columns import Limits, Names
from fosa_sem.imputation.completion import Completion
from fosa_sem.imputation.conditional import Filler
from fosa_sem.imputation.joint_fit import (
    coded_categories,
    joint_fit_options,
    modelled_columns,
    named_columns,
)
from fosa_sem.inference.connections import connected_pairs
from fosa_sem.inference.ridge import fit_or_ridge
from fosa_sem.persistence.saved_imputer import OfFit, SavedImputer
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.report.collect import collect_imputation
from fosa_sem.report.records import ImputationReport
from fosa_sem.results import SemResults
from fosa_sem.syntax.options import FunctionName

if TYPE_CHECKING:
    from fosa_sem.refine.insight import Dependence
    from fosa_sem.refine.refiner import FittedRefiner


class FosaImputer(OneToOneFeatureMixin, TransformerMixin, SavedImputer):  # type: ignore[misc]
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
        How conditional means are corrected; None keeps them. "attention" means `RefinerConfig.suited` with the
        seed given here.
    engine : str or Engine, default "native"
        What finds the estimates: "native", "semopy", or an object with ``name`` and ``estimate(problem)``.
    sem_options : mapping, optional
        Further keyword arguments as of `fosa_sem.sem`: ``group``, ``std_lv``, ``orthogonal`` ...
    categorical : "auto", mapping of str to kind, or None, default "auto"
        Which variables are categories. Kinds are "binary", "ordinal", "nominal" and "continuous"; columns that a
        mapping does not name are judged as with "auto": categories are categoricals, text and truth values, and numbers
        with 2 to 10 distinct values that are observed 10 times each on average. Ordered categoricals enter the model as
        their position (0, 1, ...), two-valued text as 0 and 1 in sorted order, numbers as they are. A nominal column
        (more than two unordered categories) cannot be named in the model: declared here, or named in ``sem_options``'
        auxiliary, it joins by indicators as auxiliary variables. None: only numbers are read, and none are categories.
    output : {"expected", "category"}, default "expected"
        What fills the holes of categories: the expected value, a number (a column of text or ordered categories then
        becomes its codes), or the most probable category in the dtype of the column. Nominal columns always get the
        latter. `category_probabilities` gives more.
    bounds : mapping of str to (low, high), optional
        Limits that filled values are moved to, None for no limit (scikit-learn: ``min_value``, ``max_value``; mice:
        ``squeeze``). ``adjustments_`` counts them.
    integers : str or sequence of str, optional
        Variables whose filled values are rounded; counted likewise.
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
    filler_ : Filler
        The moments by which rows are filled.
    types_ : ColumnTypes
        The columns of categories, and what values filled cells may take.
    adjustments_ : DataFrame
        One row per variable with bounds or whole numbers: variable, filled, clipped, rounded (numbers of cells).
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
        categorical: Asked = "auto",
        output: Output = "expected",
        bounds: Limits | None = None,
        integers: Names = (),
        seed: int = 0,
        verbose: bool | None = None,
    ) -> None:
        self.model = model
        self.func = func
        self.refiner = refiner
        self.engine = engine
        self.sem_options = sem_options
        self.categorical = categorical
        self.output = output
        self.bounds = bounds
        self.integers = integers
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
        X = named_columns(check_table(X))
        _check_refiner(self.refiner)
        _check_output(self.output)
        options = joint_fit_options(self.func, self.engine, self.sem_options)
        columns, options = coded_categories(X, self.model, options, self.categorical)
        table = encode(X, columns)
        results = SemResults(fit=fit_or_ridge(self.model, table, options), data=table)
        completion = results.impute()
        types = ColumnTypes.learn(columns, completion, self.bounds, self.integers)
        config = _refiner_config(self.refiner, completion, self.seed)
        refiner = None if config is None else self._train(config, completion, types)
        if refiner is not None and types.blocks:
            from fosa_sem.refine.insight import held_out_expectations

            types = types.refitted(completion, partial(held_out_expectations, refiner, completion))
        refined, adjustments = types.settle(completion if refiner is None else refiner.refine(completion))
        self.filler_, self.refiner_, self.types_ = Filler.from_fit(results.fit), refiner, types
        self._of_fit = OfFit(results=results, completion=completion, refined=refined, adjustments=adjustments)
        self._metrics: pd.DataFrame | None = None
        self._dependence: Dependence | None = None
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
        completed = self._complete(X)
        _check_output(self.output)
        base = self._level_probabilities(completed) if self.output == "category" else None
        return self.types_.decode(X, completed, self.output, base)

    def category_probabilities(self, X: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Probabilities of the categories of every column of categories.

        Parameters
        ----------
        X : DataFrame, shape (m, columns)
            As of `transform`.

        Returns
        -------
        dict of str to DataFrame, shape (m, K)
            By column; index that of X, columns the categories. 0 and 1 where X has a value. The probabilities of
            ordered categories have the expectation that `transform` gives with ``output="expected"``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, DataError
            As `transform`.
        """
        completed = self._complete(X)
        found = self.types_.probabilities(completed, self._level_probabilities(completed))
        return {
            column.name: pd.DataFrame(found[column.name], index=X.index, columns=list(column.categories))
            for column in self.types_.columns
        }

    def _level_probabilities(self, completed: Completion) -> dict[str, NDArray[np.float64]] | None:
        """What the refiner says of the levels of missing cells, by variable."""
        if self.refiner_ is None:
            return None
        predictive = self.refiner_.predictive(completed)
        names = [column.name for column in self.types_.columns if column.kind != "nominal"]
        return {name: predictive.probabilities(name).to_numpy() for name in names}

    def _complete(self, X: pd.DataFrame) -> Completion:
        """Fill and refine any rows."""
        check_is_fitted(self, "filler_")
        X = check_table(X)
        try:
            validate_data(self, X, reset=False, skip_check_array=True)
        except ValueError as error:
            raise DataError(str(error)) from None
        completion = self.filler_.complete(self.types_.encode(X))
        return self.types_.settle(completion if self.refiner_ is None else self.refiner_.refine(completion))[0]

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
        numbers = modelled_columns(self.completion_).drop(columns=list(self.types_.indicators))
        group = self.sem_results_.fit.options.group
        others = self.completion_.table[[*self.types_.nominal, *([group] if group else [])]]
        self._metrics = compare(
            pd.concat([numbers, others], axis=1),
            {"mean": column_mean, "fosa": self._refit},
            proportion=proportion,
            seeds=seeds,
            columns=tuple(numbers.columns),
        )
        return self._metrics

    def dependence(self, *, cells: int = 5000, seed: int = 0) -> Dependence:
        """What the refiner uses for which variable, beside what the model says: hints of misspecification.

        Parameters
        ----------
        cells : int, default 5000
            Held-out cells to look at, about.
        seed : int, default 0
            Of the permutations.

        Returns
        -------
        Dependence
            Its ``matrix`` is the signed attention, its ``pairs`` have the evidence, its ``hints`` are the pairs that
            the network uses and the model does not join, or not only by a straight line. Reports written later show it.
            See `fosa_sem.refine.insight.dependence`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`, and for a loaded imputer, which has no held-out cells.
        OptionError
            Without a refiner, or if ``cells`` is no positive number.
        """
        completion, fit = self.completion_, self.sem_results_.fit
        if self.refiner_ is None:
            raise OptionError("dependence() is about the refiner's network; refiner=None has none")
        if isinstance(cells, bool) or not isinstance(cells, int) or cells < 1:
            raise OptionError(f"cells must be a whole number from 1 on, got {cells!r}")
        from fosa_sem.refine.insight import dependence

        self._dependence = dependence(self.refiner_, completion, connected_pairs(fit), cells=cells, seed=seed)
        return self._dependence

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
        completion, refiner = self.completion_, self.refiner_
        return collect_imputation(
            completion,
            None if refiner is None else self.refined_,
            metrics=self._metrics,
            history=None if refiner is None else refiner.history,
            gates=None if refiner is None else _gates(refiner, completion),
            adjustments=self.adjustments_,
            dependence=self._dependence,
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
        kinds = {name: "ordinal" if name in self.types_.levels else "continuous" for name in table.columns}
        kinds |= dict.fromkeys(self.types_.nominal, "nominal")
        other = clone(self).set_params(categorical=self.categorical if self.categorical is None else kinds).fit(table)
        tables = {"sem": other.completion_.to_frame()}
        return tables if other.refiner_ is None else tables | {"refined": other.refined_.to_frame()}

    def _train(self, config: RefinerConfig, completion: Completion, types: ColumnTypes) -> FittedRefiner:
        from fosa_sem.refine.refiner import AttentionRefiner

        refiner = AttentionRefiner(config=config, levels=types.levels, blocks=types.blocks)
        return refiner.fit(completion, progress=self._progress())

    def _progress(self) -> bool:
        return sys.stderr.isatty() if self.verbose is None else bool(self.verbose)


def _check_refiner(refiner: object) -> None:
    named = isinstance(refiner, str) and refiner == "attention"
    if not (named or refiner is None or isinstance(refiner, RefinerConfig)):
        raise OptionError(f"refiner must be 'attention', a RefinerConfig or None, got {refiner!r}")


def _refiner_config(
    refiner: Literal["attention"] | RefinerConfig | None, completion: Completion, seed: int
) -> RefinerConfig | None:
    return RefinerConfig.suited(completion.observed, seed=seed) if refiner == "attention" else refiner


def _gates(refiner: FittedRefiner, completion: Completion) -> pd.DataFrame:
    """The gates with the covariance errors before and after."""
    from fosa_sem.refine.insight import covariance_errors

    return refiner.gates.merge(covariance_errors(refiner, completion), on="variable", validate="one_to_one")


def _check_output(output: object) -> None:
    if output not in ("expected", "category"):
        raise OptionError(f"output must be 'expected' or 'category', got {output!r}")
