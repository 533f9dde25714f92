"""Differentiable JPEG: a real codec's pixels, whatever the size; its invariants."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.jpeg_tables import CHROMINANCE, LUMINANCE, SUBSAMPLINGS
from pdm_tf.ops import jpeg as jpeg_ops
from pdm_tf.ops.jpeg import grid_period, jpeg, quantisation_table
from pdm_tf.samples import PHOTOS_FOR_HR
from tests.oracles import jpeg_oracle

PHOTOS = sorted(list_images(PHOTOS_FOR_HR))
PILLOW = {"444": 0, "420": 2}


def crop(height, width, index=0, step=1):
    """A crop of a photograph; `step` keeps every step-th pixel, for more detail."""
    rgb_u8 = read_rgb_u8(PHOTOS[index])[::step, ::step]
    return np.ascontiguousarray(rgb_u8[:height, :width])


def by_pillow(rgb_u8, quality, subsampling):
    file = io.BytesIO()
    picture = Image.fromarray(rgb_u8)
    picture.save(file, "JPEG", quality=quality, subsampling=PILLOW[subsampling])
    return np.asarray(Image.open(file))


def ours(images_u8, qualities, subsampling):
    image = tf.constant(np.asarray(images_u8), tf.float32) / 255.0
    levels = jpeg(image, tf.constant(qualities, tf.float32), subsampling=subsampling)
    levels = levels.numpy() * 255.0
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    return np.rint(levels).astype(np.uint8)


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(96, 64), (61, 83), (50, 41), (33, 17)])
def test_equals_a_real_codec(size, subsampling):
    """Nearly bit for bit: float32 sums may round a few pixels to the next level.

    Seen to catch exact cosines in the place of libjpeg's factors (0.98 equal), and box
    instead of triangle upsampling of chroma.
    """
    qualities = [10, 20, 35, 50, 65, 75, 85, 90, 95]
    images = [crop(*size, index % len(PHOTOS), 2) for index in range(len(qualities))]
    found = ours(images, qualities, subsampling)
    for image, quality, result in zip(images, qualities, found, strict=True):
        wanted = by_pillow(image, quality, subsampling)
        off = difference(result, wanted)
        assert off.max() <= 1 and (off > 0).mean() < 5e-4, (quality, off.max())


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_equals_a_real_codec_on_whole_photographs(shared_data, subsampling):
    """321 x 481 and 481 x 321."""
    for index, path in enumerate(sorted((shared_data / "hr").glob("*.jpg"))[:4]):
        rgb_u8 = read_rgb_u8(path)
        for quality in (10, 40, 75, 95):
            (found,) = ours(rgb_u8[None], [quality], subsampling)
            off = difference(found, by_pillow(rgb_u8, quality, subsampling))
            assert off.max() <= 2 and (off > 0).mean() < 5e-4, (index, quality)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_equals_the_standard_in_numpy(subsampling):
    """Without Pillow: only coefficients near a rounding border may differ."""
    image = crop(27, 38, step=2)
    for quality in (10, 50, 90):
        (found,) = ours(image[None], [quality], subsampling)
        off = difference(found, jpeg_oracle.jpeg(image, quality, subsampling))
        assert (off > 0).mean() < 0.1 and off.mean() < 0.12, (quality, off.mean())


def test_tables_are_those_of_libjpeg_at_every_quality():
    """Pillow reports the tables of a file; integer division below 50 included."""
    qualities = np.arange(1, 101)
    tables = [
        quantisation_table(standard, tf.constant(qualities, tf.float32)).numpy()
        for standard in (LUMINANCE, CHROMINANCE)
    ]
    for index, quality in enumerate(qualities):
        file = io.BytesIO()
        Image.fromarray(crop(8, 8)).save(file, "JPEG", quality=int(quality))
        header = Image.open(file).quantization
        for which, text in enumerate((jpeg_oracle.K1, jpeg_oracle.K2)):
            wanted = jpeg_oracle.table(text, int(quality)).ravel()
            np.testing.assert_array_equal(tables[which][index], wanted)
            np.testing.assert_array_equal(header[which], wanted)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_each_image_has_its_own_quality(subsampling):
    image = crop(24, 24)
    together = ours([image, image], [15, 80], subsampling)
    for index, quality in enumerate((15, 80)):
        alone = ours([image], [quality], subsampling)[0]
        np.testing.assert_array_equal(together[index], alone)
    assert difference(*together).max() > 10


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_grey_stays_grey_and_flat_stays_flat(subsampling):
    grey = crop(40, 40)[..., 1:2].repeat(3, axis=-1)
    (found,) = ours(grey[None], [30], subsampling)
    np.testing.assert_array_equal(found[..., :1].repeat(3, axis=-1), found)
    flat = np.full([1, 21, 19, 3], 128, np.uint8)
    np.testing.assert_array_equal(ours(flat, [1], subsampling), flat)


def test_quality_100_is_nearly_the_identity():
    """All steps are 1; what is left is the 8-bit rounding of YCbCr."""
    image = crop(64, 64, step=2)
    off = difference(ours(image[None], [100], "444")[0], image)
    assert off.max() <= 3 and off.mean() < 0.6


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_a_higher_quality_is_nearer_to_the_image(subsampling):
    image = crop(64, 64, step=2)
    qualities = [5, 15, 30, 50, 70, 85, 95, 100]
    found = ours([image] * len(qualities), qualities, subsampling)
    errors = [np.square(difference(result, image)).mean() for result in found]
    assert all(a > b for a, b in zip(errors, errors[1:], strict=False)), errors


def test_input_is_rounded_to_8_bit_first():
    image = tf.constant(crop(16, 16)[None], tf.float32) / 255.0
    shifted = image + 0.3 / 255.0
    for quality in (100.0, 40.0):
        np.testing.assert_array_equal(
            jpeg(shifted, tf.constant([quality])), jpeg(image, tf.constant([quality]))
        )


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_one_graph_serves_all_sizes(subsampling):
    """And equals the eager call; size and batch unknown when traced."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3]),
            tf.TensorSpec([None]),
        ],
        autograph=False,
    )
    def compiled(image, quality):
        return jpeg(image, quality, subsampling=subsampling)

    for batch, height, width in [(1, 8, 8), (3, 5, 22), (2, 31, 16)]:
        image = tf.constant(crop(height, width)[None] / 255.0, tf.float32)
        image = tf.repeat(image, batch, axis=0)
        quality = tf.constant(np.linspace(20, 90, batch), tf.float32)
        wanted = jpeg(image, quality, subsampling=subsampling)
        # A graph divides by 255 as a product: the same levels, an ulp apart.
        np.testing.assert_allclose(compiled(image, quality), wanted, rtol=0, atol=1e-7)


