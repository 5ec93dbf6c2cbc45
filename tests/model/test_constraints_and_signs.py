"""Shared labels as a basis, and the direction of factors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fosa_sem import parameter_table
from fosa_sem.errors import ModelSpecificationError
from fosa_sem.model.compile import compile_ram
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.signs import orient_factors


def test_equal_labels_share_a_column() -> None:
    equality = EqualityConstraints.from_table(parameter_table("f =~ x1 + a*x2 + a*x3 + a*x4"))
    assert equality.rank == 2
    theta = equality.expand(np.arange(float(equality.basis.shape[1])))
    assert theta[0] == theta[1] == theta[2] == 0.0
    assert len(set(theta)) == len(theta) - 2


def test_reduce_takes_the_average_of_unequal_values_and_inverts_expand() -> None:
    equality = EqualityConstraints.from_table(parameter_table("f =~ x1 + a*x2 + a*x3"))
    theta = np.arange(9.0)
    assert_allclose(equality.expand(equality.reduce(theta))[:2], [0.5, 0.5])
    alpha = np.linspace(-1, 1, equality.basis.shape[1])
    assert_allclose(equality.reduce(equality.expand(alpha)), alpha, atol=1e-14)


def test_no_labels_no_constraints() -> None:
    equality = EqualityConstraints.from_table(parameter_table("f =~ x1 + x2 + x3"))
    assert equality.rank == 0
    assert_allclose(equality.basis, np.eye(len(equality.basis)))


LABELLED = "y ~ a*x1 + b*x2 + c*x3\nz ~ d*x1\n"


def _satisfied(constraints: str, *expected: float) -> EqualityConstraints:
    """The constraints of the labelled model; each row of `expected` holds for every alpha."""
    equality = EqualityConstraints.from_table(parameter_table(LABELLED + constraints))
    theta = equality.expand(np.random.default_rng(1).normal(size=equality.basis.shape[1]))
    assert_allclose(np.asarray(expected)[:-1] @ theta[:4], expected[-1], atol=1e-12)
    return equality


@pytest.mark.parametrize(
    ("constraint", "row"),
    [
        ("a == b", (1, -1, 0, 0, 0)),
        ("a == 2", (1, 0, 0, 0, 2)),
        ("2 == a", (1, 0, 0, 0, 2)),
        ("a + b + c == 1", (1, 1, 1, 0, 1)),
        ("a - 2*b == c/4 + 3", (1, -2, -0.25, 0, 3)),
        ("a/2 == -(b - c) * exp(0)", (0.5, 1, -1, 0, 0)),
        ("q := a + b\nq == d", (1, 1, 0, -1, 0)),
        (".p1. == .p2.", (1, -1, 0, 0, 0)),
        ("a^1 == log(exp(b))", (1, -1, 0, 0, 0)),
    ],
)
def test_a_linear_constraint_holds_everywhere(constraint: str, row: tuple[float, ...]) -> None:
    assert _satisfied(constraint, *row).rank == 1


def test_constraints_and_shared_labels_work_together() -> None:
    table = parameter_table("y ~ a*x1 + a*x2 + b*x3\na == 2*b + 1")
    equality = EqualityConstraints.from_table(table)
    theta = equality.expand(np.full(equality.basis.shape[1], 0.7))
    assert equality.rank == 2
    assert_allclose([theta[0], theta[0]], [theta[1], 2 * theta[2] + 1])


def test_redundant_constraints_count_once() -> None:
    assert _satisfied("a == b\nb == c\na == c\n2*a == 2*b", 1, 0, -1, 0, 0).rank == 2


@pytest.mark.parametrize("constraint", ["a == 1\na == 2", "a == b\na == b + 1", "1 == 2"])
def test_linear_equalities_that_contradict_each_other_are_refused(constraint: str) -> None:
    with pytest.raises(ModelSpecificationError, match="contradict each other") as caught:
        EqualityConstraints.from_table(parameter_table(LABELLED + constraint))
    assert caught.value.line == 3


STD = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\nh ~ f + g"


def test_turning_a_factor_keeps_the_moments() -> None:
    table = parameter_table(STD, std_lv=True)
    theta = np.random.default_rng(4).uniform(0.2, 1.0, table.n_free)
    theta[0] = -0.8
    turned = orient_factors(table, theta)
    (ram,) = compile_ram(table)
    for before, after in zip(ram.moments(theta), ram.moments(turned), strict=True):
        assert_allclose(before, after, rtol=1e-13)
    assert turned[0] == 0.8
    changed = {f"{r.lhs}{r.op}{r.rhs}" for r in table.free_rows() if turned[r.free - 1] != theta[r.free - 1]}
    assert changed == {"f=~x1", "f=~x2", "f=~x3", "h~f", "f~~g"}


@pytest.mark.parametrize(
    "model",
    [
        "f =~ x1 + x2 + x3",
        "f =~ NA*x1 + a*x2 + x3\nf ~~ 1*f",
        "f =~ NA*x1 + start(-1)*x2 + x3\nf ~~ 1*f",
        "f =~ NA*x1 + 0.5*x2 + x3\nf ~~ 1*f",
        "f =~ NA*x1 + lower(-2)*x2 + x3\nf ~~ 1*f",
        "f =~ NA*x1 + x2 + x3\nf ~~ 1*f\n.p2. > -1",
    ],
    ids=["marker", "label", "start", "fixed loading", "bound", "constraint by the row's own name"],
)
def test_a_factor_whose_sign_something_fixes_stays(model: str) -> None:
    table = parameter_table(model)
    theta = np.full(table.n_free, -0.5)
    assert_allclose(orient_factors(table, theta), theta)


def test_the_argument_is_not_changed() -> None:
    table = parameter_table("f =~ x1 + x2 + x3", std_lv=True)
    theta = np.full(table.n_free, -0.5)
    orient_factors(table, theta)
    assert (theta == -0.5).all()


@pytest.mark.parametrize("constraint", ["", "\na == a\n2*b == b + b"])
def test_the_basis_of_all_directions_is_the_identity(constraint: str) -> None:
    equality = EqualityConstraints.from_table(parameter_table("f =~ x1 + a*x2 + b*x3" + constraint))
    assert equality.rank == 0
    assert_allclose(equality.basis, np.eye(9), atol=0)
    theta = np.arange(9.0)
    assert_allclose(equality.expand(equality.reduce(theta)), theta, atol=0)


def test_a_linear_constraint_leaves_the_free_parameters_in_their_order() -> None:
    equality = EqualityConstraints.from_table(parameter_table("f =~ x1 + a*x2 + b*x3 + c*x4\na + 2*b + 3*c == 4"))
    alpha = np.arange(1.0, equality.basis.shape[1] + 1)
    theta = equality.expand(alpha)
    assert_allclose(theta[:3] @ [1.0, 2.0, 3.0], 4.0, rtol=1e-14)
    assert_allclose(equality.reduce(theta), alpha, rtol=1e-13)
    kept = equality.basis[(equality.basis != 0).sum(axis=1) == 1]
    assert_allclose(kept, np.eye(len(alpha)), atol=0)
