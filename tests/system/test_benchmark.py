"""`python -m pdm_tf.benchmark` from the command line, with tiny networks."""

import sys
from importlib.util import find_spec

import pytest

from pdm_tf.core.stored import read_json
from pdm_tf.data.shards import make_shards
from tests.support.programs import run_apart, run_here
from tests.unit.data.folders import fill

TINY = ("--sr_net=edsr", "--sr_arg=num_blocks=1", "--sr_arg=filters=4", "--tile=16")
TINY_STEP = (
    "--batch_size=2",
    "--lr_patch=8",
    "--kernel_arg=kernel_size=5",
    "--kernel_arg=filters=4",
    "--kernel_arg=num_blocks=1",
)
TINY_NETS = (
    "--preset=paper",
    "--discriminator_arg=filters=4",
    "--sr_arg=num_blocks=1",
    "--sr_arg=filters=4",
)
QUICK = ("--rounds=2", "--gemm_size=128")
NEEDS_TORCH = pytest.mark.skipif(
    find_spec("torch") is None,
    reason='needs PyTorch, the other side: pip install "pdm_tf[benchmark]"',
)


def run(folder, task, *flags, code=0):
    return run_here("pdm_tf.benchmark", task, *flags, cwd=folder, code=code)


@NEEDS_TORCH
def test_inference_against_torch(tmp_path):
    """In a process of its own, as users start it: nothing on standard error."""
    flags = ("--compare=torch", "--nomemory", "--output=speed.json")
    done = run_apart(
        "pdm_tf.benchmark", "inference", *TINY, *QUICK, *flags, cwd=tmp_path
    )
    assert done.stderr == ""
    printed = done.stdout
    result = read_json(tmp_path / "speed.json")
    assert result["task"] == "inference" and result["architecture"] == "EDSR"
    assert result["lr_shape"] == [1, 16, 16, 3]
    assert result["sr_shape"] == [1, 64, 64, 3]
    # 16 x 16 pixels; convolutions on the LR grid, on twice, and on four times of it.
    f = 4
    macs = 3 * f + 2 * f * f + f * f + 4 * f * f + 4 * 4 * f * f + 16 * 3 * f
    assert result["gflop"] == pytest.approx(2e-9 * 256 * 9 * macs)
    sides = result["sides"]
    assert set(sides) == {"onnxruntime", "tensorflow", "torch", "torch_channels_last"}
    for name, side in sides.items():
        assert 0 < side["ms"]["least"] <= side["ms"]["median"] <= side["ms"]["most"]
        assert side["gflops"] == pytest.approx(
            1e3 * result["gflop"] / side["ms"]["median"]
        )
        assert side["max_difference"] < 1e-4, name  # the same work
        assert side["peak_mb"] is None
        assert f"\n{name} " in printed
    assert sides[result["references"]["float32"]]["ratio_to_torch"]["median"] == 1.0
    assert set(result["gemm"]["gflops"]) == {
        f"gemm {library} float32" for library in ("numpy", "tensorflow", "torch")
    }


@NEEDS_TORCH
def test_train_against_torch(tmp_path):
    flags = ("--compare=torch", "--nomemory", "--output=speed.json")
    printed = run(tmp_path, "train", *TINY_STEP, *TINY_NETS, *QUICK, *flags)
    result = read_json(tmp_path / "speed.json")
    assert result["task"] == "train" and result["config"]["preset"] == "paper"
    assert result["gflop"] > 0 and result["torch_blur"] in ("unfold", "grouped")
    sides = result["sides"]
    assert set(sides) == {"tensorflow", "torch", "torch_channels_last"}
    for name, side in sides.items():
        assert 0 < side["ms"]["least"] <= side["ms"]["median"] <= side["ms"]["most"]
        assert side["ratio_to_torch"]["median"] > 0
        # The same weights and patches. The paper's first kernels know no latents.
        for loss, value in side["first_losses"].items():
            ours = sides["tensorflow"]["first_losses"][loss]
            assert value == pytest.approx(ours, rel=1e-4)
        assert f"\n{name} " in printed
    assert set(result["gemm"]["peak_gflops"]) == {"float32"}


@pytest.mark.slow
def test_train_over_sizes(tmp_path):
    sweep = ("--sweep=patch", "--sweep_sizes=32,64", "--rounds=2")
    flags = ("--nomemory", "--output=speed.json")
    printed = run(tmp_path, "train", *TINY_STEP, *TINY_NETS, *sweep, *flags)
    assert "time ~ (HR pixels) ^ " in printed
    found = read_json(tmp_path / "speed.json")["sweep"]["float32"]
    assert [entry["amount"] for entry in found["sizes"]] == [2 * 32**2, 2 * 64**2]


