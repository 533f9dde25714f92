"""Supervised training of an SR network on pairs: L1(SR(lr), hr).

The pairs are either real ones (streams "lr" and "hr") or made from HR images with a
predefined degradation, whose settings --degradation_arg changes. With bicubic this is
the "EDSR" row of the paper's Table 2, and its result the usual start (`--init_sr`) for
PDM-SR.
"""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import lookup, require_one_of
from pdm_tf.core.geometry import GRIDS
from pdm_tf.degradations import DEGRADATIONS, Degradation
from pdm_tf.methods.base import (
    FULL_BATCH,
    Batch,
    BatchShard,
    Method,
    NotNeeded,
    Role,
    StepResult,
    TrainStep,
)
from pdm_tf.methods.steps import (
    PixelSR,
    crop_margin,
    optimizers_for,
    patch_rows,
    step_seed,
)
from pdm_tf.ops.quantise import quantise_8bit


@dataclasses.dataclass(frozen=True)
class SupervisedConfig:
    """Settings of `Supervised`.

    Attributes:
      pairs: "synthetic" (HR degraded by `degradation`) or "real" (--lr_dir holds the LR
        images of --hr_dir, matched by name).
      degradation: an entry of DEGRADATIONS.
      quantise: whether synthetic LR is rounded to 8 bits, like files are.
      grid: of real pairs: where LR pixel i lies in the HR image, "pixel0" on HR pixel
        scale * i, "half_pixel" on scale * i + (scale - 1) / 2. "auto": as the
        degrade.json or the index.json next to them says, else "half_pixel".

    Raises:
      ValueError: an unknown value, or a grid for synthetic pairs.
    """

    pairs: str = "synthetic"
    degradation: str = "bicubic"
    quantise: bool = True
    grid: str = "auto"

    def __post_init__(self) -> None:
        require_one_of(self, pairs=("synthetic", "real"), grid=("auto", *GRIDS))
        if self.pairs == "synthetic" and self.grid != "auto":
            raise ValueError(
                "`grid` is for pairs=real; the degradation decides it for synthetic "
                f"pairs. Received: grid={self.grid}."
            )
        lookup(DEGRADATIONS, self.degradation, "degradation")


class Supervised(Method):
    """Trains `sr` on pairs.

    Args:
      config: settings.
      sr: built SR network.
      degradation: makes synthetic pairs; None for real ones.
      scale: factor of both.
      lr_patch: side of LR patches.
      learning_rate: initial, of Adam.
      clip_norm: ceiling of the gradient's norm.
      seed: of everything random in the steps.

    Attributes:
      grid: of real pairs as in the settings, of synthetic ones the degradation's.
    """

    name = "supervised"
    config_class = SupervisedConfig

    def __init__(
        self,
        config: SupervisedConfig,
        *,
        sr: keras.Model,
        degradation: Degradation | None = None,
        scale: int,
        lr_patch: int,
        learning_rate: float,
        clip_norm: float,
        seed: int,
    ) -> None:
        self._config, self._sr, self._scale, self._seed = config, sr, scale, seed
        self._part = PixelSR(sr)
        self._degradation, self.grid = degradation, config.grid
        self.patches = {"hr": lr_patch * scale, "lr": lr_patch}
        if degradation is not None:
            self.grid = degradation.grid
            self.patches = {"hr": degradation.hr_side(lr_patch)}
        self.networks = self._part.networks
        self.optimizers = optimizers_for(
            self.networks, ["sr"], learning_rate=learning_rate, clip_norm=clip_norm
        )

    @classmethod
    def roles(cls, settings: SupervisedConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the SR network, and the degradation of synthetic pairs."""
        if settings.pairs == "real":
            return {"sr": Role("sr", "edsr"), "degradation": NotNeeded("pairs=real")}
        made_by = Role("degradation", settings.degradation, frozen="supervised")
        return {"sr": Role("sr", "edsr"), "degradation": made_by}

    @classmethod
    def streams(cls, settings: SupervisedConfig) -> Mapping[str, str | NotNeeded]:
        """Needs HR photographs, alone or with their partners."""
        if settings.pairs == "real":
            return {"hr": "", "lr": "with --method_arg=pairs=real"}
        why = (
            "supervised, which makes its LR images from --hr_dir, unless "
            "--method_arg=pairs=real says that --lr_dir holds their partners"
        )
        return {"hr": "", "lr": NotNeeded(why)}

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the one step of its one phase."""
        del step
        return self._train_step

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows of lr, sr, hr."""
        few = {name: images[:4] for name, images in batch.items()}
        lr, hr = self._pair(few, tf.constant(step, tf.int64), FULL_BATCH)
        return {
            "patches": patch_rows({"lr": lr, "sr": self._sr(lr), "hr": hr}, self._scale)
        }

    def _pair(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> tuple[tf.Tensor, tf.Tensor]:
        degradation, hr = self._degradation, batch["hr"]
        if degradation is None:
            return batch["lr"], hr
        seed = step_seed(self._seed, "degradation", step)
        lr = degradation.synthesise(hr, seed, shard).lr
        if self._config.quantise:
            lr = quantise_8bit(lr)
        return lr, crop_margin(hr, degradation.crop_margin)

    def _train_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        lr, hr = self._pair(batch, step, shard)
        return self._part.learn(lr, hr, self.optimizers)
