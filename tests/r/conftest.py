"""R for the tests that need it: a skip that says what is missing, and R functions called with R objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from r_bridge import r_info
from r_bridge.runtime import describe


@pytest.fixture(scope="session")
def _r() -> None:
    """Skip, with the reason, where R, lavaan or rpy2 is missing."""
    problems = r_info().problems
    if problems:
        pytest.skip(describe(problems))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test marked ``r`` here needs the three."""
    for item in items:
        if item.get_closest_marker("r") and "tests/r" in item.path.as_posix():
            item.fixturenames.insert(0, "_r")  # type: ignore[attr-defined]


@pytest.fixture
def in_r(_r: None) -> Callable[..., Any]:
    """Calls a function of R's base by name; tables go in as data frames, the value comes back to pandas."""
    from rpy2.rinterface import baseenv

    from r_bridge import from_r, to_r
    from r_bridge.session import require_r

    require_r()

    def call(function: str, *arguments: Any) -> Any:
        return from_r(baseenv[function](*(to_r(argument) for argument in arguments)))

    return call
