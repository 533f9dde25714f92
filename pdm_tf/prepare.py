"""Prepares photographs for training: `python -m pdm_tf.prepare --help`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_cut_tiles, check_flags, lookup
from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.core.images import encode_png, list_images, read_rgb_u8
from pdm_tf.core.ledger import Ledger, stamp
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.parallel import OnProgress, counted, in_threads
from pdm_tf.data.preparation import (
    SETTINGS_NAME,
    Outcome,
    open_output,
    require_some,
    written,
)
from pdm_tf.data.shards import make_shards
from pdm_tf.estimation.photograph_facts import LUMA

LEDGER_NAME = ".grey.jsonl"
TASKS = ("tfrecord", "bicubic_lr", "grey")


@dataclass(frozen=True)
class PrepareConfig:
    """The request to `prepare`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    task: str = flag(
        "",
        "`tfrecord`: a folder of photographs to TFRecord shards, which "
        "--hr_dir and --lr_dir of pdm_tf.train take like folders; worth it for many "
        "files, slow disks, or (with --tile) photographs that do not fit --cache_mb. "
        "`bicubic_lr`: HR photographs to pairs, OUTPUT/hr and OUTPUT/lr, by bicubic "
        "downsampling as MATLAB's imresize does it. `grey`: grey copies (PNG), for "
        "HR photographs where all LR ones are grey. Required.",
        section="What",
        required=True,
    )
    input: str = flag(
        "",
        "Folder of photographs (PNG, JPEG, WebP, TIFF, BMP, still GIF), searched "
        "recursively. Required.",
        required=True,
    )
    output: str = flag(
        "", "Folder for the results; made if missing. Required.", required=True
    )
    scale: int = flag(
        4,
        "HR size / LR size. HR is cropped at the bottom and right until it "
        "divides both sides.",
        section="Task bicubic_lr",
        at_least=1,
    )
    shard_mb: int = flag(
        256,
        "Size of the files that go into one shard, about, in MB.",
        section="Task tfrecord",
        at_least=1,
    )
    tile: int = flag(
        0,
        "Cut photographs with a side above TILE pixels into sub-images of "
        "TILE x TILE, stored as PNG; 0 stores every file as it is. 480 is usual; it "
        "must not be smaller than the patches of training (an HR patch is scale times "
        "--lr_patch, and pdm_sr adds a margin of the kernel's size).",
        at_least=0,
    )
    tile_step: int = flag(
        0,
        "Distance of neighbouring tiles in pixels; 0 takes TILE, so that "
        "they do not overlap. The last row and column are moved to the border.",
    )
    threads: int = flag(
        0,
        "Files worked on at once; 0 takes one per processor, at most 8.",
        section="How",
        at_least=0,
    )
    progress: Show = progress_flag()

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.prepare")
        lookup(dict.fromkeys(TASKS), self.task, "--task")
        check_cut_tiles(self.tile, self.tile_step)


SPEC = ProgramSpec(
    module="pdm_tf.prepare",
    config=PrepareConfig,
    intro="Prepares photographs for training. Every file appears in full or not at "
    "all; stopped and started again with the same flags, it keeps finished files. "
    "Files that cannot be used (not an image, truncated, animated, transparent) are "
    "named and left out, and the others are done. Exit code: 0 when all files were "
    "used, 1 when some were left out, 2 when nothing could be done.",
    examples=(
        "python -m pdm_tf.prepare --task=bicubic_lr --input=photos/hr "
        "--output=photos/x4 --scale=4",
        "python -m pdm_tf.prepare --task=tfrecord --input=photos/hr "
        "--output=photos/hr_shards --tile=480 --tile_step=240",
    ),
)


def main(config: PrepareConfig) -> int:
    """Runs the task; returns the exit code."""
    with ProgressBar("", "image", config.progress) as bar:
        tasks = {"tfrecord": _shards, "bicubic_lr": _bicubic_pairs, "grey": _grey}
        outcome = tasks[config.task](config, bar.update)
    for path, reason in outcome.problems:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    made = f"{outcome.written} images made"
    if outcome.kept:
        made += f", {outcome.kept} kept from before"
    if outcome.problems:
        made += f", {len(outcome.problems)} files left out"
    print(f"{made}: {config.output}")
    return program.SOME_LEFT_OUT if outcome.problems else program.OK


def _bicubic_pairs(config: PrepareConfig, on_progress: OnProgress) -> Outcome:
    """Makes pairs as `pdm_tf.degrade --degradation=bicubic` does."""
    list_images(config.input)  # fails now, not after seconds of imports
    with quiet_start():
        from pdm_tf.build import build_degradation
        from pdm_tf.data.degraded_pairs import make_degraded_pairs
        from pdm_tf.data.degrading import Request

        bicubic, _ = build_degradation("bicubic", scale=config.scale)
    return make_degraded_pairs(
        config.input,
        config.output,
        Request(bicubic, seed=0),
        {"task": config.task, "scale": config.scale},
        record_name=SETTINGS_NAME,
        threads=config.threads,
        on_progress=on_progress,
    )


def _grey(config: PrepareConfig, on_progress: OnProgress) -> Outcome:
    """Copies of the luma (ITU-R BT.601), in all three channels."""
    files = list_images(config.input)
    with quiet_start():
        from pdm_tf.data.degrading import names_of
    names = names_of(files, Path(config.input), draws=1)
    folder = open_output(config.input, config.output, {"task": config.task})
    ledger = Ledger(folder, LEDGER_NAME)

    def make(path: Path) -> bool | tuple[str, str]:
        made_of, name = stamp(path), f"{names[path]}.png"
        if ledger.is_finished(names[path], made_of):
            return False
        try:
            luma = np.round(read_rgb_u8(path) @ LUMA).astype(np.uint8)
        except ImageError as error:
            return str(path), error.reason
        png = encode_png(np.stack([luma] * 3, axis=-1))
        written(folder, lambda: write_bytes_atomic(folder / name, png))
        written(folder, lambda: ledger.add(names[path], made_of, {name: len(png)}))
        return True

    results = list(
        counted(in_threads(make, files, config.threads), len(files), on_progress)
    )
    problems = tuple(result for result in results if isinstance(result, tuple))
    outcome = Outcome(results.count(True), results.count(False), problems)
    return require_some(outcome, config.input)


def _shards(config: PrepareConfig, on_progress: OnProgress) -> Outcome:
    with quiet_start():
        import tensorflow  # noqa: F401 - loaded here for its start-up lines' sake
    return make_shards(
        config.input,
        config.output,
        shard_mb=config.shard_mb,
        tile=config.tile,
        tile_step=config.tile_step,
        threads=config.threads,
        on_progress=on_progress,
    )


if __name__ == "__main__":
    program.run(SPEC, main)
