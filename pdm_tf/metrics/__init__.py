"""Image quality metrics, and the table of their names in reports.

All compare 8-bit RGB images [H, W, 3] whose borders are already cropped (the runner's
job). To add one: write `metrics/my_metric.py` and a line in METRICS. A metric that
needs weights or parameters has an `Opener` and gets its file by path.
"""

from typing import Any

import numpy as np

from pdm_tf.metrics.base import Metric, MetricSpec, Opener
from pdm_tf.metrics.lpips import lpips_opener
from pdm_tf.metrics.niqe import NIQE_OPENER
from pdm_tf.metrics.ntire2018 import (
    psnr_ntire2018,
    psnr_ntire2018_release,
    ssim_ntire2018,
    ssim_ntire2018_release,
)
from pdm_tf.metrics.psnr import best_shift, psnr, psnr_shift, psnr_y
from pdm_tf.metrics.ssim import ssim, ssim_y

__all__ = [
    "METRICS",
    "Metric",
    "MetricSpec",
    "Opener",
    "best_shift",
    "psnr",
    "psnr_shift",
    "ssim",
]


def _psnr_shift_details(
    sr_u8: np.ndarray, hr_u8: np.ndarray
) -> tuple[float, dict[str, Any]]:
    best = best_shift(sr_u8, hr_u8)
    return best.psnr, {"shift": [best.dy, best.dx]}


_ROWS = (
    MetricSpec("psnr", psnr, unit="dB"),
    MetricSpec("ssim", ssim, decimals=4),
    MetricSpec("psnr_shift", psnr_shift, unit="dB", with_details=_psnr_shift_details),
    MetricSpec("psnr_y", psnr_y, unit="dB"),
    MetricSpec("ssim_y", ssim_y, decimals=4),
    MetricSpec("psnr_ntire2018", psnr_ntire2018, unit="dB"),
    MetricSpec("ssim_ntire2018", ssim_ntire2018, decimals=4),
    MetricSpec("psnr_ntire2018_release", psnr_ntire2018_release, unit="dB"),
    MetricSpec("ssim_ntire2018_release", ssim_ntire2018_release, decimals=4),
    *(
        MetricSpec(
            f"lpips_{net}",
            higher_is_better=False,
            decimals=4,
            opener=lpips_opener(net),
        )
        for net in ("alex", "vgg", "squeeze")
    ),
    MetricSpec(
        "niqe", higher_is_better=False, needs_reference=False, opener=NIQE_OPENER
    ),
)
METRICS: dict[str, MetricSpec] = {spec.name: spec for spec in _ROWS}
