"""The flags that the tasks of `pdm_tf.benchmark` share: how it is measured."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class Measuring:
    """Against what, how often, and what else is told.

    Raises:
      UserError: a number is out of range.
    """

    seed: int = 0
    compare: Literal["none", "torch"] = "none"
    rounds: int = 7
    calls: int = 1
    threads: int = 0
    memory: bool = True
    output: str = ""

    def __post_init__(self) -> None:
        self.require_positive("rounds", "calls")
        if self.threads < 0:
            raise UserError(f"--threads must be 0 or more. Received: {self.threads}.")

    def require_positive(self, *names: str) -> None:
        """Checks numbers.

        Raises:
          UserError: one of them is below 1.
        """
        for name in names:
            if getattr(self, name) < 1:
                raise UserError(
                    f"--{name} must be at least 1. Received: {getattr(self, name)}."
                )

    def require_batch_for_torch(self, batch_size: int) -> None:
        """Checks the batch that is to be compared.

        Raises:
          UserError: PyTorch cannot train on it.
        """
        if self.compare == "torch" and batch_size < 2:
            raise UserError(
                "--batch_size must be at least 2 with --compare=torch, whose batch "
                f"normalisation refuses a single value. Received: {batch_size}."
            )


GEMM_SIZE = (
    "Side of the square matrices whose product, in the same rounds, says what this "
    "machine can reach."
)

MEASURING = {
    "rounds": "Every side is measured once in each; medians and spreads are over "
    "these.",
    "calls": "Calls that one measurement is the mean of; more for tiny networks.",
    "threads": "Threads of each side; 0 leaves every library its own choice, as "
    "its users get it.",
    "memory": "Also measure the peak memory of each side, each in a process of its "
    "own.",
    "output": "File for the numbers as JSON; empty: only the table is printed.",
}
