"""Degradations with a call contract: HR images in, `Degraded` out.

The contract is `base.Degradation`. To add one: a file here with a subclass (`draw`,
`apply`, its `grid`, and a frozen dataclass of settings, if any, as `config_class`), and
a line in `DEGRADATIONS`; CONTRIBUTING.md does it in full. Learned ones are the PDM
(`pdm.py` and the modules it is made of) and the degrader of the compared methods.
"""

from pdm_tf.degradations.awgn_blur import AwgnBlurConfig, AwgnBlurDegradation
from pdm_tf.degradations.base import (
    FULL_BATCH,
    BatchShard,
    Degradation,
    Degraded,
    KernelFacts,
    NoSettings,
)
from pdm_tf.degradations.bicubic import BicubicDegradation
from pdm_tf.degradations.bsrgan import BsrganConfig, BsrganDegradation
from pdm_tf.degradations.bsrgan_plus import BsrganPlusConfig, BsrganPlusDegradation
from pdm_tf.degradations.degrader import Degrader, DegraderConfig
from pdm_tf.degradations.from_estimate import pdm_config_of
from pdm_tf.degradations.gaussian_jpeg import (
    GaussianJpegConfig,
    GaussianJpegDegradation,
)
from pdm_tf.degradations.gaussian_start import GaussianStart
from pdm_tf.degradations.jpeg_module import JPEGModule, JPEGModuleConfig
from pdm_tf.degradations.kernel_module import KernelModule, KernelModuleConfig
from pdm_tf.degradations.mixed import MixedConfig, MixedDegradation
from pdm_tf.degradations.noise_module import NoiseModule, NoiseModuleConfig
from pdm_tf.degradations.parametric_noise import (
    ParametricNoise,
    ParametricNoiseConfig,
)
from pdm_tf.degradations.pdm import NOISE_FORMS, PDM, PDMConfig, PDMLatents
from pdm_tf.degradations.pool import PoolConfig, PoolDegradation
from pdm_tf.degradations.real_esrgan import RealESRGANConfig, RealESRGANDegradation

DEGRADATIONS: dict[str, type[Degradation]] = {
    "bicubic": BicubicDegradation,
    "awgn_blur": AwgnBlurDegradation,
    "gaussian_jpeg": GaussianJpegDegradation,
    "real_esrgan": RealESRGANDegradation,
    "pool": PoolDegradation,
    "mixed": MixedDegradation,
    "bsrgan": BsrganDegradation,
    "bsrgan_plus": BsrganPlusDegradation,
}

__all__ = [
    "FULL_BATCH",
    "BatchShard",
    "DEGRADATIONS",
    "NOISE_FORMS",
    "PDM",
    "AwgnBlurConfig",
    "AwgnBlurDegradation",
    "BicubicDegradation",
    "BsrganConfig",
    "BsrganDegradation",
    "BsrganPlusConfig",
    "BsrganPlusDegradation",
    "Degradation",
    "Degraded",
    "Degrader",
    "DegraderConfig",
    "GaussianJpegConfig",
    "GaussianJpegDegradation",
    "GaussianStart",
    "JPEGModule",
    "JPEGModuleConfig",
    "KernelFacts",
    "KernelModule",
    "KernelModuleConfig",
    "MixedConfig",
    "MixedDegradation",
    "PDMLatents",
    "NoSettings",
    "NoiseModule",
    "NoiseModuleConfig",
    "PDMConfig",
    "ParametricNoise",
    "ParametricNoiseConfig",
    "PoolConfig",
    "PoolDegradation",
    "RealESRGANConfig",
    "RealESRGANDegradation",
    "pdm_config_of",
]
