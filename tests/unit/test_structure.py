"""The number of places the code has does not grow unseen.

Each bound is what was reached; who lowers a number lowers its bound, and who needs a
higher one says why in the commit. What is counted: `tests/support/structure.py`.
"""

import pytest

from tests.support import structure

BOUNDS = {
    "files": 338,
    "lines": 68_400,
    "imported_by_train": 216,
    "importers_of_one": 105,
    "circles": 0,
    "executed": 72,
    "calls_to_step": 9,
    "idle": 0,
}


def held(counts):
    return [
        f"{name}: {count} (bound: {BOUNDS[name]})"
        for name, count in counts.items()
        if count > BOUNDS[name]
    ]


def test_files_and_imports():
    assert held(structure.static()._asdict()) == []


def test_files_executed_by_two_steps_of_training():
    assert held(structure.running()._asdict()) == []


@pytest.fixture
def checkout(tmp_path):
    """A tree in which every kind of import occurs."""
    files = {
        "pdm_tf/__init__.py": "",
        "pdm_tf/train.py": "from pdm_tf.a import b\n\ndef f():\n    import pdm_tf.c\n",
        "pdm_tf/a/__init__.py": "",
        "pdm_tf/a/b.py": "from . import d\nfrom pdm_tf.e import name\n",
        "pdm_tf/a/d.py": "from pdm_tf.a.b import other\n",
        "pdm_tf/c.py": "import os\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import pdm_tf.unused\n",
        "pdm_tf/e.py": "name = 1\n",
        "pdm_tf/unused.py": "import pdm_tf.c\n",
        "export/__init__.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_counts_by_hand(checkout):
    graph = structure.imports(checkout)
    assert graph["pdm_tf/train.py"] == {"pdm_tf/a/b.py", "pdm_tf/c.py"}
    assert graph["pdm_tf/a/b.py"] == {"pdm_tf/a/d.py", "pdm_tf/e.py"}
    assert structure.closure(graph, "pdm_tf/train.py") == {
        "pdm_tf/__init__.py",
        "pdm_tf/train.py",
        "pdm_tf/a/__init__.py",
        "pdm_tf/a/b.py",
        "pdm_tf/a/d.py",
        "pdm_tf/c.py",
        "pdm_tf/e.py",
    }
    assert structure.circles(graph) == [{"pdm_tf/a/b.py", "pdm_tf/a/d.py"}]
    assert structure.static(checkout) == structure.Static(
        files=9,
        lines=13,
        imported_by_train=7,
        importers_of_one=2,  # d and e; b and c have two
        circles=1,
    )
