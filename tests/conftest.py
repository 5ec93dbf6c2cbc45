"""What all tests share: the model zoo on the path, small frames, and the gate of the external cases."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent / "property"))


@pytest.fixture(scope="session")
def conformance_folder() -> Path:
    """Folder of the external cases, named by FOSA_SEM_CONFORMANCE; they are no part of this project."""
    folder = os.environ.get("FOSA_SEM_CONFORMANCE")
    if not folder:
        pytest.skip("FOSA_SEM_CONFORMANCE is not set: the external conformance cases are not here")
    path = Path(folder)
    if not (path / "runner.py").is_file():
        pytest.skip(f"FOSA_SEM_CONFORMANCE={folder} has no runner.py")
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


@pytest.fixture
def one_factor(rng: np.random.Generator) -> pd.DataFrame:
    """Four indicators of one factor, 120 rows, a tenth of the cells missing, a value in every row."""
    factor = rng.standard_normal(120)
    values = 1.0 + np.outer(factor, [1.0, 0.8, 0.9, 0.7]) + 0.7 * rng.standard_normal((120, 4))
    holes = rng.random((120, 4)) < 0.1
    holes[np.arange(120), rng.integers(0, 4, 120)] = False
    return pd.DataFrame(np.where(holes, np.nan, values), columns=["x1", "x2", "x3", "x4"])
