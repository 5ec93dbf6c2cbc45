"""The vignettes run from top to bottom in an empty folder."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

VIGNETTES = sorted((Path(__file__).parents[2] / "vignettes").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", VIGNETTES, ids=lambda p: p.stem)
def test_vignette_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(path))
    assert names["fit"].converged
    assert "written: nhanes_report.html" in capsys.readouterr().out
    assert (tmp_path / "nhanes_report.html").stat().st_size > 50_000
    overall = names["imputer"].metrics_.query("variable == 'overall'").set_index("method")["mse"]
    assert overall["sem"] < overall["mean"]


def test_there_are_vignettes() -> None:
    assert VIGNETTES
