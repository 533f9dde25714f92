"""PDM-SR with a JPEG module: fakes cut at random phases, gradients, scalars."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.degradations import JPEGModuleConfig
from pdm_tf.methods.base import FULL_BATCH, BatchShard
from pdm_tf.methods.pairs import crop_at_corners
from pdm_tf.methods.steps import step_seed
from tests.unit.methods import tiny


def method(**settings):
    jpeg = JPEGModuleConfig(
        subsampling=settings.pop("subsampling", "444"),
        initial_median=20.0,
        filters=4,
        qualities=settings.pop("qualities", ()),
    )
    return tiny.pdm_sr({"pdm": tiny.pdm(jpeg=jpeg)}, **settings)


def test_cuts_the_same_place_out_of_lr_and_hr():
    rng = np.random.default_rng(0)
    lr = rng.random([2, 12, 13, 3]).astype(np.float32)
    hr = lr.repeat(2, axis=1).repeat(2, axis=2)
    corners = tf.constant([[0, 5], [4, 3]])
    cut_lr = crop_at_corners(tf.constant(lr), corners, 8)
    cut_hr = crop_at_corners(tf.constant(hr), 2 * corners, 16)
    for i, (y, x) in enumerate([(0, 5), (4, 3)]):
        np.testing.assert_array_equal(cut_lr[i], lr[i, y : y + 8, x : x + 8])
    np.testing.assert_array_equal(cut_hr, cut_lr.numpy().repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize(("subsampling", "period"), [("444", 8), ("420", 16)])
def test_hr_patches_have_room_for_all_phases(subsampling, period):
    of = method(subsampling=subsampling)
    assert of.patches == {"hr": 2 * (8 + period) + 4, "real_lr": 8}


def test_fakes_begin_anywhere_on_the_grid_and_are_parts_of_a_compressed_image():
    """Phases cover the period; each fake equals that part of the uncut image; and the
    hr that the SR network is to reach is the part that belongs to it."""
    of = method()
    pdm = of.networks["pdm"]
    seen = set()
    for step in range(40):
        batch = tiny.batch_for(of, step)
        index = tf.constant(step, tf.int64)
        degraded, hr = of._pairs.degrade(batch["hr"], index, FULL_BATCH, training=False)
        assert degraded.lr.shape == (3, 8, 8, 3) and hr.shape == (3, 16, 16, 3)
        inner = batch["hr"][:, 2:-2, 2:-2].numpy()
        for image, patch in zip(inner, hr.numpy(), strict=True):
            seen.add(place_of(patch, image))
        if step == 0:
            whole = uncut(pdm, of, batch, index)
            for lr, larger, patch, image in zip(
                degraded.lr.numpy(), whole.lr.numpy(), hr.numpy(), inner, strict=True
            ):
                y, x = place_of(patch, image)
                np.testing.assert_array_equal(lr, larger[y : y + 8, x : x + 8])
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(8))


def uncut(pdm, of, batch, index):
    seed = step_seed(0, "latents", index)
    return pdm(batch["hr"], *pdm.draw(tiny.BATCH, 16, 16, seed))


def place_of(patch, image):
    return next(
        (y, x)
        for y in range(8)
        for x in range(8)
        if np.array_equal(image[2 * y : 2 * y + 16, 2 * x : 2 * x + 16], patch)
    )


def test_two_shares_make_the_fakes_of_the_whole_batch():
    of = method()
    hr = tf.concat([tiny.batch_for(of)["hr"][:2]] * 2, axis=0)
    index = tf.constant(5, tf.int64)
    whole, whole_hr = of._pairs.degrade(hr, index, FULL_BATCH, training=False)
    for part in range(2):
        rows = slice(2 * part, 2 * part + 2)
        shard = BatchShard(part, 2)
        degraded, cut_hr = of._pairs.degrade(hr[rows], index, shard, training=False)
        np.testing.assert_array_equal(degraded.quality, whole.quality[rows])
        np.testing.assert_array_equal(cut_hr, whole_hr[rows])
        off = np.abs(degraded.lr - whole.lr[rows])
        assert (off > 0).mean() < 0.05  # roundings of the noise's convolutions


@pytest.mark.parametrize("qualities", [(), (20, 35, 0)])
def test_one_step_moves_all_of_the_degradation_and_reports_quality(qualities):
    """The gradient passes JPEG to kernel and noise, and reaches its own variables, of
    which there are none where the qualities are known."""
    of = method(qualities=qualities)
    before = {name: tiny.snapshot(net) for name, net in of.networks.items()}
    (scalars,) = tiny.run(of, 1)
    for name, network in of.networks.items():
        stays = tiny.trainable(network) - tiny.moved(network, before[name])
        assert not stays, f"{name} keeps {stays}"
    assert 1 <= scalars["stat/quality_mean"] <= (max(qualities) if qualities else 100)
    assert scalars["stat/quality_std"] > 0
    assert all(np.isfinite(value) for value in scalars.values())


@pytest.mark.parametrize("fakes", ["8bit", "release"])
def test_the_discriminator_sees_levels_of_8_bit(fakes):
    of = method(fakes=fakes)
    batch, index = tiny.batch_for(of), tf.constant(0, tf.int64)
    degraded, _ = of._pairs.degrade(batch["hr"], index, FULL_BATCH, training=True)
    levels = of._as_seen(degraded).numpy() * 255.0
    np.testing.assert_allclose(levels, np.rint(levels), rtol=0, atol=1e-4)
