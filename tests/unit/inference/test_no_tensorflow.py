"""The promise of the room: it runs without TensorFlow, and sends no telemetry."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.onnx_files import write_sr

_ALL = """
import importlib, pkgutil, sys
import pdm_tf.inference as room
names = [m.name for m in pkgutil.iter_modules(room.__path__, room.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names), *sorted(
    {name.partition(".")[0] for name in sys.modules}
    & {"tensorflow", "keras", "absl", "torch", "jax", "PIL", "onnx", "onnxruntime"}
))
"""

_RUN = """
import sys
import numpy as np
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.session import open_session
engine = Engine(open_session(sys.argv[1]))
print(engine.upscale_array(np.zeros((5, 6, 3), np.uint8)).shape)
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


def _python(code, *arguments, **environment):
    repository = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=repository,
        env={**os.environ, **environment},
        check=True,
    )


def test_no_module_imports_tensorflow():
    """Whatever they import on the way counts; onnxruntime waits until it is needed."""
    done = _python(_ALL)
    count, *found = done.stdout.split()
    assert int(count) >= 10
    assert set(found) <= {"PIL"}
    assert done.stderr == ""


def test_running_a_network_needs_no_tensorflow_and_leaves_nothing_at_home(tmp_path):
    """Some versions of onnxruntime write a device id into the home folder."""
    home = tmp_path / "home"
    home.mkdir()
    model = write_sr(tmp_path / "model.onnx")
    done = _python(_RUN, model, HOME=str(home), XDG_CACHE_HOME="")
    assert done.stdout.splitlines() == ["(10, 12, 3)", "[]"]
    assert done.stderr == ""
    assert not list(home.iterdir())


def test_telemetry_is_off_unless_the_user_says_otherwise():
    code = (
        "import os; from pdm_tf.inference.ort import import_onnxruntime as f; f();"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**environment, **given},
            cwd=Path(__file__).parents[3],
            check=True,
        )
        assert done.stdout.strip() == expected


def test_nobody_imports_onnxruntime_around_the_switch():
    """All of the project gets it from `ort.py`, where telemetry is switched off."""
    repository = Path(__file__).parents[3]
    culprits = [
        path.relative_to(repository).as_posix()
        for folder in ("pdm_tf", "export")
        for path in (repository / folder).rglob("*.py")
        if path.name != "ort.py"
        and any(
            line.strip().startswith(("import onnxruntime", "from onnxruntime"))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    ]
    # Parts of onnxruntime that need the module to be there already are fine, below
    # a call of import_onnxruntime.
    culprits = [
        name
        for name in culprits
        if "import_onnxruntime" not in (repository / name).read_text(encoding="utf-8")
    ]
    assert not culprits
