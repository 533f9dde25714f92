"""`python -m pdm_tf.benchmark` from the command line, with tiny networks."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pdm_tf.core.files import read_json
from tests.unit.data.folders import fill

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--sr_net=edsr", "--sr_arg=num_blocks=1", "--sr_arg=filters=4", "--tile=16")
TINY_STEP = (
    *("--batch_size=2", "--lr_patch=8", "--kernel_arg=kernel_size=5"),
    *("--kernel_arg=filters=4", "--kernel_arg=num_blocks=1"),
)
TINY_NETS = (
    *("--preset=paper", "--discriminator_arg=filters=4"),
    *("--sr_arg=num_blocks=1", "--sr_arg=filters=4"),
)
QUICK = ("--rounds=2", "--gemm_size=128")
NEEDS_TORCH = pytest.mark.skipif(
    find_spec("torch") is None,
    reason='needs PyTorch, the other side: pip install -e ".[benchmark]"',
)


def run(folder, *flags, path=()):
    return subprocess.run(
        [sys.executable, "-m", "pdm_tf.benchmark", *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ":".join([*path, str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=300,
    )


@NEEDS_TORCH
def test_inference_against_torch(tmp_path):
    flags = ("--compare=torch", "--nomemory", "--output=speed.json")
    done = run(tmp_path, "inference", *TINY, *QUICK, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = read_json(tmp_path / "speed.json")
    assert result["task"] == "inference" and result["architecture"] == "EDSR"
    assert result["lr_shape"] == [1, 16, 16, 3]
    assert result["sr_shape"] == [1, 64, 64, 3]
    # 16 x 16 pixels; convolutions on the LR grid, on twice, and on four times of it.
    f = 4
    macs = 3 * f + 2 * f * f + f * f + 4 * f * f + 4 * 4 * f * f + 16 * 3 * f
    assert result["gflop"] == pytest.approx(2e-9 * 256 * 9 * macs)
    sides = result["sides"]
    assert set(sides) == {
        *("onnxruntime", "tensorflow", "torch", "torch_channels_last")
    }
    for name, side in sides.items():
        assert 0 < side["ms"]["least"] <= side["ms"]["median"] <= side["ms"]["most"]
        assert side["gflops"] == pytest.approx(
            1e3 * result["gflop"] / side["ms"]["median"]
        )
        assert side["max_difference"] < 1e-4, name  # the same work
        assert side["peak_mb"] is None
        assert f"\n{name} " in done.stdout
    assert sides[result["references"]["float32"]]["ratio_to_torch"]["median"] == 1.0
    assert set(result["gemm"]["gflops"]) == {
        f"gemm {library} float32" for library in ("numpy", "tensorflow", "torch")
    }


@NEEDS_TORCH
def test_train_against_torch(tmp_path):
    flags = ("--compare=torch", "--nomemory", "--output=speed.json")
    done = run(tmp_path, "train", *TINY_STEP, *TINY_NETS, *QUICK, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = read_json(tmp_path / "speed.json")
    assert result["task"] == "train" and result["config"]["preset"] == "paper"
    assert result["gflop"] > 0 and result["torch_blur"] in ("unfold", "grouped")
    sides = result["sides"]
    assert set(sides) == {"tensorflow", "torch", "torch_channels_last"}
    for name, side in sides.items():
        assert 0 < side["ms"]["least"] <= side["ms"]["median"] <= side["ms"]["most"]
        assert side["ratio_to_torch"]["median"] > 0
        # The same weights and patches. The paper's first kernels know no latents.
        for loss, value in sides["tensorflow"]["first_losses"].items():
            assert side["first_losses"][loss] == pytest.approx(value, rel=1e-4)
        assert f"\n{name} " in done.stdout
    assert set(result["gemm"]["peak_gflops"]) == {"float32"}


@pytest.mark.slow
def test_train_over_sizes(tmp_path):
    sweep = ("--sweep=patch", "--sweep_sizes=32,64", "--rounds=2")
    flags = ("--nomemory", "--output=speed.json")
    done = run(tmp_path, "train", *TINY_STEP, *TINY_NETS, *sweep, *flags)
    assert done.returncode == 0, done.stderr
    assert "time ~ (HR pixels) ^ " in done.stdout
    found = read_json(tmp_path / "speed.json")["sweep"]["float32"]
    assert [entry["amount"] for entry in found["sizes"]] == [2 * 32**2, 2 * 64**2]


@NEEDS_TORCH
def test_degrade_against_torch(tmp_path):
    flags = ("--compare=torch", "--nomemory", "--rounds=2", "--output=speed.json")
    done = run(tmp_path, "degrade", *TINY_STEP, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = read_json(tmp_path / "speed.json")
    assert result["task"] == "degrade" and result["kernel_size"] == 5
    assert set(result["references"]) == {
        *("blur", "blur, gradient", "degradation, gradient")
    }
    for name, side in result["sides"].items():
        assert set(side["ratios"]) == {"unfold", "grouped"}
        assert side["relative_difference"] < 1e-3, name
        assert f"\n{name} " in done.stdout


def test_without_torch_the_extra_is_named_and_the_rest_works(tmp_path):
    """In an interpreter in which PyTorch cannot be imported."""
    (tmp_path / "hidden" / "torch").mkdir(parents=True)
    (tmp_path / "hidden" / "torch" / "__init__.py").write_text(
        "raise ModuleNotFoundError('no torch', name='torch')"
    )
    hidden = [str(tmp_path / "hidden")]
    data = ("data", "--hr_dir=a", "--lr_dir=b", "--run_dir=c")
    for task in (data, ("inference", *TINY), ("train",), ("degrade",)):
        done = run(tmp_path, *task, "--compare=torch", path=hidden)
        assert done.returncode == 2
        assert 'pip install -e ".[benchmark]"' in done.stderr
        assert "Traceback" not in done.stderr
    done = run(tmp_path, "inference", *TINY, *QUICK, "--nomemory", path=hidden)
    assert done.returncode == 0, done.stderr
    assert "tensorflow" in done.stdout and "torch" not in done.stdout


@pytest.mark.skipif(
    find_spec("torch") is None,
    reason='needs PyTorch, the other side: pip install -e ".[benchmark]"',
)
def test_data_against_torch(tmp_path):
    fill(tmp_path / "hr", [(70, 90), (90, 70)])
    fill(tmp_path / "lr", [(20, 30)])
    flags = (
        *("--hr_dir=hr", "--lr_dir=lr", "--run_dir=unused", "--compare=torch"),
        *("--lr_patch=8", "--batch_size=2", "--sr_arg=num_blocks=1"),
        *("--sr_arg=filters=4", "--workers=1", "--rounds=2", "--round_steps=1"),
    )
    done = run(tmp_path, "data", *flags, "--output=speed.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = read_json(tmp_path / "speed.json")
    assert result["batch_size"] == 2 and set(result["patches"]) == {"hr", "real_lr"}
    for side in ("training", "pipeline", "torch"):
        rate = result[f"{side}_patches_per_second"]
        assert 0 < rate["least"] <= rate["median"] <= rate["most"]
        assert f"\n  {side} " in done.stdout
    medians = [
        result[f"{side}_patches_per_second"]["median"] for side in ("pipeline", "torch")
    ]
    assert result["ratio_to_torch"]["median"] == medians[0] / medians[1]
    assert not (tmp_path / "unused").exists()


def test_read_shards(tmp_path):
    fill(tmp_path / "hr")
    made = subprocess.run(
        [sys.executable, "-m", "pdm_tf.prepare", "--task=tfrecord"]
        + ["--input_dir=hr", "--output_dir=shards"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    flags = ("--input=shards", "--rounds=2", "--output=speed.json")
    done = run(tmp_path, "read", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = read_json(tmp_path / "speed.json")
    stored = sum(path.stat().st_size for path in (tmp_path / "hr").iterdir())
    assert result["mb"] == pytest.approx(stored / 1e6)
    assert (result["images"], result["files"], result["cold"]) == (5, 1, True)
    for rate in result["mb_per_second"].values():
        assert 0 < rate["least"] <= rate["median"] <= rate["most"]
    missing = run(tmp_path, "read", "--input=nowhere")
    assert missing.returncode == 2 and "nowhere" in missing.stderr


def test_help_of_the_tasks(tmp_path):
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for task in ("data", "degrade", "inference", "read", "train"):
        assert f"\n  {task}\n" in done.stdout
    assert "--gemm_size" in run(tmp_path, "inference", "--help").stdout
    assert "--sweep_sizes" in run(tmp_path, "train", "--help").stdout
    assert "--border" in run(tmp_path, "degrade", "--help").stdout
    assert "--nocold" in run(tmp_path, "read", "--help").stdout
    assert "--round_steps" in run(tmp_path, "data", "--help").stdout


def test_a_task_that_does_not_exist_and_none(tmp_path):
    done = run(tmp_path, "inferense")
    assert done.returncode == 2 and "Did you mean 'inference'?" in done.stderr
    # A command without a task is about data, as before there were tasks.
    done = run(tmp_path, "--run_dir=x", "--hr_dir=x", "--lr_dir=x", "--round_steps=0")
    assert done.returncode == 2 and "--round_steps must be at least 1" in done.stderr
