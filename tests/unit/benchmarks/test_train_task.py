"""The counts, fits and summary of a training step, by hand-worked numbers."""

import numpy as np
import pytest

from pdm_tf.benchmarks import train_sides, train_sweep, train_task
from pdm_tf.benchmarks.measuring import peak_mb
from pdm_tf.benchmarks.sides import TRAINING, asked_for, figures
from pdm_tf.benchmarks.train_task import TrainBenchmarkConfig
from pdm_tf.core.errors import UserError

F, BATCH, LR_PATCH = 4, 2, 6


def tiny(sr_blocks=1, kernel_blocks=1, strides="1,1,1,1,1", **changes):
    return TrainBenchmarkConfig(
        **{
            "preset": "paper",
            "batch_size": BATCH,
            "lr_patch": LR_PATCH,
            "kernel_arg": (
                f"filters={F}",
                f"num_blocks={kernel_blocks}",
                "kernel_size=5",
                "latent_channels=3",
            ),
            "discriminator_arg": (f"filters={F}", f"strides={strides}"),
            "sr_arg": (f"filters={F}", f"num_blocks={sr_blocks}"),
            **changes,
        }
    )


def counted(**changes):
    training = tiny(**changes).training()
    method = train_sides.build_method(training)
    return train_sides.operations(method, BATCH)


def discriminator_macs(widths):
    """Per pixel."""
    return sum(9 * a * b for a, b in zip(widths, widths[1:], strict=False))


def sr_macs():
    """Per LR pixel of EDSR x4 with one block; the head alone comes first."""
    on_lr = 2 * F**2 + F**2 + 4 * F**2
    return 9 * 3 * F, 9 * (on_lr + 4 * 4 * F**2 + 16 * 3 * F)


def test_the_arithmetic_of_a_joint_step():
    pixels = BATCH * LR_PATCH**2
    whole = counted()

    # A layer: forward, gradient of its weights, gradient of its input.
    another_sr_block = 2 * pixels * 3 * (2 * 9 * F**2)
    assert counted(sr_blocks=2) - whole == another_sr_block
    another_kernel_block = 2 * BATCH * 3 * (2 * F**2)
    assert counted(kernel_blocks=2) - whole == another_kernel_block

    # The discriminator: twice forward, since the fakes are judged once for two losses;
    # inputs' gradients for the degradation, both gradients of two images for itself.
    five = discriminator_macs([3, F, 2 * F, 4 * F, 8 * F, 1])
    four = discriminator_macs([3, F, 2 * F, 4 * F, 1])
    assert whole - counted(strides="1,1,1,1") == 2 * pixels * 7 * (five - four)

    # All: nobody needs the gradient of the first layers' inputs, but for the fakes'.
    head, rest = sr_macs()
    discriminator = 7 * five - 2 * 9 * 3 * F
    networks = 2 * pixels * (discriminator + 2 * head + 3 * rest)
    # What is left are the kernel module, blur and statistics, a hundredth.
    assert networks < whole < 1.02 * networks


def test_sides_that_the_flags_ask_for():
    sides = TRAINING
    assert asked_for(sides, torch=False, bfloat16=False) == ["tensorflow"]
    assert asked_for(sides, torch=True, bfloat16=True) == list(sides)
    assert asked_for(sides, torch=True, bfloat16=False) == [
        "tensorflow",
        "torch",
        "torch_channels_last",
    ]


def test_ratios_are_within_a_precision_and_to_the_faster_layout():
    seconds = {
        "tensorflow": [1.0, 1.1, 0.9],
        "tensorflow_bfloat16": [0.3, 0.3, 0.3],
        "torch": [1.5, 1.6, 1.7],
        "torch_channels_last": [1.2, 1.3, 1.25],
        "torch_bfloat16": [0.5, 0.5, 0.4],
        "torch_channels_last_bfloat16": [0.6, 0.7, 0.6],
    }
    peaks = {"float32": 400.0, "bfloat16": 1600.0}
    result = figures(TRAINING, seconds, 300 * 10**9, peaks, {})
    assert result["references"] == {
        "float32": "torch_channels_last",
        "bfloat16": "torch_bfloat16",
    }
    ours, low = (result["sides"][n] for n in ("tensorflow", "tensorflow_bfloat16"))
    assert ours["ratio_to_torch"]["median"] == pytest.approx(1.0 / 1.25)
    assert low["ratio_to_torch"]["median"] == pytest.approx(0.6)
    assert ours["share_of_gemm"] == pytest.approx(0.75)
    assert low["share_of_gemm"] == pytest.approx(1000 / 1600)
    text = train_task.table(
        {
            **result,
            "config": {
                "method": "pdm_sr",
                "preset": "paper",
                "batch_size": 8,
                "rounds": 3,
                "torch_maps": 1,
            },
            "hr_patch": 128,
            "torch_blur": "grouped",
            "gemm": {"size": 256, "peak_gflops": peaks},
        }
    )
    assert "--preset=paper: 8 patches of 128 x 128 HR pixels, 300 GFLOP" in text
    row = next(line for line in text.splitlines() if line.startswith("tensorflow "))
    assert row.split()[1:] == ["1000", "(900-1100)", "300", "75", "0.80", "(0.72-0.85)"]


