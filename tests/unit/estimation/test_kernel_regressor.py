"""The regressor: what it can read, that it repeats, and its file."""

import json

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.source_estimate import axes_of
from pdm_tf.estimation.kernel_regressor import (
    KernelRegressor,
    RegressorSettings,
    TrainingStopped,
    _developed,
    errors_of,
    train_regressor,
)
from pdm_tf.estimation.mlp_ensemble import EnsembleSettings
from pdm_tf.estimation.source_prior import Noise, degrade_photograph, gaussian_kernel
from pdm_tf.samples import PHOTOS_FOR_HR, PHOTOS_FOR_LR

TINY = RegressorSettings(
    samples=40,
    held_out_samples=10,
    epochs=2,
    batch=16,
    ensemble=EnsembleSettings(members=2, hidden=(16, 8)),
)


def photographs(folder, count):
    return [read_rgb_u8(path) for path in list_images(folder)[:count]]


@pytest.fixture(scope="module")
def regressor():
    hr = photographs(PHOTOS_FOR_HR, 7)
    settings = RegressorSettings(samples=900, held_out_samples=100, epochs=12, batch=32)
    return train_regressor(hr[:5], hr[5:], 4, jpeg_share=0.0, settings=settings)


def blurred(sigmas, angle=0.0, noise=0.0, seed=0):
    """Photographs of other scenes, blurred by one kernel each."""
    random = np.random.default_rng(seed)
    scenes = photographs(PHOTOS_FOR_LR, 7)
    return [
        degrade_photograph(
            scenes[i % len(scenes)],
            gaussian_kernel(long, short, angle, 21),
            4,
            noise=Noise(noise),
            random=random,
        )
        for i, (long, short) in enumerate(sigmas)
    ]


@pytest.mark.slow  # 23 s; test_measure_source.py has all stages
def test_it_tells_wide_blur_from_narrow(regressor):
    """On seven scenes that it never saw, after a tenth of the usual training."""
    widths = {}
    for sigma in (0.8, 1.6, 3.2):
        said = regressor.predict(blurred([(sigma, sigma)] * 7))
        widths[sigma] = np.median(axes_of(said.mean).long)
    assert widths[0.8] < widths[1.6] < widths[3.2]
    assert widths[1.6] == pytest.approx(1.6, rel=0.35)


def test_it_tells_directions(regressor):
    """d1 < 0 for a blur along x; d2 > 0 along the falling diagonal."""
    along_x = regressor.predict(blurred([(3.5, 1.0)] * 7)).mean
    along_y = regressor.predict(blurred([(3.5, 1.0)] * 7, np.pi / 2)).mean
    falling = regressor.predict(blurred([(3.5, 1.0)] * 7, np.pi / 4)).mean
    assert np.mean(along_x[:, 1]) < -0.2
    assert np.mean(along_y[:, 1]) > 0.2
    assert np.mean(falling[:, 2]) > 0.2


def test_a_transposed_photograph_has_a_transposed_kernel(regressor):
    image = blurred([(3.0, 1.2)], 0.5)[0]
    said = regressor.predict([image, np.ascontiguousarray(image.swapaxes(0, 1))])
    np.testing.assert_allclose(said.mean[1], said.mean[0] * [1, -1, 1], atol=1e-3)


def test_it_sees_noise(regressor):
    quiet = regressor.predict(blurred([(1.5, 1.5)] * 7)).noise_log_std
    loud = regressor.predict(blurred([(1.5, 1.5)] * 7, noise=0.03)).noise_log_std
    assert (loud > quiet).all()
    assert np.median(loud) > np.median(quiet) + 0.7


def test_its_uncertainty_holds_on_held_out_photographs(regressor):
    """Covariances are symmetric, positive, and of the size of the errors."""
    random = np.random.default_rng(3)
    sigmas = np.sort(random.uniform(0.7, 4.0, [28, 2]))[:, ::-1]
    said = regressor.predict(blurred(sigmas, seed=4))
    assert (np.linalg.eigvalsh(said.covariance) > 0).all()
    size = np.log(sigmas**2 + 0.05).mean(1)
    scaled = (said.mean[:, 0] - size) / np.sqrt(said.covariance[:, 0, 0])
    assert np.mean(np.abs(scaled) < 1.645) > 0.7
    assert regressor.facts["long_r"] > 0.5


def test_the_result_is_a_function_of_the_seed_alone():
    """Not of the number of threads."""
    hr = photographs(PHOTOS_FOR_HR, 3)
    images = blurred([(2.0, 1.0)] * 2)

    def said(threads, seed):
        settings = RegressorSettings(**{**vars(TINY), "threads": threads})
        made = train_regressor(hr[:2], hr[2:], 4, settings=settings, seed=seed)
        return made.predict(images, threads=threads)

    first, again, other = said(1, 0), said(3, 0), said(1, 1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.mean, other.mean)


