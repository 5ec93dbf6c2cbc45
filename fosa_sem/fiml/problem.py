"""What an engine is given: the parameter table, the data as patterns, and the likelihood as a function of theta."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.data.sample import Sample
from fosa_sem.fiml.normal import NormalEvaluation, evaluate
from fosa_sem.fiml.saturated import SaturatedMoments
from fosa_sem.model.constraints import EqualityConstraints
from fosa_sem.model.ram import RamMap, RamMatrices
from fosa_sem.model.restrictions import Restrictions
from fosa_sem.model.scaling import within
from fosa_sem.syntax.table import ParameterTable

FloatArray = NDArray[np.float64]
Held = Literal["equalities", "formulas", "all"]

ACTIVE = 1e-4
"""Distance from its boundary, in complete-data standard errors, up to which an inequality counts as active."""


@dataclass(frozen=True, kw_only=True)
class GroupPoint:
    """One group's moments at one theta; the likelihood there is evaluated when first asked for.

    Attributes
    ----------
    ram : RamMap
    patterns : MissingPatterns
    matrices : RamMatrices
    moments : tuple of (mean, cov), shape (p,), (p, p)
    """

    ram: RamMap
    patterns: MissingPatterns
    matrices: RamMatrices
    moments: tuple[FloatArray, FloatArray]

    @cached_property
    def likelihood(self) -> NormalEvaluation:
        """Raises LinAlgError if the covariance matrix is not positive definite."""
        return evaluate(self.patterns, *self.moments)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitProblem:
    """Maximise the joint log-likelihood of the observed cells over theta.

    Attributes
    ----------
    table : ParameterTable
        Theta follows its free rows; exogenous moments are filled in.
    sample : Sample
        For engines that take data.
    maps : tuple of RamMap
        One per group.
    patterns : tuple of MissingPatterns
        One per group.
    saturated : tuple of SaturatedMoments
        One per group.
    equality : EqualityConstraints
        Linear ones, shared labels among them.
    restrictions : Restrictions
        All others.
    starts : dict
        Of `fosa_sem.fiml.start.starting_values`: with (True) and without the user's own.
    """

    table: ParameterTable
    sample: Sample
    maps: tuple[RamMap, ...]
    patterns: tuple[MissingPatterns, ...]
    saturated: tuple[SaturatedMoments, ...]
    equality: EqualityConstraints
    restrictions: Restrictions
    starts: dict[bool, FloatArray] = field(default_factory=dict, init=False, repr=False, compare=False)
    _last: dict[bytes, tuple[GroupPoint, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, theta: NDArray[np.inexact]) -> tuple[GroupPoint, ...]:
        """Every group at a point; the last one is kept, as value, information and tests are asked for in turn.

        Raises
        ------
        numpy.linalg.LinAlgError
            If directed effects have no finite total.
        """
        key = theta.tobytes()
        found = self._last.get(key)
        if found is None:
            groups = zip(self.maps, self.patterns, strict=True)
            filled = ((ram, patterns, ram.matrices(theta)) for ram, patterns in groups)
            found = tuple(
                GroupPoint(ram=ram, patterns=patterns, matrices=at, moments=ram.moments(at))
                for ram, patterns, at in filled
            )
            self._last.clear()
            self._last[key] = found
        return found

    def distances(self, theta: FloatArray) -> FloatArray:
        """Values of the restrictions in complete-data standard errors: negative if violated, shape (restrictions,)."""
        values, slopes = self.restrictions.at(theta)
        size = np.linalg.norm(slopes * _units(self.complete_information(theta)), axis=1)
        return np.asarray(values / np.where(size > 0, size, 1.0))

    def tangent(self, theta: FloatArray, held: Held = "formulas") -> FloatArray:
        """Basis of the directions that the constraints leave open at ``theta``.

        Parameters
        ----------
        theta : ndarray, shape (k,)
        held : {"equalities", "formulas", "all"}
            Equality constraints alone; with the active inequalities that were written as formulas, on which standard
            errors are conditional as in lavaan; with the active bounds, of which lavaan's take no account.

        Returns
        -------
        ndarray, shape (k, r)
        """
        basis, restrictions = self.equality.basis, self.restrictions
        if not restrictions:
            return basis
        index = np.arange(len(restrictions))
        active = (index < len(restrictions.equalities)) | (self.distances(theta) < ACTIVE)
        if held == "equalities":
            active &= index < len(restrictions.equalities)
        elif held == "formulas":
            active &= index < len(restrictions.statements)
        unit = _units(within(basis, self.complete_information(theta)))
        rows = restrictions.at(theta)[1][active] @ basis * unit
        norms = np.linalg.norm(rows, axis=1)
        rows = rows[norms > 0] / norms[norms > 0, None]
        if not len(rows):
            return basis
        open_directions = linalg.null_space(rows, rcond=1e-8)
        open_directions[np.abs(open_directions) < 1e-12] = (
            0.0  # what is held has no standard error, not even a tiny one
        )
        return np.asarray(basis @ (unit[:, None] * open_directions))

    def equality_rank(self, theta: FloatArray) -> int:
        """Rank of all equality constraints at ``theta``; active inequalities do not count (ledger 8)."""
        return len(theta) - int(self.tangent(theta, "equalities").shape[1])

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Log-likelihood and its gradient.

        Parameters
        ----------
        theta : ndarray, shape (k,)

        Returns
        -------
        value : float
            -inf where the implied covariance matrix is not positive definite.
        gradient : ndarray, shape (k,)
        """
        total, gradient = 0.0, np.zeros(len(theta))
        try:
            for group in self.at(theta):
                total += group.likelihood.loglik
                gradient += group.ram.pull_back(group.matrices, *group.likelihood.moment_gradient())
        except np.linalg.LinAlgError:
            return -math.inf, np.full(len(theta), math.nan)
        return (total, gradient) if math.isfinite(total) else (-math.inf, gradient)

    def complete_information(self, theta: FloatArray) -> FloatArray:
        """Expected information as if the data were complete: the metric of the optimiser.

        Parameters
        ----------
        theta : ndarray, shape (k,)

        Returns
        -------
        ndarray, shape (k, k)
            sum over groups of N [d mu' P d mu + tr(P d Sigma P d Sigma) / 2].

        Notes
        -----
        With d Sigma = u v' + v u' for every parameter, the trace is 2 [(u'Pu)(v'Pv) + (u'Pv)(v'Pu)].
        """
        information = np.zeros((len(theta),) * 2)
        for group in self.at(theta):
            root, failed = lapack.dpotrf(group.moments[1], lower=True)
            if failed:
                raise np.linalg.LinAlgError("the implied covariance matrix is not positive definite")
            slopes = group.ram.factored_jacobian(group.matrices) @ lapack.dtrtri(root, lower=True)[0].T
            of_mean, of_left, of_right = slopes @ slopes.transpose(0, 2, 1)
            mixed = slopes[1] @ slopes[2].T
            information += group.patterns.n_rows * (of_mean + of_left * of_right + mixed * mixed.T)
        return information

    def unrestricted(self) -> FitProblem:
        """The problem with its linear equalities alone."""
        return replace(self, restrictions=self.restrictions.only(equalities=False))

    def on_saturated_moments(self) -> FitProblem:
        """The complete-data problem whose sample moments are those of the saturated model."""
        complete = tuple(
            MissingPatterns.from_moments(p.n_rows, s.mean, s.cov)
            for p, s in zip(self.patterns, self.saturated, strict=True)
        )
        return replace(self, patterns=complete)


def _units(information: FloatArray) -> FloatArray:
    """Standard errors as if every parameter stood alone; 1 where there is no information."""
    diagonal = np.diag(information)
    return 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
