"""The tables of Annex K at a quality: libjpeg's to the digit, and the nearest one."""

import io

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.jpeg_tables import CHROMINANCE, LUMINANCE, nearest_quality, steps_of


@pytest.mark.parametrize("quality", [1, 2, 10, 25, 49, 50, 51, 75, 99, 100])
def test_equal_those_of_libjpeg(quality):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    stored = Image.open(file).quantization
    np.testing.assert_array_equal(steps_of(LUMINANCE, quality), stored[0])
    np.testing.assert_array_equal(steps_of(CHROMINANCE, quality), stored[1])


def test_the_nearest_quality_of_each_table_is_its_own():
    found = [nearest_quality(steps_of(LUMINANCE, q)) for q in range(1, 101)]
    assert found == list(range(1, 101))


def test_the_nearest_quality_of_a_table_that_is_none():
    """Twice the steps of 80 are those of 60; even frequencies alone say the same, and
    all with odd ones of step 1 say that it is finer."""
    doubled = 2 * steps_of(LUMINANCE, 80)
    assert abs(nearest_quality(doubled) - 60) <= 1
    among = np.arange(64) % 2 == 0
    doubled[~among] = 1
    assert abs(nearest_quality(doubled, among) - 60) <= 2
    assert nearest_quality(doubled) > nearest_quality(doubled, among)


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_qualities_that_there_are_not(quality):
    with pytest.raises(ValueError, match=f"1 to 100. Received: {quality}"):
        steps_of(LUMINANCE, quality)
