"""From a folder of HR photographs to pairs in TFRecord shards, by any degradation.

    output_dir/lr/images-00000.tfrecord ... index.json     LR images, PNG
    output_dir/hr/images-00000.tfrecord ... index.json     their HR images, once each
    output_dir/manifest.jsonl, kernels.npy, degrade.json   as in `degraded_pairs.py`

Shards and index are those of `shards.py`, so `--hr_dir` and `--lr_dir` of training take
the two folders. A shard is planned from names and file sizes, and finished in both
folders or made again; the rows of the manifest are kept in the index of `lr` meanwhile.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import encode_png, list_images
from pdm_tf.data.degrading import (
    DegradeOutcome,
    Request,
    degrade_photograph,
    lr_names,
    names_of,
    open_folder,
    write_manifest,
)
from pdm_tf.data.pairs import grid_of
from pdm_tf.data.parallel import OnProgress, in_threads
from pdm_tf.data.preparation import require_some, written
from pdm_tf.data.shards import finished_shards, plan_shards, write_index
from pdm_tf.data.tfrecord import SHARD_SUFFIX, ShardWriter, StoredImage

_MB = 1 << 20
_SIDES = ("hr", "lr")


def make_degraded_shards(
    input_dir: str | Path,
    output_dir: str | Path,
    request: Request,
    settings: dict[str, Any],
    *,
    shard_mb: float = 256,
    with_hr: bool = True,
    threads: int = 0,
    on_progress: OnProgress | None = None,
) -> DegradeOutcome:
    """Writes the shards and their manifest; finished shards are kept.

    Args:
      input_dir: HR photographs, searched recursively.
      output_dir: as above.
      request: what to do with each.
      settings: all that decides what the files hold; a folder made with others is
        refused.
      shard_mb: size of the photographs' files that go into one shard, about, in MB.
      with_hr: whether HR images are written.
      threads: photographs worked on at once; 0 takes one per processor.
      on_progress: called with (photographs done, photographs in all).

    Raises:
      UserError: no images, none usable, two of the same name, or an output folder that
        cannot be used.
      Stopped: it was asked to stop.
    """
    input_dir = Path(input_dir)
    files = list_images(input_dir)
    names = names_of(files, input_dir, request.draws)
    folder = open_folder(input_dir, output_dir, settings)
    sides = _SIDES if with_hr else ("lr",)
    finished = {side: finished_shards(folder / side) for side in sides}
    shards: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    counts, done = {True: 0, False: 0}, 0
    for number, inputs in enumerate(plan_shards(files, input_dir, int(shard_mb * _MB))):
        file = f"images-{number:05d}{SHARD_SUFFIX}"
        pair = {side: finished[side].get(file) for side in sides}
        new = any(s is None or s["inputs"] != inputs for s in pair.values())
        if new:
            _write_indices(folder, shards, complete=False)
            paths = [input_dir / path for path, _, _ in inputs]

            def told(now: int, before: int = done) -> None:
                if on_progress is not None:
                    on_progress(before + now, len(files))

            results = _results(paths, input_dir, names, request, threads)
            pair = _write_pair(folder, file, sides, _told(results, told))
            pair = {side: {**shard, "inputs": inputs} for side, shard in pair.items()}
        for side, shard in pair.items():
            shards[side].append(shard)
        counts[new] += len(inputs) - len(pair["lr"]["problems"])
        done += len(inputs)
        if on_progress is not None:
            on_progress(done, len(files))
    _write_indices(folder, shards, complete=True)
    for side in sides:
        for file in finished[side].keys() - {shard["file"] for shard in shards[side]}:
            (folder / side / file).unlink(missing_ok=True)  # of a longer plan
    problems = [tuple(p) for shard in shards["lr"] for p in shard["problems"]]
    outcome = DegradeOutcome(counts[True], counts[False], tuple(problems))
    require_some(outcome, input_dir)
    write_manifest(folder, (row for shard in shards["lr"] for row in shard["rows"]))
    return outcome


class _Stored(NamedTuple):
    """One photograph's images as shards take them, and its rows of the manifest."""

    hr: StoredImage
    lr: tuple[StoredImage, ...]
    rows: tuple[dict[str, Any], ...]


Result = _Stored | ImageError


def _results(
    paths: Sequence[Path],
    input_dir: Path,
    names: dict[Path, str],
    request: Request,
    threads: int,
) -> Iterator[Result]:
    """Works on the photographs; PNG is made in the threads too, and is what waits."""

    def make(path: Path) -> Result:
        try:
            photograph = degrade_photograph(path, names[path], request)
        except ImageError as error:
            return error
        source = path.relative_to(input_dir).as_posix()
        return _Stored(
            _stored(names[path], photograph.hr_u8),
            tuple(
                _stored(name, lr_u8)
                for name, lr_u8 in zip(
                    lr_names(names[path], request.draws), photograph.lr_u8, strict=True
                )
            ),
            tuple({**row, "source": source} for row in photograph.rows),
        )

    return in_threads(make, paths, threads)


def _stored(name: str, image_u8: np.ndarray) -> StoredImage:
    return StoredImage(f"{name}.png", encode_png(image_u8), *image_u8.shape[:2])


def _told(results: Iterator[Result], told: Any) -> Iterator[Result]:
    for count, result in enumerate(results, start=1):
        yield result
        told(count)


def _write_pair(
    folder: Path,
    file: str,
    sides: Sequence[str],
    results: Iterator[Result],
) -> dict[str, dict[str, Any]]:
    """Writes one shard of each side; returns their parts of the indices."""
    rows, problems = [], []

    def write() -> dict[str, dict[str, Any]]:
        with ExitStack() as stack:
            writers = {
                side: stack.enter_context(ShardWriter(folder / side / file))
                for side in sides
            }
            for result in results:
                if isinstance(result, ImageError):
                    problems.append([result.path, result.reason])
                else:
                    rows.extend(_add(writers, file, result))
            return {side: writer.finish() for side, writer in writers.items()}

    pair = written(folder, write)
    pair["lr"] |= {"problems": problems, "rows": rows}
    return pair


def _add(
    writers: dict[str, ShardWriter], file: str, stored: _Stored
) -> Iterator[dict[str, Any]]:
    """Appends a photograph's images to the shards; yields the manifest's rows."""
    hr = None
    if "hr" in writers:
        writers["hr"].add(stored.hr)
        hr = f"hr/{file}[{stored.hr.name}]"
    for image, row in zip(stored.lr, stored.rows, strict=True):
        writers["lr"].add(image)
        yield {"lr": f"lr/{file}[{image.name}]", "hr": hr, **row}


def _write_indices(
    folder: Path, shards: dict[str, list[dict[str, Any]]], complete: bool
) -> None:
    for side, of_side in shards.items():
        write_index(folder / side, of_side, complete, grid_of(folder / side))
