"""Image files: what every kind becomes, and that the bad ones are refused by name."""

import os
import struct
import time

import numpy as np
import pytest
from PIL import Image, ImageOps

from pdm_tf.core import images
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.photographs import read_size, set_limits
from tests.support import png


def _noise(height=9, width=7, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_reads_rgb_in_that_order(tmp_path, suffix):
    """Catches BGR: the channels differ. Lossless formats must be exact."""
    rgb_u8 = _noise()
    Image.fromarray(rgb_u8).save(tmp_path / f"a.{suffix}", lossless=True)
    got = images.read_rgb_u8(tmp_path / f"a.{suffix}")
    assert got.dtype == np.uint8 and got.flags.c_contiguous
    np.testing.assert_array_equal(got, rgb_u8)


def test_reads_jpeg(tmp_path):
    colour = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    Image.fromarray(colour).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(images.read_rgb_u8(tmp_path / "a.jpg").astype(int) - colour).max() < 4


def test_grey_palette_bilevel_cmyk(tmp_path):
    grey = _noise(channels=1)[..., 0]
    picture = Image.fromarray(grey)
    picture.save(tmp_path / "grey.png")
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(images.read_rgb_u8(tmp_path / "grey.png"), expected)

    palette = Image.fromarray(_noise()).quantize(16)
    palette.save(tmp_path / "palette.png")
    expected = np.asarray(palette.convert("RGB"))
    got = images.read_rgb_u8(tmp_path / "palette.png")
    np.testing.assert_array_equal(got, expected)

    picture.convert("1").save(tmp_path / "bilevel.png")
    got = images.read_rgb_u8(tmp_path / "bilevel.png")
    assert got.shape == (9, 7, 3) and set(np.unique(got)) == {0, 255}

    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red.save(tmp_path / "cmyk.jpg", quality=100)
    got = images.read_rgb_u8(tmp_path / "cmyk.jpg").mean(axis=(0, 1))
    # Printed red, by a general profile; `test_colour` has what `upscale` makes of it.
    assert got[0] > 220 and got[1] < 60 and got[2] < 60


@pytest.mark.parametrize(
    "colour_type, channels",
    [(png.GREY, 1), (png.RGB, 3), (png.GREY_ALPHA, 2), (png.RGB_ALPHA, 4)],
)
def test_sixteen_bits_are_rounded(tmp_path, colour_type, channels):
    """Pillow takes the high byte (v // 256), which is darker by half a level."""
    rng = np.random.default_rng(1)
    samples = rng.integers(0, 65536, (12, 10, channels)).astype(np.uint16)
    colours = 3 if channels >= 3 else 1
    samples[..., colours:] = 65535  # opaque
    (tmp_path / "a.png").write_bytes(png.png_bytes(samples, colour_type))
    colour = samples[..., :colours].astype(np.float64)
    expected = np.floor(colour * 255 / 65535 + 0.5).astype(np.uint8)
    expected = np.broadcast_to(expected, (12, 10, 3))
    got = images.read_rgb_u8(tmp_path / "a.png")
    np.testing.assert_array_equal(got, expected)
    assert np.any(expected != (colour // 256).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_exif_orientation(tmp_path, orientation, suffix):
    picture = Image.fromarray(_noise(8, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    picture.save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    np.testing.assert_array_equal(images.read_rgb_u8(path), expected)
    assert images.image_size(path) == expected.shape[:2]
    assert images.image_size(path) == ((16, 8) if orientation >= 5 else (8, 16))


def test_broken_exif_is_ignored(tmp_path):
    Image.fromarray(_noise()).save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(images.read_rgb_u8(tmp_path / "a.png"), _noise())


def test_opaque_alpha_is_dropped_and_translucent_refused(tmp_path):
    rgba = np.dstack([_noise(), np.full((9, 7), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    got = images.read_rgb_u8(tmp_path / "opaque.png")
    np.testing.assert_array_equal(got, _noise())
    rgba[3, 3, 3] = 254
    Image.fromarray(rgba).save(tmp_path / "glass.png")
    with pytest.raises(ImageError, match=r"glass\.png: has transparent pixels"):
        images.read_rgb_u8(tmp_path / "glass.png")


def test_transparent_colour_and_palette_entry_are_refused(tmp_path):
    """tRNS: one colour, or palette entries, that count as transparent."""
    picture = Image.fromarray(_noise())
    present, absent = tuple(int(v) for v in _noise()[0, 0]), (1, 2, 3)
    assert not np.any(np.all(_noise() == absent, axis=-1))
    picture.save(tmp_path / "key.png", transparency=present)
    picture.save(tmp_path / "unused.png", transparency=absent)
    picture.quantize(8).save(tmp_path / "palette.png", transparency=0)
    for name in ("key.png", "palette.png"):
        with pytest.raises(ImageError, match="transparent"):
            images.read_rgb_u8(tmp_path / name)
    got = images.read_rgb_u8(tmp_path / "unused.png")
    np.testing.assert_array_equal(got, _noise())

    samples = np.arange(27, dtype=np.uint16).reshape(3, 3, 3) * 2000
    key = png.chunk(b"tRNS", struct.pack(">HHH", *samples[1, 1].tolist()))
    (tmp_path / "deep.png").write_bytes(png.png_bytes(samples, png.RGB, key))
    with pytest.raises(ImageError, match="transparent"):
        images.read_rgb_u8(tmp_path / "deep.png")


def _animated(path, suffix):
    frames = [Image.fromarray(_noise(seed=seed)) for seed in range(3)]
    frames[0].save(path, format=suffix, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animations_are_refused(tmp_path, suffix):
    _animated(tmp_path / f"a.{suffix}", suffix)
    with pytest.raises(ImageError, match="animation of 3 frames"):
        images.read_rgb_u8(tmp_path / f"a.{suffix}")


def test_first_picture_of_a_phone_jpeg(tmp_path):
    """MPO, which phones write with a depth map behind the photo, is no animation."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    path = tmp_path / "phone.jpg"
    frames[0].save(path, format="MPO", save_all=True, append_images=frames[1:])
    red, green, blue = images.read_rgb_u8(path).mean(axis=(0, 1))
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_truncated_files_are_refused(tmp_path, suffix):
    Image.fromarray(_noise(64, 64)).save(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for part in (0.9, 0.5, 0.01):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(ImageError) as caught:
            images.read_rgb_u8(path)
        assert caught.value.path == str(path) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "is an empty file"),
        (b"some text", "is not a PNG, JPEG, WebP, TIFF, BMP or GIF image"),
        (b"GIF89a" + bytes(40), "is truncated or damaged"),
    ],
)
def test_mislabelled_files_are_refused(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    for read in (images.read_rgb_u8, images.image_size):
        with pytest.raises(ImageError, match=reason):
            read(tmp_path / "a.png")


def test_content_counts_not_suffix(tmp_path):
    Image.fromarray(_noise()).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(images.read_rgb_u8(tmp_path / "a.jpg"), _noise())


def test_huge_images_are_refused_without_decoding(tmp_path):
    """A decompression bomb: 40000 x 40000 in a few bytes."""
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png.chunk(b"IHDR", header) + png.chunk(b"IDAT", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    for read in (images.read_rgb_u8, images.image_size):
        with pytest.raises(ImageError, match="more than 178 million pixels"):
            read(tmp_path / "bomb.png")


def test_missing_file():
    with pytest.raises(ImageError, match="does not exist"):
        images.read_rgb_u8("no/such.png")
    with pytest.raises(ImageError, match="does not exist"):
        images.image_size("no/such.png")


def test_bytes_and_file_read_alike(tmp_path):
    images.write_png(tmp_path / "a.png", _noise())
    data = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(images.decode_rgb_u8(data, "a"), _noise())
    with pytest.raises(ImageError, match="record 7: is truncated"):
        images.decode_rgb_u8(data[:60], "record 7")


def test_list_images(tmp_path):
    """Recursive, sorted by relative path, hidden left out, links followed once."""
    for name in ("b.PNG", "a/z.jpg", "a/c.webp", "a.bmp", ".hidden.png", ".git/x.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.png").write_bytes(b"x")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "lost.png").symlink_to(tmp_path / "nowhere")
    found = images.list_images(tmp_path / "in")
    names = [path.relative_to(tmp_path / "in").as_posix() for path in found]
    assert names == ["a.bmp", "a/c.webp", "a/z.jpg", "b.PNG", "link/e.png", "lost.png"]


def test_list_images_refuses(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no folder"):
        images.list_images(tmp_path / "none")
    with pytest.raises(UserError, match="Received the file"):
        images.list_images(tmp_path / "a.png")
    with pytest.raises(UserError, match="holds none"):
        images.list_images(tmp_path / "empty")


def test_write_png_is_exact_and_checked(tmp_path):
    images.write_png(tmp_path / "new" / "a.png", _noise())
    got = images.read_rgb_u8(tmp_path / "new" / "a.png")
    np.testing.assert_array_equal(got, _noise())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    for bad in (_noise(channels=4), _noise().astype(np.float32), _noise()[..., 0]):
        with pytest.raises(ValueError, match="Received"):
            images.write_png(tmp_path / "bad.png", bad)


def test_float_and_back():
    every_u8 = np.arange(256, dtype=np.uint8)
    values = images.to_float(every_u8)
    assert values.dtype == np.float32 and values[0] == 0 and values[-1] == 1
    np.testing.assert_array_equal(values, (every_u8 / 255.0).astype(np.float32))
    np.testing.assert_array_equal(images.to_u8(values), every_u8)
    rounded = images.to_u8(np.array([-0.5, 0.5 / 255, 1.49 / 255, 1.5 / 255, 2.0]))
    np.testing.assert_array_equal(rounded, [0, 1, 1, 2, 255])


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
UNREAD = {
    "a.HEIC": (HEIC, "is a HEIC photograph"),
    "b.avif": (b"\0\0\0\x1cftypavif" + bytes(100), "is an AVIF image"),
    "c.jxl": (b"\xff\x0a" + bytes(100), "is a JPEG XL image"),
    "d.NEF": (b"MM\0*" + bytes(200), "is a raw photograph"),
    "e.dng": (b"II*\0" + bytes(200), "is a raw photograph"),
    "f.jp2": (b"\0\0\0\x0cjP  " + bytes(40), "is a JPEG 2000 image"),
    "g.ppm": (b"P6 1 1 255 abc", "is an image"),
}


def test_kinds_that_are_not_read_are_named(tmp_path):
    """A camera's and a phone's folder: nothing vanishes without a word."""
    write = images.write_png
    for name, (data, _) in UNREAD.items():
        (tmp_path / name).write_bytes(data)
    write(tmp_path / "h.png", np.zeros([4, 4, 3], np.uint8))
    (tmp_path / "h.NEF").write_bytes(b"MM\0*" + bytes(200))  # beside its picture
    write(tmp_path / "i.png", np.zeros([4, 4, 3], np.uint8))
    (tmp_path / "i.png").rename(tmp_path / "i.heic")  # a PNG by its content
    (tmp_path / "notes.txt").write_text("no picture")
    names = [path.name for path in images.list_images(tmp_path)]
    assert names == sorted([*UNREAD, "h.png", "i.heic"])
    for name, (_, reason) in UNREAD.items():
        for look in (images.read_rgb_u8, images.image_size, read_size):
            with pytest.raises(ImageError, match=f"{reason}, which is not read; save"):
                look(tmp_path / name)
    assert images.read_rgb_u8(tmp_path / "i.heic").shape == (4, 4, 3)


def test_pictures_whose_names_do_not_say_so_are_told_by_their_content(tmp_path):
    """Downloads are pictures; copies that editors keep, and texts, are none."""
    picture = Image.fromarray(_noise())
    kinds = {"no_suffix": "JPEG", "photo.jpg_large": "JPEG", "a.b": "PNG", "c": "WEBP"}
    others = {
        "shot.PNG~": "PNG",
        "old.bak": "PNG",
        "raw.kdc": "TIFF",
        "film.thm": "JPEG",
    }
    for name, kind in (kinds | others).items():
        picture.save(tmp_path / name, kind)
    (tmp_path / "notes").write_text("BMW, GIF and PNG")
    (tmp_path / "empty").touch()
    found = images.list_images(tmp_path)
    assert [path.name for path in found] == sorted(kinds)
    assert [images.read_rgb_u8(path).shape for path in found] == [_noise().shape] * 4


def test_an_error_stays_on_one_line_whatever_the_name_of_its_picture():
    error = ImageError("a\nb\x1b[2Jé.png", "is truncated")
    assert str(error) == r"a\nb\x1b[2Jé.png: is truncated."
    assert error.path == "a\nb\x1b[2Jé.png"


def test_any_surprise_of_a_decoder_is_an_error_of_its_picture(tmp_path, monkeypatch):
    Image.fromarray(_noise()).save(tmp_path / "a.png")
    surprises = (RecursionError("deep"), KeyError("x"), SyntaxError("odd"), TypeError())
    for surprise in surprises:

        def broken(*args, surprise=surprise):
            raise surprise

        monkeypatch.setattr(images, "_pillow_pixels", broken)
        with pytest.raises(ImageError, match=r"a\.png: is truncated or damaged \(.+\)"):
            images.read_rgb_u8(tmp_path / "a.png")


def test_what_a_header_claims_is_held_against_the_bytes_there_are(tmp_path):
    """1.5 kB of JPEG that claim 65500 x 65500: nothing is decoded or allocated."""
    Image.fromarray(_noise(40, 40)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    at = data.find(b"\xff\xc0") + 5
    lie = data[:at] + struct.pack(">HH", 65500, 65500) + data[at + 4 :]
    (tmp_path / "lie.jpg").write_bytes(lie)
    for read in (images.read_rgb_u8, images.image_size, read_size):
        begin = time.perf_counter()
        with pytest.raises(ImageError, match=r"65500x65500|million pixels"):
            read(tmp_path / "lie.jpg")
        assert time.perf_counter() - begin < 0.5
    # The emptiest genuine pictures are well within what their bytes can hold.
    empty = Image.new("L", (6000, 6000))
    empty.save(tmp_path / "empty.png", optimize=True)
    empty.save(tmp_path / "empty.jpg", quality=1, progressive=True, optimize=True)
    empty.save(tmp_path / "empty.gif", optimize=True)
    empty.convert("1").save(tmp_path / "bits.png", optimize=True)
    for name in ("empty.png", "empty.jpg", "empty.gif", "bits.png"):
        assert images.image_size(tmp_path / name) == (6000, 6000), name
        assert read_size(tmp_path / name) == (6000, 6000), name


def test_limits_are_held_before_decoding(tmp_path):
    Image.fromarray(_noise(40, 50)).save(tmp_path / "a.png")
    try:
        set_limits(max_pixels=1999)
        for read in (images.read_rgb_u8, images.image_size, read_size):
            with pytest.raises(ImageError, match="more than 1999 pixels"):
                read(tmp_path / "a.png")
        set_limits(max_pixels=2000)
        assert read_size(tmp_path / "a.png") == (40, 50)
        set_limits(max_file_mb=0.001)
        with pytest.raises(ImageError, match="--max_file_mb"):
            images.read_rgb_u8(tmp_path / "a.png")
    finally:
        set_limits()
    assert images.read_rgb_u8(tmp_path / "a.png").shape == (40, 50, 3)


def test_a_folder_that_may_not_be_searched_is_named_and_the_rest_goes_on(
    tmp_path, monkeypatch
):
    for name in ("a.png", "closed/b.png", "open/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(_noise()).save(tmp_path / name)
    listed = os.listdir

    def guarded(folder="."):
        if os.fspath(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return listed(folder)

    monkeypatch.setattr(os, "listdir", guarded)
    found = images.list_images(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["a.png", "closed", "open/c.png"]
    with pytest.raises(ImageError, match="closed: is a folder that cannot be searched"):
        images.read_rgb_u8(found[1])
    with pytest.raises(UserError, match="cannot be searched .Permission denied"):
        images.list_images(tmp_path / "closed")


def test_links_in_a_circle_are_named(tmp_path):
    Image.fromarray(_noise()).save(tmp_path / "a.png")
    (tmp_path / "x.png").symlink_to("y.png")
    (tmp_path / "y.png").symlink_to("x.png")
    (tmp_path / "loop").symlink_to(".")
    names = [path.name for path in images.list_images(tmp_path)]
    assert names == ["a.png", "x.png", "y.png"]
    with pytest.raises(ImageError, match=r"x\.png: cannot be read"):
        images.read_rgb_u8(tmp_path / "x.png")
