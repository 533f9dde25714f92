"""What JPEG did to photographs: from their files, else from their pixels.

A JPEG file says it: its quantisation tables, and how often it keeps chroma. What was
decoded and saved as PNG shows it in the comb of its coefficients (`jpeg_comb.py`).
Nothing found is not the same as no JPEG: resizing, filters and editing in 16 bits
destroy the comb, and quality 100 has none.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pdm_tf.core.jpeg_header import JpegHeader, read_jpeg_header
from pdm_tf.core.jpeg_tables import CHROMINANCE, LUMINANCE, nearest_quality, steps_of
from pdm_tf.core.photographs import PathLike
from pdm_tf.core.source_estimate import JpegMeasure, JpegPopulation
from pdm_tf.estimation.jpeg_comb import find_comb, find_subsampling

OTHER_TABLES = "tables of another encoder, of which this quality is the nearest"
ASSUMED_420 = "chroma does not tell its resolution; 420 assumed"


def jpeg_of_file(path: PathLike) -> JpegMeasure:
    """Reads from a file's header how it was compressed.

    Args:
      path: of an image file; one that is not a JPEG has no traces.

    Raises:
      ImageError: no such file, or its header is damaged.
    """
    header = read_jpeg_header(path)
    if header is None:
        return JpegMeasure()
    quality = nearest_quality(header.luma)
    exact = np.array_equal(header.luma, steps_of(LUMINANCE, quality)) and (
        header.chroma is None
        or np.array_equal(header.chroma, steps_of(CHROMINANCE, quality))
    )
    subsampling, about_chroma = _subsampling_of(header)
    notes = [] if exact else [OTHER_TABLES]
    notes += [about_chroma] if about_chroma else []
    return JpegMeasure(
        quality, subsampling, header.offset, "header", note="; ".join(notes)
    )


def jpeg_of_pixels(rgb_u8: np.ndarray) -> JpegMeasure:
    """Finds in pixels what JPEG they went through last.

    Args:
      rgb_u8: [H, W, 3] uint8.

    Returns:
      With subsampling "420" and a note where chroma does not tell.
    """
    comb = find_comb(rgb_u8)
    if not comb.quality:
        return JpegMeasure()
    subsampling = find_subsampling(rgb_u8, comb)
    notes = [] if comb.is_exact else [OTHER_TABLES]
    notes += [] if subsampling else [ASSUMED_420]
    return JpegMeasure(
        comb.quality, subsampling or "420", comb.offset, "comb", "; ".join(notes)
    )


def measure_jpeg(path: PathLike, rgb_u8: np.ndarray) -> JpegMeasure:
    """Measures one photograph: by its file's header, else by its pixels.

    Args:
      path: of the file.
      rgb_u8: [H, W, 3] uint8, what `core.images.read_rgb_u8` reads of it.

    Raises:
      ImageError: no such file, or its header is damaged.
    """
    found = jpeg_of_file(path)
    return found if found.quality else jpeg_of_pixels(rgb_u8)


def jpeg_population(measures: Sequence[JpegMeasure]) -> JpegPopulation | None:
    """The qualities of a source's photographs, in ascending order.

    Args:
      measures: one for each photograph; those without traces count as quality 0.

    Returns:
      None if there are traces in none.
    """
    found = [measure for measure in measures if measure.quality]
    if not found:
        return None
    known = Counter(one.subsampling for one in found if one.subsampling)
    sources = Counter(one.source for one in found)
    return JpegPopulation(
        tuple(sorted(one.quality for one in measures)),
        known.most_common(1)[0][0] if known else "420",
        sources.most_common(1)[0][0],
    )


def _subsampling_of(header: JpegHeader) -> tuple[str, str]:
    """("444", "420" or "", what to say of it)."""
    if header.reduction is None:
        return "", ""
    if header.reduction == (1, 1):
        return "444", ""
    if header.reduction == (2, 2):
        return "420", ""
    down, across = header.reduction
    return "420", f"chroma is {down:g} x {across:g} times smaller, taken as 420"
