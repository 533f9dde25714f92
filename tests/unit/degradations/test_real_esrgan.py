"""Real-ESRGAN's degradation: every step, every draw, and that images are apart."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pdm_tf.degradations import RealESRGANConfig, RealESRGANDegradation
from pdm_tf.degradations.real_esrgan import _split
from pdm_tf.ops.image_noise import poisson_noise
from pdm_tf.ops.resample import KINDS
from tests.oracles import blur_kernel_oracle, real_esrgan_oracle

SEED = tf.constant([11, 12])


def photographs(count, height, width, seed=0):
    """Smooth colours with edges and a little texture."""
    rng = np.random.default_rng(seed)
    small = rng.random((count, height // 8 + 1, width // 8 + 1, 3))
    large = small.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    large += 0.05 * rng.standard_normal(large.shape)
    return np.clip(large, 0, 1).astype(np.float32)


def round_of(draws, index):
    """The draws of one image for the oracle."""
    kernel, factor, kind, gaussian, grey, strength, seed, quality = (
        np.asarray(part[index]) for part in draws
    )

    def noise(image):
        if gaussian:
            shape = (*image.shape[:2], 1 if grey else 3)
            return strength * tf.random.stateless_normal(shape, seed).numpy()

        def poisson(means):
            means = tf.constant(means, tf.float32)
            return tf.random.stateless_poisson(means.shape, seed, means, tf.float32)

        return strength * real_esrgan_oracle.shot_noise(image, grey, poisson)

    side = round(kernel.size**0.5)
    square = kernel.reshape(side, side).astype(np.float64)
    return real_esrgan_oracle.Round(
        square, float(factor), KINDS[kind], noise, int(quality)
    )


def test_equals_the_chain_step_by_step():
    """The draws fixed, among them every branch.

    A value within a rounding error of half a level before JPEG may fall on the other
    side; JPEG then spreads it over its block.
    """
    scale, count = 4, 16
    degradation = RealESRGANDegradation(scale)
    hr = photographs(count, 48, 40)
    latents = degradation.draw(count, 48 // scale, 40 // scale, SEED)
    first, second, end = _split(latents)
    for flags in (first.is_gaussian, first.is_grey, second.is_gaussian, end.jpeg_last):
        assert 0 < np.count_nonzero(flags) < count, "a branch is missing"
    found = degradation.apply(tf.constant(hr), *latents)
    differs = []
    for index in range(count):
        side = round(end.kernel.shape[-1] ** 0.5)
        wanted, target = real_esrgan_oracle.degrade(
            hr[index].astype(np.float64),
            scale,
            round_of(first, index),
            round_of(second, index),
            end.kernel[index].numpy().reshape(side, side).astype(np.float64),
            KINDS[end.kind[index]],
            bool(end.jpeg_last[index]),
        )
        np.testing.assert_allclose(found.target[index], target, rtol=0, atol=5e-6)
        off = np.abs(found.lr[index].numpy() * 255.0 - wanted)
        differs.append(np.mean(off > 0.5))
        assert off.max() < 30, index
    assert np.mean(np.array(differs) == 0) >= 0.5, differs
    assert np.mean(differs) < 0.05, differs


@pytest.fixture(scope="module")
def many():
    """The draws of 4,000 images."""
    degradation = RealESRGANDegradation(4)
    return [
        type(part)(*(np.asarray(tensor) for tensor in part))
        for part in _split(degradation.draw(4000, 32, 32, SEED))
    ]


# All p-values below are compared with this: fewer than 40, so sound code would fail
# with about 0.004 for other seeds (this one is fixed).
_P = 1e-4


def assert_frequencies(found, probabilities):
    counts = [np.count_nonzero(found == value) for value in probabilities]
    assert sum(counts) == len(found), "other values came up"
    expected = np.array(list(probabilities.values())) * len(found)
    assert stats.chisquare(counts, expected).pvalue > _P, (counts, expected)


HALVES = {True: 0.5, False: 0.5}


def assert_uniform(found, low, high):
    assert low <= found.min() and found.max() <= high
    p = stats.kstest(found, stats.uniform(low, high - low).cdf).pvalue
    assert p > _P, (found.min(), found.max(), p)


@pytest.mark.parametrize(
    ("index", "modes", "interval", "noise", "poisson"),
    [
        (0, (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3)),
        (1, (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5)),
    ],
)
def test_draws_of_a_round(many, index, modes, interval, noise, poisson):
    """Against reference values of the release; `_P` is the error rate of each."""
    draws = many[index]
    mode = np.sign(draws.factor - 1)
    assert_frequencies(mode, dict(zip((1.0, -1.0, 0.0), modes, strict=True)))
    assert_uniform(draws.factor[mode > 0], 1, interval[1])
    assert_uniform(draws.factor[mode < 0], interval[0], 1)
    thirds = {KINDS.index(k): 1 / 3 for k in ("area_bins", "bilinear", "bicubic")}
    assert_frequencies(draws.kind, thirds)
    assert_frequencies(draws.is_gaussian, HALVES)
    assert_frequencies(draws.is_grey, {True: 0.4, False: 0.6})
    assert_uniform(255 * draws.strength[draws.is_gaussian], *noise)
    assert_uniform(draws.strength[~draws.is_gaussian], *poisson)
    assert_frequencies(draws.quality, {q: 1 / 66 for q in range(30, 96)})
    pairs = np.stack([draws.factor, draws.strength, draws.quality, draws.kind])
    correlations = np.corrcoef(pairs)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4000), correlations
    assert len(np.unique(draws.seed, axis=0)) == 4000


def test_draws_of_the_end(many):
    end = many[2]
    assert_frequencies(end.jpeg_last, HALVES)
    middle = end.kernel[:, end.kernel.shape[1] // 2]
    assert_frequencies(
        np.count_nonzero(end.kernel, axis=1) == 1, {True: 0.2, False: 0.8}
    )
    # A sinc of cutoff c has about c^2 / (4 pi) in its middle, from pi / 36 on.
    assert middle.min() > 0.05
    thirds = {KINDS.index(k): 1 / 3 for k in ("area_bins", "bilinear", "bicubic")}
    assert_frequencies(end.kind, thirds)


def used_sides(kernels):
    """Side of the smallest centred square that holds all taps that are not zero."""
    side = round(kernels.shape[1] ** 0.5)
    squares = kernels.reshape(-1, side, side) != 0
    offsets = np.abs(np.arange(side) - side // 2)
    reach = np.maximum(offsets[:, None], offsets[None, :])
    return 2 * (squares * reach).max(axis=(1, 2)) + 1


def test_kernels_have_the_sizes_and_kinds(many):
    """Sides by sincs, whose far taps do not underflow as a narrow Gaussian's do."""
    first = many[0].kernel
    np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-5)
    is_sinc = first.min(axis=1) < -1e-6
    # A sinc cut at pi/3 or above has negative taps within 7 pixels.
    assert_frequencies(is_sinc, {True: 0.1, False: 0.9})
    sides = used_sides(first[is_sinc])
    assert_frequencies(sides, {side: 1 / 8 for side in range(7, 22, 2)})
    second = many[1].kernel
    unblurred = np.count_nonzero(second, axis=1) == 1
    assert_frequencies(unblurred, {True: 0.2, False: 0.8})


