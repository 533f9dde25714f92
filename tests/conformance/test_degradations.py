"""The contract of every degradation: the predefined ones, and those that are networks.

A new line in `DEGRADATIONS` is tested by itself.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.predefined import ABOUT
from pdm_tf.degradations import (
    DEGRADATIONS,
    BatchShard,
    BsrganConfig,
    BsrganPlusConfig,
    RealESRGANConfig,
)
from tests.support.predefined import example
from tests.unit.degradations.networks import tiny_pdm

SEED = tf.constant([3, 4])
MAKERS = {
    **{name: functools.partial(example, name, 2) for name in DEGRADATIONS},
    "pdm": tiny_pdm,
    "mirroring pdm": lambda: tiny_pdm(border="reflect"),
    "spatial pdm": lambda: tiny_pdm(spatial=True),
}
# Chains that round, compress and add noise on the way, with as little of it as can be
# set, and resizing that leaves the middle of a photograph to itself.
QUIET_CHAINS = {
    "real_esrgan": RealESRGANConfig(
        sharpen=False,
        noise_255=(0.0, 0.0),
        noise2_255=(0.0, 0.0),
        poisson=(0.0, 0.0),
        poisson2=(0.0, 0.0),
        quality=(100, 100),
        quality2=(100, 100),
        resize=(0.7, 1.5),
        resize2=(0.7, 1.2),
    ),
    "bsrgan": BsrganConfig(
        noise_probability=0.0, jpeg_probability=0.0, final_jpeg=False
    ),
    "bsrgan_plus": BsrganPlusConfig(
        noise_probability=0.0,
        poisson_probability=0.0,
        speckle_probability=0.0,
        jpeg_probability=0.0,
        final_jpeg=False,
    ),
}


def crops(degradation, count, lr_side=12):
    side = degradation.hr_side(lr_side)
    rng = np.random.default_rng(1)
    return tf.constant(rng.random((count, side, side, 3)), tf.float32)


def mirrored(degradation, hr):
    """Crops with the margin that `apply` takes off."""
    missing = degradation.margin - degradation.crop_margin
    pad = [missing, missing]
    return tf.pad(hr, [[0, 0], pad, pad, [0, 0]], mode=degradation.edge)


@pytest.fixture(params=MAKERS)
def degradation(request):
    return MAKERS[request.param]()


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_help_says_what_it_does(name):
    """Help is read without TensorFlow, so the words are in a place of their own."""
    assert ABOUT.get(name), f"pdm_tf/core/predefined.py has no line for {name}"


def test_synthesised_crops_have_the_side_asked_for(degradation):
    hr = crops(degradation, 2)
    assert degradation.lr_shape(hr) == (2, 12, 12)
    degraded = degradation.synthesise(hr, SEED)
    assert degraded.lr.shape == degraded.clean_lr.shape == (2, 12, 12, 3)
    assert degraded.lr.dtype == tf.float32


def test_drawing_is_apart_from_applying_and_images_are_apart(degradation):
    """The seed alone decides, and each image of a batch has its own latents."""
    hr = crops(degradation, 3)
    assert degradation.config_class().__class__ is degradation.config_class
    degraded = degradation.synthesise(hr, SEED)
    np.testing.assert_array_equal(degradation.synthesise(hr, SEED).lr, degraded.lr)
    latents = degradation.draw(3, 12, 12, SEED)
    hr = mirrored(degradation, hr)
    np.testing.assert_array_equal(degradation.apply(hr, *latents).lr, degraded.lr)
    row = [None if part is None else part[1:2] for part in latents]
    # Convolutions of another batch size round differently.
    np.testing.assert_allclose(
        degradation.apply(hr[1:2], *row).lr, degraded.lr[1:2], rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("name", [n for n in DEGRADATIONS if n not in QUIET_CHAINS])
@pytest.mark.parametrize("scale", [2, 3])
def test_pixels_lie_on_the_grid_that_it_names(name, scale):
    """On a ramp, whose values are places; training on pairs relies on it."""
    degradation = example(name, scale)
    if degradation.grid is None:
        pytest.skip("it says that they lie at neither place")
    ramp = tf.range(degradation.hr_side(8), dtype=tf.float32)
    hr = tf.tile(ramp[None, None, :, None], [1, len(ramp), 1, 3]) / 100.0
    clean_lr = degradation.synthesise(hr, SEED).clean_lr
    first = {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}[degradation.grid]
    places = degradation.crop_margin + first + scale * np.arange(8)
    np.testing.assert_allclose(100.0 * clean_lr[0, 4, :, 0], places, atol=0.02)


@pytest.mark.parametrize("name", QUIET_CHAINS)
@pytest.mark.parametrize("scale", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_chains_keep_pixels_on_the_grid_on_average(name, scale):
    """Rounding to 8 bit moves a value by up to half a pixel of this ramp."""
    degradation = DEGRADATIONS[name](scale, QUIET_CHAINS[name])
    length = degradation.hr_side(96)
    ramp = tf.range(length, dtype=tf.float32)
    hr = tf.tile(ramp[None, None, :, None], [16, length, 1, 3]) / length
    found = length * degradation.synthesise(hr, SEED).clean_lr
    first = {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}[degradation.grid]
    middle = slice(40, 56)
    places = degradation.crop_margin + first + scale * np.arange(96)[middle]
    off = found[:, middle, middle].numpy().mean(axis=-1) - places
    # The two grids differ by (scale - 1) / 2 pixels.
    assert abs(off.mean()) < 0.1, off.mean()
    assert np.abs(off.mean(axis=(1, 2))).max() < 0.3, off.mean(axis=(1, 2))


def test_a_target_is_announced_and_can_be_left_out(degradation):
    """`mixed` relies on both; a part's own target would contradict the others'."""
    hr = crops(degradation, 1)
    degraded = degradation.synthesise(hr, SEED)
    assert (degraded.target is not None) == degradation.has_target
    plain = degradation.without_target()
    assert not plain.has_target and plain.synthesise(hr, SEED).target is None


def test_shards_of_a_batch_are_its_rows(degradation):
    """So that several devices degrade as one does."""
    hr = crops(degradation, 4)
    whole = degradation.synthesise(hr, SEED).lr
    for index in range(2):
        rows = slice(2 * index, 2 * index + 2)
        part = degradation.synthesise(hr[rows], SEED, BatchShard(index, 2)).lr
        np.testing.assert_allclose(part, whole[rows], atol=2e-6)


def test_a_graph_for_any_batch_gives_the_same(degradation):
    side = degradation.hr_side(12)
    signature = [
        tf.TensorSpec([None, side, side, 3], tf.float32),
        tf.TensorSpec([2], tf.int32),
    ]
    synthesise = tf.function(
        lambda hr, seed: degradation.synthesise(hr, seed).lr,
        input_signature=signature,
        autograph=False,
    )
    hr = crops(degradation, 2)
    wanted = degradation.synthesise(hr, SEED).lr
    np.testing.assert_allclose(synthesise(hr, SEED), wanted, atol=1e-5)


def test_crops_without_margin_are_mirrored_as_the_network_mirrors():
    """A network trained with border="reflect" makes the same of crops bit for bit."""
    pdm = tiny_pdm(border="reflect")
    hr = crops(pdm, 3)
    assert (pdm.margin, pdm.crop_margin, hr.shape[1]) == (2, 0, 24)
    wanted = pdm(hr, *pdm.draw(3, 12, 12, SEED), training=False)
    np.testing.assert_array_equal(pdm.synthesise(hr, SEED).lr, wanted.lr)
