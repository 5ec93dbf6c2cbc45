"""The vignettes run from top to bottom in an empty folder."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

VIGNETTES = sorted((Path(__file__).parents[2] / "vignettes").glob("*.py"))


def check_nhanes(names: dict[str, Any]) -> None:
    overall = names["imputer"].metrics_.query("variable == 'overall'").set_index("method")["mse"]
    assert overall["sem"] < overall["mean"]


def check_missing_data(names: dict[str, Any]) -> None:
    fiml, pooled, complete = (
        names[name].parameter_estimates().query("label == 'b'").iloc[0] for name in ("fit", "pooled", "complete")
    )
    assert abs(fiml["est"] - pooled["est"]) < 0.2 * fiml["se"]
    assert abs(fiml["est"] - complete["est"]) < 2 * fiml["se"]
    assert (names["sensitivity"].tipping_points()["becomes"] != "").any()


CHECKS = {"nhanes": check_nhanes, "missing_data": check_missing_data}


@pytest.mark.slow
@pytest.mark.parametrize("path", VIGNETTES, ids=lambda p: p.stem)
def test_vignette_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(path))
    assert names["fit"].converged
    assert f"written: {path.stem}_report.html" in capsys.readouterr().out
    assert (tmp_path / f"{path.stem}_report.html").stat().st_size > 50_000
    CHECKS[path.stem](names)


def test_there_are_vignettes() -> None:
    assert {path.stem for path in VIGNETTES} == set(CHECKS)
