"""JPEG's standard quantisation tables, and how quality scales them.

Annex K of ITU-T T.81, tables K.1 and K.2, and the formula of libjpeg (`jcparam.c`),
which nearly every encoder has taken over: 50 gives the standard tables, 100 all ones.
"""

import numpy as np

SUBSAMPLINGS = ("444", "420")

# [64], row-major.
# fmt: off
LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61,
        12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56,
        14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77,
        24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101,
        72, 92, 95, 98, 112, 100, 103, 99,
    ],
    np.float32,
)
CHROMINANCE = np.array(
    [
        17, 18, 24, 47, 99, 99, 99, 99,
        18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99,
        47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
    np.float32,
)
# fmt: on


def steps_of(standard: np.ndarray, quality: int) -> np.ndarray:
    """The standard table scaled by quality, as libjpeg's baseline encoder does.

    Args:
      standard: [64] of Annex K, row-major.
      quality: whole number, 1..100.

    Returns:
      [64] int64 quantisation steps in 1..255.

    Raises:
      ValueError: a quality outside 1..100.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be 1 to 100. Received: {quality}.")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((standard.astype(np.int64) * percent + 50) // 100).clip(1, 255)


def nearest_quality(steps: np.ndarray, among: np.ndarray | None = None) -> int:
    """The quality whose luma table is nearest.

    Distance is the mean of |log(step / step')|, weighed by 1 / the standard step: as
    much as the eye, for which that table was made, sees of a frequency.

    Args:
      steps: [64] quantisation steps of luma, row-major, 1 or more.
      among: [64] bool, the frequencies that count; all if None.

    Returns:
      1..100, of several equally near ones the largest.
    """
    tables = np.stack([steps_of(LUMINANCE, quality) for quality in range(100, 0, -1)])
    off = np.abs(np.log(tables / np.asarray(steps, np.float64)))
    weights = 1.0 / LUMINANCE if among is None else among / LUMINANCE
    return 100 - int(np.argmin(off @ weights))
