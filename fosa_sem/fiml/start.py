"""Starting values from the saturated moments."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from fosa_sem.errors import ConvergenceError, ModelSpecificationError
from fosa_sem.fiml.constrained import Constraints, nearest_admissible, positive_definite
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.model.scaling import correlation, within
from fosa_sem.syntax.table import ParameterTable, Row

FloatArray = NDArray[np.float64]

NEARBY = 0.3
"""Standard deviation of points tried around a start, in units of what one row of complete data tells."""
ATTEMPTS = 10
"""Points tried at which to meet curved constraints."""
SMALL_VARIANCES = (0.1, -0.1)
"""Latent variances of the cautious starts, as a share of the usual ones."""


def starting_values(problem: FitProblem, *, given: bool = True) -> FloatArray:
    """Theta from which the likelihood can be climbed: the user's starts (unless not ``given``), else simple ones.

    Loadings follow the leading eigenvector of the indicators' correlations (so that reversed items start with
    their sign), residual variances are half of the observed, regressions and covariances 0, intercepts the
    saturated means.

    Returns
    -------
    ndarray, shape (k,)
        Meeting the equality constraints. Kept with the problem, and so not to be written to.
    """
    table = problem.table
    free = table.free_rows()
    given = given and any(not math.isnan(row.ustart) for row in free)
    if given in problem.starts:
        return problem.starts[given]
    theta = np.zeros(len(free))
    for group in range(1, table.ngroups + 1):
        moments = problem.saturated[group - 1]
        at = {name: i for i, name in enumerate(table.names.observed)}
        loadings, variances = _factor_starts(table, group, at, moments.cov)
        for row in free:
            if row.group == group:
                known = given and not math.isnan(row.ustart)
                theta[row.free - 1] = (
                    row.ustart if known else _start(row, at, moments.mean, moments.cov, loadings, variances)
                )
    start = problem.equality.expand(problem.equality.reduce(theta))
    start.flags.writeable = False
    problem.starts[given] = start
    return start


def constraints_of(problem: FitProblem) -> Constraints:
    """The restrictions of a problem as functions of its reduced parameters."""
    basis = problem.equality.basis

    def at(alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
        values, slopes = problem.restrictions.at(problem.equality.expand(alpha))
        return values, slopes @ basis

    return Constraints(at=at, n_equal=len(problem.restrictions.equalities))


def meeting_constraints(problem: FitProblem, theta: FloatArray) -> FloatArray:
    """The point nearest to ``theta`` at which the constraints hold; starts that violate them are moved, as lavaan does.

    Where a curved constraint has no slope (``a*b == 0.3`` at 0), seeded random points nearby are tried too.

    Raises
    ------
    ModelSpecificationError
        If linear constraints contradict each other.
    ConvergenceError
        If no such point was found.
    """
    restrictions = problem.restrictions
    if not restrictions or not math.isfinite(problem.value_and_gradient(theta)[0]):
        return theta
    basis = problem.equality.basis
    # Every parameter by itself: to give way together, as their information has it, they may have to go far.
    near = np.diag(np.diag(positive_definite(within(basis, problem.complete_information(theta)))))
    alpha, rng = problem.equality.reduce(theta), np.random.default_rng(0)
    around = NEARBY * np.sqrt(problem.sample.n_used / np.diag(near))
    first, failed = theta, np.zeros(0, dtype=np.intp)
    for attempt in range(1 if all(restrictions.linear) else ATTEMPTS):
        start = alpha + (around * rng.standard_normal(len(alpha)) if attempt else 0.0)
        point, violated = nearest_admissible(start, constraints_of(problem), near)
        moved = problem.equality.expand(point)
        if not violated.any() and math.isfinite(problem.value_and_gradient(moved)[0]):
            return moved
        if not attempt:
            first, failed = moved, np.flatnonzero(violated)
    names = "; ".join(restrictions.names[i] for i in failed)
    if names and all(restrictions.linear):
        raise ModelSpecificationError(
            f"the constraints contradict each other: no values of the parameters meet {names}",
            restrictions.spans[failed[0]],
        )
    if names:
        raise ConvergenceError(
            f"no values of the parameters were found that meet {names}; check the constraints, or give start() values "
            "that meet them"
        )
    return first


def cautious_starts(problem: FitProblem) -> list[FloatArray]:
    """Further starts for data in which a factor hardly exists: small latent variances, equal loadings.

    With weak data the usual start leads along a ridge on which a factor variance vanishes or explodes. A maximum, if
    there is one, may have a negative variance, which is a finding (and warned of) rather than a failure.

    Returns
    -------
    list of ndarray, each (k,)
    """
    usual = starting_values(problem, given=False)
    starts = []
    for share in SMALL_VARIANCES:
        small = usual.copy()
        equal = usual.copy()
        for row in problem.table.free_rows():
            if row.op == "~~" and row.lhs == row.rhs and row.lhs in problem.table.names.latent:
                small[row.free - 1] *= share
                equal[row.free - 1] *= share
            elif row.op == "=~":
                equal[row.free - 1] = _equal_loading(problem, row, usual)
        starts += [small, equal]
    return starts


def _equal_loading(problem: FitProblem, row: Row, usual: FloatArray) -> float:
    """The loading at which an indicator reflects as much of the factor as the marker does, on a common scale."""
    at = {name: i for i, name in enumerate(problem.table.names.observed)}
    sd = np.sqrt(np.diag(problem.saturated[row.group - 1].cov))
    markers = [
        r for r in problem.table.rows
        if r.op == "=~" and r.lhs == row.lhs and r.group == row.group and not r.free and r.ustart and r.rhs in at
    ]  # fmt: skip
    if not markers or row.rhs not in at:
        return abs(float(usual[row.free - 1]))
    return float(markers[0].ustart * sd[at[row.rhs]] / sd[at[markers[0].rhs]])


def _start(
    row: Row, at: dict[str, int], mean: FloatArray, cov: FloatArray,
    loadings: dict[tuple[str, str], float], variances: dict[str, float],
) -> float:  # fmt: skip
    if row.op == "=~":
        return loadings[row.lhs, row.rhs]
    if row.op == "<~":  # a composite whose weights are all 0 would have no variance
        return 1.0 / math.sqrt(cov[at[row.rhs], at[row.rhs]]) if row.rhs in at else 1.0
    if row.op == "~1":
        return float(mean[at[row.lhs]]) if row.lhs in at else 0.0
    if row.op == "~~" and row.lhs == row.rhs:
        return 0.5 * float(cov[at[row.lhs], at[row.lhs]]) if row.lhs in at else variances[row.lhs]
    return 0.0


def _factor_starts(
    table: ParameterTable, group: int, at: dict[str, int], cov: FloatArray
) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Loadings and variances of every factor: unit-variance loadings, rescaled to what fixes the factor's scale."""
    indicators: dict[str, list[Row]] = defaultdict(list)
    variance_rows: dict[str, Row] = {}
    for row in table.rows:
        if row.group == group and row.op == "=~":
            indicators[row.lhs].append(row)
        elif row.group == group and row.op == "~~" and row.lhs == row.rhs:
            variance_rows[row.lhs] = row
    loadings: dict[tuple[str, str], float] = {}
    variances: dict[str, float] = {}
    for factor, rows in indicators.items():
        pull = _unit_loadings([r.rhs for r in rows], at, cov)
        scale = _factor_scale(rows, pull, variance_rows.get(factor))
        variances[factor] = scale**2
        loadings.update({(factor, r.rhs): value / scale for r, value in zip(rows, pull, strict=True)})
    return loadings, variances


