"""Sources: what is usable, what is left out and why, in memory or not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.errors import UserError
from pdm_tf.data.sources import open_source
from tests.support import png
from tests.unit.data.folders import SIZES, add_bad_files, fill, noise

PATCH = 16


@pytest.mark.parametrize("cache_mb", [64, 0], ids=["cached", "uncached"])
def test_bad_files_are_named_and_the_rest_is_used(tmp_path, cache_mb):
    pictures = fill(tmp_path)
    bad = add_bad_files(tmp_path)
    source = open_source(tmp_path, patch=PATCH, cache_mb=cache_mb)
    assert source.cached == (cache_mb > 0)
    assert source.names == tuple(f"{i:04d}.png" for i in range(len(SIZES)))
    assert source.sizes.tolist() == [list(size) for size in SIZES]
    for index, picture in enumerate(pictures):
        np.testing.assert_array_equal(source.image(index), picture)
    reasons = {Path(path).name: reason for path, reason in source.skipped}
    assert reasons.keys() == bad.keys()
    for name, words in bad.items():
        assert words in reasons[name]
    assert "15x40 px, patch 16" in reasons["bad-small.png"]  # width x height
    summary = source.summary()
    assert "5 images" in summary and "7 skipped" in summary and "bad-cut" in summary


def test_every_kind_of_usable_file(tmp_path):
    """16 bit, EXIF turned, grey and a sub-folder, in memory as from the disk."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(20, 40, 0)).save(tmp_path / "turned.png", exif=exif)
    deep = np.random.default_rng(1).integers(0, 65536, (20, 24, 3)).astype(np.uint16)
    (tmp_path / "deep.png").write_bytes(png.png_bytes(deep, png.RGB))
    (tmp_path / "sub").mkdir()
    Image.fromarray(noise(18, 18, 2)[..., 0]).save(tmp_path / "sub" / "grey.bmp")
    Image.fromarray(noise(18, 19, 3)).save(tmp_path / "w.webp", lossless=True)
    cached = open_source(tmp_path, patch=16, cache_mb=1)
    on_demand = open_source(tmp_path, patch=16, cache_mb=0)
    assert cached.names == ("deep.png", "sub/grey.bmp", "turned.png", "w.webp")
    assert cached.sizes.tolist() == [[20, 24], [18, 18], [40, 20], [18, 19]]
    for index in range(4):
        np.testing.assert_array_equal(cached.image(index), on_demand.image(index))
    np.testing.assert_array_equal(cached.image(2), np.rot90(noise(20, 40, 0), -1))
    np.testing.assert_array_equal(
        cached.image(0), np.floor(deep * 255.0 / 65535 + 0.5).astype(np.uint8)
    )


def test_budget_is_kept(tmp_path):
    fill(tmp_path)
    need = sum(height * width * 3 for height, width in SIZES) / 2**20
    assert open_source(tmp_path, patch=16, cache_mb=need).cached
    assert open_source(tmp_path, patch=16, cache_mb=need).memory_mb == need
    assert not open_source(tmp_path, patch=16, cache_mb=need * 0.999).cached


def test_too_few_is_an_error_that_says_what_to_do(tmp_path):
    fill(tmp_path)
    add_bad_files(tmp_path)
    with pytest.raises(UserError) as caught:
        open_source(tmp_path, patch=24, cache_mb=1, minimum=3, label="--hr_dir")
    text = str(caught.value)
    assert text.startswith("--hr_dir must hold at least 3 images of 24x24 px or more.")
    assert "Received: 12 image files" in text and "1 can be used" in text
    assert "smaller than the patch (5): " in text and "and 2 more" in text
    assert "33x20 px, patch 24" in text
    assert "truncated or damaged (1): bad-cut.png" in text
    assert "an animation of 2 frames; only still pictures are read (1): bad-an" in text
    assert "--lr_patch" in text
    with pytest.raises(UserError, match="0 can be used"):
        open_source(tmp_path, patch=1000, cache_mb=1)


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        open_source(tmp_path / "none", patch=1, cache_mb=1)
    (tmp_path / "a.doc").write_bytes(b"x")
    with pytest.raises(UserError, match="holds none"):
        open_source(tmp_path, patch=1, cache_mb=1)
    (tmp_path / "a.psd").write_bytes(b"x")
    with pytest.raises(UserError, match=r"Photoshop file.*\(1\): a\.psd"):
        open_source(tmp_path, patch=1, cache_mb=1)


def test_progress_counts_every_image(tmp_path):
    fill(tmp_path)
    seen = []
    open_source(
        tmp_path, patch=1, cache_mb=1, on_progress=lambda *both: seen.append(both)
    )
    assert seen == [(done, 5) for done in range(1, 6)]


def test_selection_shares_the_pixels(tmp_path):
    pictures = fill(tmp_path)
    source = open_source(tmp_path, patch=1, cache_mb=1)
    part = source.select([3, 1])
    assert part.names == ("0003.png", "0001.png") and part.pixels is source.pixels
    np.testing.assert_array_equal(part.image(0), pictures[3])
    np.testing.assert_array_equal(part.image(1), pictures[1])
