"""The stages before the SR network, each of which is resumed where it stopped.

  RUN/estimate/   the measurement; in bundle/ a degradation that starts at it
  RUN/refine/     an ordinary run, and decision.json
  RUN             the SR network, on the degradation that was accepted

Once the SR network is in training, the decision stands: nothing before it is looked at
again.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pdm_tf.build import build_method
from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.bundles.estimated_bundle import save_estimated
from pdm_tf.cli import program
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.core.source_words import short_form
from pdm_tf.run import Run
from pdm_tf.source_first.choice import choose
from pdm_tf.source_first.decision import Decision, decide, why_not_refined
from pdm_tf.source_first.derived import (
    HELD_OUT,
    refine_config,
    sr_config,
    start_config,
)
from pdm_tf.source_first.measuring import NotMeasurable, measure
from pdm_tf.train_config import TrainConfig

Say = Callable[[str], None]

_WORDS = {"estimate": "that of the estimate", "refined": "the refined one"}


class Prepared(NamedTuple):
    """Where the stages ended.

    Attributes:
      code: exit code of the program; OK if training can go on.
      config: what is left to train in the run's folder.
    """

    code: int
    config: TrainConfig


def prepare(
    config: TrainConfig,
    start_step: int,
    train: Callable[[TrainConfig], int],
    say: Say,
    workers: int = 1,
) -> Prepared:
    """Measures and refines as far as that is to be done, and was not done before.

    Args:
      config: of the run, whose folder this process has locked.
      start_step: of the run, above 0 once the SR network is in training.
      train: trains a run of its own; returns its exit code.
      say: takes lines for the person who started the run.
      workers: machines that train it.

    Returns:
      The config to train with is the given one if there is nothing to measure.

    Raises:
      UserError: --estimate=on where it cannot work, or photographs or settings that
        cannot be used.
    """
    root = Path(config.run_dir)
    place = Run(root).decision
    if start_step:
        decided = Decision.load(place)
        if decided is None or config.estimate == "off":
            return Prepared(program.OK, config)
        return Prepared(program.OK, sr_config(config, root / decided.bundle))
    choice = choose(config, workers)
    if choice.remark:
        say(choice.remark)
    if not choice.on:
        return Prepared(program.OK, config)
    # What cannot work is refused now, not after minutes of measuring.
    build_method(config)
    try:
        measured = measure(config, Run(root).estimate, say)
    except NotMeasurable as error:
        if config.estimate == "on":
            raise
        say(f"the source is not measured first: {error} (--estimate=off: not to try)")
        return Prepared(program.OK, config)
    if measured is None:
        return Prepared(program.INTERRUPTED, config)
    for line in short_form(measured):
        say(line)
    start = Run(root).estimate / "bundle"
    save_estimated(start_config(config, measured), start, config.seed)
    decided = Decision.load(place)
    known = _for_the_estimate(config, measured, start)
    if decided is None or not _same_question(decided, known):
        decided = known
        if not known.why:
            code, decided = _refined(config, known, start, train)
            if code != program.OK:
                return Prepared(code, config)
        decided.save(place)
    say(f"the degradation is {_WORDS[decided.accepted]}: {decided.why}")
    return Prepared(program.OK, sr_config(config, root / decided.bundle))


def _for_the_estimate(
    config: TrainConfig, measured: SourceEstimate, start: Path
) -> Decision:
    """The decision as it is before any refinement; `why` is empty if there is to be."""
    count = sum(not one.left_out for one in measured.photographs)
    return Decision(
        accepted="estimate",
        bundle=start.relative_to(config.run_dir).as_posix(),
        why=why_not_refined(count, config.refine_steps),
        start=load_bundle(start).sha256,
        refine_steps=config.refine_steps,
        photographs=count,
    )


def _same_question(decided: Decision, known: Decision) -> bool:
    return all(
        getattr(decided, name) == getattr(known, name)
        for name in ("start", "refine_steps", "photographs")
    )


def _refined(
    config: TrainConfig,
    known: Decision,
    start: Path,
    train: Callable[[TrainConfig], int],
) -> tuple[int, Decision]:
    """Refines, and decides; returns an exit code and the decision."""
    run = Run(Path(config.run_dir)).refinement
    code = train(refine_config(config, start, run.root))
    if code == program.NON_FINITE_LOSS:
        return program.OK, dataclasses.replace(known, why="its refinement diverged.")
    if code != program.OK:
        return code, known
    refined = run.bundle("pdm")
    return program.OK, decide(
        known, refined, hr_dir=config.hr_dir, lr_dir=config.lr_dir, part=HELD_OUT
    )