@pytest.mark.parametrize(
    ("shape", "isotropic", "beta", "plateau"),
    [
        (0, True, None, False),
        (1, False, None, False),
        (2, True, (0.5, 4), False),
        (3, False, (0.5, 4), False),
        (4, True, (1, 2), True),
        (5, False, (1, 2), True),
    ],
)
def test_each_shape_of_kernel(shape, isotropic, beta, plateau):
    """One shape at a time, read back from the taps beside the middle one.

    Ratios of a tap to the middle give q(v)^beta of the offset v. Along one direction
    it grows as |v|^(2 beta), which gives beta; then q at three offsets gives sigmas.
    """
    probabilities = [0.0] * 6
    probabilities[shape] = 1.0
    config = RealESRGANConfig(
        kernel_shapes=tuple(probabilities),
        sinc_probability=0.0,
        sigma_px=(0.9, 3.0),
        kernel_sizes=(21, 21),
    )
    first, _, _ = _split(RealESRGANDegradation(4, config).draw(1500, 8, 8, SEED))
    kernels = first.kernel.numpy().reshape(-1, 21, 21).astype(np.float64)

    def powers(down, right):
        share = kernels[:, 10 + down, 10 + right] / kernels[:, 10, 10]
        with np.errstate(divide="ignore"):
            return 1 / share - 1 if plateau else -2 * np.log(share)

    betas = np.log2(powers(0, 2) / powers(0, 1)) / 2
    # Where the top is flat, or a tap has underflowed, it cannot be read back.
    legible = (powers(0, 1) > 1e-3) & (powers(0, 2) < 50)
    assert legible.mean() > 0.5
    if beta is None:
        np.testing.assert_allclose(betas[legible], 1, atol=1e-3)
    else:
        low, high = beta
        is_one = np.abs(betas - 1) < 2e-3
        assert_frequencies((betas < 1) & ~is_one | (is_one & (low == 1)), HALVES)
        assert betas.min() > low - 0.02 and betas[legible].max() < high + 0.05
    across, down, diagonal = (
        powers(*offset)[legible] ** (1 / betas[legible])
        for offset in ((0, 1), (1, 0), (1, 1))
    )
    off_diagonal = (diagonal - across - down) / 2
    matrices = np.stack([[across, off_diagonal], [off_diagonal, down]]).T
    values = np.linalg.eigvalsh(matrices)
    sigmas = 1 / np.sqrt(values)
    is_round = np.abs(sigmas[:, 0] / sigmas[:, 1] - 1) < 1e-2
    assert is_round.all() == isotropic and (isotropic or is_round.mean() < 0.05)
    if beta is None:
        least, most = sigmas.min(axis=1), sigmas.max(axis=1)
        if isotropic:
            assert_uniform(least, 0.9, 3.0)
        else:  # the smaller and the larger of two uniform ones
            assert_uniform(((least - 0.9) / 2.1 - 1) ** 2, 0, 1)
            assert_uniform(((most - 0.9) / 2.1) ** 2, 0, 1)


