"""Kernels by formula, against one tap at a time; Gaussians: test_awgn_blur.py."""

import numpy as np
import tensorflow as tf

from pdm_tf.ops.blur_kernels import bell_kernels, gaussian_kernels, sinc_kernels
from tests.oracles import blur_kernel_oracle


def column(values, dtype=tf.float32):
    return tf.constant(np.reshape(values, [-1, 1]), dtype)


def test_bells_equal_their_formulas():
    sigmas = np.array([[3.0, 1.2], [0.2, 0.2], [0.8, 2.0], [2.0, 2.0]])
    thetas, betas = [0.4, 0.0, -2.0, 1.0], [0.5, 1.0, 3.9, 1.5]
    plateaus, used = [False, True, True, False], [21, 7, 13, 9]
    found = bell_kernels(
        tf.constant(sigmas, tf.float32),
        column(thetas),
        21,
        beta=column(betas),
        plateau=column(plateaus, tf.bool),
        used_side=column(used, tf.int32),
    ).numpy()
    for i in range(4):
        wanted = blur_kernel_oracle.bell(
            21, used[i], sigmas[i], thetas[i], betas[i], plateaus[i]
        )
        np.testing.assert_allclose(found[i].reshape(21, 21), wanted, rtol=0, atol=1e-6)


def test_a_whole_bell_of_beta_1_is_the_gaussian():
    sigmas, theta = tf.constant([[2.0, 1.0]]), tf.constant([[0.3]])
    np.testing.assert_allclose(
        bell_kernels(sigmas, theta, 15),
        gaussian_kernels(sigmas, theta, 15)[:, 0, 0],
        rtol=0,
        atol=1e-7,
    )


def test_sincs_equal_their_formula():
    cutoffs, used = [np.pi / 5, 2.0, np.pi], [21, 13, 7]
    found = sinc_kernels(column(cutoffs), 21, column(used, tf.int32)).numpy()
    for i in range(3):
        wanted = blur_kernel_oracle.sinc(21, used[i], cutoffs[i])
        np.testing.assert_allclose(found[i].reshape(21, 21), wanted, rtol=0, atol=2e-6)
    assert found.min() < -0.01, "no ringing"
    whole = sinc_kernels(column([2.0]), 9).numpy().reshape(9, 9)
    np.testing.assert_allclose(
        whole, blur_kernel_oracle.sinc(9, 9, 2.0), rtol=0, atol=2e-6
    )
