"""Comparing with Keras: crops of the photograph; differences value by value."""

import json
import math

import numpy as np
import pytest

from export.parity import (
    CASES,
    DEFAULT_PHOTO,
    DEGRADATION_CASES,
    LATENCY_CASE,
    Case,
    Difference,
    choose,
    compare,
    compare_levels,
    crops,
    read_photo,
    worst,
)
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, to_u8, write_png
from tests.oracles import psnr_oracle

TOLERANCE = 1e-4  # hence 0.0255 levels


def level(value):
    """Clipped to white and black, rounded half up."""
    return math.floor(min(max(value, 0.0), 1.0) * 255.0 + 0.5)


def is_tie(one, other, keras, tolerance):
    """Neighbouring levels, and Keras's value on the border between two."""
    position = min(max(keras, 0.0), 1.0) * 255.0
    to_border = min(abs(position - (k + 0.5)) for k in range(-1, 256))
    return abs(one - other) == 1 and to_border <= tolerance * 255.0


def expected(output, keras, tolerance):
    """Every number of `compare`, one value at a time in Python's doubles."""
    pairs = list(zip(output.ravel().tolist(), keras.ravel().tolist(), strict=True))
    levels = [(level(a), level(b), b) for a, b in pairs]
    differ = [(a, b, k) for a, b, k in levels if a != b]
    clipped = [(min(max(a, 0), 1), min(max(b, 0), 1)) for a, b in pairs]
    mse = math.fsum((a - b) ** 2 for a, b in clipped) / len(pairs)
    return {
        "values": len(pairs),
        "max_abs": max(abs(a - b) for a, b in pairs),
        "psnr_db": -10 * math.log10(mse) if mse else None,
        "level_diffs": len(differ),
        "ties": sum(is_tie(a, b, k, tolerance) for a, b, k in differ),
    }


def images(seed, noise, shape=(2, 9, 7, 3)):
    """Float32 pairs beyond black and white too, none within 1e-3 of a border."""
    rng = np.random.default_rng(seed)

    def away_from_borders(levels):
        near = np.abs(levels % 1.0 - 0.5) < 1e-3
        return (levels + 0.01 * near) / 255.0

    keras = rng.uniform(-40.0, 295.0, shape)
    output = keras + rng.normal(0.0, noise, shape)
    return [away_from_borders(x).astype(np.float32) for x in (output, keras)]


@pytest.mark.parametrize("noise", [1e-4, 0.02, 0.5, 30.0])
@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE, 0.3 / 255])
def test_equals_the_definitions(noise, tolerance):
    """From rounding noise to another picture, strict and lenient about ties."""
    output, keras = images(int(noise * 1e4), noise)
    found = compare(output, keras, tolerance)
    for name, value in expected(output, keras, tolerance).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6), name
    assert found.finite
    assert found.beyond_ties == found.level_diffs - found.ties


def test_the_oracle_has_ties_and_others_to_tell_apart():
    """Else the test above would hold for a comparison that knows no ties."""
    found = expected(*images(5000, 0.5), 0.3 / 255)
    assert 0 < found["ties"] < found["level_diffs"]


def test_a_tie_is_one_level_apart_with_keras_on_the_border():
    """The rows: Keras's value and the output, in levels; whether they differ; tie."""
    table = [
        (100.49, 100.51, True, True),  # 0.01 levels from the border
        (100.51, 100.49, True, True),
        (100.45, 100.55, True, False),  # 0.05 levels: more than the tolerance
        (100.49, 101.60, True, False),  # on the border, but two levels on
        (100.10, 100.40, False, False),  # the same level after all
        (254.49, 254.51, True, True),
        (255.49, 256.90, False, False),  # both white
        (255.51, 253.60, True, False),  # white is no border
        (-0.51, 0.51, True, False),  # nor is black
        (0.49, 0.51, True, True),
    ]
    for keras, output, differs, tie in table:
        a, b = (np.full([1, 1, 1], x / 255.0, np.float32) for x in (output, keras))
        for found in (compare(a, b, TOLERANCE), compare_levels(to_u8(a), b, TOLERANCE)):
            assert (found.level_diffs, found.ties) == (differs, tie), (keras, output)