def _factor_scale(rows: list[Row], pull: list[float], variance: Row | None) -> float:
    """Signed standard deviation of a factor: from its fixed variance, else from its marker indicator."""
    if variance is not None and not variance.free:
        return math.sqrt(variance.ustart) if variance.ustart > 0 else 1.0
    marker = next((i for i, r in enumerate(rows) if not r.free and r.ustart), None)
    return 1.0 if marker is None else pull[marker] / rows[marker].ustart


def _unit_loadings(indicators: list[str], at: dict[str, int], cov: FloatArray) -> list[float]:
    """Loadings on a factor of unit variance; indicators that are latent themselves get 0.7."""
    pull = [0.7] * len(indicators)
    seen = [i for i, name in enumerate(indicators) if name in at]
    if not seen:
        return pull
    index = np.array([at[indicators[i]] for i in seen])
    block = cov[index[:, None], index]
    sd = np.sqrt(block.diagonal())
    values, vectors, _ = lapack.dsyev(correlation(block), lower=True)
    lead = vectors[:, -1] * math.copysign(math.sqrt(values[-1]), vectors[0, -1])
    for i, loading, unit in zip(seen, lead.tolist(), sd.tolist(), strict=True):
        # A marker that hardly loads would blow up every other loading: keep all starts between .2 and .9.
        pull[i] = math.copysign(min(max(abs(loading), 0.2), 0.9), loading) * unit
    return pull
