"""PDM-SRGAN (Luo et al. 2022, arXiv:2203.04962): PDM-SR with a perceptual SR part.

"PDM-SRGAN if adversarial loss and perceptual loss are also adopted in the training of
the SR model" (section 3.4); the paper gives no details. This method follows the
release's settings and fixes its mistakes. With lr = quantise(fake_lr):

  1. to 3. as PDM-SR
  4. and 5. `GANSR` on (lr, hr), see sr_parts.py; gradients are those of the same point

Different from the release: the features' gradient reaches the SR network (B1 of its
mistakes), and the HR discriminator sees results rounded to 8 bits like the photographs
that it compares them with (`hr_fakes`), so that their digits do not give them away
(B19).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from pdm_tf.core.errors import UserError
from pdm_tf.methods.base import NotNeeded, Role
from pdm_tf.methods.pdm_sr import PDMSR, PDMSRConfig
from pdm_tf.methods.sr_parts import GANSR, GANSRConfig, SRPart


@dataclasses.dataclass(frozen=True)
class PDMSRGANConfig(GANSRConfig, PDMSRConfig):
    """Settings of `PDMSRGAN`: those of `PDMSR` and of the SR part."""

    pixel_method: ClassVar[str] = "pdm_sr"

    def __post_init__(self) -> None:
        PDMSRConfig.__post_init__(self)
        GANSRConfig.__post_init__(self)
        if not self.learns_sr:
            raise UserError(
                "`training` of PDMSRGANConfig must be joint, separate or sr; the "
                "degradation alone is --method=pdm_sr. "
                f"Received: {self.training!r}."
            )

    @classmethod
    def paper(cls) -> "PDMSRGANConfig":
        """Returns the released behaviour where it makes sense (equal loss weights)."""
        return dataclasses.replace(super().paper(), hr_fakes="raw")


class PDMSRGAN(PDMSR):
    """`PDMSR` whose SR part is a `GANSR`."""

    name = "pdm_srgan"
    config_class = PDMSRGANConfig

    @classmethod
    def roles(cls, settings: PDMSRGANConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the parts of `PDMSR`, the HR discriminator, and the feature network."""
        return {**super().roles(settings), **GANSR.roles(settings, cls.name)}

    @classmethod
    def sr_part(cls, settings: PDMSRGANConfig, parts: Mapping[str, Any]) -> SRPart:
        """Makes the SR part.

        Raises:
          UserError: the features lack an activation that is to be compared.
        """
        return GANSR.made_of(settings, parts)
