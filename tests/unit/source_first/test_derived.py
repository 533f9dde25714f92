"""The runs that follow from one request, as flags."""

import dataclasses
from pathlib import Path

import pytest

from pdm_tf.build import build_method
from pdm_tf.core.errors import UserError
from pdm_tf.core.source_estimate import (
    JpegPopulation,
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
)
from pdm_tf.source_first.derived import refine_config, sr_config, start_config
from pdm_tf.train_config import TrainConfig

REQUEST = TrainConfig(
    hr_dir="hr",
    lr_dir="lr",
    run_dir="runs/a",
    val_hr_dir="v/hr",
    val_lr_dir="v/lr",
    estimate="on",
    steps=9_000,
    refine_steps=2_000,
    sr_arg=("num_blocks=1", "filters=8"),
    discriminator_arg=("filters=8",),
    kernel_arg=("num_blocks=1", "filters=8", "kernel_size=13"),
    method_arg=("centroid_weight=2",),
    net_arg=("sr.filters=4", "discriminator.filters=4"),
    init=("sr:runs/before",),
)
SRGAN = dataclasses.replace(
    REQUEST,
    method="pdm_srgan",
    features="random",
    features_arg=("filters=2",),
    hr_discriminator_arg=("filters=4",),
    method_arg=("centroid_weight=2", "gan_weight=0.1"),
)
ESTIMATE = SourceEstimate(
    scale=4,
    grid="pixel0",
    kernels=KernelPopulation(
        mean=(0.8, 0.0, 0.0),
        covariance=((0.1, 0.0, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, 0.05)),
        mean_error=((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01)),
        photographs=60.0,
    ),
    noise=NoisePopulation(
        log_mean=(-4.6, -7.0), log_covariance=((0.1, 0.0), (0.0, 0.1)), photographs=60
    ),
    jpeg=JpegPopulation((40, 60)),
)


def test_refinement_trains_the_degradation_alone():
    made = refine_config(REQUEST, Path("runs/a/estimate/bundle"), Path("runs/a/refine"))
    assert made.run_dir == "runs/a/refine"
    assert made.init_degradation == "runs/a/estimate/bundle"
    assert set(made.method_arg) == {
        "warmup_steps=300",
        "centroid_weight=2",
        "training=degradation",
    }
    assert (made.steps, made.lr_milestones) == (2_000, (1_200, 1_600))
    assert (made.estimate, made.lr_held_out, made.report) == ("off", 5, "off")
    assert (made.val_hr_dir, made.val_lr_dir) == ("", "")
    assert made.discriminator_arg == ("filters=8",)
    assert (made.sr_arg, made.kernel_arg, made.init) == ((), (), ())
    assert made.net_arg == ("discriminator.filters=4",)


def test_a_perceptual_run_is_refined_as_pdm_sr():
    made = refine_config(SRGAN, Path("e/bundle"), Path("r"))
    assert made.method == "pdm_sr"
    assert not any(text.startswith("gan_weight") for text in made.method_arg)
    assert (made.features, made.features_arg) == ("", ())
    assert made.hr_discriminator_arg == ()


def test_short_refinements_warm_up_shortly():
    short = dataclasses.replace(REQUEST, refine_steps=4)
    made = refine_config(short, Path("e/bundle"), Path("r"))
    assert "warmup_steps=1" in made.method_arg
    assert made.lr_milestones == (2, 3)
    own = dataclasses.replace(REQUEST, method_arg=("warmup_steps=7",))
    made = refine_config(own, Path("e/bundle"), Path("r"))
    assert "warmup_steps=7" in made.method_arg


@pytest.mark.parametrize("request_", [REQUEST, SRGAN], ids=["sr", "srgan"])
def test_the_sr_run_is_the_request_with_the_degradation_given(request_):
    made = sr_config(request_, Path("runs/a/refine/bundles/pdm_ema"))
    assert made.init_degradation == "runs/a/refine/bundles/pdm_ema"
    assert made.method_arg == (*request_.method_arg, "training=sr")
    assert (made.kernel_arg, made.discriminator_arg) == ((), ())
    assert made.net_arg == ("sr.filters=4",)
    for name in ("method", "steps", "sr_arg", "run_dir", "val_hr_dir", "init"):
        assert getattr(made, name) == getattr(request_, name)
    assert made.hr_discriminator_arg == request_.hr_discriminator_arg


def test_the_degradation_starts_at_the_estimate_in_the_wanted_form():
    made = start_config(REQUEST, ESTIMATE)
    assert (made.kernel.kernel_size, made.kernel.num_blocks) == (13, 1)
    assert made.kernel.start.photographs == 60
    assert made.noise.log_mean == (-4.6, -7.0)
    assert made.jpeg.qualities == (40, 60)
    quiet = dataclasses.replace(REQUEST, noise=False)
    assert start_config(quiet, ESTIMATE).noise is None
    asked = ("border=reflect", "grid=half_pixel")
    other = dataclasses.replace(REQUEST, method_arg=asked, kernel_arg=())
    made = start_config(other, ESTIMATE)
    assert (made.border, made.grid) == ("reflect", "half_pixel")


def test_a_wrong_setting_of_a_part_is_refused():
    wrong = dataclasses.replace(REQUEST, kernel_arg=("blocks=1",))
    with pytest.raises(UserError, match="KernelModuleConfig has no setting 'blocks'"):
        start_config(wrong, ESTIMATE)


def test_the_derived_flags_make_methods(tmp_path):
    """With the bundle that they name."""
    from pdm_tf.bundles.bundle import save_bundle

    plain = dataclasses.replace(REQUEST, init=())
    bundle = tmp_path / "bundle"
    save_bundle(start_config(plain, ESTIMATE).build(name="pdm"), bundle, step=0)
    refined = build_method(refine_config(plain, bundle, tmp_path / "refine"))
    assert set(refined.networks) == {"pdm", "discriminator"}
    frozen = build_method(sr_config(plain, bundle))
    assert set(frozen.networks) == {"pdm", "sr"}
    assert set(frozen.optimizers) == {"sr"}
