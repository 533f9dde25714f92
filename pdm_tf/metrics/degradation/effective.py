"""The linear kernel that best explains LR images: an estimate, for any degradation.

A network that maps HR to LR images has no kernel. But one can ask which kernel k would
explain what it makes of a photograph best: with x_p the L x L window of the HR image
around LR pixel p, y_p the LR pixel, and both about their means,

    k = argmin_k  sum_p (x_p . k - y_p)^2 / v + |k|^2 / t^2.

Photographs say nearly nothing about some directions of k, their highest frequencies,
where the second term keeps it near zero: it is the prior that taps are normal numbers
of standard deviation t. v, the variance of what no kernel explains (noise, what is not
linear), is that of a first solution. The means drop a tint, which is no blur.

What is not linear, and noise, make the estimate worse, never better: coverage of true
kernels by estimates is lower than by the kernels themselves would be. So it compares
estimates with estimates.
"""

import numpy as np

from pdm_tf.ops.blur import grid_geometry

TAP_STD = 0.05  # t; the taps of a Gaussian of 2 px are 0.04 and less
_FIRST_VARIANCE = (1.0 / 255.0) ** 2


def effective_kernel(
    hr: np.ndarray, lr: np.ndarray, side: int, scale: int, grid: str | None = None
) -> np.ndarray:
    """Estimates the kernel between a photograph and its LR image.

    Args:
      hr: [H, W, 3] float in [0, 1], the photograph with context on each side: as many
        pixels more as make whole LR pixels, at least side // 2 + scale.
      lr: [h, w, 3] float, the LR image of its middle.
      side: L, odd.
      scale: downsampling factor.
      grid: of `core.geometry.GRIDS`; None as "half_pixel".

    Returns:
      [side, side] float64, correlated like every kernel here, taps of any sign.
    """
    room = (hr.shape[0] - scale * lr.shape[0]) // 2
    window, _ = grid_geometry(scale, grid or "half_pixel")
    first = room + window - side // 2
    grey = np.asarray(hr, np.float64).mean(axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
    ends = (first + scale * lr.shape[0], first + scale * lr.shape[1])
    x = windows[first : ends[0] : scale, first : ends[1] : scale].reshape(-1, side**2)
    x = x - x.mean(axis=0)
    y = np.asarray(lr, np.float64).mean(axis=-1).ravel()
    y = y - y.mean()
    products, about = x.T @ x, x.T @ y
    variance = _FIRST_VARIANCE
    for _ in range(2):
        prior = variance / TAP_STD**2 * np.eye(side**2)
        kernel = np.linalg.solve(products + prior, about)
        variance = max(np.square(x @ kernel - y).mean(), _FIRST_VARIANCE / 12.0)
    return kernel.reshape(side, side)
