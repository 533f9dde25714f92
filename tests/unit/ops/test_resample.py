"""Resizing to any size, against the definitions, and the same in every graph."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.imresize import imresize
from pdm_tf.ops.resample import KINDS, resample
from tests.oracles import resample_oracle

# (height, width): much smaller, a little, equal in one direction, larger, one pixel,
# and more than one block of outputs.
SIZES = [(5, 4), (31, 26), (33, 20), (49, 41), (1, 1), (150, 70)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_definition(kind, size):
    image = np.random.default_rng(1).random((33, 28, 3)).astype(np.float32)
    found = resample(tf.constant(image), *size, kind)
    wanted = resample_oracle.resample(image, *size, kind)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_long_axes_are_made_in_blocks():
    image = np.random.default_rng(2).random((1000, 3, 1)).astype(np.float32)
    for kind in KINDS:
        found = resample(tf.constant(image), 447, 3, kind)
        wanted = resample_oracle.resample(image, 447, 3, kind)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_equals_core_imresize():
    image = np.random.default_rng(3).random((64, 48, 3)).astype(np.float32)
    found = resample(tf.constant(image), 16, 12, "matlab_bicubic")
    np.testing.assert_allclose(found, imresize(image, 0.25), rtol=0, atol=2e-6)


def test_kind_and_size_may_be_tensors():
    """One graph for all, which gives the bytes of one made for the kind."""
    image = tf.constant(np.random.default_rng(4).random((40, 30, 3)), tf.float32)
    for index, kind in enumerate(KINDS):
        found = _any_size(image, tf.constant([19, 37]), tf.constant(index))
        np.testing.assert_array_equal(found, resample(image, 19, 37, kind))
    np.testing.assert_array_equal(resample(image, 40, 30, "bicubic"), image)


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, 3]),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.int32),
    ],
    autograph=False,
)
def _any_size(image, size, kind):
    return resample(image, size[0], size[1], kind)


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="'lanczos'"):
        resample(tf.zeros([4, 4, 3]), 2, 2, "lanczos")
