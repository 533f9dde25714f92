"""Training methods, one file per paper. To add one: its file and a line here.

CONTRIBUTING.md does it in full.
"""

from pdm_tf.methods.base import Method
from pdm_tf.methods.pdm_sr import PDMSR, PDMSRConfig
from pdm_tf.methods.pdm_srgan import PDMSRGAN, PDMSRGANConfig
from pdm_tf.methods.steps import PixelSR
from pdm_tf.methods.supervised import Supervised, SupervisedConfig

METHODS: dict[str, type[Method]] = {
    "pdm_sr": PDMSR,
    "pdm_srgan": PDMSRGAN,
    "supervised": Supervised,
}

__all__ = [
    "METHODS",
    "PDMSR",
    "PDMSRConfig",
    "PDMSRGAN",
    "PDMSRGANConfig",
    "PixelSR",
    "Supervised",
    "SupervisedConfig",
]
