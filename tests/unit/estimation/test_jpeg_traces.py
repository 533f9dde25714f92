"""JPEG of photographs: the file's word, else the pixels'; and of a folder of them."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.core.source_estimate import JpegMeasure, JpegPopulation
from pdm_tf.estimation.jpeg_traces import (
    ASSUMED_420,
    OTHER_TABLES,
    jpeg_of_file,
    jpeg_of_pixels,
    jpeg_population,
    measure_jpeg,
)
from pdm_tf.samples import PHOTOS_FOR_HR

PHOTO = next(p for p in list_images(PHOTOS_FOR_HR) if p.stem == "coffee")
SMALL = np.ascontiguousarray(read_rgb_u8(PHOTO)[::4, ::4][:93, :131])
ORIENTATION = 0x0112


def jpeg(path, rgb_u8=SMALL, **settings):
    Image.fromarray(rgb_u8).save(path, "JPEG", **settings)
    return path


@pytest.mark.parametrize(("number", "subsampling"), [(0, "444"), (2, "420")])
@pytest.mark.parametrize("quality", [5, 50, 88, 100])
def test_the_header_says_all(tmp_path, quality, number, subsampling):
    path = jpeg(tmp_path / "a.jpg", quality=quality, subsampling=number)
    wanted = JpegMeasure(quality, subsampling, (0, 0), "header")
    assert jpeg_of_file(path) == wanted == measure_jpeg(path, read_rgb_u8(path))


def test_what_the_header_says_in_other_words(tmp_path):
    """Another resolution of chroma, another encoder's tables, no colours."""
    found = jpeg_of_file(jpeg(tmp_path / "a.jpg", quality=70, subsampling=1))
    assert found.subsampling == "420" and "1 x 2 times smaller" in found.note
    tables = [[3] * 64, [5] * 64]
    found = jpeg_of_file(jpeg(tmp_path / "b.jpg", qtables=tables, subsampling=0))
    assert found.note == OTHER_TABLES and 90 <= found.quality <= 92
    grey = Image.fromarray(SMALL).convert("L")
    grey.save(tmp_path / "c.jpg", quality=40)
    assert jpeg_of_file(tmp_path / "c.jpg") == JpegMeasure(40, "", (0, 0), "header")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_grid_of_photographs_that_are_turned(tmp_path, orientation):
    """The header's offset is that of the comb in what is read, upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = jpeg(tmp_path / "a.jpg", quality=40, exif=exif)
    by_pixels = jpeg_of_pixels(read_rgb_u8(path))
    assert by_pixels == JpegMeasure(40, "420", by_pixels.offset, "comb")
    assert jpeg_of_file(path).offset == by_pixels.offset


def test_pixels_speak_where_the_file_does_not(tmp_path):
    decoded = read_rgb_u8(jpeg(tmp_path / "a.jpg", quality=35, subsampling=0))
    crop = np.ascontiguousarray(decoded[3:, 5:])
    write_png(tmp_path / "b.png", crop)
    assert jpeg_of_file(tmp_path / "b.png") == JpegMeasure()
    found = measure_jpeg(tmp_path / "b.png", crop)
    assert found == JpegMeasure(35, "444", (5, 3), "comb")


def test_chroma_of_a_grey_picture_is_assumed():
    grey = np.repeat(SMALL[..., 1:2], 3, axis=2)
    picture = Image.fromarray(grey).convert("L")
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    found = jpeg_of_pixels(np.asarray(Image.open(file).convert("RGB")))
    assert found == JpegMeasure(60, "420", (0, 0), "comb", ASSUMED_420)


def test_no_traces():
    assert jpeg_of_pixels(SMALL) == JpegMeasure()
    assert jpeg_population([JpegMeasure()] * 3) is None
    assert jpeg_population([]) is None


def test_a_population_counts_those_without_traces():
    found = jpeg_population(
        [
            JpegMeasure(40, "444", source="comb"),
            JpegMeasure(),
            JpegMeasure(30, "", source="header"),
            JpegMeasure(30, "444", source="comb"),
            JpegMeasure(50, "420", source="comb"),
        ]
    )
    assert found == JpegPopulation((0, 30, 30, 40, 50), "444", "comb")
    grey = jpeg_population([JpegMeasure(30, "", source="header")])
    assert grey == JpegPopulation((30,), "420", "header")


def test_needs_no_tensorflow():
    """The check of folders is to start in a second."""
    code = (
        "import pdm_tf.estimation.jpeg_traces, sys; assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
