"""Noise of a folder of photographs, found where it was added."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.source_estimate import JpegMeasure
from pdm_tf.estimation.noise_evidence import _steps
from pdm_tf.estimation.noise_population import SHOWN_LEVELS, fit_noise, measure_noise
from pdm_tf.samples import PHOTOS_FOR_HR, PHOTOS_FOR_LR

LEVEL = 1.0 / 255.0


@pytest.fixture(scope="module")
def clean():
    """Photographs, each fourth pixel after a blur, without noise."""
    found = []
    for folder in (PHOTOS_FOR_HR, PHOTOS_FOR_LR):
        for path in list_images(folder):
            rgb = read_rgb_u8(path).astype(np.float64)
            found.append(gaussian_filter(rgb, (2.0, 2.0, 0.0))[::4, ::4])
    return found[::2]


def noisy(photographs, read_255, shot, *, smooth=0.0, colour=0.0, quality=0, seed=0):
    """The photographs with noise, and their true levels [N, 2]."""
    random = np.random.default_rng(seed)
    made, levels = [], []
    for image in photographs:
        own_read = read_255 * LEVEL * math.exp(0.2 * random.standard_normal())
        own_shot = shot * math.exp(0.2 * random.standard_normal())
        y = image * LEVEL
        z = math.sqrt(1.0 - colour) * random.standard_normal(y.shape)
        z += math.sqrt(colour) * random.standard_normal(y.shape[:2])[..., None]
        if smooth:
            z = gaussian_filter(z, (smooth, smooth, 0.0), mode="wrap")
            z /= z.std()
        x = y + np.sqrt(own_read**2 + own_shot * y) * z
        x_u8 = np.floor(x.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        if quality:
            stored = io.BytesIO()
            Image.fromarray(x_u8).save(stored, "JPEG", quality=quality)
            x_u8 = np.asarray(Image.open(stored))
        made.append(x_u8)
        levels.append(
            [math.sqrt(own_read**2 + own_shot * s) / LEVEL for s in SHOWN_LEVELS]
        )
    return made, np.asarray(levels)


def errors(measure, true):
    """Median logarithmic error of the photographs' levels [2]."""
    return np.median(np.log(measure.levels_255 / true), axis=0)


def test_white_noise_and_its_growth_with_the_signal(clean):
    photographs, true = noisy(clean, 2.0, 0.001)
    measure = measure_noise(photographs)
    assert np.abs(errors(measure, true)).max() < 0.15
    found = measure.population
    assert found.correlation_px == 0.0
    assert np.array_equal(found.colour, np.eye(3))
    assert found.photographs == len(clean)
    for level in (0.1, 0.5, 0.9):
        want = math.sqrt(4.0 + 0.001 * level * 255.0**2)
        assert found.std_255(level) == pytest.approx(want, rel=0.15)


def test_read_noise_alone_is_not_given_to_the_signal(clean):
    photographs, true = noisy(clean, 4.0, 1e-7)
    measure = measure_noise(photographs)
    assert np.abs(errors(measure, true)).max() < 0.15
    dark, bright = (measure.population.std_255(x) for x in (0.05, 0.9))
    assert dark == pytest.approx(np.median(true), rel=0.15)
    assert bright == pytest.approx(np.median(true), rel=0.25)


def test_no_noise_is_none(clean):
    photographs, _ = noisy(clean, 1e-3, 1e-9)
    measure = measure_noise(photographs)
    assert measure.population is None
    assert np.array_equal(measure.levels_255, np.zeros([len(clean), 2]))


def test_smoothed_noise(clean):
    photographs, true = noisy(clean, 5.0, 1e-6, smooth=0.6)
    measure = measure_noise(photographs)
    assert measure.population.correlation_px == pytest.approx(0.6, abs=0.16)
    assert np.abs(errors(measure, true)).max() < 0.3


