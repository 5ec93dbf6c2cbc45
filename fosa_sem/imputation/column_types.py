"""From the user's table to the variables of a model and back: categories, limits, whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fosa_sem.errors import OptionError
from fosa_sem.imputation.categories import CategoricalColumn, encode
from fosa_sem.imputation.columns import Limits, Names, column_rules
from fosa_sem.imputation.completion import BoolArray, Completion, FloatArray
from fosa_sem.imputation.probabilities import SoftmaxHead, hidden_expectations, level_probabilities

Output = Literal["expected", "category"]
Probabilities = Mapping[str, FloatArray]
Expectations = Callable[[Sequence[str]], tuple[NDArray[np.intp], FloatArray]]
ADJUSTMENTS = ("variable", "filled", "clipped", "rounded")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRules:
    """Limits and whole numbers that filled values are moved to.

    Attributes
    ----------
    lower, upper : ndarray, shape (p,)
        Infinite where there is no limit.
    integer : ndarray of bool, shape (p,)
    """

    lower: FloatArray
    upper: FloatArray
    integer: BoolArray

    @classmethod
    def from_options(
        cls, variables: Sequence[str], values: FloatArray, bounds: Limits | None, integers: Names
    ) -> PointRules:
        """Check what is asked for against the data fitted to.

        Parameters
        ----------
        variables : sequence of str, length p
        values : ndarray, shape (n, p)
            NaN where missing.
        bounds : mapping of str to (low, high), optional
        integers : str or sequence of str

        Raises
        ------
        OptionError, DataError
            See `column_rules`.
        """
        rules = column_rules(variables, values, bounds=bounds, integers=integers)
        half = np.where(rules.integer, 0.5, 0.0)  # by which limits of draws reach further
        return cls(lower=rules.limits.lower + half, upper=rules.limits.upper - half, integer=rules.integer)

    @property
    def ruled(self) -> BoolArray:
        """Columns with any rule, shape (p,)."""
        return self.integer | np.isfinite(self.lower) | np.isfinite(self.upper)

    def apply(self, values: FloatArray, missing: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Move the values of missing cells.

        Returns
        -------
        values : ndarray, shape (n, p)
        clipped, rounded : ndarray, shape (p,)
            Cells that were outside of the limits, and cells that then were no whole numbers.
        """
        inside = np.clip(values, self.lower, self.upper)
        whole = np.where(self.integer, np.rint(inside) + 0.0, inside)
        clipped = (missing & (inside != values)).sum(axis=0)
        rounded = (missing & (whole != inside)).sum(axis=0)
        return np.where(missing, whole, values), clipped, rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTypes:
    """What the columns of a table are, learned from the table fitted to.

    Attributes
    ----------
    columns : tuple of CategoricalColumn
    heads : mapping of str to SoftmaxHead
        Of the nominal columns.
    rules : PointRules
    """

    columns: tuple[CategoricalColumn, ...]
    heads: Mapping[str, SoftmaxHead]
    rules: PointRules

    @classmethod
    def learn(
        cls, columns: tuple[CategoricalColumn, ...], completion: Completion, bounds: Limits | None, integers: Names
    ) -> ColumnTypes:
        """From the completed table of codes.

        Raises
        ------
        OptionError, DataError
            See `PointRules.from_options`; also for bounds or integers of an indicator.
        """
        place = {name: j for j, name in enumerate(completion.variables)}
        indicators = {name for column in columns for name in column.indicators}
        asked = {*(bounds or {}), *([integers] if isinstance(integers, str) else integers)} & indicators
        if asked:
            raise OptionError(f"{min(asked)!r} stands for a category; it has no bounds and is no whole number")
        values = np.where(completion.observed, completion.values, np.nan)
        heads = {}
        for column in columns:
            if column.kind == "nominal":
                block = np.array([place[name] for name in column.indicators])
                rows, expected = hidden_expectations(
                    completion.rule, completion.values, completion.observed, completion.group, block
                )
                heads[column.name] = SoftmaxHead.fit(block, expected, values[np.ix_(rows, block)])
        rules = PointRules.from_options(completion.variables, values, bounds, integers)
        return cls(columns=columns, heads=heads, rules=rules)

    def refitted(self, completion: Completion, expectations: Expectations) -> ColumnTypes:
        """The same with probabilities of nominal categories from refined expectations.

        Parameters
        ----------
        completion : Completion
            The one learned from.
        expectations : callable
            From the names of a block to the rows where it is observed, shape (m,), and its refined values there as they
            were if it was missing, shape (m, b).
        """
        heads = {}
        for column in self.columns:
            if column.kind == "nominal":
                head = self.heads[column.name]
                rows, expected = expectations(column.indicators)
                indicators = completion.values[np.ix_(rows, head.block)]
                if len(np.unique(indicators, axis=0)) == len(column.categories):  # else too few rows to learn from
                    head = SoftmaxHead.fit(head.block, expected, indicators)
                heads[column.name] = head
        return replace(self, heads=heads)

    def encode(self, data: pd.DataFrame) -> pd.DataFrame:
        """The table of codes of any rows.

        Raises
        ------
        DataError
            For a value that is none of the categories.
        """
        return encode(data, self.columns)

    def settle(self, completion: Completion) -> tuple[Completion, pd.DataFrame]:
        """Turn indicators into probabilities, and move filled values to limits and whole numbers.

        Parameters
        ----------
        completion : Completion
            With refined values, where there is a refiner.

        Returns
        -------
        Completion
            ``completion`` itself if there is nothing to do.
        DataFrame
            One row per variable with a rule: variable, filled, clipped, rounded (numbers of cells).
        """
        values = completion.values
        if self.heads:
            values = values.copy()
            for head in self.heads.values():
                rows = np.flatnonzero(~completion.observed[:, head.block[0]])
                cells = np.ix_(rows, head.block)
                values[cells] = head.probabilities(values[cells])[:, 1:]
        missing = ~completion.observed
        ruled = np.flatnonzero(self.rules.ruled)
        if ruled.size:
            values, clipped, rounded = self.rules.apply(values, missing)
        else:
            clipped = rounded = np.zeros(values.shape[1])
        counts = (missing.sum(axis=0), clipped, rounded)
        table = pd.DataFrame(
            {
                "variable": [completion.variables[j] for j in ruled],
                **{
                    name: np.asarray(n)[ruled].astype(np.int64) for name, n in zip(ADJUSTMENTS[1:], counts, strict=True)
                },
            }
        )
        return (completion if values is completion.values else replace(completion, values=values)), table

    def probabilities(self, completion: Completion, base: Probabilities | None = None) -> dict[str, FloatArray]:
        """Probabilities of the categories in every row, shape (n, K), by column; 0 and 1 where observed.

        Parameters
        ----------
        completion : Completion
            Settled.
        base : mapping of str to ndarray of shape (missing cells of the column, K), optional
            What a refiner says of them. The expected value is kept.
        """
        found = {}
        for column in self.columns:
            if column.kind == "nominal":
                block = self.heads[column.name].block
                others = completion.values[:, block]
                found[column.name] = np.column_stack([1.0 - others.sum(axis=1), others])
                continue
            j, codes = completion.variables.index(column.name), np.array(column.codes)
            seen, values = completion.observed[:, j], completion.values[:, j]
            known = (values[:, None] == codes).astype(np.float64)
            start = None if base is None or column.name not in base else base[column.name]
            known[~seen] = level_probabilities(
                codes, values[~seen], completion.mean[~seen, j], completion.sd[~seen, j], start
            )
            found[column.name] = known
        return found

    def decode(
        self, data: pd.DataFrame, completion: Completion, output: Output, base: Probabilities | None = None
    ) -> pd.DataFrame:
        """The user's table with its holes filled.

        Parameters
        ----------
        data : DataFrame
            Before `encode`; never changed.
        completion : Completion
            Settled.
        output : {"expected", "category"}
            What columns of categories that are not nominal get; nominal ones get their most probable category.
        base : mapping, optional
            As of `probabilities`.

        Returns
        -------
        DataFrame
            Same rows, index and columns.
        """
        as_category = [column for column in self.columns if output == "category" or column.kind == "nominal"]
        recoded = {column.name for column in self.columns if column.recoded}
        frame = data.copy()
        for j, name in enumerate(completion.variables):
            if name in frame and (name in recoded or not completion.observed[:, j].all()):
                frame[name] = completion.values[:, j]
        if as_category:
            chosen = {name: p.argmax(axis=1) for name, p in self.probabilities(completion, base).items()}
            for column in as_category:
                holes = data[column.name].isna().to_numpy()
                frame[column.name] = column.fill(data[column.name], holes, chosen[column.name][holes].tolist())
        return frame

    @property
    def indicators(self) -> tuple[str, ...]:
        """Variables that stand for a category of a nominal column."""
        return tuple(name for column in self.columns for name in column.indicators)

    @property
    def nominal(self) -> tuple[str, ...]:
        """Names of the nominal columns."""
        return tuple(column.name for column in self.columns if column.kind == "nominal")

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """Indicators of the same column."""
        return tuple(column.indicators for column in self.columns if column.indicators)

    @property
    def levels(self) -> dict[str, FloatArray]:
        """Codes of the variables that a refiner should take for categories, ascending."""
        found = {c.name: np.array(c.codes) for c in self.columns if c.kind != "nominal"}
        return found | {name: np.array([0.0, 1.0]) for name in self.indicators}
