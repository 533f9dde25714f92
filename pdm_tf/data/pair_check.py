"""Whether two pictures of a pair show the same scene, and where the LR one lies.

Names alone pair other photographs of a series, and a wrong folder pairs everything. The
structures of a picture tell: both are reduced to about 48 cells, of which neither the
finest (noise, blur) nor the coarsest (dark ground, light sky) count. Of 18 photographs
true pairs correlate by 0.45 or more, at a blur of 10 HR px and noise of 25 levels too;
others by 0.14 at most. Of pictures of 24 to 48 px true pairs have 0.5 or more, and nine
in ten others less than 0.2.
"""

from collections.abc import Iterable

import numpy as np

from pdm_tf.core.geometry import GRIDS, reversal_shift

_SAME_SCENE = 0.2
_CELLS = 48
_LEAST_SIDE = 24  # LR px; smaller pictures have too few structures
_FLAT_255 = 1.0  # levels: what is flat correlates with anything
_FINE, _COARSE = 2, 24  # passes of a filter of 1, 2, 1: sigmas of 1 and 3.5 cells
_FOLLOWED = 2.0  # LR px that a displacement is found within


def correlation(hr_u8: np.ndarray, lr_u8: np.ndarray) -> float | None:
    """How far the structures of two pictures agree, -1 to 1.

    Args:
      hr_u8: [s * h, s * w, 3] uint8.
      lr_u8: [h, w, 3] uint8.

    Returns:
      None where nothing can be told: pictures that are small or flat.
    """
    height, width = lr_u8.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        return None
    step = max(1, min(height, width) // _CELLS)
    scale = hr_u8.shape[0] // height
    hr, lr = (
        _middle(_reduced(image, factor))
        for image, factor in ((hr_u8, scale * step), (lr_u8, step))
    )
    rows, columns = np.minimum(hr.shape, lr.shape)
    hr, lr = hr[:rows, :columns], lr[:rows, :columns]
    if min(hr.std(), lr.std()) < _FLAT_255:
        return None
    return float(np.corrcoef(hr.ravel(), lr.ravel())[0, 1])


def why_no_pair(hr_u8: np.ndarray, lr_u8: np.ndarray, hr_name: str) -> str:
    """Why an LR picture is not of the scene of `hr_name`, after its name; "" if it is.

    Args:
      hr_u8, lr_u8: see `correlation`.
      hr_name: the HR picture's name.
    """
    found = correlation(hr_u8, lr_u8)
    if found is None or found >= _SAME_SCENE:
        return ""
    return (
        f"does not show the scene of {hr_name} (correlation {found:.2f}; pairs have "
        f"{_SAME_SCENE} or more, and --accept_folders takes others too)"
    )


def displacement(hr_u8: np.ndarray, lr_u8: np.ndarray) -> tuple[float, float] | None:
    """How far down and right, in HR px, of its HR pixels' centres an LR image lies.

    By least squares on the gradients (Lucas and Kanade 1981), at the LR size, which
    follows displacements of up to two LR pixels.

    Args:
      hr_u8, lr_u8: see `correlation`.

    Returns:
      None where nothing can be told.
    """
    height, width = lr_u8.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        return None
    scale = hr_u8.shape[0] // height
    hr, lr = (_smooth(_reduced(x, f), 6) for x, f in ((hr_u8, scale), (lr_u8, 1)))
    down, right = np.gradient(hr)
    inner = (slice(4, -4), slice(4, -4))
    slopes = np.stack([down[inner].ravel(), right[inner].ravel()], axis=1)
    if slopes.std() < _FLAT_255 / 4:
        return None
    found, *_ = np.linalg.lstsq(slopes, (lr - hr)[inner].ravel(), rcond=None)
    if np.abs(found).max() > _FOLLOWED:
        return None
    return float(found[0] * scale), float(found[1] * scale)


def displaced(
    places: Iterable[tuple[float, float] | None],
    scale: int,
    grid: str | None,
    which: str = "pairs",
) -> str:
    """A sentence on pairs that lie half an LR pixel or more beside their grid.

    Args:
      places: `displacement` of each pair.
      scale: HR size / LR size.
      grid: where LR pixels are taken to lie, see `core.geometry.GRIDS`; None: unknown.
      which: what pairs they are, in words.

    Returns:
      "" where they lie as they should, or nothing is known.
    """
    known = [place for place in places if place]
    if not known:
        return ""
    place = np.median(np.array(known), axis=0)
    grids = [grid] if grid else GRIDS
    # Of the centres, those of "pixel0" lie up and left.
    besides = [place + reversal_shift(scale, one) / 2 for one in grids]
    beside = min(besides, key=np.linalg.norm)
    if np.linalg.norm(beside) < max(scale / 2, 1.0):
        return ""
    return (
        f"the LR images of the {which} lie {beside[0]:+.1f} HR px down and "
        f"{beside[1]:+.1f} right of where they should (median of {len(known)}): what "
        "is learned or scored on them is displaced or blurred; align them first"
    )


def _reduced(image_u8: np.ndarray, factor: int) -> np.ndarray:
    """Means of the luma over squares of `factor` pixels, float64."""
    rows, columns = (side // factor for side in image_u8.shape[:2])
    whole = image_u8[: rows * factor, : columns * factor].mean(axis=-1)
    return whole.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _middle(cells: np.ndarray) -> np.ndarray:
    return _smooth(cells, _FINE) - _smooth(cells, _COARSE)


def _smooth(image: np.ndarray, passes: int) -> np.ndarray:
    """Filters by 1, 2, 1 along both axes, `passes` times; borders are repeated."""
    for _ in range(passes):
        wide = np.pad(image, 1, mode="edge")
        rows = image / 2 + (wide[:-2, 1:-1] + wide[2:, 1:-1]) / 4
        wide = np.pad(rows, 1, mode="edge")
        image = rows / 2 + (wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    return image
