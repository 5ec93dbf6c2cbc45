"""Engines find theta; everything else (likelihood, standard errors, fit) is computed from it in one place."""
