"""Tiles: a cover without gaps, and equality with one pass where it is promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_tf.inference.tiles import spans, upscale_in_tiles


def _box_blur(image, radius):
    """A local operation that sees `radius` pixels and pads with zeros, as nets do."""
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (2 * radius + 1, 2 * radius + 1), axis=(0, 1)
    )
    return windows.sum(axis=(-1, -2))


def _upscaler(radius, scale):
    def upscale(lr):
        return _box_blur(lr, radius).repeat(scale, axis=0).repeat(scale, axis=1)

    return upscale


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    radius=st.integers(0, 3),
    slack=st.integers(0, 2),
    inner=st.integers(1, 12),
    scale=st.integers(1, 3),
)
def test_equals_one_pass(height, width, radius, slack, inner, scale):
    """Any size around the tile; negative values included (no clipping inside)."""
    overlap = radius + slack
    rng = np.random.default_rng(height * 41 + width)
    lr = rng.integers(-50, 50, (height, width, 2))
    upscale = _upscaler(radius, scale)
    tiled = upscale_in_tiles(
        upscale, lr, scale, tile=2 * overlap + inner, overlap=overlap
    )
    np.testing.assert_array_equal(tiled, upscale(lr))


def test_too_little_overlap_shows():
    """The test above can fail: a network that sees further leaves seams."""
    lr = np.random.default_rng(0).integers(0, 50, (30, 30, 1))
    upscale = _upscaler(3, 1)
    tiled = upscale_in_tiles(upscale, lr, 1, tile=12, overlap=2)
    assert np.any(tiled != upscale(lr))


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 300), overlap=st.integers(0, 20), inner=st.integers(1, 30))
def test_spans_cover_once_with_context(length, overlap, inner):
    tile = 2 * overlap + inner
    cut = spans(length, tile, overlap)
    filled = [i for span in cut for i in range(span.first, span.last)]
    assert filled == list(range(length))
    for span in cut:
        assert span.stop - span.start == min(tile, length)
        assert span.first - span.start >= overlap or span.start == 0
        assert span.stop - span.last >= overlap or span.stop == length


def test_small_images_and_tile_zero_are_never_cut():
    """One call with the whole image, also when only one side exceeds the tile."""
    calls = []

    def upscale(lr):
        calls.append(lr.shape)
        return lr

    for shape, tile in (((10, 10, 3), 10), ((5, 20, 3), 10), ((50, 50, 3), 0)):
        upscale_in_tiles(upscale, np.zeros(shape), 1, tile=tile, overlap=2)
    assert calls == [(10, 10, 3), (5, 20, 3), (50, 50, 3)]


def test_refuses_a_tile_of_overlap_alone():
    with pytest.raises(ValueError, match="tile=8, overlap=4"):
        spans(100, 8, 4)
