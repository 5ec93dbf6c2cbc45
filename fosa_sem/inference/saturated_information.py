"""What the data say about the moments of the saturated model: information, and the covariance matrix of the moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fosa_sem.fiml.information import InformationKind, complete_information, lower_triangle
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.options import TWO_STAGE, InformationOptions, Missing
from fosa_sem.inference.tested import (
    MomentPair,
    information_about_moments,
    information_of_rows,
    modelled_moments,
    saturated_pairs,
)
from fosa_sem.model.scaling import SINGULAR, regular_inverse

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Matrices = tuple[FloatArray, ...]


@dataclass(frozen=True, kw_only=True)
class SaturatedInformation:
    """Matrices at the saturated moments, per group, shape (q, q); each is computed when first asked for.

    Rows and columns of moments that no model speaks of (means without a mean structure, fixed exogenous moments) are 0.

    Attributes
    ----------
    problem : FitProblem
    missing : str
        As in `ResolvedOptions`.
    """

    problem: FitProblem
    missing: Missing
    _kept: dict[str, Matrices] = field(default_factory=dict)

    @cached_property
    def kept(self) -> BoolArray:
        """Which moments a model speaks of, shape (q,)."""
        return modelled_moments(self.problem)

    @cached_property
    def at(self) -> tuple[MomentPair, ...]:
        """The saturated moments."""
        return saturated_pairs(self.problem)

    def information(self, kind: InformationKind) -> Matrices:
        """Information of the rows of the data."""
        if kind not in self._kept:
            if kind == "first.order" and self.missing == "listwise" and self._exogenous:
                found = tuple(
                    a @ g @ a for a, g in zip(self.information("expected"), self._residual_covariances(), strict=True)
                )
            else:
                found = information_of_rows(self.problem, kind, self.at)
            self._kept[kind] = _restricted(found, self.kept)
        return self._kept[kind]

    def inverse(self, kind: InformationKind) -> Matrices:
        """Inverse information of the rows over the moments kept, 0 elsewhere.

        Raises
        ------
        numpy.linalg.LinAlgError
            If it is singular.
        """
        name = f"inverse {kind}"
        if name not in self._kept:
            self._kept[name] = tuple(self._inverted(matrix) for matrix in self.information(kind))
        return self._kept[name]

    def _inverted(self, matrix: FloatArray) -> FloatArray:
        index = np.ix_(self.kept, self.kept)
        block = matrix if self.kept.all() else matrix[index]
        found = regular_inverse(block, SINGULAR)
        if found is None:  # not definite, but perhaps not singular
            scale = 1.0 / np.sqrt(np.diag(block))
            found = np.linalg.inv(block * np.outer(scale, scale)) * np.outer(scale, scale)
        if block is matrix:
            return found
        inverse = np.zeros_like(matrix)
        inverse[index] = found
        return inverse

    @cached_property
    def complete_information(self) -> Matrices:
        """Information that as many complete rows would give.

        lavaan (0.6, 0.7) leaves out the moments of exogenous variables also with ``fixed_x=False``, except beside
        auxiliary variables, with which they covary; so it is here.
        """
        kept = modelled_moments(self.problem, fixed_x=not self.problem.table.auxiliary)
        groups = zip(self.problem.patterns, self.at, strict=True)
        return _restricted((complete_information(cov, patterns.weight) for patterns, (_, cov) in groups), kept)

    def moment_covariance(self, kind: InformationKind) -> Matrices:
        """Gamma / N: covariance matrix of the saturated moments that are fitted.

        Two-stage: inverse information of the incomplete rows (Savalei & Bentler 2009), or its sandwich with squared
        scores (robust; Savalei & Falk 2014, also what complete rows give: Browne 1984).
        """
        if self.missing == "two.stage":
            return self.inverse(kind)
        kind = kind if self.missing in TWO_STAGE else "expected"
        meats = self.information("first.order")
        return tuple(a @ b @ a for a, b in zip(self.inverse(kind), meats, strict=True))

    def weights(self, information: InformationOptions, structured: tuple[MomentPair, ...]) -> Matrices:
        """Weight of the moments in the likelihood that is maximised."""
        at = structured if information.moments == "structured" else self.at
        matrices = information_about_moments(self.problem, information.kind, at)
        return _restricted(matrices, self.kept)

    @property
    def _exogenous(self) -> list[int]:
        names = self.problem.table.names
        return [names.observed.index(x) for x in names.observed_x] if self.problem.table.fixed_x else []

    def _residual_covariances(self) -> Matrices:
        """Covariance / N of means and products, less what exogenous variables explain of the values (as lavaan)."""
        found = []
        for group, (mean, _) in zip(self.problem.sample.groups, self.at, strict=True):
            deviations = group.values - mean
            x = deviations[:, self._exogenous]
            explained = x @ np.linalg.lstsq(x, deviations, rcond=None)[0]
            row, col = lower_triangle(len(mean))
            left = np.hstack([deviations, deviations[:, row] * deviations[:, col]])
            left -= np.hstack([explained, explained[:, row] * explained[:, col]])
            left -= left.mean(axis=0)
            found.append(left.T @ left / len(left) ** 2)
        return tuple(found)


def _restricted(matrices: Iterable[FloatArray], kept: BoolArray) -> Matrices:
    """With 0 for the moments not kept."""
    if kept.all():
        return tuple(matrices)
    return tuple(np.where(np.outer(kept, kept), matrix, 0.0) for matrix in matrices)
