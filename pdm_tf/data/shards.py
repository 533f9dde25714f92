"""From a folder of photographs to TFRecord shards, optionally cut into tiles.

Files are stored as they are (no loss, no growth). Tiles are worth their space when the
photographs are large and do not fit the memory budget of training: a patch then costs
the decoding of one tile, not of a whole photograph.

A shard is planned from names and file sizes alone, so that a second start finds the
shards of the first: one with the same inputs (name, size, time) is kept.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import file_status, read_json, write_json_atomic
from pdm_tf.core.images import decode_rgb_u8, encode_png, list_images, whole_file
from pdm_tf.data.pairs import grid_of
from pdm_tf.data.parallel import OnProgress, in_threads
from pdm_tf.data.preparation import Outcome, open_output, require_some, written
from pdm_tf.data.tfrecord import (
    INDEX_FORMAT,
    INDEX_NAME,
    SHARD_SUFFIX,
    StoredImage,
    is_whole,
    write_shard,
)

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
    plan = plan_shards(files, input_dir, int(shard_mb * _MB))
    finished = finished_shards(folder)
    shards, counts, problems, done = [], {True: 0, False: 0}, [], 0
    for number, inputs in enumerate(plan):
        name = f"images-{number:05d}{SHARD_SUFFIX}"
        shard = finished.get(name)
        new = shard is None or shard["inputs"] != inputs
        if new:
            # Until the end the index says that it is not complete.
            write_index(folder, shards, complete=False)
            left_out: list[list[str]] = []
            images = _stored(
                [input_dir / path for path, _, _ in inputs],
                input_dir,
                left_out,
                tile=tile,
                tile_step=tile_step or tile,
                threads=threads,
                on_progress=_offset(on_progress, done, len(files)),
            )
            path = folder / name
            shard = written(path, lambda p=path, i=images: write_shard(p, i))
            shard |= {"inputs": inputs, "problems": left_out}
        shards.append(shard)
        counts[new] += len(shard["images"])
        problems += [tuple(problem) for problem in shard["problems"]]
        done += len(inputs)
        if on_progress is not None:
            on_progress(done, len(files))
    write_index(folder, shards, complete=True, grid=grid_of(input_dir))
    for name in finished.keys() - {shard["file"] for shard in shards}:
        (folder / name).unlink(missing_ok=True)  # of an earlier, longer plan
    outcome = Outcome(counts[True], counts[False], tuple(problems))
    return require_some(outcome, input_dir)


def plan_shards(
    files: Sequence[Path], input_dir: Path, shard_bytes: int
) -> list[list[list[Any]]]:
    """Returns [[name, bytes, mtime_ns], ...] of each shard, up to `shard_bytes`."""
    plan: list[list[list[Any]]] = []
    size = 0
    for path in files:
        stat = file_status(path)
        if not plan or size + stat.st_size > shard_bytes:
            plan.append([])
            size = 0
        size += stat.st_size
        row = [path.relative_to(input_dir).as_posix(), stat.st_size, stat.st_mtime_ns]
        plan[-1].append(row)
    return plan


def finished_shards(folder: Path) -> dict[str, dict[str, Any]]:
    """The shards an earlier start finished, by file name."""
    path = folder / INDEX_NAME
    if not path.exists():
        return {}
    shards = read_json(path)["shards"]
    return {shard["file"]: shard for shard in shards if is_whole(folder, shard)}


def write_index(
    folder: Path,
    shards: list[dict[str, Any]],
    complete: bool,
    grid: str | None = None,
) -> None:
    """Writes the index of a folder of shards; readers refuse one that is incomplete.

    `grid` is where the pixels of LR images lie, if that is known (`data.pairs`).
    """
    path = folder / INDEX_NAME
    index = {"format": INDEX_FORMAT, "complete": complete, "shards": shards}
    if grid is not None:
        index["grid"] = grid
    written(path, lambda: write_json_atomic(path, index))


def _stored(
    paths: Sequence[Path],
    input_dir: Path,
    left_out: list[list[str]],
    *,
    tile: int,
    tile_step: int,
    threads: int,
    on_progress: OnProgress | None,
) -> Iterator[StoredImage]:
    """Yields what goes into a shard; files that cannot be read go to `left_out`."""

    def load(path: Path) -> list[StoredImage] | ImageError:
        try:
            name = path.relative_to(input_dir).as_posix()
            return _images_of(path, name, tile, tile_step)
        except ImageError as error:
            return error

    for done, result in enumerate(in_threads(load, paths, threads), start=1):
        if isinstance(result, ImageError):
            left_out.append([result.path, result.reason])
        else:
            yield from result
        if on_progress is not None:
            on_progress(done, len(paths))


def _images_of(path: Path, name: str, tile: int, tile_step: int) -> list[StoredImage]:
    """The file itself, or its tiles."""
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


def _offset(
    on_progress: OnProgress | None, before: int, total: int
) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
