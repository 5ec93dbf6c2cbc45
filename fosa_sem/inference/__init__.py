"""From theta to everything that is reported: likelihoods, standard errors, fit measures, standardised values."""

from fosa_sem.inference.fit import FimlFit, FitOptions, fit

__all__ = ["FimlFit", "FitOptions", "fit"]
