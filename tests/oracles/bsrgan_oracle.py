"""The steps of BSRGAN's degradation on one image, in float64 NumPy and SciPy.

Images are [H, W, 3] in [0, 1]. JPEG is Pillow's.
Everything random is handed in.
"""

import io

import numpy as np
from PIL import Image

from tests.oracles import (
    blur_kernel_oracle,
    filter_oracle,
    gaussian_oracle,
    resample_oracle,
)


def blur(
    image: np.ndarray, sigmas: tuple[float, float], theta: float, size: int
) -> np.ndarray:
    """A Gaussian of size x size taps."""
    taps = blur_kernel_oracle.bell(size, size, sigmas, theta, 1.0, False)
    return filter_oracle.filtered(image, taps)


def resize(image: np.ndarray, height: int, width: int, kind: str) -> np.ndarray:
    """To a size, clipped."""
    return np.clip(resample_oracle.resample(image, height, width, kind), 0, 1)


def resize_by(image: np.ndarray, factor: float, kind: str) -> np.ndarray:
    """By a factor; sides are rounded down."""
    height, width = (max(int(side * factor), 1) for side in image.shape[:2])
    return resize(image, height, width, kind)


def colour_covariance(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """|U' D U| of the published code, for a level of 1."""
    left = np.linalg.svd(uniform.astype(np.float64))[0]
    return np.abs(left.T @ np.diag(weights.astype(np.float64)) @ left)


def decimate(image: np.ndarray, sigma: float, scale: int) -> np.ndarray:
    """A Gaussian of 25 x 25 around each LR pixel's place, and every scale-th pixel."""
    taps = gaussian_oracle.kernel(25, sigma**2 * np.eye(2), (scale - 1) / 2)
    return np.clip(filter_oracle.filtered(image, taps)[::scale, ::scale], 0, 1)


def add_noise(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Noise in units of [0, 1], one field or three."""
    return np.clip(image + noise, 0, 1)


def speckle(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Noise times the image."""
    return np.clip(image + image * noise, 0, 1)


def mixed(covariance: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unit normals [H, W, 3] -> noise with the covariance, by its symmetric root."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T
    noise = np.empty(normals.shape)
    for place in np.ndindex(*normals.shape[:2]):
        noise[place] = root @ normals[place]
    return noise


def poisson_rates(image: np.ndarray, counts: float, grey: bool) -> np.ndarray:
    """Expected counts [H, W, 3 or 1] of the image in 8 bits."""
    levels = rounded(np.clip(image, 0, 1) * 255) / 255
    if grey:
        luma = levels @ np.array([0.2989, 0.587, 0.114])
        levels = (rounded(luma * 255) / 255)[..., None]
    return levels * counts


def poisson(
    image: np.ndarray, counts: float, grey: bool, drawn: np.ndarray
) -> np.ndarray:
    """The image with Poisson noise; `drawn` from `poisson_rates`."""
    noise = (drawn - poisson_rates(image, counts, grey)) / counts
    return np.clip(rounded(np.clip(image, 0, 1) * 255) / 255 + noise, 0, 1)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """libjpeg with halved chroma."""
    levels = rounded(np.clip(image, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file), np.float64) / 255


def rounded(levels: np.ndarray) -> np.ndarray:
    """To whole levels, halves up."""
    return np.floor(levels + 0.5)
