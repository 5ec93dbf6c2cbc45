"""Bootstrap draws: rows drawn anew within groups, and the model refitted from the estimates."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fosa_sem.data.patterns import MissingPatterns
from fosa_sem.data.sample import GroupSample
from fosa_sem.errors import ConvergenceError, FosaError, FosaWarning, InferenceWarning, OptionError
from fosa_sem.fiml.engines.native import estimate_nearby
from fosa_sem.fiml.information import observed_information
from fosa_sem.fiml.problem import FitProblem
from fosa_sem.inference.assemble import refilled
from fosa_sem.inference.audit import is_proper
from fosa_sem.inference.options import ResolvedOptions

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]
BootstrapType = Literal["ordinary", "parametric"]
Statistic = Callable[[FitProblem, FloatArray], FloatArray]

CHUNK = 20
"""Draws that a process makes in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Bootstrap draws.

    Attributes
    ----------
    values : ndarray, shape (n, s)
        Of theta, or of another statistic; rows of failed draws are NaN.
    failed, improper : ndarray of bool, shape (n,)
        Did not converge; converged to an inadmissible solution (such as a negative variance), which is kept.
    kind : {"ordinary", "parametric"}
    seed : int
    """

    values: FloatArray
    failed: BoolArray
    improper: BoolArray
    kind: BootstrapType
    seed: int

    @property
    def successful(self) -> FloatArray:
        """Values of the draws that did not fail, shape (successful, s)."""
        return self.values[~self.failed]

    def covariance(self) -> FloatArray:
        """Covariance matrix of the statistic, divided by the number of draws (as lavaan), shape (s, s)."""
        return np.atleast_2d(np.cov(self.successful, rowvar=False, bias=True))

    def counts(self, sizes: Sequence[int]) -> FloatArray:
        """How often each row stands in each successful draw, shape (successful, N).

        Parameters
        ----------
        sizes : sequence of int
            Rows per group.
        """
        taken = [_rows(self.seed, int(b), sizes) for b in np.flatnonzero(~self.failed)]
        return np.array([
            np.concatenate([np.bincount(r, minlength=n) for r, n in zip(rows, sizes, strict=True)]) for rows in taken
        ]).astype(float)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampler:
    """What a draw needs; it is sent to other processes."""

    problem: FitProblem
    theta: FloatArray
    information: FloatArray
    resolved: ResolvedOptions
    kind: BootstrapType
    seed: int
    statistic: Statistic | None

    def many(self, numbers: Sequence[int]) -> list[tuple[FloatArray | None, bool]]:
        return [self.one(number) for number in numbers]

    def one(self, number: int) -> tuple[FloatArray | None, bool]:
        """Value (None if the draw failed) and whether the solution is proper."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FosaWarning)  # failed and improper draws are counted instead
            try:
                problem = refilled(
                    self.problem, self._groups(number), self.resolved, moments=self.statistic is not None
                )
                theta = estimate_nearby(problem, self.theta, self.information)
                if theta is None:
                    return None, False
                value = theta if self.statistic is None else self.statistic(problem, theta)
            except (FosaError, np.linalg.LinAlgError):
                return None, False
        value = np.atleast_1d(np.asarray(value, dtype=float))
        return value if np.isfinite(value).all() else None, is_proper(problem, theta)

    def _groups(self, number: int) -> tuple[GroupSample, ...]:
        groups = self.problem.sample.groups
        if self.kind == "parametric":
            drawn = _simulated(self.problem, self.theta, np.random.default_rng((self.seed, number)))
            return tuple(
                replace(g, values=v, patterns=MissingPatterns.from_values(v))
                for g, v in zip(groups, drawn, strict=True)
            )
        rows = _rows(self.seed, number, [len(g.rows) for g in groups])
        return tuple(
            replace(g, rows=g.rows[r], values=g.values[r], patterns=MissingPatterns.from_values(g.values[r]))
            for g, r in zip(groups, rows, strict=True)
        )


def _rows(seed: int, number: int, sizes: Sequence[int]) -> list[IntArray]:
    """Rows of one draw, per group; they depend on nothing but the seed and the number of the draw."""
    rng = np.random.default_rng((seed, number))
    return [rng.integers(0, n, size=n) for n in sizes]


