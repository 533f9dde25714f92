"""`mixed`: which part is drawn, that it is that part alone, and its grid."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.build_parts import predefined
from pdm_tf.core.errors import UserError
from pdm_tf.degradations import Degraded, MixedConfig, MixedDegradation
from pdm_tf.degradations.base import Degradation
from pdm_tf.degradations.mixed import moved

SEED = tf.constant([3, 9])


class Flat(Degradation):
    """Every pixel has one value; sees that images of other parts do not reach it."""

    def __init__(self, value, *, grid="pixel0", period=0, context=0):
        self.scale, self.margin, self.value = 2, 1, value
        self.grid, self.grid_period, self.context = grid, period, context

    def draw(self, batch, height, width, seed):
        return tf.random.stateless_uniform([batch, height, width, 1], seed), None

    def apply(self, hr, *latents, training=False):
        inner = hr[:, 1:-1, 1:-1]
        noise, none = latents
        assert none is None
        lr = self.value + 0 * inner[:, ::2, ::2] + 0 * noise
        return Degraded(lr, lr)


def mixture(*parts, **settings):
    names = tuple("abc"[: len(parts)])
    return MixedDegradation(2, MixedConfig(parts=names, **settings), parts)


def test_each_image_has_one_part_by_the_probabilities():
    """A chi-squared test at an error rate of 1 in 1,000 for another seed."""
    degradation = mixture(
        Flat(0.0), Flat(0.5), Flat(1.0), probabilities=(0.5, 0.3, 0.2)
    )
    hr = tf.random.stateless_uniform([2000, 10, 10, 3], [1, 1])
    degraded = degradation.synthesise(hr, SEED)
    values = degraded.lr.numpy().reshape(2000, -1)
    assert (values == values[:, :1]).all()
    counts = np.array([(values[:, 0] == v).sum() for v in (0, 0.5, 1)])
    expected = np.array([1000, 600, 400])
    assert ((counts - expected) ** 2 / expected).sum() < 13.8


def test_a_part_of_probability_0_never_occurs_and_equal_ones_are_the_default():
    never = mixture(Flat(0.0), Flat(1.0), probabilities=(0.0, 1.0))
    hr = tf.zeros([500, 10, 10, 3])
    assert never.synthesise(hr, SEED).lr.numpy().min() == 1
    even = mixture(Flat(0.0), Flat(1.0)).synthesise(hr, SEED).lr.numpy()
    assert 0.4 < even.mean() < 0.6


def test_settings_of_parts_may_be_lists():
    config = MixedConfig(
        parts=("runs/a.b", "runs/a", "c"),
        settings=("c.x=1", "2", "c.y=3", "runs/a.b.x=5", "runs/a.y=2", "7"),
    )
    assert config.settings_of("c") == ["x=1,2", "y=3"]
    assert config.settings_of("runs/a.b") == ["x=5"]
    assert config.settings_of("runs/a") == ["y=2,7"]


def test_images_get_what_their_part_makes_of_them_alone():
    """With a real mixture: the same latents, the same image, bit for bit."""
    args = ["parts=awgn_blur,gaussian_jpeg", "settings=awgn_blur.noise_max_255=4"]
    degradation = predefined("mixed", args, 2)
    assert degradation._parts[0].config.noise_max_255 == 4
    assert degradation.grid_period == 16 and degradation.context == 2
    hr = tf.random.stateless_uniform([6, *2 * [degradation.hr_side(16)], 3], [1, 1])
    choice, *latents = degradation.draw(6, 16, 16, SEED)
    lr = degradation.synthesise(hr, SEED).lr
    counts = [len(part.draw(1, 8, 8, SEED)) for part in degradation._parts]
    assert len(latents) == sum(counts) and set(choice.numpy()) == {0, 1}
    for row, index in enumerate(choice.numpy()):
        own = latents[: counts[0]] if index == 0 else latents[counts[0] :]
        part = degradation._parts[index]
        alone = part.apply(
            hr[row : row + 1], *(latent[row : row + 1] for latent in own)
        )
        np.testing.assert_allclose(lr[row], alone.lr[0], rtol=0, atol=1e-6)


def test_all_parts_aim_at_the_photograph():
    """Real-ESRGAN's sharpened target would contradict what the other parts aim at."""
    degradation = predefined("mixed", ["parts=real_esrgan,awgn_blur"], 2)
    first = degradation._parts[0]
    assert not (first.config.sharpen or first.has_target or degradation.has_target)
    assert "HR images are the target of real_esrgan too" in degradation.remarks[0]
    assert degradation.on_host and degradation.context is None
    hr = tf.random.stateless_uniform([2, *2 * [degradation.hr_side(8)], 3], [1, 1])
    assert degradation.synthesise(hr, SEED).target is None


