"""Quantisation: the 8-bit grid, its rounding, and what gradients do."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.ops.quantise import (
    quantise_8bit,
    quantise_8bit_unmasked,
    soft_quantise_8bit,
)

BOTH = pytest.mark.parametrize("quantise", [quantise_8bit, quantise_8bit_unmasked])


def gradient_of(function, image):
    image = tf.constant(image, tf.float32)
    upstream = tf.range(1.0, len(image) + 1.0)
    with tf.GradientTape() as tape:
        tape.watch(image)
        total = tf.reduce_sum(function(image) * upstream)
    return tape.gradient(total, image).numpy() / upstream.numpy()


@BOTH
def test_values_are_the_nearest_multiples_of_1_255_clamped(quantise):
    image = np.random.default_rng(0).uniform(-0.3, 1.3, 5000).astype(np.float32)
    levels = quantise(tf.constant(image)).numpy() * np.float64(255)
    np.testing.assert_allclose(levels, np.round(levels), rtol=0, atol=2e-5)
    assert levels.min() == 0 and levels.max() == 255
    inside = (image > 0) & (image < 1)
    assert np.abs(levels - image * np.float64(255))[inside].max() < 0.5 + 2e-5
    assert np.all(levels[image < 0] == 0) and np.all(levels[image > 1] == 255)


@BOTH
def test_halves_are_rounded_up(quantise):
    # n + 0.5 levels, nudged up so that float32 does not decide: to-even would turn
    # the exact halves of even n down.
    halves = (np.arange(0, 254) + 0.5) / 255
    image = tf.constant(np.nextafter(halves.astype(np.float32), np.float32(2)))
    np.testing.assert_array_equal(
        np.round(quantise(image).numpy() * 255), np.arange(1, 255)
    )
    exact = tf.constant([2.5, 4.5, 126.5], tf.float32) / 255.0
    exact_levels = (exact * 255.0).numpy()
    wanted = np.floor(exact_levels + np.float32(0.5))
    np.testing.assert_array_equal(np.round(quantise(exact).numpy() * 255), wanted)
    assert np.any(exact_levels % 1 == 0.5), "no exact half among the samples"


@BOTH
def test_every_8_bit_value_stays(quantise):
    grid = (np.arange(256) / 255).astype(np.float32)
    np.testing.assert_allclose(quantise(grid), grid, rtol=0, atol=1e-7)


def test_masked_gradient_is_1_inside_and_0_where_clamped():
    image = [-0.5, -1e-6, 0.0, 0.2, 0.70001, 1.0, 1.00001, 3.0]
    np.testing.assert_array_equal(
        gradient_of(quantise_8bit, image), [0, 0, 1, 1, 1, 1, 0, 0]
    )


def test_unmasked_gradient_is_1_everywhere():
    image = [-0.5, 0.0, 0.2, 1.0, 3.0]
    np.testing.assert_array_equal(gradient_of(quantise_8bit_unmasked, image), 1.0)


def soft_level(level, terms=5):
    return soft_quantise_8bit(np.float32(level) / 255, terms).numpy() * 255.0


def test_soft_staircase_keeps_levels_and_middles_and_is_odd_around_them():
    levels = np.array([0.0, 3.0, 200.0, 255.0, 7.5, 99.5])
    np.testing.assert_allclose(soft_level(levels), levels, atol=2e-3)
    for centre in (12.0, 40.5):
        d = np.linspace(0.02, 0.48, 24)
        above = soft_level(centre + d) - centre
        below = soft_level(centre - d) - centre
        np.testing.assert_allclose(above, -below, atol=2e-3)


def test_soft_staircase_is_the_fourier_series_of_rounding():
    level = np.linspace(10.0, 14.0, 401)
    series = sum(
        (-1) ** (n + 1) * np.sin(2 * np.pi * n * level) / (np.pi * n)
        for n in range(1, 6)
    )
    np.testing.assert_allclose(soft_level(level), level - series, atol=2e-3)
    # Many terms come to rounding itself, away from the jumps.
    flat = np.abs(level % 1 - 0.5) > 0.1
    many = soft_level(level, terms=60)
    np.testing.assert_allclose(many[flat], np.round(level[flat]), atol=0.03)


def test_soft_staircase_slopes_and_does_not_clamp():
    # By the series: 1 - 2 * (1 - 1 + 1 - 1 + 1) on a level, 1 + 2 * 5 in the middle.
    image = [40.0 / 255, 40.5 / 255]
    np.testing.assert_allclose(
        gradient_of(soft_quantise_8bit, image), [-1.0, 11.0], atol=0.01
    )
    outside = soft_level([-40.0, 300.0])
    np.testing.assert_allclose(outside, [-40.0, 300.0], atol=5e-3)


def test_soft_staircase_is_nearer_to_rounding_than_no_quantisation():
    level = np.random.default_rng(1).uniform(0, 255, 4000)
    error = np.abs(soft_level(level) - np.floor(level + 0.5)).mean()
    assert error < 0.1 < 0.2 < np.abs(level - np.floor(level + 0.5)).mean()
    assert math.isfinite(error)
