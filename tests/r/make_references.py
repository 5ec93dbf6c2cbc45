"""Write what lavaan finds for every case, or those named (needs R with lavaan, and rpy2).

python tests/r/make_references.py [NAME ...]
"""

from __future__ import annotations

import json
import sys

from estimator_cases import ESTIMATOR_CASES
from r_cases import CASES, REFERENCES, Case, shortened, to_json


def write(case: Case) -> None:
    """Ask lavaan and store question and answer, one table per line."""
    results = case.ours()
    content = {"asked": case.asked(results), "answer": to_json(shortened(case.answer(results)))}
    tables = content["answer"].pop("tables")
    text = json.dumps(content, indent=1)
    lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items())
    text = text.removesuffix("\n }\n}") + f',\n  "tables": {{\n{lines}\n  }}\n }}\n}}\n'
    case.file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    REFERENCES.mkdir(exist_ok=True)
    for case in CASES + ESTIMATOR_CASES:
        if sys.argv[1:] and case.name not in sys.argv[1:]:
            continue
        write(case)
        sys.stdout.write(f"{case.file.name}\n")
