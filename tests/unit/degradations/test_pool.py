"""`pool`: what is drawn from the files, what is added, and which files are refused."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import write_png
from pdm_tf.degradations import PoolConfig, PoolDegradation
from pdm_tf.degradations.pool import mosaic
from pdm_tf.degradations.pool_files import read_kernels, read_noise
from pdm_tf.degradations.whole_image import degrade_image
from tests.oracles import blur_oracle
from tests.support.predefined import pool_files

SEED = tf.constant([3, 9])
KERNELS, NOISE = pool_files()


def hr_crops(degradation, count, lr_side=12):
    side = degradation.hr_side(lr_side)
    return np.random.default_rng(0).random((count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
def test_lr_is_a_kernel_of_the_pool_plus_a_window_of_its_noise(grid):
    degradation = PoolDegradation(2, PoolConfig(KERNELS, NOISE, grid=grid))
    hr = hr_crops(degradation, 40, lr_side=6)
    degraded = degradation.synthesise(tf.constant(hr), SEED)
    pool, patches = np.load(KERNELS), np.load(NOISE)
    windows = np.stack(
        [patches[:, y : y + 6, x : x + 6] for y in range(2) for x in range(2)]
    ).reshape(-1, 6, 6, 3)
    found = set()
    for row in range(40):
        kernel = degraded.kernel[row].numpy().reshape(9, 9)
        distances = np.abs(pool - kernel).max(axis=(1, 2))
        assert distances.min() < 1e-7
        wanted = blur_oracle.blur(hr[row], kernel, 2, grid, "valid")
        np.testing.assert_allclose(degraded.clean_lr[row], wanted, rtol=0, atol=1e-5)
        differences = np.abs(windows - degraded.noise[row].numpy()).max(axis=(1, 2, 3))
        assert differences.min() < 1e-7
        found.add((int(distances.argmin()), int(differences.argmin())))
    np.testing.assert_array_equal(degraded.lr, degraded.clean_lr + degraded.noise)
    assert len(found) > 20  # of 3 kernels x 20 windows


def test_each_kernel_and_each_window_is_as_likely_as_any_other():
    """Chi-squared tests, each at an error rate of 1 in 1,000 for another seed."""
    degradation = PoolDegradation(2, PoolConfig(KERNELS, NOISE))
    kernel, noise, *_ = degradation.draw(3000, 6, 6, SEED)
    kernels = np.abs(kernel.numpy()[:, :1, 0] - np.load(KERNELS).reshape(1, 3, 81))
    counts = np.bincount(kernels.max(axis=2).argmin(axis=1), minlength=3)
    assert ((counts - 1000) ** 2 / 1000).sum() < 13.8  # 2 degrees of freedom
    patches = np.load(NOISE)
    corners = np.stack([patches[:, y, x] for y in range(2) for x in range(2)]).reshape(
        20, 3
    )
    which = np.abs(noise.numpy()[:, None, 0, 0] - corners).max(axis=2).argmin(axis=1)
    counts = np.bincount(which, minlength=20)
    assert ((counts - 150) ** 2 / 150).sum() < 43.8  # 19 degrees of freedom


def test_larger_images_are_laid_with_patches():
    """Inside each tile there is a patch as it is; the tiles begin anywhere."""
    patches = tf.constant(np.load(NOISE))
    field = mosaic(patches, 30, 10, 17, SEED).numpy()
    assert field.shape == (30, 10, 17, 3)
    tops, whole = set(), 0
    for image in field:
        places = [
            (y, x)
            for y in range(10)
            for x in range(17)
            if np.abs(patches[:, 0, 0] - image[y, x]).max(axis=1).min() < 1e-7
        ]
        top, left = places[0]
        tops.add((top, left))
        for y, x in places:
            tile = image[y : y + 7, x : x + 7]
            if tile.shape == (7, 7, 3):
                whole += 1
                assert np.abs(patches - tile).max(axis=(1, 2, 3)).min() < 1e-7
    assert len(tops) > 10 and whole > 10


def test_sensor_noise_grows_with_the_signal():
    """variance = read^2 + shot * signal, one draw of both for each image."""
    config = PoolConfig(read_min=0.01, read_max=0.01, shot_min=0.002, shot_max=0.002)
    degradation = PoolDegradation(2, config)
    for level in (0.0, 0.3, 0.9):
        hr = tf.fill([1, *2 * [degradation.hr_side(96)], 3], level)
        noise = degradation.synthesise(hr, SEED).noise.numpy()
        # 27,648 values: the variance is known to 0.85 %; four times that.
        expected = 0.01**2 + 0.002 * level
        assert np.var(noise) == pytest.approx(expected, rel=0.034)
    wide = PoolDegradation(
        2, PoolConfig(read_min=0.004, read_max=0.015, shot_max=0.003)
    )
    _, _, read, shot = wide.draw(2000, 4, 4, SEED)
    assert 0.004 <= read.numpy().min() < 0.0042 and 0.0148 < read.numpy().max() <= 0.015
    assert 0 <= shot.numpy().min() < 0.0001 and 0.0029 < shot.numpy().max() <= 0.003
    assert abs(np.corrcoef(read[:, 0], shot[:, 0])[0, 1]) < 0.08


def test_without_kernels_it_is_bicubic_plus_noise(tmp_path):
    degradation = PoolDegradation(2, PoolConfig(noise=NOISE))
    assert degradation.grid == "half_pixel"
    hr_u8 = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    noisy = degrade_image(degradation, hr_u8, (1, 2))
    assert 1 < noisy.noise_std_255 < 10 and noisy.kernel is None


def test_the_content_of_files_is_on_record(tmp_path):
    def content(kernels):
        np.save(tmp_path / "k.npy", kernels)
        return PoolDegradation(2, PoolConfig(str(tmp_path / "k.npy"))).content

    one, two = np.zeros((2, 1, 5, 5))
    one[0, 2, 2], two[0, 2, 1] = 1, 1
    assert content(one) == content(one.astype(np.float16)) != content(two)


def test_what_was_changed_or_looks_odd_is_said(tmp_path):
    def remarks(kernels):
        np.save(tmp_path / "k.npy", kernels)
        return read_kernels(str(tmp_path / "k.npy"), 0.0).remarks

    kernel = np.zeros((5, 5))
    kernel[2, 2] = 1
    assert remarks(kernel) == ()
    assert (
        "1 of 2 kernels do not sum to 1 (1 to 3)"
        in remarks(np.stack([kernel, 3 * kernel]))[0]
    )
    assert (
        "1.00 px off centre on average (down +0.00, right -1.00)"
        in remarks(np.roll(kernel, -1, axis=1))[0]
    )


def test_pictures_of_flat_surfaces_are_noise(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a", (8, 8)), ("b", (10, 9))):
        write_png(
            tmp_path / f"{name}.png",
            (rng.normal((90, 120, 200), 4, (*size, 3))).astype(np.uint8),
        )
    pool = read_noise(str(tmp_path))
    assert pool.values.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(pool.values.mean(axis=(1, 2)), 0, atol=1e-7)
    assert 3 < 255 * pool.values.std() < 5
    assert "differ in size; of each the first 8 x 8" in pool.remarks[0]


def negative(kernels):
    kernels[1, 0, 0] = -0.1
    return kernels


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (np.ones((2, 4, 4)), "an odd side, .*Received: .*float64 .2, 4, 4"),
        (np.ones((0, 5, 5)), "at least one kernel"),
        (np.ones((2, 5, 7)), "at least one kernel, .N, K, K"),
        (negative(np.ones((2, 5, 5))), "must not be negative: .* kernel 1 has -0.1"),
        (np.zeros((2, 5, 5)), "a positive sum.* kernel 0 sums to 0"),
        (np.full((1, 3, 3), np.nan), "finite numbers"),
        (np.array(["a"]), "of numbers. Received: .*holds <U1"),
    ],
)
def test_kernels_that_cannot_be_used_are_refused(tmp_path, kernels, message):
    np.save(tmp_path / "k.npy", kernels)
    with pytest.raises(UserError, match=message):
        PoolDegradation(2, PoolConfig(str(tmp_path / "k.npy")))


def test_files_and_settings_that_cannot_be_used_are_refused(tmp_path):
    for settings, message in [
        ({}, "pool needs `kernels` or noise .*Received neither"),
        ({"kernels": str(tmp_path / "no.npy")}, "There is no file"),
        ({"kernels": __file__}, "it is another kind of file"),
        ({"noise": KERNELS}, "one patch, .N, P, P, 3.. Received: .*3, 9, 9"),
        ({"noise": str(tmp_path)}, "A folder with images"),
        ({"noise": NOISE, "read_max": 0.1}, "not from both"),
        ({"read_min": 0.1}, "`read_min` of pool must be 0 or more and not above"),
        ({"noise": NOISE, "grid": "half_pixel"}, "is for kernels"),
        ({"kernels": KERNELS, "grid": "middle"}, "`grid` of PoolConfig must be one of"),
    ]:
        with pytest.raises(UserError, match=message):
            PoolDegradation(2, PoolConfig(**settings))
    loud = tmp_path / "loud.npy"
    np.save(loud, np.full((1, 4, 4, 3), 7.0))
    with pytest.raises(UserError, match="in units of the range .0, 1., .*up to 7"):
        read_noise(str(loud))
