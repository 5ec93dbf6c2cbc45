"""Store what lavaan makes of options: ``python tests/inference/make_lavaan_options.py`` (needs R, lavaan, jsonlite)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("lavaan_options.json")
SCRIPT = Path(__file__).with_name("lavaan_options.R")

Question = dict[str, Any]

FACTOR = "f =~ y1 + y2 + y3"
REGRESSED = f"{FACTOR}\nf ~ x"
WITH_INTERCEPT = f"{FACTOR}\ny2 ~ 1"
MISSING = ("listwise", "fiml", "fiml.x", "two.stage", "robust.two.stage")
ESTIMATORS = ("ML", "MLR", "MLF", "MLM")


def _question(func: str = "sem", model: str = FACTOR, **options: Any) -> Question:
    given = {name.replace("_", "."): value for name, value in options.items() if value is not None}
    return {"func": func, "model": model, "options": given}


def _questions() -> Iterator[Question]:
    for missing, estimator, se, test in product(
        MISSING, ESTIMATORS, (None, "standard", "robust", "none"), (None, "standard", "yuan.bentler", "none")
    ):
        yield _question(missing=missing, estimator=estimator, se=se, test=test)
    for missing, se in product(MISSING, ("robust.huber.white", "robust.sem")):
        yield _question(missing=missing, se=se)
    for missing, estimator, test in product(MISSING[:2], ESTIMATORS, ("satorra.bentler", "yuan.bentler.mplus")):
        yield _question(missing=missing, estimator=estimator, test=test)
    for missing, estimator, test, kind, observed, moments in product(
        ("listwise", "fiml"), ("ML", "MLR"), (None, "yuan.bentler", "yuan.bentler.mplus"),
        (None, "expected", "first.order"), (None, "h1"), (None, "unstructured"),
    ):  # fmt: skip
        yield _question(
            missing=missing, estimator=estimator, test=test, information=kind, observed_information=observed,
            h1_information=moments,
        )  # fmt: skip
    yield _question(missing="fiml", estimator="MLR", information=["expected", "observed"])
    yield _question(missing="fiml", estimator="MLR", information=["observed", "expected"])
    yield _question(missing="fiml", estimator="MLR", observed_information=["h1", "hessian"])
    yield _question(missing="fiml", estimator="MLR", h1_information=["structured", "unstructured"])
    for missing, kind in product(("two.stage", "robust.two.stage"), ("expected", "observed")):
        yield _question(missing=missing, information=kind)
    for func, model, missing, means, group in product(
        ("sem", "cfa", "growth"), (FACTOR, WITH_INTERCEPT), ("listwise", "fiml", "two.stage"), (None, True, False),
        (None, "g"),
    ):  # fmt: skip
        yield _question(func, model, missing=missing, meanstructure=means, group=group)
    for equal in ("loadings", "intercepts", "means"):
        yield _question(missing="listwise", group="g", group_equal=equal)
    for missing, fixed in product(MISSING[:3], (None, True, False)):
        yield _question(model=REGRESSED, missing=missing, fixed_x=fixed)
    for likelihood in ("normal", "wishart"):
        yield _question(missing="listwise", likelihood=likelihood)
    for missing in MISSING[:3]:
        yield _question(missing=missing, estimator="MLR", se="bootstrap")


def questions() -> list[Question]:
    """Each one once."""
    found: list[Question] = []
    for question in _questions():
        if question not in found:
            found.append(question)
    return found


def ask_lavaan(asked: Sequence[Question]) -> dict[str, Any]:
    """Versions, questions and answers."""
    with tempfile.TemporaryDirectory() as folder:
        question_file, answer_file = Path(folder, "questions.json"), Path(folder, "answers.json")
        question_file.write_text(json.dumps(asked), encoding="utf-8")
        subprocess.run(["Rscript", "--vanilla", str(SCRIPT), str(question_file), str(answer_file)], check=True)
        answered = json.loads(answer_file.read_text(encoding="utf-8"))
    versions = {program: version for program, (version,) in answered["versions"].items()}
    pairs = [{"asked": q, "answer": a} for q, a in zip(asked, answered["answers"], strict=True)]
    return {"versions": versions, "pairs": pairs}


def write(content: dict[str, Any]) -> None:
    """One line per question, so that differences between versions stay readable."""

    def compact(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    pairs = ",\n".join(compact(pair) for pair in content["pairs"])
    STORED.write_text(f'{{"versions":{compact(content["versions"])},\n"pairs":[\n{pairs}]}}\n', encoding="utf-8")


if __name__ == "__main__":
    found = ask_lavaan(questions())
    write(found)
    sys.stdout.write(f"{len(found['pairs'])} answers of lavaan {found['versions']['lavaan']}\n")
