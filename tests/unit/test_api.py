"""The functions for Python: equal to the programs' parts, and strict about arrays."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import api
from pdm_tf.core.images import to_float, to_u8
from tests.support.tiny_runs import run_folder

RNG = np.random.default_rng(0)
LR_U8 = RNG.integers(0, 256, (9, 11, 3), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "run"
    return folder, run_folder(folder)


@pytest.fixture(scope="module")
def model(run):
    return api.load(run[0])


def test_it_upscales_as_the_network_does(run, model):
    network = run[1]["sr_ema"]
    expected = np.clip(network(to_float(LR_U8)[None]).numpy()[0], 0, 1)
    assert (model.scale, model.grid) == (2, "pixel0")
    from_floats = model.upscale(to_float(LR_U8))
    assert from_floats.dtype == np.float32
    np.testing.assert_allclose(from_floats, expected, atol=2e-6)
    # Away from the border between two levels the levels are certain.
    sure = np.abs(expected * 255 % 1 - 0.5) > 0.01
    from_u8 = model.upscale(LR_U8)
    assert from_u8.dtype == np.uint8
    np.testing.assert_array_equal(from_u8[sure], to_u8(expected)[sure])
    from_u16 = model.upscale(LR_U8.astype(np.uint16) * 257)
    assert from_u16.dtype == np.uint16
    np.testing.assert_allclose(from_u16 / 65535, expected, atol=2e-5)


def test_weights_are_chosen(run):
    raw = api.load(run[0], weights="raw").upscale(to_float(LR_U8))
    expected = np.clip(run[1]["sr"](to_float(LR_U8)[None]).numpy()[0], 0, 1)
    np.testing.assert_allclose(raw, expected, atol=2e-6)


@pytest.mark.parametrize(
    "picture, received",
    [
        (LR_U8.astype(np.float32), "float32 from 0 to 255"),
        (LR_U8.astype(np.int64), "the type int64"),
        (LR_U8 > 3, "the type bool"),
        (LR_U8[..., 0], r"the shape \(9, 11\)"),
        (np.dstack([LR_U8, LR_U8[..., :1]]), r"the shape \(9, 11, 4\)"),
        (LR_U8[None], r"the shape \(1, 9, 11, 3\)"),
        (LR_U8[:0], r"the shape \(0, 11, 3\)"),
        (np.full((4, 4, 3), np.nan), "from nan to nan"),
        (LR_U8.tolist(), "list"),
    ],
)
def test_what_is_no_picture_is_refused(model, picture, received):
    with pytest.raises(
        api.UserError, match=f"must be a picture.* Received.*{received}"
    ):
        model.upscale(picture)


def test_the_network_itself_refuses_integers(model):
    for call in (model.network, lambda x: model.network.predict(x, verbose=0)):
        with pytest.raises(ValueError, match="floating point in \\[0, 1\\].*uint8"):
            call(LR_U8[None])


def test_habits_of_keras_hold(run, model, tmp_path):
    batch = np.stack([to_float(LR_U8)] * 3)
    predicted = model.network.predict(batch, batch_size=2, verbose=0)
    assert predicted.shape == (3, 18, 22, 3)
    model.network.save(tmp_path / "sr.keras")
    # Another process, which has loaded nothing of ours but the classes.
    code = (
        "import sys, numpy as np, keras, pdm_tf.bundles.bundle\n"
        "network = keras.saving.load_model(sys.argv[1])\n"
        "np.save(sys.argv[2], network.predict(np.load(sys.argv[3]), verbose=0))\n"
    )
    np.save(tmp_path / "lr.npy", batch)
    files = [tmp_path / name for name in ("sr.keras", "sr.npy", "lr.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True, timeout=120)
    np.testing.assert_allclose(np.load(files[1]), predicted, atol=2e-6)
    further = keras.saving.load_model(files[0])
    further.compile("sgd", "mae")
    further.fit(batch, np.ones_like(predicted), epochs=1, verbose=0)
    assert further.predict(batch, verbose=0).mean() > predicted.mean()


def test_a_training_loop_of_ones_own_gets_gradients(run):
    degradation = api.load_degradation(run[0]).degradation
    side = degradation.hr_side(6)
    hr = tf.random.stateless_uniform([2, side, side, 3], [0, 1])
    with tf.GradientTape() as tape:
        made = degradation.synthesise(hr, seed=[1, 2])
        loss = tf.reduce_mean(made.lr**2)
    assert made.lr.shape == (2, 6, 6, 3)
    found = tape.gradient(loss, degradation.kernel_module.trainable_variables)
    assert any(np.abs(one).max() > 0 for one in found)


def test_it_degrades_by_seed(run):
    degrader = api.load_degradation(run[0])
    side = 8 * degrader.scale + 1  # a row and a column too many
    sharp = RNG.integers(0, 256, (side, side, 3), np.uint8)
    made = degrader.degrade(sharp, seed=3)
    assert made.lr.shape == (8, 8, 3) and made.lr.dtype == np.uint8
    np.testing.assert_array_equal(made.hr, sharp[:-1, :-1])
    assert made.kernel.sum() == pytest.approx(1, abs=1e-5)
    again, other = degrader.degrade(to_float(sharp), 3), degrader.degrade(sharp, 4)
    np.testing.assert_array_equal(again.lr, made.lr)
    assert np.abs(other.kernel - made.kernel).max() > 0
    kernels = degrader.sample_kernels(5, seed=1)
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1, atol=1e-5)


def test_predefined_degradations_and_refusals(run):
    blur = api.load_degradation(
        "awgn_blur", settings={"noise_max_255": 0, "kernel_size": 9}, scale=2
    )
    flat = np.full((40, 40, 3), 77, np.uint8)
    assert np.unique(blur.degrade(flat).lr).tolist() == [77]
    with pytest.raises(api.UserError, match="sides of at least 9 pixels.*8, 8, 3"):
        blur.degrade(flat[:8, :8])
    with pytest.raises(api.UserError, match="0 to 2\\*\\*31 - 1. Received: -1"):
        blur.degrade(flat, seed=-1)
    with pytest.raises(api.UserError, match="no_such"):
        api.load_degradation("awgn_blur", settings={"no_such": 1})
    with pytest.raises(api.UserError, match="must be a super-resolution network"):
        api.load(run[0] / "bundles" / "pdm")


def test_scores(model):
    hr = model.upscale(LR_U8)
    worse = np.where(hr < 250, hr + 5, hr - 5).astype(np.uint8)
    assert api.score(worse, hr, ["psnr"]) == {
        "psnr": pytest.approx(20 * np.log10(255 / 5))
    }
    result = api.evaluate(model, [(hr, LR_U8), (worse, LR_U8)], ["psnr"], crop_border=0)
    assert result.rows[0].scores.values["psnr"] == np.inf
    assert result.rows[1].scores.values["psnr"] == pytest.approx(20 * np.log10(51))
    assert "psnr" in result.baseline_mean
    with pytest.raises(api.UserError, match="at least one pair"):
        api.evaluate(model, [])


def test_programs_take_flags_as_keywords(tmp_path):
    arguments = api._arguments(
        {
            "steps": 5,
            "noise": False,
            "sr_arg": {"filters": 8, "res_scale": 0.5},
            "pdm_arg": ("a=1", "b=2"),
            "lr_milestones": [3, 4],
            "flagfile": "camera",
        }
    )
    assert arguments == [
        "--flagfile=camera",
        "--steps=5",
        "--nonoise",
        "--sr_arg=filters=8",
        "--sr_arg=res_scale=0.5",
        "--pdm_arg=a=1",
        "--pdm_arg=b=2",
        "--lr_milestones=3,4",
    ]
    with pytest.raises(api.UserError, match="Did you mean --hr_dir"):
        api.train(tmp_path / "run", hr_dirr="x")
    with pytest.raises(api.UserError, match="check_only"):
        api.estimate(tmp_path / "estimate", check_only=True)
    assert list(tmp_path.iterdir()) == []


def test_importing_it_loads_no_tensorflow():
    code = (
        "import sys, pdm_tf.api; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
