"""`python -m pdm_tf.estimate`, from flags to files."""

import json
import shutil

import numpy as np
import pytest

from pdm_tf import estimate
from pdm_tf.cli import program
from pdm_tf.core.images import write_png
from tests.support.html_check import check_html
from tests.support.programs import run_apart
from tests.unit.estimation.folders import blurred, sharp, write_folders


@pytest.fixture
def folder(tmp_path):
    lr = [blurred(x, 1.0 + 0.1 * i, 4) for i, x in enumerate(sharp())]
    write_folders(tmp_path, sharp()[:6], lr)
    return tmp_path


def call(folder, *flags):
    argv = [f"--{name}_dir={folder / name}" for name in ("hr", "lr")]
    argv.append(f"--output_dir={folder / 'out'}")
    return program.call(estimate.SPEC, estimate.main, [*argv, *flags])


def test_the_check_as_a_user_runs_it(folder):
    """Quick, and TensorFlow is not even loaded."""
    flags = ("--hr_dir=hr", "--lr_dir=lr", "--output_dir=out", "--check_only")
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
        (("--output_dir=",), "--output_dir is required"),
    ],
)
def test_requests_that_cannot_be_met(folder, capsys, flags, message):
    assert call(folder, "--check_only", *flags) == program.BAD_INPUT
    assert message in capsys.readouterr().err


def test_results_must_not_be_inputs_next_time(folder, capsys):
    inside = f"--output_dir={folder / 'lr/out'}"
    assert call(folder, "--check_only", inside) == program.BAD_INPUT
    assert "must lie outside --lr_dir" in capsys.readouterr().err
