"""The composition root: names become the right objects, wrong requests are errors."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from pdm_tf import build
from pdm_tf.build import build_method, build_training, bundle_saver
from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import write_png
from pdm_tf.data.sources import open_source
from pdm_tf.degradations import KernelModuleConfig, NoSettings
from pdm_tf.methods import METHODS, PDMSR, PDMSRGAN, Supervised
from pdm_tf.methods.base import FULL_BATCH, Method, Role
from pdm_tf.models.discriminators import (
    PatchGAN,
    PatchGANConfig,
    UNetDiscriminator,
    VGGDiscriminator,
)
from pdm_tf.models.features import VGGConfig
from pdm_tf.models.sr import EDSR, RRDBNet
from pdm_tf.train_config import TrainConfig

KERNEL = ("kernel_size=5", "filters=4", "num_blocks=1", "latent_channels=4")
NOISE = ("filters=4", "num_blocks=1")
DISCRIMINATOR = ("filters=4", "strides=1,1,1")
SR = ("filters=4", "num_blocks=1")
AWGN = ("sigma_min_px=2", "sigma_max_px=2", "noise_max_255=0", "kernel_size=9")

JOINT = TrainConfig(
    hr_dir="hr", lr_dir="lr", run_dir="run", scale=2, lr_patch=8, batch_size=2,
    sr_arg=SR, kernel_arg=KERNEL, noise_arg=NOISE, discriminator_arg=DISCRIMINATOR,
)  # fmt: skip
SUPERVISED = TrainConfig(
    method="supervised", hr_dir="hr", run_dir="run", scale=2, lr_patch=8, batch_size=2,
    sr_arg=SR,
)  # fmt: skip


def joint(**changes):
    return dataclasses.replace(JOINT, **changes)


def supervised(**changes):
    return dataclasses.replace(SUPERVISED, **changes)


def frozen(init_degradation, **changes):
    """SR on a frozen degradation."""
    settings = dict(kernel_arg=(), noise_arg=(), discriminator_arg=(), lr_dir="")
    return joint(
        **{**settings, "method_arg": ("training=sr",), **changes},
        init_degradation=str(init_degradation),
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Bundles of the networks of JOINT: <folder>/bundles/{sr,sr_ema,pdm,pdm_ema}."""
    run_dir = tmp_path_factory.mktemp("run")
    networks = build_method(joint(seed=77)).networks
    save = bundle_saver(joint(seed=77), run_dir / "bundles")
    for name in ("sr", "pdm"):
        save({name: networks[name], f"{name}_ema": networks[name]}, 11)
    return run_dir


def values(network):
    return [v.numpy() for v in network.variables]


