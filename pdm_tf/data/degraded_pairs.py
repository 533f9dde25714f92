"""Degrades a folder of HR photographs to pairs in two folders, or in TFRecord shards.

    output_dir/lr/<name>.png      8 bit; with several draws <name>_d0.png, ...
    output_dir/hr/<name>.png      the photograph, cropped; under the names of lr/
    output_dir/manifest.jsonl     how each LR image was made; written at the end
    output_dir/kernels.npy        [N, K, K] float32, by the indices in the manifest
    output_dir/degrade.json       the settings

Names are the same in both folders, the one convention that every super-resolution
trainer understands. The HR file of further draws is a hard link to that of the first:
one set of pixels on the disk.

`.degrade.jsonl` records finished photographs (`core.ledger`). A
killed program loses those it was working on, which are made again, to the same bytes.

Shards, next to the same last three files:

    output_dir/lr/images-00000.tfrecord ... index.json     LR images, PNG
    output_dir/hr/images-00000.tfrecord ... index.json     their HR images, once each

Shards and index are those of `shards.py`, so `--hr_dir` and `--lr_dir` of training take
the two folders. A shard is planned from names and file sizes, and finished in both
folders or made again; the ledger keeps the rows of the manifest meanwhile.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import link_atomic, write_bytes_atomic
from pdm_tf.core.images import encode_png, list_images
from pdm_tf.core.ledger import Ledger, stamp
from pdm_tf.data.degrading import (
    RECORD_NAME,
    DegradeOutcome,
    Request,
    degrade_photograph,
    lr_names,
    names_of,
    open_folder,
    write_manifest,
)
from pdm_tf.data.pairs import record_for_shards
from pdm_tf.data.parallel import OnProgress, counted, in_threads
from pdm_tf.data.preparation import require_some, written
from pdm_tf.data.shards import Made, make_planned, plan_shards
from pdm_tf.data.tfrecord import ShardWriter, StoredImage

LEDGER_NAME = ".degrade.jsonl"

HrFiles = Literal["link", "copy", "none"]
_MB = 1 << 20
_SIDES = ("hr", "lr")


def make_degraded_pairs(
    input_dir: str | Path,
    output_dir: str | Path,
    request: Request,
    settings: dict[str, Any],
    *,
    hr_files: HrFiles = "link",
    record_name: str = RECORD_NAME,
    threads: int = 0,
    on_progress: OnProgress | None = None,
) -> DegradeOutcome:
    """Writes the pairs and their manifest; finished photographs are kept.

    Args:
      input_dir: HR photographs, searched recursively.
      output_dir: as above, with the input's sub-folders in `lr` and `hr`.
      request: how to degrade each.
      settings: everything that decides the files' content; a folder made with others is
        refused.
      hr_files: whether further draws' HR files are links to the first's or copies;
        "none" writes no HR files.
      record_name: of the file in the folder that keeps `settings`.
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
    folder = open_folder(input_dir, output_dir, settings, record_name)
    ledger = Ledger(folder, LEDGER_NAME)

    def make(path: Path) -> bool | tuple[str, str]:
        made_of = stamp(path)
        if ledger.is_finished(names[path], made_of):
            return False
        try:
            photograph = degrade_photograph(path, names[path], request)
        except ImageError as error:
            return str(path), error.reason
        targets = [f"{name}.png" for name in lr_names(names[path], request.draws)]
        made = {}
        for target, lr_u8 in zip(targets, photograph.lr_u8, strict=True):
            png = encode_png(lr_u8)
            _write(folder / "lr" / target, png)
            made[f"lr/{target}"] = len(png)
        if hr_files != "none":
            png = encode_png(photograph.hr_u8)
            _write_same([folder / "hr" / t for t in targets], png, hr_files == "link")
            made |= {f"hr/{target}": len(png) for target in targets}
        source = path.relative_to(input_dir).as_posix()
        rows = [
            {
                "lr": f"lr/{target}",
                "hr": None if hr_files == "none" else f"hr/{target}",
                **row,
                "source": source,
            }
            for target, row in zip(targets, photograph.rows, strict=True)
        ]
        written(folder, lambda: ledger.add(names[path], made_of, made, rows))
        return True

    results = list(counted(in_threads(make, files, threads), len(files), on_progress))
    bad = {path for path, _ in (r for r in results if isinstance(r, tuple))}
    used = [names[path] for path in files if str(path) not in bad]
    outcome = DegradeOutcome(
        written=results.count(True),
        kept=results.count(False),
        problems=tuple(result for result in results if isinstance(result, tuple)),
        stale=tuple(sorted(ledger.keys() - set(used))),
    )
    require_some(outcome, input_dir)
    write_manifest(folder, (row for name in used for row in ledger.facts(name)))
    return outcome


def _write(path: Path, data: bytes) -> None:
    written(path, lambda: write_bytes_atomic(path, data))


def _write_same(paths: Sequence[Path], data: bytes, link: bool) -> None:
    """Writes one file under several names."""
    _write(paths[0], data)
    for path in paths[1:]:
        if not (link and link_atomic(paths[0], path)):
            _write(path, data)


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
      request: how to degrade each.
      settings: everything that decides the files' content; a folder made with others is
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

    def make(paths: Sequence[Path], file: str, on_image: OnProgress) -> Made:
        results = _results(paths, input_dir, names, request, threads)
        return _write_shard(folder, file, sides, counted(results, len(paths), on_image))

    made = make_planned(
        folder,
        sides,
        plan_shards(files, input_dir, int(shard_mb * _MB)),
        make,
        input_dir=input_dir,
        record=record_for_shards(folder / "lr"),
        on_progress=on_progress,
    )
    counts = {True: 0, False: 0}
    for shard, new in made:
        counts[new] += len(shard.rows) // request.draws
    problems = [tuple(problem) for shard, _ in made for problem in shard.problems]
    outcome = DegradeOutcome(counts[True], counts[False], tuple(problems))
    require_some(outcome, input_dir)
    write_manifest(folder, (row for shard, _ in made for row in shard.rows))
    return outcome


class _Stored(NamedTuple):
    """One photograph's images, ready for shards, and its rows of the manifest."""

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
    """Degrades the photographs; threads also encode PNG, so encoded images wait."""

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


def _write_shard(
    folder: Path, file: str, sides: Sequence[str], results: Iterator[Result]
) -> Made:
    """Writes one shard of each side."""
    made = Made({}, [])

    def write() -> None:
        with ExitStack() as stack:
            writers = {
                side: stack.enter_context(ShardWriter(folder / side / file))
                for side in sides
            }
            for result in results:
                if isinstance(result, ImageError):
                    made.problems.append([result.path, result.reason])
                else:
                    made.rows.extend(_add(writers, file, result))
            made.sides.update((side, w.finish()) for side, w in writers.items())

    written(folder, write)
    return made


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
