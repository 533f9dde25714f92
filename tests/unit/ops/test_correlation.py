"""Phases: against slices with a step, and the sum of shifts against its definition."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.ops.correlation import (
    join_kernel,
    split_image,
    split_kernel,
    spread_shifted,
    sum_shifted,
    tap_count,
)


@pytest.mark.parametrize(("side", "stride"), [(5, 1), (3, 4), (5, 2), (9, 3), (21, 4)])
def test_a_phase_is_every_stride_th_pixel(side, stride):
    """All pixels that a window sees, and zeros where the last phases end early."""
    height, width = 3, 4
    used = [stride * (count - 1) + side for count in (height, width)]
    rng = np.random.default_rng(side)
    image = 1 + rng.random((2, used[0] + stride - 1, used[1] + stride, 3))
    phases = split_image(tf.constant(image), height, width, side, stride).numpy()
    seen = image[:, : used[0], : used[1]]
    for u in range(stride):
        for v in range(stride):
            wanted = seen[:, u::stride, v::stride]
            rows, columns = wanted.shape[1:3]
            phase = phases[:, u, v]
            np.testing.assert_array_equal(phase[:, :rows, :columns], wanted)
            assert np.count_nonzero(phase) == wanted.size


@pytest.mark.parametrize(("side", "stride"), [(5, 1), (3, 4), (5, 2), (9, 3), (21, 4)])
def test_a_kernel_is_split_like_an_image_and_joined_again(side, stride):
    kernel = np.random.default_rng(side).random((side, side, 2))
    phases = split_kernel(tf.constant(kernel), stride)
    assert phases.shape == (*[tap_count(side, stride)] * 2, stride, stride, 2)
    for u in range(min(stride, side)):
        for v in range(min(stride, side)):
            wanted = kernel[u::stride, v::stride]
            rows, columns = wanted.shape[:2]
            np.testing.assert_array_equal(phases[:rows, :columns, u, v], wanted)
    np.testing.assert_array_equal(join_kernel(phases, side), kernel)


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_sum_and_spreading_of_shifts(taps):
    """Each by its definition; one is the transpose of the other, also as a gradient."""
    rng = np.random.default_rng(taps)
    height, width, rest = 4, 3, taps - 1
    parts = rng.random((2, taps, taps, height + rest, width + rest, 3))
    image = rng.random((2, height, width, 3))
    summed, spread = np.zeros_like(image), np.zeros_like(parts)
    for a in range(taps):
        for b in range(taps):
            summed += parts[:, a, b, a : a + height, b : b + width]
            spread[:, a, b, a : a + height, b : b + width] = image
    parts, image = tf.constant(parts), tf.constant(image)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([parts, image])
        found_sum, found_spread = sum_shifted(parts), spread_shifted(image, taps)
        by_parts = tf.reduce_sum(found_sum * image)
        by_image = tf.reduce_sum(found_spread * parts)
    np.testing.assert_allclose(found_sum, summed)
    np.testing.assert_array_equal(found_spread, spread)
    np.testing.assert_array_equal(tape.gradient(by_parts, parts), spread)
    np.testing.assert_allclose(tape.gradient(by_image, image), summed)