@NEEDS_TORCH
def test_degrade_against_torch(tmp_path):
    flags = ("--compare=torch", "--nomemory", "--rounds=2", "--output=speed.json")
    printed = run(tmp_path, "degrade", *TINY_STEP, *flags)
    result = read_json(tmp_path / "speed.json")
    assert result["task"] == "degrade" and result["kernel_size"] == 5
    assert set(result["references"]) == {
        "blur",
        "blur, gradient",
        "degradation, gradient",
    }
    for name, side in result["sides"].items():
        assert set(side["ratios"]) == {"unfold", "grouped"}
        assert side["relative_difference"] < 1e-3, name
        assert f"\n{name} " in printed


def test_without_torch_the_extra_is_named_and_the_rest_works(tmp_path, monkeypatch):
    """In a process in which PyTorch cannot be imported."""
    for name in list(sys.modules):
        if name.startswith("pdm_tf.benchmarks"):  # of which some have it
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    data = ("data", "--hr_dir=a", "--lr_dir=b", "--run_dir=c")
    for task in (data, ("inference", *TINY), ("train",), ("degrade",)):
        printed = run(tmp_path, *task, "--compare=torch", code=2)
        assert 'pip install "pdm_tf[benchmark]"' in printed
        assert "Traceback" not in printed
    printed = run(tmp_path, "inference", *TINY, *QUICK, "--nomemory")
    assert "tensorflow" in printed and "torch" not in printed


@NEEDS_TORCH
@pytest.mark.slow
def test_data_against_torch(tmp_path):
    fill(tmp_path / "hr", [(70, 90), (90, 70)])
    fill(tmp_path / "lr", [(20, 30)])
    flags = (
        "--hr_dir=hr",
        "--lr_dir=lr",
        "--run_dir=unused",
        "--compare=torch",
        "--lr_patch=8",
        "--batch_size=2",
        "--sr_arg=num_blocks=1",
        "--sr_arg=filters=4",
        "--workers=1",
        "--rounds=2",
        "--round_steps=1",
    )
    printed = run(tmp_path, "data", *flags, "--output=speed.json")
    result = read_json(tmp_path / "speed.json")
    assert result["batch_size"] == 2 and set(result["patches"]) == {"hr", "real_lr"}
    for side in ("training", "pipeline", "torch"):
        rate = result[f"{side}_patches_per_second"]
        assert 0 < rate["least"] <= rate["median"] <= rate["most"]
        assert f"\n  {side} " in printed
    medians = [
        result[f"{side}_patches_per_second"]["median"] for side in ("pipeline", "torch")
    ]
    assert result["ratio_to_torch"]["median"] == medians[0] / medians[1]
    assert not (tmp_path / "unused").exists()


def test_read_shards(tmp_path):
    fill(tmp_path / "hr")
    make_shards(tmp_path / "hr", tmp_path / "shards")
    flags = ("--input=shards", "--rounds=2", "--output=speed.json")
    run(tmp_path, "read", *flags)
    result = read_json(tmp_path / "speed.json")
    stored = sum(path.stat().st_size for path in (tmp_path / "hr").iterdir())
    assert result["mb"] == pytest.approx(stored / 1e6)
    assert (result["images"], result["files"], result["cold"]) == (5, 1, True)
    for rate in result["mb_per_second"].values():
        assert 0 < rate["least"] <= rate["median"] <= rate["most"]
    assert "nowhere" in run(tmp_path, "read", "--input=nowhere", code=2)


def test_help_of_the_tasks(tmp_path):
    printed = run(tmp_path, "--help")
    for task in ("data", "degrade", "inference", "read", "train"):
        assert f"\n  {task}\n" in printed
    assert "--gemm_size" in run(tmp_path, "inference", "--help")
    assert "--sweep_sizes" in run(tmp_path, "train", "--help")
    assert "--border" in run(tmp_path, "degrade", "--help")
    assert "--[no]cold" in run(tmp_path, "read", "--help")
    assert "--round_steps" in run(tmp_path, "data", "--help")


def test_a_task_that_does_not_exist_and_none(tmp_path):
    assert "Did you mean 'inference'?" in run(tmp_path, "inferense", code=2)
    # A command without a task is about data, as before there were tasks.
    flags = ("--run_dir=x", "--hr_dir=x", "--lr_dir=x", "--round_steps=0")
    assert "--round_steps must be 1 or more" in run(tmp_path, *flags, code=2)
