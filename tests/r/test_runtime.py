"""What is missing of R is said in words, with the command that mends it; none of this needs R."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from fosa_sem.datasets import load_holzinger_swineford
from r_bridge import Problem, RInfo, r_info, runtime

ROOT = Path(__file__).parents[2]
COMPLETE = {
    "r_version": "4.2.2",
    "r_home": "/usr/lib/R",
    "lavaan_version": "0.6.14",
    "semtools_version": "0.5.6",
    "jsonlite_version": "1.8.4",
    "rpy2_version": "3.6.5",
    "rinterface_version": "3.6.5",
    "robjects_version": "3.6.5",
}


def info(**changes: str | None) -> RInfo:
    return RInfo(**(COMPLETE | changes))


def only(problems: tuple[Problem, ...]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions that importlib.metadata reports; empty to begin with."""
    versions: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(runtime, "version", version)
    return versions


def fake_r(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program named Rscript, and nothing else of R, on the path."""
    program = folder / "Rscript"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.delenv("R_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


@pytest.fixture
def no_r(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_rscript", lambda: None)


def test_a_complete_setup_is_ok() -> None:
    assert info().ok
    assert info().problems == ()
    assert "ready" in str(info())


def test_r_missing(no_r: None, installed: Mapping[str, str]) -> None:
    found = r_info()
    assert not found.ok
    assert [what for what, _ in found.problems] == [
        "R is not installed, or Rscript is not on the PATH",
        "The Python package rpy2 is not installed",
    ]
    assert "R                missing" in str(found)
    assert all(cure in str(found) for _, cure in found.problems)


def test_r_without_lavaan() -> None:
    problem = only(info(lavaan_version=None).problems)
    assert problem.what == "R has no package lavaan"
    assert 'install.packages("lavaan"' in problem.cure
    assert info(semtools_version=None, jsonlite_version=None).ok  # for some things only


def test_a_mix_of_old_and_new_rpy2() -> None:
    problem = only(info(rpy2_version="3.5.17").problems)
    assert "mix" in problem.what
    assert "rpy2 3.5.17, rpy2-rinterface 3.6.5" in problem.what
    assert problem.cure.startswith("pip uninstall -y rpy2 rpy2-rinterface rpy2-robjects && pip install ")


def test_old_rpy2_alone_is_complete() -> None:
    assert info(rpy2_version="3.5.17", rinterface_version=None, robjects_version=None).ok


@pytest.mark.parametrize("part", ["rinterface", "robjects"])
def test_new_rpy2_lacks_a_part(part: str) -> None:
    problem = only(info(**{f"{part}_version": None}).problems)
    assert problem.what == f"rpy2 3.6.5 is incomplete: rpy2-{part} is not installed"


@pytest.mark.parametrize(
    ("rinterface", "r", "ok"),
    [
        ("3.6.5", "4.4.3", True),
        ("3.6.6", "4.4.3", False),
        ("3.6.10", "4.4.3", False),
        ("3.6.6", "4.5.0", True),
        ("3.6.7", "4.10.1", True),
        ("3.7.0rc1", "4.2.2", False),
    ],
)
def test_rinterface_and_r_fit_together(rinterface: str, r: str, ok: bool) -> None:
    found = info(rinterface_version=rinterface, r_version=r)
    assert found.ok is ok
    if not ok:
        problem = only(found.problems)
        assert problem.what == f"rpy2-rinterface {rinterface} needs R 4.5 or newer, and R is {r}"
        assert problem.cure == "pip install rpy2==3.6.5 rpy2-rinterface==3.6.5 rpy2-robjects==3.6.5"


def test_new_r_gets_new_rpy2() -> None:
    cure = only(info(rpy2_version=None, r_version="4.5.1").problems).cure
    assert cure == 'pip install "rpy2>=3.6.9,<3.7"'


def test_what_r_answers_is_read_past_a_talkative_start_up_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]
) -> None:
    installed["rpy2"] = "3.5.17"
    fake_r(
        tmp_path,
        monkeypatch,
        "echo 'Good morning = you'\nprintf 'fosa:R=4.1.0\\nfosa:home=/r\\nfosa:lavaan=\\n'",
    )
    found = r_info()
    assert (found.r_version, found.r_home, found.lavaan_version) == ("4.1.0", "/r", None)
    assert [what for what, _ in found.problems] == ["R has no package lavaan"]


@pytest.mark.parametrize(
    ("script", "said"),
    [("exit 3", "does not work"), ("exec sleep 30", "timed out"), ("true", "gave no answer")],
)
def test_r_that_does_not_answer(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Mapping[str, str]
) -> None:
    fake_r(tmp_path, monkeypatch, script)
    found = r_info(timeout=1.0)
    assert found.r_version is None
    assert said in found.r_problems[0].what


def test_r_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    fake_r(tmp_path / "bin", monkeypatch, "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runtime.find_rscript() is None
    monkeypatch.setenv("R_HOME", str(tmp_path))
    assert runtime.find_rscript() == str(tmp_path / "bin" / "Rscript")


# ---- what a user sees without R ----------------------------------------------------------------------------

ENTRY_POINTS = {
    "fit_lavaan": "r_bridge.fit_lavaan(MODEL, data)",
    "crosscheck": "r_bridge.crosscheck(fosa_sem.cfa(MODEL, data))",
    "engine": "fosa_sem.cfa(MODEL, data, engine='lavaan')",
    "an engine object": "fosa_sem.cfa(MODEL, data, engine=r_bridge.LavaanEngine())",
    "imputer": "fosa_sem.FosaImputer(MODEL, func='cfa', engine='lavaan').fit(data)",
    "to_r": "r_bridge.to_r(data)",
    "from_r": "r_bridge.from_r(object())",
}
WITHOUT = """
import importlib.metadata, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rpy2", "_rinterface_cffi_abi", "_rinterface_cffi_api"):
            raise ModuleNotFoundError(f"No module named {name!r}")
real = importlib.metadata.version
def version(name):
    if name.startswith("rpy2"):
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
if RPY2_TOO:
    importlib.metadata.version = version
    sys.meta_path.insert(0, Absent())
import fosa_sem, r_bridge
from fosa_sem import datasets
MODEL = "f =~ x1 + x2 + x3"
data = datasets.load_holzinger_swineford()
"""


def without_r(code: str, folder: Path, *, rpy2_too: bool = True) -> subprocess.CompletedProcess[str]:
    """Run code where there is no R, and no rpy2 unless told otherwise."""
    environment = {name: value for name, value in os.environ.items() if name not in ("R_HOME", "PATH")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT.replace("RPY2_TOO", str(rpy2_too)) + code],
        capture_output=True, text=True, check=False, env={**environment, "PATH": str(folder)}, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("rpy2_too", [True, False])
@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_every_entry_point_says_what_is_missing(entry: str, rpy2_too: bool, tmp_path: Path) -> None:
    done = without_r(
        f"""
try:
    {ENTRY_POINTS[entry]}
except fosa_sem.errors.MissingDependencyError as error:
    print(error)
""",
        tmp_path,
        rpy2_too=rpy2_too,
    )
    assert done.stderr == ""
    assert "R is not installed, or Rscript is not on the PATH. To mend it:" in done.stdout
    assert ("The Python package rpy2 is not installed. To mend it:" in done.stdout) == rpy2_too
    assert done.stdout.count("install") >= 2


@pytest.mark.parametrize("command", ["['crosscheck', M, D]", "['fit', M, D, '--engine', 'lavaan']"])
def test_the_command_line_says_it_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("f =~ x1 + x2 + x3")
    load_holzinger_swineford().to_csv(tmp_path / "d.csv", index=False)
    paths = f"M, D = {str(tmp_path / 'm.txt')!r}, {str(tmp_path / 'd.csv')!r}"
    done = without_r(f"{paths}\nfrom fosa_sem.cli import main\nsys.exit(main({command}))", tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fosa-sem: error: R is not installed")


def test_rpy2_that_cannot_be_loaded(tmp_path: Path) -> None:
    code = """
from r_bridge import session
session.r_info = lambda: r_bridge.RInfo(r_version="4.2.2", lavaan_version="0.6.14", rpy2_version="3.6.5",
                                        rinterface_version="3.6.5", robjects_version="3.6.5")
try:
    r_bridge.fit_lavaan(MODEL, data)
except fosa_sem.errors.MissingDependencyError as error:
    print(error)
"""
    done = without_r(code, tmp_path)
    assert done.stdout.startswith("rpy2 is installed but cannot be loaded (No module named 'rpy2')")


def test_the_import_is_light() -> None:
    code = (
        "import r_bridge, sys; r_bridge.r_info(); "
        "print({'torch', 'rpy2', 'semopy', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
