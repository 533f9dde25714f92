"""Bad and odd picture files, as many as are asked for, and what an independent reader
sees in them.

    python -m tests.support.odd_pictures FOLDER --count=520 --seed=0

Every eighth file is made by hand (kinds, depths, alpha, palettes, animations, headers
that lie, endings that lie, zero sizes); the others are such files cut short or with
bytes changed. The file's name says how it was made; the same seed makes the same files.
"""

import argparse
import functools
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from tests.support import png
from tests.support.photographs import samples

HEIGHT, WIDTH = 32, 40  # as large as KernelGAN's least crop


def _saved(image: Image.Image, kind: str, **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def whole_files() -> dict[str, bytes]:
    """Name with suffix -> file that some reader reads."""
    rgb = Image.fromarray(samples(HEIGHT, WIDTH, 3))
    smooth = rgb.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, (0, 0, 6, 4))
    grey, other = rgb.convert("L"), Image.fromarray(samples(HEIGHT, WIDTH, 3, seed=1))
    glass = rgb.copy()
    glass.putalpha(grey)
    opaque = rgb.convert("RGBA")
    deep = samples(HEIGHT, WIDTH, 3, bits=16)
    turned = Image.Exif()
    turned[0x0112] = 6
    keyword = png.chunk(b"tEXt", "Größe\0klein".encode("latin-1"))
    plain = _saved(rgb, "PNG")
    files = {
        "rgb.png": plain,
        "grey.png": _saved(grey, "PNG"),
        "bits.png": _saved(rgb.convert("1"), "PNG"),
        "palette.png": _saved(rgb.quantize(9), "PNG"),
        "glass_palette.png": _saved(rgb.quantize(9), "PNG", transparency=2),
        "glass.png": _saved(glass, "PNG"),
        "opaque.png": _saved(opaque, "PNG"),
        "deep.png": png.png_bytes(deep, png.RGB),
        "deep_grey.png": png.png_bytes(deep[..., :1], png.GREY),
        "latin1.png": plain[:33] + keyword + plain[33:],
        "moving.png": _saved(rgb, "PNG", save_all=True, append_images=[other]),
        "turned.png": _saved(rgb, "PNG", exif=turned),
        "pixel.png": _saved(rgb.crop((0, 0, 1, 1)), "PNG"),
        "tail.png": plain + b"more" * 50,
        "no_suffix_says.jpg": plain,
        "rgb.jpg": _saved(smooth, "JPEG", quality=90),
        "grey.jpg": _saved(smooth.convert("L"), "JPEG"),
        "progressive.jpg": _saved(smooth, "JPEG", progressive=True),
        "cmyk.jpg": _saved(smooth.convert("CMYK"), "JPEG"),
        "turned.jpg": _saved(smooth, "JPEG", exif=turned),
        "says_png.png": _saved(smooth, "JPEG", subsampling=0),
        "rgb.webp": _saved(smooth, "WEBP"),
        "lossless.webp": _saved(rgb, "WEBP", lossless=True),
        "glass.webp": _saved(glass, "WEBP", lossless=True),
        "moving.webp": _saved(rgb, "WEBP", save_all=True, append_images=[other]),
        "rgb.tif": _saved(rgb, "TIFF"),
        "lzw.tif": _saved(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": _saved(grey, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": _saved(smooth, "TIFF", compression="jpeg"),
        "cmyk.tif": _saved(rgb.convert("CMYK"), "TIFF"),
        "deep.tif": _saved(Image.fromarray(deep[..., 0]), "TIFF"),
        "float.tif": _saved(Image.fromarray(deep[..., 0] / np.float32(9)), "TIFF"),
        "pages.tif": _saved(rgb, "TIFF", save_all=True, append_images=[other]),
        "bits.tif": _saved(rgb.convert("1"), "TIFF"),
        "palette.gif": _saved(rgb.quantize(9), "GIF"),
        "moving.gif": _saved(grey, "GIF", save_all=True, append_images=[other]),
        "rgb.bmp": _saved(rgb, "BMP"),
        "grey.bmp": _saved(grey, "BMP"),
        "bits.bmp": _saved(rgb.convert("1"), "BMP"),
    }
    return files


def lies() -> dict[str, bytes]:
    """Name with suffix -> file that no reader should take."""
    whole = whole_files()
    jpeg, gif, bmp, tiff = (whole[f"rgb.{x}"] for x in ("jpg", "bmp", "bmp", "tif"))
    gif = whole["palette.gif"]
    at = jpeg.find(b"\xff\xc0") + 5
    files = {
        "empty.png": b"",
        "text.jpg": b"<html>not found</html>",
        "zeros.tif": bytes(3000),
        "signature.png": whole["rgb.png"][:8],
        "start.jpg": b"\xff\xd8\xff",
        "riff.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "start.gif": b"GIF89a",
        "start.bmp": b"BM",
        "offset.tif": b"II*\0\xff\xff\xff\xff",
        "loop.tif": tiff[:4] + struct.pack("<I", 4) + tiff[8:],
        "raw.nef": tiff,
        "phone.heic": b"\0\0\0\x18ftypheic" + bytes(100),
    }
    for name, height, width in (
        ("huge", 65500, 65500),
        ("tall", 60000, WIDTH),
        ("zero", 0, 0),
        ("flat", HEIGHT, 0),
    ):
        head = struct.pack(">II", width, height) + whole["rgb.png"][24:29]
        files[f"{name}.png"] = (
            whole["rgb.png"][:8] + png.chunk(b"IHDR", head) + whole["rgb.png"][33:]
        )
        files[f"{name}.jpg"] = (
            jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]
        )
        files[f"{name}.gif"] = gif[:6] + struct.pack("<HH", width, height) + gif[10:]
        files[f"{name}.bmp"] = bmp[:18] + struct.pack("<ii", width, height) + bmp[26:]
    return files


