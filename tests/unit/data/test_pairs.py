"""Pairs by name: what matches, what does not and why; and streams of pairs."""

import dataclasses
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.pair_names import PairRules
from pdm_tf.data.pairs import grid_of, load_pairs
from pdm_tf.data.pipeline import Batching, make_pair_batches, open_pairs
from pdm_tf.data.shards import make_shards
from tests.unit.data.folders import fill, noise, write_scenes

SCALE = 3


def _pair(folder, name, lr_name=None, size=(10, 12), hr_size=None):
    """An LR picture and the HR one that repeats each of its pixels SCALE times."""
    lr_u8 = noise(*size, seed=len(list(folder.rglob("*.png"))))
    hr_u8 = lr_u8.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    if hr_size:
        hr_u8 = noise(*hr_size, seed=0)
    write_png(folder / "hr" / name, hr_u8)
    write_png(folder / "lr" / (lr_name or name), lr_u8)


def _load(folder, **arguments):
    return load_pairs(folder / "hr", folder / "lr", SCALE, **arguments)


def test_names_and_their_endings(tmp_path):
    _pair(tmp_path, "plain.png")
    _pair(tmp_path, "mild.png", "mildx3m.png")
    _pair(tmp_path, "deep/er.png", "deep/er_x3.png")
    _pair(tmp_path, "hard.png", "hardX3d.png")
    _pair(tmp_path, "ax3.png")  # an HR name that looks like an ending
    pairs = _load(tmp_path)
    names = [pair.name for pair in pairs.pairs]
    assert names == ["ax3", "deep/er", "hard", "mild", "plain"]
    assert pairs.problems == () and pairs.scale == SCALE
    for pair in pairs.pairs:
        hr_u8, lr_u8 = pair.load()
        np.testing.assert_array_equal(hr_u8[::SCALE, ::SCALE], lr_u8)
    assert [pair.name for pair in _load(tmp_path, max_images=2).pairs] == names[:2]


def test_several_lr_images_of_one_hr_image(tmp_path):
    """As in DIV2K wild: 0001x4w1.png ... 0001x4w4.png."""
    _pair(tmp_path, "a.png", "ax3w1.png")
    write_png(tmp_path / "lr" / "ax3w2.png", noise(10, 12, 9))
    pairs = _load(tmp_path).pairs
    assert [pair.name for pair in pairs] == ["ax3w1", "ax3w2"]
    assert {pair.hr.name for pair in pairs} == {"a.png"}


@pytest.mark.parametrize("cache_mb", [1, 0])
def test_pairs_in_shards_are_the_pairs_in_folders(tmp_path, cache_mb):
    """Two draws of one HR image, which is stored once; and a stream of them."""
    _pair(tmp_path, "a.png", "a_d0.png")
    write_png(tmp_path / "lr" / "a_d1.png", noise(10, 12, 9))
    _pair(tmp_path, "deep/b.png", "deep/b.png", size=(14, 11))
    write_png(tmp_path / "lr" / "stray.png", noise(3, 3, 1))
    (tmp_path / "degrade.json").write_text('{"grid": "half_pixel"}')
    for side in ("hr", "lr"):
        make_shards(tmp_path / side, tmp_path / "shards" / side)
    found = _load(tmp_path / "shards")
    assert [pair.name for pair in found.pairs] == ["a_d0", "a_d1", "deep/b"]
    assert found.problems == (("stray.png", "has no HR image of its name"),)
    streams = []
    for pair_set in (found, _load(tmp_path)):
        pairs = open_pairs(pair_set, lr_patch=6, cache_mb=cache_mb)
        assert not pairs.skipped and pairs.lr.count == 3
        streams.append(next(iter(make_pair_batches(pairs, 6, Batching(8, 1)))))
    for side in ("hr", "lr"):
        np.testing.assert_array_equal(streams[0][side], streams[1][side])


def test_other_photographs_of_a_series_are_no_pairs(tmp_path):
    """_dN is a draw only beside a record of pdm_tf.degrade, xN only at scale N."""
    for name in ("room", "plate", "house", "a"):
        _pair(tmp_path, f"{name}.png")
    for name in ("room_d2", "plate_x10", "house20", "housex2"):
        write_png(tmp_path / "lr" / f"{name}.png", noise(10, 12, 9))
    found = _load(tmp_path)
    assert [(p.hr.name, p.lr.name) for p in found.pairs] == [
        (f"{name}.png",) * 2 for name in ("a", "house", "plate", "room")
    ]
    strays = {Path(path).stem for path, _ in found.problems}
    assert strays == {"room_d2", "plate_x10", "house20", "housex2"}
    (tmp_path / "degrade.json").write_text("{}")
    names = [pair.name for pair in _load(tmp_path).pairs]
    assert names == ["a", "house", "plate", "room", "room_d2"]


