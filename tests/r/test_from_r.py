"""From R into this package, live, through reticulate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fosa_sem as fs
from fosa_sem.errors import DataError
from r_bridge import front
from r_bridge.partable import model_of
from r_bridge.runtime import find_rscript
from r_bridge.wire import pack, unpack

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOSA = ROOT / "r_bridge" / "R" / "fosa.R"


def run_r(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    rscript = find_rscript()
    assert rscript is not None
    return subprocess.run(
        [rscript, *arguments], capture_output=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "RETICULATE_PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def _reticulate() -> None:
    done = run_r("-e", "loadNamespace('reticulate')")
    if done.returncode:
        pytest.skip("R has no package reticulate: sudo apt-get install r-cran-reticulate")


@pytest.mark.r
@pytest.mark.usefixtures("_reticulate")
def test_an_r_script_fits_imputes_compares_and_reports(tmp_path: Path) -> None:
    done = run_r(str(HERE / "front.R"), str(FOSA), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all as it should be\n")
    for printed in ("Latent Variables:", "Filled Cells (301 rows):", "numbers compared (R ", "Written: "):
        assert printed in done.stdout
    assert (tmp_path / "model.txt").read_text(encoding="utf-8").startswith("fosa_sem")


@pytest.mark.r
@pytest.mark.usefixtures("_reticulate")
def test_a_python_without_the_package_is_told_of(tmp_path: Path) -> None:
    code = f"source('{FOSA.as_posix()}'); fosa_sem('f =~ x1 + x2 + x3', lavaan::HolzingerSwineford1939)"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    done = run_r("-e", code, RETICULATE_PYTHON=str(tmp_path / "bare" / "bin" / "python"), PYTHONPATH="")
    assert done.returncode == 1
    assert "Python has no package fosa-sem" in done.stderr
    assert "RETICULATE_PYTHON" in done.stderr


@pytest.mark.r
@pytest.mark.usefixtures("_reticulate")
def test_the_lavaan_engine_within_r_is_refused_in_words() -> None:
    code = (
        f"source('{FOSA.as_posix()}'); fosa_sem('f =~ x1 + x2 + x3', lavaan::HolzingerSwineford1939, engine = 'lavaan')"
    )
    done = run_r("-e", code)
    assert done.returncode == 1
    assert "this Python runs within R" in done.stderr


# ---- the Python half (no R) --------------------------------------------------------------------------------


def answered(reply: dict[str, Any]) -> Any:
    assert reply["error"] is None
    return reply["value"]


def test_errors_and_warnings_are_values(one_factor: pd.DataFrame) -> None:
    reply = front.fit("f =~ x1 + x9", pack(one_factor), "cfa", pack({}))
    assert reply["value"] is None
    assert "'x9' is not a column" in reply["error"]
    table = one_factor.assign(x=np.where(np.arange(120) < 2, np.nan, np.arange(120.0)))
    reply = front.fit("x1 ~ x", pack(table), "sem", pack({}))
    assert reply["error"] is None
    assert reply["warnings"] == ["2 of 120 rows were dropped: rows with a missing exogenous variable (x; fixed_x=True)"]


def test_r_s_options_become_ours(one_factor: pd.DataFrame) -> None:
    options = pack({"fixed.x": False, "std.lv": True, "group.equal": ["loadings"], "group": "g"})
    table = one_factor.assign(g=["a", "b"] * 60)
    results = answered(front.fit("f =~ x1 + x2 + x3 + x4", pack(table), "cfa", options))
    assert results.fit.options.table == {"fixed_x": False, "std_lv": True, "group_equal": "loadings"}
    assert results.fit.options.group == "g"


def test_what_r_gets_are_plain_values_only(one_factor: pd.DataFrame) -> None:
    results = answered(front.fit("f =~ x1 + x2 + x3 + x4", pack(one_factor), "cfa", pack({})))

    def plain(part: Any) -> bool:
        if isinstance(part, dict):
            return all(isinstance(name, str) and plain(item) for name, item in part.items())
        if isinstance(part, list):
            return all(plain(item) for item in part)
        return part is None or type(part) in (str, int, bool, bytearray)

    for reply in (front.tables(results), front.predict(results), front.crosscheck_question(results, KNOWN)):
        assert plain(answered(reply))
    tables = unpack(answered(front.tables(results)))
    assert tables["fit_measures"]["df"] == 2
    assert list(tables["coef"].index) == list(results.coef().index)


KNOWN = ["missing", "estimator", "likelihood", "em.h1.iter.max", "em.h1.tol", "control"]


# ---- lavaan's parameter table as a model -------------------------------------------------------------------


def table_of(model: str, **options: Any) -> pd.DataFrame:
    return fs.parameter_table(model, **options).to_frame()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("f =~ x1 + x2 + x3\nf ~ x4", {}),
        ("f =~ x1 + a*x2 + a*x3\nx1 ~~ start(2)*x1\nb := a^2\nx2 ~ 0*1", {"fixed_x": False}),
        ("f =~ x1 + c(a, b)*x2 + x3\na == 2*b", {"ngroups": 2}),
        ("f =~ x1 + x2 + x3", {"ngroups": 2, "group_equal": ("loadings", "intercepts")}),
        ("f =~ x1 + lower(0.1)*x2 + x3 + x4\nx1 ~~ v*x1\nv > 0.01", {"std_lv": True}),
    ],
)
def test_a_parameter_table_is_a_model(model: str, options: dict[str, Any]) -> None:
    before = table_of(model, **options)
    ngroups, fixed_x = options.get("ngroups", 1), options.get("fixed_x", False)
    after = table_of(model_of(before), func="lavaan", ngroups=ngroups, fixed_x=fixed_x)
    columns = ["lhs", "op", "rhs", "group", "free"]
    keep = [~frame["op"].isin(["==", "<", ">", ":="]) for frame in (before, after)]
    rows = [frame.loc[mask, columns].reset_index(drop=True) for frame, mask in zip((before, after), keep, strict=True)]
    pd.testing.assert_frame_equal(rows[0], rows[1])
    fixed = [
        frame.loc[mask & (frame["free"] == 0), "ustart"].tolist()
        for frame, mask in zip((before, after), keep, strict=True)
    ]
    assert fixed[0] == fixed[1]
    equal = [(frame["op"] == "==").sum() for frame in (before, after)]
    assert equal[0] == equal[1]


def test_no_parameter_table() -> None:
    with pytest.raises(DataError, match="no column 'free'"):
        model_of(pd.DataFrame({"lhs": ["f"], "op": ["=~"], "rhs": ["x"]}))