def test_a_known_quality_counts():
    hr = photographs(PHOTOS_FOR_HR, 3)
    made = train_regressor(hr[:2], hr[2:], 4, qualities=[30, 40], settings=TINY)
    images = blurred([(2.0, 1.0)] * 2)
    unknown, known = made.predict(images), made.predict(images, [30, 30])
    assert not np.allclose(unknown.mean, known.mean)
    np.testing.assert_array_equal(made.predict(images, [-1, -1]).mean, unknown.mean)
    assert made.facts["qualities"] == [30, 40]
    with pytest.raises(ValueError, match="one quality for each"):
        made.predict(images, [30])


def test_another_scale():
    hr = photographs(PHOTOS_FOR_HR, 3)
    made = train_regressor(hr[:2], hr[2:], 2, settings=TINY)
    assert made.scale == 2
    assert np.isfinite(made.predict(hr[2:]).mean).all()


def test_scenes_in_other_light_are_as_sharp():
    """Each is an affine function of the scene, up to the order of colours."""
    crop = photographs(PHOTOS_FOR_HR, 1)[0][100:164, 100:164] // 4 + 96
    random, kept = np.random.default_rng(0), 0
    for _ in range(30):
        made = _developed(crop, random).astype(np.float64)
        inside = (made > 0) & (made < 255)
        kept += np.array_equal(made, crop)
        for colour in range(3):
            rows = inside[..., colour]
            likeness = [
                abs(np.corrcoef(made[..., colour][rows], crop[..., own][rows])[0, 1])
                for own in range(3)
            ]
            assert max(likeness) > 0.99
    assert 0 < kept < 20


def test_progress_and_stop():
    hr = photographs(PHOTOS_FOR_HR, 2)
    said = []
    train_regressor(
        hr[:1],
        hr[1:],
        4,
        settings=TINY,
        on_progress=lambda done, total: said.append((done, total)),
    )
    assert said == sorted(said)
    assert said[-1][0] == said[-1][1]
    with pytest.raises(TrainingStopped):
        train_regressor(hr[:1], hr[1:], 4, settings=TINY, stop=lambda: True)


def test_too_small_photographs():
    large = photographs(PHOTOS_FOR_HR, 1)
    small = [np.zeros((147, 400, 3), np.uint8)]
    with pytest.raises(ValueError, match="sides of 148 pixels"):
        train_regressor(small, large, 4, settings=TINY)
    with pytest.raises(ValueError, match="held_out"):
        train_regressor(large, small, 4, settings=TINY)
    with pytest.raises(ValueError, match="held_out"):
        train_regressor(large, [], 4, settings=TINY)


def test_no_photographs_give_no_rows(regressor):
    said = regressor.predict([])
    assert said.mean.shape == (0, 3)
    assert said.covariance.shape == (0, 3, 3)


def test_its_file(regressor, tmp_path):
    path = tmp_path / "regressor.npz"
    regressor.save(path)
    again = KernelRegressor.load(path)
    images = blurred([(2.0, 1.0)])
    for a, b in zip(regressor.predict(images), again.predict(images), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.facts == json.loads(json.dumps(dict(regressor.facts)))


def test_files_that_are_none(regressor, tmp_path):
    path = tmp_path / "regressor.npz"
    with pytest.raises(UserError, match="no regressor"):
        KernelRegressor.load(path)
    path.write_bytes(b"PK, or so")
    with pytest.raises(UserError, match="not a regressor's file"):
        KernelRegressor.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(UserError, match="not a regressor's file"):
        KernelRegressor.load(path)
    regressor.save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    about = {**json.loads(str(arrays["about"])), "features": 1}
    np.savez(path, **{**arrays, "about": np.array(json.dumps(about))})
    with pytest.raises(UserError, match="another version"):
        KernelRegressor.load(path)
    regressor.save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="not a regressor's file"):
        KernelRegressor.load(path)


def test_errors_of_known_kernels(regressor):
    theta = np.array([[1.0, 0.4, 0.0], [2.0, 0.0, -0.5], [0.5, -0.6, 0.2]])
    said = regressor.predict(blurred([(1.0, 1.0)] * 3))._replace(mean=theta)
    found = errors_of(said, theta)
    assert found["long_mae_px"] == pytest.approx(0.0, abs=1e-9)
    assert found["angle_deg"] == pytest.approx(0.0, abs=1e-6)
    assert found["mahalanobis"] == pytest.approx(0.0, abs=1e-9)
    assert found["short_r"] == pytest.approx(1.0)
    turned = errors_of(said, theta * [1, -1, -1])
    assert turned["angle_deg"] == pytest.approx(90.0)


@pytest.mark.parametrize("name", ["samples", "epochs", "batch", "threads"])
def test_counts_below_one(name):
    with pytest.raises(ValueError, match="1 or more"):
        RegressorSettings(**{name: 0})
