"""The flags of `python -m pdm_tf.prepare`, and its own exit code."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_cut_tiles, lookup, require_at_least, require_given

# Besides those of `program`: everything was done but for the files that were named.
SOME_LEFT_OUT = 1
TASKS = ("tfrecord", "bicubic_lr")


@dataclass(frozen=True)
class PrepareConfig:
    """What `prepare` is asked to do; the fields are the flags.

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
    )
    input_dir: str = flag(
        "",
        "Folder of photographs (PNG, JPEG, WebP, TIFF, BMP, still GIF), searched "
        "recursively. Required.",
    )
    output_dir: str = flag("", "Folder for the results; made if missing. Required.")
    scale: int = flag(
        4,
        "HR size / LR size. HR is cropped at the bottom and right until it "
        "divides both sides.",
        section="Task bicubic_lr",
    )
    shard_mb: int = flag(
        256,
        "Size of the files that go into one shard, about, in MB.",
        section="Task tfrecord",
    )
    tile: int = flag(
        0,
        "Cut photographs with a side above TILE pixels into sub-images of "
        "TILE x TILE, stored as PNG; 0 stores every file as it is. 480 is usual; it "
        "must not be smaller than the patches of training (an HR patch is scale times "
        "--lr_patch, and pdm_sr adds a margin of the kernel's size).",
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
    )
    progress: Literal["auto", "on", "off"] = flag(
        "auto",
        "Progress bar with the time left on standard error; `auto`: when "
        "it is a terminal.",
    )

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.prepare", "task", "input_dir", "output_dir")
        lookup(dict.fromkeys(TASKS), self.task, "--task")
        require_at_least(self, scale=1, shard_mb=1, threads=0, tile=0)
        check_cut_tiles(self.tile, self.tile_step)


SPEC = ProgramSpec(
    module="pdm_tf.prepare",
    config=PrepareConfig,
    intro="Prepares photographs for training. Every file appears in full or not at "
    "all; stopped and started again with the same flags, it keeps what is finished. "
    "Files that cannot be used (not an image, truncated, animated, transparent) are "
    "named and left out, and the others are done. Exit code: 0 when all files were "
    "used, 1 when some were left out, 2 when nothing could be done.",
    examples=(
        "python -m pdm_tf.prepare --task=bicubic_lr --input_dir=photos/hr "
        "--output_dir=photos/x4 --scale=4",
        "python -m pdm_tf.prepare --task=tfrecord --input_dir=photos/hr "
        "--output_dir=photos/hr_shards --tile=480 --tile_step=240",
    ),
)
