"""Imports point one way: errors, syntax, model, data, ... , cli; heavy packages stay out of the core."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fosa_sem

PACKAGE = Path(fosa_sem.__file__).parent
ORDER = (
    "errors", "syntax", "model", "data", "fiml", "inference", "imputation", "refine", "evaluate", "report",
    "results", "persistence", "imputer", "api", "cli",
)  # fmt: skip
TIER = {name: tier for tier, name in enumerate(ORDER)}
ONLY = {
    "datasets": {"fosa_sem.errors", "fosa_sem.datasets"},
    "refine": {"fosa_sem.errors", "fosa_sem.imputation.completion", "fosa_sem.refine"},
}
BELOW_NAMES = ("model", "fiml")
HEAVY = {"torch", "semopy", "rpy2", "matplotlib", "sklearn", "statsmodels", "safetensors"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _part(module: str) -> str:
    """``fosa_sem.data.checks`` -> ``data``."""
    return module.split(".")[1] if "." in module else ""


def _imports(path: Path, *, deep: bool = True) -> list[str]:
    """Modules imported anywhere (or, not deep, when the module is loaded), as full names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if deep else _on_load(tree.body)
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.append(node.module or "")
            if node.module == "fosa_sem":
                found += [f"fosa_sem.{alias.name}" for alias in node.names]
    return found


def _on_load(body: list[ast.stmt]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found += _on_load(node.orelse)
        elif isinstance(node, ast.If | ast.Try):
            found += _on_load(node.body) + _on_load(node.orelse)
        else:
            found.append(node)
    return found


def _module(path: Path) -> str:
    parts = ("fosa_sem", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=_module)
def test_imports_point_one_way(path: Path) -> None:
    here = _part(_module(path))
    for name in _imports(path):
        if not name.startswith("fosa_sem"):
            assert name.split(".")[0] != "r_bridge", f"{path.name} imports {name}: the bridge knows us, not we it"
            continue
        if here in ONLY:
            assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in ONLY[here]), name
        elif here in TIER and here != ORDER[-1]:  # the last part may use all others, by their public names too
            there = _part(name)
            assert there in TIER, f"{_module(path)} imports {name}"
            assert TIER[there] <= TIER[here], f"{_module(path)} imports {name}, which comes later"


@pytest.mark.parametrize("path", MODULES, ids=_module)
def test_every_module_belongs_to_a_part(path: Path) -> None:
    assert _part(_module(path)) in {*TIER, *ONLY, ""}


@pytest.mark.parametrize("path", [p for p in MODULES if _part(_module(p)) == "report"], ids=_module)
def test_report_never_fits(path: Path) -> None:
    for name in _imports(path):
        assert not name.startswith("fosa_sem.fiml.engines"), name
        assert name != "fosa_sem.api", name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(n.func).split(".")[-1] for n in ast.walk(tree) if isinstance(n, ast.Call)}
    fitted = {
        alias.asname or alias.name
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("fosa_sem.inference")
        for alias in n.names
        if alias.name == "fit"
    }
    assert not called & fitted


@pytest.mark.parametrize("path", [p for p in MODULES if _part(_module(p)) in BELOW_NAMES], ids=_module)
def test_numeric_layers_know_no_data_frames(path: Path) -> None:
    assert "pandas" not in {name.split(".")[0] for name in _imports(path)} or "engines" in path.parts


def test_heavy_packages_load_only_where_they_are_needed() -> None:
    allowed = {
        "fosa_sem.imputer", "fosa_sem.persistence", "fosa_sem.refine", "fosa_sem.evaluate", "fosa_sem.report.plots",
        "fosa_sem.report.path_diagram", "fosa_sem.fiml.engines.semopy", "fosa_sem.cli",
    }  # fmt: skip
    for path in MODULES:
        heavy = {name.split(".")[0] for name in _imports(path, deep=False)} & HEAVY
        module = _module(path)
        assert not heavy or any(module == a or module.startswith(f"{a}.") for a in allowed), f"{module}: {heavy}"


def test_the_check_sees_imports_at_all() -> None:
    found = _imports(PACKAGE / "inference" / "fit.py")
    assert {"pandas", "fosa_sem.fiml.problem", "fosa_sem.syntax.parser"} <= set(found)
