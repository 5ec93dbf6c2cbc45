"""``import fosa_sem`` is light, and every public name can be had."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fosa_sem

HEAVY = {"torch", "semopy", "rpy2", "matplotlib", "sklearn", "statsmodels"}


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_plain_import_loads_no_heavy_package() -> None:
    assert _run(f"import sys, fosa_sem; print(sorted({HEAVY!r} & set(sys.modules)))") == "[]"


def test_a_fit_loads_no_heavy_package_either() -> None:
    code = f"""
import sys, numpy, pandas, fosa_sem
values = numpy.random.default_rng(1).standard_normal((60, 4)).cumsum(axis=1)
results = fosa_sem.cfa("f =~ x1 + x2 + x3 + x4", pandas.DataFrame(values, columns=["x1", "x2", "x3", "x4"]))
results.fit_measures(); results.parameter_estimates(standardized=True); results.summary(); results.impute()
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    assert _run(code) == "[]"


@pytest.mark.parametrize("name", ["sem", "cfa", "growth", "lavaan", "parse", "parameter_table", "SemResults"])
def test_public_names_are_there(name: str) -> None:
    assert name in fosa_sem.__all__
    assert callable(getattr(fosa_sem, name))


def test_dir_lists_all_public_names_and_unknown_ones_are_attribute_errors() -> None:
    assert set(fosa_sem.__all__) <= set(dir(fosa_sem))
    with pytest.raises(AttributeError, match="no attribute 'semm'"):
        _ = fosa_sem.semm
