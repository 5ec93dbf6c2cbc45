"""From theta to everything that is reported: likelihoods, standard errors, fit measures, standardised values."""

from fosa_sem.inference.fit import FimlFit, fit
from fosa_sem.inference.options import FitOptions

__all__ = ["FimlFit", "FitOptions", "fit"]
