"""What must hold for every model of the zoo."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from zoo import BY_NAME, CONSTRAINED, NAMES, ZOO, fitted

from fosa_sem import SemResults
from fosa_sem.errors import AdmissibilityWarning
from fosa_sem.fiml.information import observed_information
from fosa_sem.fiml.optimality import examine
from fosa_sem.fiml.start import meeting_constraints

UNIT_FREE = [m.name for m in ZOO if m.unit_free]
LOCATION_FREE = [m.name for m in ZOO if m.location_free]


def _cells(results: SemResults) -> int:
    return int(sum((~np.isnan(g.values)).sum() for g in results.fit.sample.groups))


def _outcome_cells(name: str, column: str) -> int:
    return int(BY_NAME[name].data()[column].notna().sum())


def _is_exogenous(results: SemResults, column: str) -> bool:
    return results.fit.table.fixed_x and column in results.fit.table.names.observed_x


def test_the_zoo_is_large_and_every_name_is_its_own() -> None:
    assert len(ZOO) >= 30
    assert len(NAMES) == len(ZOO)


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_is_certified(name: str) -> None:
    audit = fitted(name).audit
    assert audit.maximum
    assert fitted(name).converged
    assert audit.stationarity < 1e-6
    assert audit.information_condition > 0
    assert audit.information_rank == fitted(name).fit.problem.tangent(fitted(name).fit.theta, "all").shape[1]
    assert audit.violated == ()
    assert audit.flat == ()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_degrees_of_freedom_are_counted_right(name: str) -> None:
    measures = fitted(name).fit_measures()
    assert fitted(name).npar == measures["npar"] == BY_NAME[name].npar
    assert measures["df"] == BY_NAME[name].df
    rank = fitted(name).fit.problem.equality_rank(fitted(name).fit.theta)
    assert len(fitted(name).coef()) - rank == BY_NAME[name].npar


@pytest.mark.parametrize("name", NAMES)
def test_no_nearby_point_is_better(name: str) -> None:
    results = fitted(name)
    problem, theta = results.fit.problem, results.fit.theta
    best, basis = problem.value_and_gradient(theta)[0], problem.equality.basis
    rng = np.random.default_rng(1)
    for size in (1e-3, 0.1):
        for _ in range(10):
            step = basis @ (basis.T @ (results.bse.to_numpy() * rng.standard_normal(len(theta)) * size))
            other = meeting_constraints(problem, theta + step)
            if problem.restrictions:
                assert (problem.distances(other)[len(problem.restrictions.equalities) :] > -1e-6).all()
            # What a violation of 1e-9 standard errors may gain.
            assert problem.value_and_gradient(other)[0] <= best + 1e-7


@pytest.mark.parametrize("name", CONSTRAINED)
def test_inequalities_cost_likelihood_only_where_they_are_active(name: str) -> None:
    model, results = BY_NAME[name], fitted(name)
    lines = [line for line in re.sub(r"(lower|upper)\([\d.]+\)\*", "", model.model).splitlines()]
    free = replace(model, model="\n".join(line for line in lines if not re.search("[<>]", line)), edge=True)
    gain = free.fit(model.data()).loglik - results.loglik
    assert gain >= -1e-8
    assert bool(results.audit.active) == (gain > 1e-6)


@pytest.mark.parametrize("name", CONSTRAINED)
def test_constraints_are_met_and_pull_in_their_own_direction(name: str) -> None:
    fit = fitted(name).fit
    n_equal = len(fit.problem.restrictions.equalities)
    distances = fit.problem.distances(fit.theta)
    assert np.abs(distances[:n_equal]).max(initial=0.0) < 1e-8
    assert distances[n_equal:].min() > -1e-8
    pulls = examine(fit.problem, fit.theta, observed_information(fit.problem, fit.theta)).multipliers[n_equal:]
    assert (pulls >= 0).all()
    active = np.array([constraint in fitted(name).audit.active for constraint in fit.problem.restrictions.names])
    assert (pulls > 0).tolist() == active[n_equal:].tolist()


@pytest.mark.parametrize("name", [m.name for m in ZOO if m.edge])
def test_an_estimate_at_the_edge_is_returned_with_a_warning(name: str) -> None:
    model = BY_NAME[name]
    with pytest.warns(AdmissibilityWarning):
        results = replace(model, edge=False).fit(model.data())
    assert results.audit.active or results.audit.negative_variances


@pytest.mark.parametrize("name", NAMES)
def test_the_models_are_nested_as_they_must_be(name: str) -> None:
    measures = fitted(name).fit_measures()
    assert measures["chisq"] >= 0
    assert measures["unrestricted.logl"] >= measures["logl"] - 1e-6
    assert measures["baseline.chisq"] >= 0
    assert 0 <= measures["cfi"] <= 1
    assert measures["rmsea.ci.lower"] <= measures["rmsea"] <= measures["rmsea.ci.upper"]
    assert measures["srmr"] >= 0


@pytest.mark.parametrize("name", NAMES)
def test_vcov_is_symmetric_and_positive_semi_definite(name: str) -> None:
    results = fitted(name)
    vcov = results.vcov().to_numpy()
    assert_allclose(vcov, vcov.T, rtol=1e-10, atol=1e-14)
    assert np.linalg.eigvalsh(vcov / np.outer(results.bse, results.bse))[0] > -1e-10
    assert_allclose(np.sqrt(np.diag(vcov)), results.bse)
    assert list(results.vcov().index) == list(results.coef().index)


@pytest.mark.parametrize("name", NAMES)
def test_row_order_does_not_matter(name: str) -> None:
    model, before = BY_NAME[name], fitted(name)
    if model.groups:
        # Groups come in order of first appearance: keep the first rows in place.
        rest = np.random.default_rng(1).permutation(np.arange(2, model.n))
        order = np.concatenate([[0, 1], rest])
    else:
        order = np.random.default_rng(1).permutation(model.n)
    after = model.fit(model.data().iloc[order])
    assert_allclose(after.loglik, before.loglik, rtol=1e-10)
    assert_allclose(after.coef(), before.coef(), rtol=1e-4, atol=1e-5)
    assert_allclose(after.bse, before.bse, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_column_order_and_other_columns_do_not_matter(name: str) -> None:
    model, before = BY_NAME[name], fitted(name)
    data = model.data()
    after = model.fit(data[list(data.columns)[::-1]].assign(unused="text", another=np.inf))
    assert after.loglik == before.loglik
    assert (after.coef() == before.coef()).all()


@pytest.mark.parametrize("name", NAMES)
def test_fitting_twice_gives_the_same_bits(name: str) -> None:
    model = BY_NAME[name]
    again = model.fit(model.data())
    assert (again.coef() == fitted(name).coef()).all()
    assert (again.bse == fitted(name).bse).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_data_are_never_changed(name: str) -> None:
    model = BY_NAME[name]
    data = model.data()
    before = data.copy(deep=True)
    results = model.fit(data)
    results.summary()
    results.impute()
    results.parameter_estimates(standardized=True)
    pd.testing.assert_frame_equal(data, before)
    assert results.data is data


@pytest.mark.parametrize("name", NAMES)
def test_all_units_times_ten(name: str) -> None:
    model, before = BY_NAME[name], fitted(name)
    data = model.data()
    data[list(model.columns)] *= 10.0
    after = model.fit(data)
    exogenous = [c for c in model.columns if _is_exogenous(before, c)]
    cells = _cells(before) - sum(_outcome_cells(name, c) for c in exogenous)
    assert_allclose(after.loglik, before.loglik - cells * np.log(10.0), rtol=1e-9)
    assert_allclose(after.fit_measures()["chisq"], before.fit_measures()["chisq"], rtol=1e-4, atol=1e-5)
    for a, b in zip(after.implied(), before.implied(), strict=True):
        assert_allclose(a.cov, b.cov * 100.0, rtol=1e-3, atol=1e-3)
        assert_allclose(a.mean, b.mean * 10.0, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", UNIT_FREE)
def test_units_of_one_column(name: str) -> None:
    model, before = BY_NAME[name], fitted(name)
    data = model.data()
    column = model.columns[1]
    data[column] *= 1000.0
    after = model.fit(data)
    cells = 0 if _is_exogenous(before, column) else _outcome_cells(name, column)
    assert_allclose(after.loglik, before.loglik - cells * np.log(1000.0), rtol=1e-9)
    assert_allclose(after.fit_measures()["chisq"], before.fit_measures()["chisq"], rtol=1e-4, atol=1e-5)
    assert_allclose(after.fit_measures()["srmr"], before.fit_measures()["srmr"], rtol=1e-3, atol=1e-6)
    one, two = before.standardized_solution(), after.standardized_solution()
    related = one["op"] != ":="
    assert_allclose(two.loc[related, "est_std"], one.loc[related, "est_std"], rtol=1e-3, atol=1e-4)
    assert_allclose(two.loc[related, "se"], one.loc[related, "se"], rtol=1e-3, atol=1e-4)
    assert_allclose(after.r_squared()["r2"], before.r_squared()["r2"], rtol=1e-3, atol=1e-5)
    # z values of loadings, regressions and variances do not know the units either.
    z_one, z_two = before.parameter_estimates(), after.parameter_estimates()
    free = z_one["op"].isin(["=~", "~", "~~"])
    assert_allclose(z_two.loc[free, "z"], z_one.loc[free, "z"], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", LOCATION_FREE)
def test_origin_of_one_column(name: str) -> None:
    model, before = BY_NAME[name], fitted(name)
    data = model.data()
    data[model.columns[-1]] += 100.0
    after = model.fit(data)
    assert_allclose(after.loglik, before.loglik, rtol=1e-9)
    one, two = before.parameter_estimates(), after.parameter_estimates()
    slopes = one["op"].isin(["=~", "~", "~~", ":="])
    assert_allclose(two.loc[slopes, "est"], one.loc[slopes, "est"], rtol=1e-3, atol=1e-4)
    assert_allclose(two.loc[slopes, "se"], one.loc[slopes, "se"], rtol=1e-3, atol=1e-6)
    for a, b in zip(after.implied(), before.implied(), strict=True):
        shift = np.where(a.mean.index == model.columns[-1], 100.0, 0.0)
        assert_allclose(a.mean, b.mean + shift, rtol=1e-4, atol=1e-4)


def test_a_cfa_follows_the_units_of_its_indicators() -> None:
    model = BY_NAME["cfa"]
    data = model.data()
    after = model.fit(data.assign(x2=data["x2"] * 10, x4=data["x4"] * 5)).parameter_estimates()
    before = fitted("cfa").parameter_estimates()
    factors = {
        ("f", "=~", "x2"): 10, ("x2", "~~", "x2"): 100, ("x2", "~1", ""): 10, ("x4", "~1", ""): 5,
        ("x4", "~~", "x4"): 25, ("g", "~~", "g"): 25, ("f", "~~", "g"): 5, ("g", "=~", "x5"): 0.2,
        ("g", "=~", "x6"): 0.2,
    }  # fmt: skip
    factor = np.array([factors.get((r.lhs, r.op, r.rhs), 1) for r in before.itertuples()])
    assert_allclose(after["est"], before["est"] * factor, rtol=1e-4, atol=1e-5)
    assert_allclose(after["se"], before["se"] * factor, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_implied_moments_are_those_of_the_estimates(name: str) -> None:
    results = fitted(name)
    for moments, ram in zip(results.implied(), results.fit.problem.maps, strict=True):
        mean, cov = ram.moments(results.fit.theta)
        assert_allclose(moments.cov, cov)
        assert_allclose(moments.mean, mean)
        assert np.linalg.eigvalsh(cov)[0] > 0
        assert list(moments.cov.columns) == list(moments.mean.index)


@pytest.mark.parametrize("name", NAMES)
def test_the_estimates_come_near_the_population(name: str) -> None:
    # Implied and simulated covariances agree within sampling error, or the simulation or the model is wrong.
    measures = fitted(name).fit_measures()
    if measures["df"] > 0:
        assert measures["pvalue"] > 1e-3
        assert measures["rmsea"] < 0.1
