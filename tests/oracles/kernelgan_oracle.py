"""KernelGAN in NumPy: networks layer by layer, losses tap by tap, post-processing.

Written from Bell-Kligler et al. 2019 (arXiv:1909.06581) and the constants of its
published code, for one photograph at a time.
"""

import numpy as np
from scipy.ndimage import center_of_mass

from tests.oracles.conv_oracle import conv2d


def generator(picture: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """[H, W, 3] through all layers, each colour by itself, no padding, stride 2."""
    colours = []
    for colour in range(3):
        x = picture[..., colour : colour + 1].astype(np.float64)
        for kernel in kernels:
            x = conv2d(x, kernel, np.zeros(kernel.shape[-1]), 1, 0)
        colours.append(x[::2, ::2, 0])
    return np.stack(colours, axis=-1)


def discriminator(
    picture: np.ndarray,
    kernels: list[np.ndarray],
    biases: list[np.ndarray],
    vectors: list[np.ndarray],
    gammas: list[np.ndarray],
    betas: list[np.ndarray],
) -> np.ndarray:
    """[h, w, 3] -> logits [h-6, w-6], without moving the power iteration on."""
    x = picture.astype(np.float64)
    for i, kernel in enumerate(kernels):
        matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
        left = vectors[i] / np.linalg.norm(vectors[i])
        right = matrix @ left
        right /= np.linalg.norm(right)
        x = conv2d(x, kernel / (right @ matrix @ left), biases[i], 1, 0)
        if 0 < i < len(kernels) - 1:
            mean, var = x.mean(axis=(0, 1)), x.var(axis=(0, 1))
            x = (x - mean) / np.sqrt(var + 1e-5) * gammas[i - 1] + betas[i - 1]
            x = np.maximum(x, 0)
    return x[..., 0]


def kernel_losses(k: np.ndarray) -> list[float]:
    """Sum to one, boundaries, centre and sparsity of one kernel of odd side."""
    side = len(k)
    border = centre_y = centre_x = sparse = 0.0
    margin = (side - (side // 2 + 1)) // 2 - 1
    inside = range(margin, side - margin)
    for y in range(side):
        for x in range(side):
            away = (y - side // 2) ** 2 + (x - side // 2) ** 2
            mask = 30 * (1 - np.exp(-away / (2 * side**2)))
            if y in inside and x in inside:
                mask = 0.0
            border += abs(k[y, x] * mask) / side**2
            sparse += abs(k[y, x]) ** 0.2 / side**2
            centre_y += y * k[y, x] / k.sum()
            centre_x += x * k[y, x] / k.sum()
    middle = side // 2 + 0.5
    centre = ((centre_y - middle) ** 2 + (centre_x - middle) ** 2) / 2
    return [abs(1 - k.sum()), border, centre, sparse]


def schedule(losses: list[float]) -> list[tuple[float, float, float]]:
    """(bicubic, centre, sparse) in force at each step, from the bicubic losses."""
    bicubic, centre, sparse = 5.0, 0.0, 0.0
    in_a_row, is_near, to_insert = 0, False, True
    weights = []
    for step, loss in enumerate(losses):
        weights.append((bicubic, centre, sparse))
        if step == 0:
            continue
        if not is_near:
            if loss < 0.4:
                if in_a_row >= 2:
                    is_near = True
                else:
                    in_a_row += 1
            else:
                in_a_row = 0
        elif step % 200 == 0 and bicubic > 5e-6:
            bicubic = max(bicubic / 100, 5e-6)
            if to_insert and bicubic < 5e-3:
                centre, sparse, to_insert = 1.0, 5.0, False
    return weights


def significant(k: np.ndarray) -> np.ndarray:
    """Taps above 0.75 of the 41st largest, of sum 1."""
    largest_first = sorted(k.ravel(), reverse=True)
    kept = np.maximum(k - 0.75 * largest_first[40], 0)
    return kept / kept.sum()


def reduce(picture: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """[H, W] correlated with [K, K], every stride-th pixel, no padding."""
    side = len(kernel)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (side, side))
    return np.einsum("yxij,ij->yx", windows[::stride, ::stride], kernel)


def centre(k: np.ndarray) -> np.ndarray:
    """Centre of mass from the middle tap, (down, right)."""
    return np.array(center_of_mass(k)) - len(k) // 2
