"""`python -m pdm_tf.estimate`, from flags to files."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from pdm_tf import estimate
from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.source_estimate import SourceEstimate, axes_of
from pdm_tf.core.stored import read_json
from tests.support import forking
from tests.support.html_check import check_html
from tests.support.programs import ROOT, run_apart, run_divided
from tests.unit.estimation.folders import blurred, sharp, write_folders


@pytest.fixture
def folder(tmp_path):
    lr = [blurred(x, 1.0 + 0.1 * i, 4) for i, x in enumerate(sharp())]
    write_folders(tmp_path, sharp()[:6], lr)
    return tmp_path


def call(folder, *flags):
    argv = [f"--{name}_dir={folder / name}" for name in ("hr", "lr")]
    argv.append(f"--output={folder / 'out'}")
    return program.call(estimate.SPEC, estimate.main, [*argv, *flags])


def test_the_check_as_a_user_runs_it(folder):
    """Quick, and TensorFlow is not even loaded."""
    flags = ("--hr_dir=hr", "--lr_dir=lr", "--output=out", "--check_only")
    done = run_apart(
        "pdm_tf.estimate",
        *flags,
        cwd=folder,
        timeout=60,
        more_environment=[("PYTHONPROFILEIMPORTTIME", "1")],
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "HR: 6 of 6 photographs can be used: 176 x 176 px; 6 png"
    )
    assert lines[-1] == "out/check.html"
    assert check_html((folder / "out/check.html").read_text()) == []
    assert " tensorflow" not in done.stderr and " keras" not in done.stderr
    stored = json.loads((folder / "out/check.json").read_text())
    assert stored["advice"]["steps"] == 2000
    assert len(stored["lr"]["photographs"]) == 12


def test_exit_codes(folder, capsys):
    assert call(folder, "--check_only") == program.OK
    write_png(folder / "lr/tiny.png", sharp()[0][:20, :20])
    assert call(folder, "--check_only") == program.SOME_LEFT_OUT
    told = capsys.readouterr()
    assert "warning: 1 LR photograph is left out: smaller than" in told.err
    assert "(tiny.png)" in told.err
    shutil.rmtree(folder / "lr")
    write_png(folder / "lr/a.png", np.zeros([50, 50, 3], np.uint8))
    assert call(folder, "--check_only") == program.BAD_INPUT
    told = capsys.readouterr()
    assert "error: At least one LR photograph" in told.err
    assert "flags for pdm_tf.train" not in told.out
    stored = json.loads((folder / "out/check.json").read_text())
    assert stored["advice"] is None
    assert {one["code"] for one in stored["findings"]} >= {"no_lr", "left_out_lr"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--scale=0",), "--scale must be 1 or more"),
        (("--hr_dir=nowhere",), "There is no folder nowhere"),
        (("--output=",), "--output is required"),
    ],
)
def test_requests_that_cannot_be_met(folder, capsys, flags, message):
    assert call(folder, "--check_only", *flags) == program.BAD_INPUT
    assert message in capsys.readouterr().err


def test_results_must_not_be_inputs_next_time(folder, capsys):
    inside = f"--output={folder / 'lr/out'}"
    assert call(folder, "--check_only", inside) == program.BAD_INPUT
    assert "must lie outside --lr_dir" in capsys.readouterr().err


SMALL = (
    "--estimate_arg=samples=48",
    "--estimate_arg=epochs=1",
    "--estimate_arg=rounds=1",
    "--estimate_arg=draws=24",
    "--train_flag=--flagfile=configs/parts/smoke_pdm.flags",
    "--train_flag=--nonoise",
)


def test_the_whole_as_a_user_runs_it(folder):
    (folder / "configs").symlink_to(ROOT / "configs")
    write_png(folder / "lr/tiny.png", sharp()[0][:20, :20])
    flags = ("--hr_dir=hr", "--lr_dir=lr", "--output=out", *SMALL)
    done = run_apart(
        "pdm_tf.estimate",
        *flags,
        cwd=folder,
        code=program.SOME_LEFT_OUT,
        timeout=900,
    )
    assert "Traceback" not in done.stderr and "cuda" not in done.stderr.lower()
    lines = done.stdout.splitlines()
    assert "measured 12 LR photographs, 1 left out" in lines
    assert any(line.startswith("  blur: long axis ") for line in lines)
    assert re.search(r"A step of --method=pdm_sr --batch_size=2 takes \S+ s", lines[-3])
    assert lines[-2:] == [
        "a degradation to start from: out/bundle",
        "out/estimate.html",
    ]
    page = (folder / "out/estimate.html").read_text()
    assert check_html(page) == [] and "tiny.png" in page
    made = {path.name for path in (folder / "out").iterdir()}
    assert made == {
        "estimate.html",
        "estimate.json",
        "bundle",
        "check.json",
        "regressor.npz",
        "stages",
    }
    estimate = SourceEstimate.from_json(read_json(folder / "out/estimate.json"))
    network = load_bundle(folder / "out/bundle").network
    widths = kernel_moments(network.sample_kernels(400, seed=0)).sigma.mean(axis=0)
    wanted = axes_of(estimate.kernels.draw())
    np.testing.assert_allclose(widths, (wanted.long.mean(), wanted.short.mean()), 0.15)


def test_stopped_and_started_again(folder):
    """SIGTERM in the regressor's training; then the same command ends."""
    (folder / "configs").symlink_to(ROOT / "configs")
    flags = ("--hr_dir=hr", "--lr_dir=lr", "--output=out", "--notime_step")
    long = (*SMALL[1:4], "--estimate_arg=samples=4000")
    process = forking.Popen(
        [sys.executable, "-m", "pdm_tf.estimate", *flags, *long],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(folder / "out/stages/noise.json", process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == program.INTERRUPTED, printed
    assert "stopped; start it again with the same flags to go on." in printed
    assert not (folder / "out/estimate.json").exists()
    before = (folder / "out/stages/noise.json").stat().st_mtime_ns
    run_divided("pdm_tf.estimate", *flags, *SMALL, cwd=folder, timeout=900)
    assert (folder / "out/stages/noise.json").stat().st_mtime_ns == before
    assert (folder / "out/estimate.json").exists()


def wait_for(path, process):
    end = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow  # 14 s, for one more stage
def test_jpeg_of_the_files_reaches_the_bundle(folder, capsys):
    for index, path in enumerate(list_images(folder / "lr")):
        rgb_u8 = read_rgb_u8(path)
        path.unlink()
        Image.fromarray(rgb_u8).save(path.with_suffix(".jpg"), quality=40 + index)
    assert call(folder, "--notime_step", *SMALL[:4]) == program.OK
    assert "  JPEG: quality 40 to 51, mean 45.5, chroma 420" in capsys.readouterr().out
    network = load_bundle(folder / "out/bundle").network
    assert network.config.jpeg.qualities == tuple(range(40, 52))


def test_flags_of_training_are_checked_at_once(folder, capsys):
    code = call(folder, "--train_flag=--batch_sise=4")
    assert code == program.BAD_INPUT
    assert "Did you mean --batch_size?" in capsys.readouterr().err
    assert call(folder, "--train_flag=batch_size=4") == program.BAD_INPUT
    assert call(folder, "--estimate_arg=drawz=4") == program.BAD_INPUT
    assert "drawz" in capsys.readouterr().err