def test_a_second_lr_image_of_one_name_is_named(tmp_path):
    _pair(tmp_path, "t.png")
    write_png(tmp_path / "lr" / "t.bmp", noise(10, 12, 3))
    found = _load(tmp_path)
    assert len(found.pairs) == 1
    assert [reason for _, reason in found.problems] == ["has the same name as t.bmp"]


def _scenes(folder, **different):
    write_scenes(folder, **different)
    return _load(folder)


def test_pictures_of_other_scenes_are_no_pairs(tmp_path):
    right = _scenes(tmp_path / "right")
    assert not open_pairs(right, lr_patch=6, cache_mb=64).displaced
    write_png(tmp_path / "right/lr/0.png", read_rgb_u8(tmp_path / "right/lr/1.png"))
    for cache_mb in (64, 0):
        source = open_pairs(right, lr_patch=6, cache_mb=cache_mb)
        assert source.lr.count == source.hr.count == 2
        ((path, reason),) = source.skipped
        assert Path(path).name == "0.png" and "show the scene of 0.png" in reason
    with pytest.raises(ImageError, match=r"does not show the scene of 0\.png"):
        right.pairs[0].load()
    told = _load(tmp_path / "right", rules=PairRules(accept_folders=True))
    assert open_pairs(told, lr_patch=6, cache_mb=64).lr.count == 3
    assert len(told.pairs[0].load()) == 2
    with pytest.raises(UserError, match=r"two usable images of one scene(?s:.)*0\.png"):
        open_pairs(_scenes(tmp_path / "wrong", turn=1), lr_patch=6, cache_mb=64)


def test_displaced_pairs_are_told(tmp_path):
    found = open_pairs(_scenes(tmp_path, shift=(3, 2)), lr_patch=6, cache_mb=64)
    assert found.lr.count == 3
    numbers = [float(x) for x in re.findall(r"[+-]\d\.\d", found.displaced)]
    np.testing.assert_allclose(numbers, [3, 2], atol=0.4)


def test_mismatches_are_named(tmp_path):
    _pair(tmp_path, "good.png")
    _pair(tmp_path, "sized.png", hr_size=(30, 39))
    _pair(tmp_path, "swapped.png", hr_size=(36, 30))
    write_png(tmp_path / "hr" / "lonely.png", noise(9, 9, 1))
    write_png(tmp_path / "lr" / "stray.png", noise(3, 3, 1))
    write_png(tmp_path / "hr" / "broken.png", noise(9, 9, 1))
    (tmp_path / "lr" / "broken.png").write_text("text")
    write_png(tmp_path / "hr" / "good.bmp", noise(30, 36, 1))  # the name of good.png
    pairs = _load(tmp_path)
    problems = {
        f"{Path(path).parent.name}/{Path(path).name}": reason
        for path, reason in pairs.problems
    }
    assert len(pairs.pairs) == 1
    assert problems.keys() == {
        "hr/sized.png",
        "hr/swapped.png",
        "hr/lonely.png",
        "lr/stray.png",
        "lr/broken.png",
        "hr/good.png",
    }
    assert (
        "not 3 times the size of sized.png (39x30 and 12x10 px)"
        in (problems["hr/sized.png"])
    )
    assert problems["hr/lonely.png"] == "has no LR image of its name"
    assert problems["lr/stray.png"] == "has no HR image of its name"
    assert "not a PNG" in problems["lr/broken.png"]
    assert "same name as good.bmp" in problems["hr/good.png"]


def test_no_pair_is_an_error_that_says_why(tmp_path):
    _pair(tmp_path, "a.png", hr_size=(33, 36))
    write_png(tmp_path / "lr" / "b.png", noise(3, 3, 1))
    with pytest.raises(UserError) as caught:
        _load(tmp_path)
    text = str(caught.value)
    assert "3 times the size" in text and "a.png" in text and "36x33" in text
    assert "b.png: has no HR image of its name" in text


