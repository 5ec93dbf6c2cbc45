"""Real tables for examples, tests and benchmarks; ``PROVENANCE.md`` says where they come from."""

from fosa_sem.datasets.loaders import (
    load_heart2020,
    load_holzinger_swineford,
    load_nhanes,
    load_political_democracy,
)

__all__ = ["load_heart2020", "load_holzinger_swineford", "load_nhanes", "load_political_democracy"]
