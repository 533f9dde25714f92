"""Validation during training: the same scores as `evaluate`, kept cheap to repeat.

Images are decoded once (while they fit a budget), bicubic is scored once, and each
network is compiled once, however often the loop validates.
"""

import sys
from collections.abc import Callable, Sequence

import keras
import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.data.pair_check import displaced
from pdm_tf.evaluation.baseline import baseline_grid, bicubic_upscaler
from pdm_tf.evaluation.results import BASELINE, Item
from pdm_tf.evaluation.runner import (
    Upscaler,
    evaluate_pairs,
    keras_upscaler,
    metric_specs,
)

METRICS = ("psnr", "ssim", "psnr_shift")


class Validator:
    """Maps a network to {"psnr": ..., "ssim": ..., "bicubic/psnr": ..., ...}, means.

    A value is infinite only if every image is (see `results.py`).
    """

    def __init__(
        self,
        pairs: Sequence[Item],
        metrics: Sequence[str] = METRICS,
        crop_border: int | None = None,
        scale: int = 4,
        *,
        grid: str | None = None,
        cache_mb: int = 1024,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Prepares the validation.

        Args:
          pairs: the validation pairs.
          metrics: names in `pdm_tf.metrics.METRICS`.
          crop_border: pixels left out on every side; None: the scale.
          scale: HR size / LR size.
          grid: that is recorded with the pairs, for bicubic; None: found by the pairs.
          cache_mb: memory for decoded images; what does not fit is decoded each time.
          on_problem: called once for each pair that can't be used; prints to standard
            error by default.

        Raises:
          UserError: an unknown metric, or no pairs.
        """
        metric_specs(metrics)
        if not pairs:
            raise UserError("Validation needs at least one pair. Received none.")
        self.problems: list[tuple[str, str]] = []
        self._cache = _Cache(cache_mb * 2**20)
        self._pairs: list[Item] = [_CachedPair(pair, self._cache) for pair in pairs]
        self._settings = {
            "metrics": tuple(metrics),
            "crop_border": scale if crop_border is None else crop_border,
            "scale": scale,
        }
        self._grid = grid
        self._on_problem = on_problem or _print_problem
        self._baseline: dict[str, float] | None = None
        # The network is kept with its function, so that an id is never used again.
        self._compiled: dict[int, tuple[keras.Model, Upscaler]] = {}

    def __call__(self, network: keras.Model) -> dict[str, float]:
        """Scores a network on all usable pairs.

        Raises:
          UserError: no pair can be used, or the network's scale is another one.
        """
        baseline = self._bicubic()
        result = evaluate_pairs(
            self._upscaler(network), self._pairs, baseline=False, **self._settings
        )
        if result.problems:
            # All pairs fit bicubic, so it is the network that does not fit.
            name, reason = result.problems[0]
            raise UserError(f"Validation of {network.name} failed on {name}: {reason}")
        return {**result.mean, **baseline}

    def _bicubic(self) -> dict[str, float]:
        """Bicubic's means with their prefix; at the first call drops unusable pairs."""
        if self._baseline is None:
            scale = self._settings["scale"]
            grid = baseline_grid(self._pairs, scale, recorded=self._grid)
            upscale = bicubic_upscaler(scale, grid)
            places = []
            result = evaluate_pairs(
                upscale,
                self._pairs,
                baseline=False,
                on_image=lambda image: places.append(image.displacement),
                **self._settings,
            )
            if beside := displaced(places, scale, self._grid):
                self._on_problem(f"warning: {beside}")
            for name, reason in result.problems:
                self._on_problem(f"validation leaves out {name}: {reason}")
            self.problems = list(result.problems)
            bad = {name for name, _ in result.problems}
            self._pairs = [pair for pair in self._pairs if pair.name not in bad]
            self._baseline = {f"{BASELINE}/{k}": v for k, v in result.mean.items()}
        return self._baseline

    def _upscaler(self, network: keras.Model) -> Upscaler:
        if id(network) not in self._compiled:
            upscale = keras_upscaler(network, self._settings["scale"])
            self._compiled[id(network)] = (network, upscale)
        return self._compiled[id(network)][1]


class _Cache:
    """A budget of bytes for decoded images."""

    def __init__(self, budget: int) -> None:
        self.left = budget

    def admits(self, size: int) -> bool:
        """Takes `size` bytes from the budget if they are left."""
        if size > self.left:
            return False
        self.left -= size
        return True


class _CachedPair:
    """A pair that keeps its images once they are decoded, while the budget lasts."""

    def __init__(self, pair: Item, cache: _Cache) -> None:
        self._pair = pair
        self._cache = cache
        self._images: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def name(self) -> str:
        return self._pair.name

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        if self._images is not None:
            return self._images
        hr_u8, lr_u8 = self._pair.load()
        if self._cache.admits(hr_u8.nbytes + lr_u8.nbytes):
            self._images = (hr_u8, lr_u8)
        return hr_u8, lr_u8


def _print_problem(message: str) -> None:
    print(message, file=sys.stderr)
