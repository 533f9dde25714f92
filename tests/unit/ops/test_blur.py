"""Blur: against a loop, against continuous Gaussians, and its invariants."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.ops import blur
from pdm_tf.ops.blur import (
    blur_downsample,
    blur_mixture,
    grid_geometry,
    hr_footprint,
    kernel_centroid,
    kernel_side,
    kernel_spread,
)
from pdm_tf.ops.resize import bicubic_downsample
from tests.oracles import blur_oracle

# float32 sums of up to 441 products of numbers in [0, 1].
TOLERANCE = 3e-6


@pytest.fixture(params=["convolution", "products"])
def form(request, monkeypatch):
    """Both ways to apply one kernel per image: the CPU's and the GPU's."""
    monkeypatch.setattr(blur, "_prefers_products", lambda: request.param == "products")


either_form = pytest.mark.usefixtures("form")


def random_kernels(rng, *shape):
    """Non-negative, summing to 1 over the last two axes."""
    kernels = rng.random(shape) ** 3
    return kernels / kernels.sum(axis=(-2, -1), keepdims=True)


def flat(kernels):
    """[B, h, w, K, K] or [B, K, K] -> the product's layout."""
    if kernels.ndim == 3:
        kernels = kernels[:, None, None]
    return kernels.reshape(*kernels.shape[:3], -1).astype(np.float32)


def sizes(lr_size, scale, side, border):
    margin = side // 2 if border == "valid" else 0
    return [n * scale + 2 * margin for n in lr_size]


