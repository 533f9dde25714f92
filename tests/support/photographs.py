"""Image files for the tests of reading and writing; all made here, seeded."""

import struct

import numpy as np
from PIL import Image, ImageCms

from tests.support.png import GREY, GREY_ALPHA, RGB, RGB_ALPHA, chunk, png_bytes

ORIENTATION = 0x0112
MAKE = 0x010F
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/'
    b'02/22-rdf-syntax-ns#"><rdf:Description tiff:Orientation="6" dc:title="Hill"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
CUT = ("cut_png.png", "cut_jpeg.jpg", "cut_webp.webp", "cut_tiff.tif", "cut_gif.gif")
COLOUR_TYPES = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGB_ALPHA}


def samples(height, width, channels, *, bits=8, seed=0):
    """Noise, [H, W, channels] uint8 or uint16."""
    dtype = np.uint16 if bits == 16 else np.uint8
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**bits, (height, width, channels), dtype=dtype)


def write_png(path, values, extra=b""):
    """[H, W, 1 to 4] of 8 or 16 bits."""
    path.write_bytes(png_bytes(values, COLOUR_TYPES[values.shape[2]], extra))
    return path


def icc_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def write_photo(path, rgb_u8, *, orientation=None, icc=None, xmp=None):
    """By Pillow, with the metadata of a camera; the suffix gives the format."""
    more = {}
    if orientation is not None:
        exif = Image.Exif()
        exif[ORIENTATION], exif[MAKE] = orientation, "Maker"
        more["exif"] = exif.tobytes() if path.suffix == ".webp" else exif
    if icc is not None:
        more["icc_profile"] = icc
    if xmp is not None:
        more["xmp"] = xmp
    if path.suffix == ".webp":
        more["lossless"] = True
    if path.suffix == ".jpg":
        more["quality"] = 95
    Image.fromarray(rgb_u8).save(path, **more)
    return path


def write_animation(path):
    frames = [Image.fromarray(samples(8, 9, 3, seed=seed)) for seed in (1, 2, 3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def write_odd_files(folder):
    """One of each kind that cannot be used: file -> words of the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = samples(40, 60, 3)
    (folder / "text.png").write_text("This is not an image. " * 20)
    (folder / "empty.jpg").write_bytes(b"")
    for name in CUT:
        whole = write_photo(folder / name, photo).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    for name in ("moving_gif.gif", "moving_png.png", "moving.webp", "pages.tif"):
        write_animation(folder / name)
    Image.fromarray(photo[..., 0].astype(np.float32)).save(folder / "float.tif")
    Image.fromarray(photo[..., 0].astype(np.int32)).save(folder / "int32.tif")
    head = struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)
    no_pixels = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")
    (folder / "no_pixels.png").write_bytes(no_pixels)
    return {
        "text.png": "is not a PNG, JPEG, WebP, TIFF, BMP or GIF image",
        "empty.jpg": "is an empty file",
        **dict.fromkeys(CUT, "is truncated or damaged"),
        "cut_jpeg.jpg": "is truncated or damaged (premature end of JPEG image)",
        "moving_gif.gif": "is an animation of 3 frames",
        "moving_png.png": "is an animation of 3 frames",
        "moving.webp": "is an animation of 3 frames",
        "pages.tif": "has 3 pages; split it into files of one picture",
        "float.tif": "has pixels of 1 x float (b-w); grey, RGB or CMYK",
        "int32.tif": "has pixels of 1 x int (b-w)",
        "no_pixels.png": "is truncated or damaged",
    }
