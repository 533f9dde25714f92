"""Flag files are code: each parses, and describes networks that exist and fit.

The released project shipped configurations that did not parse or named networks that
did not exist (reference list B3, B35). That the smoke ones train: test_smoke_training.
"""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pdm_tf import build
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.cli.flag_set import as_text
from pdm_tf.data.paper_sets import PAPER_SETS
from pdm_tf.degradations import PDMConfig
from pdm_tf.methods import METHODS, PDMSR
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.features import LPIPSConfig, VGGConfig
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from pdm_tf.source_first.choice import choose
from tests.conformance.smoke import CONFIGS, LONG, SMOKE, parse
from tests.support import golden

FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.flags"))
# Those of studies leave open what the study decides: test_studies.py.
FILES = [path for path in FILES if path.parts[0] != "studies"]
# For people with photographs of a kind, who say where these are.
KINDS = [Path(f"{name}.flags") for name in ("camera", "scan", "blur")]
PARTS = [path for path in FILES if path.parts[0] == "parts" or path in KINDS]
WHOLE = [path for path in FILES if path not in PARTS]

ROLES = {"init_sr": "sr", "init_degradation": "pdm", "features": "features"}
# Weights that are published, as pdm_tf.import_weights names and makes them.
PUBLISHED = {
    "bundles/edsr_x4": SR_NETS["edsr"],
    "bundles/bsrgan_x4": SR_NETS["rrdbnet"],
    "bundles/esrgan_x4": SR_NETS["rrdbnet"],
    "bundles/rrdb_psnr_x4": SR_NETS["rrdbnet"],
}


def with_stand_ins(config, stand_in):
    """`config` with what it starts from replaced by bundles that are there."""
    given = {name: getattr(config, name) for name in ROLES}
    replaced = {
        name: str(stand_in(location, ROLES[name]))
        for name, location in given.items()
        if location and location != "random"
    }
    args = tuple(stand_in.of_setting(arg) for arg in config.degradation_arg)
    parts = (text.split(":", 1) for text in config.init)
    init = tuple(
        f"{part}:{location if location == 'random' else stand_in(location, part)}"
        for part, location in parts
    )
    return dataclasses.replace(config, **replaced, degradation_arg=args, init=init)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """What a flag file starts from, made by the flag file that makes it.

    A run folder is that of the file with this --run_dir, with the networks that it
    builds, so that two which do not fit each other are found (B35).
    """
    folder, made = tmp_path_factory.mktemp("stand_ins"), {}

    def network_of(location, role):
        if role == "features":  # as narrow as a test wants it
            return VGGConfig(depth=19, filters=2).build(), 1
        if role == "lpips":
            return LPIPSConfig(filters=2).build(), 1
        if location in PUBLISHED:
            return PUBLISHED[location].build(), PUBLISHED[location].scale
        (config,) = (c for c in map(parse, WHOLE) if c.run_dir == location)
        method = build.build_method(with_stand_ins(config, bundle))
        return method.networks[role], config.scale

    def bundle(location, role):
        if (location, role) not in made:
            network, scale = network_of(location, role)
            target = folder / f"{len(made)}"
            save_bundle(network, target, step=0)
            made[location, role] = target
        return made[location, role]

    def of_setting(arg):
        """A setting whose value is a file of a pool, with a small one."""
        name, _, location = arg.partition("=")
        if not location.startswith("pools/"):
            return arg
        shape = {"kernels": (2, 5, 5), "noise": (2, 64, 64, 3)}[name]
        values = np.random.default_rng(0).random(shape, np.float32)
        values /= values.sum(axis=(1, 2), keepdims=True)
        np.save(folder / f"{name}.npy", values)
        return f"{name}={folder / name}.npy"

    bundle.of_setting = of_setting
    return bundle


# Networks of full size take seconds each; of these files some are built by default.
LARGE = (
    "bulat",
    "dsgan_sr",
    "forms",
    "pdm_srgan",
    "experiments",
    "supervised_gan",
    "cincgan",
    "cyclesr",
    "bsrnet_x4.flags",
    "real_esrnet_x4.flags",
    # As others, with another network, or a module less or more.
    "maeda/blur_noise_x4.flags",
    "pdm_sr/blur_jpeg_x4_without.flags",
    "pdm_sr/blur_noise_x4_rrdbnet.flags",
    "pdm_sr/blur_x4_one_kernel.flags",
    "pdm_sr/blur_x4_paper.flags",
)
QUICK_LARGE = (
    "pdm_sr/forms/blur_noise_x4_noise_of_image.flags",
    "pdm_srgan/blur_x4_joint.flags",
    "cyclesr/blur_noise_x4_paper.flags",
    "bulat/blur_noise_x4_paper.flags",
    "dsgan_sr/blur_noise_x4_paper.flags",
)
BUILT = [
    pytest.param(
        path,
        id=str(path),
        marks=[pytest.mark.slow]
        if {*path.parts, str(path)} & set(LARGE)
        and path not in SMOKE
        and str(path) not in QUICK_LARGE
        else [],
    )
    for path in WHOLE
    # The others are trained, see test_smoke_training.py.
    if path not in SMOKE or path in LONG
]


@pytest.mark.parametrize("path", WHOLE, ids=str)
def test_parses(path):
    """Every flag file has flags that exist, and a method and folders."""
    config = parse(path)
    assert config.method in METHODS and config.hr_dir and config.run_dir


