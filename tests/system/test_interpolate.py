"""Mixing two SR networks: what is written, what it is worth, what is refused."""

import dataclasses
import re

import numpy as np
import pytest

from pdm_tf import evaluate, interpolate
from pdm_tf.build import build_method
from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.cli import program
from pdm_tf.core.images import write_png
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from pdm_tf.train_config import TrainConfig
from tests.support.weights import shake

EDSR = EDSRConfig(scale=2, filters=4, num_blocks=1)


def bundle(folder, config=EDSR, seed=0, grid=None):
    network = config.build()
    shake(network, seed=seed)
    if seed == 0:  # a sign that a product with 0 would lose
        kernel = network.variables[0].numpy()
        kernel.flat[:2] = -0.0
        network.variables[0].assign(kernel)
    return save_bundle(network, folder, step=5 + seed, grid=grid)


@pytest.fixture
def models(tmp_path):
    return bundle(tmp_path / "a", seed=0), bundle(tmp_path / "b", seed=1)


def mix(a, b, output, *flags):
    argv = [f"--model_a={a}", f"--model_b={b}", f"--output={output}", *flags]
    return program.call(interpolate.SPEC, interpolate.main, argv)


def weights_of(folder):
    return load_bundle(folder).network.get_weights()


def test_ends_are_bit_identical_and_the_middle_is_the_formula(models, tmp_path, capsys):
    assert mix(*models, tmp_path / "out", "--alpha=0,0.25,1") == 0
    told = capsys.readouterr().out
    a, b = map(weights_of, models)
    for alpha, wanted in (("0.0", a), ("1.0", b)):
        folder = tmp_path / "out" / f"alpha_{alpha}"
        assert str(folder) in told
        for x, y in zip(weights_of(folder), wanted, strict=True):
            assert x.tobytes() == y.tobytes()
    for found, x, y in zip(
        weights_of(tmp_path / "out" / "alpha_0.25"), a, b, strict=True
    ):
        np.testing.assert_allclose(found, 0.75 * x + 0.25 * y, rtol=1e-6, atol=1e-7)
        assert np.abs(x - y).max() > 0
    notes = load_bundle(tmp_path / "out" / "alpha_0.25").notes["interpolated"]
    assert notes["alpha"] == 0.25 and (notes["a"]["step"], notes["b"]["step"]) == (5, 6)
    assert notes["b"]["sha256"] == load_bundle(models[1]).sha256


@pytest.mark.parametrize(
    ("grids", "wanted"),
    [(("pixel0", "pixel0"), "pixel0"), (("pixel0", "half_pixel"), None)],
)
def test_what_is_mixed_of_one_grid_is_of_that_grid(tmp_path, grids, wanted):
    a, b = (bundle(tmp_path / str(i), seed=i, grid=g) for i, g in enumerate(grids))
    assert mix(a, b, tmp_path / "out") == 0
    assert load_bundle(tmp_path / "out").grid == wanted


def test_evaluate_and_init_sr_take_it(models, tmp_path):
    rng = np.random.default_rng(0)
    for name, side in (("hr", 40), ("lr", 20)):
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
        write_png(tmp_path / name / "p.png", image)
    mixed = tmp_path / "mixed"
    assert mix(*models, mixed) == 0  # one alpha: the folder itself is the bundle
    argv = [f"--model={mixed}", f"--output={tmp_path / 'report'}", "--metrics=psnr"]
    argv += [f"--{n}_dir={tmp_path / n}" for n in ("hr", "lr")]
    assert program.call(evaluate.SPEC, evaluate.main, argv) == 0
    start = TrainConfig(
        method="supervised", hr_dir="hr", run_dir="run", scale=2, init_sr=str(mixed),
        sr_arg=("filters=4", "num_blocks=1"),
    )  # fmt: skip
    started = build_method(start).networks["sr"].get_weights()
    for x, y in zip(started, weights_of(mixed), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            dataclasses.replace(EDSR, filters=8),
            r"head/kernel \(3, 3, 3, 4\) in EDSR .*, head/kernel \(3, 3, 3, 8\) in",
        ),
        (dataclasses.replace(EDSR, num_blocks=2), r"in EDSR of --model_b"),
        (
            dataclasses.replace(EDSR, residual_scale=0.1),
            "residual_scale=1.0 and residual_scale=0.1",
        ),
        (
            RRDBNetConfig(scale=2, filters=4, growth=2, num_blocks=1),
            "in RRDBNet of --model_b",
        ),
        (
            PatchGANConfig(filters=4, strides=(1, 1)),
            "--model_b must be an SR network. .* role discriminator",
        ),
    ],
    ids=["width", "depth", "setting", "class", "role"],
)
def test_networks_that_do_not_fit_are_refused(
    models, tmp_path, capsys, config, message
):
    """By the first variable that differs; nothing is written."""
    other = bundle(tmp_path / "other", config, seed=2)
    assert mix(models[0], other, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_existing_bundles_stay_without_overwrite(models, tmp_path, capsys):
    out = tmp_path / "out"
    assert mix(*models, out, "--alpha=0") == 0
    before = load_bundle(out).sha256
    assert mix(*models, out, "--alpha=1") == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert load_bundle(out).sha256 == before
    assert mix(*models, out, "--alpha=0,1", "--overwrite") == 2
    assert "which is a bundle" in capsys.readouterr().err
    assert mix(*models, out, "--alpha=1", "--overwrite") == 0
    assert load_bundle(out).sha256 != before


@pytest.mark.parametrize("alpha", ["-0.1", "1.5", "", "0.5,0.5"])
def test_shares_out_of_range_are_refused(models, tmp_path, capsys, alpha):
    assert mix(*models, tmp_path / "out", f"--alpha={alpha}") == 2
    assert "different numbers in [0, 1]" in capsys.readouterr().err
