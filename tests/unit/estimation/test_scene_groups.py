"""Photographs of one scene are found by their pixels."""

import numpy as np
from scipy.ndimage import gaussian_filter

from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.estimation.scene_groups import scene_groups
from pdm_tf.samples import PHOTOS_FOR_HR, PHOTOS_FOR_LR


def reduced(image, sigma, noise_255=0.0, seed=0):
    blurred = gaussian_filter(image.astype(np.float64), (sigma, sigma, 0.0))[::4, ::4]
    blurred += noise_255 * np.random.default_rng(seed).standard_normal(blurred.shape)
    return np.floor(blurred.clip(0.0, 255.0) + 0.5).astype(np.uint8)


def test_one_scene_under_several_blurs_and_noises():
    scenes = [read_rgb_u8(path) for path in list_images(PHOTOS_FOR_LR)]
    photographs = [
        reduced(image, sigma, noise)
        for image in scenes
        for sigma, noise in ((1.2, 0.0), (3.0, 0.0), (2.0, 8.0))
    ]
    want = np.repeat(np.arange(len(scenes)), 3)
    assert np.array_equal(scene_groups(photographs), want)


def test_different_scenes_and_shapes_are_apart():
    scenes = [reduced(read_rgb_u8(path), 2.0) for path in list_images(PHOTOS_FOR_HR)]
    photographs = [*scenes, scenes[0][:, :-4]]
    assert np.array_equal(scene_groups(photographs), np.arange(len(photographs)))


def test_photographs_that_show_nothing_are_no_scene():
    flat = np.full([40, 40, 3], 128, np.uint8)
    assert np.array_equal(scene_groups([flat, flat]), [0, 1])
    assert len(scene_groups([])) == 0
