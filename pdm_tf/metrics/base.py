"""The rows of the table of metrics, and the checks of a metric's two images.

Metrics compare 8-bit RGB images as they would be written to a file, as published
numbers do: rounding before measuring is part of the protocol.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError

Metric = Callable[[np.ndarray, np.ndarray], float]
Measure = Callable[[np.ndarray, np.ndarray], tuple[float, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Opener:
    """Opens the weights or parameters of a metric.

    Attributes:
      what: the file's kind and origin, for help and errors.
      open: path -> (the metric, its origin for reports). Raises UserError.
    """

    what: str
    open: Callable[[str], tuple[Metric, str]] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """One metric: how to compute it and how to read its value.

    Attributes:
      name: its name in flags and reports.
      fn: (sr_u8, hr_u8) -> value; hr_u8 is ignored unless `needs_reference`. None until
        `opened`, where there is an `opener`.
      unit: "dB" or "" for a pure number.
      higher_is_better: the direction.
      needs_reference: whether `fn` looks at hr_u8.
      decimals: how many to print.
      with_details: for a metric that finds more than a number:
        (sr_u8, hr_u8) -> (value, JSON-ready details of this image).
      opener: for a metric that needs a file.
      source: the opened weights or parameter set, in a few words.
    """

    name: str
    fn: Metric | None = None
    _: dataclasses.KW_ONLY
    unit: str = ""
    higher_is_better: bool = True
    needs_reference: bool = True
    decimals: int = 2
    with_details: Measure | None = dataclasses.field(default=None, repr=False)
    opener: Opener | None = None
    source: str = ""

    def opened(self, path: str) -> "MetricSpec":
        """Opens the metric with the file at `path`.

        Raises:
          UserError: the file is not of the kind that the metric needs.
        """
        if self.opener is None:
            raise UserError(f"{self.name} needs no file. Received: {path}.")
        fn, source = self.opener.open(path)
        return dataclasses.replace(self, fn=fn, source=source)

    def measure(
        self, sr_u8: np.ndarray, hr_u8: np.ndarray
    ) -> tuple[float, dict[str, Any]]:
        """The value and, where the metric has any, details such as {"shift": [1, 0]}.

        Raises:
          UserError: the images can't be compared (type, shape, too small), or the
            metric's file has not been opened.
        """
        if self.with_details is not None:
            return self.with_details(sr_u8, hr_u8)
        if self.fn is None:
            raise UserError(f"{self.name} needs {self.opener.what}. Received none.")
        return self.fn(sr_u8, hr_u8), {}


def check_images(sr_u8: np.ndarray, hr_u8: np.ndarray, minimum: int, what: str) -> None:
    """Raises UserError unless the two images can be compared.

    Args:
      sr_u8: [H, W, C] uint8 in 0..255 (C = 3 for RGB, 1 for grey).
      hr_u8: the reference, same shape and type.
      minimum: the least height and width in pixels that the metric needs.
      what: name of the metric, for the message.

    Raises:
      UserError: not uint8, not [H, W, C], different shapes, or too small.
    """
    for name, image in (("sr_u8", sr_u8), ("hr_u8", hr_u8)):
        if image.dtype != np.uint8 or image.ndim != 3:
            raise UserError(
                f"{what} compares uint8 images [H, W, C]. "
                f"Received: {name} of type {image.dtype}, shape {image.shape}."
            )
    if sr_u8.shape != hr_u8.shape:
        raise UserError(
            f"{what} compares images of one shape. "
            f"Received: sr {sr_u8.shape}, hr {hr_u8.shape}."
        )
    height, width, channels = hr_u8.shape
    if min(height, width) < minimum or channels < 1:
        raise UserError(
            f"{what} needs at least {minimum}x{minimum} pixels after the border crop. "
            f"Received: {width}x{height} (width x height), {channels} channels."
        )


def crop_border(image: np.ndarray, border: int) -> np.ndarray:
    """Cuts `border` pixels off every side of an image [H, W, C]; 0 cuts nothing.

    Raises:
      UserError: a negative border, or one that leaves nothing.
    """
    height, width = image.shape[:2]
    if border < 0 or 2 * border >= min(height, width):
        raise UserError(
            "`crop_border` must be 0 or more and leave at least one pixel. "
            f"Received: crop_border={border}, image {width}x{height} (width x height)."
        )
    return image[border : height - border, border : width - border]


_LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0


def luma(rgb_u8: np.ndarray) -> np.ndarray:
    """Computes Y of RGB, as in older benchmarks: BT.601 with studio swing.

    By MATLAB's rgb2ycbcr, Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 with R, G, B
    in 0..255. It is not rounded, as in BasicSR with `test_y_channel`. (MATLAB's
    function rounds when it is given uint8.)

    Args:
      rgb_u8: [H, W, 3] uint8 RGB, or [H, W, 1] grey (R = G = B). Not changed.

    Returns:
      [H, W] float64, 16..235.
    """
    rgb = np.broadcast_to(rgb_u8, (*rgb_u8.shape[:2], 3)).astype(np.float64)
    return 16.0 + rgb @ _LUMA_WEIGHTS
