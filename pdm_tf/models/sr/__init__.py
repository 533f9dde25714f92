"""Super-resolution networks: lr [B, h, w, 3] in [0, 1] -> sr [B, h*s, w*s, 3].

Their contract is `models.network.SRNetwork`. To add one: a file with its config and
network, and a line in `bundles/networks.py`.
"""

from pdm_tf.models.sr.edsr import EDSR, EDSRConfig
from pdm_tf.models.sr.rrdbnet import RRDBNet, RRDBNetConfig
from pdm_tf.models.sr.translator import Translator, TranslatorConfig

__all__ = [
    "EDSR",
    "EDSRConfig",
    "RRDBNet",
    "RRDBNetConfig",
    "Translator",
    "TranslatorConfig",
]
