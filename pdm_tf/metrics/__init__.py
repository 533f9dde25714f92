"""Image quality metrics in NumPy, and the table of those that reports can name.

All compare 8-bit RGB images [H, W, 3] whose borders are already cropped (the runner's
job). To add one: write `metrics/my_metric.py` and a line in METRICS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pdm_tf.metrics.psnr import psnr
from pdm_tf.metrics.shift_psnr import best_shift, psnr_shift
from pdm_tf.metrics.ssim import ssim

__all__ = ["METRICS", "MetricSpec", "best_shift", "psnr", "psnr_shift", "ssim"]

Metric = Callable[[np.ndarray, np.ndarray], float]
Measure = Callable[[np.ndarray, np.ndarray], tuple[float, dict[str, Any]]]


@dataclass(frozen=True)
class MetricSpec:
    """One metric: how to compute it and how to read its value.

    Attributes:
      name: its name in flags and reports.
      fn: (sr_u8, hr_u8) -> value; hr_u8 is ignored unless `needs_reference`.
      unit: "dB" or "" for a pure number.
      higher_is_better: the direction.
      needs_reference: whether `fn` looks at hr_u8.
      decimals: how many to print.
      fn_with_details: for a metric that finds more than a number:
        (sr_u8, hr_u8) -> (value, JSON-ready details of this image).
    """

    name: str
    fn: Metric
    unit: str
    higher_is_better: bool
    needs_reference: bool
    decimals: int = 2
    fn_with_details: Measure | None = field(default=None, repr=False)

    def measure(
        self, sr_u8: np.ndarray, hr_u8: np.ndarray
    ) -> tuple[float, dict[str, Any]]:
        """The value and, where the metric has any, details such as {"shift": [1, 0]}.

        Raises:
          UserError: the images can't be compared (type, shape, too small).
        """
        if self.fn_with_details is not None:
            return self.fn_with_details(sr_u8, hr_u8)
        return self.fn(sr_u8, hr_u8), {}


def _psnr_shift_with_place(
    sr_u8: np.ndarray, hr_u8: np.ndarray
) -> tuple[float, dict[str, Any]]:
    best = best_shift(sr_u8, hr_u8)
    return best.psnr, {"shift": [best.dy, best.dx]}


METRICS: dict[str, MetricSpec] = {
    "psnr": MetricSpec("psnr", psnr, "dB", True, True),
    "ssim": MetricSpec("ssim", ssim, "", True, True, decimals=4),
    "psnr_shift": MetricSpec(
        "psnr_shift",
        psnr_shift,
        "dB",
        True,
        True,
        fn_with_details=_psnr_shift_with_place,
    ),
}
