"""BSRGAN's chain and its extended form: each step, what is drawn, and where pixels lie.

Statistical tests: with the seed used here all pass; with another, each comparison would
fail a right program once in 10,000 (`LEVEL`).
"""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pdm_tf.degradations import (
    BsrganConfig,
    BsrganDegradation,
    BsrganPlusConfig,
    BsrganPlusDegradation,
)
from pdm_tf.degradations.bsrgan import STEPS, BsrganDraws, decimate
from pdm_tf.degradations.bsrgan_parts import (
    COLOUR,
    COVARIANCE,
    GREY,
    random_covariance,
)
from pdm_tf.degradations.bsrgan_plus import STEPS as PLUS_STEPS
from pdm_tf.degradations.bsrgan_plus import BsrganPlusDraws
from pdm_tf.degradations.chain_steps import unflatten
from pdm_tf.ops.resample import KINDS
from tests.oracles import bsrgan_oracle as oracle
from tests.oracles import filter_oracle

SEED = tf.constant([21, 22])
LEVEL = 1e-4
COUNT = 4000
STILL = {"noise_probability": 0.0, "jpeg_probability": 0.0, "final_jpeg": False}
STILL_PLUS = STILL | {"poisson_probability": 0.0, "speckle_probability": 0.0}
CHAINS = {
    "bsrgan": (BsrganDegradation, BsrganConfig, STILL),
    "bsrgan_plus": (BsrganPlusDegradation, BsrganPlusConfig, STILL_PLUS),
}


def drawn(degradation, kind, batch=COUNT):
    return unflatten(kind, degradation.draw(batch, 8, 8, SEED))


def rows(draws, count):
    """The draws of single images."""
    for index in range(count):
        yield tf.nest.map_structure(lambda part, i=index: part[i], draws)


def photograph(height, width):
    """Smooth shapes, edges and texture."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = [np.sin(x / (3 + c)) * np.cos(y / (4 - c)) + (x > 2 * y) for c in range(3)]
    noise = np.random.default_rng(0).normal(0, 0.05, (height, width, 3))
    return np.clip(0.3 * np.stack(planes, -1) + 0.4 + noise, 0, 1).astype(np.float32)


def unit_noise(image, noise):
    """The field that the product adds, from its kind, covariance and unit normals."""
    height, width, _ = image.shape
    channels = 1 if noise.kind == GREY else 3
    normals = tf.random.stateless_normal([height, width, channels], noise.seed)
    normals = normals.numpy().astype(np.float64)
    if noise.kind == COVARIANCE:
        normals = oracle.mixed(noise.covariance.numpy().astype(np.float64), normals)
    return float(noise.level_255) / 255 * normals


def oracle_poisson(image, poisson):
    if not poisson.happens:
        return image
    counts, grey = 10.0 ** float(poisson.photons_log10), bool(poisson.is_grey)
    rates = oracle.poisson_rates(image, counts, grey)
    fields = tf.random.stateless_poisson(
        rates.shape, poisson.seed, rates.astype(np.float32), tf.float32
    )
    return oracle.poisson(image, counts, grey, fields.numpy())


def oracle_blur(image, blur):
    if blur.size == 1:
        return image
    sigmas = tuple(blur.sigmas_px.numpy().astype(np.float64))
    return oracle.blur(image, sigmas, float(blur.theta_rad), int(blur.size))


def oracle_round(drawn):
    kind = KINDS[int(drawn.kind)]
    return [
        lambda x: oracle_blur(x, drawn.blur),
        lambda x: oracle.resize_by(x, drawn.factor.numpy(), kind),
        lambda x: oracle.add_noise(x, unit_noise(x, drawn.noise)),
        lambda x: oracle_poisson(x, drawn.poisson),
        lambda x: oracle.speckle(x, unit_noise(x, drawn.speckle)),
    ]


def oracle_bsrgan(draws, size):
    shrink, scale = 1 / draws.shrink.numpy(), int(draws.scale)
    kinds = KINDS[int(draws.shrink_kind)], KINDS[int(draws.last_kind)]
    return [
        lambda x: oracle_blur(x, draws.first_blur),
        lambda x: oracle_blur(x, draws.second_blur),
        lambda x: (
            oracle.resize_by(x, shrink, kinds[0])
            if draws.resized
            else oracle.decimate(x, float(draws.sigma_px), scale)
        ),
        lambda x: oracle.resize(x, *size, kinds[1]),
        lambda x: oracle.add_noise(x, unit_noise(x, draws.noise)),
        lambda x: oracle.jpeg(x, int(draws.quality)) if draws.compressed else x,
    ]


def check_steps(image, order, steps, wanted, names):
    """Each step on what the one before it made of the image, beside the oracle's."""
    for index in order:
        expected = wanted[index](image.numpy().astype(np.float64))
        image = steps[index](image)
        exact = "jpeg" in names[index]  # Pillow's libjpeg, bit for bit
        np.testing.assert_allclose(
            image,
            expected,
            rtol=0,
            atol=1e-6 if exact else 1e-5,
            err_msg=f"{names[index]} of {[names[i] for i in order]}",
        )
    return image