@pytest.mark.parametrize("path", BUILT)
def test_builds(path, stand_in):
    """Every flag file describes networks that exist and fit each other.

    A second stage fits the first, whose flag file it names by its run folder.
    """
    method = build.build_method(with_stand_ins(parse(path), stand_in))
    assert method.networks and method.optimizers
    assert set(method.optimizers) <= set(method.networks)
    assert method.train_step_for(0) == method.train_step_for(0)


@pytest.mark.parametrize("path", PARTS, ids=str)
def test_parts_parse_once_folders_are_given(path):
    config = parse(path, "--hr_dir=photos", "--run_dir=run")
    assert (config.hr_dir, config.run_dir) == ("photos", "run")


def test_kinds_of_photographs_differ_in_what_is_learned_of_them_alone():
    """Each is measured first, and the sizes are the quickstart's."""
    configs = [parse(path, "--hr_dir=hr", "--run_dir=run") for path in KINDS]
    assert [(c.noise, c.jpeg) for c in configs] == [
        (True, True),
        (True, False),
        (False, False),
    ]
    quickstart = parse("quickstart.flags")
    for config in configs:
        assert choose(config).on
        for name in ("sr_arg", "steps", "batch_size", "lr_milestones", "scale"):
            assert getattr(config, name) == getattr(quickstart, name)


def test_one_part_is_in_every_large_experiment():
    """The experiments share their schedule instead of repeating it."""
    config = parse("pdm_sr/blur_x4.flags")
    assert (config.steps, config.batch_size) == (200_000, 32)
    assert config.lr_milestones == (50_000, 100_000, 150_000)


def test_experiments_take_the_folders_that_datasets_makes():
    """data/<set>/<place>, with a row in PAPER_SETS for each."""
    experiments = [path for path in WHOLE if path.parts[0] == "experiments"]
    assert {"_".join(path.stem.split("_")[:2]) for path in experiments} == set(
        PAPER_SETS
    )
    for path in experiments:
        config = parse(path)
        name = "_".join(path.stem.split("_")[:2])
        places = {part.place for part in PAPER_SETS[name].parts}
        for flag in ("hr_dir", "lr_dir", "val_hr_dir", "val_lr_dir"):
            given = getattr(config, flag)
            assert not given or given.removeprefix(f"data/{name}/") in places, given
        if not path.stem.endswith("degradation") and PAPER_SETS[name].has_pairs:
            assert config.val_hr_dir and config.val_lr_dir
        assert config.run_dir == f"runs/{path.stem}"


@pytest.mark.slow
def test_perceptual_experiments_have_the_released_weights(stand_in):
    """Section 1.8: 1 / 0.05 / 0.05, but for 2020 track 1."""
    for name in PAPER_SETS:
        config = parse(f"experiments/{name}_percep.flags")
        settings = build.build_method(with_stand_ins(config, stand_in)).config
        found = [
            getattr(settings, f"{which}_weight")
            for which in ("pixel", "perceptual", "gan")
        ]
        is_2020 = name == "ntire2020_track1"
        assert found == ([0.01, 0.05, 0.005] if is_2020 else [1.0, 0.05, 0.05])
        assert (settings.perceptual, settings.gan_loss) == ("conv5_4", "lsgan")
        assert (config.steps, config.learning_rate) == (20_000, 1e-4)


@pytest.fixture
def settings_alone(monkeypatch):
    """Lets `build_method` leave its networks at what describes them, in no time."""
    for described in (PDMConfig, PatchGANConfig, EDSRConfig, RRDBNetConfig):
        monkeypatch.setattr(
            described,
            "build",
            lambda config, policy, name: SimpleNamespace(config=config),
        )
    monkeypatch.setattr(
        PDMSR,
        "make",
        lambda config, networks, common: SimpleNamespace(
            config=config, networks=networks
        ),
    )


def test_experiments_have_the_released_settings(settings_alone):
    """Section 1.8 of the reference, read off the released configurations."""
    released = {  # f_k, blocks, K, lambda, LR patch, strides of 2 in the discriminator
        "ntire2017_track2_psnr": (64, 16, 21, None, 32, 0),
        "ntire2018_track2_degradation": (64, 16, 21, 10, 48, 2),
        "ntire2018_track4_degradation": (3, 16, 21, 100, 32, 2),
        "ntire2020_track1_psnr": (3, 8, 11, 100, 32, 0),
        "ntire2020_track2_degradation": (64, 8, 21, 10, 48, 2),
    }
    for name, (latent, blocks, size, weight, patch, halved) in released.items():
        path = f"experiments/{name}.flags"
        config = parse(path)
        method = build.build_method(dataclasses.replace(config, init_sr=""))
        pdm = method.networks["pdm"].config
        kernel = pdm.kernel
        found = (kernel.latent_channels, kernel.num_blocks, kernel.kernel_size)
        assert found == (latent, blocks, size) and kernel.filters == 64
        assert config.lr_patch == patch
        if weight is None:
            assert pdm.noise is None
        else:
            assert method.config.noise_weight == weight
            assert (pdm.noise.latent_channels, pdm.noise.num_blocks) == (3, blocks)
            assert pdm.noise.use_image and pdm.noise.conv_size == 3
        strides = method.networks["discriminator"].config.strides
        assert strides.count(2) == halved
        assert method.config.centroid_weight == 0


def test_flag_files_resolve_as_recorded():
    """Flag file -> the settings that are not the defaults."""
    resolved = {}
    for path in WHOLE:
        config = parse(path)
        resolved[str(path)] = {
            field.name: as_text(getattr(config, field.name))
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != field.default
        }
    recorded = golden.read("configs.json")
    assert {path: resolved[path] for path in recorded} == recorded
