"""`python -m export` publishes nothing after broken limits, wrong flags or Ctrl-C."""

import signal
import subprocess
import sys

import pytest

from export.__main__ import LIMIT_BROKEN
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.cli import program
from pdm_tf.core.stored import read_json
from tests.support.exporting import REPOSITORY, call, hidden, start, tree, visible
from tests.support.processes import children, ended, wait_for
from tests.support.tiny_nets import EDSR_TINY, built


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "sr"
    return save_bundle(built(EDSR_TINY), folder, step=1)


@pytest.fixture
def published(tmp_path):
    """An output folder as an earlier export has left it, in short."""
    folder = tmp_path / "exported"
    (folder / "saved_model" / "3").mkdir(parents=True)
    (folder / "saved_model" / "3" / "saved_model.pb").write_bytes(b"served")
    (folder / "model.onnx").write_bytes(b"used")
    return folder


def test_a_broken_limit_publishes_nothing_and_ends_with_4(bundle, published, capfd):
    before = tree(published)
    code = call(f"--model={bundle}", f"--output={published}", "--min_fp16_psnr=500")
    assert code == LIMIT_BROKEN == 4
    told = capfd.readouterr()
    first, last = told.err.splitlines()
    assert first.startswith("error: model_fp16.onnx: PSNR ")
    assert first.endswith(" dB, at least 500 wanted.")
    report = published / "certificate.failed.json"
    assert last == (
        f"error: nothing was published. All numbers: {report}. "
        "--nofp16 exports without that file."
    )
    content = read_json(report)
    assert content["passed"] is False and len(content["broken"]) == 1
    assert content["limits"]["min_fp16_psnr_db"] == 500
    after = tree(published)
    assert after.pop(report.name) and after == before


def test_ctrl_c_leaves_existing_files_alone(bundle, published):
    before = tree(published)
    process = start(f"--model={bundle}", f"--output={published}")
    wait_for(lambda: list(published.glob(".export.*.tmp")), 60.0)
    steps = wait_for(lambda: children(process.pid))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == program.ABORTED, errors
    assert errors.splitlines() == ["interrupted."]
    wait_for(lambda: all(ended(step) for step in steps))
    assert hidden(published) == {} and visible(published) == before


def test_help_teaches_and_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "export", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == program.OK
    assert "python -m export --model=runs/bicubic --output=exported" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "absl.flags" in loaded
    assert not loaded & {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx"}


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--model="], "--model is required"),
        (["--model=none"], "--model must be a run folder or a bundle"),
        (["--model={published}"], "exported"),
        (["--version=3"], "--version must be a number that is not there yet"),
        (["--photo={published}/model.onnx"], "--photo must name a photograph"),
        (["--model_name=a/b"], "--model_name must be letters, digits"),
        (["--layout=chw"], "layout"),
        (["--max_level_dif=1"], "Did you mean --max_level_diffs?"),
    ],
)
def test_wrong_flags(bundle, published, capfd, flags, words):
    """One line that names the rule; what is there stays."""
    before = tree(published)
    flags = [flag.format(published=published) for flag in flags]
    given = [f"--model={bundle}", f"--output={published}", *flags]
    assert call(*given) == program.BAD_INPUT
    told = capfd.readouterr().err
    assert words in told and told.count("\n") == 1, told
    assert tree(published) == before
