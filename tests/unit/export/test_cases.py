"""Crops to compare on: which, and that they are parts of the photograph."""

import numpy as np
import pytest

from export.cases import (
    CASES,
    DEFAULT_PHOTO,
    DEGRADATION_CASES,
    LATENCY_CASE,
    Case,
    choose,
    crops,
    mixed,
    read_photo,
)
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, write_png


def places(height, width):
    """[H, W, 3] uint8 whose pixels tell where they are: row, column, row + column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, (rows + columns) % 256], -1).astype(np.uint8)


def test_sizes_that_a_network_can_stumble_over_are_there():
    """One pixel, one row, odd, wide, tall, large; one image and several."""
    sizes = {(case.height, case.width) for case in CASES}
    assert {(1, 1), (300, 512), (512, 300)} <= sizes
    assert any(h == 1 < w for h, w in sizes)
    assert any(h % 2 and w % 2 and min(h, w) > 1 for h, w in sizes)
    assert {case.batch for case in CASES} == {1, 2, 3, 4}
    labels = [case.label for case in CASES]
    assert len(set(labels)) == len(labels) and Case(4, 48, 64).label == "4x48x64"
    assert LATENCY_CASE in CASES
    assert any(case.batch > 1 for case in DEGRADATION_CASES)


@pytest.mark.parametrize(
    ("parameters", "least", "most"),
    [
        pytest.param(2_000, 8, 8, id="tiny: all"),
        pytest.param(1_518_000, 8, 8, id="EDSR-baseline: all"),
        pytest.param(43_000_000, 3, 6, id="EDSR: the small ones"),
        pytest.param(10**13, 1, 1, id="absurd: one pixel"),
    ],
)
def test_large_networks_leave_large_sizes_out(parameters, least, most):
    run, left_out = choose(parameters, "standard")
    assert least <= len(run) <= most
    assert sorted([*run, *left_out], key=CASES.index) == list(CASES)
    if left_out:
        assert max(c.pixels for c in run) < min(c.pixels for c in left_out)


def test_the_full_comparison_leaves_nothing_out():
    assert choose(10**13, "full") == (list(CASES), [])


@pytest.mark.parametrize("case", [*CASES, *DEGRADATION_CASES], ids=lambda c: c.label)
def test_crops_are_different_parts_of_the_photograph(case):
    large = max(case.height, case.width) > 250
    photo_u8 = places(600, 640) if large else places(250, 251)
    parts = crops(photo_u8, case)
    assert parts.shape == (case.batch, case.height, case.width, 3)
    assert parts.dtype == np.uint8
    found = []
    for part in parts:
        # Places beyond 255 come round again: any of them may be meant.
        top, left = map(int, part[0, 0, :2])
        corners = [
            (y, x)
            for y in range(top, photo_u8.shape[0] - case.height + 1, 256)
            for x in range(left, photo_u8.shape[1] - case.width + 1, 256)
        ]
        equal = [
            (y, x)
            for y, x in corners
            if np.array_equal(photo_u8[y : y + case.height, x : x + case.width], part)
        ]
        assert equal, "no part of the photograph"
        found.append(equal[0])
    assert len(set(found)) == case.batch


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (20, 7)])
def test_a_small_photograph_is_mirrored(size):
    """Row i of the mirrored one is i, or 2n - 1 - i, of every second repetition."""
    photo_u8 = places(*size)
    (part,) = crops(photo_u8, Case(1, 40, 33))
    rows, columns = (
        [i % (2 * n) if i % (2 * n) < n else 2 * n - 1 - i % (2 * n) for i in range(m)]
        for n, m in zip(size, (40, 33), strict=True)
    )
    np.testing.assert_array_equal(part, photo_u8[np.ix_(rows, columns)])


def test_one_request_of_mixed_sizes_holds_first_crops():
    """The SavedModel's answers are compared with Keras's first ones of each size."""
    photo_u8 = places(250, 250)
    cases = [Case(3, 17, 23), Case(1, 65, 2), Case(2, 64, 64), Case(1, 2, 65)]
    first, second = mixed(photo_u8, cases)
    np.testing.assert_array_equal(first, crops(photo_u8, cases[0])[0])
    np.testing.assert_array_equal(second, crops(photo_u8, cases[2])[0])


def test_photographs_that_can_be_read(tmp_path):
    write_png(tmp_path / "a.png", places(4, 6))
    np.testing.assert_array_equal(read_photo(str(tmp_path / "a.png")), places(4, 6))
    default = read_photo("")
    np.testing.assert_array_equal(default, read_rgb_u8(DEFAULT_PHOTO))
    assert min(default.shape[:2]) >= 300 and max(default.shape[:2]) >= 512


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"words", "is not a PNG, JPEG"), (b"", "is an empty file"), (None, "not exist")],
)
def test_photographs_that_cannot(tmp_path, content, reason):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_photo(str(path))
    message = str(refused.value)
    assert message.startswith("--photo must name a photograph")
    assert f"Received: {path}: " in message and reason in message
    assert message.endswith("Leave it out for one of pdm_tf/samples.")
