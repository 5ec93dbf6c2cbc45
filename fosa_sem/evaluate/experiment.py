"""Several imputers on the same hidden cells."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import TypeAlias

import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.evaluate.masking import BoolArray, hide_cells, mask_cells
from fosa_sem.evaluate.metrics import imputation_metrics

Completed: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame]
Method: TypeAlias = Callable[[pd.DataFrame, int], Completed]
"""From a table with holes and a seed to the completed table, or to several of them by name."""


def compare(
    data: pd.DataFrame,
    methods: Mapping[str, Method],
    *,
    mask: pd.DataFrame | BoolArray | None = None,
    proportion: float = 0.1,
    seeds: Sequence[int] = (0,),
    columns: Sequence[Hashable] | str | None = None,
    discrete: Sequence[Hashable] | str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Hide observed cells, let every method fill them without a look at them, and score it on them.

    For each seed, cells are masked and each method gets a table of its own in which they are missing: all
    that it does (fitting, EM, scaling, training) is done without them, and all methods are scored on the
    same cells.

    Parameters
    ----------
    data : DataFrame
        It may have holes; they stay, and are not scored. It is not changed.
    methods : mapping of str to callable
        ``method(table, seed)`` returns the completed table: the same rows, and at least the columns that
        have masked cells. It may also return a mapping of names to completed tables, so that one fit can
        give, say, "sem" and "refined"; these names then stand in the result instead of the method's.
    mask : DataFrame or ndarray of bool, optional
        The cells to hide, for every seed. By default `mask_cells` chooses them anew for each seed.
    proportion : float, default 0.1
        Share of each column's observed cells to hide; of no effect with ``mask``.
    seeds : sequence of int, default (0,)
        One repetition each; the method gets the seed too.
    columns : sequence of column names, optional
        Where to hide cells, by default in every numeric column; of no effect with ``mask``.
    discrete : sequence of column names, optional
        As in `imputation_metrics`.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    DataFrame
        ``seed``, ``method`` and the columns of `imputation_metrics`: for every seed and method one row per
        variable and the row "overall".

    Raises
    ------
    OptionError
        No method or no seed is given, a seed is given twice, two completed tables have the same name, or a
        method returns something else than a table; and what `mask_cells` raises.
    DataError
        What `hide_cells` and `imputation_metrics` raise.
    Exception
        What a method raises, with a note that names the method and the seed.

    Examples
    --------
    >>> from fosa_sem.evaluate.baselines import column_mean
    >>> data = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 1.0, 4.0, 3.0]})
    >>> compare(data, {"mean": column_mean}, proportion=0.25)["variable"].tolist()
    ['x', 'y', 'overall']
    """
    _check_runs(methods, seeds)
    from tqdm import tqdm

    tables = []
    with tqdm(total=len(seeds) * len(methods), disable=not progress) as bar:
        for seed in seeds:
            cells = mask_cells(data, proportion, seed, columns) if mask is None else mask
            holes = hide_cells(data, cells)
            taken: set[str] = set()
            for name, method in methods.items():
                bar.set_description(f"seed {seed}, {name}")
                with _naming(name, seed):
                    completed = _by_name(name, method(holes.copy(), seed))
                    _claim(completed, taken)
                    tables += [
                        _labelled(imputation_metrics(data, table, cells, discrete=discrete), seed, label)
                        for label, table in completed.items()
                    ]
                bar.update()
    return pd.concat(tables, ignore_index=True)


def _check_runs(methods: Mapping[str, Method], seeds: Sequence[int]) -> None:
    if not methods:
        raise OptionError("methods is empty; give at least one, as in {'mean': column_mean}")
    if isinstance(seeds, Integral):
        raise OptionError(f"seeds must be a sequence of whole numbers, got {seeds}; write ({seeds},)")
    if len(seeds) == 0:
        raise OptionError("seeds is empty; give at least one, as in (0,)")
    if len(set(seeds)) < len(seeds):
        raise OptionError(f"seeds holds a seed twice: {tuple(seeds)}; it would count twice in every mean")


def _by_name(name: str, result: Completed) -> Mapping[str, pd.DataFrame]:
    """Return what a method gave as completed tables by name."""
    tables = {name: result} if isinstance(result, pd.DataFrame) else result
    if not isinstance(tables, Mapping) or not tables:
        raise OptionError(
            f"method {name!r} returned {type(result).__name__} without a table; return the completed "
            "DataFrame, or a mapping of names to completed DataFrames"
        )
    for label, table in tables.items():
        if not isinstance(table, pd.DataFrame):
            raise OptionError(f"method {name!r} returned {type(table).__name__} as {label!r}, not a DataFrame")
    return tables


def _claim(completed: Mapping[str, pd.DataFrame], taken: set[str]) -> None:
    """Add the names to those taken; the same name for two tables would mix them up."""
    twice = taken.intersection(completed)
    if twice:
        raise OptionError(f"two completed tables are called {min(twice)!r}; give every table its own name")
    taken.update(completed)


def _labelled(metrics: pd.DataFrame, seed: int, method: str) -> pd.DataFrame:
    labels = pd.DataFrame({"seed": seed, "method": method}, index=metrics.index)
    return pd.concat([labels, metrics], axis=1)


@contextmanager
def _naming(name: str, seed: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in method {name!r}, seed {seed}")
        raise
