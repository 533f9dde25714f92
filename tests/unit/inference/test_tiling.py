"""Tiles: a cover without gaps, equal to one pass; what is chosen where nobody chose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_tf.core.errors import UserError
from pdm_tf.inference.tiling import (
    BAND_BYTES,
    OVERLAP_UNKNOWN,
    Assembler,
    choose_cutting,
    even_tile,
    mirrored,
    plan_tiles,
    smallest_tile,
    spans,
    upscale_in_tiles,
)


def _box_sum(image, radius):
    """A local operation that sees `radius` pixels and pads with zeros, as nets do."""
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (2 * radius + 1, 2 * radius + 1), axis=(0, 1)
    )
    return windows.sum(axis=(-1, -2))


def _upscaler(radius, scale, dtype=np.int64):
    def upscale(lr):
        sr = _box_sum(lr, radius).repeat(scale, axis=0).repeat(scale, axis=1)
        # Each SR pixel of one LR pixel its own, so that shifts show.
        phase = np.arange(scale)
        shape = (lr.shape[0], lr.shape[1], 1)
        return (sr + np.tile(phase[:, None, None] * 3 + phase[:, None], shape)).astype(
            dtype
        )

    return upscale


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=60)
@given(
    size=SIZES,
    radius=st.integers(0, 3),
    slack=st.integers(0, 2),
    inner=st.integers(0, 12),
    blend=st.integers(0, 4),
    scale=st.integers(1, 3),
)
def test_equals_one_pass(size, radius, slack, inner, blend, scale):
    """Any size around the tile, strips of one pixel included; no clipping inside.

    With blending exactly too: these are integers in float64.
    """
    overlap = radius + slack
    lr = np.random.default_rng(size).integers(-50, 50, (*size, 2))
    upscale = _upscaler(radius, scale, np.float64 if blend else np.int64)
    tile = smallest_tile(overlap, blend) + inner
    tiled = upscale_in_tiles(
        upscale, lr, scale, tile=tile, overlap=overlap, blend=blend
    )
    assert tiled.dtype == upscale(lr).dtype
    np.testing.assert_array_equal(tiled, upscale(lr))


def _squares(lr, side):
    """Each square of pixels becomes its mean; what the last ones lack is mirrored."""
    height, width = lr.shape[:2]
    whole = mirrored(lr, height + -height % side, width + -width % side)
    rows, columns = whole.shape[0] // side, whole.shape[1] // side
    means = whole.reshape(rows, side, columns, side, -1).mean((1, 3))
    return means.repeat(side, 0).repeat(side, 1)[:height, :width]


@settings(max_examples=60)
@given(
    size=SIZES,
    multiple=st.integers(2, 5),
    tile=st.integers(1, 30),
    overlap=st.integers(1, 5),
    blend=st.integers(0, 4),
)
def test_squares_of_pixels_are_kept_whole(size, multiple, tile, overlap, blend):
    """Where tiles begin at other places the squares have other pixels, and it shows."""
    lr = np.random.default_rng(size).integers(0, 9, (*size, 2)).astype(np.float64)
    cut = {"tile": tile, "overlap": overlap, "blend": blend, "multiple": multiple}
    tiled = upscale_in_tiles(lambda part: _squares(part, multiple), lr, 1, **cut)
    np.testing.assert_allclose(tiled, _squares(lr, multiple), rtol=0, atol=1e-12)


@pytest.mark.parametrize("multiple", [2, 3, 8, 64])
@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize(
    "chosen", [{}, {"tile": 65}, {"tile": 200, "overlap": 3}, {"radius": None}]
)
def test_tiles_begin_and_end_at_multiples(multiple, on_gpu, chosen):
    cutting = choose(**{"radius": 5, **chosen}, on_gpu=on_gpu, multiple=multiple)
    for size in ((700, 301), (1, 999), (64, 64)):
        plan = cutting.plan(*size, 2)
        for length, axis in zip(size, (plan.rows, plan.columns), strict=True):
            places = {at % multiple for span in axis for at in span[:2]}
            assert places == {0}
            assert axis[0].first == 0 and axis[-1].last == length
            assert axis[-1].stop - length < multiple
        assert max(plan.tile_shape) <= max(cutting.tile, multiple)


def test_a_mirrored_image_does_not_repeat_its_last_row():
    image = np.arange(3)[:, None, None] + np.zeros((3, 2, 1))
    assert mirrored(image, 8, 2)[:, 0, 0].tolist() == [0, 1, 2, 1, 0, 0, 0, 0]
    assert mirrored(image[:1], 3, 5).shape == (3, 5, 1)
    assert mirrored(image, 3, 2) is image


@pytest.mark.parametrize("size", [(1, 200), (200, 1), (7, 200), (200, 7)])
def test_thin_strips_equal_one_pass(size):
    """They are cut along one axis only (the area of the first two is below tile^2)."""
    lr = np.random.default_rng(0).integers(-50, 50, (*size, 1))
    upscale = _upscaler(3, 2)
    plan = plan_tiles(*size, (16, 16), 3)
    assert len(plan.rows) == 1 or len(plan.columns) == 1
    assert len(plan.rows) * len(plan.columns) > 10
    got = []
    assembler = Assembler(plan, 2, lambda rows: got.append(rows[0].copy()))
    for y in plan.rows:
        for x in plan.columns:
            assembler.add(upscale(lr[y.start : y.stop, x.start : x.stop]))
    assert assembler.complete
    np.testing.assert_array_equal(np.concatenate(got), upscale(lr))


def test_too_little_overlap_shows():
    """The tests above can fail: a network that sees further leaves seams."""
    lr = np.random.default_rng(0).integers(0, 50, (30, 30, 1))
    upscale = _upscaler(3, 1)
    tiled = upscale_in_tiles(upscale, lr, 1, tile=12, overlap=2)
    assert np.any(tiled != upscale(lr))


@settings(max_examples=200)
@given(
    length=st.integers(1, 300),
    overlap=st.integers(0, 20),
    blend=st.integers(0, 9),
    inner=st.integers(0, 30),
)
def test_spans_cover_with_context(length, overlap, blend, inner):
    """Once each, or twice in the `blend` pixels between neighbours, never thrice."""
    tile = smallest_tile(overlap, blend) + inner
    cut = spans(length, tile, overlap, blend)
    filled = np.zeros(length, int)
    for span in cut:
        filled[span.first : span.last] += 1
        assert span.stop - span.start == min(tile, length)
        assert span.first - span.start >= overlap or span.start == span.first == 0
        assert span.stop - span.last >= overlap or span.stop == span.last == length
    assert filled.min() == 1
    assert filled.max() <= 2
    assert filled.sum() - length == blend * (len(cut) - 1)
    for before, after in zip(cut, cut[1:], strict=False):
        assert before.last - after.first == blend


@settings(max_examples=200)
@given(
    length=st.integers(1, 400),
    overlap=st.integers(0, 20),
    blend=st.integers(0, 9),
    inner=st.integers(0, 90),
)
def test_even_tiles_are_as_few_and_no_larger(length, overlap, blend, inner):
    tile = smallest_tile(overlap, blend) + inner
    even = even_tile(length, tile, overlap, blend)
    count = len(spans(length, tile, overlap, blend))
    assert even <= tile
    least = smallest_tile(overlap, blend)
    assert len(spans(length, max(even, least), overlap, blend)) == count
    if even > least:
        # One pixel less would not do.
        assert len(spans(length, even - 1, overlap, blend)) > count or count == 1


@settings(max_examples=40)
@given(size=SIZES, overlap=st.integers(0, 2), blend=st.integers(1, 4))
def test_weights_sum_to_one_and_stay_in_context(size, overlap, blend):
    """Each tile paints a channel of its own: the result is the weights themselves."""
    plan = plan_tiles(*size, (2 * (overlap + blend) + 3,) * 2, overlap, blend)
    tiles = [(y, x) for y in plan.rows for x in plan.columns]
    got = []
    assembler = Assembler(plan, 2, lambda rows: got.append(rows[0].copy()))
    for index in range(len(tiles)):
        height, width = plan.tile_shape
        painted = np.zeros((2 * height, 2 * width, len(tiles)), np.float32)
        painted[..., index] = 1
        assembler.add(painted)
    weights = np.concatenate(got)
    assert weights.shape == (2 * size[0], 2 * size[1], len(tiles))
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    for index, (y, x) in enumerate(tiles):
        outside = weights[..., index].copy()
        outside[2 * y.first : 2 * y.last, 2 * x.first : 2 * x.last] = 0
        assert not outside.any()
    # A fade, not a step: along a row, neighbours differ by no more than one part.
    assert np.abs(np.diff(weights, axis=1)).max(initial=0) <= 1 / (2 * blend) + 1e-6


def test_rows_come_as_soon_as_they_are_finished():
    """Before the next row of tiles is begun; each portion whole and in order."""
    plan = plan_tiles(50, 30, (16, 16), 2, 3)
    lr = np.random.default_rng(0).random((50, 30, 3))
    tops, portions = [], []

    def emit(rows):
        portions.append(rows[0].copy())

    assembler = Assembler(plan, 1, emit)
    for y in plan.rows:
        for x in plan.columns:
            assembler.add(lr[y.start : y.stop, x.start : x.stop])
        tops.append(sum(len(part) for part in portions))
    expected = [y.last - 3 for y in plan.rows[:-1]] + [50]
    assert tops == expected
    np.testing.assert_array_equal(np.concatenate(portions), lr)


@pytest.mark.parametrize("height", [40, 4000])
def test_holds_one_row_of_tiles_whatever_the_height(height):
    width, scale, blend, overlap, tile = 50, 2, 4, 3, 20
    plan = plan_tiles(height, width, (tile, tile), overlap, blend)
    most = 0
    assembler = Assembler(plan, scale, lambda rows: None, layers=2)
    part = np.zeros((tile * scale, tile * scale, 3), np.float32)
    for _ in range(len(plan.rows) * len(plan.columns) * 2):
        assembler.add(part)
        most = max(most, assembler.nbytes)
    row = width * scale * 3 * 4 * scale  # bytes that make one LR row, of one layer
    assert most <= 2 * row * (tile - overlap + blend)
    assert assembler.nbytes == 0


def test_layers_do_not_mix():
    """Colour and alpha of one image go their own ways, blended alike."""
    plan = plan_tiles(30, 30, (16, 16), 2, 3)
    lr = np.random.default_rng(0).random((2, 30, 30, 3))
    got = []
    assembler = Assembler(plan, 1, lambda rows: got.append(rows.copy()), layers=2)
    for y in plan.rows:
        for x in plan.columns:
            for layer in lr:
                assembler.add(layer[y.start : y.stop, x.start : x.stop])
    np.testing.assert_array_equal(np.concatenate(got, axis=1), lr)


def test_small_images_and_tile_zero_are_never_cut():
    """One call with the whole image, also when only one side exceeds the tile."""
    calls = []

    def upscale(lr):
        calls.append(lr.shape)
        return lr

    for shape, tile in (((10, 10, 3), 10), ((5, 20, 3), 10), ((50, 50, 3), 0)):
        upscale_in_tiles(upscale, np.zeros(shape), 1, tile=tile, overlap=2)
    assert calls == [(10, 10, 3), (5, 20, 3), (50, 50, 3)]


@pytest.mark.parametrize("tile, overlap, blend", [(8, 4, 0), (9, 3, 2), (9, -1, 0)])
def test_refuses_a_tile_of_overlap_alone(tile, overlap, blend):
    with pytest.raises(ValueError, match=f"tile={tile}, overlap={overlap}"):
        spans(100, tile, overlap, blend)


def choose(**chosen):
    usual = {
        "tile": 0,
        "overlap": None,
        "blend": None,
        "batch_size": 0,
        "radius": 36,
        "advised": None,
        "on_gpu": False,
    }
    return choose_cutting(**{**usual, **chosen})


def test_edsr_is_exact():
    cutting = choose()
    assert (cutting.overlap, cutting.blend, cutting.exact) == (36, 0, True)
    assert cutting.tile == 256
    # Twice the work of the image itself, at most, on an endless image.
    assert (cutting.tile / (cutting.tile - 2 * cutting.overlap)) ** 2 < 2


def test_networks_that_see_far_are_approximated_and_blended():
    cutting = choose(radius=349, advised=24)
    assert cutting.overlap == 24
    assert cutting.blend > 0
    assert not cutting.exact
    for radius, advised in ((400, None), (68, 68), (None, None)):
        cutting = choose(radius=radius, advised=advised)
        assert cutting.overlap == OVERLAP_UNKNOWN and not cutting.exact
    # Where the radius can be afforded, tiles are exact whatever is advised.
    assert choose(radius=36, advised=24).exact


def test_requested_settings_are_used():
    cutting = choose(tile=200, overlap=10, blend=3, batch_size=5)
    assert (cutting.tile, cutting.overlap, cutting.blend) == (200, 10, 3)
    assert (cutting.batch_size, cutting.exact) == (5, False)


def test_a_small_tile_is_kept_and_its_overlap_made_to_fit():
    """A tile that is asked for is a wish about memory: work stays below 9 times."""
    for tile in (1, 2, 3, 16, 40, 64, 100):
        cutting = choose(tile=tile)
        assert cutting.tile == tile
        assert cutting.overlap <= tile // 3
        assert not cutting.exact
    assert choose(tile=128).exact


@pytest.mark.parametrize(
    "given",
    [
        {"tile": 72, "overlap": 36},
        {"tile": 80, "overlap": 36, "blend": 8},
        {"tile": 65, "overlap": 3, "multiple": 64},
        {"tile": -1},
        {"overlap": -1},
        {"batch_size": -1},
    ],
)
def test_impossible_settings_are_refused(given):
    with pytest.raises(UserError, match="Received"):
        choose(**given)


def test_batches_on_a_gpu_keep_to_their_pixels():
    assert choose().batch_size == 1
    assert choose(on_gpu=True, tile=128).batch_size == 8
    assert choose(on_gpu=True).batch_size == 2
    assert choose(on_gpu=True, tile=1000).batch_size == 1


@pytest.mark.parametrize("size", [(4000, 6000), (8, 30_000), (3000, 30_000)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_row_of_tiles_is_bounded_for_wide_images(size, layers, on_gpu):
    scale = 4
    cutting = choose(on_gpu=on_gpu)
    plan = cutting.plan(*size, scale, layers)
    height, width = plan.tile_shape
    fill = max(row.last - row.first for row in plan.rows)
    row_bytes = layers * scale * size[1] * scale * 3 * 4  # that one LR row becomes
    # The first and last row of tiles fill `overlap` more than the ones between, and
    # those no fewer than 16 pixels.
    assert fill * row_bytes <= max(BAND_BYTES, 16 * row_bytes) + 36 * row_bytes
    # A flatter tile is wider, not larger.
    assert height * width <= cutting.tile**2
    assert plan.work < 8


def test_all_images_share_a_shape_on_a_gpu_and_are_cut_evenly_on_a_cpu():
    gpu, cpu = choose(on_gpu=True), choose()
    assert gpu.plan(1000, 1400, 4).tile_shape == gpu.plan(300, 777, 4).tile_shape
    even = cpu.plan(300, 300, 4)
    assert even.work < 0.6 * gpu.plan(300, 300, 4).work
    assert len(even.rows) == len(gpu.plan(300, 300, 4).rows)