@pytest.mark.parametrize(
    ("hr_size", "lr_size", "common"),
    [
        ((31, 38), (10, 12), (10, 12)),  # LR of the whole pixels
        ((31, 38), (11, 13), (10, 12)),  # LR with the rest, as ceil() of MATLAB gives
        ((30, 38), (10, 13), (10, 12)),
        ((30, 36), (10, 12), (10, 12)),
    ],
)
def test_sides_that_do_not_divide_are_cut_at_the_bottom_and_right(
    hr_size, lr_size, common, tmp_path
):
    """Both images keep their first pixel, whichever of them has the rest."""
    y, x = np.mgrid[: hr_size[0], : hr_size[1]]
    hr_u8 = np.stack([y, x, 0 * y], axis=-1).astype(np.uint8)
    y, x = np.mgrid[: lr_size[0], : lr_size[1]]
    lr_u8 = np.stack([3 * y, 3 * x, 0 * y], axis=-1).astype(np.uint8)
    write_png(tmp_path / "hr" / "a.png", hr_u8)
    write_png(tmp_path / "lr" / "a.png", lr_u8)
    pairs = _load(tmp_path)
    assert not pairs.problems
    hr, lr = pairs.pairs[0].load()
    assert lr.shape == (*common, 3) and hr.shape == (3 * common[0], 3 * common[1], 3)
    np.testing.assert_array_equal(lr, hr[::3, ::3])
    # Patches as high as both show; one more and there is no such place.
    patches = _stream(pairs, lr_patch=common[0])
    for index in range(8):
        turned = patches["hr"][0, index] * 255
        assert {0.0, 3.0 * common[0] - 1} <= set(np.round(turned[..., 0].ravel()))


def _stream(pairs, cache_mb=64, count=4, lr_patch=5, **how):
    source = open_pairs(pairs, lr_patch=lr_patch, cache_mb=cache_mb)
    dataset = make_pair_batches(source, lr_patch, Batching(8, 1, **how))
    batches = [
        tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
        for batch in dataset.take(count)
    ]
    return {side: np.stack([batch[side] for batch in batches]) for side in ("hr", "lr")}


@pytest.fixture
def five(tmp_path):
    for index, size in enumerate([(9, 14), (12, 6), (5, 5), (8, 30), (21, 7)]):
        _pair(tmp_path, f"{index}.png", f"{index}x3.png", size)
    return _load(tmp_path)


def test_both_sides_show_the_same_place_the_same_way_up(five):
    """Each HR pixel block repeats its LR pixel, so a shift or a turn would show."""
    batches = _stream(five)
    assert batches["lr"].shape == (4, 8, 5, 5, 3)
    assert batches["hr"].shape == (4, 8, 15, 15, 3)
    repeated = batches["lr"].repeat(SCALE, axis=2).repeat(SCALE, axis=3)
    np.testing.assert_array_equal(batches["hr"], repeated)
    assert np.unique(batches["lr"][..., 0, 0, :].reshape(-1, 3), axis=0).shape[0] > 20


def test_pair_streams_resume_split_and_decode_alike(five):
    whole = _stream(five, threads=1)
    variants = [_stream(five, threads=4), _stream(five, cache_mb=0)]
    # LR alone fits: it comes from memory and HR from the disk.
    variants.append(_stream(five, cache_mb=0.005))
    for variant in variants:
        for side in ("hr", "lr"):
            np.testing.assert_array_equal(variant[side], whole[side])
    later = _stream(five, start_step=2, count=2)
    halves = [_stream(five, worker=k, workers=2) for k in (0, 1)]
    for side in ("hr", "lr"):
        np.testing.assert_array_equal(later[side], whole[side][2:])
        joined = np.concatenate([half[side] for half in halves], axis=1)
        np.testing.assert_array_equal(joined, whole[side])


