"""Drawing for previews, panels and galleries: text, tiles in a grid, kernels.

Everything takes and returns RGB images [H, W, 3] uint8, on a white ground that looks
the same in a README, TensorBoard and an image viewer. The font is the one that Pillow
carries, so pictures do not depend on the machine; it has no glyphs beyond Latin.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (32, 33, 36)
FADED_INK: Colour = (95, 99, 104)
ACCENT: Colour = (230, 40, 40)
_CROSS = np.array([90.0, 220.0, 255.0])

# The inferno colour map (matplotlib, CC0) at nine equidistant places.
_INFERNO = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float64,
)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)


def line_height(size: int) -> int:
    """Distance in pixels between lines of text of `size` pixels."""
    return round(size * 1.35)


def text_width(text: str, size: int) -> int:
    """Width of `text` in pixels."""
    return int(np.ceil(_font(size).getlength(text)))


def text_block(
    lines: Sequence[str],
    width: int,
    *,
    size: int = 14,
    centred: bool = True,
    colours: Sequence[Colour] = (INK, FADED_INK),
) -> np.ndarray:
    """Draws lines of text on white.

    Args:
      lines: the text; a line wider than `width` is set smaller until it fits.
      width: of the image, in pixels.
      size: of the letters, in pixels.
      centred: in the middle, else at the left.
      colours: of the first, second, ... line; the last one goes on.

    Returns:
      [len(lines) * line_height(size), width, 3] uint8.
    """
    step = line_height(size)
    canvas = Image.new("RGB", (width, max(1, step * len(lines))), WHITE)
    pen = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        fitting = size
        while fitting > 7 and text_width(line, fitting) > width:
            fitting -= 1
        x = (width - text_width(line, fitting)) // 2 if centred else 0
        colour = colours[min(row, len(colours) - 1)]
        # Anchored at the middle of its line, so that shrunk text stays level.
        middle = row * step + step // 2
        pen.text((max(0, x), middle), line, colour, font=_font(fitting), anchor="lm")
    return np.asarray(canvas)


def with_label(
    image: np.ndarray, lines: Sequence[str], *, size: int = 14
) -> np.ndarray:
    """Adds centred lines of text below an image, the first darker."""
    block = text_block(lines, image.shape[1], size=size)
    gap = np.full((max(2, size // 3), image.shape[1], 3), 255, np.uint8)
    return np.concatenate([image, gap, block])


def with_title(image: np.ndarray, title: str, *, size: int = 16) -> np.ndarray:
    """Adds one line of text above an image, at the left."""
    block = text_block([title], image.shape[1], size=size, centred=False)
    gap = np.full((max(2, size // 3), image.shape[1], 3), 255, np.uint8)
    return np.concatenate([block, gap, image])


def tile_grid(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    gap: int = 8,
    margin: int = 0,
    ground: Colour = WHITE,
) -> np.ndarray:
    """Arranges tiles in rows and columns; sizes may differ.

    Each column is as wide as its widest tile and each row as high as its highest;
    tiles stand at the top, centred across. Short rows leave the rest empty.

    Args:
      rows: rows of images [h, w, 3] uint8.
      gap: pixels between tiles.
      margin: pixels around everything.
      ground: colour where there is no tile.

    Raises:
      ValueError: no tile at all, or a tile that is not [h, w, 3] uint8.
    """
    if not any(len(row) for row in rows):
        raise ValueError("`rows` must hold at least one tile. Received none.")
    for tile in (tile for row in rows for tile in row):
        if tile.ndim != 3 or tile.shape[2] != 3 or tile.dtype != np.uint8:
            raise ValueError(
                "Tiles must be [h, w, 3] uint8. "
                f"Received: shape {tile.shape}, {tile.dtype}."
            )
    columns = max(len(row) for row in rows)
    widths = [
        max(row[column].shape[1] for row in rows if column < len(row))
        for column in range(columns)
    ]
    heights = [max((tile.shape[0] for tile in row), default=0) for row in rows]
    total = (
        sum(heights) + gap * (len(rows) - 1) + 2 * margin,
        sum(widths) + gap * (columns - 1) + 2 * margin,
        3,
    )
    canvas = np.empty(total, np.uint8)
    canvas[:] = ground
    top = margin
    for row, height in zip(rows, heights, strict=True):
        left = margin
        for tile, width in zip(row, widths, strict=False):
            x = left + (width - tile.shape[1]) // 2
            canvas[top : top + tile.shape[0], x : x + tile.shape[1]] = tile
            left += width + gap
        top += height + gap
    return canvas


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarges every pixel to a square of `factor` x `factor` pixels."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def shrink_to_width(image: np.ndarray, width: int) -> np.ndarray:
    """Shrinks to at most `width` pixels wide, by averages, for display only."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small)


