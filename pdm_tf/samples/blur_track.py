"""Makes a small unpaired data set with an unknown blur out of the sample photographs.

In the manner of NTIRE2017 track 2 and of the PDM paper's experiments: every LR image
is an HR photograph blurred by a kernel of its own; every `scale`-th pixel is kept,
starting at pixel 0, in 8 bit. The kernels follow one distribution (anisotropic
Gaussians of random widths and direction); training sees neither kernels nor
distribution. LR pixel i is centred on HR pixel scale * i, so that bicubic upsampling of
the LR image is displaced by (scale - 1) / 2 HR pixels from the HR photograph.

NumPy alone, and deliberately not `pdm_tf.ops`: the data must not be made by the code
that learns from it.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np

from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.core.seeds import stream_seed
from pdm_tf.core.stored import read_json
from pdm_tf.samples import PHOTOS_FOR_HR, PHOTOS_FOR_LR, PHOTOS_FOR_VALIDATION

KERNEL_SIZE = 21
SIGMA_RANGE_PX = (1.2, 3.0)
# Each LR photograph is repeated this often, with a kernel of its own every time: seven
# kernels would hardly be a distribution.
COPIES = 4
SCALE = 4
SEED = 2022


@dataclasses.dataclass(frozen=True)
class Track:
    """The paths of the parts of the data set."""

    folder: Path

    @property
    def hr(self) -> Path:
        """HR photographs for training."""
        return self.folder / "hr"

    @property
    def lr(self) -> Path:
        """LR photographs for training, of other scenes."""
        return self.folder / "lr"

    @property
    def val_hr(self) -> Path:
        """Held-out HR photographs."""
        return self.folder / "val" / "hr"

    @property
    def val_lr(self) -> Path:
        """Their LR partners, under the same names."""
        return self.folder / "val" / "lr"

    @property
    def true_kernels(self) -> Path:
        """[N, 21, 21] float32, the kernels of `lr`; to look at, never for training."""
        return self.folder / "true_kernels.npy"

    @property
    def val_kernels(self) -> Path:
        """[M, 21, 21] float32, the kernels of `val_lr`."""
        return self.folder / "val" / "kernels.npy"


def gaussian_kernel(
    sigma_x_px: float, sigma_y_px: float, theta_rad: float, size: int = KERNEL_SIZE
) -> np.ndarray:
    """Anisotropic Gaussian, sampled at the taps.

    Args:
      sigma_x_px: standard deviation along the first axis of the ellipse, in HR pixels.
      sigma_y_px: along its second axis.
      theta_rad: angle of the first axis against the image's x axis.
      size: taps per side, odd.

    Returns:
      [size, size] float64, sums to 1, centred on its middle tap.
    """
    half = size // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    along = np.cos(theta_rad) * x + np.sin(theta_rad) * y
    across = -np.sin(theta_rad) * x + np.cos(theta_rad) * y
    kernel = np.exp(-0.5 * ((along / sigma_x_px) ** 2 + (across / sigma_y_px) ** 2))
    return kernel / kernel.sum()


def draw_kernels(count: int, seed: int, stream: str) -> np.ndarray:
    """Draws kernels from the track's distribution.

    Both widths uniform in `SIGMA_RANGE_PX`, direction uniform; kernel i depends on
    (seed, stream, i) alone.

    Returns:
      [count, 21, 21] float64.
    """
    kernels = []
    for index in range(count):
        draw = np.random.default_rng((*stream_seed(seed, stream), index))
        sigma_x_px, sigma_y_px = draw.uniform(*SIGMA_RANGE_PX, size=2)
        kernels.append(
            gaussian_kernel(sigma_x_px, sigma_y_px, draw.uniform(0.0, np.pi))
        )
    return np.stack(kernels)


def blur_and_subsample(hr_u8: np.ndarray, kernel: np.ndarray, scale: int) -> np.ndarray:
    """Blurs, keeps every `scale`-th pixel from pixel 0 on, and rounds to 8 bit.

    The photograph is mirrored at its border. Correlation, not convolution.

    Args:
      hr_u8: [H, W, 3] uint8, H and W divisible by `scale`.
      kernel: [K, K], K odd, sums to 1.
      scale: downsampling factor.

    Returns:
      [H/scale, W/scale, 3] uint8.
    """
    half = kernel.shape[0] // 2
    height, width = hr_u8.shape[:2]
    padded = np.pad(
        hr_u8.astype(np.float64), ((half, half), (half, half), (0, 0)), "symmetric"
    )
    lr = np.zeros((height // scale, width // scale, 3))
    for y, x in np.ndindex(*kernel.shape):
        lr += kernel[y, x] * padded[y : y + height : scale, x : x + width : scale]
    return np.floor(lr.clip(0.0, 255.0) + 0.5).astype(np.uint8)


def make_track(folder: str | os.PathLike[str]) -> Track:
    """Writes the data set into `folder`; does nothing where it is there already."""
    track = Track(Path(folder))
    recipe = {
        "kernel_size": KERNEL_SIZE,
        "sigma_range_px": list(SIGMA_RANGE_PX),
        "copies": COPIES,
        "scale": SCALE,
        "seed": SEED,
    }
    done = track.folder / "recipe.json"  # written last
    if done.exists() and read_json(done) == recipe:
        return track
    for path in list_images(PHOTOS_FOR_HR):
        write_png(track.hr / f"{path.stem}.png", _photo(path))
    sources = list_images(PHOTOS_FOR_LR)
    kernels = draw_kernels(len(sources) * COPIES, SEED, "train")
    for index, kernel in enumerate(kernels):
        source, copy = sources[index // COPIES], index % COPIES
        lr_u8 = blur_and_subsample(_photo(source), kernel, SCALE)
        write_png(track.lr / f"{source.stem}_{copy}.png", lr_u8)
    held_out = list_images(PHOTOS_FOR_VALIDATION)
    val_kernels = draw_kernels(len(held_out), SEED, "validation")
    for path, kernel in zip(held_out, val_kernels, strict=True):
        hr_u8 = _photo(path)
        write_png(track.val_hr / f"{path.stem}.png", hr_u8)
        write_png(
            track.val_lr / f"{path.stem}.png", blur_and_subsample(hr_u8, kernel, SCALE)
        )
    np.save(track.true_kernels, kernels.astype(np.float32))
    np.save(track.val_kernels, val_kernels.astype(np.float32))
    write_json_atomic(done, recipe)
    return track


def _photo(path: Path) -> np.ndarray:
    """Reads a photograph, cut to multiples of the scale at the right and below."""
    rgb_u8 = read_rgb_u8(path)
    height, width = (side // SCALE * SCALE for side in rgb_u8.shape[:2])
    return rgb_u8[:height, :width]
