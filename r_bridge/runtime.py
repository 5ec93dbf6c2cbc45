"""Is R there, with lavaan and rpy2, in versions that work together? Asked without importing rpy2."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

RPY2_TRIO = ("rpy2", "rpy2-rinterface", "rpy2-robjects")
LAST_FOR_OLD_R = (3, 6, 5)
"""From 3.6.6 on, rpy2-rinterface calls ``R_getVar``, which R has since 4.5."""
R_WITH_GETVAR = (4, 5)

_QUESTION = """
tell <- function(name, value) cat("fosa:", name, "=", value, "\\n", sep = "")
tell("R", as.character(getRversion()))
tell("home", R.home())
for (name in c("lavaan", "semTools", "jsonlite"))
  tell(name, tryCatch(as.character(utils::packageVersion(name)), error = function(e) ""))
"""


class Problem(NamedTuple):
    """Something that is missing or does not fit.

    Attributes
    ----------
    what : str
        In plain words.
    cure : str
        The command that mends it.
    """

    what: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RInfo:
    """R and what the bridge needs of it; a version is None where the thing is missing.

    Attributes
    ----------
    r_version, r_home : str or None
    lavaan_version, semtools_version, jsonlite_version : str or None
        Packages in R; semTools for auxiliary variables, jsonlite for some tests.
    rpy2_version, rinterface_version, robjects_version : str or None
        rpy2 and the two packages that it consists of since 3.6.
    r_failure : str, default ""
        Why R could not be asked.
    """

    r_version: str | None = None
    r_home: str | None = None
    lavaan_version: str | None = None
    semtools_version: str | None = None
    jsonlite_version: str | None = None
    rpy2_version: str | None = None
    rinterface_version: str | None = None
    robjects_version: str | None = None
    r_failure: str = ""

    @property
    def r_problems(self) -> tuple[Problem, ...]:
        """What stands between us and lavaan in R."""
        if self.r_version is None:
            return (Problem(self.r_failure or "R is not installed, or Rscript is not on the PATH", _cure_r()),)
        if self.lavaan_version is None:
            return (Problem("R has no package lavaan", cure_package("lavaan")),)
        return ()

    @property
    def rpy2_problems(self) -> tuple[Problem, ...]:
        """What is missing of rpy2, or does not fit together or with R."""
        trio = (self.rpy2_version, self.rinterface_version, self.robjects_version)
        return tuple(_rpy2_problems(trio, self.r_version))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, in the order in which to mend it; empty if nothing is."""
        return (*self.r_problems, *self.rpy2_problems)

    @property
    def ok(self) -> bool:
        """Whether R, lavaan and rpy2 are there in versions that work together."""
        return not self.problems

    def __str__(self) -> str:
        versions = {
            "R": f"{self.r_version} ({self.r_home})" if self.r_version else None,
            "lavaan": self.lavaan_version,
            "semTools": self.semtools_version,
            "rpy2": self.rpy2_version,
            "rpy2-rinterface": self.rinterface_version,
            "rpy2-robjects": self.robjects_version,
        }
        lines = [f"{name:<17}{number or 'missing'}" for name, number in versions.items()]
        if self.ok:
            return "\n".join([*lines, "R, lavaan and rpy2 are ready."])
        return "\n".join([*lines, "", describe(self.problems)])


def describe(problems: tuple[Problem, ...]) -> str:
    """Problems as text: one line for what is wrong, one for the command."""
    return "\n".join(f"{what}. To mend it:\n    {cure}" for what, cure in problems)


def r_info(timeout: float = 30.0) -> RInfo:
    """Look for R, lavaan and rpy2.

    Parameters
    ----------
    timeout : float, default 30
        Seconds that R may take to answer.

    Returns
    -------
    RInfo
        Never raises for anything that is missing; ``print(r_info())`` says what is and how to get it.
    """
    rpy2, rinterface, robjects = map(_installed, RPY2_TRIO)
    python = RInfo(rpy2_version=rpy2, rinterface_version=rinterface, robjects_version=robjects)
    rscript = find_rscript()
    if rscript is None:
        return python
    try:
        answer = _ask(rscript, timeout)
    except (OSError, subprocess.SubprocessError) as error:
        return replace(python, r_failure=f"{rscript} does not work ({error})")
    return replace(
        python,
        r_version=answer.get("R"),
        r_home=answer.get("home"),
        lavaan_version=answer.get("lavaan") or None,
        semtools_version=answer.get("semTools") or None,
        jsonlite_version=answer.get("jsonlite") or None,
        r_failure="" if "R" in answer else f"{rscript} gave no answer",
    )


def find_rscript() -> str | None:
    """Path of the ``Rscript`` program, in ``R_HOME`` or on the PATH; None if there is none."""
    home = os.environ.get("R_HOME")
    return (shutil.which("Rscript", path=str(Path(home) / "bin")) if home else None) or shutil.which("Rscript")


def _ask(rscript: str, timeout: float) -> dict[str, str]:
    """R's own account of itself. Lines that a user's start-up file prints are passed over."""
    done = subprocess.run(
        [rscript, "-e", _QUESTION],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        check=True,
    )
    lines = [line.removeprefix("fosa:").partition("=") for line in done.stdout.splitlines() if line.startswith("fosa:")]
    return {name: value for name, _, value in lines}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """Leading numbers of a version, "3.6.5.dev1" -> (3, 6, 5)."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _rpy2_problems(trio: tuple[str | None, str | None, str | None], r_version: str | None) -> list[Problem]:
    rpy2, rinterface, robjects = trio
    install = _cure_rpy2(r_version)
    afresh = f"pip uninstall -y {' '.join(RPY2_TRIO)} && {install}"
    if rpy2 is None:
        return [Problem("The Python package rpy2 is not installed", install)]
    split = _numbers(rpy2) >= (3, 6)
    if not split and (rinterface or robjects):
        parts = ", ".join(f"{n} {v}" for n, v in zip(RPY2_TRIO, trio, strict=True) if v)
        return [Problem(f"rpy2 is a mix of versions that overwrite each other ({parts})", afresh)]
    if split and not (rinterface and robjects):
        lost = RPY2_TRIO[1] if not rinterface else RPY2_TRIO[2]
        return [Problem(f"rpy2 {rpy2} is incomplete: {lost} is not installed", install)]
    if rinterface and r_version and _needs_newer_r(rinterface, r_version):
        what = f"rpy2-rinterface {rinterface} needs R 4.5 or newer, and R is {r_version}"
        return [Problem(what, install)]
    return []


def _needs_newer_r(rinterface: str, r_version: str) -> bool:
    return _numbers(rinterface) > LAST_FOR_OLD_R and _numbers(r_version) < R_WITH_GETVAR


def _cure_rpy2(r_version: str | None) -> str:
    if r_version and _numbers(r_version) >= R_WITH_GETVAR:
        return 'pip install "rpy2>=3.6.9,<3.7"'
    last = ".".join(map(str, LAST_FOR_OLD_R))
    return "pip install " + " ".join(f"{name}=={last}" for name in RPY2_TRIO)


def _cure_r() -> str:
    if shutil.which("apt-get"):
        return "sudo apt-get install r-base-core r-cran-lavaan"
    if sys.platform == "darwin" and shutil.which("brew"):
        return "brew install r"
    if sys.platform == "win32":
        return "winget install RProject.R"
    return "conda install -c conda-forge r-base r-lavaan"


def cure_package(name: str) -> str:
    """The command that installs a package of R."""
    return f'Rscript -e \'install.packages("{name}", repos = "https://cloud.r-project.org")\''
