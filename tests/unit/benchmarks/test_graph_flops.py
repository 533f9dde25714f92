"""The arithmetic of traced functions, against counts by hand."""

import pytest
import tensorflow as tf

from pdm_tf.benchmarks.graph_flops import count


def traced(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    return tf.function(function).get_concrete_function(*specs)


def gradients(function):
    def run(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
        return (y, *tape.gradient(y, [x, kernel]))

    return run


def conv(x, kernel):
    return tf.nn.conv2d(x, kernel, strides=2, padding="VALID")


# 9 x 9 -> 4 x 4 pixels of 7 channels, each from 3 x 3 x 5 inputs; 2 images.
CONV = 2 * (2 * 4 * 4 * 7) * (3 * 3 * 5)
CONV_SHAPES = ([2, 9, 9, 5], [3, 3, 5, 7])


def test_a_convolution_and_both_gradients():
    assert count(traced(conv, *CONV_SHAPES)) == CONV
    assert count(traced(gradients(conv), *CONV_SHAPES)) == 3 * CONV


def test_what_nobody_needs_is_not_counted():
    """The tape records both gradients of a convolution whatever it is asked for."""

    def kernel_only(x, kernel):
        return gradients(conv)(x, kernel)[2]

    assert count(traced(kernel_only, *CONV_SHAPES)) == CONV

    def nothing(x, kernel):
        conv(x, kernel)
        return tf.reduce_sum(x)

    assert count(traced(nothing, *CONV_SHAPES)) == 0


def test_side_effects_are_needed():
    total = tf.Variable(0.0)

    def adds(x, kernel):
        total.assign_add(tf.reduce_sum(conv(x, kernel)))

    assert count(traced(adds, *CONV_SHAPES)) == CONV


def test_depthwise_and_grouped_convolutions():
    def depthwise(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")

    once = 2 * (1 * 4 * 5 * 3 * 2) * 9  # 3 channels, 2 results of each
    shapes = ([1, 4, 5, 3], [3, 3, 3, 2])
    assert count(traced(gradients(depthwise), *shapes)) == 3 * once

    def grouped(x, kernel):
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")

    assert count(traced(grouped, [1, 4, 4, 6], [3, 3, 2, 9])) == 2 * 16 * 9 * 18


def test_products():
    def dense(x, kernel):
        return tf.matmul(x, kernel)

    once = 2 * 3 * 4 * 5
    assert count(traced(dense, [3, 4], [4, 5])) == once
    assert count(traced(gradients(dense), [3, 4], [4, 5])) == 3 * once
    assert count(traced(gradients(dense), [6, 3, 4], [6, 4, 5])) == 18 * once

    def einsum(x, kernel):
        return tf.einsum("bhkc,bhk->bhc", x, kernel)

    assert count(traced(einsum, [2, 3, 4, 5], [2, 3, 4])) == 2 * 2 * 3 * 4 * 5


@pytest.mark.parametrize("jit_compile", [False, True])
def test_functions_inside_count_at_each_call(jit_compile):
    inner = tf.function(conv, jit_compile=jit_compile)

    def twice(x, kernel):
        return inner(x, kernel) + inner(2.0 * x, kernel)

    assert count(traced(twice, *CONV_SHAPES)) == 2 * CONV
    assert count(traced(gradients(inner), *CONV_SHAPES)) == 3 * CONV


def test_unknown_sizes_are_an_error():
    with pytest.raises(ValueError, match="every size is known"):
        count(traced(conv, [None, 9, 9, 5], [3, 3, 5, 7]))
