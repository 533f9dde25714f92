"""Folders of small pictures for the tests of data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.samples import PHOTOS_FOR_VALIDATION

# All differ in both axes, so that a wrong row length or a swapped axis shows.
SIZES = ((20, 33), (41, 18), (25, 25), (17, 29), (30, 22))


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """[height, width, 3] uint8; no two places look alike: a crop tells its place."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def fill(folder: Path, sizes: Sequence[tuple[int, int]] = SIZES) -> list[np.ndarray]:
    """Writes 0000.png, 0001.png, ... of `sizes`; returns them."""
    pictures = [noise(*size, seed=seed) for seed, size in enumerate(sizes)]
    for index, picture in enumerate(pictures):
        write_png(folder / f"{index:04d}.png", picture)
    return pictures


def add_bad_files(folder: Path) -> dict[str, str]:
    """One of every kind that cannot be used; returns name -> words of the reason."""
    write_png(folder / "bad-small.png", noise(40, 15, 90))
    write_png(folder / "bad-cut.png", noise(60, 60, 91))
    data = (folder / "bad-cut.png").read_bytes()
    (folder / "bad-cut.png").write_bytes(data[: len(data) // 2])
    (folder / "bad-empty.png").write_bytes(b"")
    (folder / "bad-text.png").write_text("not a picture")
    frames = [Image.fromarray(noise(30, 30, seed)) for seed in (92, 93)]
    frames[0].save(folder / "bad-anim.png", save_all=True, append_images=frames[1:])
    glass = np.dstack([noise(30, 30, 94), np.full((30, 30), 128, np.uint8)])
    Image.fromarray(glass).save(folder / "bad-glass.png")
    (folder / "bad-link.png").symlink_to("nowhere.png")
    return {
        "bad-small.png": "smaller than the patch",
        "bad-cut.png": "truncated or damaged",
        "bad-empty.png": "empty file",
        "bad-link.png": "link that leads nowhere",
        "bad-text.png": "not a PNG, JPEG, WebP, TIFF, BMP or GIF image",
        "bad-anim.png": "animation of 2 frames",
        "bad-glass.png": "transparent pixels",
    }


def write_scenes(folder, shift=(0, 0), turn=0, lr_name="{}.png"):
    """Three pairs x3 of photographs in hr/ and lr/.

    LR ones lie `shift` HR px off, or show the scene `turn` on.
    """
    files = list_images(PHOTOS_FOR_VALIDATION)[:3]
    scenes = [read_rgb_u8(path)[:160, :196].astype(np.float64) for path in files]
    for index, scene in enumerate(scenes):
        down, right = shift
        other = scenes[(index + turn) % 3][down : down + 156, right : right + 192]
        lr = other.reshape(52, 3, 64, 3, 3).mean(axis=(1, 3))
        hr_file, lr_file = folder / f"hr/{index}.png", folder / "lr" / lr_name
        write_png(hr_file, np.round(scene[:156, :192]).astype(np.uint8))
        write_png(str(lr_file).format(index), np.round(lr).astype(np.uint8))