def outlined(
    image: np.ndarray,
    box: tuple[int, int, int, int],
    colour: Colour = ACCENT,
    thickness: int = 2,
) -> np.ndarray:
    """Returns a copy with a rectangle around box = (top, left, height, width)."""
    top, left, height, width = box
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).rectangle(
        (left, top, left + width - 1, top + height - 1),
        outline=colour,
        width=thickness,
    )
    return np.asarray(canvas)


def colour_map(values: np.ndarray) -> np.ndarray:
    """[...] in [0, 1] -> [..., 3] uint8: black over violet and orange to light yellow.

    Values outside are clipped; NaN counts as 0.
    """
    place = np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0) * (len(_INFERNO) - 1)
    low = np.minimum(place.astype(np.int64), len(_INFERNO) - 2)
    part = (place - low)[..., None]
    return np.round(_INFERNO[low] * (1 - part) + _INFERNO[low + 1] * part).astype(
        np.uint8
    )


def kernel_tile(
    kernel: np.ndarray, *, side: int = 84, cross_hair: bool = False
) -> np.ndarray:
    """Draws one blur kernel.

    Args:
      kernel: [K, K], normalised here to its own maximum; gamma 0.5 (a square root)
        makes faint tails visible. Negative values count as 0.
      side: about how large the picture should be; taps are whole squares of pixels.
      cross_hair: thin lines through the middle tap, to judge the centring.

    Raises:
      ValueError: not a square.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.size == 0:
        raise ValueError(f"A kernel must be [K, K]. Received: shape {kernel.shape}.")
    values = np.nan_to_num(np.asarray(kernel, np.float64), nan=0.0).clip(0.0)
    peak = values.max()
    if peak > 0:
        values = np.sqrt(values / peak)
    zoom = max(1, round(side / kernel.shape[0]))
    tile = enlarge(colour_map(values), zoom)
    if cross_hair:
        middle = (kernel.shape[0] * zoom - 1) // 2
        for line in (tile[middle], tile[:, middle]):
            line[:] = np.round(0.6 * line + 0.4 * _CROSS).astype(np.uint8)
    return tile


def kernel_gallery(
    kernels: np.ndarray,
    columns: int = 8,
    title: str = "",
    *,
    side: int = 84,
    cross_hair: bool = False,
) -> np.ndarray:
    """Draws many kernels side by side, each normalised to its own maximum.

    Args:
      kernels: [N, K, K], N >= 1.
      columns: per row; fewer kernels make fewer columns.
      title: a line above, if not empty.
      side: about the size of one kernel in pixels.
      cross_hair: lines through the middle tap of each.

    Returns:
      [H, W, 3] uint8.

    Raises:
      ValueError: not [N, K, K], no kernel, or no column.
    """
    kernels = np.asarray(kernels)
    if kernels.ndim != 3 or len(kernels) == 0 or columns < 1:
        raise ValueError(
            "`kernels` must be [N, K, K] with N >= 1 and `columns` at least 1. "
            f"Received: shape {kernels.shape}, columns={columns}."
        )
    tiles = [kernel_tile(k, side=side, cross_hair=cross_hair) for k in kernels]
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    picture = tile_grid(rows, gap=2, margin=2, ground=(214, 216, 220))
    return with_title(picture, title) if title else picture
