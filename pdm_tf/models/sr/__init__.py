"""Super-resolution networks: lr [B, h, w, 3] in [0, 1] -> sr [B, h*s, w*s, 3].

To add one: a file with its config and network, and a line in `SR_NETS`.
"""

from pdm_tf.models.sr.edsr import EDSR, EDSRConfig
from pdm_tf.models.sr.rrdbnet import RRDBNet, RRDBNetConfig

SR_NETS = {
    "edsr": EDSRConfig(),
    "edsr_large": EDSRConfig(filters=256, num_blocks=32, residual_scale=0.1),
    "rrdbnet": RRDBNetConfig(),
}

__all__ = ["EDSR", "EDSRConfig", "RRDBNet", "RRDBNetConfig", "SR_NETS"]
