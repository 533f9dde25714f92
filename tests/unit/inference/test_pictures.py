"""Reading photographs: values against files written by hand or by Pillow."""

import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from pdm_tf.core.errors import ImageError
from pdm_tf.core.photographs import read_size
from pdm_tf.inference.pictures import read_picture
from pdm_tf.inference.stores import MemoryBudget
from tests.support.photographs import (
    XMP,
    icc_profile,
    samples,
    write_odd_files,
    write_photo,
    write_png,
)
from tests.support.png import chunk


@pytest.fixture(params=["memory", "scratch"])
def read(request, tmp_path):
    """`read_picture`, with the pixels in memory and in a scratch file."""
    if request.param == "memory":
        return read_picture
    budget = MemoryBudget(0)
    return lambda path: read_picture(path, scratch=tmp_path, budget=budget)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_values_are_those_of_the_file(tmp_path, read, channels, bits):
    values = samples(7, 11, channels, bits=bits)
    picture = read(write_png(tmp_path / "a.png", values))
    colours = 1 if channels < 3 else 3
    assert (picture.kind, picture.colours, picture.bits) == ("png", colours, bits)
    np.testing.assert_array_equal(picture.pixels, values[..., :colours])
    if channels in (2, 4):
        assert picture.has_alpha and picture.layers == 2
        np.testing.assert_array_equal(picture.alpha, values[..., -1])
    else:
        assert not picture.has_alpha and picture.layers == 1 and picture.alpha is None


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_layers_are_premultiplied_colour_and_alpha(tmp_path, read, channels, bits):
    """Against the formula in float64; only a part, to see the offsets right."""
    values = samples(9, 12, channels, bits=bits)
    picture = read(write_png(tmp_path / "a.png", values))
    found = picture.read(2, 7, 3, 12)
    part = values[2:7, 3:12].astype(np.float64) / (2**bits - 1)
    colour = part[..., : picture.colours] * np.ones(3)
    if channels in (2, 4):
        alpha = part[..., -1:]
        expected = np.stack([colour * alpha, alpha * np.ones(3)])
    else:
        expected = colour[None]
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_opaque_alpha_is_no_layer(tmp_path, read, channels, bits):
    values = samples(7, 11, channels, bits=bits)
    values[..., -1] = 2**bits - 1
    picture = read(write_png(tmp_path / "a.png", values))
    assert picture.has_alpha and picture.layers == 1
    np.testing.assert_array_equal(picture.pixels, values[..., :-1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exif_orientation_is_applied(tmp_path, read, suffix, orientation):
    path = tmp_path / f"a{suffix}"
    write_photo(path, samples(40, 24, 3), orientation=orientation, xmp=XMP)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    picture = read(path)
    assert (picture.height, picture.width) == expected.shape[:2] == read_size(path)
    np.testing.assert_array_equal(picture.pixels, expected)


def test_metadata_is_kept_but_for_the_orientation(tmp_path):
    icc = icc_profile()
    path = tmp_path / "a.jpg"
    write_photo(path, samples(8, 9, 3), orientation=6, icc=icc, xmp=XMP)
    metadata = read_picture(path).metadata
    assert metadata.icc == icc
    assert metadata.blobs["xmp-data"] == XMP.replace(b'ation="6"', b'ation="1"')
    assert metadata.exif["exif-ifd0-Make"].startswith("Maker")
    assert not any("Orientation" in name for name in metadata.exif)


def test_palette_with_transparency(tmp_path, read):
    image = Image.fromarray(samples(20, 30, 3)).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes(range(0, 256, 17)))
    picture = read(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as again:
        expected = np.asarray(again.convert("RGBA"))
    np.testing.assert_array_equal(picture.pixels, expected[..., :3])
    np.testing.assert_array_equal(picture.alpha, expected[..., 3])


def test_a_transparent_colour_of_a_16_bit_png(tmp_path, read):
    values = samples(6, 8, 3, bits=16)
    key = chunk(b"tRNS", struct.pack(">HHH", *map(int, values[2, 3])))
    picture = read(write_png(tmp_path / "a.png", values, key))
    expected = np.full((6, 8), 65535)
    expected[2, 3] = 0
    np.testing.assert_array_equal(picture.alpha, expected)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_one_bit_is_black_and_white(tmp_path, read, name):
    image = Image.fromarray(samples(20, 30, 3)).convert("1")
    image.save(tmp_path / name)
    picture = read(tmp_path / name)
    assert (picture.colours, picture.bits) == (1, 8)
    np.testing.assert_array_equal(picture.pixels[..., 0], np.asarray(image) * 255)


def test_grey_16_bit_tiff(tmp_path, read):
    values = samples(9, 11, 1, bits=16)
    Image.fromarray(values[..., 0]).save(tmp_path / "a.tif")
    picture = read(tmp_path / "a.tif")
    assert (picture.colours, picture.bits, picture.kind) == (1, 16, "tiff")
    np.testing.assert_array_equal(picture.pixels, values)


@pytest.mark.parametrize("name, kind", [("a.bmp", "bmp"), ("a.gif", "gif")])
def test_other_kinds(tmp_path, read, name, kind):
    Image.fromarray(samples(9, 11, 3)).quantize(8).convert("RGB").save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(image.convert("RGB"))
    picture = read(tmp_path / name)
    assert picture.kind == kind
    np.testing.assert_array_equal(picture.pixels, expected)


@pytest.mark.parametrize("has_profile", [False, True])
def test_cmyk_becomes_srgb_and_says_so(tmp_path, read, has_profile):
    """Inks that everybody agrees on: no ink is white, all black is dark, red is red."""
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32] = (0, 0, 0, 255)
    inks[:, 32:] = (0, 255, 255, 0)
    image = Image.fromarray(inks, mode="CMYK")
    more = {"icc_profile": cmyk_profile()} if has_profile else {}
    image.save(tmp_path / "a.jpg", quality=100, subsampling=0, **more)
    picture = read(tmp_path / "a.jpg")
    white, black, red = picture.pixels[8, [8, 24, 40]].astype(int)
    assert white.min() >= 250
    assert black.max() <= 70
    assert red[0] >= 180 and red[1:].max() <= 80
    [note] = picture.notes
    assert ("its own profile" in note) == has_profile
    assert picture.metadata.icc is not None and b"RGB " in picture.metadata.icc[:20]


def cmyk_profile():
    """libvips' own CMYK profile, as a file's."""
    import pyvips

    image = pyvips.Image.black(8, 8, bands=4).copy(interpretation="cmyk")
    found = image.icc_transform("cmyk", input_profile="cmyk")
    return found.get("icc-profile-data")


def test_the_content_counts_not_the_suffix(tmp_path):
    write_photo(tmp_path / "a.png", samples(8, 9, 3)).rename(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").kind == "png"


@pytest.mark.parametrize("name", ["a[page=1].png", "ü ñ 写真.png", b"latin-\xe9.png"])
def test_any_file_name(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    write_photo(path, samples(8, 9, 3))
    assert read_picture(path).width == 9


def test_odd_files_are_refused_in_one_line(tmp_path, read):
    reasons = write_odd_files(tmp_path / "odd")
    for name, words in reasons.items():
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "odd" / name)
        assert caught.value.reason.startswith(words), name
        assert "\n" not in str(caught.value)
        assert caught.value.path.endswith(name)


def test_missing_files_folders_and_pipes_are_refused(tmp_path):
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="link that leads nowhere"):
        read_picture(tmp_path / "lost.png")
    with pytest.raises(ImageError, match="does not exist"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        read_picture(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    with pytest.raises(ImageError, match="is no regular file"):
        read_picture(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="cannot be read .*too long"):
        read_picture(tmp_path / ("a" * 300 + ".png"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may read everything")
def test_no_permission(tmp_path):
    path = write_photo(tmp_path / "a.png", samples(8, 9, 3))
    path.chmod(0)
    with pytest.raises(ImageError, match="may not be read"):
        read_picture(path)


def test_memory_and_disk_are_given_back(tmp_path):
    path = write_png(tmp_path / "a.png", samples(10, 10, 4))
    budget = MemoryBudget(400)
    picture = read_picture(path, scratch=tmp_path, budget=budget)
    assert not budget.reserve(1)
    picture.close()
    picture.close()
    assert budget.reserve(400) and not budget.reserve(1)
    (tmp_path / "b.png").write_bytes(path.read_bytes()[:150])
    budget = MemoryBudget(400)
    with pytest.raises(ImageError, match="truncated"):
        read_picture(tmp_path / "b.png", scratch=tmp_path, budget=budget)
    assert budget.reserve(400)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.png", "b.png"}
