"""Fraction of missing information: how much narrower standard errors would be, had no cell been missing."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from fosa_sem.errors import InferenceWarning
from fosa_sem.inference.fit import FimlFit
from fosa_sem.inference.standardized import delta_se
from fosa_sem.inference.tested import information_about_theta, tested_model

FloatArray = NDArray[np.float64]


def missing_information(fit: FimlFit, jacobian: FloatArray) -> FloatArray:
    """Fraction of missing information of functions of theta (lavaan: ``parameterEstimates(fmi = TRUE)``).

    Parameters
    ----------
    fit : FimlFit
    jacobian : ndarray, shape (rows, k)
        Slopes of the functions.

    Returns
    -------
    ndarray, shape (rows,)
        NaN for what is fixed, and for all where it is not defined.

    Warns
    -----
    InferenceWarning
        Without FIML and ordinary standard errors from the information.

    Notes
    -----
    1 - (complete / actual squared standard error), where the complete-data standard errors are those at the same
    estimates if the saturated (EM) moments had been computed from as many complete rows (Savalei & Rhemtulla 2012).
    """
    undefined = np.full(len(jacobian), math.nan)
    resolved = fit.resolved
    if not resolved.is_fiml or resolved.se != "standard" or resolved.information.kind == "first.order":
        _say("the fraction of missing information needs missing='fiml', estimator='ML' and standard errors of that")
        return undefined
    if not fit.has_test or fit.vcov is None:
        _say("the fraction of missing information needs the saturated model and standard errors, which are not given")
        return undefined
    complete = fit.problem.on_saturated_moments()
    model = tested_model(complete, fit.theta)
    vcov = model.inverse(information_about_theta(complete, model, resolved.information))
    if vcov is None:
        _say("the fraction of missing information is not given: the complete-data information is singular")
        return undefined
    actual, ideal = delta_se(jacobian, fit.vcov), delta_se(jacobian, vcov)
    fixed = (actual == 0.0) | (ideal == 0.0)
    return np.where(fixed, math.nan, 1.0 - (ideal / np.where(fixed, 1.0, actual)) ** 2)


def _say(message: str) -> None:
    warnings.warn(message, InferenceWarning, stacklevel=3)
