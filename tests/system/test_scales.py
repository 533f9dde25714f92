"""Every scale that a network allows, through all programs; others are refused.

One chain for a network and a scale: photographs whose sides the scale does not divide
are made into pairs, a degradation and an SR network are trained, the network is scored,
exported, and used from the ONNX file in tiles. Its tiles must give what the Keras
network gives on the whole image, and every size is counted in pixels. All are
slow: minutes each. x3 has sides and a patch that are no multiples of anything.
"""

import numpy as np
import pytest

from pdm_tf import degrade, evaluate, prepare, train, upscale
from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import list_images, read_rgb_u8, to_float, to_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.inference.session import open_session
from tests.support import exporting

HR_SIZES = ((131, 149), (122, 125), (118, 127))
LR_SIZES = ((41, 43), (37, 40))
TINY = (
    *("--steps=2", "--batch_size=2", "--log_every=1", "--validate_every=2"),
    *("--preview_every=2", "--sr_arg=num_blocks=1", "--sr_arg=filters=4"),
    *("--kernel_arg=num_blocks=1", "--kernel_arg=filters=4"),
    *("--noise_arg=num_blocks=1", "--noise_arg=filters=4"),
    "--discriminator_arg=filters=4",
)
UNSHUFFLE = ("--sr_arg=unshuffle=2",)
slow = pytest.mark.slow
CASES = [
    pytest.param("edsr", 3, (), id="edsr_x3", marks=slow),
    *(pytest.param("edsr", s, (), id=f"edsr_x{s}", marks=slow) for s in (1, 2, 4, 8)),
    *(
        pytest.param("rrdbnet", s, more, id=f"rrdbnet_x{s}{name}", marks=slow)
        for s, more, name in (
            *((1, (), ""), (2, UNSHUFFLE, "_unshuffled"), (3, (), ""), (8, (), "")),
        )
    ),
]


