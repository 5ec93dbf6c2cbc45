"""Store lavaan's parameter tables: ``python tests/syntax/make_lavaan_tables.py`` (needs R with lavaan, jsonlite)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from table_cases import CASES, TableCase

STORED = Path(__file__).with_name("lavaan_tables.json")
SCRIPT = Path(__file__).with_name("lavaan_tables.R")


def question(case: TableCase) -> dict[str, Any]:
    """A case in lavaan's words."""
    options = {name.replace("_", "."): value for name, value in case.options.items()}
    return {"name": case.name, "model": case.model, "func": case.func, "options": options}


def ask_lavaan(cases: Sequence[TableCase] = CASES) -> dict[str, Any]:
    """Versions, questions and tables of these cases."""
    questions = [question(case) for case in cases]
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "questions.json"), Path(folder, "answers.json")
        asked.write_text(json.dumps(questions), encoding="utf-8")
        subprocess.run(["Rscript", "--vanilla", str(SCRIPT), str(asked), str(answered)], check=True)
        answers = json.loads(answered.read_text(encoding="utf-8"))
    versions = {program: version for program, (version,) in answers["versions"].items()}
    return {"versions": versions, "questions": questions, "tables": answers["tables"]}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write(content: dict[str, Any]) -> None:
    """One line per question and table, so that differences between versions stay readable."""
    questions = ",\n".join(_compact(question) for question in content["questions"])
    tables = ",\n".join(f"{_compact(name)}:{_compact(table)}" for name, table in content["tables"].items())
    text = f'{{"versions":{_compact(content["versions"])},\n"questions":[\n{questions}],\n"tables":{{\n{tables}}}}}\n'
    STORED.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    content = ask_lavaan()
    write(content)
    errors = {name: table["error"][0] for name, table in content["tables"].items() if "error" in table}
    sys.stdout.write(f"{len(content['tables'])} tables, lavaan {content['versions']['lavaan']}\n")
    for name, error in errors.items():
        sys.stdout.write(f"refused: {name}: {error}\n")