@pytest.mark.parametrize(
    ("scale", "side", "lr_size"),
    [(1, 3, (7, 5)), (2, 5, (4, 7)), (3, 3, (3, 5)), (3, 13, (4, 6)), (4, 21, (3, 5))],
)
@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@either_form
def test_both_kinds_of_kernel_equal_the_loop(scale, side, lr_size, border, grid):
    rng = np.random.default_rng(side * 10 + scale)
    hr = rng.random((2, *sizes(lr_size, scale, side, border), 3))
    per_image = random_kernels(rng, 2, side, side)
    per_pixel = random_kernels(rng, 2, *lr_size, side, side)
    options = {"grid": grid, "border": border}
    for kernels in (per_image, per_pixel):
        wanted = [
            blur_oracle.blur(image, kernel, scale, **options)
            for image, kernel in zip(hr, kernels, strict=True)
        ]
        found = blur_downsample(
            tf.constant(hr, tf.float32), flat(kernels), scale, **options
        )
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("places", [(4, 6), (1, 1)], ids=["per pixel", "per image"])
@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
def test_a_mixture_equals_the_loop_with_the_mixed_kernels(places, border, grid):
    rng = np.random.default_rng(3)
    hr = rng.random((2, *sizes((4, 6), 4, 7, border), 3))
    basis = random_kernels(rng, 5, 7, 7)
    weights = rng.dirichlet(np.ones(5), size=(2, *places))
    found = blur_mixture(
        tf.constant(hr, tf.float32),
        weights.astype(np.float32),
        basis.reshape(5, -1).astype(np.float32),
        4,
        grid=grid,
        border=border,
    )
    mixed = np.einsum("bhwn,nij->bhwij", weights, basis)
    mixed = np.broadcast_to(mixed, (2, 4, 6, 7, 7))
    wanted = [
        blur_oracle.blur(image, kernel, 4, grid=grid, border=border)
        for image, kernel in zip(hr, mixed, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)


def test_gradients_of_a_mixture_are_those_of_its_kernels():
    rng = np.random.default_rng(4)
    hr = tf.constant(rng.random((2, *sizes((3, 4), 2, 5, "valid"), 3)), tf.float32)
    basis = flat(random_kernels(rng, 3, 5, 5)).reshape(3, 25)
    weights = rng.dirichlet(np.ones(3), size=(2, 3, 4)).astype(np.float32)
    upstream = rng.normal(size=(2, 3, 4, 3)).astype(np.float32)

    def gradients(blurred):
        operands = [tf.constant(weights), tf.constant(basis)]
        with tf.GradientTape() as tape:
            tape.watch(operands)
            loss = tf.reduce_sum(blurred(*operands) * upstream)
        return tape.gradient(loss, operands)

    by_parts = gradients(lambda w, k: blur_mixture(hr, w, k, 2, border="valid"))
    by_kernels = gradients(
        lambda w, k: blur_downsample(hr, tf.tensordot(w, k, 1), 2, border="valid")
    )
    for found, wanted in zip(by_parts, by_kernels, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("border", ["reflect", "valid"])
def test_one_kernel_per_image_equals_the_same_kernel_at_every_pixel(border):
    rng = np.random.default_rng(0)
    hr = rng.random((3, *sizes((5, 8), 4, 7, border), 3)).astype(np.float32)
    kernels = flat(random_kernels(rng, 3, 7, 7))
    repeated = np.broadcast_to(kernels, (3, 5, 8, 49))
    np.testing.assert_allclose(
        blur_downsample(hr, kernels, 4, border=border),
        blur_downsample(hr, repeated, 4, border=border),
        rtol=0,
        atol=TOLERANCE,
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_delta_kernel_is_plain_decimation(scale):
    rng = np.random.default_rng(1)
    hr = rng.random((2, 6 * scale, 5 * scale, 3)).astype(np.float32)
    delta = np.zeros((2, 11, 11))
    delta[:, 5, 5] = 1
    kernel = flat(delta)
    np.testing.assert_array_equal(
        blur_downsample(hr, kernel, scale), hr[:, ::scale, ::scale]
    )
    padded = np.pad(hr, [(0, 0), (5, 5), (5, 5), (0, 0)], constant_values=9.0)
    np.testing.assert_array_equal(
        blur_downsample(padded, kernel, scale, border="valid"),
        hr[:, ::scale, ::scale],
    )
    first = (scale - 1) // 2
    np.testing.assert_array_equal(
        blur_downsample(hr, kernel, scale, grid="half_pixel"),
        hr[:, first::scale, first::scale],
    )


def test_taps_are_row_major_and_not_flipped():
    hr = np.zeros((1, 8, 8, 1), np.float32)
    hr[0, 4 + 1, 4 + 2, 0] = 1.0  # 1 below and 2 right of the pixel sampled
    kernel = np.zeros((1, 5, 5))
    kernel[0, 2 + 1, 2 + 2] = 1.0
    lr = blur_downsample(hr, flat(kernel), 4).numpy()[0, ..., 0]
    np.testing.assert_array_equal(lr, [[0, 0], [0, 1]])


@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@pytest.mark.parametrize("border", ["reflect", "valid"])
def test_constant_image_stays_constant(grid, border):
    rng = np.random.default_rng(2)
    hr = np.full((1, *sizes((4, 5), 3, 9, border), 3), 0.7, np.float32)
    for shape in [(1, 9, 9), (1, 4, 5, 9, 9)]:
        lr = blur_downsample(
            hr, flat(random_kernels(rng, *shape)), 3, grid=grid, border=border
        )
        np.testing.assert_allclose(lr, 0.7, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_half_pixel_grid_is_that_of_antialiased_resizing(scale):
    """A Gaussian centred where `grid_geometry` says sees HR at s*i + (s-1)/2."""
    side, sigma, lr_size = 15, 1.2, (6, 9)
    rng = np.random.default_rng(scale)
    hr = rng.random((*sizes(lr_size, scale, side, "valid"), 3))
    window, centroid = grid_geometry(scale, "half_pixel")
    assert window + centroid == (scale - 1) / 2
    offsets = np.arange(side) - side // 2 - centroid
    line = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = np.outer(line, line)[None]
    kernel /= kernel.sum()
    found = blur_downsample(
        tf.constant(hr[None], tf.float32),
        flat(kernel),
        scale,
        grid="half_pixel",
        border="valid",
    )
    positions = [side // 2 + scale * np.arange(n) + (scale - 1) / 2 for n in lr_size]
    wanted = blur_oracle.gaussian_samples(hr, sigma, *positions)
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_half_pixel_grid_and_bicubic_agree_on_a_ramp(scale):
    y, x = np.mgrid[: 16 * scale, : 12 * scale]
    ramp = np.stack([y, x, y - x], -1)[None].astype(np.float32) / 100
    delta = np.zeros((1, 3, 3))
    _, centroid = grid_geometry(scale, "half_pixel")
    weights = [1 - centroid, centroid]  # a kernel of that centre of mass
    delta[0, 1:, 1:] = np.outer(weights, weights)
    lr = blur_downsample(ramp, flat(delta), scale, grid="half_pixel")
    bicubic = bicubic_downsample(tf.constant(ramp), scale)
    inner = (0, slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(lr[inner], bicubic[inner], rtol=0, atol=1e-5)


@pytest.mark.parametrize("spatial", [False, True])
@either_form
def test_gradient_of_the_kernel_is_the_pixels_under_each_tap(spatial):
    rng = np.random.default_rng(3)
    hr = rng.random((2, 8, 12, 3))
    upstream = rng.normal(size=(2, 4, 6, 3))
    shape = (2, 4, 6, 5, 5) if spatial else (2, 5, 5)
    kernel = tf.constant(flat(random_kernels(rng, *shape)))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        lr = blur_downsample(tf.constant(hr, tf.float32), kernel, 2)
        total = tf.reduce_sum(lr * upstream.astype(np.float32))
    found = tape.gradient(total, kernel).numpy()
    # Linear in the kernel: the derivative by a tap is the blur by that tap alone.
    for tap in range(25):
        one = np.zeros(25)
        one[tap] = 1
        seen = np.stack(
            [blur_oracle.blur(x, one.reshape(5, 5), 2, "pixel0", "reflect") for x in hr]
        )
        product = np.sum(upstream * seen, axis=-1)
        wanted = product if spatial else product.sum(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(found[..., tap], wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize(("scale", "side"), [(1, 3), (3, 5), (2, 5)])
def test_gradient_by_hr_of_a_kernel_per_pixel_is_the_adjoint(scale, side, border):
    """<upstream, blur(v)> = <gradient, v>: each tap's share lands where it was read."""
    rng = np.random.default_rng(4)
    hr = tf.constant(rng.random((2, *sizes((4, 5), scale, side, border), 3)))
    kernels = random_kernels(rng, 2, 4, 5, side, side)
    kernel = tf.constant(kernels.reshape(2, 4, 5, -1))
    upstream = rng.normal(size=(2, 4, 5, 3))
    options = {"scale": scale, "border": border, "grid": "half_pixel"}
    _, by_hr, _ = value_and_gradients(hr, kernel, upstream, **options)
    for _ in range(3):
        v = rng.normal(size=hr.shape)
        seen = [
            blur_oracle.blur(x, k, scale, "half_pixel", border)
            for x, k in zip(v, kernels, strict=True)
        ]
        wanted = np.sum(upstream * np.stack(seen))
        assert np.sum(by_hr * v) == pytest.approx(wanted, abs=1e-9)


def value_and_gradients(hr, kernel, upstream, **options):
    """The blur, and the gradients of <upstream, blur> by HR and by the kernels."""
    with tf.GradientTape() as tape:
        tape.watch([hr, kernel])
        lr = blur_downsample(hr, kernel, **options)
        total = tf.reduce_sum(lr * upstream)
    return lr, *tape.gradient(total, [hr, kernel])


def random_problem(rng, scale, side, border, dtype, lr_size=(4, 5), batch=2):
    """HR, kernels and a gradient that comes in."""
    hr = rng.random((batch, *sizes(lr_size, scale, side, border), 3))
    kernel = random_kernels(rng, batch, side, side).reshape(batch, 1, 1, -1)
    upstream = rng.normal(size=(batch, *lr_size, 3))
    return [tf.constant(value, dtype) for value in (hr, kernel, upstream)]


@either_form
def test_works_in_a_graph_with_unknown_batch_and_size():
    """Values and gradients; the size of a batch is known when the batch comes."""
    specs = [
        tf.TensorSpec([None, None, None, 3]),
        tf.TensorSpec([None, 1, 1, 25]),
        tf.TensorSpec([None, None, None, 3]),
    ]

    @tf.function(input_signature=specs, autograph=False)
    def graph(hr, kernel, upstream):
        return value_and_gradients(hr, kernel, upstream, scale=4)

    rng = np.random.default_rng(4)
    for batch in (2, 3):
        problem = random_problem(rng, 4, 5, "reflect", tf.float32, batch=batch)
        wanted = value_and_gradients(*problem, scale=4)
        for found, value in zip(graph(*problem), wanted, strict=True):
            np.testing.assert_allclose(found, value, rtol=0, atol=2e-6)


@either_form
def test_sizes_that_are_known_stay_known():
    """A convolution that follows needs the number of channels when it is built."""

    @tf.function(autograph=False)
    def shape(hr, kernel):
        return blur_downsample(hr, kernel, 4, border="valid")

    kernel = tf.TensorSpec([None, 1, 1, 25])
    for known, wanted in [
        ((8, 20, 36, 3), [8, 4, 8, 3]),
        ((None, None, 36, 3), [None, None, 8, 3]),
    ]:
        concrete = shape.get_concrete_function(tf.TensorSpec(known), kernel)
        assert concrete.outputs[0].shape.as_list() == wanted


@either_form
def test_compiled_by_xla_it_is_the_same():
    compiled = tf.function(value_and_gradients, jit_compile=True, autograph=False)
    problem = random_problem(np.random.default_rng(6), 3, 7, "valid", tf.float32)
    options = {"scale": 3, "grid": "half_pixel", "border": "valid"}
    wanted = value_and_gradients(*problem, **options)
    for found, value in zip(compiled(*problem, **options), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    ("scale", "side"), [(1, 1), (1, 5), (2, 3), (2, 7), (3, 5), (4, 3), (4, 9), (5, 11)]
)
@pytest.mark.parametrize("border", ["reflect", "valid"])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@either_form
def test_gradients_equal_finite_differences(scale, side, border, grid):
    """In float64; a bilinear function's central differences are exact but for rounding.

    Of HR and of the kernels, along random directions; kernels smaller than the stride,
    which leave some phases without a tap, are among them.
    """
    rng = np.random.default_rng(100 * scale + side)
    hr, kernel, upstream = random_problem(rng, scale, side, border, tf.float64)
    options = {"scale": scale, "grid": grid, "border": border}

    def total(hr, kernel):
        lr = blur_downsample(hr, kernel, **options)
        return tf.reduce_sum(lr * upstream).numpy()

    _, by_hr, by_kernel = value_and_gradients(hr, kernel, upstream, **options)
    assert by_hr.shape == hr.shape and by_kernel.shape == kernel.shape
    for _ in range(3):
        d_hr, d_kernel = rng.normal(size=hr.shape), rng.normal(size=kernel.shape)
        slope = (total(hr + d_hr, kernel) - total(hr - d_hr, kernel)) / 2
        np.testing.assert_allclose(np.sum(by_hr * d_hr), slope, rtol=0, atol=1e-10)
        slope = (total(hr, kernel + d_kernel) - total(hr, kernel - d_kernel)) / 2
        np.testing.assert_allclose(
            np.sum(by_kernel * d_kernel), slope, rtol=0, atol=1e-10
        )


@either_form
def test_second_derivatives_equal_finite_differences():
    """A penalty on a gradient: its own gradient by HR, by kernels and by upstream."""
    rng = np.random.default_rng(7)
    problem = random_problem(rng, 3, 5, "valid", tf.float64)

    def penalty(hr, kernel, upstream):
        options = {"scale": 3, "border": "valid"}
        _, by_hr, by_kernel = value_and_gradients(hr, kernel, upstream, **options)
        return tf.reduce_sum(by_hr**2) + tf.reduce_sum(by_kernel**2)

    with tf.GradientTape() as tape:
        tape.watch(problem)
        value = penalty(*problem)
    gradients = tape.gradient(value, problem)
    for place, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)

        # The penalty is quadratic in each argument, so any step is exact.
        ahead, behind = list(problem), list(problem)
        ahead[place] = ahead[place] + direction / 2
        behind[place] = behind[place] - direction / 2
        slope = (penalty(*ahead) - penalty(*behind)).numpy()
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-9)


@pytest.mark.parametrize("scale", [1, 2, 4])
@either_form
def test_linear_in_the_image_and_in_the_kernel(scale):
    rng = np.random.default_rng(scale)
    hr, kernel, _ = random_problem(rng, scale, 7, "valid", tf.float64)
    other_hr, other_kernel, _ = random_problem(rng, scale, 7, "valid", tf.float64)

    def blurred(hr, kernel):
        return blur_downsample(hr, kernel, scale, border="valid").numpy()

    np.testing.assert_allclose(
        blurred(hr - 3 * other_hr, kernel),
        blurred(hr, kernel) - 3 * blurred(other_hr, kernel),
    )
    np.testing.assert_allclose(
        blurred(hr, kernel - 3 * other_kernel),
        blurred(hr, kernel) - 3 * blurred(hr, other_kernel),
        atol=1e-14,
    )


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@either_form
def test_half_precision_is_summed_in_float32(dtype):
    hr, kernel, _ = random_problem(np.random.default_rng(8), 4, 21, "valid", tf.float32)
    hr, kernel = tf.cast(hr, dtype), tf.cast(kernel, dtype)
    found = blur_downsample(hr, kernel, 4, border="valid")
    assert found.dtype == tf.float32
    wanted = blur_downsample(
        tf.cast(hr, tf.float32), tf.cast(kernel, tf.float32), 4, border="valid"
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("shape", "taps", "options", "message"),
    [
        ((1, 65, 64, 3), 9, {}, r"scale=4, shape=\(1, 65, 64, 3\)"),
        ((1, 64, 64, 3), 9, {"border": "valid"}, "K=3, border='valid'"),
        ((1, 4, 16, 3), 121, {}, r"greater than K//2.*\(1, 4, 16, 3\), K=11"),
        ((1, 64, 64, 3), 16, {}, "K odd. Received: 16 taps"),
        ((1, 64, 64, 3), 10, {}, "Received: 10 taps"),
        ((1, 64, 64, 3), 9, {"grid": "pixel1"}, "grid='pixel1'"),
        ((1, 64, 64, 3), 9, {"border": "zero"}, "Received: 'zero'"),
    ],
)
def test_errors_name_the_received_value(shape, taps, options, message):
    kernel = tf.fill([1, 1, 1, taps], 1.0 / taps)
    with pytest.raises(ValueError, match=message):
        blur_downsample(tf.zeros(shape), kernel, 4, **options)


def test_kernel_side():
    assert [kernel_side(n * n) for n in (1, 3, 21)] == [1, 3, 21]
    with pytest.raises(ValueError, match="Received: None"):
        kernel_side(None)


def test_centroid_and_spread_equal_the_loop_and_point_down_and_right():
    rng = np.random.default_rng(5)
    kernels = random_kernels(rng, 2, 3, 4, 7, 7)
    centroids = kernel_centroid(tf.constant(flat(kernels))).numpy()
    spreads = kernel_spread(tf.constant(flat(kernels))).numpy()
    assert centroids.shape == (2, 3, 4, 2)
    for place in np.ndindex(2, 3, 4):
        down, right, spread = blur_oracle.moments(kernels[place])
        np.testing.assert_allclose(centroids[place], [down, right], atol=1e-6)
        np.testing.assert_allclose(spreads[place], spread, atol=1e-6)
    one = np.zeros((1, 7, 7))
    one[0, 3 + 2, 3 - 1] = 1  # 2 down, 1 left
    np.testing.assert_allclose(kernel_centroid(flat(one))[0, 0, 0], [2, -1])
    assert kernel_spread(flat(one)) == 0.0


def test_spread_of_a_gaussian_is_its_sigma_in_two_directions():
    offsets = np.arange(21) - 10
    line = np.exp(-(offsets**2) / (2 * 1.8**2))
    kernel = np.outer(line, line)[None] / line.sum() ** 2
    np.testing.assert_allclose(kernel_spread(flat(kernel)), 2**0.5 * 1.8, atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@pytest.mark.parametrize("margin", [0, 4])
def test_blocks_lie_around_the_middle_of_the_blur_window(scale, grid, margin):
    """A block off by one pixel, or transposed, would tell netK of other places."""
    lr_size = (3, 4)
    height, width = (n * scale + 2 * margin for n in lr_size)
    hr = np.random.default_rng(scale).random((2, height, width, 3)).astype(np.float32)
    found = hr_footprint(tf.constant(hr), scale, grid, margin).numpy()
    assert found.shape == (2, *lr_size, 3 * scale**2)
    found = found.reshape(2, *lr_size, scale, scale, 3)
    window = (scale - 1) // 2 if grid == "half_pixel" else 0
    for i in range(lr_size[0]):
        for j in range(lr_size[1]):
            for a in range(scale):
                for b in range(scale):
                    before = (scale - 1) // 2
                    y = blur_oracle.mirror(
                        margin + scale * i + window + a - before, height
                    )
                    x = blur_oracle.mirror(
                        margin + scale * j + window + b - before, width
                    )
                    np.testing.assert_array_equal(found[:, i, j, a, b], hr[:, y, x])


def test_a_margin_too_small_is_refused():
    with pytest.raises(ValueError, match="Received: margin=1, scale=5"):
        hr_footprint(tf.zeros([1, 12, 12, 3]), 5, "pixel0", 1)
