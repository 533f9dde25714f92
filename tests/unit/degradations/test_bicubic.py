"""The bicubic degradation: MATLAB's values, and nothing mirrored at the border."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.degradations import DEGRADATIONS, BicubicDegradation
from tests.oracles import imresize_oracle


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_the_inner_part_of_a_larger_resize(scale):
    """The crop sits in a larger photograph, of which it must be a part."""
    degradation = BicubicDegradation(scale)
    margin = degradation.margin
    assert margin % scale == 0
    photo = np.random.default_rng(scale).random((18 * scale, 16 * scale, 3))
    whole = imresize_oracle.imresize(photo, 1 / scale)
    top, left, height, width = 5, 4, 7, 6  # of the LR patch, in LR pixels
    crop = photo[
        top * scale - margin : (top + height) * scale + margin,
        left * scale - margin : (left + width) * scale + margin,
    ]
    degraded = degradation.apply(tf.constant(crop[None], tf.float32))
    np.testing.assert_allclose(
        degraded.lr[0],
        whole[top : top + height, left : left + width],
        rtol=0,
        atol=3e-6,
    )
    assert degraded.noise is None and degraded.kernel is None
    np.testing.assert_array_equal(degraded.lr, degraded.clean_lr)


def test_needs_no_seed_and_ignores_it():
    hr = np.random.default_rng(0).random((1, 32, 32, 3)).astype(np.float32)
    degradation = DEGRADATIONS["bicubic"](4)
    drawn = degradation.synthesise(hr, tf.constant([1, 2]))
    np.testing.assert_array_equal(degradation.apply(hr).lr, drawn.lr)