def assert_equal_weights(one, other):
    for a, b in zip(values(one), values(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_joint_has_what_its_settings_say():
    config = joint(
        sr_net="rrdbnet",
        method_arg=("grid=half_pixel", "border=reflect", "adversarial_beta_1=0.25"),
        noise_arg=(*NOISE, "channels=1"),
        learning_rate=3e-4,
        clip_norm=7.0,
    )
    method = build_method(config)
    assert isinstance(method, PDMSR) and isinstance(method.networks["sr"], RRDBNet)
    pdm = method.networks["pdm"].config
    assert (pdm.scale, pdm.grid, pdm.border) == (2, "half_pixel", "reflect")
    assert (pdm.kernel.kernel_size, pdm.kernel.filters) == (5, 4)
    assert (pdm.noise.filters, pdm.noise.channels) == (4, 1)
    assert method.networks["discriminator"].config.strides == (1, 1, 1)
    assert method.networks["sr"].config.num_blocks == 1
    assert method.optimizers["pdm"].beta_1 == 0.25
    for optimizer in method.optimizers.values():
        assert float(optimizer.learning_rate) == pytest.approx(3e-4)
        assert optimizer.global_clipnorm == 7.0
    assert method.patches == {"hr": 16, "real_lr": 8}


def test_nonoise_leaves_the_noise_module_out():
    method = build_method(joint(noise=False, noise_arg=()))
    assert method.networks["pdm"].noise_module is None


def test_jpeg_adds_the_module_with_its_settings_and_room_for_the_grid():
    method = build_method(joint(jpeg=True, jpeg_arg=("subsampling=444", "filters=0")))
    settings = method.networks["pdm"].config.jpeg
    assert (settings.subsampling, settings.filters) == ("444", 0)
    assert method.patches == {"hr": (8 + 8) * 2 + 4, "real_lr": 8}
    assert build_method(JOINT).networks["pdm"].jpeg_module is None


def test_known_jpeg_qualities_come_by_a_flag():
    method = build_method(joint(jpeg=True, jpeg_arg=("qualities=40,0,35,35",)))
    module = method.networks["pdm"].jpeg_module
    assert module.config.qualities == (40, 0, 35, 35) and module.weights == []


def test_jpeg_settings_that_would_be_ignored_are_errors(bundles):
    with pytest.raises(UserError, match="--jpeg_arg has no meaning without --jpeg"):
        build_method(joint(jpeg_arg=("filters=0",)))
    with pytest.raises(UserError, match="--jpeg has no meaning with supervised"):
        build_method(supervised(jpeg=True))
    with pytest.raises(UserError, match="--jpeg contradicts --init_degradation"):
        build_method(frozen(bundles, jpeg=True))


def test_kernels_follow_the_scale_unless_they_are_set():
    narrow = ("filters=4", "num_blocks=1", "latent_channels=4")
    for scale, side in ((2, 11), (3, 17), (4, 21)):
        method = build_method(joint(scale=scale, kernel_arg=narrow))
        kernel = method.networks["pdm"].config.kernel
        assert kernel.kernel_size == side
        assert kernel.initial_sigma_px == 1.5 * scale / 4
    method = build_method(joint(scale=3, kernel_arg=(*narrow, "kernel_size=21")))
    assert method.networks["pdm"].config.kernel.kernel_size == 21


def test_paper_preset_is_the_release_and_single_settings_override_it():
    method = build_method(
        joint(preset="paper", scale=4, kernel_arg=("filters=4", "num_blocks=1"),
              noise=False, noise_arg=(), discriminator_arg=("filters=4",))
    )  # fmt: skip
    pdm, discriminator = (method.networks[k].config for k in ("pdm", "discriminator"))
    assert pdm.border == "reflect" and pdm.grid == "pixel0"
    assert pdm.kernel.initial == "box" and pdm.kernel.initial_std == 0.0
    assert pdm.kernel.normalization == "batch" and pdm.kernel.kernel_size == 21
    assert discriminator.normalization == "instance"
    assert discriminator.strides == (1, 1, 1, 1, 1)
    assert discriminator.filters == 4  # what was given beside the preset
    assert pdm.kernel == dataclasses.replace(
        KernelModuleConfig.paper(), filters=4, num_blocks=1
    )
    (settings,) = [method._config]
    assert (settings.fakes, settings.centroid_weight) == ("release", 0.0)
    overridden = build_method(joint(preset="paper", method_arg=("border=valid",)))
    assert overridden.networks["pdm"].config.border == "valid"
    assert overridden._config.fakes == "release"


@pytest.mark.parametrize(
    ("number_format", "policy"),
    [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")],
)
def test_mixed_precision_reaches_every_network(number_format, policy):
    method = build_method(joint(mixed_precision=number_format))
    for network in method.networks.values():
        assert network.compute_dtype == policy
        assert network.variable_dtype == "float32"
    assert method.networks["sr"].blocks[0].first.compute_dtype == policy


def test_supervised_needs_no_lr_folder_and_builds_the_net_of_the_scale():
    method = build_method(supervised(scale=3))
    assert isinstance(method, Supervised) and isinstance(method.networks["sr"], EDSR)
    assert method.networks["sr"].config.scale == 3
    real = build_method(supervised(lr_dir="lr", method_arg=("pairs=real",)))
    assert set(real.patches) == {"hr", "lr"}


def test_the_seed_decides_the_first_weights():
    one, again, other = (build_method(joint(seed=s)) for s in (3, 3, 4))
    for name, network in one.networks.items():
        assert_equal_weights(network, again.networks[name])
        differs = [
            not np.array_equal(a, b)
            for a, b in zip(values(network), values(other.networks[name]), strict=True)
        ]
        assert any(differs), name


def test_init_sr_starts_from_those_weights(bundles):
    (want,) = {load_bundle(bundles / "bundles" / "sr_ema").network}
    for location in (bundles, bundles / "bundles" / "sr"):
        for config in (joint(), supervised()):
            method = build_method(dataclasses.replace(config, init_sr=str(location)))
            assert_equal_weights(method.networks["sr"], want)
    # In another number format too: weights are float32.
    method = build_method(joint(init_sr=str(bundles), mixed_precision="bfloat16"))
    assert method.networks["sr"].compute_dtype == "bfloat16"
    assert_equal_weights(method.networks["sr"], want)


@pytest.mark.parametrize("training", ["sr", "joint"])
def test_init_degradation_starts_from_those_weights(bundles, training):
    config = frozen(bundles, method_arg=(f"training={training}",), lr_dir="lr")
    method = build_method(config)
    want = load_bundle(bundles / "bundles" / "pdm_ema").network
    assert_equal_weights(method.networks["pdm"], want)
    assert ("discriminator" in method.networks) == (training == "joint")


SRGAN = dict(
    method="pdm_srgan", lr_patch=16, hr_discriminator_arg=("filters=4",),
    features="random", features_arg=("filters=2",),
)  # fmt: skip


def srgan(**changes):
    return joint(**{**SRGAN, **changes})


def test_srgan_has_the_discriminator_and_features_that_were_named():
    for name, kind, size in [
        ("patchgan", PatchGAN, None),
        ("unet", UNetDiscriminator, None),
        ("vgg", VGGDiscriminator, 32),
    ]:
        method = build_method(srgan(hr_discriminator=name))
        network = method.networks["hr_discriminator"]
        assert isinstance(method, PDMSRGAN) and isinstance(network, kind)
        assert network.config.filters == 4
        assert getattr(network.config, "input_size", None) == size
    paper = build_method(srgan(preset="paper"))
    assert paper.networks["hr_discriminator"].config == dataclasses.replace(
        PatchGANConfig.paper(), filters=4
    )
    assert paper.config.hr_fakes == "raw" and paper.config.border == "reflect"
    half = build_method(srgan(mixed_precision="bfloat16", hr_discriminator="unet"))
    assert half.networks["hr_discriminator"].compute_dtype == "bfloat16"


def test_srgan_starts_with_the_networks_of_pdm_sr():
    """Random features and a second discriminator change nothing of the others."""
    plain, perceptual = build_method(joint(lr_patch=16)), build_method(srgan())
    for name, network in plain.networks.items():
        assert_equal_weights(network, perceptual.networks[name])


def test_random_features_are_a_function_of_the_seed_and_said_aloud():
    remarks = []

    def features(seed):
        method = build_method(srgan(seed=seed), remarks.append)
        return method._sr_part._features

    assert_equal_weights(features(3), features(3))
    assert not np.array_equal(values(features(3))[0], values(features(4))[0])
    assert all("RANDOM weights (VGGConfig(depth=19, filters=2))" in r for r in remarks)
    assert len(remarks) == 4 and remarks[0].startswith("warning: --features=random")


def test_features_and_both_parts_of_a_psnr_run_can_be_given(bundles, tmp_path):
    vgg = VGGConfig(filters=2).build()
    save_bundle(vgg, tmp_path / "vgg", step=0)
    remarks = []
    given = dict(features=str(tmp_path / "vgg"), features_arg=(), lr_dir="")
    run = str(bundles)
    config = srgan(
        **given, kernel_arg=(), noise_arg=(), discriminator_arg=(), init_sr=run,
        init_degradation=run, method_arg=("training=sr",),
    )  # fmt: skip
    method = build_method(config, remarks.append)
    assert_equal_weights(method._sr_part._features, vgg)
    assert remarks == [f"perceptual loss: {vgg.config} of {tmp_path / 'vgg'}"]
    assert set(method.networks) == {"pdm", "sr", "hr_discriminator"}
    for name in ("sr", "pdm"):
        want = load_bundle(bundles / "bundles" / f"{name}_ema").network
        assert_equal_weights(method.networks[name], want)


def test_srgan_refuses_settings_that_cannot_work_or_would_be_ignored(bundles, tmp_path):
    shallow = VGGConfig(depth=16, filters=2).build()
    save_bundle(shallow, tmp_path / "vgg16", step=0)
    edsr = str(bundles / "bundles" / "sr")
    no_gan, no_features = "gan_weight=0", "perceptual_weight=0"
    for config, message in [
        (srgan(features=""), "--features is required .* `random` for trying"),
        (srgan(features="", features_arg=()), "import_weights.*Received nothing"),
        (srgan(features=str(tmp_path / "no"), features_arg=()), "No bundle here"),
        (srgan(features=edsr, features_arg=()), "of VGG19, .* which holds EDSR"),
        (srgan(features=str(tmp_path / "vgg16"), features_arg=()), "has conv5_4"),
        (srgan(features=edsr), "--features_arg has no meaning with --features from"),
        (srgan(features_arg=("depth=16",)), "VGG19, which has conv5_4"),
        (srgan(lr_patch=4), r"at least 16 for the perceptual loss. Received: 4 \* 2"),
        (srgan(hr_discriminator="vgg", lr_patch=12), "multiple of 32. Received: 24"),
        (
            srgan(hr_discriminator="vgg", hr_discriminator_arg=("input_size=64",)),
            "size of HR patches is --lr_patch times --scale",
        ),
        (srgan(hr_discriminator="unett"), "`--hr_discriminator` .* mean 'unet'"),
        (srgan(hr_discriminator_arg=("depth=3",)), "PatchGANConfig has no setting"),
        (srgan(method_arg=(no_gan,)), "--hr_discriminator_arg has no .*gan_weight=0"),
        (srgan(method_arg=(no_features,)), "--features has no .*perceptual_weight=0"),
        (joint(features="random"), "--features has no meaning with pdm_sr"),
        (joint(hr_discriminator="unet"), "--hr_discriminator has no meaning with pdm"),
        (supervised(features="random"), "--features has no meaning with supervised"),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(config)
    assert (
        "hr_discriminator"
        not in build_method(
            srgan(method_arg=(no_gan,), hr_discriminator_arg=())
        ).networks
    )


def test_wrong_names_and_settings_are_refused():
    for config, message in [
        (joint(method="pdmsr"), "`--method` must be one of .*Did you mean 'pdm_sr'"),
        (joint(sr_net="edrs"), "`--sr_net` must be one of .*Did you mean 'edsr'"),
        (joint(scale=5), "--sr_net=edsr: .*Received: scale=5"),
        (joint(sr_arg=("filter=4",)), "EDSRConfig has no setting 'filter'.*'filters'"),
        (joint(sr_arg=("scale=4",)), "set by --scale. Received: --sr_arg=scale=4"),
        (joint(sr_arg=("filters=0",)), "`filters` of EDSRConfig .* Received: 0"),
        (joint(kernel_arg=("kernel_size=8",)), "must be odd. Received: 8"),
        (joint(kernel_arg=("size=5",)), "KernelModuleConfig has no setting 'size'"),
        (joint(noise_arg=("channels=2",)), "must be 1 or 3"),
        (joint(discriminator_arg=("strides=1,x",)), "list of integers.*'1,x'"),
        (joint(discriminator_arg=("norm=none",)), "PatchGANConfig has no setting"),
        (joint(method_arg=("training=both",)), "joint, separate, .*'both'"),
        (joint(method_arg=("grid=pixel1",)), "`grid` .* half_pixel. .*'pixel1'"),
        (joint(method_arg=("border=zero",)), "`border` .* reflect, valid. .*'zero'"),
        (joint(method_arg=("lambda=100",)), "PDMSRConfig has no setting 'lambda'"),
        (supervised(method_arg=("pairs=both",)), "synthetic, real. .*'both'"),
        (supervised(method_arg=("degradation=bicubik",)), "Did you mean 'bicubic'"),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(config)


def test_settings_that_would_be_ignored_are_refused(bundles):
    run = str(bundles)
    nothing = dict(kernel_arg=(), noise_arg=())
    for config, message in [
        (joint(noise=False), "--noise_arg has no meaning without --noise. .*filters=4"),
        (supervised(kernel_arg=KERNEL), "--kernel_arg has no meaning with supervised"),
        (supervised(noise_arg=NOISE), "--noise_arg has no meaning with supervised"),
        (supervised(discriminator_arg=("filters=4",)), "--discriminator_arg has no"),
        (supervised(init_degradation=run), "--init_degradation has no meaning"),
        (frozen(run, kernel_arg=KERNEL), "--kernel_arg has no meaning with --init_d"),
        (frozen(run, noise_arg=NOISE), "--noise_arg has no meaning with --init_degr"),
        (frozen(run, discriminator_arg=("filters=4",)), "no meaning with training=sr"),
        (frozen(run, noise=False), "--nonoise contradicts --init_degradation"),
        (
            joint(init_degradation=run, method_arg=("grid=half_pixel",), **nothing),
            "decides the grid. Received: .*grid=half_pixel and .* with pixel0",
        ),
        (
            frozen(run, method_arg=("training=sr", "border=reflect")),
            "decides the border",
        ),
        (
            joint(method_arg=("training=degradation",)),
            "--sr_arg has no meaning with training=degradation",
        ),
        (
            joint(method_arg=("training=degradation",), sr_arg=(), init_sr=run),
            "--init_sr has no meaning with training=degradation",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(config)


def test_networks_and_folders_that_do_not_fit_are_refused(bundles, tmp_path):
    run = str(bundles)
    edsr, pdm = (str(bundles / "bundles" / name) for name in ("sr", "pdm"))
    (tmp_path / "other").mkdir()
    for config, message in [
        (joint(lr_dir=""), "--lr_dir, the folder of real LR .* is required"),
        (frozen(""), "must come from --init_degradation=.* untrained one would be"),
        (
            frozen(tmp_path / "nowhere"),
            "must be a run folder, .*Received: .*nowhere.* not exist",
        ),
        (frozen(tmp_path / "other"), "It has no bundles yet"),
        (frozen(edsr), "must be a bundle of the role .degradation.*role .sr."),
        (
            frozen(run, scale=4),
            "for --scale=4. .*whose scale is 2",
        ),
        (joint(init_sr=run, sr_arg=("filters=8",)), "--init_sr must hold .*filters=8"),
        (joint(init_sr=run, scale=4), "--init_sr must hold .*scale=4.*scale=2"),
        (joint(init_sr=run, sr_net="rrdbnet"), "--init_sr must hold .*RRDBNetConfig"),
        (joint(init_sr=pdm), "--init_sr must hold .*PDMConfig"),
        (
            supervised(lr_dir="lr"),
            "makes its LR images .*pairs=real .*Received: --lr_dir=lr",
        ),
        (
            supervised(method_arg=("pairs=real",)),
            "required with --method_arg=pairs",
        ),
        (
            joint(
                lr_patch=1,
                method_arg=("border=reflect",),
                kernel_arg=("kernel_size=5",),
            ),
            "must exceed half the kernel.* 1 . 2 with kernels of 5",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(config)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """hr; lr; and pairs, which are half the size of hr. One file is broken."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(3):
        for name, side in (("hr", 40), ("lr", 24), ("pairs", 20)):
            image = rng.integers(0, 256, (side, side * 6 // 5, 3), np.uint8)
            write_png(folder / name / f"p{index}.png", image)
    (folder / "hr" / "broken.png").write_bytes(b"no picture")
    return folder


def in_folders(config, photos, **changes):
    folders = {"hr_dir": str(photos / "hr"), "lr_dir": str(photos / "lr")}
    return dataclasses.replace(config, **{**folders, **changes})


def test_streams_share_the_memory_budget(photos, monkeypatch):
    """What the first keeps in memory is not there for the second."""
    budgets, sources = [], []

    def opened(location, **how):
        budgets.append(how["cache_mb"])
        sources.append(open_source(location, **how))
        return sources[-1]

    monkeypatch.setattr(build, "open_source", opened)
    build_training(in_folders(JOINT, photos))
    assert sources[0].memory_mb > 0
    assert budgets == [budgets[0], budgets[0] - sources[0].memory_mb]


def test_training_gets_batches_of_the_methods_patches_from_any_step(photos):
    setup = build_training(in_folders(JOINT, photos))
    assert [path for path, _ in setup.skipped] == [str(photos / "hr" / "broken.png")]
    assert setup.validate is None
    assert setup.remarks[0] == "photographs: 3 HR, 3 LR"
    taken = iter(setup.make_batches(0))
    first, second = next(taken), next(taken)
    assert {k: v.shape for k, v in first.items()} == {
        "hr": (2, 20, 20, 3),
        "real_lr": (2, 8, 8, 3),
    }
    resumed = next(iter(setup.make_batches(1)))
    for name in first:
        np.testing.assert_array_equal(resumed[name], second[name])
        assert np.abs(first[name] - second[name]).max() > 0


def test_training_on_real_pairs_cuts_both_at_the_same_place(photos, tmp_path):
    """LR images that are every second pixel of HR tell where they were cut."""
    rng = np.random.default_rng(1)
    for index in range(2):
        hr_u8 = rng.integers(0, 256, (40, 48, 3), np.uint8)
        write_png(tmp_path / "hr" / f"{index}.png", hr_u8)
        write_png(tmp_path / "lr" / f"{index}x2.png", hr_u8[::2, ::2])
    config = in_folders(SUPERVISED, tmp_path, method_arg=("pairs=real",))
    told = "pixels of --lr_dir lie: grid=half_pixel is taken"
    setup = build_training(config)
    assert told in setup.remarks[0] and setup.grid is None
    args = ("pairs=real", "grid=pixel0")
    setup = build_training(dataclasses.replace(config, method_arg=args))
    assert setup.remarks[0] == "photographs: 2 pairs of HR and LR"
    assert setup.grid == "pixel0"
    batch = next(iter(setup.make_batches(0)))
    assert batch["hr"].shape == (2, 16, 16, 3) and batch["lr"].shape == (2, 8, 8, 3)
    for hr, lr in zip(batch["hr"].numpy(), batch["lr"].numpy(), strict=True):
        # Whichever way they are turned.
        np.testing.assert_array_equal(lr, hr[::2, ::2])


def test_validation_scores_the_network_and_bicubic(photos):
    config = in_folders(
        SUPERVISED,
        photos,
        lr_dir="",
        val_hr_dir=str(photos / "hr"),
        val_lr_dir=str(photos / "lr"),
        val_max_images=2,
    )
    with pytest.raises(UserError, match="no such pair"):  # not half the size
        build_training(config)
    config = dataclasses.replace(config, val_lr_dir=str(photos / "pairs"))
    setup = build_training(config)
    scores = setup.validate(setup.method.networks["sr"])
    assert {"psnr", "ssim", "psnr_shift", "bicubic/psnr"} <= set(scores)
    assert all(np.isfinite(v) for v in scores.values())
    off = dataclasses.replace(config, validate_every=0)
    assert build_training(off).validate is None


def test_one_folder_for_both_streams_is_refused(photos):
    with pytest.raises(UserError, match="two different places"):
        build_training(in_folders(JOINT, photos, lr_dir=str(photos / "hr")))


def test_bundles_are_saved_with_role_scale_step_and_origin(bundles):
    for name, role in (("sr", "sr"), ("sr_ema", "sr"), ("pdm_ema", "degradation")):
        bundle = load_bundle(bundles / "bundles" / name)
        assert (bundle.role, bundle.scale, bundle.step) == (role, 2, 11)
        assert bundle.notes == {"method": "pdm_sr", "seed": 77}
    network = build_method(srgan()).networks["sr"]
    bundle_saver(srgan(), bundles / "perceptual")({"sr": network}, 1)
    notes = load_bundle(bundles / "perceptual" / "sr").notes
    assert notes == {"method": "pdm_srgan", "seed": 0, "features": "random"}
    saved = save_bundle(
        build_method(supervised()).networks["sr"],
        bundles / "alone",
        step=0,
    )
    assert load_bundle(saved).notes == {}


@pytest.mark.parametrize(
    ("config", "grid"),
    [
        (joint(), "pixel0"),
        (joint(method_arg=("grid=half_pixel",)), "half_pixel"),
        (frozen("bicubic"), "half_pixel"),
        (frozen("awgn_blur", degradation_arg=AWGN), "pixel0"),
        (supervised(), "half_pixel"),
        (
            supervised(
                method_arg=("degradation=awgn_blur",),
                degradation_arg=(*AWGN, "grid=half_pixel"),
            ),
            "half_pixel",
        ),
    ],
)
def test_the_grid_that_is_trained_on_goes_into_bundles(photos, tmp_path, config, grid):
    """The degradation's, wherever it is from."""
    lr_dir = config.lr_dir and str(photos / "lr")
    config = in_folders(config, photos, lr_dir=lr_dir)
    setup = build_training(config)
    assert setup.grid == grid
    network = setup.method.networks["sr"]
    bundle_saver(config, tmp_path, setup.grid)({"sr": network}, 1)
    assert load_bundle(tmp_path / "sr").grid == grid


def test_the_grid_on_record_with_pairs_goes_into_bundles(tmp_path):
    rng = np.random.default_rng(1)
    for name, side in (("hr", 40), ("lr", 20)):
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
        write_png(tmp_path / name / "a.png", image)
    record = {"degradation": "edsr-0123", "grid": "pixel0"}
    (tmp_path / "degrade.json").write_text(json.dumps(record))
    config = in_folders(SUPERVISED, tmp_path, method_arg=("pairs=real",))
    assert build_training(config).grid == "pixel0"


def test_a_batch_that_cannot_be_shared_among_devices_is_refused(photos):
    two = SimpleNamespace(count=2)
    config = in_folders(JOINT, photos, batch_size=9, accumulate=3)
    with pytest.raises(UserError, match=r"--accumulate, 2 \* 3. Received: 9."):
        build_training(config, two)
    config = in_folders(JOINT, photos, xla="on")
    with pytest.raises(UserError, match="--xla=on works with one device. Received: 2"):
        build_training(config, two)


def test_supervised_makes_pairs_by_any_predefined_degradation_and_its_settings():
    method = build_method(
        supervised(method_arg=("degradation=awgn_blur",), degradation_arg=AWGN)
    )
    settings = method._maker.degradation.config
    assert (settings.sigma_max_px, settings.kernel_size) == (2.0, 9)
    assert method.patches == {"hr": 8 * 2 + 2 * 4}
    for config, message in [
        (supervised(degradation_arg=AWGN), "NoSettings has no setting 'sigma_min_px'"),
        (
            supervised(method_arg=("degradation=bicubik",)),
            "--method_arg=degradation must be a run folder, .*Did you mean .bicubic.",
        ),
        (
            supervised(method_arg=("degradation=pool",)),
            "pool needs `kernels` or noise .*Received neither",
        ),
        (
            supervised(method_arg=("pairs=real",), lr_dir="lr", degradation_arg=AWGN),
            "--degradation_arg has no meaning with pairs=real",
        ),
        (joint(degradation_arg=AWGN), "--degradation_arg has no meaning with a degra"),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(config)


def test_supervised_makes_pairs_by_a_learned_degradation_too(bundles):
    """From the folder of a run or of a bundle, alone or as a part of a mixture."""
    run, bundle = str(bundles), str(bundles / "bundles" / "pdm_ema")
    wanted = load_bundle(bundle).network
    for location in (run, bundle):
        method = build_method(supervised(method_arg=(f"degradation={location}",)))
        assert_equal_weights(method._maker.degradation, wanted)
        assert set(method.networks) == set(method.optimizers) == {"sr"}
    remarks = []
    mixture = (f"parts={run},bicubic", "probabilities=0.75,0.25")
    config = supervised(method_arg=("degradation=mixed",), degradation_arg=mixture)
    method = build_method(config, remarks.append)
    assert method.grid == "pixel0"
    assert remarks == ["mixed: bicubic is brought to grid=pixel0"]
    for changes, message in [
        ({"scale": 4}, "must be for one scale, 4.* which is for 2"),
        (
            {"degradation_arg": (*mixture, f"settings={run}.grid=pixel0")},
            "a learned one brings its own",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(dataclasses.replace(config, **changes))
    with pytest.raises(UserError, match="for --scale=4. Received: .* scale is 2"):
        build_method(supervised(method_arg=(f"degradation={run}",), scale=4))


def test_sr_trains_on_a_predefined_degradation_like_on_a_learned_one():
    method = build_method(frozen("awgn_blur", degradation_arg=AWGN))
    assert set(method.networks) == set(method.deployable()) == {"sr"}
    assert method.patches == {"hr": 8 * 2 + 2 * 4}
    batch = {"hr": np.random.default_rng(0).random((2, 24, 24, 3)).astype(np.float32)}
    result = method.train_step_for(0)(batch, np.int64(0), FULL_BATCH)
    assert set(result.gradients) == {"sr"} and result.scalars["loss/sr_l1"] > 0
    assert set(method.previews(batch, 0)) == {"patches"}
    for config, message in [
        (frozen("awgn_blur", kernel_arg=KERNEL), "--kernel_arg has no .*=awgn_blur"),
        (
            joint(init_degradation="awgn_blur", kernel_arg=(), noise_arg=()),
            "--init_degradation=awgn_blur cannot be trained",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(config)


def test_parts_can_be_named_by_the_flags_for_any_part(bundles):
    config = joint(
        sr_arg=(), net=("sr:rrdbnet",), net_arg=("sr.filters=4", "sr.num_blocks=1"),
    )  # fmt: skip
    assert_equal_weights(
        build_method(config).networks["sr"],
        build_method(joint(sr_net="rrdbnet")).networks["sr"],
    )
    started = build_method(joint(init=(f"sr:{bundles}",)))
    assert_equal_weights(
        started.networks["sr"], load_bundle(bundles / "bundles" / "sr_ema").network
    )
    for wrong, message in [
        (dict(net=("rrdbnet",)), "--net must begin with one of pdm:, .*'rrdbnet'"),
        (dict(net_arg=("sr_filters=4",)), "--net_arg must begin with one of pdm., "),
        (dict(init=("hr_discriminator:x",)), "parts of pdm_sr. Received: 'hr_disc"),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(joint(**wrong))


def test_a_method_is_its_file_and_a_line(monkeypatch, photos):
    """One with two generators: nothing else knows it."""

    class TwoGenerators(Method):
        name = "two_generators"
        config_class = NoSettings

        def __init__(self, settings, *, translator, sr, judge, lr_patch, **common):
            self.networks = {"translator": translator, "sr": sr, "judge": judge}
            self.optimizers = {}
            self.patches = {"source_hr": lr_patch * sr.scale, "real_lr": lr_patch}

        @classmethod
        def roles(cls, settings):
            return {
                "translator": Role("sr", "edsr", {"scale": 1}),
                "sr": Role("sr", "edsr"),
                "judge": Role(
                    "discriminator",
                    "patchgan",
                    sees="lr",
                    paper={"kernel_size": 5, "strides": (2, 1, 1)},
                ),
            }

        @classmethod
        def streams(cls, settings):
            return {"hr": "", "real_lr": "to be translated", "source_hr": "too"}

    monkeypatch.setitem(METHODS, "two_generators", TwoGenerators)
    common = dict(
        method="two_generators", kernel_arg=(), noise_arg=(), discriminator_arg=()
    )
    small = ("translator.filters=4", "translator.num_blocks=1", "judge.filters=4")
    method = build_method(joint(**common, net_arg=small))
    assert [method.networks[n].scale for n in ("translator", "sr")] == [1, 2]
    assert method.networks["translator"].config.filters == 4
    judge = method.networks["judge"].config
    assert (judge.kernel_size, judge.strides, judge.filters) == (5, (2, 1, 1), 4)
    assert method.deployable() == {"sr": method.networks["sr"]}
    assert method.unaveraged() == () and method.health(dict) is None
    for wrong, message in [
        (dict(lr_dir=""), "--lr_dir, .* is required to be translated"),
        (dict(kernel_arg=KERNEL), "--kernel_arg has no meaning with two_generators"),
        (dict(net_arg=("translator.scale=2",)), "The scale is set by --scale"),
    ]:
        with pytest.raises(UserError, match=message):
            build_method(joint(**{**common, **wrong}))
    # What the method prefers yields to flags, and is meant for its own choice alone.
    others = (*small, "judge.kernel_size=3")
    judge = build_method(joint(**common, net_arg=others)).networks["judge"].config
    assert (judge.kernel_size, judge.strides) == (3, (2, 1, 1))
    unet = joint(**common, net=("judge:unet",), net_arg=small)
    assert isinstance(build_method(unet).networks["judge"], UNetDiscriminator)
    # The source's own photographs serve as HR images, and --hr_dir is not read.
    alone = in_folders(joint(**common, net_arg=small), photos)
    setup = build_training(dataclasses.replace(alone, hr_dir=alone.lr_dir))
    batch = next(iter(setup.make_batches(0)))
    assert {name: x.shape[1] for name, x in batch.items()} == {
        "source_hr": 16,
        "real_lr": 8,
    }
