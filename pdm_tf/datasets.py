"""Makes the paper's datasets of their archives: `python -m pdm_tf.datasets --help`."""

from pathlib import Path

from tqdm import tqdm

from pdm_tf.config import exit_codes, program
from pdm_tf.config.flags_datasets import SPEC, DatasetsConfig
from pdm_tf.config.paper_sets import PAPER_SETS
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.errors import UserError
from pdm_tf.data.paper_set import make_paper_set
from pdm_tf.data.parallel import OnProgress
from pdm_tf.data.preparation import Outcome
from pdm_tf.data.shards import make_shards

_SIDES = ("hr", "lr")


def main(config: DatasetsConfig) -> int:
    """Does the task; returns the exit code."""
    paper_set = PAPER_SETS[config.dataset]
    with _Bar(config, "images") as bar:
        outcome = make_paper_set(
            config.dataset,
            paper_set,
            config.archives_dir,
            config.output_dir,
            shards=config.shards,
            threads=config.threads,
            on_progress=bar.update,
        )
    if config.shards:
        with quiet_start():
            import tensorflow  # noqa: F401 - loaded here for its start-up lines' sake
        for side in _SIDES:
            with _Bar(config, f"shards of {side}") as bar:
                _require_all(_shards(config, side, paper_set.scale, bar.update))
    kept = f", {outcome.kept} kept from before" if outcome.kept else ""
    print(f"{outcome.written} images made{kept}: {config.output_dir}")
    return exit_codes.OK


def _shards(
    config: DatasetsConfig, side: str, scale: int, on_progress: OnProgress
) -> Outcome:
    factor = 1 if side == "hr" else scale
    folder = Path(config.output_dir)
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
    """A dataset with images missing is not the one that was published."""
    if outcome.problems:
        path, reason = outcome.problems[0]
        raise UserError(
            "All images must go into shards. Received: "
            f"{len(outcome.problems)} that cannot be used; {path} {reason}."
        )


class _Bar:
    """A progress bar for one stage."""

    def __init__(self, config: DatasetsConfig, stage: str) -> None:
        hidden = {"on": False, "off": True, "auto": None}[config.progress]
        self._bar = tqdm(desc=stage, unit="image", disable=hidden, dynamic_ncols=True)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *failure: object) -> None:
        self._bar.close()

    def update(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)


if __name__ == "__main__":
    program.run(SPEC, main)
