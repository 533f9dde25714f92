"""Each measurement says when, where, on what and how; its JSON has its numbers."""

import json
import re
from pathlib import Path

import pytest

from tests.support.measurement_tables import HEAD, page_numbers

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "measurements"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page_and_json_agree(page):
    numbers = page_numbers(page.read_text(encoding="utf-8"))
    assert all(numbers[name] for name in HEAD)
    assert re.fullmatch("[0-9a-f]{7,40}", numbers["commit"])
    stored = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert stored == numbers, (
        f"python -m tests.support.measurement_tables {page.relative_to(ROOT)}"
    )


def test_the_index_lists_every_page():
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(([\w-]+)\.md\)", index)) == sorted(
        p.stem for p in PAGES
    )
    assert {path.stem for path in FOLDER.glob("*.json")} == {
        page.stem for page in PAGES
    }


def test_numbers_are_read_out_of_a_table():
    text = (
        '---\ndate: "d"\nmachine: "m"\ncommit: "abcdef1"\ncommand: "c"\n---\n\n'
        "| a | b |\n| --- | --- |\n| **1.5** | x 2 |\n| 3 | |\n\nText\n"
    )
    assert page_numbers(text)["tables"] == [
        {"columns": ["a", "b"], "rows": [[1.5, "x 2"], [3, ""]]}
    ]
