"""Flag files are code: each parses and builds; the smoke ones train, stop and go on.

The released project shipped configurations that did not parse, named networks that did
not exist, or failed at the first validation (reference list B3, B9 to B12, B15, B35).
"""

import dataclasses
import math
import os
import re
import subprocess
import sys

import pytest

from pdm_tf import build, train
from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import as_text
from pdm_tf.data.paper_sets import PAPER_SETS
from pdm_tf.methods import METHODS
from pdm_tf.models.features import VGGConfig
from pdm_tf.run import read_metrics
from tests.conformance.smoke import CONFIGS, ROOT, arguments, parse, write_photographs
from tests.support import golden

FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.flags"))
PARTS = [path for path in FILES if path.parts[0] == "parts"]
WHOLE = [path for path in FILES if path not in PARTS]
SMOKE = [path for path in FILES if path.parts[0] == "smoke"]
# About 20 s each: of the forms of the model one trains in the default suite, and the
# JPEG module trains in tests/unit/methods.
QUICK_FORMS = ("kernel_per_pixel",)
SLOW_SMOKE = ("pdm_sr_jpeg",)
TRAINED = [
    pytest.param(
        path,
        id=str(path),
        marks=[pytest.mark.slow]
        if "forms" in path.parts
        and path.stem not in QUICK_FORMS
        or path.stem in SLOW_SMOKE
        else [],
    )
    for path in SMOKE
]


ROLES = {"init_sr": "sr", "init_degradation": "pdm", "features": "features"}
# Weights that are published, as pdm_tf.import_weights names and makes them.
PUBLISHED = {
    "bundles/edsr_x4": SR_NETS["edsr"],
    "bundles/bsrgan_x4": SR_NETS["rrdbnet"],
}


def with_stand_ins(config, stand_in):
    """`config` with what it starts from replaced by bundles that are there."""
    given = {name: getattr(config, name) for name in ROLES}
    replaced = {
        name: str(stand_in(location, ROLES[name]))
        for name, location in given.items()
        if location and location != "random"
    }
    return dataclasses.replace(config, **replaced)


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

    return bundle


# Networks of full size take seconds each; of these folders one is built by default.
LARGE = ("forms", "pdm_srgan", "experiments")
QUICK_LARGE = (
    "pdm_sr/forms/blur_noise_x4_noise_of_image.flags",
    "pdm_srgan/blur_x4_joint.flags",
)
BUILT = [
    pytest.param(
        path,
        id=str(path),
        marks=[pytest.mark.slow]
        if set(path.parts) & set(LARGE)
        and path not in SMOKE
        and str(path) not in QUICK_LARGE
        else [],
    )
    for path in WHOLE
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


def test_experiments_have_the_released_settings():
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


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


def train_here(*flags: str) -> None:
    """The program's main in this process, which saves TensorFlow's start."""
    assert program.call(train.SPEC, train.main, flags) == program.OK


def train_elsewhere(*flags: str) -> str:
    """The program as people start it; returns what it printed."""
    finished = subprocess.run(
        [sys.executable, "-m", "pdm_tf.train", *flags],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == program.OK, finished.stdout + finished.stderr
    return finished.stdout


def listing(run) -> set[str]:
    """The files of a run folder, hashes and times taken out of their names."""
    names = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return {
        re.sub("/[0-9a-f]{12}[.]", "/SHA.", re.sub("events.out.*", "events.out", text))
        for text in map(str, names)
    }


@pytest.mark.parametrize("path", TRAINED)
def test_trains_saves_resumes_and_validates(path, photographs, tmp_path, capsys):
    """Ten steps, then ten more, through the real program, with losses as recorded."""
    run = tmp_path / "run"
    every = [f"--{what}_every=10" for what in ("save", "validate", "preview")]
    flags = arguments(path, photographs, run, *every)
    train_here(*flags, "--steps=10")
    learns_sr = "training=degradation" not in parse(path).method_arg
    learns_degradation = parse(path).method in ("pdm_sr", "pdm_srgan")
    present = {"sr": learns_sr, "pdm": learns_degradation}
    names = {n for role in present if present[role] for n in (role, f"{role}_ema")}
    assert {folder.name for folder in (run / "bundles").iterdir()} == names
    before = {name: load_bundle(run / "bundles" / name) for name in names}
    capsys.readouterr()
    train_here(*flags, "--steps=20")
    assert "goes on from step 10" in capsys.readouterr().out
    records = read_metrics(run / "metrics.jsonl")
    losses = [r for r in records if any(k.startswith("loss/") for k in r)]
    # The released code's log restarted; here each step is there once.
    assert [r["step"] for r in losses] == list(range(1, 21))
    for record in losses:
        values = [v for k, v in record.items() if k.startswith(("loss/", "stat/"))]
        assert all(math.isfinite(value) for value in values), record
    validated = [r["step"] for r in records if "val/psnr" in r]
    assert validated == ([10, 20] if learns_sr else [])
    for name in names:
        bundle = load_bundle(run / "bundles" / name)
        assert (bundle.step, before[name].step) == (20, 10)
        # From step 1 on "separate" only trains the SR network.
        if "separate" not in str(path) or name.startswith("sr"):
            assert bundle.sha256 != before[name].sha256, f"{name} did not move"
    assert list((run / "previews").glob("step_00000020_*.png"))
    assert not golden.differences(records, golden.read("traces.json")[str(path)])
    recorded = golden.read("run_folders.json").get(str(path))
    assert recorded is None or listing(run) == {
        # One checkpoint and preview more than without the stop.
        *recorded,
        *(name.replace("step_00000020", "step_00000010") for name in recorded),
    }


def test_srgan_as_in_the_paper_trains_as_recorded(photographs, tmp_path):
    """The one method and preset that no smoke flag file has."""
    flags = arguments("smoke/pdm_srgan.flags", photographs, tmp_path / "run")
    train_here(*flags, "--preset=paper", "--steps=20", "--validate_every=0")
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    trace = golden.read("traces.json")["smoke/pdm_srgan.flags --preset=paper"]
    assert not golden.differences(records, trace)


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


def test_sr_on_a_frozen_degradation(photographs, tmp_path):
    """training=sr takes the degradation of another run and leaves it as it is."""
    given = tmp_path / "given"
    pdm = build.build_method(parse("smoke/pdm_sr_joint.flags")).networks["pdm"]
    save_bundle(pdm, given, step=9)
    run = tmp_path / "run"
    lines = (CONFIGS / "parts" / "smoke.flags").read_text()
    frozen = tmp_path / "frozen.flags"
    frozen.write_text(f"{lines}--method=pdm_sr\n--method_arg=training=sr\n")
    flags = arguments(frozen, photographs, run, f"--init_degradation={given}")
    train_here(*flags)
    assert "goes on from step 2" in train_elsewhere(*flags, "--steps=4")
    wanted = load_bundle(given).sha256
    for name in ("pdm", "pdm_ema"):
        assert load_bundle(run / "bundles" / name).sha256 == wanted
    assert load_bundle(run / "bundles" / "sr").step == 4