def test_levels_alone():
    """Where outputs are 8-bit: PSNR of the levels, nothing known of the rest."""
    output, keras = images(3, 2.0, (5, 8, 3))
    found = compare_levels(to_u8(output), keras, TOLERANCE)
    assert found.max_abs is None and found.finite
    assert found.psnr_db == pytest.approx(psnr_oracle.psnr(to_u8(output), to_u8(keras)))
    apart = sum(
        level(float(a)) != level(float(b))
        for a, b in zip(output.flat, keras.flat, strict=True)
    )
    assert found.level_diffs == apart > 0


def test_equal_images_are_identical_and_not_infinitely_good():
    _, keras = images(0, 0.0)
    for found in (
        compare(keras, keras, 0.0),
        compare_levels(to_u8(keras), keras, 0.0),
    ):
        assert found.psnr_db is None and found.level_diffs == 0
        assert found.to_json()["psnr_db"] == "identical"
    # Black and blacker look the same, and still differ in value.
    found = compare(np.float32([[[-1.0]]]), np.float32([[[-0.5]]]), 0.0)
    assert (found.max_abs, found.psnr_db, found.level_diffs) == (0.5, None, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["output", "keras", "both"])
@pytest.mark.filterwarnings("error")
def test_non_finite_values_are_named_and_stay_json(value, side):
    """JSON has no NaN: a certificate with one could not be written."""
    output, keras = images(1, 0.01)
    if side != "keras":
        output[0, 0, 0, 0] = value
    if side != "output":
        keras[1, 2, 3, 0] = value
    found = compare(output, keras, TOLERANCE)
    assert not found.finite
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["finite"] is False and written["max_abs_diff"] is None
    assert not worst([compare(*images(2, 0.01), TOLERANCE), found]).finite
    levels = compare_levels(to_u8(np.nan_to_num(output)), keras, TOLERANCE)
    assert levels.finite == (side == "output")
    json.dumps(levels.to_json(), allow_nan=False)


def test_all_comparisons_together_are_one_of_all_values():
    pairs = [images(seed, 0.7, (seed, 5, 4, 3)) for seed in (1, 2, 3)]
    found = worst(compare(a, b, 2e-4) for a, b in pairs)
    together = compare(*(np.concatenate(x) for x in zip(*pairs, strict=True)), 2e-4)
    assert found.psnr_db == pytest.approx(together.psnr_db)
    for name in ("values", "max_abs", "level_diffs", "ties", "finite"):
        assert getattr(found, name) == getattr(together, name), name
    levels = compare_levels(to_u8(pairs[0][0]), pairs[0][1], 0.0)
    assert worst([levels, levels]).max_abs is None
    assert worst([levels, found]).max_abs == found.max_abs
    assert worst([]) == Difference(0, None, 0, 0, 0, True)


@pytest.mark.parametrize("shape", [(1, 4, 4, 3), (4, 4, 3), (1, 4, 1, 3)])
def test_other_shapes_are_refused_and_not_broadcast(shape):
    keras = np.zeros([1, 4, 5, 3], np.float32)
    for call, kind in ((compare, np.float32), (compare_levels, np.uint8)):
        with pytest.raises(ValueError, match=r"\(1, 4, 5, 3\)\. Received: \("):
            call(np.zeros(shape, kind), keras, 0.0)


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


def test_one_request_of_mixed_sizes_holds_the_small_ones():
    cases = [Case(3, 17, 23), Case(1, 65, 2), Case(2, 64, 64), Case(1, 2, 65)]
    assert [case.is_small for case in cases] == [True, False, True, False]


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
