"""The external conformance cases (values of lavaan and Mplus), run by their own runner where present."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fosa_sem

# All but two strings of the model language that are read differently on purpose (DESCRIPTION_NOTES, section 3).
CASES = r"^[iom]_?|^p_(?!c_parse_multimod3$|x40_crlf$)"


@pytest.mark.slow
def test_external_cases_pass(conformance_folder: Path) -> None:
    package_root = str(Path(fosa_sem.__file__).parents[1])
    done = subprocess.run(
        [
            sys.executable, str(conformance_folder / "runner.py"), str(conformance_folder / "open"),
            str(conformance_folder / "adapter.py"), "--only", CASES,
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    report = done.stdout + done.stderr
    expected = {f.stem for f in (conformance_folder / "open").glob("*/*.json") if re.search(CASES, f.stem)}
    passed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("pass ")}
    assert len(expected) >= 49
    assert passed == expected, report
    assert done.returncode == 0, report
