"""Colours that are not sRGB: profiles, and what PNG files say without one."""

import io
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from pdm_tf.core.colour import png_profile, to_srgb
from pdm_tf.core.images import decode_rgb_u8, read_rgb_u8
from pdm_tf.inference.pictures import read_picture
from pdm_tf.samples import PHOTOS_FOR_HR

P3_CHROMATICITIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def _photograph():
    return read_rgb_u8(PHOTOS_FOR_HR / "coffee.jpg")[:80, :96]


def _in(space, rgb_u8):
    """The same colours in another space, by libvips; the picture and its profile."""
    image = pyvips.Image.new_from_array(rgb_u8).copy(interpretation="srgb")
    image = image.icc_transform(space, input_profile="srgb")
    stored = np.frombuffer(image.write_to_memory(), np.uint8)
    shape = (image.height, image.width, image.bands)
    return stored.reshape(shape), image.get("icc-profile-data"), image


def _png(rgb_u8, *chunks):
    file = io.BytesIO()
    Image.fromarray(rgb_u8).save(file, "PNG")
    data = file.getvalue()
    packed = b"".join(
        struct.pack(">I", len(x)) + n + x + struct.pack(">I", zlib.crc32(n + x))
        for n, x in chunks
    )
    return data[:33] + packed + data[33:]


def test_profiles_are_applied_in_every_format(tmp_path):
    """One scene, looking the same in every viewer, is read as the same pixels."""
    scene = _photograph()
    stored, profile, image = _in("p3", scene)
    assert np.abs(stored.astype(int) - scene).max() > 8
    for name, settings in (("a.png", {}), ("a.webp", {"lossless": True})):
        Image.fromarray(stored).save(tmp_path / name, icc_profile=profile, **settings)
    image.tiffsave(str(tmp_path / "a.tif"))
    deep = image.cast("ushort") * 257
    deep.cast("ushort").copy(interpretation="rgb16").pngsave(str(tmp_path / "b.png"))
    for name in ("a.png", "a.webp", "a.tif", "b.png"):
        read = read_rgb_u8(tmp_path / name)
        apart = np.abs(read.astype(int) - scene)
        # Colours are rounded to 8 bits twice; those outside neither gamut are clipped.
        assert np.quantile(apart, 0.99) <= 3 and apart.mean() < 0.8, name


def test_srgb_is_left_alone():
    scene = _photograph()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for same in (None, profile, b"broken", profile[:200]):
        assert to_srgb(scene, same) is scene
    _, cmyk, _ = _in("cmyk", scene)
    assert to_srgb(scene, cmyk) is scene  # of other colours


def test_cmyk_is_read_as_upscale_reads_it(tmp_path):
    _in("cmyk", _photograph())[2].jpegsave(str(tmp_path / "a.jpg"), Q=98)
    picture = read_picture(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_rgb_u8(tmp_path / "a.jpg"), picture.pixels)
    apart = picture.pixels.astype(int) - _photograph()
    assert np.abs(apart).mean() < 9  # the inks hold fewer colours
    picture.close()


@pytest.mark.parametrize(
    ("chunks", "level"),
    [
        ([], 55),
        ([(b"gAMA", struct.pack(">I", 45455))], 55),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], 55),
        ([(b"cICP", bytes([1, 13, 0, 1]))], 55),
        ([(b"gAMA", struct.pack(">I", 100000))], 128),  # linear light
        ([(b"cICP", bytes([1, 8, 0, 1]))], 128),
    ],
)
def test_grey_of_png_chunks(chunks, level):
    """By the formula: 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055) = 127.95."""
    data = _png(np.full([4, 4, 3], 55, np.uint8), *chunks)
    np.testing.assert_allclose(decode_rgb_u8(data, "a"), level, atol=1)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"cICP", bytes([12, 13, 0, 1]))],
        [
            (b"gAMA", struct.pack(">I", 45455)),
            (b"cHRM", struct.pack(">8I", *P3_CHROMATICITIES)),
        ],
    ],
)
def test_chunks_of_p3_keep_their_meaning(chunks, tmp_path):
    """As a profile in what `upscale` writes, and as sRGB where networks learn."""
    scene = _photograph()
    stored, profile, _ = _in("p3", scene)
    (tmp_path / "a.png").write_bytes(_png(stored, *chunks))
    found, note = png_profile((tmp_path / "a.png").read_bytes())
    assert not note
    by_profile = to_srgb(stored, profile).astype(int)
    assert np.abs(to_srgb(stored, found) - by_profile).max() <= 4
    apart = read_rgb_u8(tmp_path / "a.png").astype(int) - by_profile
    assert np.abs(apart).max() <= 4
    picture = read_picture(tmp_path / "a.png")
    assert picture.metadata.icc == found and not picture.notes
    np.testing.assert_array_equal(picture.pixels, stored)
    picture.close()


def test_what_no_profile_can_say_is_a_note(tmp_path):
    scene = _photograph()
    data = _png(scene, (b"cICP", bytes([9, 16, 0, 1])))  # BT.2020, PQ
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    (note,) = picture.notes
    assert "cICP 9/16" in note and picture.metadata.icc is None
    picture.close()
    np.testing.assert_array_equal(decode_rgb_u8(data, "a"), scene)


@pytest.mark.parametrize("says_alpha", [False, True])
def test_a_fourth_tiff_channel_that_is_no_transparency(tmp_path, says_alpha):
    """A saved selection: colours outside it stay, where they became 0."""
    scene = _photograph()
    selection = np.zeros(scene.shape[:2], np.uint8)
    selection[20:40, 20:40] = 255
    four = Image.fromarray(np.dstack([scene, selection]), mode="RGBA")
    four.save(tmp_path / "a.tif")
    if not says_alpha:
        data = bytearray((tmp_path / "a.tif").read_bytes())
        # ExtraSamples (338), SHORT, one value: 2 (plain alpha) becomes 0.
        entry = struct.pack("<HHIH", 338, 3, 1, 2)
        assert data.count(entry) == 1
        at = data.index(entry) + 8
        data[at : at + 2] = b"\0\0"
        (tmp_path / "a.tif").write_bytes(bytes(data))
    picture = read_picture(tmp_path / "a.tif")
    assert (picture.layers, picture.has_alpha) == (
        (2, True) if says_alpha else (1, False)
    )
    np.testing.assert_array_equal(picture.pixels, scene)
    said = [note for note in picture.notes if "not said to be transparency" in note]
    assert len(said) == (not says_alpha)
    picture.close()
    if not says_alpha:
        np.testing.assert_array_equal(read_rgb_u8(tmp_path / "a.tif"), scene)
