"""What an imputer keeps: in a file, all that new rows need; in memory, also what belongs to the data of its fit."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from fosa_sem.errors import OptionError
from fosa_sem.imputation.column_types import ColumnTypes
from fosa_sem.imputation.completion import Completion
from fosa_sem.imputation.conditional import Filler
from fosa_sem.persistence.records import load_records, reading, save_records
from fosa_sem.report.collect import package_version
from fosa_sem.results import SemResults

if TYPE_CHECKING:
    from fosa_sem.fiml.engines.base import Engine
    from fosa_sem.refine.refiner import FittedRefiner

SAVED = "fosa_sem.FosaImputer"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfFit:
    """What belongs to the data of a fit.

    Attributes
    ----------
    results : SemResults
    completion, refined : Completion
    adjustments : DataFrame
    """

    results: SemResults
    completion: Completion
    refined: Completion
    adjustments: pd.DataFrame


class SavedImputer(BaseEstimator):  # type: ignore[misc]
    """The part of `FosaImputer` that is saved and loaded, and what a loaded one does not have."""

    engine: str | Engine
    filler_: Filler
    refiner_: FittedRefiner | None
    types_: ColumnTypes
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    _of_fit: OfFit | None

    def save(self, path: str | PathLike[str]) -> Path:
        """Write what `transform` needs to one file: moments, network and gates, no row of the data.

        Parameters
        ----------
        path : path-like
            Any suffix; ``.safetensors`` is usual. A file that is there is replaced, whole or not at all.

        Returns
        -------
        Path
            The file: safetensors, with JSON in its metadata and a checksum. Reading it runs no code from it.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        OptionError
            ``engine`` or ``sem_options`` hold an object, such as an Engine or a fit to start from; or the place cannot
            be written.
        """
        check_is_fitted(self, "filler_")
        if not isinstance(self.engine, str):
            raise OptionError(
                f"engine {self.engine.name!r} is an object, which is not saved; give the name of an engine"
            )
        content = {
            "parameters": self.get_params(deep=False),
            "filler": self.filler_,
            "refiner": self.refiner_,
            "types": self.types_,
            "columns": tuple(self.feature_names_in_),
        }
        return save_records(path, content, kind=SAVED, package=package_version())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read an imputer that `save` wrote.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        The imputer
            Its `transform` gives the numbers of the imputer saved, bit for bit on the same machine. What belongs to the
            data of `fit` (``sem_results_``, ``completion_``, ``refined_``, ``metrics_``) is not there.

        Raises
        ------
        SavedFileError
            There is no such file, or it is none of an imputer, of another version, damaged or changed.
        """
        content = load_records(path, kind=SAVED)
        return reading(path, lambda: cls._restored(**content))

    @classmethod
    def _restored(
        cls, *, parameters: dict[str, Any], filler: Filler, refiner: FittedRefiner | None, types: ColumnTypes,
        columns: tuple[str, ...],
    ) -> Self:  # fmt: skip
        imputer = cls(**parameters)
        filler.check()
        imputer.filler_, imputer.refiner_, imputer.types_, imputer._of_fit = filler, refiner, types, None
        imputer.n_features_in_, imputer.feature_names_in_ = len(columns), np.array(columns, dtype=object)
        return imputer

    def _fitted(self, name: str) -> OfFit:
        """What only `fit` gives, or the reason why it is not there; a missing attribute for ``hasattr``."""
        check_is_fitted(self, "filler_")
        if self._of_fit is None:
            raise NotFittedError(
                f"{name} belongs to the data of fit(), which a saved imputer does not hold; call fit()"
            )
        return self._of_fit

    @property
    def sem_results_(self) -> SemResults:
        """The FIML fit."""
        return self._fitted("sem_results_").results

    @property
    def completion_(self) -> Completion:
        """The table of `fit`, filled by the model."""
        return self._fitted("completion_").completion

    @property
    def refined_(self) -> Completion:
        """The table of `fit`, refined."""
        return self._fitted("refined_").refined

    @property
    def adjustments_(self) -> pd.DataFrame:
        """How many filled cells of the table of `fit` were moved to bounds and whole numbers."""
        return self._fitted("adjustments_").adjustments
