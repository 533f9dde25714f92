"""One way to read photographs: training sees what upscaling sees, refusals included."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from pdm_tf.core import images
from pdm_tf.core.errors import ImageError
from pdm_tf.core.photographs import read_size
from pdm_tf.data.sources import list_entries
from pdm_tf.inference.pictures import read_picture
from tests.support.photographs import (
    samples,
    write_odd_files,
    write_photo,
    write_png,
)


def write_kinds(folder):
    """One opaque photograph of each kind and depth that is read."""
    rgb = Image.fromarray(samples(24, 40, 3))
    rgb.save(folder / "lzw.tif", compression="tiff_lzw")
    rgb.save(folder / "jpeg.tiff", compression="jpeg")
    rgb.save(folder / "a.jfif", format="JPEG")
    rgb.save(folder / "a.webp")
    rgb.save(folder / "a.bmp")
    rgb.convert("L").save(folder / "grey.tif")
    rgb.convert("1").save(folder / "bilevel.tif")
    rgb.quantize(16).save(folder / "palette.tif")
    rgb.convert("P").save(folder / "still.gif")
    rgb.convert("CMYK").save(folder / "cmyk.tif")
    Image.fromarray(samples(9, 8, 1, bits=16)[..., 0]).save(folder / "deep.tif")
    opaque = np.dstack([samples(7, 5, 3), np.full((7, 5), 255, np.uint8)])
    Image.fromarray(opaque).save(folder / "opaque.tif")
    for channels in (1, 3):
        write_png(folder / f"deep_{channels}.png", samples(9, 8, channels, bits=16))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(folder / "turned.tif", exif=exif)
    return sorted(path.name for path in folder.iterdir())


def test_training_sees_what_upscaling_sees(tmp_path):
    """In 8 bits: of more, upscaling keeps all and training the nearest level."""
    names = write_kinds(tmp_path)
    assert [path.name for path in images.list_images(tmp_path)] == names
    for name in names:
        picture = read_picture(tmp_path / name)
        seen = picture.pixels
        if picture.bits == 16:
            seen = np.floor(seen.astype(np.float64) * 255 / 65535 + 0.5)
        rgb_u8 = images.read_rgb_u8(tmp_path / name)
        assert rgb_u8.dtype == np.uint8 and rgb_u8.flags.c_contiguous
        expected = np.broadcast_to(seen, (*seen.shape[:2], 3))
        np.testing.assert_array_equal(rgb_u8, expected, err_msg=name)
        size = images.image_size(tmp_path / name)
        assert size == rgb_u8.shape[:2] == read_size(tmp_path / name), name


@pytest.mark.parametrize("name", ["lzw.tif", "grey.tif", "palette.tif", "still.gif"])
def test_values_are_those_that_pillow_reads(tmp_path, name):
    write_kinds(tmp_path)
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(images.read_rgb_u8(tmp_path / name), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(samples(8, 16, 3)).save(tmp_path / "a.tif", exif=exif)
    with Image.open(tmp_path / "a.tif") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(images.read_rgb_u8(tmp_path / "a.tif"), expected)
    assert images.image_size(tmp_path / "a.tif") == expected.shape[:2]


def test_a_folder_of_tiffs_is_a_source_of_data(tmp_path):
    for index in range(3):
        write_photo(tmp_path / f"{index}.tif", samples(20, 30, 3, seed=index))
    for index, entry in enumerate(list_entries(str(tmp_path))):
        assert entry.size() == (20, 30)
        np.testing.assert_array_equal(entry.read(), samples(20, 30, 3, seed=index))


def test_refusals_have_the_same_words_everywhere(tmp_path):
    """Up to what the decoder says of the damage, in brackets."""
    for name, words in write_odd_files(tmp_path / "odd").items():
        for read in (images.read_rgb_u8, read_picture):
            with pytest.raises(ImageError) as caught:
                read(tmp_path / "odd" / name)
            assert caught.value.reason.startswith(words.partition(" (")[0]), name


def test_a_transparent_tiff_and_gif_are_refused_for_training(tmp_path):
    glass = Image.fromarray(samples(7, 5, 4))
    glass.save(tmp_path / "glass.tif")
    Image.fromarray(samples(7, 5, 3)).quantize(8).save(
        tmp_path / "glass.gif", transparency=3
    )
    for name in ("glass.tif", "glass.gif"):
        with pytest.raises(ImageError, match="has transparent pixels"):
            images.read_rgb_u8(tmp_path / name)
        assert read_picture(tmp_path / name).layers == 2


def test_a_tiff_that_is_too_large_to_decode_is_refused(tmp_path, monkeypatch):
    write_photo(tmp_path / "a.tif", samples(20, 30, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    for read in (images.read_rgb_u8, images.image_size):
        with pytest.raises(ImageError, match="400 pixels .--max_pixels.; cut it into"):
            read(tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").width == 30  # in streams: no limit
