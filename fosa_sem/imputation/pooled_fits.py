"""The fits to m completed tables as one: mean estimates and what varies within and between imputations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fosa_sem.imputation.completion import FloatArray
from fosa_sem.imputation.imputed_fit import ImputedFit, mean_moments
from fosa_sem.inference.assemble import on_moments
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.tested import tested_model


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledFits:
    """Fits of one model to m completed tables.

    Attributes
    ----------
    each : tuple of ImputedFit, length m
    template : FimlFit
        To one of the tables, for what all have in common.
    """

    each: tuple[ImputedFit, ...]
    template: FimlFit

    @property
    def m(self) -> int:
        """Number of fits."""
        return len(self.each)

    def only(self, places: Sequence[int]) -> PooledFits:
        """Some of the fits."""
        return replace(self, each=tuple(self.each[i] for i in places))

    @cached_property
    def theta(self) -> FloatArray:
        """Mean of the estimates, shape (k,)."""
        return np.asarray(np.mean([fit.theta for fit in self.each], axis=0))

    @cached_property
    def within(self) -> FloatArray:
        """Mean of the covariance matrices, shape (k, k)."""
        return np.asarray(np.mean([fit.vcov for fit in self.each], axis=0))

    @cached_property
    def between(self) -> FloatArray:
        """Covariance matrix of the estimates over imputations, shape (k, k)."""
        return np.atleast_2d(np.cov([fit.theta for fit in self.each], rowvar=False))

    @property
    def riv(self) -> float:
        """Average relative increase in variance due to missing values (Li, Raghunathan & Rubin 1991)."""
        inverse = np.linalg.pinv(self.within, hermitian=True)
        return (1.0 + 1.0 / self.m) / self.template.npar * float((self.between * inverse).sum())

    def total(self, *, scaled: bool = False) -> FloatArray:
        """Covariance matrix of the pooled estimates, shape (k, k).

        Parameters
        ----------
        scaled : bool, default False
            (1 + `riv`) times that within (semTools: ``scale.W``); otherwise Rubin's, the sum of those within and
            between.
        """
        if scaled:
            return (1.0 + self.riv) * self.within
        return self.within + (1.0 + 1.0 / self.m) * self.between

    @cached_property
    def pooled(self) -> FimlFit:
        """The model at the pooled estimates, on average moments of the tables, with Rubin's covariance matrix.

        For tables of estimates; its tests and fit measures have no meaning.
        """
        average = mean_moments([fit.moments for fit in self.each])
        problem = on_moments(self.template.problem, self.template.n_rows.tolist(), average)
        return replace(
            self.template, problem=problem, theta=self.theta, vcov=self.total(),
            tested=tested_model(problem, self.theta),
        )  # fmt: skip
