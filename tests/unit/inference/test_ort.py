"""The import of onnxruntime: wheels that clash, damaged installs, native chatter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.inference import ort

REPOSITORY = Path(__file__).parents[3]


def test_one_wheel_is_fine_and_two_are_refused():
    ort.check_wheels([])
    ort.check_wheels(["onnxruntime"])
    with pytest.raises(UserError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        ort.check_wheels(["onnxruntime", "onnxruntime-gpu"])


def _metadata(folder, name, version):
    (folder / f"{name}-{version}.dist-info").mkdir(parents=True)
    (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    )


def _import(path):
    code = (
        "from pdm_tf.inference.ort import import_onnxruntime\n"
        "from pdm_tf.core.errors import UserError\n"
        "try:\n    import_onnxruntime()\n    print('imported')\n"
        "except UserError as error:\n    print(error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(path)},
        check=True,
    ).stdout


def test_both_wheels_in_an_environment_are_found_before_the_import(tmp_path):
    """What pip leaves behind when both were installed."""
    _metadata(tmp_path, "onnxruntime", "1.26.0")
    _metadata(tmp_path, "onnxruntime_gpu", "1.26.0")
    said = _import(tmp_path)
    assert "Only one wheel of onnxruntime may be installed" in said
    assert "onnxruntime, onnxruntime-gpu" in said


@pytest.mark.parametrize("content", ["", "raise ImportError('libfoo.so is missing')"])
def test_a_damaged_install_is_explained(tmp_path, content):
    """As after uninstalling one of two wheels: a folder that is only half there."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(content)
    said = _import(tmp_path)
    assert "cannot be imported" in said
    assert "--force-reinstall --no-deps" in said
    assert "libfoo" in said or not content


def test_native_output_is_caught_and_the_terminal_given_back(capfd):
    with pytest.raises(ZeroDivisionError), ort.captured_native() as log:
        os.write(2, b"from the depths\n")
        raise ZeroDivisionError
    os.write(2, b"seen\n")
    assert log.text == "from the depths\n"
    assert capfd.readouterr().err == "seen\n"


def test_errors_are_told_without_their_codes():
    error = RuntimeError(
        "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load of x:\n bad."
    )
    assert ort.reason_of(error) == "Load of x: bad"
    assert ort.reason_of(ValueError("plain")) == "plain"
