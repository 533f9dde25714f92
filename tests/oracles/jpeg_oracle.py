"""JPEG from the standard, block by block, with integers where libjpeg has them.

ITU-T T.81: the DCT is the double sum over cosines of A.3.3 in float64. Coefficients are
rounded to eighths as libjpeg's are, but the sum is exact where libjpeg rounds between
its passes too, so one that lies on a rounding border may fall on its other side. Tables
are computed in Python's integers.
"""

import math

import numpy as np

# Annex K, tables K.1 and K.2.
K1 = """
16 11 10 16 24 40 51 61      12 12 14 19 26 58 60 55
14 13 16 24 40 57 69 56      14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77    24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
K2 = (
    """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99
24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
"""
    + "99 " * 32
)


def table(text: str, quality: int) -> np.ndarray:
    """[8, 8] steps of libjpeg at a whole quality."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = [(int(word) * percent + 50) // 100 for word in text.split()]
    return np.array([min(max(step, 1), 255) for step in steps]).reshape(8, 8)


def cosines(frequency: int) -> np.ndarray:
    """C(u) / 2 * cos((2x + 1) u pi / 16) for x = 0..7."""
    scale = math.sqrt(0.5) if frequency == 0 else 1.0
    return np.array(
        [scale / 2 * math.cos((2 * x + 1) * frequency * math.pi / 16) for x in range(8)]
    )


BASIS = np.stack([cosines(u) for u in range(8)])


def code_block(block: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Samples [8, 8] -> samples after quantisation of the coefficients."""
    coefficients = np.einsum("uy,vx,yx->uv", BASIS, BASIS, block - 128.0)
    units = np.floor(8 * coefficients + 0.5) / 8 / steps
    kept = np.sign(units) * np.floor(np.abs(units) + 0.5) * steps
    samples = np.einsum("uy,vx,uv->yx", BASIS, BASIS, kept) + 128.0
    return np.clip(np.floor(samples + 0.5), 0, 255)


def code_plane(plane: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A plane whose sides are multiples of 8."""
    coded = np.empty_like(plane)
    for y in range(0, plane.shape[0], 8):
        for x in range(0, plane.shape[1], 8):
            coded[y : y + 8, x : x + 8] = code_block(plane[y : y + 8, x : x + 8], steps)
    return coded


def to_ycbcr(rgb_u8: np.ndarray) -> list[np.ndarray]:
    """Three planes of integers; libjpeg's 16-bit fixed point."""
    r, g, b = (rgb_u8[..., i].astype(np.int64) for i in range(3))
    y = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
    cb = (-11059 * r - 21709 * g + 32768 * b + (128 << 16) + 32767) >> 16
    cr = (32768 * r - 27439 * g - 5329 * b + (128 << 16) + 32767) >> 16
    return [y, cb, cr]


def to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    """Integers back to RGB."""
    y, cb, cr = (plane.astype(np.int64) for plane in (y, cb, cr))
    cb, cr = cb - 128, cr - 128
    r = y + ((91881 * cr + 32768) >> 16)
    g = y + ((-22554 * cb - 46802 * cr + 32768) >> 16)
    b = y + ((116130 * cb + 32768) >> 16)
    return np.clip(np.stack([r, g, b], -1), 0, 255).astype(np.uint8)


def averaged(plane: np.ndarray) -> np.ndarray:
    """One pixel for each 2x2; halves rounded down in even and up in odd columns."""
    out = np.empty([plane.shape[0] // 2, plane.shape[1] // 2], np.int64)
    for y, x in np.ndindex(*out.shape):
        total = int(plane[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].sum())
        out[y, x] = (total + (2 if x % 2 else 1)) >> 2
    return out


def upsampled(plane: np.ndarray) -> np.ndarray:
    """Triangle filter: nearest 3/4, next 1/4, in both directions; edges repeated."""
    height, width = plane.shape
    plane = plane.astype(np.int64)
    out = np.empty([2 * height, 2 * width], np.int64)
    for y, x in np.ndindex(*out.shape):
        row, other_row = y // 2, y // 2 + (1 if y % 2 else -1)
        column, other_column = x // 2, x // 2 + (1 if x % 2 else -1)
        other_row = min(max(other_row, 0), height - 1)
        other_column = min(max(other_column, 0), width - 1)
        near = 3 * plane[row, column] + plane[other_row, column]
        far = 3 * plane[row, other_column] + plane[other_row, other_column]
        out[y, x] = (3 * near + far + (7 if x % 2 else 8)) >> 4
    return out


def extended(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Repeats the last row and column."""
    grow = ((0, height - plane.shape[0]), (0, width - plane.shape[1]))
    return np.pad(plane, grow, mode="edge")


def up_to(length: int, multiple: int) -> int:
    """The next multiple."""
    return math.ceil(length / multiple) * multiple


def jpeg(rgb_u8: np.ndarray, quality: int, subsampling: str) -> np.ndarray:
    """[H, W, 3] uint8 -> [H, W, 3] uint8."""
    height, width = rgb_u8.shape[:2]
    rows, columns = up_to(height, 8), up_to(width, 8)
    y, cb, cr = to_ycbcr(rgb_u8)
    y = code_plane(extended(y, rows, columns).astype(float), table(K1, quality))
    chroma = []
    for plane in (cb, cr):
        if subsampling == "444":
            plane = extended(plane, rows, columns)
        else:
            plane = averaged(extended(plane, up_to(height, 2), up_to(width, 16)))
            plane = extended(plane, up_to(plane.shape[0], 8), plane.shape[1])
        plane = code_plane(plane.astype(float), table(K2, quality))
        if subsampling == "420":
            plane = upsampled(plane[: (height + 1) // 2, : (width + 1) // 2])
        chroma.append(plane[:height, :width])
    return to_rgb(y[:height, :width], *chroma)
