"""The table of who may import whom as Markdown.

    python -m tests.support.import_table docs/architecture.md

writes it between the two comments of the page; tests/unit/test_import_table.py
compares the page with its `TABLE`.
"""

import re
import sys
from pathlib import Path

from tests.unit.test_import_table import TABLE

ALWAYS = {"numpy"}
_PLACE = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end of table -->)", re.S)


def as_markdown() -> str:
    """Returns a row for each room: what it may import of ours, and of others."""
    lines = ["| room | of `pdm_tf` | packages besides NumPy |", "| --- | --- | --- |"]
    for room, (packages, rooms) in TABLE.items():
        ours = ", ".join(f"`{name}`" for name in sorted(rooms))
        others = ", ".join(sorted(packages - ALWAYS))
        lines.append(f"| `{room}` | {ours} | {others} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Returns the page's text with the table of today."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{as_markdown()}\n\n{place[2]}", page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
