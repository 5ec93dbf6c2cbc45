"""Whether the moments determine the parameters, and which parameters they leave open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fosa_sem.errors import IdentificationError
from fosa_sem.fiml.information import lower_triangle
from fosa_sem.fiml.problem import ACTIVE, FitProblem
from fosa_sem.fiml.start import meeting_constraints, starting_values
from fosa_sem.model.labels import row_name
from fosa_sem.model.scaling import regular_inverse, within
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]

RANK_TOLERANCE = 1e-7
"""Singular value of the scaled Jacobian, relative to the largest, below which a direction counts as flat."""
REGULAR = 1e-8
"""Smallest over largest eigenvalue of the complete-data information from which its rank needs no closer look."""
WIDTHS = (0.2, 0.2, 0.1, 0.05, 0.02)
"""How far from the start points are tried, in units of one row's standard error, until two have moments."""
ROUNDING = 1e-8
"""Distance between unit vectors that is only rounding."""
INVOLVED = 0.05
"""Share of a flat direction from which a parameter is named."""


def check_identified(problem: FitProblem) -> None:
    """Local identification at a generic point near the starting values (Wald's rank rule, on the Jacobian).

    Two seeded random points are tried: a rank that is full at either is the generic one, and so it is if it is full at
    the start itself. Inequalities determine nothing, unless some together are equalities (a > 1 and a < 1).

    Raises
    ------
    IdentificationError
        Naming the parameters that the moments leave open.
    """
    start = starting_values(problem, given=False)
    try:
        information = problem.complete_information(start)
    except np.linalg.LinAlgError:  # fixed values rule out any moments, which the engine says
        return
    if not problem.restrictions and _is_regular(problem.equality.basis, information):
        return
    rng = np.random.default_rng(0)
    unit = _row_errors(problem, information)
    verdicts: list[list[str]] = []
    for width in WIDTHS:
        try:
            # away from the special values (zero regressions and covariances) of the start
            point = _meeting_equalities(problem, start + width * unit * rng.standard_normal(len(start)))
            basis = problem.tangent(point, "equalities")
            if _is_regular(basis, problem.complete_information(point)):
                return
            verdicts.append(flat_parameters(problem.table, basis, _jacobian(problem, point)))
        except np.linalg.LinAlgError:  # no moments there: closer to the start there are
            continue
        if not verdicts[-1]:
            return
        if len(verdicts) == 2:
            break
    flat = verdicts[-1] if verdicts else []
    if flat and not _pinned_down(problem, point):
        raise IdentificationError(
            f"the model is not identified: the means and covariances do not determine {', '.join(flat)}; "
            "fix or constrain some of them, or add indicators"
        )


def _meeting_equalities(problem: FitProblem, theta: FloatArray) -> FloatArray:
    """The point moved to where the equality constraints hold: what they determine depends on it if they are curved."""
    theta = problem.equality.expand(problem.equality.reduce(theta))
    equal = replace(problem, restrictions=problem.restrictions.only(equalities=True))
    return meeting_constraints(equal, theta)


def _pinned_down(problem: FitProblem, theta: FloatArray) -> bool:
    """Whether inequalities between which there is no room determine what the moments leave open.

    Bounds do not count, as standard errors take no account of them: a parameter is better fixed.
    """
    formulas = slice(len(problem.restrictions.equalities), len(problem.restrictions.statements))
    if len(problem.restrictions.inequalities) < 2:
        return False
    from scipy.optimize import nnls  # slow to load, and hardly ever needed

    theta = meeting_constraints(problem, theta)
    basis = problem.tangent(theta, "equalities")
    on_boundary = problem.distances(theta)[formulas] < ACTIVE
    rows = problem.restrictions.at(theta)[1][formulas][on_boundary] @ basis
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    # No room on either side: what an inequality forbids is what others, weighted positively, demand (Farkas).
    pinned = [len(rows) > 1 and nnls(np.delete(rows, i, axis=0).T, -row)[1] < ROUNDING for i, row in enumerate(rows)]
    held = rows[np.array(pinned, dtype=bool)]
    return len(held) > 0 and _is_regular(basis @ linalg.null_space(held), problem.complete_information(theta))


def _is_regular(basis: FloatArray, information: FloatArray) -> bool:
    return regular_inverse(within(basis, information), REGULAR) is not None


def _row_errors(problem: FitProblem, information: FloatArray) -> FloatArray:
    """Standard errors that one row of complete data would leave, each parameter by itself, shape (k,)."""
    per_row = information.diagonal() / sum(p.n_rows for p in problem.patterns)
    return np.asarray(1.0 / np.sqrt(np.where(per_row > 0, per_row, 1.0)))


def _jacobian(problem: FitProblem, theta: FloatArray) -> FloatArray:
    """Derivatives of all standardised moments, shape (moments, k)."""
    parts = []
    for ram, moments in zip(problem.maps, problem.saturated, strict=True):
        scale = np.sqrt(np.diag(moments.cov))
        d_mean, d_cov = ram.jacobian(theta)
        lower = lower_triangle(len(scale))
        parts += [(d_mean / scale).T, (d_cov / np.outer(scale, scale))[:, lower[0], lower[1]].T]
    return np.vstack(parts)


def flat_parameters(table: ParameterTable, basis: FloatArray, jacobian: FloatArray) -> list[str]:
    """Names of the parameters along which a Jacobian (or information matrix), shape (., k), has no slope."""
    reduced = jacobian @ basis
    norms = np.linalg.norm(reduced, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    _, values, rows = np.linalg.svd(reduced / norms, full_matrices=True)
    rank = int((values > RANK_TOLERANCE * max(values.max(initial=0.0), 1e-300)).sum())
    directions = rows[rank:] / norms
    if not len(directions):
        return []
    share = np.abs(basis @ directions.T)
    unit = np.abs(basis) @ (1.0 / norms)
    involved = (share / unit[:, None]).max(axis=1) > INVOLVED
    return [row_name(row) for row, bad in zip(table.free_rows(), involved, strict=True) if bad]