def test_moving_by_whole_pixels_is_exact_and_between_them_cubic():
    image = tf.random.stateless_uniform([1, 12, 14, 3], [1, 1])
    np.testing.assert_array_equal(moved(image, 0.0), image)
    np.testing.assert_allclose(moved(image, 1.0), image[:, 3:-1, 3:-1], atol=1e-7)
    half = moved(image, -0.5).numpy()[0]
    weights = np.array([-1, 9, 9, -1]) / 16  # Keys' cubic halfway, a = -0.5
    rows = sum(w * image.numpy()[0, k : k + 8] for k, w in enumerate(weights))
    wanted = sum(w * rows[:, k : k + 10] for k, w in enumerate(weights))
    np.testing.assert_allclose(half, wanted, atol=1e-6)


@pytest.mark.parametrize("grid", ["auto", "pixel0", "half_pixel"])
def test_parts_of_another_grid_are_brought_to_one(grid):
    """On a ramp, whose values are places."""
    args = ["parts=bicubic,awgn_blur", "settings=awgn_blur.noise_max_255=0"]
    degradation = predefined("mixed", [*args, f"grid={grid}"], 4)
    wanted = "half_pixel" if grid == "auto" else grid
    assert degradation.grid == wanted and "is brought to" in degradation.remarks[0]
    ramp = tf.range(degradation.hr_side(8), dtype=tf.float32) / 100
    hr = tf.tile(ramp[None, None, :, None], [12, len(ramp), 1, 3])
    lr = degradation.synthesise(hr, SEED).lr.numpy()
    first = {"pixel0": 0.0, "half_pixel": 1.5}[wanted]
    places = degradation.margin + first + 4 * np.arange(8)
    assert set(degradation.draw(12, 8, 8, SEED)[0].numpy()) == {0, 1}
    np.testing.assert_allclose(100 * lr[:, 4, :, 0], [places] * 12, atol=0.02)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "two or more different `parts`.*Received: none"),
        (["parts=bicubic"], "two or more different `parts`.*Received: bicubic"),
        (["parts=bicubic,bicubic"], "two or more different `parts`"),
        (["parts=bicubic,nowhere"], "`parts` of mixed must be a run folder, .*nowhere"),
        (["parts=bicubic,pool"], "pool needs `kernels` or noise"),
        (
            ["parts=bicubic,awgn_blur", "probabilities=0.5,0.6"],
            "2 probabilities that sum to 1. Received: .0.5, 0.6., which sum to 1.1",
        ),
        (
            ["parts=bicubic,awgn_blur", "probabilities=1.5,-0.5"],
            "2 probabilities that sum to 1",
        ),
        (
            ["parts=bicubic,awgn_blur", "probabilities=1"],
            "2 probabilities that sum to 1",
        ),
        (
            ["parts=bicubic,awgn_blur", "settings=pool.kernels=a"],
            "part.key=value, with a part of bicubic, awgn_blur",
        ),
        (["parts=bicubic,awgn_blur", "settings=5"], "part.key=value, with a part of"),
        (
            ["parts=bicubic,awgn_blur", "settings=awgn_blur.sigma=1"],
            "AwgnBlurConfig has no setting 'sigma'",
        ),
        (["parts=bicubic,awgn_blur", "share=1"], "MixedConfig has no setting 'share'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(args, message):
    with pytest.raises(UserError, match=message):
        predefined("mixed", args, 2)


def test_parts_that_do_not_go_together_are_refused():
    with pytest.raises(UserError, match="must have a known grid .*Received: b"):
        mixture(Flat(0.0), Flat(1.0, grid=None))
    assert mixture(Flat(0.0), Flat(1.0, context=None)).context is None
    assert mixture(Flat(0.0, period=8), Flat(1.0, period=16)).grid_period == 16
