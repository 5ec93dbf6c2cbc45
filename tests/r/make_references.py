"""Write what lavaan finds for every case: ``python tests/r/make_references.py`` (needs R with lavaan)."""

from __future__ import annotations

import json
import sys
from typing import Any

from r_cases import CASES, REFERENCES, Case

SCORES_KEPT = 20
"""Rows per group whose factor scores are stored: enough to meet several patterns, few enough to read."""


def shortened(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with the first factor scores of each group."""
    scores = [
        group | {"rows": group["rows"][:SCORES_KEPT], "values": group["values"][:SCORES_KEPT]}
        for group in answer["scores"]
    ]
    return answer | {"scores": scores}


def write(case: Case) -> None:
    """Ask lavaan and store question and answer."""
    content = {"asked": case.asked(), "answer": shortened(case.answer())}
    case.file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    REFERENCES.mkdir(exist_ok=True)
    for case in CASES:
        write(case)
        sys.stdout.write(f"{case.file.name}\n")
