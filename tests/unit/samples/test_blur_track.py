"""The quickstart's data: the blur is the stated one, the folders are what they say."""

import filecmp

import numpy as np
import pytest
from scipy import ndimage

from pdm_tf import samples
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.samples import blur_track

RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return blur_track.make_track(tmp_path_factory.mktemp("track"))


def test_blur_is_scipy_correlation_then_every_fourth_pixel():
    """Catches a flipped kernel, a shifted grid and another border rule."""
    hr_u8 = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    kernel = RNG.random((7, 7))
    kernel /= kernel.sum()
    blurred = ndimage.correlate(
        hr_u8.astype(np.float64), kernel[..., None], mode="reflect"
    )
    expected = np.floor(blurred[::4, ::4] + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(
        blur_track.blur_and_subsample(hr_u8, kernel, 4), expected
    )


def test_delta_kernel_is_plain_subsampling():
    hr_u8 = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    delta = np.zeros((21, 21))
    delta[10, 10] = 1
    np.testing.assert_array_equal(
        blur_track.blur_and_subsample(hr_u8, delta, 4), hr_u8[::4, ::4]
    )


def test_gaussian_has_the_widths_and_direction_asked_for():
    kernel = blur_track.gaussian_kernel(2.0, 1.3, np.pi / 6, size=41)
    y, x = np.mgrid[-20:21, -20:21]
    covariance = np.array(
        [
            [(kernel * x * x).sum(), (kernel * x * y).sum()],
            [(kernel * x * y).sum(), (kernel * y * y).sum()],
        ]
    )
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    axes = np.array([[c, s], [-s, c]])
    expected = axes.T @ np.diag([4.0, 1.69]) @ axes
    # Sampling a Gaussian of this width at whole pixels keeps its moments to 1e-6.
    np.testing.assert_allclose(covariance, expected, atol=1e-6)


def test_kernels_follow_the_stated_distribution():
    kernels = blur_track.draw_kernels(300, seed=1, stream="x")
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1.0, atol=1e-12)
    # Symmetric about the middle tap, so centred there.
    np.testing.assert_allclose(kernels, kernels[:, ::-1, ::-1], atol=1e-15)
    places = np.arange(21) - 10
    y, x = np.meshgrid(places, places, indexing="ij")
    half_trace = (kernels * (y**2 + x**2)).sum(axis=(1, 2)) / 2
    low, high = blur_track.SIGMA_RANGE_PX
    # (sigma_x^2 + sigma_y^2) / 2; the window cuts off a little of the widest.
    assert low**2 * 0.99 < half_trace.min() < 2.2
    assert 7.0 < half_trace.max() < high**2
    mean_square = (high**3 - low**3) / (3 * (high - low))
    assert half_trace.mean() == pytest.approx(mean_square, rel=0.06)


def test_kernel_i_does_not_depend_on_how_many_are_drawn():
    few, many = (blur_track.draw_kernels(n, seed=3, stream="y") for n in (2, 5))
    np.testing.assert_array_equal(few, many[:2])
    assert not np.allclose(few[0], few[1])
    assert not np.allclose(few, blur_track.draw_kernels(2, seed=3, stream="z"))


def test_track_has_the_sides_it_promises(track):
    names = {
        side: {path.stem for path in list_images(folder)}
        for side, folder in (
            *(("hr", track.hr), ("lr", track.lr)),
            *(("val_hr", track.val_hr), ("val_lr", track.val_lr)),
        )
    }
    sources = {path.stem for path in list_images(samples.PHOTOS_FOR_LR)}
    assert {name.rsplit("_", 1)[0] for name in names["lr"]} == sources
    assert len(names["lr"]) == len(sources) * blur_track.COPIES
    assert names["val_hr"] == names["val_lr"]
    assert not names["hr"] & (sources | names["val_hr"])
    assert not sources & names["val_hr"]


def test_validation_pairs_fit_and_lr_images_come_from_their_kernels(track):
    for path in list_images(track.val_hr):
        hr_u8, lr_u8 = read_rgb_u8(path), read_rgb_u8(track.val_lr / path.name)
        assert hr_u8.shape[:2] == tuple(4 * side for side in lr_u8.shape[:2])
    kernels = np.load(track.true_kernels)
    for kernel in np.load(track.val_kernels):
        assert np.abs(kernels - kernel).max(axis=(1, 2)).min() > 1e-4
    files = list_images(track.lr)
    assert kernels.shape == (len(files), 21, 21)
    index = 5
    source = samples.PHOTOS_FOR_LR / f"{files[index].stem.rsplit('_', 1)[0]}.jpg"
    hr_u8 = read_rgb_u8(source)
    blurred = ndimage.correlate(
        hr_u8[:, :, 1].astype(np.float64), kernels[index].astype(np.float64)
    )
    middle = np.s_[8:20, 8:20]  # clear of the border rule
    difference = read_rgb_u8(files[index])[..., 1][middle] - blurred[::4, ::4][middle]
    assert np.abs(difference).max() <= 0.51


def test_again_gives_the_same_bytes_and_leaves_a_finished_folder_alone(track, tmp_path):
    again = blur_track.make_track(tmp_path)
    for path in sorted(track.folder.rglob("*.*")):
        twin = again.folder / path.relative_to(track.folder)
        assert filecmp.cmp(path, twin, shallow=False), path
    marked = again.lr / "brick_0.png"
    marked.unlink()
    blur_track.make_track(tmp_path)
    assert not marked.exists()  # complete as far as the recipe says
    write_json_atomic(tmp_path / "recipe.json", {"seed": 1})
    blur_track.make_track(tmp_path)
    assert marked.exists()  # made by another recipe: made anew
