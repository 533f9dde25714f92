"""How many places the code has: files, imports, circles, and what a training step runs.

    python -m tests.support.structure [ROOT]

prints a table for the checkout in ROOT (default: this one). The counts are those of
tests/unit/test_structure.py, which holds bounds on them:

- *files, lines*: Python files below `pdm_tf/` and `export/`.
- *imported by train*: files that `pdm_tf/train.py` imports, directly or through others,
  itself included; imports inside functions count (not those for type checkers alone),
  and so do the `__init__.py` that Python runs on the way to a module.
- *importers of one*: files that exactly one other of these files imports by name.
- *circles*: sets of files that import each other, at any depth of the code.
- *executed*: files of which a function runs between the beginning and the end of `main`
  of `pdm_tf/train.py`, for a run of two steps of pdm_sr with tiny networks, without
  validation and report. Seen are the main thread and Python's own threads.
- *calls to the step*: calls from `main` to the method's joint step, as they stand on
  the stack when the step is traced; comprehensions are no calls, and TensorFlow's own
  calls are left out.

The last two train in a process of their own, some ten seconds on an idle machine.
"""

import ast
import inspect
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pdm_tf", "export")
TRAIN = "pdm_tf/train.py"
STEPS = ("_joint_step", "joint_step")
# Packages that others load where they are installed, and that training does not use.
IDLE = ("matplotlib", "torch")
TINY = (
    "--hr_dir=pdm_tf/samples/photos_for_hr",
    "--lr_dir=pdm_tf/samples/photos_for_lr",
    "--steps=2",
    "--batch_size=2",
    "--lr_patch=8",
    "--report=off",
    "--progress=off",
    "--sr_arg=num_blocks=1",
    "--sr_arg=filters=4",
    "--discriminator_arg=filters=4",
    "--kernel_arg=filters=4",
    "--kernel_arg=num_blocks=1",
    "--noise_arg=filters=4",
    "--noise_arg=num_blocks=1",
)


class Static(NamedTuple):
    """What can be counted without running anything."""

    files: int
    lines: int
    imported_by_train: int
    importers_of_one: int
    circles: int


class Running(NamedTuple):
    """What two steps of training run."""

    executed: int
    calls_to_step: int
    idle: int


def static(root: Path = ROOT) -> Static:
    """Counts the files of a checkout."""
    graph = imports(root)
    importers: dict[str, set[str]] = {name: set() for name in graph}
    for name, targets in graph.items():
        for target in targets - {name}:
            importers[target].add(name)
    return Static(
        files=len(graph),
        lines=sum(len((root / name).read_bytes().splitlines()) for name in graph),
        imported_by_train=len(closure(graph, TRAIN)),
        importers_of_one=sum(len(found) == 1 for found in importers.values()),
        circles=len(circles(graph)),
    )


def imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Returns file -> files that it imports by name; paths relative to the checkout."""
    names = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }
    return {name: set(_imported(root / name, name, names)) for name in sorted(names)}


def closure(graph: dict[str, set[str]], start: str) -> set[str]:
    """Returns the files that Python runs to import all that `start` imports."""
    found: set[str] = set()
    left = [start]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [*graph[name], *_packages_of(name, graph)]
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Returns the sets of two or more files that reach each other by imports."""
    reach = {name: _reached(graph, name) for name in graph}
    found: list[set[str]] = []
    for name in graph:
        circle = {other for other in reach[name] if name in reach[other]}
        if len(circle | {name}) > 1 and circle not in found:
            found.append(circle)
    return found


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = list(graph[start] - {start})
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph[name] - {name}
    return found


def _packages_of(name: str, names: dict[str, set[str]]) -> list[str]:
    parents = (parent / "__init__.py" for parent in Path(name).parents)
    return [parent.as_posix() for parent in parents if parent.as_posix() in names]


