"""The probabilistic degradation model and its parts."""

from pdm_tf.models.degradation.jpeg_module import JPEGModule, JPEGModuleConfig
from pdm_tf.models.degradation.kernel_config import KernelModuleConfig
from pdm_tf.models.degradation.kernel_module import KernelModule
from pdm_tf.models.degradation.noise_module import NoiseModule, NoiseModuleConfig
from pdm_tf.models.degradation.pdm import PDM, Degraded, Latents
from pdm_tf.models.degradation.pdm_config import PDMConfig

__all__ = [
    "PDM",
    "Degraded",
    "JPEGModule",
    "JPEGModuleConfig",
    "KernelModule",
    "KernelModuleConfig",
    "Latents",
    "NoiseModule",
    "NoiseModuleConfig",
    "PDMConfig",
]
