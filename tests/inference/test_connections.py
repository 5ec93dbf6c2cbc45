from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fosa_sem.inference import FitOptions, fit
from fosa_sem.inference.connections import connected_pairs

NAMES = tuple("abcdeg")


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, 2)) + rng.normal(size=(200, 1))  # of a, b, c and of d, e, g
    return pd.DataFrame(rng.normal(size=(200, 6)) + np.repeat(factors, 3, axis=1), columns=list(NAMES))


@pytest.mark.parametrize(
    ("model", "joined"),
    [
        # a mediator: its cause and its effect are not joined
        ("b ~ a\nc ~ b", {"ab", "bc"}),
        ("b ~ a\nc ~ b\nc ~ a", {"ab", "bc", "ac"}),
        ("c ~ a + b", {"ac", "bc", "ab"}),  # exogenous variables covary
        ("a ~~ b\nb ~~ 0*c\nd ~~ d", {"ab"}),
        ("a ~~ 0.3*b", {"ab"}),
        # indicators of one factor, and of factors that covary
        ("f =~ a + b + c", {"ab", "ac", "bc"}),
        ("f =~ a + b + c\nh =~ d + e + g\nf ~~ 0*h", {"ab", "ac", "bc", "de", "dg", "eg"}),
        ("f =~ a + b + c\nf ~ d", {"ab", "ac", "bc", "ad", "bd", "cd"}),
        ("a ~ 1\na ~~ b", {"ab"}),
    ],
)
def test_pairs_joined_by_paths_or_by_way_of_latent_variables(data: pd.DataFrame, model: str, joined: set[str]) -> None:
    fitted = fit(model, data, FitOptions(func="sem", table={"fixed_x": False}))
    names, found = fitted.table.names.observed, connected_pairs(fitted)
    assert (found == found.T).all()
    assert found.diagonal().all()
    pairs = {"".join(sorted((names[i], names[j]))) for i, j in np.argwhere(np.triu(found, 1))}
    assert pairs == joined


def test_a_covariance_of_factors_joins_their_indicators_and_auxiliary_variables_are_joined_to_all(
    data: pd.DataFrame,
) -> None:
    fitted = fit("f =~ a + b + c\nh =~ d + e + g", data, FitOptions(func="sem"))
    assert connected_pairs(fitted).all()
    fitted = fit("b ~ a\nc ~ b", data, FitOptions(func="sem", auxiliary=("g",)))
    names, found = fitted.table.names.observed, connected_pairs(fitted)
    assert found[names.index("g")].all()
    assert not found[names.index("a"), names.index("c")]
