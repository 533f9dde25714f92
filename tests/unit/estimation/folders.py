"""Folders of real photographs, for the tests of what looks at them."""

import functools

import numpy as np

from pdm_tf import samples
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.samples.blur_track import blur_and_subsample, gaussian_kernel

SIDE = 176


@functools.cache
def sharp(count: int = 12) -> tuple[np.ndarray, ...]:
    """Crops of the sample photographs, [176, 176, 3] uint8, each of its own place."""
    files = list_images(samples.PHOTOS_FOR_HR) + list_images(samples.PHOTOS_FOR_LR)
    crops = []
    for index in range(count):
        rgb_u8 = read_rgb_u8(files[index % len(files)])
        top = (index // len(files)) * 16
        crops.append(rgb_u8[top : top + SIDE, -SIDE:])
    return tuple(crops)


def blurred(rgb_u8: np.ndarray, sigma_px: float, scale: int = 4) -> np.ndarray:
    """An LR photograph by a round Gaussian; with scale 1 an HR one."""
    return blur_and_subsample(rgb_u8, gaussian_kernel(sigma_px, sigma_px, 0.0), scale)


def noisy(rgb_u8: np.ndarray, sigma_255: float, seed: int = 0) -> np.ndarray:
    """White noise added, rounded and clipped."""
    noise = np.random.default_rng(seed).normal(0.0, sigma_255, rgb_u8.shape)
    return np.floor((rgb_u8 + noise).clip(0, 255) + 0.5).astype(np.uint8)


def write_folders(root, hr, lr):
    """Writes hr/00.png, ... and lr/t00.png, ...; returns both folders."""
    for folder, prefix, images in (("hr", "", hr), ("lr", "t", lr)):
        for index, rgb_u8 in enumerate(images):
            write_png(root / folder / f"{prefix}{index:02d}.png", rgb_u8)
    return root / "hr", root / "lr"
