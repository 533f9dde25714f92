"""What one photograph is, by its file and its pixels, before anything is estimated.

The detail of a photograph is the power of its finest octave against that of the octave
below, in its most textured windows. It depends little on the scene (2 to 3 dB) and
strongly on blur: -12 dB for a sharp photograph, -27 dB for one blurred by a Gaussian of
one pixel. It is taken of the photograph, and of an HR photograph also at every
scale-th pixel: that is what an LR photograph of its sharpness would have.
"""

import dataclasses
import hashlib
import io
from typing import Any, Literal

import numpy as np
from PIL import Image

from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import colours_of_header, decode_rgb_u8
from pdm_tf.core.photographs import kind_of, opened_bytes

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Below a quarter of a level nothing but rounding is left of a picture.
_FLAT_255 = 0.25
_WINDOW, _STRIDE, _WINDOWS = 16, 8, 4_000
_LOW_OCTAVE, _HIGH_OCTAVE = (0.11, 0.2), (0.3, 0.5)  # cycles/px
_TEXTURED = 0.25  # share of the windows that detail is taken from
_CALMEST = 0.05
_THUMBNAIL = 12
_CAMERA_TAGS = (0x010F, 0x0110)  # Make, Model

_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
_TAPER = np.outer(_HANN, _HANN)
_ENERGY = float((_TAPER**2).sum())
_FREQUENCY = np.hypot(
    np.fft.fftfreq(_WINDOW)[:, None], np.fft.rfftfreq(_WINDOW)[None, :]
)