def _simulated(problem: FitProblem, theta: FloatArray, rng: np.random.Generator) -> list[FloatArray]:
    """Values from the model's normal distribution, with the holes of the data."""
    drawn = []
    for ram, group in zip(problem.maps, problem.sample.groups, strict=True):
        mean, cov = ram.moments(theta)
        values = rng.multivariate_normal(mean, cov, size=len(group.rows), method="cholesky")
        drawn.append(np.where(np.isnan(group.values), math.nan, values))
    return drawn


def resample(
    problem: FitProblem, theta: FloatArray, resolved: ResolvedOptions, *, n: int, seed: int,
    kind: BootstrapType = "ordinary", statistic: Statistic | None = None, n_jobs: int = 1, verbose: bool | None = None,
) -> Draws:  # fmt: skip
    """Draw, refit and count what fails.

    Parameters
    ----------
    problem : FitProblem
    theta : ndarray, shape (k,)
        The estimate.
    resolved : ResolvedOptions
    n : int
        Number of draws.
    seed : int
        The same seed gives the same draws, whatever ``n_jobs``.
    kind : {"ordinary", "parametric"}
        Rows with replacement within groups; or values from the fitted model, with the holes of the data.
    statistic : callable, optional
        Of the draw's problem (with its saturated moments) and estimate; theta itself by default.
    n_jobs : int, default 1
        Processes; -1 for all cores.
    verbose : bool, optional
        Show a progress bar; None shows one on a terminal only.

    Raises
    ------
    OptionError
    ConvergenceError
        If more than half of the draws fail.

    Warns
    -----
    InferenceWarning
        Counts of failed and of inadmissible draws.
    """
    _check(n, seed, kind, n_jobs)
    sampler = _Sampler(
        problem=problem, theta=theta, information=observed_information(problem, theta), resolved=resolved, kind=kind,
        seed=seed, statistic=statistic,
    )  # fmt: skip
    found = list(_run(sampler, n, n_jobs, verbose))
    failed = np.array([value is None for value, _ in found])
    improper = np.array([not proper for _, proper in found]) & ~failed
    if failed.sum() > n / 2:
        raise ConvergenceError(
            f"{failed.sum()} of {n} bootstrap draws failed: the model cannot be fitted to most resamples of these data"
        )
    _say(int(failed.sum()), int(improper.sum()), n)
    width = next(len(value) for value, _ in found if value is not None)
    values = np.array([np.full(width, math.nan) if value is None else value for value, _ in found])
    return Draws(values=values, failed=failed, improper=improper, kind=kind, seed=seed)


def _run(sampler: _Sampler, n: int, n_jobs: int, verbose: bool | None) -> Iterator[tuple[FloatArray | None, bool]]:
    from tqdm import tqdm

    chunks = [range(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    show = sys.stderr.isatty() if verbose is None else verbose
    with tqdm(total=n, desc="bootstrap", unit="draw", disable=not show) as bar:
        if n_jobs == 1:
            results: Iterator[list[tuple[FloatArray | None, bool]]] = map(sampler.many, chunks)
        else:
            from joblib import Parallel, delayed

            results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(sampler.many)(c) for c in chunks)
        for done in results:
            bar.update(len(done))
            yield from done


def _check(n: int, seed: int, kind: str, n_jobs: int) -> None:
    for name, value, least in (("n", n, 2), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise OptionError(f"{name} must be a whole number from {least} on, got {value!r}")
    if kind not in get_args(BootstrapType):
        raise OptionError(f"type must be one of {', '.join(get_args(BootstrapType))}, got {kind!r}")
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or (n_jobs < 1 and n_jobs != -1):
        raise OptionError(f"n_jobs must be a number of processes, or -1 for all cores, got {n_jobs!r}")


def _say(failed: int, improper: int, n: int) -> None:
    if failed:
        warnings.warn(f"{failed} of {n} bootstrap draws failed and are left out", InferenceWarning, stacklevel=4)
    if improper:
        warnings.warn(
            f"{improper} of {n} bootstrap draws have inadmissible solutions, which are kept",
            InferenceWarning,
            stacklevel=4,
        )
