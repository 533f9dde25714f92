"""What Bulat et al. and DSGAN-SR have in common: learn to degrade, then train on it.

Both are a degrader G, whose images a discriminator D cannot tell from real LR patches,
held to the photograph by a colour loss on what all downsampling keeps; and an SR
network on pairs of G's images and their photographs. In one step on hr and real_lr:

  first    fake_lr = G(hr, z);  x = quantise(fake_lr)
           G  minimises  w_a A(D(see(real_lr)), D(see(x))) + its other losses
           D  minimises  L(D(see(real_lr)), D(see(y))), y: x or earlier fakes (a buffer)
  second   lr = quantise(G(hr, z)), a constant
           SR network and HR discriminator  minimise what `GANSR` says on (lr, hr)

A and L are a pair of `GAN_LOSSES`. A method says what D sees, and the other losses.
Gradients of a step are of one point, for the networks of its stage alone; where D sees
the very fakes of G's loss, its pass on them is shared.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.degradations import Degradation
from pdm_tf.losses import GAN_LOSSES
from pdm_tf.methods.adversaries import (
    FAKES,
    PARTS,
    Adversary,
    Terms,
    gradients_of,
    scalars_of,
    weighted_sum,
)
from pdm_tf.methods.base import (
    FULL_BATCH,
    Batch,
    BatchShard,
    Health,
    Method,
    NotNeeded,
    Role,
    StepResult,
    TrainStep,
)
from pdm_tf.methods.collapse import degrader_health
from pdm_tf.methods.pairs import Pair, PairMaker, pair_columns
from pdm_tf.methods.sr_parts import GANSR, GANSRConfig
from pdm_tf.methods.stages import TwoStageConfig
from pdm_tf.methods.steps import optimizers_for, patch_rows


@dataclasses.dataclass(frozen=True)
class DegradeFirstConfig(GANSRConfig, TwoStageConfig):
    """Settings of `DegradeFirst`: those of stages and SR part, and of the first stage.

    Attributes:
      parts: whose networks the parts are where no flag says it: those of the method's
        paper ("original") or of Luo et al.'s comparison ("comparison").
      colour_weight: of the loss that compares colours with the photograph's.
      adversarial_weight: of G's loss against D.
      adversarial_loss: an entry of GAN_LOSSES.
      adversarial_beta_1: Adam's first decay for G and D.
      fakes: what D sees. "8bit_unmasked": quantised like the real ones, gradient 1
        everywhere; "raw": as they are, so that their digits give them away (releases).
      buffer_size: earlier fakes from which D's are drawn, see `ImageBuffer`.
    """

    pixel_method: ClassVar[str] = ""

    first_steps: int = 100_000
    parts: str = "original"
    colour_weight: float = 1.0
    adversarial_weight: float = 1.0
    adversarial_loss: str = "lsgan"
    adversarial_beta_1: float = 0.9
    fakes: str = "8bit_unmasked"
    buffer_size: int = 0

    def __post_init__(self) -> None:
        TwoStageConfig.__post_init__(self)
        GANSRConfig.__post_init__(self)
        require_one_of(
            self, parts=PARTS, fakes=FAKES, adversarial_loss=tuple(GAN_LOSSES)
        )
        require_not_below(self, colour_weight=0, adversarial_weight=0, buffer_size=0)

    @property
    def first_stream(self) -> str:
        """The stream of photographs that the first stage degrades."""
        return "hr"

    @property
    def second_stream(self) -> str:
        """The stream of photographs that the second stage degrades."""
        return "hr"


class DegradeFirst(Method):
    """Trains `degradation` against `discriminator`, then `sr` on its images.

    Args:
      config: settings.
      parts: "degradation" (built; any degradation where it is frozen from the start),
        "discriminator" (on LR images) with the first stage, and with the second "sr"
        and what `GANSR` needs.
      lr_patch: side of LR patches.
      learning_rate, clip_norm: of Adam, for each network.
      seed: of everything random in the steps.
    """

    def __init__(
        self,
        config: DegradeFirstConfig,
        parts: Mapping[str, Any],
        *,
        lr_patch: int,
        learning_rate: float,
        clip_norm: float,
        seed: int,
    ) -> None:
        self.config = config
        self._degradation: Degradation = parts["degradation"]
        self._scale, self.grid = self._degradation.scale, self._degradation.grid
        self._pairs = PairMaker(
            self._degradation, lr_patch=lr_patch, seed=seed, stream="latents"
        )
        self._sr_part = GANSR.made_of(config, parts) if config.has_second else None
        sr_networks = self._sr_part.networks if config.has_second else {}
        adversaries = ("degradation", "discriminator") if config.has_first else ()
        present = {**parts, **sr_networks}
        self.networks: dict[str, keras.Model] = {
            name: present[name]
            for name in dict.fromkeys(("degradation", *adversaries, *sr_networks))
            if isinstance(present[name], keras.Model)  # a predefined one is none
        }
        beta_1 = dict.fromkeys(adversaries, config.adversarial_beta_1)
        self.optimizers = optimizers_for(
            self.networks,
            [*adversaries, *sr_networks],
            learning_rate=learning_rate,
            clip_norm=clip_norm,
            beta_1=beta_1,
        )
        if config.has_first:
            self._adversary = Adversary(
                parts["discriminator"],
                "discriminator",
                (lr_patch, lr_patch, 3),
                config,
                seed,
                gan_loss=config.adversarial_loss,
                view=self.seen,
            )
            self.extra_state = {"buffer": self._adversary.buffer}
        photographs = {
            config.first_stream: config.has_first,
            config.second_stream: config.has_second,
        }
        self.patches = {
            stream: self._pairs.hr_side
            for stream in ("hr", "source_hr")
            if photographs.get(stream)
        }
        if config.has_first:
            self.patches["real_lr"] = lr_patch
        elif self._pairs.ahead is not None:
            self.prepare_batch = self._prepare

    @classmethod
    def roles(cls, settings: DegradeFirstConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the degrader, its discriminator, and the parts of the SR part."""
        roles: dict[str, Role | NotNeeded] = {
            "degradation": cls.degrader_role(settings),
            "discriminator": cls.discriminator_role(settings),
            "sr": Role("sr", "edsr"),
            **GANSR.roles(settings, cls.name),
        }
        if not settings.has_first:
            frozen = roles["degradation"]._replace(frozen="training=second")
            roles["degradation"] = frozen
            roles["discriminator"] = NotNeeded("training=second")
        if not settings.has_second:
            for name in ("sr", "hr_discriminator", "features"):
                roles[name] = NotNeeded("training=first")
        return roles

    @classmethod
    def degrader_role(cls, settings: Any) -> Role:
        """The degrader, with the method's own settings."""
        raise NotImplementedError

    @classmethod
    def discriminator_role(cls, settings: Any) -> Role:
        """The discriminator on LR images, with the method's own settings."""
        raise NotImplementedError

    @classmethod
    def streams(cls, settings: DegradeFirstConfig) -> Mapping[str, str | NotNeeded]:
        """Needs photographs to degrade, and real LR ones to learn from."""
        stages = {
            settings.first_stream: settings.has_first,
            settings.second_stream: settings.has_second,
        }
        needs = {
            "hr": "",
            "source_hr": f"for {cls.name} to reduce the source's own photographs",
        }
        streams = {name: need for name, need in needs.items() if stages.get(name)}
        if settings.has_first:
            streams["real_lr"] = "to learn a degradation"
        return streams

    @classmethod
    def make(
        cls,
        settings: DegradeFirstConfig,
        parts: Mapping[str, Any],
        common: Mapping[str, Any],
    ) -> "DegradeFirst":
        """Makes the method; the scale is the degradation's."""
        return cls(settings, parts, **{k: v for k, v in common.items() if k != "scale"})

    def seen(self, lr: tf.Tensor) -> tf.Tensor:
        """Returns what of LR images [B, h, w, 3] the discriminator sees."""
        return lr

    def first_losses(self, fake_lr: tf.Tensor, hr: tf.Tensor, crop: tf.Tensor) -> Terms:
        """Names the degrader's losses besides that against the discriminator.

        Args:
          fake_lr: [B, h, w, 3], not quantised.
          hr: [B, h * s, w * s, 3], the photograph that it shows.
          crop: `hr` with the degradation's margin.

        """
        raise NotImplementedError

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the step of the first or the second stage."""
        return {1: self._first_step, 2: self._second_step}[self.config.stage(step)]

    def rate_factors_for(self, step: int) -> Mapping[str, float]:
        """Gives the second stage its own learning rate."""
        return self.config.rate_factors(step, self.optimizers)

    def deployable(self) -> Mapping[str, keras.Model]:
        """Names the SR network and the degradation."""
        return {k: v for k, v in self.networks.items() if k in ("sr", "degradation")}

    def health(self, fixed_batch: Callable[[], Batch]) -> Health | None:
        """Reports on the degrader, unless it is frozen from the start."""
        if not self.config.has_first:
            return None
        hr = self._photographs(fixed_batch(), 1)["hr"]
        return degrader_health(self._degradation, hr)

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows of real lr, fake lr, sr, hr."""
        del step
        few = {name: images[:4] for name, images in batch.items()}
        columns = {"real lr": few["real_lr"]} if "real_lr" in few else {}
        stage = 2 if self.config.has_second else 1
        pair = self._pair(few, tf.constant(0, tf.int64), FULL_BATCH, stage)
        sr = self.networks["sr"](pair.lr) if "sr" in self.networks else None
        columns |= pair_columns(pair, sr, lr_name="fake lr")
        return {"patches": patch_rows(columns, self._scale)}

    def _photographs(self, batch: Batch, stage: int) -> Batch:
        """Returns the crops that a stage degrades as "hr"; pairs as they are."""
        config = self.config
        stream = config.first_stream if stage == 1 else config.second_stream
        return batch if "lr" in batch else {"hr": batch[stream]}

    def _prepare(self, batch: Batch, step: tf.Tensor, shard: BatchShard) -> Batch:
        return self._pairs.prepare(self._photographs(batch, 2), step, shard)

    def _pair(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard, stage: int
    ) -> Pair:
        return self._pairs.pair(self._photographs(batch, stage), step, shard)

    def _first_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        return self._learn_degradation(batch, step, shard)[0]

    def _second_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        pair = self._pair(batch, step, shard, stage=2)
        return self._sr_part.learn(pair, self.optimizers)

    def _learn_degradation(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> tuple[StepResult, tf.Tensor, tf.Tensor]:
        """Returns the degrader's and D's result, the fakes, and their photographs."""
        config = self.config
        crop = self._photographs(batch, 1)["hr"]
        with tf.GradientTape(persistent=True) as tape:
            degraded, hr = self._pairs.degrade(crop, step, shard, training=True)
            verdict = self._adversary.judge(batch["real_lr"], degraded.lr)
            terms = {
                "loss/g_adv": (config.adversarial_weight, verdict.generator),
                **self.first_losses(degraded.lr, hr, crop),
            }
            losses = {
                ("degradation",): weighted_sum(terms),
                ("discriminator",): verdict.discriminator,
            }
        gradients = gradients_of(tape, losses, self.networks, self.optimizers)
        del tape
        scalars = {
            **scalars_of(terms),
            "loss/d_lr": verdict.discriminator,
            "stat/d_real": verdict.real,
            "stat/d_fake": verdict.fake,
        }
        return StepResult(scalars, gradients), degraded.lr, hr
