"""Our numbers against those of lavaan that are stored here; needs no R."""

from __future__ import annotations

from functools import cache

import pytest
from estimator_cases import ESTIMATOR_CASES
from numpy.testing import assert_allclose
from r_cases import CASES, Case, from_json

from fosa_sem import SemResults
from r_bridge.comparison import compare

ALL_CASES = CASES + ESTIMATOR_CASES

fit = cache(Case.ours)


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_the_question_is_the_one_that_lavaan_was_asked(case: Case) -> None:
    assert case.stored()["asked"] == case.asked(fit(case))


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_we_agree_with_lavaan(case: Case) -> None:
    ours: SemResults = fit(case)
    check = compare(ours, from_json(case.stored()["answer"]))
    assert check.ok, check.summary()
    assert check.converged
    logl = check.table[check.table["quantity"] == "log-likelihood"].set_index("name").loc["logl"]
    if logl["verdict"] == "ok":  # a maximum of the same function is no lower than theirs
        assert logl["ours"] >= logl["lavaan"] - 1e-6
    compared = set(check.table["quantity"])
    assert {"counts", "estimate", "standard error", "standardised estimate", "fit measure", "log-likelihood",
            "implied moment", "H1 moment", "parameter covariance"} <= compared  # fmt: skip
    assert ("conditional expectation" in compared) == (ours.fit.resolved.missing != "listwise")
    assert ("factor score" in compared) == bool(ours.latent_names)


@pytest.mark.parametrize(
    "case", [c for c in ALL_CASES if c.options.get("missing") == "fiml.x"], ids=lambda case: case.name
)
def test_the_baseline_has_the_available_moments_of_fixed_variables(case: Case) -> None:
    theirs = from_json(case.stored()["answer"]).tables["fitMeasures"]["value"]
    ours = fit(case).fit_measures()
    names = [name for name in ("baseline.chisq", "baseline.chisq.scaled", "cfi.robust", "tli.robust") if name in ours]
    # Only where the EM of lavaan's saturated model stopped is between them; EM moments would be 6e-6 away.
    assert_allclose(ours[names], theirs[names], rtol=3e-7)
