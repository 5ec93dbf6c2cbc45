"""Imputations as objects of mice, there and back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose

from fosa_sem import MultipleImputation, pool, sem
from fosa_sem.errors import DataError, EngineError
from r_bridge import from_mids, to_mids, to_r

pytestmark = pytest.mark.r

MODEL = "f =~ x1 + x2 + x3 + x4"
SCRIPT = Path(__file__).with_name("mids.R")
DIGITS = 1e-14
"""jsonlite writes 15 digits."""


@pytest.fixture(autouse=True)
def _packages(in_r: Callable[..., Any]) -> None:
    absent = [name for name in ("mice", "semTools", "jsonlite") if not in_r("requireNamespace", name)]
    if absent:
        pytest.skip(f"R has no package {', '.join(absent)} (Debian: apt-get install r-cran-mice r-cran-semtools)")


@pytest.fixture
def imputations(one_factor: pd.DataFrame) -> MultipleImputation:
    data = one_factor.assign(group=pd.Categorical(np.where(np.arange(120) % 3, "b", "ä")), w=np.arange(120) % 7)
    data.loc[:3, "w"] = np.nan  # no variable of the model: stays as it is
    data.index = pd.Index([f"row {i}" for i in range(120)])
    return sem(MODEL, data).multiple_imputations(4, seed=3)


def in_mice(file: Path) -> dict[str, Any]:
    """R's account of a saved object, by an R of its own."""
    answer = file.with_suffix(".json")
    rscript = shutil.which("Rscript")
    assert rscript is not None
    subprocess.run([rscript, str(SCRIPT), str(file), str(answer)], check=True, timeout=120, capture_output=True)
    return json.loads(answer.read_text())


def test_mice_and_semtools_take_what_we_make(imputations: MultipleImputation, tmp_path: Path) -> None:
    file = tmp_path / "imputations.rds"
    assert list(to_mids(imputations, file).rclass) == ["mids"]
    theirs = in_mice(file)
    assert theirs["classes"] == "mids"
    assert theirs["m"] == 4
    assert theirs["methods"] == {"x1": "sem", "x2": "sem", "x3": "sem", "x4": "sem", "group": "", "w": ""}
    assert theirs["names"] == list(imputations.table.index)
    assert_allclose(theirs["third"], imputations.complete(3)["x2"], rtol=DIGITS)
    assert_allclose(theirs["imputed"], imputations.imputed_values("x2")[2], rtol=DIGITS)
    ours = pool(imputations.apply(lambda table: smf.ols("x1 ~ x2 + x3", table).fit())).to_frame()
    pooled = pd.DataFrame(theirs["pooled"])
    for name, other in (("est", "estimate"), ("se", "std.error"), ("df", "df"), ("pvalue", "p.value")):
        assert_allclose(ours[name], pooled[other], rtol=1e-9)
    fitted = imputations.fit(MODEL, missing="listwise").parameter_estimates()
    # lavaan's estimates are accurate to about 1e-6
    assert_allclose(fitted["est"], theirs["est"], atol=2e-6)
    assert_allclose(fitted["se"], theirs["se"], atol=1e-5)


def test_there_and_back(imputations: MultipleImputation, tmp_path: Path) -> None:
    file = tmp_path / "imputations.rds"
    made = to_mids(imputations, file)
    for source in (made, file, str(file)):
        back = from_mids(source)
        assert back.m == 4
        for ours, theirs in zip([imputations.table, *imputations], [back.table, *back], strict=True):
            pd.testing.assert_frame_equal(theirs, ours, check_dtype=False, check_index_type=False)
    assert_allclose(back.fit(MODEL).params, imputations.fit(MODEL).params)


@pytest.mark.parametrize(
    ("index", "comes_back_as"),
    [
        (range(120), list(range(120))),
        (np.arange(120) * 3 + 7, (np.arange(120) * 3 + 7).tolist()),
        (np.zeros(120), list(range(1, 121))),
    ],
    ids=["counted", "numbers", "not unique"],
)
def test_rows_keep_their_names_where_r_can(one_factor: pd.DataFrame, index: Any, comes_back_as: list[int]) -> None:
    data = one_factor.set_axis(pd.Index(index), axis=0)
    back = from_mids(to_mids(sem(MODEL, data).multiple_imputations(2)))
    assert list(back.table.index) == comes_back_as


def test_imputations_of_mice_itself_are_taken(in_r: Callable[..., Any]) -> None:
    from rpy2.rinterface import BoolSexpVector, FloatSexpVector, StrSexpVector, baseenv

    mice = baseenv["getExportedValue"](StrSexpVector(["mice"]), StrSexpVector(["mice"]))
    boys = pd.DataFrame(
        {"a": [1.0, 2.0, None, 4.0, 5.0, None, 2.5, 3.0], "b": [2.0, 4.1, 6.0, None, 9.5, 3.0, 5.5, 6.1]}
    )
    made = mice(to_r(boys), m=FloatSexpVector([3]), printFlag=BoolSexpVector([False]), seed=FloatSexpVector([1]))
    back = from_mids(made)
    assert back.m == 3
    assert back.model is None
    pd.testing.assert_frame_equal(back.table.reset_index(drop=True), boys)
    for table in back:
        assert table.notna().all().all()
        assert set(table["a"]) <= set(boys["a"].dropna())


def test_what_is_no_mids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"an object of class data.frame is no mids"):
        from_mids(to_r(pd.DataFrame({"x": [1.0]})))
    with pytest.raises(DataError, match="no such file"):
        from_mids(tmp_path / "nothing.rds")


def test_random_state_of_r_is_left_alone(imputations: MultipleImputation, in_r: Callable[..., Any]) -> None:
    in_r("set.seed", 5)
    before = in_r("sample", 1000)
    in_r("set.seed", 5)
    to_mids(imputations)
    assert np.array_equal(in_r("sample", 1000), before)
