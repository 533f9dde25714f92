"""The sample photographs are the listed ones, and no photograph serves on two sides."""

import hashlib
import re
from pathlib import Path

import numpy as np

from pdm_tf import samples
from pdm_tf.core.images import list_images, read_rgb_u8

FOLDERS = (samples.PHOTOS_FOR_HR, samples.PHOTOS_FOR_LR, samples.PHOTOS_FOR_VALIDATION)
HERE = Path(samples.__file__).parent


def test_readme_lists_every_file_with_rights_and_checksum():
    text = (HERE / "README.md").read_text(encoding="utf-8")
    files = [path for folder in FOLDERS for path in list_images(folder)]
    checksums = dict(
        reversed(match)
        for match in re.findall(r"^ +([0-9a-f]{64})  (\S+)$", text, re.M)
    )
    rights = dict(
        re.findall(r"^\| `(\S+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|", text, re.M)
    )
    assert {path.relative_to(HERE).as_posix() for path in files} == checksums.keys()
    assert checksums.keys() == rights.keys()
    for path in files:
        name = path.relative_to(HERE).as_posix()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == checksums[name], name
    assert all(
        right == "CC0" or right.startswith("public domain") for right in rights.values()
    )


def test_they_are_small_in_all_and_large_enough_each():
    files = [path for folder in FOLDERS for path in list_images(folder)]
    assert sum(path.stat().st_size for path in files) < 2_500_000
    for path in files:
        # A default HR patch with its margin; an LR patch of 32 at scale 4.
        assert min(read_rgb_u8(path).shape[:2]) >= 148, path


def test_no_photograph_is_on_two_sides():
    """Also not recompressed under another name: no two outlines correlate."""
    sides = [
        [_outline(read_rgb_u8(path)) for path in list_images(folder)]
        for folder in FOLDERS
    ]
    for i, side in enumerate(sides):
        for other in sides[i + 1 :]:
            for a in side:
                for b in other:
                    assert abs(float((a * b).mean())) < 0.6
    # The comparison itself: it would notice a copy.
    photo = read_rgb_u8(list_images(FOLDERS[0])[0])
    noisy = np.clip(photo + np.random.default_rng(0).normal(0, 5, photo.shape), 0, 255)
    copy = _outline(noisy.astype(np.uint8))
    assert float((copy * _outline(photo)).mean()) > 0.95


def _outline(rgb_u8: np.ndarray) -> np.ndarray:
    """Differences between 16x16 block means of the grey image, standardised.

    Differences, because all landscapes are brighter at the top.
    """
    grey = rgb_u8.astype(np.float64).mean(axis=-1)
    rows, columns = (side // 16 for side in grey.shape)
    blocks = grey[: rows * 16, : columns * 16].reshape(16, rows, 16, columns)
    means = blocks.mean(axis=(1, 3))
    steps = np.concatenate([np.diff(means, axis=0).ravel(), np.diff(means).ravel()])
    return (steps - steps.mean()) / steps.std()
