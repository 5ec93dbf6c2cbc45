from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fosa_sem import impute, pool, pooling_path
from fosa_sem.errors import OptionError
from fosa_sem.imputation.pooling_path import of_interest, pooled_terms

MODEL = "y ~ b*m + t\nm ~ t\nhalf := b/2"


@pytest.fixture(scope="module")
def imputations():
    rng = np.random.default_rng(2)
    t, e = rng.standard_normal(150), rng.standard_normal((150, 2))
    m = t + e[:, 0]
    y = np.where(np.arange(150) % 3 == 0, np.nan, m + e[:, 1])
    return impute(pd.DataFrame({"t": t, "m": m, "y": y}), MODEL, m=6, seed=1)


def test_the_last_point_is_the_pooled_table_and_the_first_that_of_two(imputations) -> None:
    pooled = imputations.fit(MODEL, fixed_x=False)
    path = pooling_path(pooled)
    assert sorted(set(path["m"])) == [2, 3, 4, 5, 6]
    ends = path[path["m"] == 6].set_index("term")
    frame = pooled_terms(pooled).set_index("term")
    for column in ("est", "se", "ci_lower", "ci_upper", "fmi"):
        assert_allclose(ends[column], frame.loc[ends.index, column])
    two = type(imputations)(table=imputations.table, m=2, draws=imputations.draws, model=imputations.model)
    first = pooled_terms(two.fit(MODEL, fixed_x=False)).set_index("term")
    begin = path[path["m"] == 2].set_index("term")
    assert_allclose(begin[["est", "se", "fmi"]], first.loc[begin.index, ["est", "se", "fmi"]], rtol=1e-9)


def test_terms_are_named_as_they_are_written(imputations) -> None:
    frame = pooled_terms(imputations.fit(MODEL, fixed_x=False))
    assert {"y ~ m", "m ~ t", "y ~~ y", "y ~1", "half"} <= set(frame["term"])
    assert of_interest(frame) == ["y ~ m", "y ~ t", "m ~ t", "half"]


def test_other_analyses_have_a_path_too() -> None:
    estimates = np.array([1.0, 1.4, 0.9, 1.1])
    path = pooling_path(pool([([e], [0.5]) for e in estimates]))
    assert_allclose(path["est"], [1.2, 1.1, 1.1])
    assert_allclose(path["se"][0], np.sqrt(0.25 + 1.5 * np.var(estimates[:2], ddof=1)))


def test_points_can_be_thinned_and_terms_chosen(imputations) -> None:
    pooled = imputations.fit(MODEL, fixed_x=False)
    assert list(pooling_path(pooled, "half", most=3)["m"]) == [2, 4, 6]
    with pytest.raises(OptionError, match="no estimate 'y ~ x'"):
        pooling_path(pooled, ["y ~ x"])
