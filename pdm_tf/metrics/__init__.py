"""Image quality metrics, and the table of those that reports can name.

All compare 8-bit RGB images [H, W, 3] whose borders are already cropped (the runner's
job). To add one: write `metrics/my_metric.py` and a line in METRICS. A metric that
needs weights or parameters has an `Opener` and gets its file by path.
"""

from typing import Any

import numpy as np

from pdm_tf.metrics.lpips import lpips_opener
from pdm_tf.metrics.luma import psnr_y, ssim_y
from pdm_tf.metrics.niqe_model import NIQE_OPENER
from pdm_tf.metrics.ntire2018 import (
    psnr_ntire2018,
    psnr_ntire2018_release,
    ssim_ntire2018,
    ssim_ntire2018_release,
)
from pdm_tf.metrics.psnr import psnr
from pdm_tf.metrics.shift_psnr import best_shift, psnr_shift
from pdm_tf.metrics.spec import Metric, MetricSpec, Opener
from pdm_tf.metrics.ssim import ssim

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


def _psnr_shift_with_place(
    sr_u8: np.ndarray, hr_u8: np.ndarray
) -> tuple[float, dict[str, Any]]:
    best = best_shift(sr_u8, hr_u8)
    return best.psnr, {"shift": [best.dy, best.dx]}


def _lpips(net: str) -> MetricSpec:
    name = f"lpips_{net}"
    return MetricSpec(name, None, "", False, True, 4, opener=lpips_opener(net))


_ROWS = (
    MetricSpec("psnr", psnr, "dB", True, True),
    MetricSpec("ssim", ssim, "", True, True, 4),
    MetricSpec("psnr_shift", psnr_shift, "dB", True, True, 2, _psnr_shift_with_place),
    MetricSpec("psnr_y", psnr_y, "dB", True, True),
    MetricSpec("ssim_y", ssim_y, "", True, True, 4),
    MetricSpec("psnr_ntire2018", psnr_ntire2018, "dB", True, True),
    MetricSpec("ssim_ntire2018", ssim_ntire2018, "", True, True, 4),
    MetricSpec("psnr_ntire2018_release", psnr_ntire2018_release, "dB", True, True),
    MetricSpec("ssim_ntire2018_release", ssim_ntire2018_release, "", True, True, 4),
    _lpips("alex"),
    _lpips("vgg"),
    _lpips("squeeze"),
    MetricSpec("niqe", None, "", False, False, opener=NIQE_OPENER),
)
METRICS: dict[str, MetricSpec] = {spec.name: spec for spec in _ROWS}
