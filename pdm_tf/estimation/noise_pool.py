"""A pool of noise patches from a folder of photographs.

The folder of a pool:

    noise.npy   [N, P, P, 3] float32 in units of [0, 1], every channel of mean 0
    noise.json  a row for each patch, and the photographs that gave none
    noise.png   where the patches come from, and what they look like
"""

import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.draw import (
    enlarge,
    outlined,
    shrink_to_width,
    tile_grid,
    with_label,
    with_title,
)
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import write_bytes_atomic, write_json_atomic
from pdm_tf.core.images import list_images, read_rgb_u8, write_png
from pdm_tf.core.photographs import read_size
from pdm_tf.estimation.noise_patches import (
    NoisePatch,
    NoiseSettings,
    fitting_patch_side,
    flat_patches,
    stacked_noise,
    without_structure,
)

# Of 100 photographs with noise of known strength the patches taken had a median
# structure of 1.07, of 100 without any 3.8.
PICTURE_LIKE = 1.5

_PICTURED = 24  # photographs
_WIDTH, _TILE = 240, 72  # pixels of a photograph and of a patch, in the picture
_COLUMNS = 4


@dataclass(frozen=True)
class NoiseOutcome:
    """What became of the photographs.

    Attributes:
      patches: in the pool.
      side: P.
      photographs: that gave a patch.
      left_out: (name, reason) of photographs that cannot be used at all; those that
        have no flat place are only in noise.json.
      std_255: least, median and greatest standard deviation of a patch, in levels.
      structure: median of the patches; about 1 if they are noise.
    """

    patches: int
    side: int
    photographs: int
    left_out: tuple[tuple[str, str], ...]
    std_255: tuple[float, float, float]
    structure: float

    @property
    def looks_like_pictures(self) -> bool:
        """Whether the photographs seem to have no noise, or no flat places."""
        return self.structure > PICTURE_LIKE


def make_noise_pool(
    input_dir: str | Path,
    output_dir: str | Path,
    settings: NoiseSettings,
    *,
    fitting: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> NoiseOutcome:
    """Takes the flat places of all photographs and writes the pool.

    Args:
      input_dir: folder of photographs, searched recursively.
      output_dir: the pool's folder.
      settings: of the choice.
      fitting: whether the patches' side is made to fit the photographs, instead of
        `settings.patch`.
      on_progress: gets photographs done, and in all.

    Raises:
      UserError: no photographs, or none with an unclipped place of a patch's size.
    """
    input_dir, output_dir = Path(input_dir), Path(output_dir)
    paths = list_images(input_dir)
    names = [path.relative_to(input_dir).as_posix() for path in paths]
    problems: dict[str, str] = {}
    if fitting:
        side = fitting_patch_side(_shortest_sides(paths))
        settings = dataclasses.replace(settings, patch=side)
    found: list[list[NoisePatch]] = []
    for number, (name, path) in enumerate(zip(names, paths, strict=True), start=1):
        own: list[NoisePatch] = []
        try:
            own = flat_patches(read_rgb_u8(path), settings)
            if not own:
                problems[name] = (
                    f"has no unclipped place of {settings.patch}x{settings.patch}"
                )
        except ImageError as error:
            problems[name] = error.reason
        found.append(own)
        on_progress(number, len(paths))
    kept = without_structure(found, settings)
    if not any(kept):
        name, reason = next(iter(problems.items()))
        raise UserError(
            f"{input_dir} must hold a photograph with an unclipped place of "
            f"{settings.patch}x{settings.patch} pixels. Received: {len(paths)}, none; "
            f"{name} {reason}."
        )
    _write(output_dir, settings, names, kept, problems)
    _write_picture(output_dir, input_dir, names, kept)
    stds = [255.0 * patch.std for own in kept for patch in own]
    least, middle, most = np.percentile(stds, [0, 50, 100])
    return NoiseOutcome(
        len(stds),
        settings.patch,
        sum(map(bool, kept)),
        tuple(problems.items()),
        (float(least), float(middle), float(most)),
        float(np.median([patch.structure for own in kept for patch in own])),
    )


def _shortest_sides(paths: Sequence[Path]) -> list[int]:
    """Of the photographs that can be read."""
    sides = []
    for path in paths:
        try:
            sides.append(min(read_size(path)))
        except ImageError:
            continue  # named when it is read
    return sides or [0]


def _write(
    folder: Path,
    settings: NoiseSettings,
    names: Sequence[str],
    kept: Sequence[Sequence[NoisePatch]],
    problems: dict[str, str],
) -> None:
    rows: list[dict[str, Any]] = []
    for name, own in zip(names, kept, strict=True):
        for patch in own:
            rows.append(
                {
                    "index": len(rows),
                    "photograph": name,
                    "top": patch.top,
                    "left": patch.left,
                    "mean_255": round(255 * patch.mean, 3),
                    "std_255": round(255 * patch.std, 3),
                    "structure": round(patch.structure, 3),
                }
            )
    without = [
        name
        for name, own in zip(names, kept, strict=True)
        if not own and name not in problems
    ]
    about = {
        **dataclasses.asdict(settings),
        "patches": rows,
        "nothing_flat": without,
        "left_out": problems,
    }
    buffer = io.BytesIO()
    np.save(buffer, stacked_noise(kept))
    write_bytes_atomic(folder / "noise.npy", buffer.getvalue())
    write_json_atomic(folder / "noise.json", about)


def _write_picture(
    folder: Path,
    input_dir: Path,
    names: Sequence[str],
    kept: Sequence[Sequence[NoisePatch]],
) -> None:
    """Draws photographs, spread over those that gave a patch, with their patches."""
    giving = [i for i, own in enumerate(kept) if own]
    every = np.linspace(0, len(giving) - 1, min(_PICTURED, len(giving)))
    # One gain for all patches, or weak and strong noise would look the same.
    spread = 4.0 * np.median([patch.std for own in kept for patch in own])
    tiles = []
    for i in (giving[int(place)] for place in every):
        image = read_rgb_u8(input_dir / names[i])
        side = kept[i][0].noise.shape[0]
        zoom = max(1, _WIDTH // image.shape[1])
        shown = shrink_to_width(enlarge(image, zoom), _WIDTH)
        factor = shown.shape[1] / image.shape[1]
        for patch in kept[i]:
            box = (patch.top, patch.left, side, side)
            shown = outlined(shown, tuple(round(factor * x) for x in box))
        patches = [_stretched(patch.noise, spread) for patch in kept[i]]
        rows = [patches[j : j + 3] for j in range(0, len(patches), 3)]
        label = [Path(names[i]).name, f"{len(patches)} patches"]
        tiles.append(with_label(tile_grid([[shown], [tile_grid(rows)]]), label))
    grid = [tiles[j : j + _COLUMNS] for j in range(0, len(tiles), _COLUMNS)]
    total = sum(map(len, kept))
    title = (
        f"{total} patches of {len(giving)} photographs, {len(tiles)} of which are "
        f"shown; from black to white: {255 * spread:.0f} levels"
    )
    page = with_title(tile_grid(grid, gap=14, margin=12), title)
    write_png(folder / "noise.png", page)


def _stretched(noise: np.ndarray, spread: float) -> np.ndarray:
    """[P, P, 3] noise about middle grey, large enough to be seen."""
    values = 255.0 * (0.5 + noise / max(spread, 1e-6))
    pixels = np.round(values).clip(0, 255).astype(np.uint8)
    return enlarge(pixels, max(1, _TILE // noise.shape[0]))
