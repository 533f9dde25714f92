"""Feature networks: image [B, H, W, 3] in [0, 1] -> named activations; and LPIPS.

Geometry and layer order are torchvision's, so that its ImageNet weights fit (VGG16,
VGG19, AlexNet, SqueezeNet 1.1); LPIPS has the heads of version 0.1 on top of them.
Weights come by path, as a bundle; nothing is downloaded. To add a network: a file with
its config and network, and a line in `bundles/networks.py`.
"""

from pdm_tf.models.features.alexnet import AlexNet, AlexNetConfig
from pdm_tf.models.features.lpips import LPIPS, LPIPSConfig
from pdm_tf.models.features.squeezenet import SqueezeNet, SqueezeNetConfig
from pdm_tf.models.features.vgg import VGG, VGGConfig

__all__ = [
    "AlexNet",
    "AlexNetConfig",
    "LPIPS",
    "LPIPSConfig",
    "SqueezeNet",
    "SqueezeNetConfig",
    "VGG",
    "VGGConfig",
]