def test_the_grid_repeats_after_its_period():
    """A crop at a multiple of the period, away from the border, is coded alike."""
    for subsampling in SUBSAMPLINGS:
        period = grid_period(subsampling)
        image = crop(80, 80, step=2)
        whole = ours(image[None], [30], subsampling)[0]
        for shift, same in [(period, True), (period // 2, False)]:
            part = ours(image[None, shift:, shift:], [30], subsampling)[0]
            inner = slice(16, 48)
            off = difference(part[inner, inner], whole[shift:, shift:][inner, inner])
            assert (off.max() == 0) == same, (subsampling, shift)


def half_away(x):
    return tf.sign(x) * tf.floor(tf.abs(x) + 0.5)


@tf.custom_gradient
def straight_rounding(x):
    """Slope 1."""
    return half_away(x), lambda upstream: upstream


@tf.custom_gradient
def cubic_rounding(x):
    """Slope 3 (x - round(x))^2, as Shin and Song's (NIPS 2017 workshop)."""
    rounded = half_away(x)
    return rounded, lambda upstream: upstream * 3.0 * tf.square(x - rounded)


def detail(images):
    """Mean squared Laplacian."""
    inner = 4 * images[:, 1:-1, 1:-1]
    inner -= images[:, :-2, 1:-1] + images[:, 2:, 1:-1]
    return tf.reduce_mean(tf.square(inner - images[:, 1:-1, :-2] - images[:, 1:-1, 2:]))


def patches():
    """[48, 32, 32, 3], photographs at a quarter of their size."""
    found = []
    for path in PHOTOS:
        small = read_rgb_u8(path)[::2, ::2].astype(np.float32) / 255.0
        small = (small[:-1, :-1] + small[1:, :-1] + small[:-1, 1:] + small[1:, 1:]) / 4
        for y in range(0, small.shape[0] - 32, 40):
            for x in range(0, small.shape[1] - 32, 40):
                found.append(small[y : y + 32, x : x + 32])
    step = len(found) // 48
    return tf.constant(np.stack(found[::step][:48]))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_gradient_in_quality_follows_the_image(subsampling, monkeypatch):
    """More quality, more detail: sign and size of the difference quotient over many
    patches. Straight-through and cubic rounding have the wrong sign."""
    images = patches()

    def at(quality):
        qualities = tf.fill([48], quality)
        return detail(jpeg(images, qualities, subsampling=subsampling))

    def slope():
        slopes = []
        for quality in (54.0, 57.0, 60.0, 63.0, 66.0):
            quality = tf.constant(quality)
            with tf.GradientTape() as tape:
                tape.watch(quality)
                value = at(quality)
            slopes.append(float(tape.gradient(value, quality)))
        return np.mean(slopes)

    true = float(at(68.0) - at(52.0)) / 16.0
    assert true > 0
    assert 0.3 * true < slope() < 2.5 * true
    for other in (straight_rounding, cubic_rounding):
        monkeypatch.setattr(jpeg_ops, "round_half_away", other)
        assert slope() < 0


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_gradient_in_the_image_follows_the_contrast(subsampling):
    """Of detail, by a factor on the image's contrast, against the difference."""
    images = patches()
    quality = tf.fill([48], 60.0)

    def at(contrast):
        scaled = 0.5 + contrast * (images - 0.5)
        return detail(jpeg(scaled, quality, subsampling=subsampling))

    contrast = tf.constant(0.8)
    with tf.GradientTape() as tape:
        tape.watch(contrast)
        value = at(contrast)
    true = float(at(0.85) - at(0.75)) / 0.1
    assert 0.5 * true < float(tape.gradient(value, contrast)) < 1.5 * true


def test_wrong_requests_are_refused():
    image, quality = tf.zeros([1, 8, 8, 3]), tf.constant([50.0])
    with pytest.raises(ValueError, match="444, 420. Received: '422'"):
        jpeg(image, quality, subsampling="422")
    with pytest.raises(ValueError, match=r"\[B, H, W, 3\]. Received: .*\(8, 8, 3\)"):
        jpeg(image[0], quality)
