"""scikit-learn's own checks. They feed arrays, which have no names: columns are named on the way in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import check_array, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from fosa_sem import FosaImputer, RefinerConfig
from fosa_sem.errors import DataError

BRIEF = RefinerConfig(epochs=1, width=4, heads=1, layers=1, folds=2, check_every=1)


class ArrayFosaImputer(FosaImputer):
    """Takes arrays too; the model's ``{0}`` and ``{1}`` stand for the first two columns."""

    def fit(self, X: Any, y: object = None) -> FosaImputer:
        frame, template = named(X), self.model
        self.model = template.format(frame.columns[0], frame.columns[:2][-1])
        try:
            return super().fit(frame)
        finally:
            self.model = template

    def transform(self, X: Any) -> pd.DataFrame:
        return super().transform(named(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def named(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    values = check_array(X, ensure_all_finite=False)
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])


def expected_failures(estimator: object) -> dict[str, str]:
    return {
        "check_n_features_in_after_fitting": "columns are known by name: the message names the missing ones",
        "check_fit2d_1sample": "one row is refused, as a column without variation",
    }


@parametrize_with_checks(
    [ArrayFosaImputer("{0} ~~ {1}", refiner=None), ArrayFosaImputer("{0} ~~ {1}", refiner=BRIEF)],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_an_array_is_refused_rather_than_read_by_position() -> None:
    with pytest.raises(DataError, match="DataFrame"):
        FosaImputer("x0 ~~ x1", refiner=None).fit(np.ones((5, 2)))


def test_tags_say_that_nan_is_allowed_and_arrays_are_not() -> None:
    tags = get_tags(FosaImputer("x0 ~~ x1"))
    assert tags.input_tags.allow_nan
    assert not tags.input_tags.two_d_array
    assert not tags.target_tags.required
