"""Nonlinear equalities, inequalities and bounds as functions of theta."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from zoo import central_jacobian

from fosa_sem import parameter_table
from fosa_sem.errors import ModelSpecificationError
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.restrictions import Restrictions

LABELLED = "y ~ a*x1 + b*x2 + c*x3\nz ~ d*x1\n"


K = parameter_table(LABELLED).n_free


def _of(constraints: str) -> Restrictions:
    return Restrictions.from_table(parameter_table(LABELLED + constraints))


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        ("a == b^2", lambda a, b, c, d: a - b**2),
        ("a*b == 1", lambda a, b, c, d: a * b - 1),
        ("exp(a) == c", lambda a, b, c, d: np.exp(a) - c),
        ("abs(a) == 1", lambda a, b, c, d: abs(a) - 1),
        ("max(a, b) == d", lambda a, b, c, d: max(a, b) - d),
        ("a > 0", lambda a, b, c, d: a),
        ("a < b", lambda a, b, c, d: b - a),
        ("2 < a + b", lambda a, b, c, d: a + b - 2),
        ("q := a*b\nq < c/d", lambda a, b, c, d: c / d - a * b),
        (".p1. > .p2.", lambda a, b, c, d: a - b),
    ],
)
def test_a_constraint_is_a_function_with_its_slopes(constraint: str, value) -> None:
    restrictions = _of(constraint)
    theta = np.random.default_rng(2).uniform(0.5, 2.0, K)
    assert len(restrictions) == 1
    found, slopes = restrictions.at(theta)
    assert_allclose(found, value(*theta[:4]), rtol=1e-14)
    assert_allclose(slopes.T, central_jacobian(lambda t: restrictions.at(t)[0], theta), rtol=1e-8, atol=1e-9)


def test_linear_equalities_are_left_to_the_basis() -> None:
    constraints = "a == b\nc*d == 1\na + c > 0"
    restrictions = _of(constraints)
    assert restrictions.names == ("c*d == 1", "a+c > 0")
    assert len(restrictions.equalities) == 1
    assert restrictions.linear == (False, True)
    assert EqualityConstraints.from_table(parameter_table(LABELLED + constraints)).rank == 1


def test_bounds_come_last_with_their_place() -> None:
    table = parameter_table("f =~ x1 + lower(0.2)*x2 + upper(3)*x3\nx1 ~~ v*lower(0)*x1\nv < 9")
    restrictions = Restrictions.from_table(table)
    assert restrictions.names == ("v < 9", "f =~ x2 >= 0.2", "f =~ x3 <= 3", "x1 ~~ x1 >= 0")
    theta = np.arange(1.0, table.n_free + 1)
    assert_allclose(restrictions.at(theta)[0], [6.0, 0.8, 1.0, 3.0])
    assert [span.line for span in restrictions.spans] == [3, 1, 1, 2]


def test_most_models_have_none() -> None:
    restrictions = _of("a == 2*b\nq := a*b")
    assert not restrictions
    values, slopes = restrictions.at(np.ones(K))
    assert values.shape == (0,)
    assert slopes.shape == (0, K)


def test_an_undefined_formula_is_nan() -> None:
    restrictions = _of("log(a) > 0")
    assert np.isnan(restrictions.at(np.full(K, -1.0))[0]).all()


def test_curvature_is_the_weighted_hessian() -> None:
    restrictions = _of("a^2*b == 1\nc*d < 2\na > 0")
    theta = np.random.default_rng(3).uniform(0.5, 2.0, K)
    a, b = theta[:2]
    expected = np.zeros((len(theta),) * 2)
    expected[0, 0], expected[0, 1], expected[1, 0] = 2 * b * 0.7, 2 * a * 0.7, 2 * a * 0.7
    expected[2, 3] = expected[3, 2] = -1.3
    # Differences of exact slopes with steps of 1e-5: rounding of about 1e-16 / 1e-5.
    assert_allclose(restrictions.curvature(theta, np.array([0.7, 1.3, 5.0])), expected, atol=1e-9)


def test_a_value_fixed_outside_its_bound_is_refused() -> None:
    with pytest.raises(ModelSpecificationError, match=r"fixed at 1, outside its bound 0\.5; free it") as caught:
        Restrictions.from_table(parameter_table("f =~ upper(0.5)*x1 + x2 + x3"))
    assert (caught.value.line, caught.value.column) == (1, 17)
    assert not Restrictions.from_table(parameter_table("f =~ upper(1.5)*x1 + x2 + x3"))
