"""Writes a folder of photographs to TFRecord shards, optionally cut into tiles.

Files are stored unchanged (no loss, no growth). Tiles are worth their space when the
photographs are large and do not fit the memory budget of training: a patch then costs
the decoding of one tile, not of a whole photograph.

A shard is planned from names and file sizes alone, so that a second start finds the
shards of the first: `core.ledger` records the files of a finished one (names, sizes,
times), and its part of the index.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.images import decode_rgb_u8, encode_png, list_images, whole_file
from pdm_tf.core.ledger import Ledger, stamp
from pdm_tf.data.pairs import record_for_shards
from pdm_tf.data.parallel import OnProgress, counted, in_threads
from pdm_tf.data.preparation import Outcome, open_output, require_some, written
from pdm_tf.data.tfrecord import (
    INDEX_FORMAT,
    INDEX_NAME,
    SHARD_SUFFIX,
    StoredImage,
    write_shard,
)

LEDGER_NAME = ".shards.jsonl"

_MB = 1 << 20


def make_shards(
    input_dir: str | Path,
    output_dir: str | Path,
    *,
    shard_mb: float = 256,
    tile: int = 0,
    tile_step: int = 0,
    threads: int = 0,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Writes shards and their index.

    Args:
      input_dir: photographs, searched recursively.
      output_dir: gets images-00000.tfrecord, ... and index.json.
      shard_mb: size of the files that go into one shard, about, in MB.
      tile: side of the sub-images that larger photographs are cut into, stored as PNG;
        0 stores every file whole.
      tile_step: distance of neighbouring tiles in pixels; 0: `tile`, no overlap.
      threads: 0 takes one per processor.
      on_progress: called with (files done, files in all).

    Raises:
      UserError: no images, none usable, or an output folder that cannot be used.
    """
    input_dir = Path(input_dir)
    files = list_images(input_dir)
    settings = {
        "task": "tfrecord",
        "shard_mb": shard_mb,
        "tile": tile,
        "tile_step": tile_step or tile,
    }
    folder = open_output(input_dir, output_dir, settings)

    def make(paths: Sequence[Path], file: str, on_image: OnProgress) -> Made:
        left_out: list[list[str]] = []
        images = _stored(
            paths,
            input_dir,
            left_out,
            tile=tile,
            tile_step=tile_step or tile,
            threads=threads,
            on_image=on_image,
        )
        shard = written(folder / file, lambda: write_shard(folder / file, images))
        return Made({".": shard}, left_out)

    made = make_planned(
        folder,
        (".",),
        plan_shards(files, input_dir, int(shard_mb * _MB)),
        make,
        input_dir=input_dir,
        record=record_for_shards(input_dir),
        on_progress=on_progress,
    )
    counts = {True: 0, False: 0}
    for shard, new in made:
        counts[new] += len(shard.sides["."]["images"])
    problems = [tuple(problem) for shard, _ in made for problem in shard.problems]
    outcome = Outcome(counts[True], counts[False], tuple(problems))
    return require_some(outcome, input_dir)


@dataclass(frozen=True)
class Made:
    """One shard, on each side that has one.

    Attributes:
      sides: side -> its part of the index.
      problems: [path, reason] of each photograph left out.
      rows: of the manifest, where there is one.
    """

    sides: dict[str, dict[str, Any]]
    problems: list[list[str]]
    rows: list[dict[str, Any]] = field(default_factory=list)


