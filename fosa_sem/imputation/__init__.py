"""Filling cells with the conditional moments that a fitted model implies."""
