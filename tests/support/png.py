"""PNG files of any depth and colour type, by hand: Pillow writes no 16-bit RGB."""

import struct
import zlib

import numpy as np

GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6


def png_bytes(samples: np.ndarray, colour_type: int, extra: bytes = b"") -> bytes:
    """[H, W, C] uint8 or uint16 to a PNG; rows use the filters None, Sub and Up."""
    height, width, channels = samples.shape
    depth = samples.dtype.itemsize
    rows = samples.astype(samples.dtype.newbyteorder(">")).tobytes()
    rows = np.frombuffer(rows, np.uint8).reshape(height, -1)
    step = depth * channels  # the filters work on whole pixels
    lines = []
    for y in range(height):
        row = rows[y].copy()
        if y % 3 == 1:
            row[step:] -= rows[y, :-step]
        elif y % 3 == 2:
            row -= rows[y - 1]
        lines.append(bytes([y % 3]) + row.tobytes())
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(b"".join(lines)))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