def make_planned(
    folder: Path,
    sides: Sequence[str],
    plan: Sequence[list[list[Any]]],
    make: Callable[[Sequence[Path], str, OnProgress], Made],
    *,
    input_dir: Path,
    record: Mapping[str, Any],
    on_progress: OnProgress | None,
) -> list[tuple[Made, bool]]:
    """Makes the shards of a plan, keeps finished ones, and writes the indices.

    Args:
      folder: of the output; `sides` are folders in it.
      sides: "lr" and "hr", or "." alone.
      plan: as `plan_shards` makes it.
      make: (paths, file name, on_image) -> the shard made from the paths; it calls
        `on_image` with (how many of them are done, how many there are).
      input_dir: folder that the plan's names are relative to.
      record: what is known of the LR images, for the index (`data.pairs`).
      on_progress: called with (files done, files in all).

    Returns:
      Every shard, in order, and whether it is new.
    """
    ledger = Ledger(folder, LEDGER_NAME)
    total, done = sum(len(inputs) for inputs in plan), 0
    made: list[tuple[Made, bool]] = []

    def tell(count: int, _: int) -> None:
        if on_progress is not None:
            on_progress(done + count, total)

    def write_indices(complete: bool) -> None:
        for side in sides:
            shards = [shard.sides[side] for shard, _ in made]
            write_index(folder / side, shards, complete, record)

    files = [f"images-{number:05d}{SHARD_SUFFIX}" for number in range(len(plan))]
    for file, inputs in zip(files, plan, strict=True):
        new = not ledger.is_finished(file, inputs)
        if new:
            write_indices(complete=False)  # until the end
            shard = make([input_dir / path for path, _, _ in inputs], file, tell)
            sizes = {f"{side}/{file}": shard.sides[side]["bytes"] for side in sides}
            written(folder, partial(ledger.add, file, inputs, sizes, asdict(shard)))
        else:
            shard = Made(**ledger.facts(file))
        made.append((shard, new))
        done += len(inputs)
        tell(0, 0)
    write_indices(complete=True)
    for file in ledger.keys() - set(files):  # of an earlier, longer plan
        for side in sides:
            (folder / side / file).unlink(missing_ok=True)
    return made


def plan_shards(
    files: Sequence[Path], input_dir: Path, shard_bytes: int
) -> list[list[list[Any]]]:
    """Returns [[name, bytes, mtime_ns], ...] of each shard, up to `shard_bytes`."""
    plan: list[list[list[Any]]] = []
    size = 0
    for path in files:
        length, time_ns = stamp(path)
        if not plan or size + length > shard_bytes:
            plan.append([])
            size = 0
        size += length
        name = path.relative_to(input_dir).as_posix()
        plan[-1].append([name, length, time_ns])
    return plan


def write_index(
    folder: Path,
    shards: list[dict[str, Any]],
    complete: bool,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Writes the index of a folder of shards; readers refuse one that is incomplete.

    `record` is what is known of LR images: their grid, whether they are draws
    (`data.pairs`).
    """
    path = folder / INDEX_NAME
    index = {"format": INDEX_FORMAT, "complete": complete, "shards": shards}
    index |= record or {}
    written(path, lambda: write_json_atomic(path, index))


def _stored(
    paths: Sequence[Path],
    input_dir: Path,
    left_out: list[list[str]],
    *,
    tile: int,
    tile_step: int,
    threads: int,
    on_image: OnProgress,
) -> Iterator[StoredImage]:
    """Yields the images of a shard; files that cannot be read go to `left_out`."""

    def load(path: Path) -> list[StoredImage] | ImageError:
        try:
            name = path.relative_to(input_dir).as_posix()
            return _images_of(path, name, tile, tile_step)
        except ImageError as error:
            return error

    for result in counted(in_threads(load, paths, threads), len(paths), on_image):
        if isinstance(result, ImageError):
            left_out.append([result.path, result.reason])
        else:
            yield from result


def _images_of(path: Path, name: str, tile: int, tile_step: int) -> list[StoredImage]:
    """Yields the file itself, or its tiles."""
    data = whole_file(path)
    image_u8 = decode_rgb_u8(data, path)
    height, width = image_u8.shape[:2]
    if not tile or max(height, width) <= tile:
        return [StoredImage(name, data, height, width)]
    tiles = []
    for top in _starts(height, tile, tile_step):
        for left in _starts(width, tile, tile_step):
            part = image_u8[top : top + tile, left : left + tile]
            size = part.shape[:2]
            tiles.append(StoredImage(f"{name}@{top},{left}", encode_png(part), *size))
    return tiles


def _starts(length: int, tile: int, step: int) -> list[int]:
    """Where tiles begin along one axis; the last ends at the border."""
    if length <= tile:
        return [0]
    return [*range(0, length - tile, step), length - tile]