def test_a_pair_with_an_unusable_side_is_left_out(five, tmp_path):
    data = (tmp_path / "hr" / "3.png").read_bytes()
    (tmp_path / "hr" / "3.png").write_bytes(data[: len(data) // 2])
    source = open_pairs(five, lr_patch=6, cache_mb=64)
    # 2.png is smaller than 6 px in LR, 3.png is cut off in HR.
    assert source.hr.count == source.lr.count == 3
    assert source.hr.sizes.tolist() == (SCALE * source.lr.sizes).tolist()
    skipped = {Path(path).name for path, _ in source.skipped}
    assert skipped == {"2.png", "2x3.png", "3.png"}
    with pytest.raises(UserError, match="LR images of the pairs must hold"):
        open_pairs(five, lr_patch=22, cache_mb=64)


def _ramps(folder, lr_sizes, scale, offset_px):
    """Pairs that show y in red and x in green, 4 levels an HR pixel.

    LR pixel i shows the place scale * i + offset_px, which is what a grid means.
    """
    for index, size in enumerate(lr_sizes):
        for side, step, first in (("hr", 1, 0.0), ("lr", scale, offset_px)):
            count = (size[0] * scale // step, size[1] * scale // step)
            y, x = (4 * (step * axis + first) for axis in np.indices(count))
            picture = np.stack([y, x, 0 * y + index], axis=-1)
            write_png(folder / side / f"{index}.png", picture.astype(np.uint8))


@pytest.mark.parametrize("cache_mb", [64, 0], ids=["cached", "uncached"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
def test_pairs_are_aligned_under_all_eight_symmetries(tmp_path, grid, scale, cache_mb):
    """Ramps say, to a fraction of a pixel, which place of the scene a pixel shows.

    The places in an HR patch are a linear function of (row, column), which its corner
    and two of its differences give; an LR pixel has to show that function's value at
    its own place on the grid, whichever way both patches were turned.
    """
    side, sizes = 5, [(9, 7), (12, 6), (5, 8), (5, 5)]
    offset_px = {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}[grid]
    _ramps(tmp_path, sizes, scale, offset_px)
    pairs = load_pairs(tmp_path / "hr", tmp_path / "lr", scale)
    pairs = dataclasses.replace(pairs, grid=grid)
    batches = _stream(pairs, cache_mb=cache_mb, count=40, lr_patch=side)
    hr, lr = (
        np.round(255 * patches.reshape(-1, *patches.shape[2:])).astype(np.float64)
        for patches in (batches["hr"], batches["lr"])
    )
    at = (scale * np.arange(side) + offset_px)[:, None]
    last = scale * side - 1
    turns, places = defaultdict(set), defaultdict(set)
    for hr_patch, lr_patch in zip(hr, lr, strict=True):
        corner = hr_patch[0, 0]
        down, right = (
            (hr_patch[last, 0] - corner) / last,
            (hr_patch[0, last] - corner) / last,
        )
        wanted = corner + at[:, None] * down + at * right
        np.testing.assert_allclose(lr_patch, wanted, rtol=0, atol=1e-9)
        image = int(corner[2])
        turns[image].add((*np.sign(down[:2]), *np.sign(right[:2])))
        lowest = lr_patch.reshape(-1, 3).min(axis=0)[:2] / 4
        places[image].add(tuple(np.round((lowest - offset_px) / scale).astype(int)))
    assert len(turns[0]) == len(turns[1]) == 8
    # From the first row and column to the last; what has no room is not reversed.
    for image, size in enumerate(sizes):
        for drawn, length in zip(zip(*places[image], strict=True), size, strict=True):
            assert set(drawn) == set(range(length - side + 1))
    shifted = grid == "pixel0" and scale > 1
    assert [len(turns[i]) for i in (2, 3)] == ([4, 2] if shifted else [8, 8])


@pytest.mark.parametrize(
    ("record", "grid"),
    [
        ({"degradation": "bicubic", "degradation_arg": ""}, "half_pixel"),
        ({"degradation": "awgn_blur", "degradation_arg": "a=1,grid=pixel0"}, "pixel0"),
        ({"degradation": "pdm-0123", "grid": "half_pixel"}, "half_pixel"),
        ({"degradation": "another"}, None),
        ({"task": "bicubic_lr", "scale": 4}, "half_pixel"),
        (None, None),
    ],
)
def test_the_grid_of_pairs_is_read_from_their_folder(tmp_path, record, grid):
    """In folders, below them, through a link, and in shards of them without it."""
    fill(tmp_path / "out" / "lr" / "deep")
    if record is not None:
        name = "prepare.json" if "task" in record else "degrade.json"
        (tmp_path / "out" / name).write_text(json.dumps(record))
    (tmp_path / "link").symlink_to(tmp_path / "out" / "lr")
    make_shards(tmp_path / "out" / "lr", tmp_path / "shards")
    shard = tmp_path / "shards" / "images-00000.tfrecord"
    make_shards(tmp_path / "out" / "lr" / "deep", tmp_path / "of_deep")
    for place in ("out/lr", "out/lr/deep", "link", "shards", shard, "of_deep"):
        assert grid_of(tmp_path / place) == grid, place
    fill(tmp_path / "out" / "others")
    assert grid_of(tmp_path / "out" / "others") is None


def test_an_unknown_grid_on_record_is_refused(tmp_path):
    (tmp_path / "degrade.json").write_text('{"grid": "pixel7"}')
    with pytest.raises(UserError, match="one of pixel0, half_pixel. Received: pixel7"):
        grid_of(tmp_path / "lr")


def test_a_template_of_names_decides_alone(tmp_path):
    _pair(tmp_path, "0001_sharp.png", "cam/0001-f8.png")
    _pair(tmp_path, "0002_sharp.png", "0002_sharp.png")
    rules = PairRules("{stem}_sharp", "cam/{stem}-f8")
    found = _load(tmp_path, rules=rules)
    assert [(p.name, p.lr.name) for p in found.pairs] == [
        ("0001_sharp", "cam/0001-f8.png")
    ]
    assert len(found.problems) == 2  # 0002, on both sides
    assert [pair.name for pair in _load(tmp_path).pairs] == ["0002_sharp"]
    with pytest.raises(UserError, match=r"--lr_name must have \{stem\} once"):
        PairRules(lr_name="x4")
