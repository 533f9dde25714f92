"""The table of networks that are made by name, saved as bundles and loaded again.

To add a network: a file with its config and its class, and a line in `NETWORKS`;
CONTRIBUTING.md does it in full. The other tables are views of this one.
`bundles/chain.py` makes one SR network of several.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pdm_tf.degradations import PDM, Degrader
from pdm_tf.models.discriminators.patchgan import PatchGAN
from pdm_tf.models.discriminators.unet import UNetDiscriminator
from pdm_tf.models.discriminators.vgg import VGGDiscriminator
from pdm_tf.models.features.alexnet import AlexNet
from pdm_tf.models.features.lpips import LPIPS
from pdm_tf.models.features.squeezenet import SqueezeNet
from pdm_tf.models.features.vgg import VGG
from pdm_tf.models.network import Network
from pdm_tf.models.sr.edsr import EDSR
from pdm_tf.models.sr.rrdbnet import RRDBNet
from pdm_tf.models.sr.translator import Translator


class Entry(NamedTuple):
    """A named network: its class, and the settings that differ from the defaults.

    The role of the class (`Network.role`) decides which flags take the name.
    """

    network: type[Network]
    settings: Mapping[str, Any] = {}

    @property
    def config(self) -> Any:
        """The network's frozen config dataclass under this name."""
        return self.network.config_class(**self.settings)


NETWORKS: Mapping[str, Entry] = {
    # SR networks, as in --sr_net
    "edsr": Entry(EDSR),
    "edsr_large": Entry(
        EDSR, {"filters": 256, "num_blocks": 32, "residual_scale": 0.1}
    ),
    "rrdbnet": Entry(RRDBNet),
    "translator": Entry(Translator),
    # Degradations that are learned
    "pdm": Entry(PDM),
    "degrader": Entry(Degrader),
    # Discriminators, as in --hr_discriminator
    "patchgan": Entry(PatchGAN),
    "unet": Entry(UNetDiscriminator),
    "vgg": Entry(VGGDiscriminator),
    # Feature networks, and the distance between images on top of them
    "vgg19": Entry(VGG, {"depth": 19}),
    "vgg16": Entry(VGG, {"depth": 16}),
    "alexnet": Entry(AlexNet),
    "squeezenet": Entry(SqueezeNet),
    "lpips": Entry(LPIPS),
}


def of_role(role: str) -> dict[str, Entry]:
    """Name -> entry of the networks of a role."""
    return {
        name: entry for name, entry in NETWORKS.items() if entry.network.role == role
    }


# Name -> default config.
SR_NETS = {name: entry.config for name, entry in of_role("sr").items()}

# Class name, as in bundle.json -> class.
CLASSES: Mapping[str, type[Network]] = {
    entry.network.__name__: entry.network for entry in NETWORKS.values()
}
