"""A report's pictures are cut from the right place."""

import numpy as np

from pdm_tf.evaluation.regions import compare_region


def test_compared_region_is_cut_from_the_same_place():
    """With an upscaler that repeats pixels: the region is the LR region, enlarged."""
    lr_u8 = np.random.default_rng(0).integers(0, 255, (150, 220, 3)).astype(np.uint8)

    def repeat(image):
        return image.repeat(4, axis=0).repeat(4, axis=1)

    found = compare_region("x", lr_u8, 4, repeat, repeat)
    top, left, height, width = found.place
    part = lr_u8[top : top + height, left : left + width]
    assert (height, width) == (96, 128)
    np.testing.assert_array_equal(found.sr_u8[::4, ::4], part)
    np.testing.assert_array_equal(found.bicubic_u8, found.sr_u8)
