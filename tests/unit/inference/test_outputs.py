"""From rows to files: rounding, grey, alpha, other sizes, the two stores."""

import numpy as np
import pytest
from PIL import Image

from pdm_tf.inference.file_pipeline import upscale_file
from pdm_tf.inference.files import FileOptions
from pdm_tf.inference.outputs import quantised, result_size
from pdm_tf.inference.pictures import read_picture
from tests.support.photographs import samples, write_png
from tests.unit.inference.fakes import FakeEngine, bicubic, repeated, trained


def upscale(tmp_path, values, engine, name="out.png", **options):
    """Writes `values`, upscales, reads the result back."""
    source = write_png(tmp_path / "in.png", values)
    options = FileOptions(overwrite=True, **options)
    result = upscale_file(engine, source, tmp_path / name, options)
    assert result.status == "done", result.reason
    return read_picture(tmp_path / name), result


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_value_survives_a_network_that_repeats(tmp_path, channels, bits):
    """Bit for bit, 16 bits too; colour where alpha is 0 cannot be known."""
    values = samples(9, 12, channels, bits=bits)
    picture, _ = upscale(tmp_path, values, FakeEngine(scale=3))
    large = values.repeat(3, 0).repeat(3, 1)
    colours = picture.colours
    assert (colours, picture.bits) == (1 if channels < 3 else 3, bits)
    if channels in (2, 4):
        np.testing.assert_array_equal(picture.alpha, large[..., -1])
        seen = large[..., -1:] > 0
        np.testing.assert_array_equal(
            picture.pixels, np.where(seen, large[..., :colours], 0)
        )
    else:
        np.testing.assert_array_equal(picture.pixels, large)


def test_values_are_clipped_and_rounded_half_up(tmp_path):
    def wild(lr, scale):
        sr = repeated(lr, scale)
        sr[:, :, 0::2] = -0.5
        sr[:, :, 1::2] = [1.5, 127.5 / 255, 127.49 / 255]
        return sr

    picture, _ = upscale(tmp_path, samples(3, 4, 3), FakeEngine(wild))
    np.testing.assert_array_equal(picture.pixels[:, 0::2], 0)
    np.testing.assert_array_equal(
        picture.pixels[:, 1::2], np.broadcast_to([255, 128, 127], (6, 4, 3))
    )


def test_rounding_to_16_bits_against_exact_numbers():
    values = (np.arange(0, 65536, 7) + 0.25) / 65535
    found = quantised(values.astype(np.float32), np.dtype(np.uint16))
    np.testing.assert_array_equal(found, np.arange(0, 65536, 7))


def test_grey_is_the_mean_of_the_networks_channels(tmp_path):
    def coloured(lr, scale):
        return repeated(lr, scale) * np.float32([0.5, 1.0, 0.3])

    values = np.full((4, 5, 1), 200, np.uint8)
    picture, _ = upscale(tmp_path, values, FakeEngine(coloured))
    np.testing.assert_array_equal(picture.pixels, 120)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("network", [repeated, bicubic])
def test_one_colour_stays_that_colour_under_any_alpha(tmp_path, network, bits):
    """Whatever alpha does, and whatever stands behind transparent pixels."""
    alpha = samples(17, 23, 1, bits=bits)
    alpha[3:8, 3:9] = 0
    alpha[9:15, 9:20] = 2**bits - 1
    colour = np.array([200, 30, 90], alpha.dtype) * (1 if bits == 8 else 257)
    values = np.concatenate([np.broadcast_to(colour, (17, 23, 3)), alpha], -1)
    values[alpha[..., 0] == 0, :3] = 2**bits - 1  # must not bleed
    picture, _ = upscale(tmp_path, values, FakeEngine(network, scale=4))
    seen = picture.pixels[picture.alpha > 0].astype(int)
    # float32: of little alpha, little is left to tell the colour by.
    assert np.abs(seen - colour).max() <= (0 if bits == 8 else 4)
    assert (picture.pixels[picture.alpha == 0] == 0).all()
    expected = network(np.repeat(alpha[None] / np.float32(2**bits - 1), 3, -1), 4)
    expected = quantised(expected[0, ..., 0], alpha.dtype).astype(int)
    assert np.abs(picture.alpha - expected).max() <= 1


