"""Whole photographs: windows leave no trace, edges are mirrored as said."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.images import to_u8
from pdm_tf.core.imresize import imresize
from pdm_tf.degradations import (
    AwgnBlurConfig,
    AwgnBlurDegradation,
    BicubicDegradation,
    Degraded,
)
from pdm_tf.degradations.base import Degradation
from pdm_tf.degradations.whole_image import TILE, Stopped, degrade_image
from tests.oracles import blur_oracle
from tests.unit.data.folders import noise
from tests.unit.degradations.networks import tiny_pdm

KINDS = {
    "bicubic": lambda: BicubicDegradation(3),
    "awgn_blur": lambda: AwgnBlurDegradation(2),
    "half_pixel": lambda: AwgnBlurDegradation(4, AwgnBlurConfig(7, grid="half_pixel")),
    "pdm": lambda: tiny_pdm(),
    # 20 px of context, more than one block of 16, and much comes from its end.
    "wide": lambda: tiny_pdm(noise_blocks=2, noise_window=9),
    "spatial": lambda: tiny_pdm(spatial=True),
    "mixed": lambda: tiny_pdm(spatial=True, basis=3),
    "blur": lambda: tiny_pdm(noise_blocks=None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(70, 49), (16, 65), (33, 33)])
def test_windows_equal_one_pass(kind, size):
    """Windows that are displaced, short of context or drawn anew would show."""
    degradation = KINDS[kind]()
    scale = degradation.scale
    hr_u8 = noise(size[0] * scale, size[1] * scale, 5)
    whole = degrade_image(degradation, hr_u8, (1, 2), tile=80)
    cut = degrade_image(degradation, hr_u8, (1, 2), tile=16)
    np.testing.assert_array_equal(cut.lr_u8, whole.lr_u8)
    assert (cut.kernel is None) == (kind in ("bicubic", "spatial", "mixed"))
    if cut.kernel is not None:
        np.testing.assert_array_equal(cut.kernel, whole.kernel)
    if cut.noise_std_255 is not None:
        assert cut.noise_std_255 == pytest.approx(whole.noise_std_255, rel=1e-5)


@pytest.mark.parametrize("kind", ["half_pixel", "blur"])
def test_lr_is_the_kernel_on_the_mirrored_photograph(kind):
    """By the slow blur, from the stored kernel alone."""
    degradation = {
        "blur": KINDS["blur"],
        "half_pixel": lambda: AwgnBlurDegradation(
            4, AwgnBlurConfig(7, noise_max_255=0.0, grid="half_pixel")
        ),
    }[kind]()
    scale = degradation.scale
    hr_u8 = noise(18 * scale, 20 * scale, 6)
    image = degrade_image(degradation, hr_u8, (3, 4), tile=16)
    grid = "half_pixel" if kind == "half_pixel" else "pixel0"
    wanted = blur_oracle.blur(hr_u8 / 255.0, image.kernel, scale, grid, "reflect")
    np.testing.assert_allclose(image.lr_u8, wanted * 255, rtol=0, atol=0.5 + 1e-3)
    assert not image.noise_std_255


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (37, 20)])
def test_bicubic_is_imresize_to_the_last_bit(scale, size):
    hr_u8 = noise(size[0] * scale, size[1] * scale, 7)
    image = degrade_image(BicubicDegradation(scale), hr_u8, (0, 0), tile=16)
    np.testing.assert_array_equal(image.lr_u8, to_u8(imresize(hr_u8 / 255, 1 / scale)))


def test_another_seed_is_another_image():
    degradation = KINDS["pdm"]()
    hr_u8 = noise(40, 40, 8)
    images = [degrade_image(degradation, hr_u8, seed) for seed in [(1, 2), (1, 3)]]
    assert np.abs(images[0].kernel - images[1].kernel).max() > 1e-3
    assert np.mean(images[0].lr_u8 != images[1].lr_u8) > 0.5


class Measured(BicubicDegradation):
    """Remembers how large the windows were that it was given."""

    def apply(self, hr, *latents):
        self.largest = max(getattr(self, "largest", 0), *hr.shape[1:3])
        return super().apply(hr, *latents)


def test_windows_do_not_grow_with_the_photograph():
    degradation = Measured(2)
    for side in (2 * TILE, 2 * TILE + 2, 4 * TILE + 6):
        degrade_image(degradation, np.zeros((side, 64, 3), np.uint8), (0, 0))
    assert degradation.largest == 2 * TILE + 2 * degradation.margin


class Everywhere(Degradation):
    """Subtracts the image's mean: whatever is cut from it changes it."""

    scale, margin, context = 1, 0, None

    def draw(self, batch, height, width, seed):
        return (tf.fill([batch], 40.0),)

    def apply(self, hr, *latents):
        lr = 0.5 + hr - tf.reduce_mean(hr)
        lr = Degraded(lr, lr, None, None)
        return _WithQuality(lr, latents[0])


class _WithQuality:
    def __init__(self, degraded, quality):
        self.lr, self.kernel, self.noise = degraded.lr, degraded.kernel, degraded.noise
        self.quality = quality


def test_whole_image_latents_are_never_cut():
    hr_u8 = noise(40, 50, 9)
    image = degrade_image(Everywhere(), hr_u8, (0, 0), tile=16)
    np.testing.assert_array_equal(
        image.lr_u8, to_u8(0.5 + hr_u8 / 255 - np.mean(hr_u8 / 255))
    )
    assert (image.kernel, image.noise_std_255, image.quality) == (None, None, 40.0)


class Sharpened(BicubicDegradation):
    """With a target of its own: the negative, without the margin."""

    context = 16

    def apply(self, hr, *latents, training=False):
        degraded = super().apply(hr, *latents, training=training)
        inner = hr[:, self.margin : -self.margin, self.margin : -self.margin]
        return degraded._replace(target=1.0 - tf.cast(inner, tf.float32))


def test_targets_of_windows_make_one_image():
    hr_u8 = noise(96, 70, 8)
    image = degrade_image(Sharpened(2), hr_u8, (0, 0), tile=16)
    np.testing.assert_array_equal(image.target_u8, 255 - hr_u8)
    assert degrade_image(BicubicDegradation(2), hr_u8, (0, 0)).target_u8 is None


def test_stops_between_windows():
    asked = []
    with pytest.raises(Stopped):
        degrade_image(
            BicubicDegradation(2),
            noise(80, 40, 1),
            (0, 0),
            tile=16,
            should_stop=lambda: asked.append(1) or len(asked) > 2,
        )
    assert len(asked) == 3


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"scale=2, shape=\(41, 40, 3\)"):
        degrade_image(BicubicDegradation(2), noise(41, 40, 1), (0, 0))
