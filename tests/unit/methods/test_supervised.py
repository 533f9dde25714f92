"""Supervised training on synthetic and real pairs."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.methods import SupervisedConfig
from pdm_tf.methods.base import FULL_BATCH, BatchShard
from tests.oracles import imresize_oracle
from tests.unit.methods import tiny

MARGIN = 2 * tiny.SCALE


def oracle_pair(hr, quantise):
    """LR and HR of a crop with its margin, by the slow resize."""
    lr = imresize_oracle.imresize(hr.astype(np.float64), 1 / tiny.SCALE)
    border = MARGIN // tiny.SCALE
    lr = lr[border:-border, border:-border]
    if quantise:
        lr = np.floor(np.clip(lr, 0, 1) * 255 + 0.5) / 255
    return lr, hr[MARGIN:-MARGIN, MARGIN:-MARGIN]


@pytest.mark.parametrize("quantise", [True, False])
def test_step_on_synthetic_pairs_is_l1_of_bicubic_lr_against_the_inner_hr(quantise):
    method = tiny.supervised(pairs="synthetic", quantise=quantise)
    assert method.patches == {"hr": 16 + 2 * MARGIN}
    batch = tiny.batch_for(method, 0)
    pairs = [oracle_pair(hr, quantise) for hr in batch["hr"].numpy()]
    lr, hr = (
        np.stack(images).astype(np.float32) for images in zip(*pairs, strict=True)
    )
    # One level of 255 may fall the other way in float32.
    wanted = np.mean(np.abs(method.networks["sr"](lr) - hr))
    (scalars,) = tiny.run(method, 1)
    assert scalars["loss/sr_l1"] == pytest.approx(wanted, rel=1e-3)


def test_step_on_real_pairs_takes_them_as_they_are():
    method = tiny.supervised(pairs="real")
    assert method.patches == {"hr": 16, "lr": 8}
    batch = tiny.batch_for(method, 0)
    sr = method.networks["sr"](batch["lr"])
    wanted = np.mean(np.abs(sr - batch["hr"]))
    before = tiny.snapshot(method.networks["sr"])
    (scalars,) = tiny.run(method, 1)
    assert scalars["loss/sr_l1"] == pytest.approx(wanted, rel=1e-5)
    sr = method.networks["sr"]
    assert tiny.moved(sr, before) == tiny.trainable(sr)


def test_shares_of_a_batch_see_what_the_whole_batch_would():
    """A degradation that draws: parts that drew anew would all get the first rows."""
    method = tiny.supervised(degradation="awgn_blur", learning_rate=1e-3)
    rng = np.random.default_rng(0)
    side = method.patches["hr"]
    hr = tf.constant(rng.random((4, side, side, 3)), tf.float32)
    step = tf.constant(5, tf.int64)
    whole = method._pair({"hr": hr}, step, FULL_BATCH).lr
    parts = [
        method._pair(
            {"hr": hr[2 * index : 2 * index + 2]}, step, BatchShard(index, 2)
        ).lr
        for index in range(2)
    ]
    # Convolutions of another batch size may round a value to the next level.
    difference = np.abs(tf.concat(parts, 0) - whole)
    assert difference.max() <= 1.01 / 255 and np.mean(difference > 0) < 1e-3
    assert np.abs(whole[0] - whole[2]).max() > 0.1


def test_learns_on_one_batch():
    method = tiny.supervised(pairs="real", learning_rate=3e-3)
    smooth = tf.image.resize(np.random.default_rng(0).random((2, 4, 4, 3)), [16, 16])
    batch = {
        "hr": tf.cast(smooth, tf.float32),
        "lr": tf.cast(smooth, tf.float32)[:, ::2, ::2],
    }
    step = tf.function(lambda batch, i: tiny.step(method, batch, i), autograph=False)
    losses = [
        float(step(batch, tf.constant(i, tf.int64))["loss/sr_l1"]) for i in range(30)
    ]
    assert losses[-1] < 0.7 * losses[0], losses


def test_same_seed_same_losses():
    assert tiny.run(tiny.supervised(), 3) == tiny.run(tiny.supervised(), 3)


@pytest.mark.parametrize("pairs", ["synthetic", "real"])
def test_previews_deployable_and_phases(pairs):
    method = tiny.supervised(pairs=pairs)
    pictures = method.previews(tiny.batch_for(method), 0)
    assert set(pictures) == {"patches"}
    patches = pictures["patches"]
    assert patches.dtype == np.uint8 and patches.shape[2] == 3 and patches.std() > 1
    assert patches.shape[1] >= 3 * tiny.LR_PATCH * tiny.SCALE
    assert set(method.deployable()) == set(method.ema_networks()) == {"sr"}
    assert method.train_step_for(0) == method.train_step_for(10**6)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(UserError, match="one of synthetic, real. Received: 'both'"):
        SupervisedConfig(pairs="both")
    with pytest.raises(UserError, match="auto, pixel0, half_pixel. Received: 'pixel7'"):
        SupervisedConfig(pairs="real", grid="pixel7")
    with pytest.raises(ValueError, match="`grid` is for pairs=real"):
        SupervisedConfig(grid="pixel0")
