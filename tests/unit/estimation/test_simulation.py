import numpy as np
import pytest

from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.core.source_estimate import JpegMeasure, NoisePopulation, log_covariances
from pdm_tf.estimation.kernel_regressor import TrainingStopped
from pdm_tf.estimation.simulation import Simulation
from tests.unit.estimation.folders import sharp


class Recorder:
    """A regressor that keeps what it is shown."""

    scale = 4

    def predict(self, images_u8, qualities, *, threads):
        self.images, self.qualities = images_u8, qualities
        return images_u8


NONE = JpegMeasure()


def simulated(theta, seed=0, jpeg=(NONE,), noise=None, sizes=((32, 36),)):
    regressor = Recorder()
    Simulation(regressor, sharp()[:3], sizes, jpeg, noise)(theta, seed)
    return regressor


def shapes(*sigmas_px):
    return log_covariances(np.array([s**2 * np.eye(2) for s in sigmas_px]))


def test_sizes_are_those_of_the_real_ones_where_they_fit():
    sizes = ((32, 36), (33, 500))
    made = simulated(shapes(*[1.0] * 12), sizes=sizes, jpeg=(NONE, NONE))
    assert {x.shape for x in made.images} == {(32, 36, 3), (33, 39, 3)}
    assert made.qualities == (0,) * 12


def test_it_is_a_function_of_theta_and_seed():
    first, again, other = (simulated(shapes(1.0, 2.0), seed) for seed in (0, 0, 1))
    for a, b, c in zip(first.images, again.images, other.images, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_wider_kernels_blur_more_and_noise_is_added():
    def detail(made):
        return np.mean([np.abs(np.diff(x.astype(float), axis=0)).mean() for x in made])

    narrow, wide = (simulated(shapes(*[s] * 6)).images for s in (0.6, 4.0))
    assert detail(narrow) > 1.5 * detail(wide)
    noise = NoisePopulation((-3.5, -12.0), ((1e-6, 0.0), (0.0, 1e-6)))
    noisy = simulated(shapes(*[4.0] * 6), noise=noise).images
    added = np.concatenate(
        [(a.astype(float) - b).ravel() for a, b in zip(noisy, wide, strict=True)]
    )
    assert added.std() == pytest.approx(255 * np.exp(-3.5), rel=0.15)


def test_jpeg_goes_with_the_photograph_whose_size_is_taken():
    sizes = ((32, 36), (40, 33))
    jpeg = (NONE, JpegMeasure(15, "420", (3, 5), "comb"))
    made = simulated(shapes(*[1.0] * 12), jpeg=jpeg, sizes=sizes)
    assert set(made.qualities) == {0, 15}
    for image, quality in zip(made.images, made.qualities, strict=True):
        assert (image.shape[1] == 33) == (quality == 15)


def test_it_stops_when_asked():
    with pytest.raises(TrainingStopped):
        Simulation(Recorder(), sharp()[:1], ((32, 32),), (NONE,), None)(
            shapes(1.0), 0, lambda: True
        )


def test_forms_are_mixed_as_in_the_prior_and_theta_is_that_of_the_kernels():
    """Nobody knows the form of a source's kernels: 4 in 10 are paths or disks."""
    shown = []

    class Kept(Simulation):
        def _photograph(self, kernel, index, random):
            shown.append((index, kernel))
            return super()._photograph(kernel, index, random)

    asked = shapes(*np.linspace(1.0, 3.0, 200))
    sizes, jpeg = ((24, 24),), (NONE,)
    made = Kept(Recorder(), sharp()[:3], sizes, jpeg, None)(asked, 1)
    kernels = np.stack([kernel for _, kernel in sorted(shown, key=lambda x: x[0])])
    found = log_covariances(second_moments(kernels))
    np.testing.assert_array_equal(asked, shapes(*np.linspace(1.0, 3.0, 200)))
    gaussian = np.isclose(made.theta, asked).all(1)
    np.testing.assert_array_equal(made.other, ~gaussian)
    assert 0.3 < np.mean(~gaussian) < 0.5
    np.testing.assert_allclose(made.theta[~gaussian], found[~gaussian])
    assert np.abs(made.theta - asked).max() < 0.5
    # Gaussians of 1 to 3 px lose little of their moments by the square's edge.
    np.testing.assert_allclose(found[gaussian], asked[gaussian], atol=0.1)
