"""Convolution and normalisation from their definitions, one output value at a time.

Padding as in PyTorch: `pad` rows of zeros on every side, then windows that fit.
"""

import numpy as np


def conv2d(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int, pad: int
) -> np.ndarray:
    """[H, W, Cin] with taps [K, K, Cin, Cout] -> [h, w, Cout], no flip, float64."""
    padded = np.pad(image.astype(np.float64), [(pad, pad), (pad, pad), (0, 0)])
    side, _, _, outputs = kernel.shape
    h = (padded.shape[0] - side) // stride + 1
    w = (padded.shape[1] - side) // stride + 1
    out = np.zeros((h, w, outputs))
    for i in range(h):
        for j in range(w):
            y, x = i * stride, j * stride
            window = padded[y : y + side, x : x + side, :, None]
            out[i, j] = np.sum(window * kernel, axis=(0, 1, 2)) + bias
    return out


def same_conv(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Odd window, stride 1, same size."""
    return conv2d(image, kernel, bias, 1, kernel.shape[0] // 2)


def instance_norm(image: np.ndarray, epsilon: float) -> np.ndarray:
    """[H, W, C] to zero mean and unit variance of each channel."""
    out = np.zeros(image.shape)
    for c in range(image.shape[-1]):
        channel = image[..., c].astype(np.float64)
        mean = channel.sum() / channel.size
        variance = ((channel - mean) ** 2).sum() / channel.size
        out[..., c] = (channel - mean) / np.sqrt(variance + epsilon)
    return out


def leaky_relu(x: np.ndarray, slope: float) -> np.ndarray:
    """max(x, slope * x)."""
    return np.where(x > 0, x, slope * x)
