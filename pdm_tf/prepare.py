"""Prepares photographs for training: `python -m pdm_tf.prepare --help`."""

import sys

from tqdm import tqdm

from pdm_tf.cli import program
from pdm_tf.cli.flags_prepare import SOME_LEFT_OUT, SPEC, PrepareConfig
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.bicubic_pairs import make_bicubic_pairs
from pdm_tf.data.parallel import OnProgress
from pdm_tf.data.preparation import Outcome
from pdm_tf.data.shards import make_shards


def main(config: PrepareConfig) -> int:
    """Does the task; returns the exit code."""
    hidden = {"on": False, "off": True, "auto": None}[config.progress]
    with tqdm(unit="image", disable=hidden, dynamic_ncols=True) as bar:

        def on_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        outcome = _do(config, on_progress)
    for path, reason in outcome.problems:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    made = f"{outcome.written} images made"
    if outcome.kept:
        made += f", {outcome.kept} kept from before"
    if outcome.problems:
        made += f", {len(outcome.problems)} files left out"
    print(f"{made}: {config.output_dir}")
    return SOME_LEFT_OUT if outcome.problems else program.OK


def _do(config: PrepareConfig, on_progress: OnProgress) -> Outcome:
    if config.task == "bicubic_lr":
        return make_bicubic_pairs(
            config.input_dir,
            config.output_dir,
            scale=config.scale,
            threads=config.threads,
            on_progress=on_progress,
        )
    with quiet_start():
        import tensorflow  # noqa: F401 - loaded here for its start-up lines' sake
    return make_shards(
        config.input_dir,
        config.output_dir,
        shard_mb=config.shard_mb,
        tile=config.tile,
        tile_step=config.tile_step,
        threads=config.threads,
        on_progress=on_progress,
    )


if __name__ == "__main__":
    program.run(SPEC, main)
