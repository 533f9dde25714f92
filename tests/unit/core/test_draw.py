"""Drawing: tiles land where they should, kernels look as they are, text is ink."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_tf.core import draw


def _tile(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_tile_grid_places_tiles():
    """Columns by the widest, rows by the highest, tiles at the top and centred."""
    grid = draw.tile_grid(
        [[_tile(4, 6, 10), _tile(2, 3, 20)], [_tile(3, 2, 30)]],
        gap=2,
        margin=1,
        ground=(255, 255, 255),
    )
    expected = np.full((1 + 4 + 2 + 3 + 1, 1 + 6 + 2 + 3 + 1, 3), 255, np.uint8)
    expected[1:5, 1:7] = 10
    expected[1:3, 9:12] = 20
    expected[7:10, 3:5] = 30
    np.testing.assert_array_equal(grid, expected)


def test_tile_grid_refuses():
    with pytest.raises(ValueError, match="at least one tile"):
        draw.tile_grid([[]])
    with pytest.raises(ValueError, match="float64"):
        draw.tile_grid([[np.zeros((2, 2, 3))]])


def test_labels_keep_the_picture_and_add_ink():
    """The image is untouched on top; the lines below hold dark pixels in the middle."""
    image = _tile(30, 200, 7)
    labelled = draw.with_label(image, ["SR", "26.41 dB"])
    np.testing.assert_array_equal(labelled[:30], image)
    block = labelled[30:]
    assert block.min() < 100 and block.max() == 255
    columns = np.flatnonzero((block < 128).any(axis=(0, 2)))
    assert abs(columns.mean() - 100) < 10
    titled = draw.with_title(image, "A title")
    np.testing.assert_array_equal(titled[-30:], image)
    assert titled.shape[1] == 200


@settings(max_examples=30, deadline=None)
@given(text=st.text("abc 0123.", max_size=60), width=st.integers(8, 200))
def test_text_never_changes_the_width(text, width):
    """Long text shrinks or is cut; it must not raise or widen the picture."""
    block = draw.text_block([text, text], width, size=14)
    assert block.shape == (2 * draw.line_height(14), width, 3)


def test_long_text_is_set_smaller_until_it_fits():
    """White at both edges: nothing cut off."""
    text = "psnr_shift 26.90 dB at [+1,-2]"
    width = draw.text_width(text, 14) * 3 // 4
    block = draw.text_block([text], width, size=14)
    assert block[:, -1].min() == 255 and block[:, 0].min() == 255


def test_enlarge_outline_shrink():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(draw.enlarge(image, 3)[::3, ::3], image)
    np.testing.assert_array_equal(draw.enlarge(image, 3)[2::3, 2::3], image)
    framed = draw.outlined(_tile(20, 20, 0), (4, 5, 8, 9), thickness=1)
    ys, xs = np.nonzero(framed.any(axis=-1))
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (4, 11, 5, 13)
    assert not framed[6, 7].any()
    small = draw.shrink_to_width(_tile(40, 100, 9), 50)
    assert small.shape == (20, 50, 3) and np.all(small == 9)
    same = _tile(4, 50, 1)
    assert draw.shrink_to_width(same, 50) is same


def test_colour_map_is_dark_to_light():
    """Brightness never falls, the ends are black and light yellow, NaN is 0."""
    colours = draw.colour_map(np.linspace(0, 1, 256)).astype(int)
    luma = colours @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(luma) > -1.0) and luma[0] < 2 and luma[-1] > 240
    np.testing.assert_array_equal(
        draw.colour_map(np.array([np.nan, -1.0, 2.0])),
        draw.colour_map(np.array([0.0, 0.0, 1.0])),
    )


def test_kernel_tile_shows_the_taps():
    """Own maximum is the brightest; a quarter of it has half the place on the map."""
    kernel = np.zeros((5, 5))
    kernel[1, 3], kernel[4, 0] = 0.8, 0.2
    tile = draw.kernel_tile(kernel, side=50)
    assert tile.shape == (50, 50, 3)
    taps = tile[5::10, 5::10]
    np.testing.assert_array_equal(taps[1, 3], draw.colour_map(np.array(1.0)))
    np.testing.assert_array_equal(taps[4, 0], draw.colour_map(np.array(0.5)))
    np.testing.assert_array_equal(taps[0, 0], draw.colour_map(np.array(0.0)))
    np.testing.assert_array_equal(draw.kernel_tile(kernel * 7, side=50), tile)


def test_cross_hair_runs_through_the_middle_tap():
    plain = draw.kernel_tile(np.zeros((5, 5)), side=50)
    crossed = draw.kernel_tile(np.zeros((5, 5)), side=50, cross_hair=True)
    rows = np.flatnonzero((crossed != plain).all(axis=(1, 2)))
    columns = np.flatnonzero((crossed != plain).all(axis=(0, 2)))
    assert all(20 <= i < 30 for i in (*rows, *columns)) and len(rows) == len(columns)
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 8, 1), (8, 8, 1), (9, 4, 3)]
)
def test_gallery_layout(count, columns, rows):
    picture = draw.kernel_gallery(np.ones((count, 7, 7)), columns, side=7)
    assert picture.shape[0] == rows * 7 + (rows - 1) * 2 + 4
    assert picture.shape[1] == min(count, columns) * 9 + 2
    titled = draw.kernel_gallery(np.ones((count, 7, 7)), columns, "Learned", side=7)
    assert titled.shape[0] > picture.shape[0]


def test_gallery_survives_odd_kernels_and_refuses_others():
    """A preview must not end a run because a kernel is all zero or not finite."""
    kernels = np.stack([np.zeros((3, 3)), np.full((3, 3), np.nan), -np.ones((3, 3))])
    assert draw.kernel_gallery(kernels).dtype == np.uint8
    for bad in (np.ones((3, 3)), np.ones((0, 3, 3)), np.ones((2, 3, 4))):
        with pytest.raises(ValueError, match="must be"):
            draw.kernel_gallery(bad)
