"""`python -m pdm_tf.degrade`, from flags to files that training reads."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.degrade import SPEC, main
from tests.oracles import filter_oracle
from tests.support import forking
from tests.support.programs import run_here
from tests.unit.data.folders import noise
from tests.unit.degradations.networks import tiny_pdm

SCALE = 2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_bundle(tiny_pdm(), folder / "bundles/pdm_ema", step=2)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    for index in range(4):
        write_png(tmp_path / f"in/{index}.png", noise(41 + index, 44, index))
    return tmp_path


def argv(folder, degradation, *flags, out="out"):
    return [
        f"--degradation={degradation}",
        f"--input={folder / 'in'}",
        f"--output={folder / out}",
        *flags,
    ]


def call(folder, degradation, *flags, out="out"):
    return program.call(SPEC, main, argv(folder, degradation, *flags, out=out))


def start(folder, degradation, *flags, out="out", module="pdm_tf.degrade"):
    command = [sys.executable, "-m", module]
    return forking.Popen(
        [*command, *argv(folder, degradation, *flags, out=out)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.parametrize(
    "form", ["pairs", pytest.param("tfrecord", marks=pytest.mark.slow)]
)
def test_training_reads_the_output_of_degrade(folder, bundle, capsys, form):
    """Two programs, one after the other; the second knows the grid of the first."""
    flags = ("--draws=2", f"--format={form}", "--seed=5", "--progress=on")
    assert call(folder, bundle, *flags) == program.OK
    told = capsys.readouterr()
    assert told.out == f"4 photographs degraded, 2 LR images each: {folder / 'out'}\n"
    assert "4/4" in told.err
    printed = run_here(
        "pdm_tf.train",
        "--method=supervised",
        "--method_arg=pairs=real",
        f"--scale={SCALE}",
        "--lr_patch=8",
        f"--hr_dir={folder}/out/hr",
        f"--lr_dir={folder}/out/lr",
        f"--run_dir={folder}/run",
        "--steps=2",
        "--batch_size=2",
        "--sr_arg=num_blocks=1",
        "--sr_arg=filters=4",
    )
    assert "skip" not in printed.lower() and "pixels of --lr_dir" not in printed
    assert read_json(folder / "run/bundles/sr_ema/bundle.json")["step"] == 2


def test_killed_and_started_again_is_the_same(folder, bundle):
    """kill -9 in the middle of the work; `core.ledger` is tried at every byte."""
    for index in range(24):
        write_png(folder / f"in/more/{index}.png", noise(300, 300, 100 + index))
    assert call(folder, bundle, out="straight") == program.OK
    ledger = folder / "out/.degrade.jsonl"
    process = start(folder, bundle, "--threads=2")
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if ledger.exists() and ledger.read_bytes().count(b"\n{") > 3:
            break
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    assert not (folder / "out/manifest.jsonl").exists()
    assert call(folder, bundle) == program.OK
    assert contents(folder / "out") == contents(folder / "straight")


def test_sigterm_ends_with_75_and_can_go_on(folder, bundle, capsys):
    for index in range(24):
        write_png(folder / f"in/more/{index}.png", noise(300, 300, 100 + index))
    process = start(folder, bundle, "--threads=1", "--progress=off")
    end = time.monotonic() + 120
    while time.monotonic() < end and not (folder / "out/lr/0.png").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    told, warned = process.communicate(timeout=60)
    assert process.returncode == program.INTERRUPTED, warned
    assert "start it again with the same flags to go on" in told
    assert warned.startswith("SIGTERM: stopping")
    assert call(folder, bundle) == program.OK
    assert "kept from before" in capsys.readouterr().out
    lines = (folder / "out/manifest.jsonl").read_text().splitlines()
    assert len(lines) == 28


def test_predefined_with_settings(folder, capsys):
    flags = ("--scale=2", "--degradation_arg=kernel_size=7")
    fixed = ("--degradation_arg=noise_min_255=9", "--degradation_arg=noise_max_255=9")
    assert call(folder, "awgn_blur", *flags, *fixed) == program.OK
    lines = (folder / "out/manifest.jsonl").read_text().splitlines()
    stds = [json.loads(line)["noise_std_255"] for line in lines]
    assert stds == pytest.approx([9.0] * 4, abs=0.7)
    assert np.load(folder / "out/kernels.npy").shape == (4, 7, 7)
    assert call(folder, "awgn_blur", *flags) == program.BAD_INPUT
    told = capsys.readouterr().err
    assert "noise_max_255=9.0" in told and "noise_max_255=15.0" in told


def test_a_predefined_one_has_scale_4_and_a_learned_one_its_own(folder, bundle):
    assert call(folder, "bicubic") == call(folder, bundle, out="b") == program.OK
    assert read_rgb_u8(folder / "out/lr/0.png").shape == (10, 11, 3)
    assert read_rgb_u8(folder / "b/lr/0.png").shape == (20, 22, 3)
    settings = read_json(folder / "b/degrade.json")
    assert (settings["scale"], settings["grid"]) == (2, "pixel0")


def test_a_chain_says_what_it_takes_and_hr_is_the_target(folder, capsys, monkeypatch):
    """Whole photographs; the same bytes however many are worked on at once."""
    flags = ("--draws=2", "--scale=3")
    assert call(folder, "real_esrgan", *flags, "--threads=1") == program.OK
    told = capsys.readouterr().err
    assert re.search(r"the largest, of 0.0 megapixels, .* at once: 1\.", told)
    assert call(folder, "real_esrgan", *flags, "--threads=4", out="four") == program.OK
    assert contents(folder / "four") == contents(folder / "out")
    hr_u8 = read_rgb_u8(folder / "in/0.png")[:39, :42]
    target_u8 = read_rgb_u8(folder / "out/hr/0_d1.png")
    wanted = filter_oracle.sharpened(hr_u8 / 255.0) * 255
    np.testing.assert_allclose(target_u8, wanted, rtol=0, atol=0.51)
    assert np.abs(target_u8.astype(int) - hr_u8).max() > 5
    rows = (folder / "out/manifest.jsonl").read_text().splitlines()
    assert all(json.loads(row)["hr_is_target"] for row in rows)
    monkeypatch.setattr("pdm_tf.degrade.free_mb", lambda: 0.3)
    assert call(folder, "real_esrgan", *flags, out="little") == program.OK
    assert "at once: 1." in capsys.readouterr().err


def test_bad_files_are_counted_in_the_exit_code(folder, bundle, capsys):
    (folder / "in" / "text.png").write_text("text")
    assert call(folder, bundle) == program.SOME_LEFT_OUT
    told = capsys.readouterr()
    assert "text.png: is not a PNG, JPEG, WebP, TIFF, BMP or GIF image" in told.err
    assert "1 files left out" in told.out


@pytest.mark.parametrize(
    "degradation, flags, words",
    [
        (
            "bicubik",
            [],
            "Received: 'bicubik', which does not exist",
        ),
        ("", [], "--degradation is required"),
        ("bicubic", ["--draws=0"], "--draws must be 1 or more"),
        ("awgn_blur", ["--degradation_arg=sigma=3"], "has no setting 'sigma'"),
        ("awgn_blur", ["--degradation_arg=kernel_size=4"], "must be odd"),
        ("RUN", ["--scale=4"], "--scale must be that of the degradation, 2"),
        ("RUN", ["--degradation_arg=grid=pixel0"], "is for predefined degradations"),
        ("RUN", ["--weights=raw"], "or bundles/pdm/bundle.json"),
        ("bicubic", ["--input=nowhere"], "There is no folder nowhere"),
    ],
)
def test_impossible_requests_are_refused(
    folder, bundle, capsys, degradation, flags, words
):
    degradation = degradation.replace("RUN", str(bundle))
    assert call(folder, degradation, *flags) == program.BAD_INPUT
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and words in told.err
    assert not (folder / "out").exists()


def test_help_teaches(capsys):
    assert program.call(SPEC, main, ["--help"]) == program.OK
    text = " ".join(capsys.readouterr().out.split())  # lines break by the terminal
    for words in (
        "hard links",
        "75 when it was stopped",
        "manifest.jsonl",
        "kernels.npy",
    ):
        assert words in text
