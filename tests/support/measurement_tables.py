"""The tables of a measurement's page as JSON, next to it.

    python -m tests.support.measurement_tables docs/measurements/*.md

writes NAME.json beside each NAME.md: the page's front matter (date, machine, commit,
command), and each table with its columns and rows. A cell that is one number is one;
all others stay texts. tests/conformance/test_docs_measurements.py compares the two.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HEAD = ("date", "machine", "commit", "command")


def page_numbers(text: str) -> dict[str, Any]:
    """Returns the front matter and the tables of a page."""
    _, head, body = text.split("---\n", 2)
    facts = dict(line.split(": ", 1) for line in head.strip().splitlines())
    return {
        **{name: value.strip('"') for name, value in facts.items()},
        "tables": [_table(block) for block in _blocks(body)],
    }


def _blocks(body: str) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in body.splitlines():
        if line.strip().startswith("|"):
            blocks[-1].append(line.strip())
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if len(block) > 2]


def _table(lines: list[str]) -> dict[str, Any]:
    columns, _, *rows = ([_cell(c) for c in _cells(line)] for line in lines)
    return {"columns": columns, "rows": rows}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def _cell(text: str) -> float | int | str:
    bare = text.strip("*")
    for kind in (int, float):
        try:
            return kind(bare)
        except ValueError:
            continue
    return text


def main(paths: list[str]) -> None:
    """Writes the JSON file next to each page."""
    for path in map(Path, paths):
        if path.stem == "index":
            continue
        numbers = page_numbers(path.read_text(encoding="utf-8"))
        text = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
        path.with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
