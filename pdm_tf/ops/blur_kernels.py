"""Blur kernels by formula, a batch at a time: Gaussians, their kin, and the sinc.

All are functions of the taps' places, right of and below the middle one, and are
divided by their sum. Some are cut to a square that is smaller than the array which
holds them: outside it they are zero.
"""

import numpy as np
import tensorflow as tf


def gaussian_kernels(
    sigmas_px: tf.Tensor, theta_rad: tf.Tensor, side: int, centre_px: float = 0.0
) -> tf.Tensor:
    """Anisotropic Gaussians, sampled at the taps and divided by their sum.

    Args:
      sigmas_px: [B, 2] standard deviations along the two axes.
      theta_rad: [B, 1] angle of the first axis, from right towards below.
      side: K.
      centre_px: centre, right of and below the middle tap.

    Returns:
      [B, 1, 1, K*K] float32, row-major taps.
    """
    squares = _squares(sigmas_px, theta_rad, side, centre_px)
    return tf.nn.softmax(-0.5 * squares, axis=-1)[:, None, None, :]


def bell_kernels(
    sigmas_px: tf.Tensor,
    theta_rad: tf.Tensor,
    side: int,
    *,
    beta: tf.Tensor | float = 1.0,
    plateau: tf.Tensor | bool = False,
    used_side: tf.Tensor | None = None,
) -> tf.Tensor:
    """Generalised Gaussians exp(-q^beta / 2), and plateaus 1 / (1 + q^beta).

    With q the squared distance in standard deviations: beta = 1 gives the Gaussian,
    more a flatter top with steeper sides. Liu et al. 2020, arXiv:2005.12597 (Real-
    ESRGAN, arXiv:2107.10833, section 3.1, takes its kernels from there).

    Args:
      sigmas_px: [B, 2] standard deviations along the two axes; equal ones make it
        isotropic.
      theta_rad: [B, 1] angle of the first axis, from right towards below.
      side: K, odd.
      beta: [B, 1] or one number, positive.
      plateau: [B, 1] or one truth value.
      used_side: [B, 1] odd sides of the squares outside which taps are zero; K without.

    Returns:
      [B, K*K] float32, row-major taps.
    """
    powers = _squares(sigmas_px, theta_rad, side) ** beta
    logits = tf.where(plateau, -tf.math.log1p(powers), -0.5 * powers)
    if used_side is not None:
        logits = tf.where(_inside(side, used_side), logits, -np.inf)
    return tf.nn.softmax(logits, axis=-1)


def sinc_kernels(
    cutoff_rad: tf.Tensor, side: int, used_side: tf.Tensor | None = None
) -> tf.Tensor:
    """Circular low-pass filters c J1(c r) / (2 pi r), which ring.

    J1 is the Bessel function of the first kind of order 1: the impulse response of a
    filter that passes all frequencies up to c and nothing above (Real-ESRGAN,
    arXiv:2107.10833, Eq. 6).

    Args:
      cutoff_rad: [B, 1] c, radians per pixel, up to pi.
      side: K, odd.
      used_side: as in `bell_kernels`.

    Returns:
      [B, K*K] float32, row-major taps, negative ones among them.
    """
    y, x = _offsets(side)
    radius = np.hypot(y, x)
    middle = radius == 0.0
    argument = cutoff_rad * np.where(middle, 1.0, radius)
    # J1(z) / z is 1/2 at 0; factors that are the same for all taps cancel in the sum.
    values = tf.where(middle, 0.5, tf.math.special.bessel_j1(argument) / argument)
    if used_side is not None:
        values = tf.where(_inside(side, used_side), values, 0.0)
    return values / tf.reduce_sum(values, axis=-1, keepdims=True)


def _squares(
    sigmas_px: tf.Tensor, theta_rad: tf.Tensor, side: int, centre_px: float = 0.0
) -> tf.Tensor:
    """[B, K*K] squared distance of the taps in standard deviations."""
    y, x = _offsets(side, centre_px)
    along = tf.cos(theta_rad) * x + tf.sin(theta_rad) * y
    across = tf.cos(theta_rad) * y - tf.sin(theta_rad) * x
    return tf.square(along / sigmas_px[:, :1]) + tf.square(across / sigmas_px[:, 1:])


def _inside(side: int, used_side: tf.Tensor) -> tf.Tensor:
    """[B, K*K]: which taps lie in the square."""
    y, x = _offsets(side)
    return np.maximum(abs(y), abs(x)) <= tf.cast(used_side // 2, tf.float32)


def _offsets(side: int, centre_px: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """[1, K*K] each: how far taps lie below and right of the centre."""
    offsets = (np.arange(side) - side // 2 - centre_px).astype(np.float32)
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    return y.reshape(1, -1), x.reshape(1, -1)
