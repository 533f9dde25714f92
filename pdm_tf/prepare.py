"""Prepares photographs for training: `python -m pdm_tf.prepare --help`."""

import sys
from dataclasses import dataclass

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_cut_tiles, check_flags, lookup
from pdm_tf.core.images import list_images
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.parallel import OnProgress
from pdm_tf.data.preparation import SETTINGS_NAME, Outcome
from pdm_tf.data.shards import make_shards

TASKS = ("tfrecord", "bicubic_lr")


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
        "downsampling as MATLAB's imresize does it. Required.",
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
        make = _bicubic_pairs if config.task == "bicubic_lr" else _shards
        outcome = make(config, bar.update)
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
