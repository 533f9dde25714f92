"""Reads the files of `pool`: blur kernels, and patches of noise.

Kernels are an array [N, K, K], as `pdm_tf.kernelgan` and `pdm_tf.degrade` write it;
noise is an array of patches [N, P, P, 3], as `pdm_tf.noise_pool` writes it, or a folder
of pictures of flat surfaces, whose mean colour is taken off.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.kernel_shapes import kernel_moments, normalised
from pdm_tf.core.stored import read_arrays

# Sums that differ from 1 by more are worth a remark; rounding to float16 does not.
_SUM_TOLERANCE = 1e-2
_OFF_CENTRE_PX = 0.5
# A kernel's negative lobes; below it they are what rounding leaves.
_NEGATIVE = -1e-6


class Pool(NamedTuple):
    """What a file of kernels or noise holds.

    Attributes:
      values: kernels [N, K, K], each of sum 1, or noise [N, P, P, 3] in units of the
        range [0, 1], each channel of each patch of mean 0; float32.
      content: a text that changes with the content.
      remarks: lines on what was changed or looks odd.
    """

    values: np.ndarray
    content: str
    remarks: tuple[str, ...]


def read_kernels(path: str, grid_centre_px: float) -> Pool:
    """Reads and checks kernels.

    Args:
      path: a .npy file, [N, K, K] or [K, K].
      grid_centre_px: where their centre of mass should lie, right of and below the
        middle tap, see `ops.blur.grid_geometry`.

    Raises:
      UserError: no such file or no such array, no kernels, an even side, values that
        are negative or not finite, or a kernel without mass.
    """
    kernels = _array(path, "kernels")
    if kernels.ndim == 2:
        kernels = kernels[None]
    what = f"Received: {path}, {kernels.dtype} {list(kernels.shape)}"
    if kernels.ndim != 3 or kernels.shape[1] != kernels.shape[2] or not kernels.size:
        raise UserError(
            "`kernels` of pool must be a .npy file of at least one kernel, [N, K, K]. "
            f"{what}."
        )
    if kernels.shape[1] % 2 == 0:
        raise UserError(
            "`kernels` of pool must have an odd side, so that they have a middle tap. "
            f"{what}. Add a row and a column of zeros where they leave the centre of "
            "mass in the middle."
        )
    if not np.isfinite(kernels).all():
        raise UserError(f"`kernels` of pool must be finite numbers. {what}.")
    if kernels.min() < _NEGATIVE:
        bad = int(np.flatnonzero(kernels.min(axis=(1, 2)) < _NEGATIVE)[0])
        raise UserError(
            "`kernels` of pool must not be negative: they are where light goes. "
            f"{what}, and kernel {bad} has {kernels[bad].min():g}."
        )
    sums = kernels.sum(axis=(1, 2), dtype=np.float64)
    if sums.min() <= 0:
        raise UserError(
            "`kernels` of pool must have a positive sum. "
            f"{what}, and kernel {int(sums.argmin())} sums to {sums.min():g}."
        )
    remarks = []
    if (off := np.abs(sums - 1) > _SUM_TOLERANCE).any():
        remarks.append(
            f"pool: {off.sum()} of {len(kernels)} kernels do not sum to 1 "
            f"({sums.min():.3g} to {sums.max():.3g}); they were divided by their sums"
        )
    centres = kernel_moments(kernels.clip(0)).offset - grid_centre_px
    if (distance := float(np.hypot(*centres.mean(axis=0)))) > _OFF_CENTRE_PX:
        dy, dx = centres.mean(axis=0)
        remarks.append(
            f"pool: the kernels are {distance:.2f} px off centre on average "
            f"(down {dy:+.2f}, right {dx:+.2f}); an SR network learns to move its "
            "results by as much"
        )
    values = normalised(kernels.clip(0)).astype(np.float32)
    return Pool(values, _content("kernels", values), tuple(remarks))


def read_noise(path: str) -> Pool:
    """Reads patches of noise, and takes off what is left of their means.

    Args:
      path: a .npy file [N, P, P, 3], floating-point in units of the range [0, 1] or
        uint8 pictures; or a folder of pictures.

    Raises:
      UserError: there are no patches, or they are not of that form.
    """
    if Path(path).is_dir():
        patches, remarks = _pictures(path)
    else:
        patches, remarks = _array(path, "noise"), ()
        what = f"Received: {path}, {patches.dtype} {list(patches.shape)}"
        shape = patches.shape
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or not patches.size:
            raise UserError(
                "`noise` of pool must be a folder of pictures, or a .npy file of at "
                f"least one patch, [N, P, P, 3]. {what}."
            )
        if not np.isfinite(patches).all():
            raise UserError(f"`noise` of pool must be finite numbers. {what}.")
        if patches.dtype == np.uint8:
            patches = patches / np.float32(255)
        elif np.abs(patches).max() > 1:
            raise UserError(
                "`noise` of pool must be in units of the range [0, 1], or uint8. "
                f"{what}, with values up to {np.abs(patches).max():g}."
            )
    values = patches.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    return Pool(values, _content("noise", values), remarks)


def _pictures(folder: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The pictures of a folder, cut to squares of the smallest one's side."""
    pictures = [read_rgb_u8(path) for path in list_images(folder)]
    side = min(min(picture.shape[:2]) for picture in pictures)
    remarks = ()
    if any(picture.shape[:2] != (side, side) for picture in pictures):
        remarks = (
            f"pool: the pictures of {folder} differ in size; of each the first "
            f"{side} x {side} pixels are used",
        )
    squares = np.stack([picture[:side, :side] for picture in pictures])
    return squares / np.float32(255), remarks


def _array(path: str, setting: str) -> np.ndarray:
    try:
        array = read_arrays(path).get("")
    except UserError as error:
        raise UserError(f"`{setting}` of pool must be a .npy file. {error}") from error
    if array is None or array.dtype.kind not in "fiu":
        kind = "several arrays (.npz)" if array is None else array.dtype
        raise UserError(
            f"`{setting}` of pool must be a .npy file of numbers. "
            f"Received: {path}, which holds {kind}."
        )
    return array


def _content(setting: str, values: np.ndarray) -> str:
    digest = hashlib.sha256(repr(values.shape).encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    return f"{setting}-{digest.hexdigest()[:16]}"
