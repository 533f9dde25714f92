"""Which degradation the SR network is trained with: the estimate, or the refined one.

The refined one has to earn it, on LR photographs that were held out of its training; so
refinement can only help. What was decided, and why, is in refine/decision.json.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.stored import read_json
from pdm_tf.data.hold_out import held_out
from pdm_tf.data.sources import list_entries
from pdm_tf.evaluation.run_findings import read_photographs
from pdm_tf.evaluation.two_degradations import compare_degradations
from pdm_tf.metrics.degradation.two_sample import PATCH

# Fewer photographs than this are not told from each other's scenes by a game.
LEAST_PHOTOGRAPHS = 50
_LEAST_TESTED = 4  # on either side of a two-sample test


@dataclasses.dataclass(frozen=True)
class Decision:
    """What was decided.

    Attributes:
      accepted: which one.
      bundle: its folder, below the run's.
      why: in a sentence.
      start: hash of the weights of the estimate's bundle.
      refine_steps: steps of refinement that were asked for.
      photographs: usable LR photographs.
      tested: of these, how many were held out and tested on.
      tests: `evaluation.two_degradations.Preference.to_json`, "first" the estimate and
        "second" the refined one; empty where there was nothing to test.
    """

    accepted: Literal["estimate", "refined"]
    bundle: str
    why: str
    start: str
    refine_steps: int
    photographs: int
    tested: int = 0
    tests: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Decision | None":
        """Reads it; None where there is none yet.

        Raises:
          UserError: the file is none of these.
        """
        if not path.is_file():
            return None
        return read_json(path, make=lambda stored: cls(**stored))


def why_not_refined(photographs: int, refine_steps: int) -> str:
    """Why there is to be no refinement, as a sentence; "" if there is to be one."""
    if not refine_steps:
        return "no refinement was asked for (--refine_steps=0)."
    if photographs < LEAST_PHOTOGRAPHS:
        return (
            f"{photographs} photographs say more by measuring than by a game; from "
            f"{LEAST_PHOTOGRAPHS} on it would be refined."
        )
    return ""


def decide(
    decided: Decision, refined: Path, *, hr_dir: str, lr_dir: str, part: int
) -> Decision:
    """Tests the refined degradation against the estimate.

    Args:
      decided: for the estimate, with all that is known before the test.
      refined: bundle of the refined degradation, in the folder of the run whose bundles
        `decided.bundle` is below.
      hr_dir: HR photographs that both degrade.
      lr_dir: LR photographs.
      part: one in so many of them was held out, see `data.hold_out`.

    Raises:
      UserError: no photographs to test with.
    """
    root = refined.parents[2]
    observed = _held_out(lr_dir, part)
    hr = read_photographs(hr_dir).images_u8
    if min(len(observed), len(hr)) < _LEAST_TESTED:
        why = (
            f"{len(hr)} HR photographs and {len(observed)} LR photographs held out are "
            "too few to test the refined one."
        )
        return dataclasses.replace(decided, why=why)
    first = load_bundle(root / decided.bundle).network
    second = load_bundle(refined).network
    found = compare_degradations(first, second, hr, observed)
    numbers = (
        f"on {len(observed)} photographs held out, distance "
        f"{np.mean(found.second.mmd2):.4f} refined and {np.mean(found.first.mmd2):.4f} "
        f"as estimated, told apart in {np.mean(found.second.accuracy):.0%} and "
        f"{np.mean(found.first.accuracy):.0%} of cases."
    )
    tested = {"tested": len(observed), "tests": found.to_json(), "why": numbers}
    if found.prefers_second:
        bundle = refined.relative_to(root).as_posix()
        return dataclasses.replace(decided, accepted="refined", bundle=bundle, **tested)
    return dataclasses.replace(decided, **tested)


def _held_out(lr_dir: str, part: int) -> list[np.ndarray]:
    """Reads the photographs that were held out; unreadable ones are left out."""
    entries = list_entries(lr_dir)
    names = held_out([entry.name for entry in entries], part)
    images = []
    for entry in entries:
        if entry.name in names:
            try:
                image = entry.read()
            except ImageError:  # named when the folder was opened for training
                continue
            if min(image.shape[:2]) >= PATCH:
                images.append(image)
    return images
