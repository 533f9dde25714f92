"""Finds in pixels what JPEG they went through: the comb of their DCT coefficients.

A JPEG file stores multiples of the steps of its quantisation table. Whoever decodes it,
saves the pixels elsewhere, and computes the DCT of the same blocks again finds the
multiples, a little blurred by the roundings of the pixels: for each frequency a comb,
whose teeth tell the table, hence the quality, exactly (Fan and de Queiroz 2003,
"Identification of Bitmap Compression History", IEEE TIP 12(2), on which many build).

For every quality 1..100 the coefficients of each frequency are compared with two
hypotheses: they are spread evenly, or they are multiples of the step plus a normal
error, wrapped, but for a share of outliers. The sum of the logarithms of the ratio is
the quality's score. Coefficients near zero are left out, which every smooth picture
has, and so are blocks with clipped pixels, whose coefficients were changed.

An encoder with tables of its own is found by the best step of each frequency by
itself, which needs more evidence; then the quality is the nearest one.

The grid of blocks begins anywhere in a crop: all 64 places are tried, after (0, 0).

Chroma at half resolution is found in the same way, once its triangle ("fancy")
upsampling is undone, which is a well-conditioned system of equations.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from pdm_tf.core.jpeg_tables import CHROMINANCE, LUMINANCE, nearest_quality, steps_of

# Standard deviation of a coefficient's error. Rounding a plane to whole numbers alone
# gives 0.29; where rounded RGB does not bring back the decoder's luma it is more.
_ERROR = 0.42
_OUTLIERS = 0.02
_LEAST = 1.3  # coefficients below, about 3 _ERROR, are near zero
# Coefficients are told apart in eighths.
_BINS_PER_UNIT = 8
_BINS = 8 * 1040  # the largest AC coefficient of 8-bit samples is below 1040
_STEPS = 256

# What is taken for a finding: a score that chance gives once in e^15 pictures and
# hypotheses, and that many different teeth. A smooth gradient, a sky say, has the same
# coefficients in every block, and where one lies proves nothing.
_FOUND = 15.0
_LEAST_TEETH = 5
_OF_A_TOOTH = 1.0  # score of one that is hit
# Frequencies of a table of free steps. Pictures of a few levels have combs at the three
# whose cosines are all equal in size: 4 down, 4 across, and both.
_LEAST_SEEN = 8
_LEAST_VARIETY = 0.6
# Of the score that free steps reach, what a quality's table must have.
_SHARE_OF_OWN = 0.7
# Between the scores of two resolutions of chroma.
_CHROMA_MARGIN = 15.0

_BLOCKS_FIRST, _BLOCKS = 300, 2500  # for each of the 64 places; for the best of them
_BEST = 3
_SIDE = 8
_WINDOW = 1024  # pixels, each way: of larger photographs the middle


class Comb(NamedTuple):
    """What was found.

    Attributes:
      quality: 1..100; 0: nothing.
      offset: (y, x) of the grid of blocks, each 0..7.
      score: logarithm of the likelihood ratio against no JPEG.
      is_exact: whether the table is that of `quality`, not just near to it.
    """

    quality: int = 0
    offset: tuple[int, int] = (0, 0)
    score: float = 0.0
    is_exact: bool = True


def find_comb(rgb_u8: np.ndarray) -> Comb:
    """Looks for a quality and a grid that explain the luma of a photograph.

    Args:
      rgb_u8: [H, W, 3] uint8, of any size; less than 16 pixels show nothing.
    """
    corner, rgb_u8 = _middle(rgb_u8)
    if min(rgb_u8.shape[:2]) < 2 * _SIDE:
        return Comb()
    plane, usable = _luma(rgb_u8), _unclipped(rgb_u8)
    found = _judged(_teeth(plane, usable, (0, 0), _BLOCKS), (0, 0))
    if not found.quality:
        places = [(y, x) for y in range(_SIDE) for x in range(_SIDE)]
        scores = [
            _evidence(_sums(_teeth(plane, usable, place, _BLOCKS_FIRST)))
            for place in places
        ]
        best = sorted(zip(scores, places, strict=True), reverse=True)[:_BEST]
        judged = [
            _judged(_teeth(plane, usable, place, _BLOCKS), place) for _, place in best
        ]
        found = max(judged, key=lambda one: one.score)
    if not found.quality:
        return Comb()
    y, x = ((o + c) % _SIDE for o, c in zip(found.offset, corner, strict=True))
    return found._replace(offset=(y, x))


def find_subsampling(rgb_u8: np.ndarray, comb: Comb) -> str:
    """Looks for the resolution of chroma in a photograph.

    Args:
      rgb_u8: [H, W, 3] uint8.
      comb: what `find_comb` found in it.

    Returns:
      "444", "420", or "" where chroma does not tell, as in a grey picture.
    """
    corner, rgb_u8 = _middle(rgb_u8)
    y, x = ((o - c) % _SIDE for o, c in zip(comb.offset, corner, strict=True))
    usable = _unclipped(rgb_u8)
    planes = _chroma(rgb_u8)
    full = _chroma_score([np.rint(plane) for plane in planes], usable, (y, x), comb)
    # The grid of halved chroma repeats after 16 pixels: 4 places for one of 8.
    first = (y % 2, x % 2)
    halves = [np.rint(_halved(plane, first)) for plane in planes]
    usable = _halved_mask(usable, first)
    half = max(
        _chroma_score(halves, usable, (y // 2 + down, x // 2 + right), comb)
        for down in (0, 4)
        for right in (0, 4)
    )
    if abs(full - half) < _CHROMA_MARGIN:
        return ""
    return "444" if full > half else "420"


def _middle(rgb_u8: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """(corner (y, x), the middle of a large photograph), the corner on even pixels."""
    height, width = rgb_u8.shape[:2]
    top, left = (max(0, side - _WINDOW) // 4 * 2 for side in (height, width))
    return (top, left), rgb_u8[top : top + _WINDOW, left : left + _WINDOW]


def _luma(rgb_u8: np.ndarray) -> np.ndarray:
    """[H, W] float32, whole numbers: JFIF's luma in 16-bit fixed point."""
    red, green, blue = np.moveaxis(rgb_u8.astype(np.int32), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(
        np.float32
    )


def _chroma(rgb_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cb and Cr, [H, W] float32, 0 for grey, not rounded."""
    red, green, blue = np.moveaxis(rgb_u8.astype(np.float32), -1, 0)
    return (
        -0.168736 * red - 0.331264 * green + 0.5 * blue,
        0.5 * red - 0.418688 * green - 0.081312 * blue,
    )


def _unclipped(rgb_u8: np.ndarray) -> np.ndarray:
    return ~np.any((rgb_u8 == 0) | (rgb_u8 == 255), axis=2)


class _Teeth(NamedTuple):
    """Coefficients that are not near zero, counted in bins; each [N] int64.

    Attributes:
      frequency: 1..63, row-major, ascending.
      bins: eighths of the absolute value.
      count: how many coefficients lie there.
      variety: different blocks / blocks that are not flat.
    """

    frequency: np.ndarray
    bins: np.ndarray
    count: np.ndarray
    variety: float


def _teeth(
    plane: np.ndarray, usable: np.ndarray, offset: tuple[int, int], most: int
) -> _Teeth:
    """Coefficients of a plane [H, W] on the grid of blocks that begins at `offset`.

    Args:
      plane: whole numbers.
      usable: [H, W] bool; blocks with any other pixel are left out.
      offset: (y, x), each 0..7.
      most: blocks; of more, as many are taken evenly.
    """
    whole = _blocks(usable, offset).all(axis=1)
    textured = _blocks(plane, offset)[whole]
    textured = textured[np.ptp(textured, axis=1) > 0]
    blocks = _different(textured)
    variety = len(blocks) / max(len(textured), 1)
    if len(blocks) > most:
        blocks = blocks[np.linspace(0, len(blocks) - 1, most).astype(int)]
    values = np.abs(blocks @ _dct()).T
    values[0] = 0.0  # the mean
    keys = np.rint(values * _BINS_PER_UNIT).astype(np.int64)
    keys += np.arange(_SIDE**2)[:, None] * _BINS
    kept, counts = np.unique(keys[values > _LEAST], return_counts=True)
    return _Teeth(kept // _BINS, kept % _BINS, counts, variety)


def _blocks(plane: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
    """[H, W] -> [N, 64], the whole blocks of the grid that begins at `offset`."""
    plane = plane[offset[0] :, offset[1] :]
    rows, columns = (side // _SIDE for side in plane.shape)
    plane = plane[: rows * _SIDE, : columns * _SIDE]
    blocks = plane.reshape(rows, _SIDE, columns, _SIDE).swapaxes(1, 2)
    return blocks.reshape(-1, _SIDE**2)


def _different(blocks: np.ndarray) -> np.ndarray:
    """Leaves out blocks that repeat another one, brighter or darker: they are drawn."""
    relative = (blocks - blocks[:, :1]).astype(np.int64)
    keys = relative @ np.random.default_rng(0).integers(1, 2**40, _SIDE**2)
    _, first = np.unique(keys, return_index=True)
    return blocks[np.sort(first)]


def _sums(teeth: _Teeth) -> np.ndarray:
    """[64, 256] float32: the score of each step at each frequency; 0 says nothing."""
    first = np.searchsorted(teeth.frequency, np.arange(_SIDE**2 + 1))
    counts = (teeth.count.astype(np.float32), teeth.bins, first)
    return sparse.csr_array(counts, shape=(_SIDE**2, _BINS)) @ _log_ratios()


def _scores(sums: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """The score of each table: [N, 64] -> [N]."""
    return sums[np.arange(_SIDE**2), tables].sum(axis=1)


def _freely(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table of any encoder: the best step of each frequency by itself.

    Returns:
      steps [64], and their scores [64], which pay for the choice among 255.
    """
    return sums.argmax(axis=1), (sums.max(axis=1) - np.log(_STEPS)).clip(0.0)


def _evidence(sums: np.ndarray) -> float:
    """The largest score of any table."""
    known = _scores(sums, _luma_tables()).max()
    return max(float(known), float(_freely(sums)[1].sum()))


def _judged(teeth: _Teeth, offset: tuple[int, int]) -> Comb:
    """The best quality for a grid, if there is enough evidence for it.

    Where a table of free steps explains much more than the best quality's, the encoder
    had one of its own. So many choices need better evidence, from blocks that are not
    drawn: coefficients that occur again and again count by the root of their number,
    and a frequency shows two teeth or none.
    """
    scores = _scores(_sums(teeth), _luma_tables())
    best = int(np.argmax(scores))
    table, quality, score = _luma_tables()[best], best % 100 + 1, float(scores[best])
    weighed = teeth._replace(count=np.sqrt(teeth.count))
    sums = _sums(weighed)
    steps, gains = _freely(sums)
    gains[_hits(weighed, steps) < 2] = 0.0
    is_seen, own_score = gains > 0.0, float(gains.sum())
    is_own = float(_scores(sums, table[None])[0]) < _SHARE_OF_OWN * own_score
    if is_own:
        if is_seen.sum() < _LEAST_SEEN or teeth.variety < _LEAST_VARIETY:
            return Comb()
        table, score = np.where(is_seen, steps, 1), own_score
        quality = nearest_quality(table, is_seen)
    if score <= _FOUND or _hits(teeth, table).sum() < _LEAST_TEETH:
        return Comb()
    return Comb(quality, offset, score, not is_own)


def _hits(teeth: _Teeth, table: np.ndarray) -> np.ndarray:
    """[64]: how many different teeth, but that at 0, the coefficients lie on."""
    step = table[teeth.frequency]
    multiple = np.rint(teeth.bins / _BINS_PER_UNIT / step.clip(1)).astype(np.int64)
    scores = (_log_ratios()[teeth.bins, step] * teeth.count)[multiple > 0]
    names = (teeth.frequency * _BINS + multiple)[multiple > 0]
    names, index = np.unique(names, return_inverse=True)
    is_hit = np.bincount(index, scores, len(names)) > _OF_A_TOOTH
    return np.bincount(names[is_hit] // _BINS, minlength=_SIDE**2)


def _chroma_score(
    planes: list[np.ndarray], usable: np.ndarray, offset: tuple[int, int], comb: Comb
) -> float:
    """Of the quality's table for chroma, or of any where the encoder had its own."""
    sums = [_sums(_teeth(plane, usable, offset, _BLOCKS)) for plane in planes]
    if not comb.is_exact:
        return float(_freely(sums[0] + sums[1])[1].sum())
    table = steps_of(CHROMINANCE, comb.quality)[None]
    return float(_scores(sums[0] + sums[1], table)[0])


def _halved(plane: np.ndarray, first: tuple[int, int]) -> np.ndarray:
    """Undoes triangle upsampling by 2; pairs of pixels begin at `first`."""
    rows = _undoubled(plane[first[0] :])
    return _undoubled(rows[:, first[1] :].T).T


def _undoubled(plane: np.ndarray) -> np.ndarray:
    """[2n (+ 1), W] -> [n, W] whose triangle upsampling gives the sums of pairs.

    Sample i made 3/4 of both pixels of its pair; the neighbours, repeated at the ends,
    gave a quarter to the pixel on their side.
    """
    count = len(plane) // 2
    sums = plane[0 : 2 * count : 2] + plane[1 : 2 * count : 2]
    banded = np.full([2, count], 0.25)
    banded[1] = 1.5
    banded[1, [0, -1]] += 0.25
    return linalg.solveh_banded(banded, sums)


def _halved_mask(usable: np.ndarray, first: tuple[int, int]) -> np.ndarray:
    usable = usable[first[0] :, first[1] :]
    rows, columns = (side // 2 for side in usable.shape)
    pairs = usable[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    return pairs.all(axis=(1, 3))


@functools.cache
def _dct() -> np.ndarray:
    """[64, 64] float32, orthonormal: a flat block times it is its coefficients."""
    u = np.arange(_SIDE)
    matrix = np.cos((2 * u[None] + 1) * u[:, None] * np.pi / 16) / 2.0
    matrix[0] /= np.sqrt(2.0)
    return np.kron(matrix, matrix).T.astype(np.float32)


@functools.cache
def _luma_tables() -> np.ndarray:
    """[200, 64]: of qualities 1..100, and transposed, for photographs on their side."""
    tables = np.stack([steps_of(LUMINANCE, quality) for quality in range(1, 101)])
    turned = tables.reshape(-1, _SIDE, _SIDE).swapaxes(1, 2).reshape(tables.shape)
    return np.concatenate([tables, turned])


@functools.cache
def _log_ratios() -> np.ndarray:
    """[bins, steps] float32: log of a comb's density over an even one's.

    Steps 0, which does not occur, and 1, which the errors hide, have zeros. So have
    coefficients of small steps below the first border between two teeth: to begin
    elsewhere would favour some places, since small coefficients are the most frequent.
    """
    values = np.arange(_BINS, dtype=np.float32)[:, None] / _BINS_PER_UNIT
    steps = np.arange(1, _STEPS, dtype=np.float32)[None]
    off = np.abs(values - steps * np.rint(values / steps))
    # Errors reach the next teeth, where these are near.
    density = sum(
        np.exp(-0.5 * ((off + turn * steps) / np.float32(_ERROR)) ** 2)
        for turn in range(-2, 3)
    )
    density *= steps / np.float32(_ERROR * np.sqrt(2.0 * np.pi))
    ratios = np.log((1.0 - _OUTLIERS) * density + _OUTLIERS)
    first = np.where(steps / 2.0 < _LEAST, steps * 1.5, 0.0)
    ratios[(steps == 1.0) | (values < first)] = 0.0
    return np.pad(ratios, [[0, 0], [1, 0]]).astype(np.float32)
