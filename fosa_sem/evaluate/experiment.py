"""Several imputers on the same hidden cells."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from fosa_sem.errors import OptionError
from fosa_sem.evaluate.ampute import amputation
from fosa_sem.evaluate.ampute_plan import Mechanism
from fosa_sem.evaluate.masking import BoolArray, hide_cells, mask_cells, numeric_columns
from fosa_sem.evaluate.metrics import imputation_metrics

Completed: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame]
Method: TypeAlias = Callable[[pd.DataFrame, int], Completed]
"""From a table with holes and a seed to the completed table, or to several of them by name."""
Amputing: TypeAlias = Mechanism | Mapping[str, Any]
"""A mechanism of `ampute` by name, or `ampute`'s arguments."""
AMPUTING = tuple(name for name in inspect.signature(amputation).parameters if name not in ("data", "seed"))
PROPORTION = 0.1


def compare(
    data: pd.DataFrame,
    methods: Mapping[str, Method],
    *,
    mask: pd.DataFrame | BoolArray | None = None,
    proportion: float | None = None,
    mechanism: Amputing | None = None,
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
        The cells to hide, for every seed. Only one of ``mask``, ``proportion`` and ``mechanism`` may be given.
    proportion : float, optional
        Share of each column's observed cells to hide completely at random, chosen anew for each seed by
        `mask_cells`; 0.1 if neither of the others is given.
    mechanism : {"MCAR", "MAR", "MNAR"} or mapping, optional
        By which `ampute` hides cells of complete data, anew for each seed: its name, with `ampute`'s defaults, or a
        mapping of its arguments, as in ``{"mechanism": "MAR", "proportion": 0.3, "type": "TAIL"}``.
    seeds : sequence of int, default (0,)
        One repetition each; the method gets the seed too.
    columns : sequence of column names, optional
        Where to hide cells, by default in every numeric column. With ``mechanism``, the others have no part in the
        scores either; of no effect with ``mask``.
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
        method returns something else than a table; two of ``mask``, ``proportion`` and ``mechanism`` are given, or
        a mechanism with an unknown argument or a seed of its own; and what `mask_cells` and `ampute` raise.
    DataError
        What `hide_cells`, `imputation_metrics` and, with ``mechanism``, `ampute` raise.
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
    _check_choice(mask, proportion, mechanism)
    from tqdm import tqdm

    tables = []
    with tqdm(total=len(seeds) * len(methods), disable=not progress) as bar:
        for seed in seeds:
            cells = mask if mask is not None else _choose_cells(data, proportion, mechanism, seed, columns)
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


def _check_choice(mask: object, proportion: object, mechanism: Amputing | None) -> None:
    given = {"mask": mask, "proportion": proportion, "mechanism": mechanism}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise OptionError(
            f"{' and '.join(named)} are given; give one of mask, proportion and mechanism, the latter with a "
            "proportion of its own, as in mechanism={'mechanism': 'MAR', 'proportion': 0.3}"
        )
    if isinstance(mechanism, Mapping):
        unknown = sorted(set(mechanism) - set(AMPUTING), key=str)
        if unknown:
            raise OptionError(f"mechanism has {unknown[0]!r}, no argument of ampute; there are {', '.join(AMPUTING)}")


def _choose_cells(
    data: pd.DataFrame,
    proportion: float | None,
    mechanism: Amputing | None,
    seed: int,
    columns: Sequence[Hashable] | str | None,
) -> pd.DataFrame:
    """Cells to hide in one repetition."""
    if mechanism is None:
        return mask_cells(data, PROPORTION if proportion is None else proportion, seed, columns)
    names = numeric_columns(data) if columns is None else [columns] if isinstance(columns, str) else list(columns)
    unknown = [name for name in names if name not in data.columns]
    if unknown:
        raise OptionError(f"columns names {unknown[0]!r}, which is not a column of the data")
    arguments = mechanism if isinstance(mechanism, Mapping) else {"mechanism": mechanism}
    cells = np.zeros(data.shape, dtype=bool)
    cells[:, data.columns.get_indexer(pd.Index(names))] = amputation(data[names], **arguments, seed=seed).mask
    return pd.DataFrame(cells, index=data.index, columns=data.columns)


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