@dataclasses.dataclass(frozen=True)
class PhotographFacts:
    """One photograph of a folder.

    Attributes:
      name: path below the folder.
      left_out: why it cannot be used; "" for one that can.
      kind: "png", "jpeg", ...; "" for what is no image.
      width, height: px, upright.
      bits: 8 or 16 a sample.
      colours: what they were before they were read as sRGB, e.g. "Display P3", "CMYK";
        "" for sRGB.
      camera: maker and model as the file says; "".
      is_grey: whether R, G and B are equal everywhere.
      mean_255: of R, G and B, in levels.
      contrast_255: standard deviation of the luma.
      clipped: share of the values that are 0 or 255, 0..1.
      detail_db: see the module.
      reduced_detail_db: the same at every scale-th pixel; None for an LR photograph.
      floor_255: standard deviation of the finest octave in the calmest windows: that of
        the noise, where any window is calm.
      sha256: of the pixels.
      thumbnail: 12 x 12 luma, row by row, in levels.
    """

    name: str
    left_out: str = ""
    kind: str = ""
    width: int = 0
    height: int = 0
    bits: int = 8
    colours: str = ""
    camera: str = ""
    is_grey: bool = False
    mean_255: tuple[float, float, float] = (0.0, 0.0, 0.0)
    contrast_255: float = 0.0
    clipped: float = 0.0
    detail_db: float | None = None
    reduced_detail_db: float | None = None
    floor_255: float = 0.0
    sha256: str = ""
    thumbnail: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything but the thumbnail."""
        fields = dataclasses.asdict(self)
        del fields["thumbnail"]
        return {**fields, "mean_255": list(self.mean_255)}


def photograph_facts(
    name: str,
    data: bytes,
    *,
    least_side: int,
    role: Literal["HR", "LR"],
    scale: int,
) -> PhotographFacts:
    """Looks at one image file.

    Args:
      name: path below the folder.
      data: the file's bytes.
      least_side: in pixels; smaller photographs are left out.
      role: of its folder.
      scale: HR size / LR size.
    """
    try:
        found = _header(name, data)
        rgb_u8 = decode_rgb_u8(data, name)
    except ImageError as error:
        return PhotographFacts(name, error.reason)
    height, width = rgb_u8.shape[:2]
    found = dataclasses.replace(
        found, width=width, height=height, **_pixel_facts(rgb_u8)
    )
    luma = rgb_u8 @ LUMA
    detail, floor = detail_of(luma)
    reduced = None
    if role == "HR":
        reduced, _ = detail_of(luma[::scale, ::scale])
    return dataclasses.replace(
        found,
        left_out=_unusable(found, least_side, role),
        detail_db=detail,
        reduced_detail_db=reduced,
        floor_255=floor,
    )


def detail_of(luma: np.ndarray) -> tuple[float | None, float]:
    """Detail in dB and the noise floor in levels, see the module.

    Args:
      luma: [H, W] in levels.

    Returns:
      (None, 0.0) for one smaller than a window or without any texture.
    """
    if min(luma.shape) < _WINDOW:
        return None, 0.0
    low, high = _octaves(luma)
    calm = float(np.quantile(high, _CALMEST))
    order = np.argsort(low)[-max(1, round(_TEXTURED * len(low))) :]
    strength = float(low[order].mean())
    if strength < _FLAT_255**2:
        return None, 0.0
    # What the calmest windows have is noise or rounding, and in all windows alike.
    fine = max(float(high[order].mean()) - calm, 1e-4 * strength)
    return float(10.0 * np.log10(fine / strength)), float(np.sqrt(calm))


def _octaves(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power of both octaves in each window, squared levels per coefficient."""
    view = np.lib.stride_tricks.sliding_window_view(luma, (_WINDOW, _WINDOW))
    rows, columns = (-(-n // _STRIDE) for n in view.shape[:2])
    # Evenly over the photograph, and as often with any number of threads.
    thinned = max(1, -(-rows * columns // _WINDOWS))
    index = np.arange(0, rows * columns, thinned)
    windows = view[index // columns * _STRIDE, index % columns * _STRIDE]
    windows = (windows - windows.mean(axis=(1, 2), keepdims=True)) * _TAPER
    power = np.abs(np.fft.rfft2(windows)) ** 2 / _ENERGY
    found = []
    for least, most in (_LOW_OCTAVE, _HIGH_OCTAVE):
        chosen = (least <= _FREQUENCY) & (most >= _FREQUENCY)
        found.append(power[:, chosen].mean(axis=1))
    return found[0], found[1]


def _header(name: str, data: bytes) -> PhotographFacts:
    kind = kind_of(data[:16]) or ""
    facts = PhotographFacts(name, kind=kind)
    if kind and kind != "bmp":
        with opened_bytes(data, name) as header:
            colours = colours_of_header(header, data)
            facts = dataclasses.replace(facts, bits=header.bits, colours=colours)
    if kind not in ("jpeg", "tiff", "webp"):
        return facts
    try:
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif()
            words = (str(exif.get(tag, "")).strip("\0 ") for tag in _CAMERA_TAGS)
            return dataclasses.replace(facts, camera=" ".join(filter(None, words)))
    except Exception:  # noqa: BLE001
        return facts  # reading the pixels says what is wrong, if anything


def _pixel_facts(rgb_u8: np.ndarray) -> dict[str, Any]:
    red, green, blue = np.moveaxis(rgb_u8, -1, 0)
    luma = rgb_u8 @ LUMA
    rows, columns = (
        np.linspace(0, side, _THUMBNAIL + 1).astype(int) for side in luma.shape
    )
    small = [
        luma[top : max(bottom, top + 1), left : max(right, left + 1)].mean()
        for top, bottom in zip(rows, rows[1:], strict=False)
        for left, right in zip(columns, columns[1:], strict=False)
    ]
    mean = rgb_u8.reshape(-1, 3).mean(axis=0)
    shape = str(rgb_u8.shape).encode()
    return {
        "is_grey": bool(np.array_equal(red, green) and np.array_equal(green, blue)),
        "mean_255": tuple(float(x) for x in mean),
        "contrast_255": float(luma.std()),
        "clipped": float(((rgb_u8 == 0) | (rgb_u8 == 255)).mean()),
        "sha256": hashlib.sha256(shape + rgb_u8.tobytes()).hexdigest()[:16],
        "thumbnail": tuple(round(float(x)) for x in small),
    }


def _unusable(facts: PhotographFacts, least_side: int, role: str) -> str:
    if min(facts.width, facts.height) < least_side:
        return (
            f"is smaller than {role} photographs must be ({facts.width}x{facts.height} "
            f"px, least {least_side}x{least_side})"
        )
    if facts.contrast_255 < _FLAT_255:
        words = {0: "black", 255: "white"}
        colour = words.get(round(max(facts.mean_255)), "of one colour")
        return f"is all {colour}"
    return ""
