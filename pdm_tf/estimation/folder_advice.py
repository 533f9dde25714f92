"""What to do with two folders that were looked at: flags, steps, photographs."""

import dataclasses
import math
from typing import Any

import numpy as np

from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.estimation.folder_check import MANY_LR, SOME_LR, FolderCheck

# How often every HR pixel is seen: what the paper's 200,000 steps of 32 patches of
# 128 x 128 are on its 800 photographs of 2.8 megapixels.
PASSES = 50
LEAST_STEPS, MOST_STEPS = 2_000, 200_000
BATCH, LR_PATCH = 32, 32  # the defaults of pdm_tf.train
_CACHE_MB, _MB = 2_048, 1 << 20
# Floors of the calmest photographs: rounding alone leaves 0.3 levels.
_NO_NOISE_255 = 0.5
_CALM = 0.1
_GOOD_HR = 100


@dataclasses.dataclass(frozen=True)
class Advice:
    """What fits the photographs.

    Attributes:
      flags: (flags of pdm_tf.train, why).
      steps: of training, with `batch` patches each.
      batch: see there.
      lines: sentences on the photographs.
    """

    flags: tuple[tuple[str, str], ...]
    steps: int
    batch: int
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Nested dicts, lists and numbers."""
        return {
            **dataclasses.asdict(self),
            "flags": [list(row) for row in self.flags],
            "lines": list(self.lines),
        }


def advice_on(
    check: FolderCheck, estimate: SourceEstimate | None = None, batch: int = BATCH
) -> Advice:
    """Says which flags, how many steps and how many photographs fit.

    Args:
      check: of the folders, without errors.
      estimate: what was measured, if it was.
      batch: patches a step.
    """
    steps = advised_steps(check, batch)
    flags = [
        (
            f"--steps={steps} --lr_milestones=0.6,0.8",
            f"every HR pixel is seen {PASSES} times or more at --batch_size={batch}",
        )
    ]
    if check.scale != 4:
        flags.insert(0, (f"--scale={check.scale}", "as for this check"))
    if all(one.is_grey for one in check.lr.usable):
        flags.append(("--noise_arg=channels=1", "all LR photographs are grey"))
    flags += _degradation(check, estimate)
    needed = _megabytes(check)
    if needed > _CACHE_MB:
        flags.append(
            (
                f"--cache_mb={math.ceil(needed / 100) * 100}",
                "then all photographs stay in memory, if there is as much",
            )
        )
    return Advice(tuple(flags), steps, batch, tuple(_lines(check)))


def advised_steps(check: FolderCheck, batch: int = BATCH) -> int:
    """Steps of training after which every HR pixel was seen `PASSES` times.

    From 2,000 (networks need as many at any number of photographs) to 200,000.
    """
    pixels = float((check.hr.numbers("width") * check.hr.numbers("height")).sum())
    seen = batch * (LR_PATCH * check.scale) ** 2
    steps = min(max(PASSES * pixels / seen, LEAST_STEPS), MOST_STEPS)
    digits = 10 ** (math.floor(math.log10(steps)) - 1)
    return int(math.ceil(steps / digits) * digits)


def _degradation(
    check: FolderCheck, estimate: SourceEstimate | None
) -> list[tuple[str, str]]:
    """For runs that do not measure the source themselves (--estimate=off)."""
    without = " (a run that measures the source itself needs no such flag)"
    files = sum(one.kind == "jpeg" for one in check.lr.usable)
    flags = []
    if estimate is not None:
        quiet = estimate.noise is None
        jpeg = estimate.jpeg
        words = "no noise beyond rounding was found"
    else:
        quiet = float(np.quantile(check.lr.numbers("floor_255"), _CALM)) < _NO_NOISE_255
        jpeg = None
        words = "the calmest places of the LR photographs show no noise"
    if jpeg is not None:
        flags.append(
            (
                f"--jpeg --jpeg_arg=subsampling={jpeg.subsampling}",
                f"the LR photographs have traces of JPEG{without}",
            )
        )
    elif estimate is None and files:
        flags.append(("--jpeg", f"{files} LR photographs are JPEG files{without}"))
    if quiet:
        flags.append(("--nonoise", words + without))
    return flags


def _lines(check: FolderCheck) -> list[str]:
    hr, lr = len(check.hr.usable), len(check.lr.usable)
    lines = []
    if lr < SOME_LR:
        lines.append(f"{lr} LR photographs: take {SOME_LR} or more if you have them.")
    elif lr < MANY_LR:
        lines.append(
            f"{lr} LR photographs are enough for an estimate; {MANY_LR} or more make "
            "it surer."
        )
    else:
        lines.append(f"{lr} LR photographs are enough to estimate the source.")
    if hr < _GOOD_HR:
        lines.append(
            f"{hr} HR photographs work; more scenes, {_GOOD_HR} or more, give the "
            "network more to learn from."
        )
    else:
        lines.append(f"{hr} HR photographs are enough.")
    return lines


def _megabytes(check: FolderCheck) -> float:
    return sum(
        3.0 * float((of.numbers("width") * of.numbers("height")).sum()) / _MB
        for of in (check.hr, check.lr)
    )