def test_alpha_is_exact_where_it_is_settled(tmp_path):
    """A hole in a photograph must not make its frame transparent.

    The network gives 0.95 for white at the border; alpha must be 1 there, and the
    colour what the network makes of the photograph without alpha.
    """
    values = samples(20, 30, 4)
    values[..., 3] = 255
    values[8:14, 10:20, 3] = 0
    picture, _ = upscale(tmp_path, values, FakeEngine(trained))
    far = np.ones((40, 60), bool)
    far[2 * (8 - 2) : 2 * (14 + 2), 2 * (10 - 2) : 2 * (20 + 2)] = False
    assert (picture.alpha[far] == 255).all()
    assert (picture.alpha[20:24, 24:36] == 0).all()
    opaque, _ = upscale(tmp_path, values[..., :3].copy(), FakeEngine(trained))
    np.testing.assert_array_equal(picture.pixels[far], opaque.pixels[far])


@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.webp", "out.jpg"])
@pytest.mark.parametrize("channels", [2, 4])
def test_opaque_alpha_stays_where_there_is_room_for_it(tmp_path, name, channels):
    values = samples(6, 7, channels)
    values[..., -1] = 255
    picture, _ = upscale(tmp_path, values, FakeEngine(), name)
    assert picture.layers == 1
    assert picture.has_alpha == (name not in ("out.jpg", "out.webp"))
    if name == "out.webp":  # libwebp itself leaves an opaque channel out
        return
    with Image.open(tmp_path / name) as image:
        bands = (1 if channels == 2 else 3) + (name != "out.jpg")
        assert len(image.getbands()) == bands


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("outscale", [None, 1.5])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_scratch_file_and_memory_give_the_same_file(
    tmp_path, channels, bits, outscale, suffix
):
    values = samples(19, 13, channels, bits=bits)
    files = []
    for memory_mb in (100, 0):
        name = f"{memory_mb}{suffix}"
        upscale(
            tmp_path,
            values,
            FakeEngine(bicubic, scale=3),
            name,
            outscale=outscale,
            memory_mb=memory_mb,
        )
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "outscale, size", [(2.0, (14, 22)), (1.0, (7, 11)), (0.01, (1, 1)), (5.3, (37, 58))]
)
def test_outscale_gives_the_size_asked_for(tmp_path, outscale, size):
    values = np.full((7, 11, 3), 77, np.uint8)
    picture, result = upscale(tmp_path, values, FakeEngine(scale=4), outscale=outscale)
    assert (picture.height, picture.width) == size == result.sr_size
    assert size == result_size(7, 11, outscale)
    np.testing.assert_array_equal(picture.pixels, 77)


@pytest.mark.parametrize("bits", [8, 16])
def test_outscale_leaves_a_gradient_where_it_is(tmp_path, bits):
    """A ramp has to come out as the ramp of the new size: no shift, rounded once."""
    ramp = np.linspace(0.2, 0.8, 64)
    values = np.broadcast_to(ramp[:, None, None] * (2**bits - 1), (64, 8, 3))
    values = np.round(values).astype(np.uint16 if bits == 16 else np.uint8)
    picture, _ = upscale(tmp_path, values, FakeEngine(bicubic, scale=4), outscale=2.0)
    centres = (np.arange(128) + 0.5) / 2 - 0.5
    expected = (0.2 + 0.6 * centres / 63) * (2**bits - 1)
    found = picture.pixels[8:-8, 4, 0].astype(float)
    # The source's own rounding, spread by the interpolation, is up to half a level.
    assert np.abs(found - expected[8:-8]).max() <= 1.1


def test_outscale_leaves_one_colour_under_any_alpha(tmp_path):
    values = samples(16, 16, 4)
    values[..., :3] = (200, 30, 90)
    picture, _ = upscale(tmp_path, values, FakeEngine(scale=4), outscale=1.7)
    seen = picture.pixels[picture.alpha > 8].astype(int)
    assert np.abs(seen - [200, 30, 90]).max() <= 1


def test_outscale_does_not_bleed_colour_from_transparent_pixels(tmp_path):
    values = np.full((16, 16, 4), 255, np.uint8)
    values[:, :8] = (0, 255, 0, 0)
    values[:, 8:, :3] = (200, 30, 90)
    picture, _ = upscale(tmp_path, values, FakeEngine(scale=4), outscale=1.7)
    seen = picture.pixels[picture.alpha > 8].astype(int)
    assert np.abs(seen - [200, 30, 90]).max() <= 1
