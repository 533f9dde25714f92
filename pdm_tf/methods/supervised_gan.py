"""Supervised training with perceptual and adversarial losses: ESRGAN and its kin.

ESRGAN (Wang et al. 2018, arXiv:1809.00219), Ji et al. 2020 ("Real-World
Super-Resolution via Kernel Estimation and Noise Injection"), BSRGAN (Zhang et al. 2021,
arXiv:2103.14006) and Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833) are this method
with different degradations, weights and discriminators; configs/supervised_gan has a
flag file for each. With pairs of lr and hr as in `Supervised`:

  SR net and discriminator  minimise what `GANSR` says, on (lr, hr), see sr_parts.py
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pdm_tf.methods.base import NotNeeded, Role
from pdm_tf.methods.sr_parts import GANSR, GANSRConfig, SRPart
from pdm_tf.methods.supervised import Supervised, SupervisedConfig


@dataclasses.dataclass(frozen=True)
class SupervisedGANConfig(GANSRConfig, SupervisedConfig):
    """Settings of `SupervisedGAN`: those of `Supervised` and of the SR part."""

    def __post_init__(self) -> None:
        SupervisedConfig.__post_init__(self)
        GANSRConfig.__post_init__(self)


class SupervisedGAN(Supervised):
    """`Supervised` whose SR part is a `GANSR`."""

    name = "supervised_gan"
    config_class = SupervisedGANConfig

    @classmethod
    def roles(cls, settings: SupervisedGANConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the parts of `Supervised`, the HR discriminator, and the features."""
        return {**super().roles(settings), **GANSR.roles(settings, cls.name)}

    @classmethod
    def sr_part(cls, settings: SupervisedGANConfig, parts: Mapping[str, Any]) -> SRPart:
        """Makes the SR part.

        Raises:
          UserError: the features lack an activation that is to be compared.
        """
        return GANSR.made_of(settings, parts)
