"""Network interpolation: between a PSNR-trained and a GAN-trained network.

Wang et al. 2018 (ESRGAN, arXiv:1809.00219), Eq. (4): every parameter of the result is
(1 - alpha) of the PSNR network's and alpha of the GAN network's. It works for networks
if one was fine-tuned from the other: they lie in one valley of the loss.
"""

import dataclasses

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.models.network import Network


def require_same_architecture(a: Network, b: Network) -> None:
    """Checks that the networks differ in the values of their variables alone.

    Raises:
      UserError: they differ otherwise; the first such variable is named, or the setting
        if all variables agree.
    """
    ours, theirs = _shapes(a), _shapes(b)
    for (name, shape), (other, other_shape) in zip(ours, theirs, strict=False):
        if (name, shape) != (other, other_shape):
            raise UserError(
                "Networks to interpolate must have the same variables. Received: "
                f"{name} {shape} in {type(a).__name__} of --model_a, {other} "
                f"{other_shape} in {type(b).__name__} of --model_b."
            )
    if len(ours) != len(theirs):
        longer = "--model_a" if len(ours) > len(theirs) else "--model_b"
        name, shape = max(ours, theirs, key=len)[min(len(ours), len(theirs))]
        raise UserError(
            "Networks to interpolate must have the same variables. Received: "
            f"{name} {shape} in {longer} alone."
        )
    if type(a) is not type(b) or a.config != b.config:
        raise UserError(
            "Networks to interpolate must have the same settings. Received: "
            f"{_different_setting(a, b)}."
        )


def interpolated(a: Network, b: Network, alpha: float) -> Network:
    """Makes a network with (1 - alpha) a + alpha b.

    Args:
      a, b: alike, see `require_same_architecture`.
      alpha: in [0, 1]; at 0 and 1 the weights are bit for bit those of `a` and `b`.

    Returns:
      A new network in float32; the sums are rounded once, from float64.
    """
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    network = a.config.build()
    network.set_weights([_between(x, y, alpha) for x, y in pairs])
    return network


def _between(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    if alpha in (0.0, 1.0):  # a product with 0 loses the sign of zeros
        return y if alpha else x
    wide = (1.0 - alpha) * x.astype(np.float64) + alpha * y.astype(np.float64)
    return wide.astype(x.dtype)


def _shapes(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    """Names below the network's own, which depends on what was built before."""
    return [(v.path.partition("/")[2], tuple(v.shape)) for v in network.variables]


def _different_setting(a: Network, b: Network) -> str:
    if type(a) is not type(b):
        return f"{type(a).__name__} and {type(b).__name__}"
    for field in dataclasses.fields(a.config):
        values = getattr(a.config, field.name), getattr(b.config, field.name)
        if values[0] != values[1]:
            return f"{field.name}={values[0]} and {field.name}={values[1]}"
    raise AssertionError("equal configs have no different setting")
