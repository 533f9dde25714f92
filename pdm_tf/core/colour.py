"""What the numbers of a picture mean as colours: profiles, and PNG's own statements.

Networks are trained and judged on sRGB. `to_srgb` converts pixels whose profile says
otherwise; a profile that comes to the same within two levels changes nothing, since
nearly every photograph has one of those. Grey profiles are taken as they are meant for:
a curve.

PNG files may say it without a profile: by cICP, or by gAMA with cHRM (PNG specification
third edition, 11.3.2; their order of precedence is 4.3). `png_profile` makes the
profile that says the same, so that nothing else has to know of them.
"""

import functools
import io
import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageCms

_ALIKE_255 = 2  # levels: profiles of sRGB differ by that
_SRGB_CHROMATICITIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
# cICP's numbers of primaries, as cHRM writes them: white, red, green, blue.
_PRIMARIES = {
    1: _SRGB_CHROMATICITIES,
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_SRGB_TRANSFER, _LINEAR_TRANSFER = 13, 8
_GAMMAS = {1: None, 4: 2.2, 5: 2.8, 6: None, _LINEAR_TRANSFER: 1.0, 14: None, 15: None}
_USUAL_GAMMA = 1 / 0.45455
_D50 = (0.9642, 1.0, 0.8249)
_LARGEST_XYZ = 2.0**14  # half of what ICC's fixed-point numbers can hold
# Bradford's cone responses, as ICC adapts white (ICC.1:2022, annex E).
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_srgb(pixels_u8: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Converts pixels to sRGB where their profile says that they are not.

    Args:
      pixels_u8: [H, W, 1 or 3] uint8, grey or RGB.
      profile: ICC; None: sRGB.

    Returns:
      The array itself if it is sRGB already, or the profile is broken or of other
      colours (viewers ignore such too); otherwise [H, W, 3] uint8.
    """
    mode = "L" if pixels_u8.shape[2] == 1 else "RGB"
    transform = _transform(profile, mode) if profile else None
    if transform is None:
        return pixels_u8
    stored = np.ascontiguousarray(pixels_u8[..., 0] if mode == "L" else pixels_u8)
    return np.asarray(ImageCms.applyTransform(Image.fromarray(stored), transform))


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way to sRGB; None where there is none, or it changes nothing."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:  # noqa: BLE001 - of a broken profile, anything
        return None
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    if mode == "L":
        before = levels[:, None]
        wanted = before[..., None].repeat(3, -1)
    else:
        wanted = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(16, 256, 3)
        before = wanted
    after = np.asarray(ImageCms.applyTransform(Image.fromarray(before), transform))
    apart = np.abs(after.astype(int) - wanted.astype(int)).max()
    return transform if apart > _ALIKE_255 else None


def colours_of(profile: bytes | None, grey: bool = False) -> str:
    """What a profile is called, for people; "" for sRGB and what is taken for it."""
    if not profile or _transform(profile, "L" if grey else "RGB") is None:
        return ""
    return ImageCms.getProfileDescription(io.BytesIO(profile)).strip() or "unnamed"


def png_profile(data: bytes) -> tuple[bytes | None, str]:
    """What the chunks of a PNG file say of its colours, where it has no profile.

    Args:
      data: the file from its first byte on, down to the pixels.

    Returns:
      (an ICC profile that says the same, or None where it is sRGB or not said;
      a note on what is said and cannot be kept, or "").
    """
    chunks = _chunks(data)
    if code := chunks.get(b"cICP"):
        primaries, transfer = code[0], code[1]
        if primaries in _PRIMARIES and transfer in (_SRGB_TRANSFER, *_GAMMAS):
            gamma = None if transfer == _SRGB_TRANSFER else _GAMMAS[transfer]
            return _profile(_PRIMARIES[primaries], gamma), ""
        return None, (
            f"has colours of cICP {primaries}/{transfer} (16 and 18 are HDR), for "
            "which there is no ICC profile: the values are kept, their meaning is not"
        )
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None, ""
    gamma, chromaticities = None, _SRGB_CHROMATICITIES
    if b"gAMA" in chunks and (value := struct.unpack(">I", chunks[b"gAMA"])[0]):
        gamma = 1e5 / value
    if b"cHRM" in chunks:
        numbers = struct.unpack(">8I", chunks[b"cHRM"])
        chromaticities = tuple(number / 1e5 for number in numbers)
    # 0.45455 is what programs write for sRGB.
    if gamma is not None and abs(gamma - _USUAL_GAMMA) < 0.01:
        gamma = None
    return _profile(chromaticities, gamma), ""


def _chunks(data: bytes) -> Mapping[bytes, bytes]:
    """Name -> content of a PNG's chunks before its pixels."""
    found, at = {}, 8
    while at + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name in (b"IDAT", b"IEND"):
            break
        content = data[at + 8 : at + 8 + length]
        sizes = {b"gAMA": 4, b"cHRM": 32, b"cICP": 4}
        if len(content) == length == sizes.get(name, length):
            found[name] = content
        at += 12 + length
    return found


@functools.lru_cache(maxsize=16)
def _profile(chromaticities: tuple[float, ...], gamma: float | None) -> bytes | None:
    """A matrix profile (ICC.1, version 2); None for sRGB and what cannot be.

    Args:
      chromaticities: x and y of white, red, green and blue.
      gamma: of the curve from values to light; None: sRGB's.
    """
    is_srgb = np.allclose(chromaticities, _SRGB_CHROMATICITIES, atol=1e-3)
    pairs = np.array(chromaticities).reshape(4, 2)
    if (is_srgb and gamma is None) or (pairs[:, 1] <= 0).any():
        return None
    with np.errstate(all="ignore"):
        columns = _to_xyz(pairs)
    if columns is None or not (np.abs(columns) < _LARGEST_XYZ).all():
        return None
    if gamma is None:
        levels = np.arange(1024) / 1023
        low, high = levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
        light = np.round(np.where(levels <= 0.04045, low, high) * 65535)
        curve = struct.pack(">4sII1024H", b"curv", 0, 1024, *light.astype(int))
    else:
        curve = struct.pack(">4sIIH", b"curv", 0, 1, min(round(gamma * 256), 65535))
    name = b"from the chunks of a PNG file\0"
    tags = {
        b"desc": struct.pack(">4sII", b"desc", 0, len(name)) + name + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(_D50),
    }
    for letter, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
        tags[letter + b"XYZ"], tags[letter + b"TRC"] = _xyz(column), curve
    return _file(tags)


def _to_xyz(pairs: np.ndarray) -> np.ndarray | None:
    """[3, 3]: X, Y, Z (adapted to D50) of full red, green and blue, by column."""
    xyz = np.stack([pairs[:, 0], pairs[:, 1], 1 - pairs.sum(axis=1)]) / pairs[:, 1]
    white, primaries = xyz[:, 0], xyz[:, 1:]
    if abs(np.linalg.det(primaries)) < 1e-6:
        return None
    colours = primaries * np.linalg.solve(primaries, white)
    gains = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ colours


def _xyz(values: tuple[float, ...] | np.ndarray) -> bytes:
    numbers = (round(float(value) * 65536) for value in values)
    return struct.pack(">4sI3i", b"XYZ ", 0, *numbers)


def _file(tags: Mapping[bytes, bytes]) -> bytes:
    """An ICC file of a display with these tags."""
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12x4s28x3i48x",
        start + len(body),
        *(b"pdm ", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp"),
        *(round(value * 65536) for value in _D50),
    )
    return head + table + body
