"""The flags of `python -m pdm_tf.datasets`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.config.checks import check_cut_tiles, require_at_least, require_given
from pdm_tf.config.flag_set import ProgramSpec
from pdm_tf.config.paper_sets import PAPER_SETS
from pdm_tf.core.errors import UserError
from pdm_tf.core.names import lookup


@dataclass(frozen=True)
class DatasetsConfig:
    """What `datasets` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    dataset: str = ""
    archives_dir: str = ""
    output_dir: str = ""
    shards: bool = False
    shard_mb: int = 256
    tile: int = 0
    tile_step: int = 0
    threads: int = 0
    progress: Literal["auto", "on", "off"] = "auto"

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.datasets", "dataset", "archives_dir", "output_dir")
        scale = lookup(PAPER_SETS, self.dataset, "--dataset").scale
        require_at_least(self, shard_mb=1, threads=0, tile=0)
        check_cut_tiles(self.tile, self.tile_step)
        if self.tile and not self.shards:
            raise UserError(
                "--tile cuts what goes into shards and needs --shards. "
                f"Received: --tile={self.tile} alone."
            )
        if self.tile % scale or self.tile_step % scale:
            raise UserError(
                f"--tile and --tile_step must be multiples of {scale}, the scale: LR "
                f"photographs are cut at so many times less. Received: {self.tile}, "
                f"{self.tile_step}."
            )


_NAMES = "; ".join(f"`{name}`: {row.title}" for name, row in PAPER_SETS.items())

_SECTIONS = {
    "What": {
        "dataset": f"{_NAMES}. Required.",
        "archives_dir": "Folder with the archives as they were downloaded, or with the "
        "folders they were extracted to. What is missing is named, with the page it "
        "is published on. Required.",
        "output_dir": "Folder for the dataset; made if missing. Required.",
    },
    "Shards": {
        "shards": "Also make TFRecord shards of the training images, OUTPUT/shards/hr "
        "and OUTPUT/shards/lr, as pdm_tf.prepare does.",
        "shard_mb": "Size of the files that go into one shard, about, in MB.",
        "tile": "Cut HR photographs into sub-images of TILE x TILE pixels and LR ones "
        "into sub-images of TILE / scale, stored as PNG; 0 stores every file as it is. "
        "480 is usual.",
        "tile_step": "Distance of neighbouring tiles in HR pixels; 0 takes TILE, 240 "
        "makes tiles of 480 overlap by half.",
    },
    "How": {
        "threads": "Files worked on at once; 0 takes one per processor, at most 8.",
        "progress": "Progress bar with the time left on standard error; `auto`: when "
        "it is a terminal.",
    },
}

SPEC = ProgramSpec(
    module="pdm_tf.datasets",
    config=DatasetsConfig,
    intro="Makes the datasets of the paper (table 1) of the official archives, which "
    "you download yourself: checks names and counts, and writes the unpaired halves "
    "(train/hr, train/lr) and the validation images (val/lr, and val/hr where there is "
    "ground truth). A folder appears when all of it is there; stopped and started "
    "again with the same flags, the program goes on. docs/experiments.md has the flag "
    "file for each dataset. Exit code: 0 done, 2 when the archives cannot be used.",
    examples=(
        "python -m pdm_tf.datasets --dataset=ntire2017_track2 "
        "--archives_dir=downloads --output_dir=data/ntire2017_track2",
        "python -m pdm_tf.datasets --dataset=ntire2018_track4 "
        "--archives_dir=downloads --output_dir=data/ntire2018_track4 --shards "
        "--tile=480 --tile_step=240",
    ),
    sections=_SECTIONS,
)
