"""The comb of JPEG in pixels: exact where there is one, silent where there is none."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.jpeg_tables import nearest_quality
from pdm_tf.estimation.jpeg_comb import Comb, find_comb, find_subsampling
from pdm_tf.samples import PHOTOS_FOR_HR

PILLOW = {"444": 0, "420": 2}


def photographs():
    """Means over 3 x 3 pixels, on which the files' own JPEG has left no comb."""
    found = []
    for path in list_images(PHOTOS_FOR_HR)[:4]:
        rgb_u8 = read_rgb_u8(path)
        rows, columns = (side // 3 for side in rgb_u8.shape[:2])
        cells = rgb_u8[: 3 * rows, : 3 * columns].reshape(rows, 3, columns, 3, 3)
        found.append(np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)[:96, :128])
    return found


PHOTOS = photographs()


def stored(rgb_u8, quality, subsampling="420"):
    file = io.BytesIO()
    picture = Image.fromarray(rgb_u8)
    picture.save(file, "JPEG", quality=quality, subsampling=PILLOW[subsampling])
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize("quality", [10, 20, 35, 50, 75, 90, 95])
def test_quality_and_chroma_are_exact(quality, subsampling):
    for rgb_u8 in PHOTOS:
        decoded = stored(rgb_u8, quality, subsampling)
        found = find_comb(decoded)
        assert found[:2] == (quality, (0, 0)) and found.score > 15
        assert found.is_exact
        is_grey = np.all(rgb_u8 == rgb_u8[..., :1])
        chroma = find_subsampling(decoded, found)
        assert chroma == ("" if is_grey else subsampling)


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_grids_that_begin_elsewhere(subsampling):
    """A crop by (top, left) pixels begins its blocks at 8 - top and 8 - left."""
    decoded = stored(PHOTOS[0], 45, subsampling)
    for top, left in [(0, 3), (5, 8), (6, 6), (7, 1), (11, 14)]:
        crop = decoded[top:, left:]
        found = find_comb(crop)
        assert found.quality == 45
        assert found.offset == (-top % 8, -left % 8)
        assert find_subsampling(crop, found) == subsampling


def test_tables_of_another_encoder():
    """Photoshop's, which are no quality's: the nearest one, as from the header."""
    preset = JpegImagePlugin.presets["web_high"]
    file = io.BytesIO()
    picture = Image.fromarray(PHOTOS[0])
    picture.save(file, "JPEG", qtables=preset["quantization"], subsampling=0)
    picture = Image.open(file)
    crop = np.asarray(picture)[2:, 3:]
    found = find_comb(crop)
    wanted = nearest_quality(np.array(picture.quantization[0]))
    assert abs(found.quality - wanted) <= 1 and found.offset == (6, 5)
    assert not found.is_exact
    assert find_subsampling(crop, found) == "444"


def test_turned_photographs():
    """Turned by a quarter their tables are transposed."""
    decoded = stored(PHOTOS[1], 30)[:93]
    found = find_comb(np.ascontiguousarray(np.rot90(decoded)))
    assert found[:2] == (30, (0, 0))
    assert find_comb(decoded[::-1])[:2] == (30, (93 % 8, 0))


def test_of_two_qualities_on_one_grid_the_one_that_left_its_mark():
    """A finer table after a coarse one leaves the coarse comb, or its own."""
    decoded = stored(stored(PHOTOS[0], 30), 95)
    assert find_comb(decoded).quality == 30
    assert find_comb(stored(stored(PHOTOS[0], 90), 40)).quality == 40


def test_the_middle_of_a_large_photograph_keeps_its_grid():
    large = np.tile(PHOTOS[0], [12, 9, 1])[:1100, :1100]
    large = (large + np.random.default_rng(0).normal(0, 2, large.shape)).clip(1, 254)
    decoded = stored(large.astype(np.uint8), 60)[3:, 5:]
    found = find_comb(decoded)
    assert found[:2] == (60, (5, 3))
    assert find_subsampling(decoded, found) == "420"


def test_silent_on_what_was_never_compressed():
    for rgb_u8 in PHOTOS:
        assert find_comb(rgb_u8) == Comb()
        noisy = rgb_u8 + np.random.default_rng(1).normal(0, 3, rgb_u8.shape)
        assert find_comb(noisy.round().clip(0, 255).astype(np.uint8)) == Comb()


def test_silent_after_resizing():
    picture = Image.fromarray(stored(PHOTOS[0], 40))
    smaller = picture.resize((100, 75), Image.Resampling.BICUBIC)
    assert find_comb(np.asarray(smaller)) == Comb()


def drawn(seed):
    """Pictures without a grain, whose blocks repeat or nearly do."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96]
    down, across = random.normal(size=2)
    ramp = 128 + down * (y - 48) + across * (x - 48)
    yield ramp
    yield np.rint(ramp / 16) * 16
    yield 128 + 60 * np.sin((down * y + across * x) / 3)
    yield 30 + 190 * random.integers(0, 2, ramp.shape)
    yield np.rint((ramp + 10 * random.normal(size=ramp.shape)) / 16) * 16
    yield 60 + 100 * ((x // (3 + seed) + y // (5 + seed)) % 2)
    yield np.tile(random.integers(20, 235, (8, 8)), (12, 12))
    yield np.tile(random.integers(20, 235, (11, 7)), (9, 14))[:96, :96]
    yield np.kron(random.integers(20, 235, (24, 24)), np.ones([4, 4]))
    yield np.full([96, 96], 100 + seed)


@pytest.mark.parametrize("seed", range(3))
def test_silent_on_what_was_drawn(seed):
    for levels in drawn(seed):
        grey = np.rint(levels).clip(1, 254).astype(np.uint8)
        assert find_comb(np.repeat(grey[..., None], 3, axis=2)) == Comb()


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (15, 200), (16, 16)])
def test_too_little_to_see(size):
    assert find_comb(stored(PHOTOS[0], 40)[: size[0], : size[1]]) == Comb()


def test_clipped_photographs():
    """Blocks with clipped pixels do not count, and where all are, nothing is found."""
    bright = (PHOTOS[0].astype(int) * 2).clip(0, 255).astype(np.uint8)
    assert find_comb(stored(bright, 40)).quality == 40
    assert find_comb(np.full([64, 64, 3], 255, np.uint8)) == Comb()
