"""Methods in two stages: both in one run, or each in a run of its own.

The first stage learns how LR images look, the second trains the SR network with what
was learned. In one run the second goes on from the first's very weights, discriminators
and optimisers included. In two runs the second starts from the first one's bundles,
and refuses to start without them: an untrained network would be used without anybody
noticing.
"""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

from pdm_tf.core.checks import require_one_of
from pdm_tf.core.errors import UserError

TRAINING = ("both", "first", "second")


@dataclasses.dataclass(frozen=True)
class TwoStageConfig:
    """Settings that methods in two stages have in common.

    Attributes:
      training: "both" (the first stage for `first_steps` steps, then the second, in one
        run), "first" alone, or "second" alone, from the networks that a run of the
        first left (--init=PART:RUN for each that it names).
      first_steps: length of the first stage in steps, with training=both.
      second_rate: learning rate of all networks in the second stage, relative to that
        of the schedule.
    """

    # A method with further ways to train names them here.
    trainings: ClassVar[tuple[str, ...]] = TRAINING

    training: str = "both"
    first_steps: int = 200_000
    second_rate: float = 1.0

    def __post_init__(self) -> None:
        require_one_of(self, training=self.trainings)
        if self.first_steps < 1:
            raise UserError(
                f"`first_steps` of {type(self).__name__} must be at least 1. "
                f"Received: {self.first_steps}."
            )
        if self.second_rate <= 0:
            raise UserError(
                f"`second_rate` of {type(self).__name__} must be positive. "
                f"Received: {self.second_rate}."
            )

    def stage(self, step: int) -> int:
        """Returns 1 or 2: the stage of the step of this index."""
        if self.training == "both":
            return 1 if step < self.first_steps else 2
        return 1 if self.training == "first" else 2

    def rate_factors(self, step: int, names: Iterable[str]) -> dict[str, float]:
        """Returns what `Method.rate_factors_for` does, of the named optimisers."""
        return {} if self.stage(step) == 1 else dict.fromkeys(names, self.second_rate)

    @property
    def has_first(self) -> bool:
        """Whether the first stage is trained at all."""
        return self.training != "second"

    @property
    def has_second(self) -> bool:
        """Whether the second stage is trained at all."""
        return self.training != "first"
