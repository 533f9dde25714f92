"""Supervised training of an SR network on pairs: L1(SR(lr), hr).

The pairs are either real ones (streams "lr" and "hr") or made from HR images with a
degradation that is not trained: predefined, with --degradation_arg for its settings, or
learned before. With bicubic this is the "EDSR" row of the paper's Table 2, and its
result the usual start (`--init_sr`) for PDM-SR. With the degradations of BSRGAN and
Real-ESRGAN it makes BSRNet and Real-ESRNet, from which supervised_gan.py goes on.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import require_one_of
from pdm_tf.core.geometry import GRIDS
from pdm_tf.degradations import Degradation
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
from pdm_tf.methods.pairs import Pair, PairMaker, pair_columns
from pdm_tf.methods.sr_parts import PixelSR, SRPart
from pdm_tf.methods.steps import optimizers_for, patch_rows


@dataclasses.dataclass(frozen=True)
class SupervisedConfig:
    """Settings of `Supervised`.

    Attributes:
      pairs: "synthetic" (HR degraded by `degradation`) or "real" (--lr_dir holds the LR
        images of --hr_dir, matched by name).
      degradation: the name of a predefined one, a run folder, or a bundle.
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


class Supervised(Method):
    """Trains an SR part on pairs.

    Args:
      config: settings.
      sr_part: the SR network and its losses.
      degradation: makes synthetic pairs; None for real ones.
      scale: factor of both.
      lr_patch: side of LR patches.
      learning_rate: initial, of Adam.
      clip_norm: ceiling of the gradient's norm, for each network.
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
        sr_part: SRPart,
        degradation: Degradation | None = None,
        scale: int,
        lr_patch: int,
        learning_rate: float,
        clip_norm: float,
        seed: int,
    ) -> None:
        self._sr_part, self._scale = sr_part, scale
        self._maker: PairMaker | None = None
        self.grid = config.grid
        self.patches = {"hr": lr_patch * scale, "lr": lr_patch}
        if degradation is not None:
            self._maker = PairMaker(
                degradation, lr_patch=lr_patch, seed=seed, quantise=config.quantise
            )
            self.grid = degradation.grid
            self.patches = {"hr": self._maker.hr_side}
            self.prepare_batch = self._maker.ahead
        self.networks = sr_part.networks
        self.optimizers = optimizers_for(
            self.networks,
            list(self.networks),
            learning_rate=learning_rate,
            clip_norm=clip_norm,
        )

    @classmethod
    def roles(cls, settings: SupervisedConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the SR network, and the degradation of synthetic pairs."""
        if settings.pairs == "real":
            return {"sr": Role("sr", "edsr"), "degradation": NotNeeded("pairs=real")}
        made_by = Role("degradation", settings.degradation, frozen=cls.name)
        return {"sr": Role("sr", "edsr"), "degradation": made_by}

    @classmethod
    def streams(cls, settings: SupervisedConfig) -> Mapping[str, str | NotNeeded]:
        """Needs HR photographs, alone or with their partners."""
        if settings.pairs == "real":
            return {"hr": "", "lr": "with --method_arg=pairs=real"}
        why = (
            f"{cls.name}, which makes its LR images from --hr_dir, unless "
            "--method_arg=pairs=real says that --lr_dir holds their partners"
        )
        return {"hr": "", "lr": NotNeeded(why)}

    @classmethod
    def make(
        cls,
        settings: SupervisedConfig,
        parts: Mapping[str, Any],
        common: Mapping[str, Any],
    ) -> "Supervised":
        """Makes the method; its SR part is what `sr_part` makes."""
        return cls(
            settings,
            sr_part=cls.sr_part(settings, parts),
            degradation=parts.get("degradation"),
            **common,
        )

    @classmethod
    def sr_part(cls, settings: SupervisedConfig, parts: Mapping[str, Any]) -> SRPart:
        """Makes the SR part, here the one with the pixel loss alone."""
        del settings
        return PixelSR(parts["sr"])

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the one step of its one phase."""
        del step
        return self._train_step

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows of lr, sr, hr."""
        few = {name: images[:4] for name, images in batch.items()}
        pair = self._pair(few, tf.constant(step, tf.int64), FULL_BATCH)
        columns = pair_columns(pair, self.networks["sr"](pair.lr))
        return {"patches": patch_rows(columns, self._scale)}

    def _pair(self, batch: Batch, step: tf.Tensor, shard: BatchShard) -> Pair:
        if self._maker is None:
            return Pair.of(batch)
        return self._maker.pair(batch, step, shard)

    def _train_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        return self._sr_part.learn(self._pair(batch, step, shard), self.optimizers)
