"""Probabilities of the categories of missing cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fosa_sem.imputation.completion import BoolArray, FloatArray, GaussianRule

FLOOR = 1e-6
"""Of standard deviations, as a share of the range of the levels; expectations stay so far inside of that range."""
_DOUBLINGS, _HALVINGS = 40, 60


def level_probabilities(
    levels: FloatArray, expected: FloatArray, mean: FloatArray, sd: FloatArray, base: FloatArray | None = None
) -> FloatArray:
    """Probabilities of ordered levels whose expectation is a given value.

    Parameters
    ----------
    levels : ndarray, shape (K,)
        Ascending.
    expected : ndarray, shape (n,)
        Expected value of each cell; outside of the levels it counts as the closest of them.
    mean, sd : ndarray, shape (n,)
        Conditional moments; the levels' probabilities start from the normal density at the levels.
    base : ndarray, shape (n, K), optional
        Probabilities to start from instead.

    Returns
    -------
    ndarray, shape (n, K)

    Notes
    -----
    Of all distributions with the expectation asked for, the one closest to the start (in Kullback-Leibler divergence)
    has p_k proportional to start_k exp(t levels_k) (Kullback 1959, chapter 3); t is found by bisection. For two levels
    the expectation alone decides.
    """
    low, width = levels[0], levels[-1] - levels[0]
    unit = (levels - low) / width
    if base is None:
        scale = np.maximum(sd / width, FLOOR)[:, None]
        start = -0.5 * ((unit - ((mean - low) / width)[:, None]) / scale) ** 2
    else:
        start = np.log(np.maximum(base, 1e-300))
    target = np.clip((expected - low) / width, FLOOR, 1.0 - FLOOR)

    def tilted(t: FloatArray) -> FloatArray:
        return softmax(start + t[:, None] * unit)

    reach = np.ones(len(target))
    for _ in range(_DOUBLINGS):
        short = (tilted(reach) @ unit < target) | (tilted(-reach) @ unit > target)
        if not short.any():
            break
        reach = np.where(short, 2.0 * reach, reach)
    below, above = -reach, reach
    for _ in range(_HALVINGS):
        middle = (below + above) / 2.0
        less = tilted(middle) @ unit < target
        below, above = np.where(less, middle, below), np.where(less, above, middle)
    return tilted((below + above) / 2.0)


def softmax(logits: FloatArray) -> FloatArray:
    """exp(logits) over their sum along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxHead:
    """Probabilities of K unordered categories from the expectations of their K - 1 indicators.

    The expectations, given the other variables, say what these tell; they are no probabilities, as they can leave
    [0, 1]. A multinomial logistic regression on them gives some (the calibration of Platt 1999, for K categories).

    Attributes
    ----------
    block : ndarray of int, shape (K - 1,)
        Columns of the indicators, of all categories but the first.
    centre, scale : ndarray, shape (K - 1,)
        Of the expectations.
    intercepts : ndarray, shape (K,)
    slopes : ndarray, shape (K, K - 1)
    """

    block: NDArray[np.intp]
    centre: FloatArray
    scale: FloatArray
    intercepts: FloatArray
    slopes: FloatArray

    @classmethod
    def fit(cls, block: NDArray[np.intp], expected: FloatArray, indicators: FloatArray) -> SoftmaxHead:
        """Learn from rows in which the category is observed.

        Parameters
        ----------
        block : ndarray of int, shape (K - 1,)
        expected : ndarray, shape (n, K - 1)
            Expectations of the indicators as they are where the category is missing.
        indicators : ndarray, shape (n, K - 1)
            The indicators themselves, 0 or 1.
        """
        from sklearn.linear_model import LogisticRegression

        category = (indicators * np.arange(1, len(block) + 1)).sum(axis=1).astype(np.intp)
        centre, scale = expected.mean(axis=0), expected.std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)  # nothing else informs about the category
        fitted = LogisticRegression(max_iter=1000).fit((expected - centre) / scale, category)
        slopes, intercepts = fitted.coef_, fitted.intercept_
        if len(block) == 1:
            slopes, intercepts = np.vstack([0.0 * slopes, slopes]), np.array([0.0, *intercepts])
        return cls(block=block, centre=centre, scale=scale, intercepts=intercepts, slopes=slopes)

    def probabilities(self, expected: FloatArray) -> FloatArray:
        """Probabilities, shape (n, K), from the indicators' expectations, shape (n, K - 1)."""
        return softmax((expected - self.centre) / self.scale @ self.slopes.T + self.intercepts)


def hidden_expectations(
    rule: GaussianRule, values: FloatArray, observed: BoolArray, group: NDArray[np.intp], block: NDArray[np.intp]
) -> tuple[NDArray[np.intp], FloatArray]:
    """Conditional expectations of a block of columns where it is observed, with all of it hidden.

    Parameters
    ----------
    rule : GaussianRule
    values, observed : ndarray, shape (n, p)
    group : ndarray of int, shape (n,)
    block : ndarray of int, shape (b,)

    Returns
    -------
    rows : ndarray of int, shape (m,)
    expected : ndarray, shape (m, b)
    """
    rows = np.flatnonzero(observed[:, block[0]])
    shown = observed[rows].copy()
    shown[:, block] = False
    return rows, rule.conditional(values[rows], shown, group[rows])[0][:, block]