def corpus(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yields (name, bytes) of `count` files."""
    rng = np.random.default_rng(seed)
    whole = whole_files()
    by_hand = [*whole.items(), *lies().items()]
    rng.shuffle(by_hand)
    for number in range(count):
        if number % 8 == 0 and by_hand:
            name, data = by_hand.pop()
        else:
            name = list(whole)[rng.integers(len(whole))]
            how, data = _changed(whole[name], rng)
            name = f"{how}_{name}"
        yield f"{number:04d}_{name}", data


def _changed(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    made = bytearray(data)
    at = int(rng.integers(len(made)))
    how = ("cut", "bit", "bytes", "zeros", "twice", "head")[rng.integers(6)]
    if how == "cut":
        return how, bytes(made[:at])
    if how == "bit":
        made[at] ^= 1 << int(rng.integers(8))
    elif how == "bytes":
        for place in rng.integers(len(made), size=8):
            made[place] = int(rng.integers(256))
    elif how == "zeros":
        made[at : at + 40] = bytes(len(made[at : at + 40]))
    elif how == "twice":
        made[at:at] = made[at : at + 60]
    else:
        made[int(rng.integers(min(40, len(made))))] = int(rng.integers(256))
    return how, bytes(made)


def write(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Writes a corpus into a folder; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name, data in corpus(count, seed):
        (folder / name).write_bytes(data)
        names.append(name)
    return names


@functools.lru_cache
def seen(data: bytes) -> list[np.ndarray]:
    """What independent readers see: [H, W, 3] uint8 each; empty: none reads it.

    Pillow for what the project reads by libvips and the other way round, both of them
    lenient; colours are not converted.
    """
    found = []
    for read in (_by_pillow, _by_vips, _by_numpy, _inverted):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(read(data))
        except Exception:  # noqa: BLE001 - it reads nothing
            continue
    return found


def _inverted(data: bytes) -> np.ndarray:
    """A CMYK JPEG without Adobe's marker, which alone says what its ink means."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode != "CMYK" or "adobe" in image.info:
            raise ValueError("the ink is known")
        ink = Image.fromarray(255 - np.asarray(image), "CMYK")
    return np.asarray(ink.convert("RGB"))


def _by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > 10**7:
            raise ValueError("too large to be compared")
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            turn = image.getexif().get(0x0112, 1)
            values = image.convert("RGB") if image.mode != "I;16" else image
            values = np.asarray(values)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before
    return _upright(rgb_u8(values), turn)


def _by_vips(data: bytes) -> np.ndarray:
    import pyvips

    image = pyvips.Image.new_from_buffer(data, "", fail_on="none").autorot()
    if image.width * image.height > 10**7:
        raise ValueError("too large to be compared")
    if image.interpretation == "cmyk":
        image = image.icc_transform(
            "srgb", input_profile="cmyk", black_point_compensation=True
        )
    return rgb_u8(image.numpy())


def _by_numpy(data: bytes) -> np.ndarray:
    """PNG of 8 or 16 bits by the specification, one row after the other."""
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    at, packed = 8, b""
    while at + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
    step = channels * bits // 8
    line = width * step
    raw = np.frombuffer(zlib.decompress(packed), np.uint8)
    rows = raw[: height * (line + 1)].reshape(height, line + 1)
    above, result = np.zeros(line, int), []
    for kind, *row in rows.astype(int):
        for i, value in enumerate(row):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            guess = left + above[i] - corner
            paeth = min(
                (left, above[i], corner), key=lambda x, guess=guess: abs(guess - x)
            )
            row[i] = (
                value + (0, left, above[i], (left + above[i]) // 2, paeth)[kind]
            ) % 256
        above = np.array(row)
        result.append(above)
    values = np.array(result, np.uint8).reshape(height, width, channels, bits // 8)
    values = values[..., 0] if bits == 8 else values.copy().view(">u2")[..., 0]
    return rgb_u8(values[..., : 3 if channels >= 3 else 1])


def rgb_u8(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        values = values[..., None]
    values = values[..., : 3 if values.shape[2] >= 3 else 1]
    if values.dtype.itemsize == 2:
        values = np.floor(values.astype(np.float64) * 255 / 65535 + 0.5)
    return np.broadcast_to(values.astype(np.uint8), (*values.shape[:2], 3))


def _upright(values: np.ndarray, turn: int) -> np.ndarray:
    return np.rot90(values, -1) if turn == 6 else values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=520)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(len(write(asked.folder, asked.count, asked.seed)), "files")
