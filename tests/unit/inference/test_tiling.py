"""What is chosen where nobody chose: exact where that is affordable, bounded memory."""

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.inference.tiling import BAND_BYTES, OVERLAP_UNKNOWN, choose_cutting


def choose(**given):
    settings = {
        "tile": 0,
        "overlap": None,
        "blend": None,
        "batch_size": 0,
        "radius": 36,
        "advised": None,
        "on_gpu": False,
    }
    return choose_cutting(**{**settings, **given})


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


def test_what_is_asked_for_is_taken():
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
        {"tile": -1},
        {"overlap": -1},
        {"batch_size": -1},
    ],
)
def test_what_cannot_be_is_refused(given):
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
