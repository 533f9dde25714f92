"""PDM-SR (Luo et al. 2022, arXiv:2203.04962): learn the degradation, train SR with it.

One joint step (section 3.4), on hr and, unpaired, real_lr:

  1. z_k, z_n ~ N(0, I);  fake_lr = PDM(hr, z_k, z_n)                          (Eq. 11)
     (with a JPEG module: larger, and both are then cut out at random, see pairs.py)
  2. PDM     minimises  (D(fake_lr) - 1)^2 + lambda |n|^2                      (Eq. 13)
     (where it starts at an estimate, also what the photographs say against leaving it)
  3. D       minimises  ((D(real_lr) - 1)^2 + D(fake_lr)^2) / 2
  4. SR net  minimises  |SR(quantise(fake_lr)) - hr|      (an `SRPart`, sr_parts.py)

All three see the fakes from before step 2's update, as in the authors' code, and D's
forward pass on the fakes is computed once and shared by 2 and 3: D has not changed in
between, so the gradients are exactly those of two passes. So the step is three
gradients at one point, and the caller applies the updates.

`training` also offers the degradation alone, an SR network on a frozen degradation, and
the two in sequence. What differs from the release, each with its switch, is listed at
`PDMSRConfig`; `PDMSRConfig.paper()` sets them all as released.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.errors import UserError
from pdm_tf.degradations import PDM, Degradation, Degraded
from pdm_tf.losses import (
    anchor_loss,
    centroid_loss,
    lsgan_discriminator_loss,
    lsgan_generator_loss,
    noise_energy_loss,
)
from pdm_tf.methods.base import (
    FULL_BATCH,
    Batch,
    BatchShard,
    Health,
    Method,
    NotNeeded,
    Role,
    Scalars,
    StepResult,
    TrainStep,
)
from pdm_tf.methods.collapse import degradation_health
from pdm_tf.methods.pairs import Pair, PairMaker, pair_columns
from pdm_tf.methods.sr_parts import PixelSR, SRPart
from pdm_tf.methods.steps import (
    kernel_picture,
    optimizers_for,
    patch_rows,
    sampled_kernels,
    step_seed,
)
from pdm_tf.ops.blur import BORDERS, GRIDS, kernel_centroid, kernel_spread
from pdm_tf.ops.quantise import (
    quantise_8bit,
    quantise_8bit_unmasked,
    soft_quantise_8bit,
)

TRAINING = ("joint", "separate", "degradation", "sr")
_ANCHOR_DRAWS = 64  # latents; 64 kernels cost less than one patch
FAKES = ("8bit", "8bit_unmasked", "release")


@dataclasses.dataclass(frozen=True)
class PDMSRConfig:
    """Settings of `PDMSR`; the defaults are ours, `paper()` gives the release's.

    Attributes:
      training: "joint"; "separate" (degradation for `degradation_steps`, then SR with
        it frozen); "degradation" alone; "sr" with the frozen --init_degradation.
      degradation_steps: length of the first part of "separate".
      border: "valid" crops HR with a real margin and blurs without padding; "reflect"
        mirrors, which shows at the border of each fake (release).
      grid: "pixel0" (release) or "half_pixel", see ops.blur.
      fakes: what the discriminator sees. "8bit_unmasked": quantised like the real ones,
        gradient 1 everywhere; "8bit": masked where clamped, which lets strong noise
        darken what is white, if the HR photographs have more of it than the LR ones;
        "release": smooth staircase without a noise module, not quantised with one.
      centroid_weight: of the penalty on kernels off centre, per squared HR pixel; 0 as
        in the release lets them drift, and SR results with them.
      adversarial_weight: of both adversarial losses.
      noise_weight: lambda of Eq. 13. The paper's 100 suits the slopes of its
        discriminator; against our spectrally normalised one it suppresses the noise,
        and kernels shrink to a delta to imitate it by aliasing.
      adversarial_beta_1: Adam's first decay for PDM and discriminator. With 0.9, as
        released, the strength of the noise swings for longer before it settles.
      degradation_rate: PDM's learning rate relative to that of the others. With a
        discriminator that learns faster (two time scales, Heusel et al. 2017,
        arXiv:1706.08500) kernels keep their true variety and noise its strength.
      anchor_weight: of what the photographs say against kernels that leave the estimate
        that PDM started at, `losses.anchor_loss`; nothing for a PDM without estimate.
      tap_decay: weight of the mean square of what is learned tap by tap
        (`KernelModule.tap_energy`), which holds kernels near their Gaussians.
      warmup_steps: at first so many in which the discriminator learns to judge and PDM
        stays as it is. A new one's verdict moves a good start anywhere.
    """

    training: str = "joint"
    degradation_steps: int = 100_000
    border: str = "valid"
    grid: str = "pixel0"
    fakes: str = "8bit_unmasked"
    centroid_weight: float = 1.0
    adversarial_weight: float = 1.0
    noise_weight: float = 1.0
    adversarial_beta_1: float = 0.5
    degradation_rate: float = 0.25
    anchor_weight: float = 0.1
    tap_decay: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        require_one_of(self, training=TRAINING, fakes=FAKES, border=BORDERS, grid=GRIDS)
        require_not_below(self, centroid_weight=0, adversarial_weight=0, noise_weight=0)
        require_not_below(self, anchor_weight=0, tap_decay=0, warmup_steps=0)
        name = type(self).__name__
        if self.degradation_rate <= 0:
            raise UserError(
                f"`degradation_rate` of {name} must be positive. "
                f"Received: {self.degradation_rate}."
            )
        if self.degradation_steps < 1:
            raise UserError(
                f"`degradation_steps` of {name} must be at least 1. "
                f"Received: {self.degradation_steps}."
            )
        if self.training == "separate" and self.warmup_steps >= self.degradation_steps:
            raise UserError(
                f"`warmup_steps` of {name} must be less than `degradation_steps`, or "
                f"the degradation never learns. Received: {self.warmup_steps} and "
                f"{self.degradation_steps}."
            )

    @classmethod
    def paper(cls) -> "PDMSRConfig":
        """Returns the released behaviour wherever it makes sense."""
        return cls(
            border="reflect",
            fakes="release",
            centroid_weight=0.0,
            noise_weight=100.0,
            adversarial_beta_1=0.9,
            degradation_rate=1.0,
            anchor_weight=0.0,
        )

    @property
    def learns_degradation(self) -> bool:
        """Whether PDM and discriminator are trained at all."""
        return self.training != "sr"

    @property
    def learns_sr(self) -> bool:
        """Whether an SR network is trained at all."""
        return self.training != "degradation"


class PDMSR(Method):
    """Trains `pdm` against `discriminator`, and an SR part on its images.

    Args:
      config: settings.
      pdm: built degradation model; its config decides border and grid. Where it is
        frozen from the start, any degradation.
      discriminator: built, on LR images; None when the degradation is frozen.
      sr_part: the SR network and its losses; None when only the degradation is trained.
      lr_patch: side of LR patches.
      learning_rate, clip_norm: of Adam, for each network.
      seed: of everything random in the steps.
    """

    name = "pdm_sr"
    config_class = PDMSRConfig

    def __init__(
        self,
        config: PDMSRConfig,
        *,
        pdm: Degradation,
        discriminator: keras.Model | None,
        sr_part: SRPart | None,
        lr_patch: int,
        learning_rate: float,
        clip_norm: float,
        seed: int,
    ) -> None:
        self._config, self._pdm = config, pdm
        self._discriminator, self._sr_part = discriminator, sr_part
        self._scale, self.grid, self._seed = pdm.scale, pdm.grid, seed
        self._pairs = PairMaker(pdm, lr_patch=lr_patch, seed=seed, stream="latents")
        self.patches = {"hr": self._pairs.hr_side}
        if config.learns_degradation:
            self.patches["real_lr"] = lr_patch
        else:
            self.prepare_batch = self._pairs.ahead
        sr_networks = {} if sr_part is None else sr_part.networks
        present = {"pdm": pdm, "discriminator": discriminator, **sr_networks}
        self.networks: dict[str, keras.Model] = {
            name: network
            for name, network in present.items()
            if isinstance(network, keras.Model)  # a predefined degradation is none
        }
        trained = [*self._adversaries(), *(sr_networks if config.learns_sr else [])]
        beta_1 = config.adversarial_beta_1
        self.optimizers = optimizers_for(
            self.networks,
            trained,
            learning_rate=learning_rate,
            clip_norm=clip_norm,
            beta_1=dict.fromkeys(("pdm", "discriminator"), beta_1),
        )

    @classmethod
    def roles(cls, settings: PDMSRConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the degradation, its discriminator, and the SR network."""
        given = {"grid": settings.grid, "border": settings.border}
        roles = {
            "pdm": Role("degradation", "pdm", given),
            "discriminator": Role("discriminator", "patchgan", sees="lr"),
            "sr": Role("sr", "edsr"),
        }
        if not settings.learns_degradation:
            roles["pdm"] = Role("degradation", "pdm", given, frozen="training=sr")
            roles["discriminator"] = NotNeeded("training=sr")
        if not settings.learns_sr:
            roles["sr"] = NotNeeded("training=degradation")
        return roles

    @classmethod
    def streams(cls, settings: PDMSRConfig) -> Mapping[str, str | NotNeeded]:
        """Needs HR photographs, and real LR ones to learn from.

        With training=sr --lr_dir may be given: the flag files of both stages share it.
        """
        if settings.learns_degradation:
            return {"hr": "", "real_lr": "to learn a degradation"}
        return {"hr": ""}

    @classmethod
    def make(
        cls,
        settings: PDMSRConfig,
        parts: Mapping[str, Any],
        common: Mapping[str, Any],
    ) -> "PDMSR":
        """Makes the method; its SR part is what `sr_part` makes."""
        return cls(
            settings,
            pdm=parts["pdm"],
            discriminator=parts.get("discriminator"),
            sr_part=cls.sr_part(settings, parts) if settings.learns_sr else None,
            **{name: value for name, value in common.items() if name != "scale"},
        )

    @classmethod
    def sr_part(cls, settings: PDMSRConfig, parts: Mapping[str, Any]) -> SRPart:
        """Makes the SR part, here the one with the pixel loss alone."""
        del settings
        return PixelSR(parts["sr"])

    @property
    def config(self) -> PDMSRConfig:
        """The settings."""
        return self._config

    def _adversaries(self) -> list[str]:
        return ["pdm", "discriminator"] if self._config.learns_degradation else []

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the joint, degradation or SR step, by training and its phase."""
        training = self._config.training
        if training == "separate":
            first = step < self._config.degradation_steps
            training = "degradation" if first else "sr"
        if training != "sr" and step < self._config.warmup_steps:
            training += " warm-up"
        return {
            "joint": self._joint_step,
            "joint warm-up": self._joint_warmup_step,
            "degradation": self._degradation_step,
            "degradation warm-up": self._degradation_warmup_step,
            "sr": self._sr_step,
        }[training]

    def rate_factors_for(self, step: int) -> Mapping[str, float]:
        """Slows PDM down against its discriminator."""
        del step
        return {"pdm": self._config.degradation_rate}

    def deployable(self) -> Mapping[str, keras.Model]:
        """Names the SR network and the degradation model."""
        return {k: v for k, v in self.networks.items() if k in ("sr", "pdm")}

    def unaveraged(self) -> Sequence[keras.Variable]:
        """Lists the paper's noise module: averaged, it makes weak and smooth noise.

        What a latent adds flips sign occasionally in training, with no visible effect,
        but an average over the flips is nearly nothing. Ours keeps its
        signs, and averaging evens out the swings of its strength.
        """
        noise_module = getattr(self._pdm, "noise_module", None)
        if noise_module is None or noise_module.config.zero_mean:
            return []
        return noise_module.trainable_variables

    def health(self, fixed_batch: Callable[[], Batch]) -> Health | None:
        """Reports on the degradation, unless it is frozen from the start."""
        if not self._config.learns_degradation:
            return None
        return degradation_health(self._pdm, fixed_batch()["hr"])

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows of real lr, fake lr, sr, hr; and a gallery of sampled kernels."""
        few = {name: images[:4] for name, images in batch.items()}
        pair = self._pairs.pair(few, tf.constant(0, tf.int64), FULL_BATCH)
        columns = {"real lr": few["real_lr"]} if "real_lr" in few else {}
        sr = self.networks["sr"](pair.lr) if "sr" in self.networks else None
        columns |= pair_columns(pair, sr, lr_name="fake lr")
        pictures = {"patches": patch_rows(columns, self._scale)}
        if isinstance(self._pdm, PDM):
            kernels = sampled_kernels(self._pdm, hr=few["hr"])
            pictures["kernels"] = kernel_picture(kernels)
        return pictures

    def _as_seen(self, degraded: Degraded) -> tf.Tensor:
        """Converts the fakes to what the discriminator sees."""
        if degraded.quality is not None:
            return degraded.lr  # in 8 bit, as it comes from JPEG
        if self._config.fakes == "8bit":
            return quantise_8bit(degraded.lr)
        if self._config.fakes == "8bit_unmasked":
            return quantise_8bit_unmasked(degraded.lr)
        # "release": a smooth staircase, and no quantisation at all with noise.
        if degraded.noise is None:
            return soft_quantise_8bit(degraded.lr)
        return degraded.lr

    def _joint_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        return self._with_sr(*self._learn_degradation(batch, step, shard))

    def _joint_warmup_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        return self._with_sr(*self._learn_to_judge(batch, step, shard))

    def _with_sr(
        self, degradation: StepResult, fake_lr: tf.Tensor, hr: tf.Tensor
    ) -> StepResult:
        """Adds what the SR network learns from the same fakes."""
        lr = tf.stop_gradient(quantise_8bit(fake_lr))
        sr = self._sr_part.learn(Pair(lr, hr), self.optimizers)
        return StepResult(
            {**degradation.scalars, **sr.scalars},
            {**degradation.gradients, **sr.gradients},
        )

    def _degradation_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        return self._learn_degradation(batch, step, shard)[0]

    def _degradation_warmup_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        return self._learn_to_judge(batch, step, shard)[0]

    def _sr_step(self, batch: Batch, step: tf.Tensor, shard: BatchShard) -> StepResult:
        pair = self._pairs.pair(batch, step, shard)
        return self._sr_part.learn(pair, self.optimizers)

    def _learn_degradation(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> tuple[StepResult, tf.Tensor, tf.Tensor]:
        """Returns the PDM's and D's result, the fakes, and their part of HR."""
        config, discriminator = self._config, self._discriminator
        with tf.GradientTape(persistent=True) as tape:
            degraded, hr = self._pairs.degrade(batch["hr"], step, shard, training=True)
            fake_logits = discriminator(self._as_seen(degraded), training=True)
            real_logits = discriminator(batch["real_lr"], training=True)
            g_adv = lsgan_generator_loss(fake_logits)
            d_adv = lsgan_discriminator_loss(real_logits, fake_logits)
            centroid = centroid_loss(degraded.kernel, self._pdm.centre_px)
            pdm_loss = config.adversarial_weight * g_adv
            pdm_loss += config.centroid_weight * centroid
            energy = tf.constant(0.0)
            if degraded.noise is not None:
                energy = noise_energy_loss(degraded.noise)
                pdm_loss += config.noise_weight * energy
            hold, held = self._held_back(step)
            pdm_loss += hold
            d_loss = config.adversarial_weight * d_adv
            scaled_pdm = self.optimizers["pdm"].scale_loss(pdm_loss)
            scaled_d = self.optimizers["discriminator"].scale_loss(d_loss)
        gradients = {
            "pdm": tape.gradient(scaled_pdm, self._pdm.trainable_variables),
            "discriminator": tape.gradient(scaled_d, discriminator.trainable_variables),
        }
        del tape
        scalars = {
            "loss/g_adv": g_adv,
            "loss/d_lr": d_adv,
            "loss/centroid": centroid,
            **held,
            "stat/d_real": tf.reduce_mean(real_logits),
            "stat/d_fake": tf.reduce_mean(fake_logits),
            **_kernel_statistics(degraded.kernel),
        }
        if degraded.noise is not None:
            scalars["loss/noise_energy"] = energy
            scalars["stat/noise_mean"] = tf.reduce_mean(degraded.noise)
            scalars["stat/noise_std"] = tf.math.reduce_std(degraded.noise)
        if degraded.quality is not None:
            scalars["stat/quality_mean"] = tf.reduce_mean(degraded.quality)
            scalars["stat/quality_std"] = tf.math.reduce_std(degraded.quality)
        return StepResult(scalars, gradients), degraded.lr, hr

    def _held_back(self, step: tf.Tensor) -> tuple[tf.Tensor, Scalars]:
        """Returns what holds PDM back, weighed and summed, and each to log."""
        config, total, parts = self._config, tf.constant(0.0), {}
        kernel, module = self._pdm.config.kernel, self._pdm.kernel_module.single()
        start = kernel.start
        if start is not None and config.anchor_weight:
            distribution = module.gaussian_distribution()
            if not (kernel.per_pixel or kernel.basis):
                seed = step_seed(self._seed, "anchor", step)
                shape = kernel.latent_shape(_ANCHOR_DRAWS, 1, 1)
                z_k = tf.random.stateless_normal(shape, seed)
                distribution = module.moved_distribution(z_k)
            parts["loss/anchor"] = anchor_loss(
                *distribution,
                target_mean=np.asarray(start.mean),
                target_covariance=np.asarray(start.covariance),
                mean_error=np.asarray(start.mean_error),
                photographs=start.photographs,
            )
            total += config.anchor_weight * parts["loss/anchor"]
        if config.tap_decay:
            parts["loss/taps"] = module.tap_energy()
            total += config.tap_decay * parts["loss/taps"]
        return total, parts

    def _learn_to_judge(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> tuple[StepResult, tf.Tensor, tf.Tensor]:
        """Returns D's result alone, the fakes of a PDM at rest, and their part of HR.

        With training=True the statistics of PDM's batch normalisation would move.
        """
        config, discriminator = self._config, self._discriminator
        degraded, hr = self._pairs.degrade(batch["hr"], step, shard, training=False)
        fakes = tf.stop_gradient(self._as_seen(degraded))
        with tf.GradientTape() as tape:
            fake_logits = discriminator(fakes, training=True)
            real_logits = discriminator(batch["real_lr"], training=True)
            d_adv = lsgan_discriminator_loss(real_logits, fake_logits)
            d_loss = config.adversarial_weight * d_adv
            scaled = self.optimizers["discriminator"].scale_loss(d_loss)
        gradients = tape.gradient(scaled, discriminator.trainable_variables)
        scalars = {
            "loss/d_lr": d_adv,
            "stat/d_real": tf.reduce_mean(real_logits),
            "stat/d_fake": tf.reduce_mean(fake_logits),
            **_kernel_statistics(degraded.kernel),
        }
        return StepResult(scalars, {"discriminator": gradients}), degraded.lr, hr


def _kernel_statistics(kernel: tf.Tensor) -> Scalars:
    """Measures position, width and variety of the batch's kernels."""
    offset = tf.reduce_mean(kernel_centroid(kernel), axis=[0, 1, 2])
    spread = kernel_spread(kernel)
    return {
        "stat/kernel_offset": tf.norm(offset),
        "stat/kernel_spread": tf.reduce_mean(spread),
        "stat/kernel_spread_std": tf.math.reduce_std(spread),
    }