def test_noise_that_colours_share(clean):
    photographs, true = noisy(clean, 4.0, 0.001, colour=0.5)
    measure = measure_noise(photographs)
    assert measure.population.colour[0][1] == pytest.approx(0.5, abs=0.16)
    assert np.abs(errors(measure, true)).max() < 0.2


def test_grey_photographs(clean):
    grey = [np.repeat(image[..., 1:2], 3, axis=2) for image in clean]
    photographs, true = noisy(grey, 5.0, 1e-6, colour=1.0)
    measure = measure_noise(photographs)
    assert np.allclose(measure.population.colour, 1.0)
    assert np.abs(errors(measure, true)).max() < 0.3


def test_noise_before_jpeg(clean):
    photographs, true = noisy(clean, 5.0, 0.001, quality=90)
    traces = [JpegMeasure(90, "420", (0, 0), "header")] * len(photographs)
    measure = measure_noise(photographs, traces)
    assert np.abs(errors(measure, true)).max() < 0.3


def test_jpeg_alone_is_no_noise(clean):
    photographs, _ = noisy(clean, 1e-3, 1e-9, quality=60)
    traces = [JpegMeasure(60, "420", (0, 0), "header")] * len(photographs)
    assert fit_noise(photographs, traces) is None


def test_blocks_of_jpeg_are_found_by_their_offset(clean):
    """Cut from JPEG files: the same noise where the offset says where blocks begin."""
    photographs, _ = noisy(clean, 5.0, 0.001, quality=90)
    whole = [JpegMeasure(90, "420", (0, 0), "comb")] * len(photographs)
    cut = [JpegMeasure(90, "420", (5, 3), "comb")] * len(photographs)
    want = fit_noise(photographs, whole).std_255(0.5)
    found = fit_noise([image[3:, 5:] for image in photographs], cut).std_255(0.5)
    assert found == pytest.approx(want, rel=0.1)


@pytest.mark.parametrize("quality", [1, 25, 49, 50, 75, 97])
def test_steps_are_those_of_a_file(quality):
    stored = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stored, "JPEG", quality=quality)
    table = np.asarray(Image.open(stored).quantization[0]).reshape(8, 8)
    assert np.array_equal(_steps(quality), table)


def test_black_and_small_photographs_are_not_used(clean):
    photographs, _ = noisy(clean[:2], 3.0, 1e-6)
    black = np.zeros([40, 40, 3], np.uint8)
    measure = measure_noise([black, *photographs, photographs[0][:5]])
    assert np.isnan(measure.levels_255[[0, -1]]).all()
    assert measure.population.photographs == len(photographs)
    assert measure_noise([black]).population is None


def test_one_photograph(clean):
    photographs, true = noisy(clean[2:3], 4.0, 0.001)
    assert np.abs(errors(measure_noise(photographs), true)).max() < 0.3


def gravel(seed):
    """Detail everywhere, grey and smooth: what noise might look like."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal([72, 72]), 0.6)
    tint = np.array([1.05, 1.0, 0.95])
    return (0.45 + 0.05 * field / field.std())[..., None] * tint * 255.0


def test_fine_detail_of_few_photographs_is_no_noise():
    few = [gravel(seed) for seed in range(3)]
    photographs, _ = noisy(few, 1e-3, 1e-9)
    assert fit_noise(photographs) is None
    photographs, _ = noisy(few, 2.0, 1e-6)
    assert fit_noise(photographs).std_255(0.5) == pytest.approx(2.0, rel=0.3)


def test_the_same_arguments_give_the_same_noise(clean):
    photographs, _ = noisy(clean[:2], 2.0, 0.001)
    assert fit_noise(photographs) == fit_noise(photographs)


def test_one_measure_of_jpeg_for_each_photograph(clean):
    with pytest.raises(ValueError, match="one measure for each .* Received: 1 for 2"):
        measure_noise([clean[0].astype(np.uint8)] * 2, [JpegMeasure()])
