"""What the header of a JPEG file says of how it was compressed."""

import dataclasses

import numpy as np
from PIL import Image

from pdm_tf.core.images import orientation_of
from pdm_tf.core.photographs import PathLike, kind_of, open_file, picture_reasons

# EXIF orientation -> the stored sides (0: height, 1: width) whose end becomes the top
# and the left of the upright picture; None where a beginning does.
_ENDS = {
    1: (None, None),
    2: (None, 1),
    3: (0, 1),
    4: (0, None),
    5: (None, None),
    6: (None, 0),
    7: (1, 0),
    8: (1, None),
}


@dataclasses.dataclass(frozen=True)
class JpegHeader:
    """How a file was compressed.

    Attributes:
      luma: [64] int64, quantisation steps of the first component, row-major.
      chroma: those of the second; None for a grey picture.
      reduction: (down, across), how many times chroma is smaller; None for a grey one.
      offset: (y, x) of the grid of blocks in the upright picture, each 0..7.
    """

    luma: np.ndarray
    chroma: np.ndarray | None
    reduction: tuple[float, float] | None
    offset: tuple[int, int]


def read_jpeg_header(path: PathLike) -> JpegHeader | None:
    """Reads the header of an image file; its pixels are not decoded.

    Returns:
      None for a file that is not a JPEG.

    Raises:
      ImageError: no such file, or its header is damaged.
    """
    with open_file(path) as file:
        if kind_of(file.read(16)) != "jpeg":
            return None
        file.seek(0)
        with picture_reasons(path), Image.open(file, formats=("JPEG",)) as image:
            tables = {
                name: np.array(table, np.int64)
                for name, table in image.quantization.items()
            }
            # (name, factor across, factor down, table) of each component.
            first, *others = image.layer
            luma, chroma, reduction = tables[first[3]], None, None
            if others:
                chroma = tables[others[0][3]]
                reduction = (first[2] / others[0][2], first[1] / others[0][1])
            sides = image.height, image.width
            top, left = _ENDS[orientation_of(image)]
        offset = tuple(0 if end is None else sides[end] % 8 for end in (top, left))
        return JpegHeader(luma, chroma, reduction, offset)