def test_our_step_trains():
    training = tiny().training()
    method = train_sides.build_method(training)
    images = train_sides.random_images(method.patches, BATCH, 0)
    assert images["hr"].shape == (BATCH, 24, 24, 3)
    assert images["real_lr"].shape == (BATCH, 6, 6, 3)
    levels = 255.0 * images["hr"]
    assert np.abs(levels - np.round(levels)).max() < 1e-4 and np.ptp(levels) > 200
    step = train_sides.our_step(method, training, images)
    losses = [step()["loss/d_lr"] for _ in range(20)]
    assert losses[-1] < losses[0]


def test_torch_has_the_joint_step_alone():
    config = tiny(method_arg=("training=degradation",), sr_arg=())
    training = config.training()
    with pytest.raises(UserError, match="has the joint step of PDM-SR"):
        train_sides.timed_step(train_sides.build_method(training), training)


@pytest.mark.parametrize(
    ("phase", "losses"), [("first", {"g_adv", "d_lr", "centroid"}), ("last", {"sr_l1"})]
)
def test_either_phase_of_a_run_is_measured(phase, losses):
    config = tiny(phase=phase, method_arg=("training=separate",))
    training = config.training()
    method = train_sides.build_method(training)
    images = train_sides.random_images(method.patches, BATCH, 0)
    step = train_sides.our_step(method, training, images, config.first_step)
    assert {name.removeprefix("loss/") for name in step()} == losses


def test_a_method_that_makes_its_pairs_in_the_pipeline():
    """The step is counted and run without making them."""
    config = TrainBenchmarkConfig(
        method="supervised",
        batch_size=BATCH,
        lr_patch=8,
        method_arg=("degradation=real_esrgan",),
        sr_arg=(f"filters={F}", "num_blocks=1"),
    )
    training = config.training()
    method = train_sides.build_method(training)
    head, rest = sr_macs()
    assert train_sides.operations(method, BATCH) == (
        2 * BATCH * 64 * (2 * head + 3 * rest)
    )
    images = train_sides.random_images(method.patches, BATCH, 0)
    assert set(train_sides.our_step(method, training, images)()) == {"loss/sr_l1"}


def test_the_exponent_is_the_slope():
    amounts = [16, 64, 256]
    seconds = [[3e-3 * a**1.5, 5e-3 * a**1.5, 4e-3 * a**1.0] for a in amounts]
    found = train_sweep.exponent(amounts, seconds)
    assert found.least == pytest.approx(1.0) and found.most == pytest.approx(1.5)
    assert 1.0 < found.median <= 1.5


def test_a_sweep(monkeypatch):
    """Time in proportion to the number of images, on a clock of its own."""
    config = tiny(
        sweep="batch", sweep_sizes=(2, 4, 8), rounds=2, memory=False, sr_arg=()
    )

    def alternate(sides, **options):
        del options
        assert list(sides) == [("float32", size) for size in (2, 4, 8)]
        return {key: [0.25 * key[1], 0.5 * key[1]] for key in sides}

    monkeypatch.setattr(train_sweep, "alternate", alternate)
    monkeypatch.setattr(train_sides, "our_step", lambda *args: lambda: None)
    result = train_task.measure_sweep(config)
    found = result["sweep"]["float32"]
    assert found["exponent"]["median"] == pytest.approx(1.0)
    assert [entry["amount"] for entry in found["sizes"]] == [1152, 2304, 4608]
    text = train_sweep.table(result)
    assert "time ~ (HR pixels) ^ 1.00 (1.00-1.00)" in text
    assert any(line.split()[:2] == ["4", "2304"] for line in text.splitlines())


@pytest.mark.parametrize(
    ("sweep", "size", "changed", "amount"),
    [
        ("batch", 16, {"batch_size": 16}, 16 * 24**2),
        ("patch", 48, {"lr_patch": 12}, BATCH * 48**2),
        ("kernel", 11, {}, 121),
    ],
)
def test_a_sweep_changes_its_setting_alone(sweep, size, changed, amount):
    training = train_sweep.SWEEPS[sweep].changed(tiny().training(), size)
    for name, value in changed.items():
        assert getattr(training, name) == value
    if sweep == "kernel":
        method = train_sides.build_method(training)
        assert method.networks["pdm"].config.kernel.kernel_size == 11
    assert train_sweep.amount(sweep, training) == amount


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"sweep": "batch", "compare": "torch"}, "measures our side alone"),
        ({"sweep_sizes": (1, 2)}, "belong to --sweep"),
        ({"sweep": "batch", "sweep_sizes": (3,)}, "two sizes or more"),
        ({"compare": "torch", "batch_size": 1}, "at least 2 with --compare=torch"),
        ({"gemm_size": 0}, "--gemm_size must be 1 or more"),
        ({"rounds": 0}, "--rounds must be 1 or more"),
    ],
)
def test_flags_that_cannot_be(flags, message):
    with pytest.raises(UserError, match=message):
        TrainBenchmarkConfig(**flags)


def test_patches_that_the_scale_does_not_divide():
    with pytest.raises(UserError, match="multiples of --scale"):
        train_sweep.SWEEPS["patch"].changed(tiny().training(), 50)


def test_memory_of_torch_is_measured_without_tensorflow():
    pytest.importorskip("torch", reason='needs pip install "pdm_tf[benchmark]"')
    training = tiny().training()
    method = train_sides.build_method(training)
    timed = train_sides.timed_step(method, training)
    peak = peak_mb(
        train_sides.run_alone, "torch_channels_last", training, 0, timed, "grouped"
    )
    assert 100 < peak < 550  # 340 measured; TensorFlow alone takes 540
