import io

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.images import encode_png
from pdm_tf.estimation.photograph_facts import detail_of, photograph_facts
from tests.support.photographs import icc_profile, samples, write_png
from tests.unit.estimation.folders import blurred, noisy, sharp


def facts(rgb_u8, **more):
    settings = {"least_side": 32, "role": "LR", "scale": 4, **more}
    return photograph_facts("a.png", encode_png(rgb_u8), **settings)


def test_numbers_of_a_photograph():
    rgb_u8 = sharp()[0]
    found = facts(rgb_u8)
    assert (found.width, found.height, found.kind, found.bits) == (176, 176, "png", 8)
    np.testing.assert_allclose(found.mean_255, rgb_u8.mean(axis=(0, 1)), rtol=1e-6)
    luma = rgb_u8 @ np.array([0.299, 0.587, 0.114])
    assert found.contrast_255 == pytest.approx(luma.std(), rel=1e-4)
    assert len(found.thumbnail) == 144
    assert np.mean(found.thumbnail) == pytest.approx(luma.mean(), abs=1.5)
    assert found.clipped == np.isin(rgb_u8, (0, 255)).mean()
    assert not found.left_out and not found.is_grey
    assert "thumbnail" not in found.to_json()


def test_pixels_decide_whether_two_files_are_the_same():
    rgb_u8 = sharp()[0]
    again = photograph_facts(
        "b.bmp", _file(rgb_u8, "BMP"), least_side=32, role="HR", scale=4
    )
    assert again.sha256 == facts(rgb_u8).sha256 and again.kind == "bmp"
    assert facts(rgb_u8[:, ::-1]).sha256 != again.sha256
    flat = rgb_u8.reshape(88, 352, 3)  # the same bytes in another shape
    assert flat.tobytes() == rgb_u8.tobytes()
    assert facts(flat).sha256 != again.sha256


def test_detail_falls_with_blur_and_hardly_depends_on_noise():
    details = []
    for sigma_px in (0.3, 0.7, 1.0, 1.5):
        levels = [detail_of(luma(blurred(x, sigma_px, 1)))[0] for x in sharp()]
        details.append(np.mean(levels))
    assert np.all(np.diff(details) < -3.0)
    assert details[0] > -18.0 and details[3] < -26.0
    plain = [detail_of(luma(x))[0] for x in sharp()]
    with_noise = [detail_of(luma(noisy(x, 3.0)))[0] for x in sharp()]
    assert abs(np.mean(plain) - np.mean(with_noise)) < 1.5


def test_reduced_detail_is_that_of_a_photograph_blurred_alike():
    for sigma_px in (0.8, 2.0):
        hr = [facts(blurred(x, sigma_px, 1), role="HR") for x in sharp()]
        lr = [facts(blurred(x, sigma_px, 4)) for x in sharp()]
        apart = [a.reduced_detail_db - b.detail_db for a, b in zip(hr, lr, strict=True)]
        assert abs(np.mean(apart)) < 0.2
        assert all(one.reduced_detail_db is None for one in lr)


def test_noise_floor():
    """White noise of 5 levels in R, G and B has 3.3 in the luma."""
    grey = np.full([96, 96, 3], 128, np.uint8)
    ramp = grey + np.arange(96, dtype=np.uint8)[:, None, None] // 3
    found = facts(noisy(ramp, 5.0))
    weights = np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert found.floor_255 == pytest.approx(5.0 * weights, rel=0.2)
    assert facts(ramp).floor_255 < 0.5  # its steps


@pytest.mark.parametrize(
    ("level", "reason"),
    [(0, "is all black"), (255, "is all white"), (90, "is all of one colour")],
)
def test_pictures_without_content_are_left_out(level, reason):
    assert facts(np.full([64, 64, 3], level, np.uint8)).left_out == reason


def test_small_and_broken_files_are_left_out_by_reason(tmp_path):
    small = facts(sharp()[0][:31, :40])
    assert small.left_out == (
        "is smaller than LR photographs must be (40x31 px, least 32x32)"
    )
    settings = {"least_side": 32, "role": "HR", "scale": 4}
    assert photograph_facts("a.png", b"", **settings).left_out == "is an empty file"
    text = photograph_facts("a.png", b"not an image", **settings)
    assert text.left_out.startswith("is not a PNG") and text.kind == ""
    whole = encode_png(sharp()[0])
    cut = photograph_facts("a.png", whole[: len(whole) // 2], **settings)
    assert cut.left_out.startswith("is truncated")


def test_header_tells_bits_and_camera(tmp_path):
    path = write_png(tmp_path / "a.png", samples(40, 40, 3, bits=16))
    settings = {"least_side": 32, "role": "LR", "scale": 4}
    found = photograph_facts("a.png", path.read_bytes(), **settings)
    assert (found.bits, found.camera) == (16, "")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    data = _file(sharp()[0], "JPEG", exif=exif, icc_profile=icc_profile())
    found = photograph_facts("a.jpg", data, **settings)
    assert (found.kind, found.camera) == ("jpeg", "Maker Model 1")


def test_grey():
    assert facts(np.repeat(sharp()[0][..., :1], 3, axis=2)).is_grey


def luma(rgb_u8):
    return rgb_u8 @ np.array([0.299, 0.587, 0.114], np.float32)


def _file(rgb_u8, kind, **more):
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8).save(buffer, kind, **more)
    return buffer.getvalue()
