"""Whether LR images still show the HR photographs that they were made of.

A network that maps HR to LR images may lose their colours or their content, where a
kernel cannot. So its images are compared with the same photographs reduced by bicubic
interpolation on the same grid.
"""

from typing import NamedTuple

import numpy as np

from pdm_tf.core.imresize import imresize

_RIM = 2  # LR pixels at the border, where bicubic sees beyond the photograph


class LRFidelity(NamedTuple):
    """LR images against the reduced photographs; images are in [0, 1].

    Attributes:
      cast: largest mean difference of a channel over all images.
      correlation: of what is left when each image has lost the mean of each channel: 1
        for a multiple of the reduced photographs, near 0 for other pictures; 0 for
        images without any contrast.
      change: root mean square difference from the reduced photographs, or from every
        scale-th pixel of theirs, whichever is nearer.
    """

    cast: float
    correlation: float
    change: float


def lr_fidelity(
    lr: np.ndarray, hr: np.ndarray, scale: int, grid: str | None = None
) -> LRFidelity:
    """Compares LR images with the photographs that they were made of.

    Args:
      lr: [B, h, w, 3] float in [0, 1], of more than 4 pixels a side.
      hr: [B, h * scale, w * scale, 3] likewise, without a margin.
      scale: downsampling factor.
      grid: of `core.geometry.GRIDS`; None as "half_pixel".
    """
    lr = np.asarray(lr, np.float64)
    hr = np.asarray(hr, np.float64)
    reduced = np.stack([_reduced(image, scale, grid) for image in hr])
    picked = hr[:, ::scale, ::scale]
    lr, reduced, picked = (x[:, _RIM:-_RIM, _RIM:-_RIM] for x in (lr, reduced, picked))
    difference = lr - reduced
    own, theirs = (x - x.mean(axis=(1, 2), keepdims=True) for x in (lr, reduced))
    size = np.sqrt(np.square(own).sum() * np.square(theirs).sum())
    return LRFidelity(
        cast=float(np.abs(difference.mean(axis=(0, 1, 2))).max()),
        correlation=float((own * theirs).sum() / size) if size > 1e-12 else 0.0,
        change=float(min(_rms(difference), _rms(lr - picked))),
    )


def _reduced(hr: np.ndarray, scale: int, grid: str | None) -> np.ndarray:
    """Bicubic, with the pixels of "pixel0" where they lie, up to half an HR pixel."""
    if grid == "pixel0":
        # Moved down and right, so that the middle of a block is on its first pixel.
        room = scale // 2
        hr = np.pad(hr, [(room, 0), (room, 0), (0, 0)], mode="edge")
        hr = hr[: hr.shape[0] - room, : hr.shape[1] - room]
    return imresize(hr, 1.0 / scale)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
