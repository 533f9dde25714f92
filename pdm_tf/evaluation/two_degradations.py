"""Which of two degradations makes LR images that are more like the observed ones.

The two-sample tests of `metrics/degradation/two_sample.py`, once for each seed and
degradation. Both degrade the same HR photographs, so the difference of scenes between
these and the observed ones is the same for both, and so are the patches of the latter.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pdm_tf.degradations.base import Degradation
from pdm_tf.evaluation.degradation import compare_with_real, synthesised

SEEDS = (0, 1, 2, 3, 4)


@dataclasses.dataclass(frozen=True)
class TestScores:
    """Two-sample tests of one degradation, a number for each seed.

    Attributes:
      mmd2: squared distance of features from the observed ones; about 0 for equal.
      accuracy: of a classifier that separates the two; 0.5 is chance.
    """

    __test__ = False  # for pytest, which takes it for a test by its name

    mmd2: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Preference:
    """What the tests say about two degradations.

    Attributes:
      first, second: their scores.
    """

    first: TestScores
    second: TestScores

    @property
    def prefers_second(self) -> bool:
        """Whether both tests speak for it.

        Its distance is smaller by more than twice the standard error of the difference
        over the seeds, and the classifier does not contradict by more than one.
        """
        closer = _gain(self.first.mmd2, self.second.mmd2)
        harder = _gain(self.first.accuracy, self.second.accuracy)
        return closer[0] > 2.0 * closer[1] and harder[0] > -harder[1]

    def to_json(self) -> dict[str, Any]:
        """Nested dicts, lists and numbers."""
        return dataclasses.asdict(self)


def _gain(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Mean of first minus second over the seeds, and its standard error."""
    differences = np.subtract(first, second)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean()), float(error)


def compare_degradations(
    first: Degradation,
    second: Degradation,
    photographs: Sequence[np.ndarray],
    observed: Sequence[np.ndarray],
    seeds: Sequence[int] = SEEDS,
) -> Preference:
    """Tests two degradations against observed LR photographs.

    Args:
      first, second: of one scale.
      photographs: HR, [H, W, 3] uint8, at least 4 that are large enough.
      observed: LR, [h, w, 3] uint8, at least 4, which neither has learned from.
      seeds: of all that is drawn, at least two.

    Raises:
      UserError: no HR photograph is large enough.
      ValueError: fewer than four photographs on one side.
    """
    found = [
        [
            compare_with_real(synthesised(one, photographs, seed), observed, seed)
            for seed in seeds
        ]
        for one in (first, second)
    ]
    scores = [
        TestScores(
            tuple(x.synthesised.kernel_distance.mmd2 for x in tests),
            tuple(x.synthesised.classifier.accuracy for x in tests),
        )
        for tests in found
    ]
    return Preference(*scores)
