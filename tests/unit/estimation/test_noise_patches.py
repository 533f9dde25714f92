"""Noise patches from photographs whose noise is known."""

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.estimation.noise_patches import (
    NoiseSettings,
    fitting_patch_side,
    flat_patches,
    stacked_noise,
    without_structure,
)
from pdm_tf.estimation.noise_pool import make_noise_pool

SIGMA_255 = 4.0


def noisy(seed, height=160, width=200, sigma=SIGMA_255):
    """Left half flat, right half stripes and texture; white noise everywhere."""
    rng = np.random.default_rng(seed)
    x = np.arange(width)
    picture = np.full((height, width, 3), 120.0)
    picture[:, width // 2 :] += 50 * np.sign(np.sin(x[width // 2 :] / 4))[:, None]
    texture = rng.normal(0, 25, (height // 2, width - width // 2, 3))
    picture[: height // 2, width // 2 :] += texture
    picture += rng.normal(0, sigma, picture.shape)
    return np.round(picture).clip(0, 255).astype(np.uint8)


def test_flat_places_are_found_with_the_noise_that_is_there():
    """The mean of 8 patches of 16x16x3, to 5 standard errors (of the std, 0.5 %)."""
    image = noisy(0)
    patches = flat_patches(image, NoiseSettings(patch=16))
    assert len(patches) == 8
    for patch in patches:
        assert patch.left + 16 <= 100
        box = image[patch.top : patch.top + 16, patch.left : patch.left + 16] / 255.0
        np.testing.assert_allclose(patch.noise, box - box.mean(axis=(0, 1)), atol=1e-6)
        assert patch.mean == pytest.approx(box.mean(), abs=0.01)
        assert np.abs(patch.noise.mean(axis=(0, 1))).max() < 1e-6
    expected = np.hypot(SIGMA_255, 12**-0.5)
    spread = 255 * np.sqrt(np.mean([patch.std**2 for patch in patches]))
    assert spread == pytest.approx(expected, rel=5 / np.sqrt(2 * 8 * 768) + 1 / 512)
    assert 0.7 < np.median([patch.structure for patch in patches]) < 1.3


def test_patches_of_a_photograph_do_not_overlap():
    patches = flat_patches(noisy(1), NoiseSettings(patch=16, variance_percentile=60))
    for i, one in enumerate(patches):
        for other in patches[:i]:
            apart = max(abs(one.top - other.top), abs(one.left - other.left))
            assert apart >= 16


def test_clipped_places_are_no_noise():
    """Black and white are flat, but their noise is cut off."""
    image = noisy(2)
    image[:, :60], image[:, 60:100] = 255, 0
    assert all(p.left >= 96 for p in flat_patches(image, NoiseSettings(patch=16)))
    assert flat_patches(np.zeros((64, 64, 3), np.uint8), NoiseSettings(patch=16)) == []
    assert flat_patches(noisy(2)[:17], NoiseSettings(patch=16)) == []


def test_of_all_photographs_the_noisiest_looking_are_kept_and_never_none():
    settings = NoiseSettings(patch=16, structure_percentile=50)
    shaded = np.broadcast_to(np.arange(200)[:, None] / 2, (160, 200, 3))
    shaded = (40 + shaded + np.sin(np.arange(160) / 3)[:, None, None] * 8).astype(
        np.uint8
    )
    found = [flat_patches(image, settings) for image in (noisy(3), shaded)]
    kept = without_structure(found, settings)
    assert len(kept[0]) > len(kept[1])
    assert stacked_noise(kept).shape == (sum(map(len, kept)), 16, 16, 3)
    least = NoiseSettings(patch=16, structure_percentile=1e-6)
    assert sum(map(len, without_structure(found, least))) >= 1
    assert without_structure([[], []], least) == [[], []]


def test_sides_that_fit_small_photographs():
    assert fitting_patch_side([80] * 5 + [4000]) == 12
    assert fitting_patch_side([3000, 2000]) == 32
    assert fitting_patch_side([20]) == 8


@pytest.mark.parametrize(
    "settings",
    [
        {"patch": 7},
        {"per_photograph": 0},
        {"variance_percentile": 0},
        {"structure_percentile": 101},
    ],
)
def test_bad_settings(settings):
    with pytest.raises(UserError, match="must"):
        NoiseSettings(**settings)


def test_a_folders_pool(tmp_path):
    for seed in range(3):
        write_png(tmp_path / "in" / f"{seed}.png", noisy(seed))
    write_png(tmp_path / "in/black.png", np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "in/text.png").write_text("text")
    settings = NoiseSettings(per_photograph=4)
    outcome = make_noise_pool(tmp_path / "in", tmp_path / "out", settings, fitting=True)
    assert outcome.side == 24 and [n for n, _ in outcome.left_out] == [
        "black.png",
        "text.png",
    ]
    noise = np.load(tmp_path / "out/noise.npy")
    assert noise.dtype == np.float32 and noise.shape == (outcome.patches, 24, 24, 3)
    about = read_json(tmp_path / "out/noise.json")
    rows = about["patches"]
    assert len(rows) == len(noise) and about["left_out"].keys() == {
        "black.png",
        "text.png",
    }
    for row, patch in zip(rows, noise, strict=True):
        image = read_rgb_u8(tmp_path / "in" / row["photograph"]) / 255.0
        box = image[row["top"] :, row["left"] :][:24, :24]
        np.testing.assert_allclose(patch, box - box.mean(axis=(0, 1)), atol=1e-6)
        assert row["std_255"] == pytest.approx(255 * patch.std(), abs=1e-2)
    assert not outcome.looks_like_pictures and outcome.photographs <= 3
    assert read_rgb_u8(tmp_path / "out/noise.png").shape[1] > 240
    for name in ("0", "1", "2"):
        (tmp_path / "in" / f"{name}.png").unlink()
    with pytest.raises(UserError, match="unclipped place of 24x24"):
        make_noise_pool(tmp_path / "in", tmp_path / "out", NoiseSettings(patch=24))