def photograph(seed, height, width):
    """Smooth structure and edges, [height, width, 3] uint8."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(float)
    fine = coarse.repeat(8, 0).repeat(8, 1)
    fine = (fine + np.roll(fine, 3, 0) + np.roll(fine, 5, 1)) / 3
    return fine[:height, :width].astype(np.uint8)


def call(program_of, *flags):
    spec, main = program_of
    assert program.call(spec, main, [str(flag) for flag in flags]) == program.OK


def of(module):
    return module.SPEC, module.main


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for side, sizes in (("hr", HR_SIZES), ("lr", LR_SIZES)):
        for index, size in enumerate(sizes):
            write_png(folder / side / f"{index}.png", photograph(index, *size))
    return folder


@pytest.mark.parametrize(("sr_net", "scale", "more"), CASES)
def test_from_photographs_to_upscaled_ones(sr_net, scale, more, photographs, tmp_path):
    hr_dir, lr_dir, run = photographs / "hr", photographs / "lr", tmp_path / "run"
    pairs = tmp_path / "pairs"
    folders = (f"--hr_dir={pairs / 'hr'}", f"--lr_dir={pairs / 'lr'}")
    task = ("--task=bicubic_lr", f"--input={hr_dir}", f"--output={pairs}")
    call(of(prepare), *task, f"--scale={scale}", "--progress=off")
    for height, width in HR_SIZES:
        assert (height // scale, width // scale) in sizes_of(pairs / "lr")
    call(
        of(train),
        *(f"--hr_dir={hr_dir}", f"--lr_dir={lr_dir}", f"--run_dir={run}"),
        *(f"--val_hr_dir={pairs / 'hr'}", f"--val_lr_dir={pairs / 'lr'}"),
        *(f"--scale={scale}", f"--sr_net={sr_net}", *TINY, *more),
        # The largest that fits the smallest photograph with the kernel's margin.
        f"--lr_patch={min(13, (min(map(min, HR_SIZES)) - 5 * scale - 2) // scale)}",
        *("--method_arg=grid=half_pixel", "--progress=off", "--report=off"),
    )
    check_scores(run, folders, scale, tmp_path)
    check_degraded(run, hr_dir, scale, tmp_path / "degraded")
    flags = (f"--model={run}", f"--output={tmp_path / 'out'}")
    assert exporting.call(*flags) == program.OK
    # Tiles that begin between the squares of `unshuffle` see them split otherwise.
    tile = 64 if more else 16
    check_exported(run, lr_dir, scale, tmp_path / "out", tmp_path / "upscaled", tile)


def sizes_of(folder):
    return [read_rgb_u8(path).shape[:2] for path in list_images(folder)]


def check_scores(run, folders, scale, place):
    """Scored without `scale` pixels of border, on all pairs, in tiles as whole."""
    for name, tiles in (("whole", ()), ("tiles", ("--tile=44", "--overlap=21"))):
        call(
            of(evaluate),
            f"--model={run}",
            *folders,
            *tiles,
            f"--output={place / name}",
        )
    whole, tiled = (read_json(place / n / "report.json") for n in ("whole", "tiles"))
    assert whole["crop_border"] == scale and len(whole["images"]) == len(HR_SIZES)
    assert np.isfinite(whole["mean"]["psnr"])
    assert tiled["mean"]["psnr"] == pytest.approx(whole["mean"]["psnr"], abs=0.01)


def check_degraded(run, hr_dir, scale, folder):
    flags = (f"--input={hr_dir}", f"--output={folder}", "--progress=off")
    call(of(degrade), f"--degradation={run}", *flags)
    kernels = np.load(folder / "kernels.npy")
    assert kernels.shape[1] == 2 * int(np.ceil(2.5 * scale)) + 1
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1, atol=1e-5)
    for lr, hr in zip(sizes_of(folder / "lr"), sizes_of(folder / "hr"), strict=True):
        assert hr == (lr[0] * scale, lr[1] * scale)


def check_exported(run, lr_dir, scale, exported, results, tile):
    """The file says its scale; its tiles give what Keras gives on the whole."""
    assert read_json(exported / "certificate.json")
    for name in ("model", "model_fp16"):
        info = open_session(exported / f"{name}.onnx").info
        assert info.scale == scale and info.metadata["scale"] == str(scale)
    call(
        of(upscale),
        *(f"--model={exported}", f"--input={lr_dir}", f"--output={results}"),
        *(f"--tile={tile}", "--progress=off"),
    )
    network = load_bundle(run / "bundles" / "sr_ema").network
    for path in list_images(lr_dir):
        lr_u8 = read_rgb_u8(path)
        found = read_rgb_u8(results / f"{path.stem}.png").astype(int)
        wanted = to_u8(network(to_float(lr_u8)[None])[0].numpy()).astype(int)
        assert found.shape == (lr_u8.shape[0] * scale, lr_u8.shape[1] * scale, 3)
        # Sums in another order may round to the next level.
        assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("scale", [0, 5, 6, 7, 16])
def test_scales_that_no_network_has_are_refused(scale, photographs, tmp_path, capsys):
    for sr_net in ("edsr", "rrdbnet"):
        flags = [f"--hr_dir={photographs / 'hr'}", f"--lr_dir={photographs / 'lr'}"]
        flags += [f"--run_dir={tmp_path / sr_net}", f"--sr_net={sr_net}"]
        flags += [f"--scale={scale}", *TINY]
        assert program.call(*of(train), flags) == program.BAD_INPUT
        told = capsys.readouterr().err
        assert f"Received: {'scale=' if scale else ''}{scale}" in told
        if scale:
            assert f"--sr_net={sr_net}: `scale` must be one of [1, 2, 3, 4, 8]" in told
    assert not list(tmp_path.rglob("checkpoints"))


def test_photographs_too_small_for_the_scale_are_named(photographs, tmp_path, capsys):
    """At x8 a patch of 32 LR pixels takes 256 + 2 * 20 HR pixels."""
    flags = [f"--hr_dir={photographs / 'hr'}", f"--lr_dir={photographs / 'lr'}"]
    flags += [f"--run_dir={tmp_path / 'run'}", "--scale=8", *TINY]
    assert program.call(*of(train), flags) == program.BAD_INPUT
    told = capsys.readouterr().err
    assert "296x296 px" in told and "149x131 px" in told
