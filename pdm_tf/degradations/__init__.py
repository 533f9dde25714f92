"""Degradations with a call contract: HR images in, `Degraded` out.

The contract is `base.Degradation`. To add one: a file here with a subclass (`draw`,
`apply`, and a frozen dataclass of settings, if any, as `config_class`), and a line in
`DEGRADATIONS`, which maps a name to `make(scale, config=None)`. Learned ones come from
bundles, by `open_learned`.
"""

from pdm_tf.degradations.awgn_blur import AwgnBlurConfig, AwgnBlurDegradation
from pdm_tf.degradations.base import Degradation, NoSettings
from pdm_tf.degradations.bicubic import BicubicDegradation
from pdm_tf.degradations.gaussian_jpeg import (
    GaussianJpegConfig,
    GaussianJpegDegradation,
)
from pdm_tf.degradations.learned import LearnedDegradation, open_learned

DEGRADATIONS: dict[str, type[Degradation]] = {
    "bicubic": BicubicDegradation,
    "awgn_blur": AwgnBlurDegradation,
    "gaussian_jpeg": GaussianJpegDegradation,
}

__all__ = [
    "DEGRADATIONS",
    "AwgnBlurConfig",
    "AwgnBlurDegradation",
    "BicubicDegradation",
    "Degradation",
    "GaussianJpegConfig",
    "GaussianJpegDegradation",
    "LearnedDegradation",
    "NoSettings",
    "open_learned",
]
