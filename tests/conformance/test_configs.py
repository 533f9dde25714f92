"""Flag files are code: each parses and builds; the smoke ones train, stop and go on.

The released project shipped configurations that did not parse, named networks that did
not exist, or failed at the first validation (reference list B3, B9 to B12, B15, B35).
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pdm_tf import build
from pdm_tf.config import exit_codes, flag_set
from pdm_tf.config.flags_train import SPEC
from pdm_tf.core.images import write_png
from pdm_tf.training.metrics_file import read_metrics

ROOT = Path(__file__).resolve().parents[2]
EVERY = sorted(
    path.relative_to(ROOT / "configs")
    for path in (ROOT / "configs").rglob("*.flags")
    if "parts" not in path.parts
)
SMOKE = [path for path in EVERY if path.parts[0] == "smoke"]


def parse(path, *more):
    return flag_set.parse(SPEC, [f"--flagfile={ROOT / 'configs' / path}", *more])


@pytest.mark.parametrize("path", EVERY, ids=str)
def test_parses_and_builds(path):
    """Every flag file describes networks that exist and fit each other."""
    method = build.build_method(parse(path))
    assert method.networks and method.optimizers
    assert set(method.optimizers) <= set(method.networks)
    assert method.train_step_for(0) == method.train_step_for(0)


def test_one_part_is_in_every_large_experiment():
    """The experiments share their schedule instead of repeating it."""
    config = parse(Path("pdm_sr/blur_x4.flags"))
    assert (config.steps, config.batch_size) == (200_000, 32)
    assert config.lr_milestones == (50_000, 100_000, 150_000)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """hr, their lr partners, and other lr: 8 smooth random images each."""
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(7)
    for index in range(8):
        coarse = draw.integers(0, 256, (24, 24, 3)).astype(np.float64)
        hr = coarse.repeat(4, 0).repeat(4, 1)
        hr = (hr + np.roll(hr, 3, 0) + np.roll(hr, 3, 1)) / 3
        write_png(folder / "hr" / f"{index}.png", hr.astype(np.uint8))
        write_png(folder / "pairs" / f"{index}.png", hr[::4, ::4].astype(np.uint8))
        other = draw.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        write_png(folder / "lr" / f"{index}.png", other)
    return folder


def train(path, photographs, run_dir, *more):
    config = parse(path)
    arguments = [
        *(f"--flagfile={ROOT / 'configs' / path}", f"--hr_dir={photographs / 'hr'}"),
        *(f"--run_dir={run_dir}", "--val_max_images=2"),
        f"--val_hr_dir={photographs / 'hr'}",
        f"--val_lr_dir={photographs / 'pairs'}",
        *more,
    ]
    if config.lr_dir:
        partners = "pairs=real" in config.method_arg
        arguments.append(f"--lr_dir={photographs / ('pairs' if partners else 'lr')}")
    finished = subprocess.run(
        [sys.executable, "-m", "pdm_tf.train", *arguments],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == exit_codes.OK, finished.stdout + finished.stderr
    return finished


@pytest.mark.parametrize("path", SMOKE, ids=str)
def test_trains_saves_resumes_and_validates(path, photographs, tmp_path):
    """Two steps, then two more in another process, through the real program."""
    run = tmp_path / "run"
    train(path, photographs, run)
    resumed = train(path, photographs, run, "--steps=4")
    assert "goes on from step 2" in resumed.stdout
    records = read_metrics(run / "metrics.jsonl")
    # The released code's log restarted; here each step is there once.
    losses = [r["step"] for r in records if any(k.startswith("loss/") for k in r)]
    assert losses == [1, 2, 3, 4]
    learns_sr = "training=degradation" not in parse(path).method_arg
    validated = [r["step"] for r in records if "val/psnr" in r]
    assert validated == ([2, 4] if learns_sr else [])
    assert ((run / "bundles" / "sr_ema" / "bundle.json").is_file()) == learns_sr
    assert list((run / "previews").glob("step_00000004_*.png"))


def test_sr_on_a_frozen_degradation(photographs, tmp_path):
    """training=sr takes the degradation of another run and leaves it as it is."""
    joint = Path("smoke/pdm_sr_joint.flags")
    train(joint, photographs, tmp_path / "first")
    lines = (ROOT / "configs" / "parts" / "smoke.flags").read_text()
    flags = tmp_path / "frozen.flags"
    flags.write_text(f"{lines}--method=pdm_sr\n--method_arg=training=sr\n")
    train(
        flags,
        photographs,
        tmp_path / "second",
        f"--init_degradation={tmp_path / 'first'}",
    )
    weights = [
        next((tmp_path / run / "bundles" / bundle).glob("*.h5")).name
        for run, bundle in (("first", "pdm_ema"), ("second", "pdm"))
    ]
    assert weights[0] == weights[1]  # named after the hash of their content
