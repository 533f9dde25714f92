"""What a JPEG file says of itself, by files that Pillow wrote."""

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.errors import ImageError
from pdm_tf.core.jpeg_header import read_jpeg_header
from pdm_tf.core.jpeg_tables import CHROMINANCE, LUMINANCE, steps_of
from tests.support.photographs import samples


def written(path, mode="RGB", **settings):
    Image.fromarray(samples(33, 51, 3)).convert(mode).save(path, **settings)
    return read_jpeg_header(path)


@pytest.mark.parametrize(
    ("subsampling", "reduction"), [(0, (1, 1)), (1, (1, 2)), (2, (2, 2))]
)
def test_tables_and_resolution_of_chroma(tmp_path, subsampling, reduction):
    header = written(tmp_path / "a.jpg", quality=30, subsampling=subsampling)
    np.testing.assert_array_equal(header.luma, steps_of(LUMINANCE, 30))
    np.testing.assert_array_equal(header.chroma, steps_of(CHROMINANCE, 30))
    assert header.reduction == reduction and header.offset == (0, 0)


def test_a_grey_file_has_no_chroma(tmp_path):
    header = written(tmp_path / "a.jpg", "L", quality=80)
    np.testing.assert_array_equal(header.luma, steps_of(LUMINANCE, 80))
    assert header.chroma is None and header.reduction is None


def test_progressive_and_mislabelled_files_too(tmp_path):
    path = tmp_path / "a.png"
    header = written(path, format="JPEG", quality=40, progressive=True)
    np.testing.assert_array_equal(header.luma, steps_of(LUMINANCE, 40))


def test_none_for_other_files(tmp_path):
    assert written(tmp_path / "a.png") is None


def test_no_file_and_damage(tmp_path):
    with pytest.raises(ImageError, match="none.jpg"):
        read_jpeg_header(tmp_path / "none.jpg")
    path = tmp_path / "a.jpg"
    written(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_jpeg_header(path)
