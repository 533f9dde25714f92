"""TensorFlow's start-up notes are hidden, what matters is not."""

import os
import subprocess
import sys

import pytest

from pdm_tf.core.quiet import captured_native

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