def test_each_step_of_bsrgan_is_the_oracles():
    degradation = BsrganDegradation(4)
    hr = photograph(40, 48)
    draws = drawn(degradation, BsrganDraws, 12)
    result = degradation.apply(tf.constant(hr[None].repeat(12, 0)), *flat(draws)).lr
    assert {bool(x) for x in draws.resized} == {bool(x) for x in draws.compressed}
    assert set(draws.scale.numpy()) == {2, 4}
    assert set(draws.noise.kind.numpy()) == {COLOUR, GREY, COVARIANCE}
    for index, row in enumerate(rows(draws, 12)):
        image = tf.constant(hr)
        if row.scale == 2:
            kind = KINDS[int(row.halving_kind)]
            image = tf.constant(oracle.resize(hr, 20, 24, kind), tf.float32)
        image = check_steps(
            image,
            row.order.numpy(),
            degradation.steps(row, tf.constant([10, 12])),
            oracle_bsrgan(row, (10, 12)),
            STEPS,
        )
        levels = 255 * oracle.jpeg(image.numpy(), int(row.final_quality))
        # Halving is the oracle's here: rounding to 8 bit may fall on the other side.
        assert np.mean(np.abs(255 * result[index] - levels)) < 0.2


def test_each_step_of_bsrgan_plus_is_the_oracles():
    config = BsrganPlusConfig(
        shuffle_probability=0.5, poisson_probability=0.7, speckle_probability=0.7
    )
    degradation = BsrganPlusDegradation(2, config)
    hr = photograph(24, 28)
    draws = drawn(degradation, BsrganPlusDraws, 8)
    degraded = degradation.apply(tf.constant(hr[None].repeat(8, 0)), *flat(draws))
    sharp = filter_oracle.sharpened(hr.astype(np.float64))
    np.testing.assert_allclose(degraded.target[3], sharp, rtol=0, atol=1e-5)
    for index, row in enumerate(rows(draws, 8)):
        image = check_steps(
            degraded.target[index],
            row.order.numpy(),
            degradation.steps(row),
            [
                *oracle_round(row.first),
                lambda x, quality=int(row.quality): oracle.jpeg(x, quality),
                *oracle_round(row.second),
            ],
            PLUS_STEPS,
        )
        image = oracle.resize(image.numpy(), 12, 14, KINDS[int(row.last_kind)])
        levels = 255 * oracle.jpeg(image, int(row.final_quality))
        assert np.mean(np.abs(255 * degraded.lr[index] - levels)) < 0.2


def flat(draws):
    return tf.nest.flatten(draws)