def _imported(path: Path, name: str, names: set[str]) -> Iterator[str]:
    """The files that one file imports."""
    package = Path(name).parent.parts
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _nodes_that_run(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _file_of(alias.name.split("."), names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                # A name is a module of its own, or something in the module before it.
                module = list(_file_of([*stem, alias.name], names))
                yield from module or _file_of(stem, names)


def _nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _nodes_that_run(node)


def _file_of(parts: list[str], names: set[str]) -> Iterator[str]:
    stem = "/".join(parts)
    for name in (f"{stem}.py", f"{stem}/__init__.py"):
        if name in names:
            yield name
            return


def running(root: Path = ROOT) -> Running:
    """Trains two steps in a process of their own and counts what ran.

    Raises:
      RuntimeError: training failed; with what it printed.
    """
    seen = trace(root)
    return Running(len(seen["files"]), len(seen["stack"]) - 1, len(seen["idle"]))


def trace(root: Path = ROOT) -> dict[str, list[str]]:
    """Returns what two steps ran and loaded.

    The "files", the "stack" of the joint step, and packages that are "idle".

    Raises:
      RuntimeError: training failed; with what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "seen.json"
        flags = (*TINY, f"--run_dir={folder}/run")
        done = subprocess.run(
            [sys.executable, __file__, "--trace", str(root), str(output), *flags],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        if done.returncode or not output.exists():
            raise RuntimeError(f"Training failed.\n{done.stdout}{done.stderr}")
        return json.loads(output.read_text(encoding="utf-8"))


class _Watch:
    """A trace function for `sys.settrace` that is told about calls alone."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[Any, str] = {}  # code -> see `_call_of`
        self.files: set[str] = set()
        self.stack: list[str] = []
        self.is_on = False

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        call = self._call_of(frame)
        if not call or self._is_importing(frame):
            return
        file, _, name = call.partition(":")
        self.is_on = self.is_on or call == f"{TRAIN}:main"
        if self.is_on:
            self.files.add(file)
            if name in STEPS and not self.stack:
                self.stack = self._calls_down_to(frame)

    def _call_of(self, frame: FrameType) -> str:
        """ "FILE:FUNCTION" for a function of ours, else ""."""
        code = frame.f_code
        if code not in self._known:
            self._known[code] = self._described(frame)
        return self._known[code]

    def _described(self, frame: FrameType) -> str:
        code = frame.f_code
        file, name = code.co_filename, code.co_name
        is_function = code.co_flags & inspect.CO_OPTIMIZED  # no body of a class
        if not is_function or name.startswith("<") or not file.startswith(self._root):
            return ""
        file = file[len(self._root) :].lstrip("/")
        ours = tuple(f"{package}/" for package in PACKAGES)
        return f"{file}:{name}" if file.startswith(ours) else ""

    def _is_importing(self, frame: FrameType) -> bool:
        """Whether a module is being imported; looked at for new files only."""
        if self._call_of(frame).partition(":")[0] in self.files:
            return False
        above = frame.f_back
        while above is not None:
            if above.f_code.co_name == "_find_and_load":
                return True
            above = above.f_back
        return False

    def _calls_down_to(self, frame: FrameType) -> list[str]:
        calls = []
        above: FrameType | None = frame
        while above is not None:
            call = self._call_of(above)
            if call:
                calls.append(call)
            if call == f"{TRAIN}:main":
                break
            above = above.f_back
        return calls[::-1]


def _train_watched(root: str, output: str, *flags: str) -> None:
    watch = _Watch(str(Path(root).resolve()))
    sys.argv = ["pdm_tf.train", *flags]
    threading.settrace(watch)
    sys.settrace(watch)
    try:
        runpy.run_module("pdm_tf.train", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.settrace(None)
    idle = [name for name in IDLE if name in sys.modules]
    seen = {"files": sorted(watch.files), "stack": watch.stack, "idle": idle}
    Path(output).write_text(json.dumps(seen), encoding="utf-8")


def main(root: Path) -> None:
    """Prints the table, the circles and the calls to the step."""
    seen = trace(root)
    counts = {
        **static(root)._asdict(),
        "executed": len(seen["files"]),
        "calls_to_step": len(seen["stack"]) - 1,
        "idle": len(seen["idle"]),
    }
    for name, count in counts.items():
        print(f"{name.replace('_', ' '):<20}{count:>8,}")
    for circle in circles(imports(root)):
        print("circle:", ", ".join(sorted(circle)))
    print("to the step:", *seen["stack"], sep="\n  ")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--trace"]:
        _train_watched(*sys.argv[2:])
    else:
        main(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT)
