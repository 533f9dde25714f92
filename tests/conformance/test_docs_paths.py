"""Every file, folder and test that a page names in backticks exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "BUILD_NOTES.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# The rooms that a path may begin with, relative to the root or to pdm_tf/.
ROOMS = {
    path.name
    for parent in (ROOT, ROOT / "pdm_tf")
    for path in parent.iterdir()
    if path.is_dir() and not path.name.startswith((".", "__"))
}
# What programs and readers make, not the repository.
MADE = {"build", "bundles", "data", "dist", "runs"}
CODE = re.compile(r"```.*?```", re.DOTALL)
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?")
FILE = re.compile(r"[\w-]+\.(?:py|flags|toml)")
TEST = re.compile(r"test_\w+")
TESTS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("tests/**/*.py"))
)
NAMES = {
    path.name
    for room in ("pdm_tf", "export", "tests", "configs", "docs")
    for path in (ROOT / room).rglob("*")
} | {path.name for path in ROOT.iterdir()}


def spans(text):
    """The backticked texts of a page outside fenced blocks."""
    return re.findall(r"`([^`\n]+)`", CODE.sub("", text))


def is_there(path):
    """Whether a named path lies below the root or pdm_tf/."""
    return any((parent / path).exists() for parent in (ROOT, ROOT / "pdm_tf"))


def missing(text):
    """The paths and tests that a page names and the repository lacks."""
    lost = []
    for span in spans(text):
        name, _, test = span.partition("::")
        room = name.partition("/")[0]
        is_ours = name.endswith(".py") or (room in ROOMS and room not in MADE)
        if PATH.fullmatch(name) and is_ours:
            lost += [] if is_there(name) else [span]
        elif FILE.fullmatch(name) and name not in NAMES:
            lost.append(span)
        function = test.partition("[")[0] if test else name
        is_test = TEST.fullmatch(function) and f"{function}.py" not in NAMES
        if is_test and f"def {function}(" not in TESTS:
            lost.append(span)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_and_test_that_a_page_names_exists(page):
    assert missing(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "span",
    [
        "ops/never.py",
        "pdm_tf/ops/never.py",
        "a_room_that_was_renamed/blur.py",
        "tests/unit/never/",
        "never.py",
        "configs/never.flags",
        "test_that_was_never_written",
        "tests/conformance/test_docs_paths.py::test_never",
    ],
)
def test_a_name_that_leads_nowhere_is_found(span):
    assert missing(f"see `{span}` for it") == [span]
