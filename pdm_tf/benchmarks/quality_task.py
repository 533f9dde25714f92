"""Measures time to quality: how soon runs are as good as another one in the end.

Of what runs have logged: their scores on validation pairs and their seconds. A run that
measured its source first is charged for that, and for the refinement. Seconds at a step
are its share of all, since steps of a run take equally long.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pdm_tf.benchmarks.measuring import OUTPUT, report
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.stored import read_json
from pdm_tf.core.text_table import aligned, number
from pdm_tf.run import Run

_SECONDS = "perf/train_seconds"


@dataclass(frozen=True)
class QualityBenchmarkConfig:
    """The runs to compare.

    Raises:
      UserError: a flag is missing.
    """

    reference: str = flag(
        "",
        "The finished run whose last score is to be reached. Required.",
        section="Runs",
        required=True,
    )
    run: tuple[str, ...] = flag((), "A finished run that may reach it; repeated.")
    metric: Literal["psnr", "ssim", "psnr_shift"] = flag(
        "psnr_shift", "The score on the validation pairs that counts."
    )
    output: str = flag("", OUTPUT)

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.benchmark quality")


SPEC = ProgramSpec(
    module="pdm_tf.benchmark quality",
    config=QualityBenchmarkConfig,
    intro="Measures time to quality: after how many seconds of training, and of "
    "measuring the source before, runs reach the last score of another one, as a part "
    "of its seconds. Runs must have been trained on one machine, with --validate_every "
    "small enough to see when.",
    examples=(
        "python -m pdm_tf.benchmark quality --reference=runs/paper --run=runs/mine",
    ),
)


@dataclass(frozen=True)
class Course:
    """How a run's score rose.

    Attributes:
      scores: step -> score of the averaged weights, or of the last ones if they are
        better or there is no average.
      seconds: of training, in all.
      before: seconds spent before its first step.
      steps: in all.
    """

    scores: Mapping[int, float]
    seconds: float
    before: float
    steps: int

    @property
    def last(self) -> float:
        """Its last score."""
        return self.scores[max(self.scores)]

    @property
    def total(self) -> float:
        """All its seconds."""
        return self.before + self.seconds

    def until(self, score: float) -> float | None:
        """Seconds until it has a score, or None if it never does."""
        there = [step for step, found in self.scores.items() if found >= score]
        if not there:
            return None
        return self.before + self.seconds * min(there) / self.steps


def course(location: str, metric: str) -> Course:
    """Reads a run.

    Raises:
      UserError: it is not finished, or has no such scores.
    """
    run = Run(location)
    ending = run.ending
    if ending is None or _SECONDS not in ending:
        raise UserError(
            f"Runs must be finished and have logged {_SECONDS}. Received: {location}."
        )
    scores: dict[int, float] = {}
    for record in run.metrics:
        found = [record.get(f"{kind}/{metric}") for kind in ("val", "val_ema")]
        found = [value for value in found if value is not None]
        if found:
            scores[record["step"]] = max(found)
    if not scores:
        raise UserError(
            f"Runs must have scores by {metric} of validation pairs (--val_hr_dir, "
            f"--val_lr_dir, --validate_every). Received: {location}, which has none."
        )
    return Course(scores, ending[_SECONDS], _before(run), ending["step"])


def _before(run: Run) -> float:
    """Seconds of measuring the source and of refining that."""
    estimate = run.estimate / "estimate.json"
    seconds = 0.0
    if estimate.is_file():
        seconds += sum(read_json(estimate)["facts"]["seconds"].values())
    return seconds + ((run.refinement.ending or {}).get(_SECONDS) or 0.0)


def main(config: QualityBenchmarkConfig) -> int:
    """Prints the table, writes the JSON."""
    wanted = course(config.reference, config.metric)
    rows = [["run", config.metric, "seconds", "until the reference's", "part of it"]]
    found: dict[str, Any] = {}
    for location in (config.reference, *config.run):
        one = course(location, config.metric)
        until = one.until(wanted.last)
        part = None if until is None else until / wanted.total
        rows.append(
            [
                location,
                f"{one.last:.4g}",
                number(one.total),
                "never" if until is None else number(until),
                "" if part is None else number(part, 2),
            ]
        )
        found[location] = {
            "score": one.last,
            "seconds": one.total,
            "seconds_before": one.before,
            "seconds_until": until,
            "part": part,
        }
    table = "\n".join(aligned(rows, rule=True))
    report(table, {"metric": config.metric, "runs": found}, config.output)
    return program.OK
