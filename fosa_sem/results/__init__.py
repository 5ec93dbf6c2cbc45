"""What a user holds after a fit: names beside numbers."""

from fosa_sem.results.sem_results import SemResults

__all__ = ["SemResults"]
