"""TensorFlow's start-up notes are hidden, what matters is not."""

import gc
import importlib
import os
import subprocess
import sys

import pytest

from pdm_tf.core.quiet import as_if_not_installed, captured_native, uncollected

PROLOGUE = "from pdm_tf.core.quiet import quiet_start\nimport os, sys\n"


def run(code):
    return subprocess.run(
        [sys.executable, "-c", PROLOGUE + code],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_importing_and_using_tensorflow_leaves_no_line():
    result = run(
        "with quiet_start():\n"
        "    import tensorflow as tf\n"
        "data = tf.data.Dataset.range(3)\n"
        "print(int(sum(tf.function(lambda x: 1 * x)(item) for item in data)))\n"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "3\n", "")


@pytest.mark.parametrize(
    "code",
    [
        # The first imports TensorFlow by way of Keras, and starts the devices.
        "from pdm_tf.bundles.bundle import load_bundle\n"
        "print(load_bundle(sys.argv[1]).name)",
        "import export.degradation\nprint('EDSR')",
    ],
    ids=["bundle", "export"],
)
def test_whoever_imports_tensorflow_no_note_is_seen(code, repository):
    """In a user's own script, which knows nothing of `quiet_start`."""
    bundle = repository / "tests/data/stored/run/bundles/sr_ema"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", str(bundle)],
        cwd=repository,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "EDSR\n", "")


def test_a_package_can_be_left_out_of_what_others_import():
    name = "antigravity"  # of Python's own, and wanted by nobody
    with as_if_not_installed(name), pytest.raises(ImportError):
        importlib.import_module(name)
    assert name not in sys.modules
    with as_if_not_installed("json"):
        assert importlib.import_module("json")  # loaded already


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_is_not_looked_for_meanwhile_and_after_that_as_before(was_enabled):
    try:
        (gc.enable if was_enabled else gc.disable)()
        with pytest.raises(ImportError), uncollected():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()
        gc.unfreeze()


def test_only_the_import_of_tensorflow_is_touched():
    """Others are found as before; whoever asks whether it is there imports nothing."""
    result = run(
        "import importlib.util, pdm_tf\n"
        "first = sys.meta_path[0]\n"
        "assert first.find_spec('json') is None\n"
        "assert importlib.util.find_spec('tensorflow').name == 'tensorflow'\n"
        "assert 'tensorflow' not in sys.modules\n"
        "pdm_tf.hide_import_notes()\n"
        "assert sum(type(f) is type(first) for f in sys.meta_path) == 1\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_notes_are_dropped_and_warnings_passed_on():
    result = run(
        "with quiet_start():\n"
        "    os.write(2, b'I0000 00:00:1.5 1 port.cc:153] a note\\n')\n"
        "    os.write(2, b'W0000 00:00:1.5 1 port.cc:153] a warning\\n')\n"
        "    print('from python', file=sys.stderr)\n"
        "print('after', file=sys.stderr)\n"
    )
    assert result.stderr == (
        "W0000 00:00:1.5 1 port.cc:153] a warning\nfrom python\nafter\n"
    )


@pytest.mark.parametrize("error", ["ImportError('no libcudart')", "SystemExit(4)"])
def test_an_exception_within_is_not_lost(error):
    result = run(
        "with quiet_start():\n"
        "    os.write(2, b'why it failed\\n')\n"
        f"    raise {error}\n"
    )
    assert result.returncode != 0
    assert result.stderr.startswith("why it failed\n")
    assert ("no libcudart" in result.stderr) == error.startswith("Import")


def test_native_output_is_caught_and_the_terminal_given_back(capfd):
    with pytest.raises(ZeroDivisionError), captured_native() as log:
        os.write(2, b"from the depths\n")
        raise ZeroDivisionError
    os.write(2, b"seen\n")
    assert log.text == "from the depths\n"
    assert capfd.readouterr().err == "seen\n"


_WRITES = """
import os, sys
import pdm_tf
print("out"), print("err", file=sys.stderr), sys.stdin.read(0)
from pdm_tf.core.quiet import captured_native
with captured_native() as log:
    os.write(2, b"native")
assert log.text == "native"
file = open(sys.argv[1], "w")
assert file.fileno() > 2, file.fileno()
file.write("done")
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_hindrance(closed, tmp_path, repository):
    path = tmp_path / "result"
    shell = f'exec "$0" -c "$1" "$2" {closed}'
    words = ["sh", "-c", shell, sys.executable, _WRITES, str(path)]
    assert subprocess.run(words, cwd=repository, check=False).returncode == 0
    assert path.read_text() == "done"
