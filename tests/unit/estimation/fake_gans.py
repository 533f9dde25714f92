"""Stands in for KernelGANs where training is not what is tested."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from pdm_tf.estimation.kernelgan import Estimate, KernelGANSettings


def fake_estimate(name: str) -> Estimate:
    """A Gaussian whose width is a function of the photograph's name alone.

    Names with "bad" in them get one that changes with the seed (the name's end).
    """
    owner = name if "bad" in name else name.rpartition("/")[0]
    draw = hashlib.sha256(owner.encode()).digest()[0] / 255
    y, x = np.mgrid[:13, :13] - 6
    kernel = np.exp(-(y**2 + x**2) / (2 * (0.7 + 0.6 * draw) ** 2))
    if "bad" in name:
        kernel = np.roll(kernel * (x == y), int(name[-1]), axis=0) + kernel * (x == 0)
        kernel = kernel if name.endswith("0") else kernel.T[::-1]
    return Estimate((kernel / kernel.sum()).astype(np.float32), 0.5, 0.01)


class FakeGANs:
    """Has the interface of KernelGANs; `trained` lists the names of all calls.

    A photograph called "bomb" stops the training in its second step, once.
    """

    trained: list[str] = []
    bombs = 0

    def __init__(self, stack: int, settings: KernelGANSettings) -> None:
        self.stack, self._steps = stack, settings.steps

    def train(
        self,
        photographs: Sequence[np.ndarray],
        seeds: Sequence[int],
        names: Sequence[str],
        on_step: Callable[[], None],
    ) -> list[Estimate]:
        assert len(photographs) == len(seeds) == len(names) == self.stack
        for step in range(self._steps):
            on_step()
            if step and any("bomb" in name for name in names) and not FakeGANs.bombs:
                FakeGANs.bombs += 1
                raise KeyboardInterrupt
        FakeGANs.trained += names
        return [fake_estimate(name) for name in names]
