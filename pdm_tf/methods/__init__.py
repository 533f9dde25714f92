"""Training methods, one file per paper. To add one: its file and a line here.

CONTRIBUTING.md does it in full.
"""

from pdm_tf.methods.base import Method
from pdm_tf.methods.bulat import Bulat, BulatConfig
from pdm_tf.methods.cincgan import CinCGAN, CinCGANConfig
from pdm_tf.methods.cyclesr import CycleSR, CycleSRConfig
from pdm_tf.methods.dsgan_sr import DSGANSR, DSGANSRConfig
from pdm_tf.methods.maeda import Maeda, MaedaConfig
from pdm_tf.methods.pdm_sr import PDMSR, PDMSRConfig
from pdm_tf.methods.pdm_srgan import PDMSRGAN, PDMSRGANConfig
from pdm_tf.methods.sr_parts import GANSR, PixelSR
from pdm_tf.methods.supervised import Supervised, SupervisedConfig
from pdm_tf.methods.supervised_gan import SupervisedGAN, SupervisedGANConfig

METHODS: dict[str, type[Method]] = {
    "bulat": Bulat,
    "cincgan": CinCGAN,
    "cyclesr": CycleSR,
    "dsgan_sr": DSGANSR,
    "maeda": Maeda,
    "pdm_sr": PDMSR,
    "pdm_srgan": PDMSRGAN,
    "supervised": Supervised,
    "supervised_gan": SupervisedGAN,
}

__all__ = [
    "Bulat",
    "BulatConfig",
    "CinCGAN",
    "CinCGANConfig",
    "CycleSR",
    "CycleSRConfig",
    "DSGANSR",
    "DSGANSRConfig",
    "GANSR",
    "METHODS",
    "Maeda",
    "MaedaConfig",
    "PDMSR",
    "PDMSRConfig",
    "PDMSRGAN",
    "PDMSRGANConfig",
    "PixelSR",
    "Supervised",
    "SupervisedConfig",
    "SupervisedGAN",
    "SupervisedGANConfig",
]