def test_covariance_of_colours_is_the_published_formula():
    rng = np.random.default_rng(3)
    weights, uniform = rng.random((50, 3)), rng.random((50, 3, 3))
    found = random_covariance(
        tf.constant(weights, tf.float32), tf.constant(uniform, tf.float32)
    ).numpy()
    wanted = np.stack(
        [oracle.colour_covariance(*pair) for pair in zip(weights, uniform, strict=True)]
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    # Absolute values of a 3 x 3 matrix leave it positive semidefinite.
    assert np.linalg.eigvalsh(wanted).min() > -1e-12


# --- What is drawn.


def is_uniform(values, low, high):
    values = (np.asarray(values, np.float64) - low) / (high - low)
    return stats.kstest(values, "uniform").pvalue > LEVEL


def are_even(values, members):
    """Equal odds among whole numbers, all of which must occur."""
    counts = [int(np.sum(np.asarray(values) == member)) for member in members]
    assert sum(counts) == np.size(values), "others than the members were drawn"
    return stats.chisquare(counts).pvalue > LEVEL


def has_odds(events, probability):
    events = np.asarray(events).astype(bool)
    if probability in (0.0, 1.0):
        return bool(np.all(events == bool(probability)))
    test = stats.binomtest(int(events.sum()), events.size, probability)
    return test.pvalue > LEVEL


SIMPLE_KINDS = [KINDS.index(kind) for kind in ("bilinear", "bicubic", "area")]


def check_blur(blur, scale):
    assert are_even(blur.size, range(7, 27, 2))
    anisotropic = np.asarray(blur.sigmas_px[:, 0] != blur.sigmas_px[:, 1])
    assert has_odds(anisotropic, 0.5)
    assert is_uniform(blur.theta_rad, 0, np.pi)
    for axis in range(2):
        variances = np.square(blur.sigmas_px[:, axis])[anisotropic]
        assert is_uniform(variances, 0, 4 + scale)
    assert is_uniform(blur.sigmas_px[:, 0][~anisotropic], 0, 2 + 0.2 * scale)


def check_noise(noise, probability):
    happens = np.asarray(noise.level_255) > 0
    assert has_odds(happens, probability)
    assert are_even(noise.level_255[happens], range(2, 26))
    for kind, odds in ((COLOUR, 0.4), (GREY, 0.4), (COVARIANCE, 0.2)):
        assert has_odds(noise.kind == kind, odds)


def test_what_bsrgan_draws():
    draws = drawn(BsrganDegradation(4), BsrganDraws)
    halved = np.asarray(draws.scale) == 2
    assert has_odds(halved, 0.25)
    matlab = np.asarray(draws.halving_kind) == KINDS.index("matlab_bicubic")
    assert has_odds(matlab, 0.5)
    assert are_even(draws.halving_kind[~matlab], SIMPLE_KINDS)
    for scale, rest in ((2, halved), (4, ~halved)):
        part = tf.nest.map_structure(lambda x, rest=rest: x.numpy()[rest], draws)
        check_blur(part.first_blur, scale)
        check_blur(part.second_blur, scale)
        assert is_uniform(part.shrink, 1, 2 * scale)
        assert is_uniform(part.sigma_px, 0.1, 0.6 * scale)
    assert has_odds(draws.resized, 0.75)
    assert has_odds(draws.compressed, 0.9)
    for kind in (draws.shrink_kind, draws.last_kind):
        assert are_even(kind, SIMPLE_KINDS)
    for quality in (draws.quality, draws.final_quality):
        assert are_even(quality, range(30, 96))
    check_noise(tf.nest.map_structure(np.asarray, draws.noise), 1.0)


def test_orders_of_bsrgan_are_even():
    """360 orders: 6! with the second part of shrinking behind the first."""
    order = drawn(BsrganDegradation(4), BsrganDraws, 20 * 360).order.numpy()
    np.testing.assert_array_equal(np.sort(order), np.tile(range(6), (len(order), 1)))
    place = np.argsort(order)
    assert np.all(place[:, 2] < place[:, 3])
    code = order @ 6 ** np.arange(6)
    assert len(np.unique(code)) == 360
    assert are_even(code, np.unique(code))


def test_what_bsrgan_plus_draws():
    draws = drawn(BsrganPlusDegradation(3), BsrganPlusDraws)
    draws = tf.nest.map_structure(np.asarray, draws)
    kept = np.all(draws.order == np.arange(11), axis=1)
    assert has_odds(~kept, 0.1)
    for step in range(11):
        assert are_even(draws.order[~kept, step], range(11))
    for half in (draws.first, draws.second):
        check_blur(half.blur, 3)
        check_noise(half.noise, 1.0)
        check_noise(half.speckle, 0.1)
        up, down = half.factor > 1, half.factor < 1
        assert has_odds(up, 0.2) and has_odds(down, 0.7)
        assert is_uniform(half.factor[up], 1, 2)
        assert is_uniform(half.factor[down], 0.5 / 3, 1)
        assert are_even(half.kind, SIMPLE_KINDS)
        assert has_odds(half.poisson.happens, 0.1)
        assert has_odds(half.poisson.is_grey, 0.5)
        assert is_uniform(half.poisson.photons_log10, 2, 4)
    assert are_even(draws.last_kind, SIMPLE_KINDS)
    for quality in (draws.quality, draws.final_quality):
        assert are_even(quality, range(30, 96))
    assert np.all(draws.compressed)


@pytest.mark.parametrize("name", CHAINS)
def test_draws_of_an_image_do_not_depend_on_the_batch(name):
    make = CHAINS[name][0]
    long, short = (make(4).draw(batch, 8, 8, SEED) for batch in (9, 2))
    for one, other in zip(long, short, strict=True):
        np.testing.assert_array_equal(one[:2], other)


def test_noise_with_a_covariance_has_the_drawn_level_or_the_highest():
    def levels(config):
        noise = drawn(BsrganDegradation(4, config), BsrganDraws, 200).noise
        return noise.level_255.numpy()[noise.kind.numpy() == COVARIANCE]

    assert len(set(levels(BsrganConfig()))) > 10
    assert set(levels(BsrganConfig(covariance_level="highest"))) == {25}


# --- Geometry.


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_pixels_lie_on_the_half_pixel_grid(name, scale):
    """On ramps: the places that pixels show are those of the grid, on average.

    Single pixels may miss by the steps that enlarging by areas makes.
    """
    make, config, still = CHAINS[name]
    degradation = make(scale, config(**still))
    side = 48 * scale
    ramp = np.linspace(0.1, 0.9, side)
    hr = np.stack([ramp, ramp[::-1], 0 * ramp + 0.5], axis=-1)
    hr = np.broadcast_to(hr[None, None], (12, side, side, 3)).astype(np.float32)
    if name == "bsrgan_plus":  # sharpening would move the ramp's ends only
        assert degradation.config.sharpen
    lr = degradation.synthesise(tf.constant(hr), SEED).lr.numpy()
    assert lr.shape == (12, 48, 48, 3)
    places = (scale - 1) / 2 + scale * np.arange(48)
    found = (lr[..., 0] - 0.1) / 0.8 * (side - 1)
    middle = slice(18, 30)
    off = (found - places)[:, middle, middle].mean(axis=(1, 2))
    np.testing.assert_allclose(off, 0, atol=0.03 * scale)
    np.testing.assert_allclose(lr[:, middle, middle, 2], 0.5, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_decimation_keeps_the_middle_of_each_pixels_square(scale):
    """Without the shift of the Gaussian a point would lie (scale - 1) / 2 off."""
    hr = np.zeros((12 * scale, 12 * scale, 3), np.float32)
    hr[6 * scale : 7 * scale, 5 * scale : 6 * scale] = 1.0
    lr = decimate(tf.constant(hr), tf.constant(0.6 * scale), scale).numpy()[..., 0]
    y, x = np.mgrid[:12, :12]
    centre = np.sum(lr * y) / lr.sum(), np.sum(lr * x) / lr.sum()
    np.testing.assert_allclose(centre, (6, 5), atol=1e-4)


# --- Repeatable, and clear about mistakes.


@pytest.mark.parametrize("name", CHAINS)
def test_an_image_is_the_same_in_any_place_of_any_batch(name):
    """Bit for bit."""
    degradation = CHAINS[name][0](4)
    hr = tf.constant(photograph(48, 48)[None].repeat(5, 0))
    latents = degradation.draw(5, 12, 12, SEED)
    together = degradation.apply(hr, *latents).lr
    for index in (0, 4):
        row = [part[index : index + 1] for part in latents]
        alone = degradation.apply(hr[:1], *row).lr
        np.testing.assert_array_equal(alone[0], together[index])


@pytest.mark.parametrize(
    "make, settings, words",
    [
        (BsrganConfig, {"halving_probability": 1.5}, "within 0..1. Received: 1.5"),
        (BsrganConfig, {"jpeg_probability": -0.1}, "`jpeg_probability` of Bsrgan"),
        (BsrganConfig, {"resize_probability": 2.0}, "`resize_probability`"),
        (BsrganConfig, {"blur_probability": -1.0}, "`blur_probability`"),
        (BsrganConfig, {"noise_kinds": (0.7, 0.4, 0.2)}, "3 probabilities that sum"),
        (BsrganConfig, {"noise_kinds": (0.5, 0.5)}, r"Received: \(0.5, 0.5\)"),
        (BsrganConfig, {"quality": (96, 95)}, r"in order, .*Received: \(96, 95\)"),
        (BsrganConfig, {"quality": (30, 101)}, "within 1..100"),
        (BsrganConfig, {"noise_255": (30, 25)}, "`noise_255` of BsrganConfig"),
        (BsrganConfig, {"kernel_sizes": (8, 25)}, r"be odd. Received: \(8, 25\)"),
        (BsrganConfig, {"kernel_sizes": (7, 5)}, "`kernel_sizes`"),
        (BsrganConfig, {"sigma_max_px": -1.0}, "`sigma_max_px`.* not be negative"),
        (BsrganConfig, {"covariance_level": "any"}, "drawn, highest. Received: 'any'"),
        (BsrganPlusConfig, {"resize_modes": (0.4, 0.7, 0.1)}, "sum to 1"),
        (BsrganPlusConfig, {"shuffle_probability": 7.0}, "`shuffle_probability`"),
        (BsrganPlusConfig, {"photons_log10": (5.0, 4.0)}, "`photons_log10`"),
        (BsrganPlusConfig, {"resize": (0.5, 0.9)}, "`resize` .* must hold 1"),
        (BsrganPlusConfig, {"resize": (0.0, 2.0)}, "from 0.01 on"),
    ],
)
def test_settings_that_cannot_work(make, settings, words):
    with pytest.raises(ValueError, match=words):
        make(**settings)
