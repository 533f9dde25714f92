"""LPIPS v0.1 as a metric: the network of `models/features/lpips.py` on 8-bit RGB.

TensorFlow and the weights are loaded when the metric is opened, not before: programs
that do not ask for LPIPS start without TensorFlow.
"""

import functools

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float
from pdm_tf.metrics.base import Metric, Opener, check_images

_NETS = {"alex": "AlexNet", "vgg": "VGG16", "squeeze": "SqueezeNet 1.1"}


def lpips_opener(net: str) -> Opener:
    """Returns the opener of the weights of LPIPS on "alex", "vgg" or "squeeze"."""
    what = (
        f"a bundle (a folder with bundle.json) of LPIPS on {_NETS[net]}, "
        "backbone and heads together"
    )
    return Opener(what, functools.partial(open_lpips, net))


def open_lpips(net: str, path: str) -> tuple[Metric, str]:
    """Reads a bundle of LPIPS.

    Args:
      net: "alex", "vgg" or "squeeze", which the bundle must hold.
      path: the bundle's folder.

    Returns:
      The metric, and which weights it has.

    Raises:
      UserError: no bundle, of another network, or with negative weights in a head.
    """
    import tensorflow as tf

    from pdm_tf.bundles.bundle import load_bundle

    bundle = load_bundle(path)
    held = f"{bundle.name} {getattr(bundle.config, 'net', '')}".strip()
    if held != f"LPIPS {net}":
        raise UserError(
            f"lpips_{net} needs {lpips_opener(net).what}. Received: {path}, which "
            f"holds {held}."
        )
    for i, head in enumerate(bundle.network.heads):
        if np.min(head.kernel) < 0:
            raise UserError(
                "The heads of LPIPS must not be negative, or a distance could be. "
                f"Received: {path}, head {i} with {np.min(head.kernel):.3g}."
            )
    spec = tf.TensorSpec([1, None, None, 3], tf.float32)
    distance = tf.function(
        bundle.network.__call__, input_signature=[spec, spec], autograph=False
    )
    smallest = bundle.config.min_size

    def lpips(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
        check_images(sr_u8, hr_u8, minimum=smallest, what=f"lpips_{net}")
        return float(distance(to_float(sr_u8)[None], to_float(hr_u8)[None])[0])

    return lpips, f"LPIPS v0.1 on {_NETS[net]}, weights {bundle.sha256[:12]}"
