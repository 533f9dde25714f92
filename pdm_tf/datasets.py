"""Makes the paper's datasets from archives: `python -m pdm_tf.datasets --help`."""

from dataclasses import dataclass
from pathlib import Path

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_cut_tiles, check_flags, lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.paper_set import make_paper_set
from pdm_tf.data.paper_sets import PAPER_SETS
from pdm_tf.data.parallel import OnProgress
from pdm_tf.data.preparation import Outcome
from pdm_tf.data.shards import make_shards

_NAMES = "; ".join(f"`{name}`: {row.title}" for name, row in PAPER_SETS.items())


@dataclass(frozen=True)
class DatasetsConfig:
    """The request to `datasets`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    dataset: str = flag("", f"{_NAMES}. Required.", section="What", required=True)
    archives_dir: str = flag(
        "",
        "Folder with the archives as they were downloaded, or with the "
        "folders they were extracted to. Missing ones are named, with the page of "
        "their publication. Required.",
        required=True,
    )
    output: str = flag(
        "", "Folder for the dataset; made if missing. Required.", required=True
    )
    shards: bool = flag(
        False,
        "Also make TFRecord shards of the training images, OUTPUT/shards/hr "
        "and OUTPUT/shards/lr, as pdm_tf.prepare does.",
        section="Shards",
    )
    shard_mb: int = flag(
        256, "Size of the files that go into one shard, about, in MB.", at_least=1
    )
    tile: int = flag(
        0,
        "Cut HR photographs into sub-images of TILE x TILE pixels and LR ones "
        "into sub-images of TILE / scale, stored as PNG; 0 stores every file as it is. "
        "480 is usual.",
        at_least=0,
    )
    tile_step: int = flag(
        0,
        "Distance of neighbouring tiles in HR pixels; 0 takes TILE, 240 "
        "makes tiles of 480 overlap by half.",
    )
    threads: int = flag(
        0,
        "Files worked on at once; 0 takes one per processor, at most 8.",
        section="How",
        at_least=0,
    )
    progress: Show = progress_flag()

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.datasets")
        scale = lookup(PAPER_SETS, self.dataset, "--dataset").scale
        check_cut_tiles(self.tile, self.tile_step)
        if self.tile and not self.shards:
            raise UserError(
                "--tile cuts the images of shards and needs --shards. "
                f"Received: --tile={self.tile} alone."
            )
        if self.tile % scale or self.tile_step % scale:
            raise UserError(
                f"--tile and --tile_step must be multiples of {scale}, the scale: LR "
                f"photographs are cut at so many times less. Received: {self.tile}, "
                f"{self.tile_step}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.datasets",
    config=DatasetsConfig,
    intro="Makes the datasets of the paper (table 1) from the official archives, which "
    "you download yourself: checks names and counts, and writes the unpaired halves "
    "(train/hr, train/lr) and the validation images (val/lr, and val/hr where there is "
    "ground truth). A folder appears when all of it is there; stopped and started "
    "again with the same flags, the program goes on. The flag file for each dataset is "
    "in docs/guide/experiments.md. Exit code: 0 done, 2 when the archives cannot be "
    "used.",
    examples=(
        "python -m pdm_tf.datasets --dataset=ntire2017_track2 "
        "--archives_dir=downloads --output=data/ntire2017_track2",
        "python -m pdm_tf.datasets --dataset=ntire2018_track4 "
        "--archives_dir=downloads --output=data/ntire2018_track4 --shards "
        "--tile=480 --tile_step=240",
    ),
)

_SIDES = ("hr", "lr")


def main(config: DatasetsConfig) -> int:
    """Makes the dataset; returns the exit code."""
    paper_set = PAPER_SETS[config.dataset]
    with ProgressBar("images", "image", config.progress) as bar:
        outcome = make_paper_set(
            config.dataset,
            paper_set,
            config.archives_dir,
            config.output,
            shards=config.shards,
            threads=config.threads,
            on_progress=bar.update,
        )
    if config.shards:
        with quiet_start():
            import tensorflow  # noqa: F401 - loaded here for its start-up lines' sake
        for side in _SIDES:
            with ProgressBar(f"shards of {side}", "image", config.progress) as bar:
                _require_all(_shards(config, side, paper_set.scale, bar.update))
    kept = f", {outcome.kept} kept from before" if outcome.kept else ""
    print(f"{outcome.written} images made{kept}: {config.output}")
    return program.OK


def _shards(
    config: DatasetsConfig, side: str, scale: int, on_progress: OnProgress
) -> Outcome:
    factor = 1 if side == "hr" else scale
    folder = Path(config.output)
    return make_shards(
        folder / "train" / side,
        folder / "shards" / side,
        shard_mb=config.shard_mb,
        tile=config.tile // factor,
        tile_step=config.tile_step // factor,
        threads=config.threads,
        on_progress=on_progress,
    )


def _require_all(outcome: Outcome) -> None:
    """Refuses a dataset with images missing: it is not the published one."""
    if outcome.problems:
        path, reason = outcome.problems[0]
        raise UserError(
            "All images must go into shards. Received: "
            f"{len(outcome.problems)} that cannot be used; {path} {reason}."
        )


if __name__ == "__main__":
    program.run(SPEC, main)