def test_the_sincs_cutoffs():
    """Below 13 taps from pi/3 on, else from pi/5; fitted to the oracle's kernels."""
    grid = np.linspace(np.pi / 5 - 0.1, np.pi, 300)
    for size, lowest in ((11, np.pi / 3), (13, np.pi / 5)):
        config = RealESRGANConfig(kernel_sizes=(size, size), sinc_probability=1.0)
        first, _, _ = _split(RealESRGANDegradation(4, config).draw(400, 8, 8, SEED))
        table = np.stack(
            [blur_kernel_oracle.sinc(size, size, c).ravel() for c in grid[::3]]
        )
        distance = ((first.kernel.numpy()[:, None] - table) ** 2).sum(axis=2)
        cutoffs = grid[::3][distance.argmin(axis=1)]
        step = grid[3] - grid[0]
        assert cutoffs.min() > lowest - step
        assert_uniform(np.clip(cutoffs, lowest, np.pi), lowest, np.pi)


def test_shot_noise_has_the_variance_of_light():
    """Mean 0 and variance light / photons, at 64 values of grey: 6 standard errors."""
    levels = np.arange(0, 256, 4)
    image = tf.constant(np.tile(levels / 255.0, [2000, 1])[..., None], tf.float32)
    image = tf.tile(image, [1, 1, 3])
    noise = poisson_noise(image, SEED, tf.constant(False)).numpy()
    variance = levels / 255.0 / 64
    error = np.sqrt(variance / 6000) + 1e-9
    assert (np.abs(noise.mean(axis=(0, 2))) < 6 * error).all()
    found = noise.var(axis=(0, 2))
    fourth = variance * (1 / 64**2 + 3 * variance)  # of a Poisson variable / 64
    error = np.sqrt(np.maximum(fourth - variance**2, 0) / 6000) + 1e-9
    assert (np.abs(found - variance) < 6 * error).all()
    shared = poisson_noise(image, SEED, tf.constant(True))
    assert shared.shape == (2000, 64, 1)


def test_a_result_does_not_depend_on_the_batch():
    """Bit for bit: in another place, with other neighbours, alone, in a graph."""
    degradation = RealESRGANDegradation(4)
    hr = tf.constant(photographs(3, 40, 48))
    latents = degradation.draw(3, 10, 12, SEED)
    for all_rows, row in zip(latents, degradation.draw(1, 10, 12, SEED), strict=True):
        np.testing.assert_array_equal(all_rows[:1], row)
    wanted = degradation.apply(hr, *latents)
    order = [2, 0, 1]
    turned = degradation.apply(
        tf.gather(hr, order), *(tf.gather(part, order) for part in latents)
    )
    np.testing.assert_array_equal(turned.lr, tf.gather(wanted.lr, order))
    alone = degradation.apply(hr[1:2], *(part[1:2] for part in latents))
    np.testing.assert_array_equal(alone.lr, wanted.lr[1:2])
    np.testing.assert_array_equal(alone.target, wanted.target[1:2])
    data = tf.data.Dataset.from_tensors(hr).map(
        lambda hr: degradation.synthesise(hr, SEED).lr, num_parallel_calls=4
    )
    # The division by 255 may be a product with its reciprocal in another graph.
    levels = wanted.lr * 255.0
    np.testing.assert_array_equal(tf.round(next(iter(data)) * 255.0), tf.round(levels))
    np.testing.assert_allclose(levels, tf.round(levels), rtol=0, atol=1e-4)


def test_without_sharpening_the_target_is_the_image():
    degradation = RealESRGANDegradation(1, RealESRGANConfig(sharpen=False))
    assert degradation.synthesise(tf.zeros([1, 8, 8, 3]), SEED).target is None


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 16])
def test_any_size_will_do(scale, size):
    hr = tf.constant(photographs(6, size * scale, size * scale))
    lr = RealESRGANDegradation(scale).synthesise(hr, SEED).lr
    assert lr.shape == (6, size, size, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_shapes": (0.5, 0.5)}, r"6 probabilities that sum to 1.*\(0.5, 0.5\)"),
        ({"resize_modes": (0.5, 0.6, 0.1)}, "sum to 1"),
        ({"resize2": (1.1, 1.2)}, "`resize2` .* hold 1"),
        ({"kernel_sizes": (7, 20)}, "odd"),
        ({"quality": (30, 101)}, "within 1..100"),
        ({"sigma_px": (3.0, 0.2)}, "in order"),
        ({"final_sinc_probability": 1.5}, "within 0..1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RealESRGANConfig(**settings)
    assert dataclasses.replace(RealESRGANConfig(), sharpen=False).sharpen is False
