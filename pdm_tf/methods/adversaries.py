"""Games between generators and discriminators of LR images, and who learns from them.

The methods that are compared with PDM-SR differ in who plays against whom. What they
share: a discriminator sees this step's fakes or earlier ones, in 8 bits like the real
images; every loss is meant for some networks; and all gradients of a step are taken at
one point.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import keras
import tensorflow as tf

from pdm_tf.core.seeds import stream_seed
from pdm_tf.losses import GAN_LOSSES
from pdm_tf.methods.base import Gradients, Scalars
from pdm_tf.methods.image_buffer import ImageBuffer
from pdm_tf.methods.steps import Optimizers
from pdm_tf.ops.quantise import quantise_8bit_unmasked

FAKES = ("8bit_unmasked", "raw")
PARTS = ("original", "comparison")
# Name of a loss, as it is logged -> its weight, and the loss.
Terms = Mapping[str, tuple[float, tf.Tensor]]


class AdversaryConfig(Protocol):
    """Settings that a method's own must have.

    Attributes:
      buffer_size: earlier fakes that each discriminator also sees; 0: none.
      fakes: what discriminators see. "8bit_unmasked": generated and clean images
        rounded to 8 bits like the real ones, straight-through, gradient 1 everywhere;
        "raw": as they come (releases), so that their digits give them away.
    """

    buffer_size: int
    fakes: str


class Verdict(NamedTuple):
    """Both losses of a game between a generator and a discriminator.

    Attributes:
      generator: scalar; its gradient reaches whatever made the fakes, and must not be
        taken with respect to the discriminator.
      discriminator: scalar; reaches the discriminator alone.
      real, fake: means of the logits of this step's images, to log.
    """

    generator: tf.Tensor
    discriminator: tf.Tensor
    real: tf.Tensor
    fake: tf.Tensor


class Adversary:
    """A discriminator, and the buffer of the fakes that it has seen.

    Args:
      network: built discriminator.
      name: of its part in the method, from which its random numbers follow.
      shape: [height, width, 3] of the images that it judges.
      config: settings; its `buffer_size` and `fakes` count.
      seed: the run's seed.
      gan_loss: an entry of `GAN_LOSSES`.
      view: what of an image the discriminator is shown, if not all of it.

    Attributes:
      buffer: state to checkpoint; it has no variables at size 0.
    """

    def __init__(
        self,
        network: keras.Model,
        name: str,
        shape: tuple[int, int, int],
        config: AdversaryConfig,
        seed: int,
        *,
        gan_loss: str = "lsgan",
        view: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    ) -> None:
        self._network, self._config = network, config
        self._gan, self._view = GAN_LOSSES[gan_loss], view
        self._seed = stream_seed(seed, f"buffer of {name}")
        self.buffer = ImageBuffer(config.buffer_size, shape)

    def judge(self, real: tf.Tensor, fake: tf.Tensor) -> Verdict:
        """Returns both losses, with earlier fakes among those that D learns from.

        Without a buffer D's pass on the fakes is shared by both losses: D does not
        change in between.

        Args:
          real: [B, H, W, 3] images as they should be; constants to D's loss.
          fake: [B, H, W, 3] images of the generator, of this step.
        """
        config = self._config
        fake = as_seen(fake, config.fakes)
        real = tf.stop_gradient(as_seen(real, config.fakes))
        fake_logits = known_logits = self._logits(fake)
        if config.buffer_size:
            known = self.buffer.exchange(fake, tf.constant(self._seed, tf.int32))
            known_logits = self._logits(known)
        real_logits = self._logits(real)
        return Verdict(
            self._gan.generator(tf.stop_gradient(real_logits), fake_logits),
            self._gan.discriminator(real_logits, known_logits),
            tf.reduce_mean(real_logits),
            tf.reduce_mean(fake_logits),
        )

    def _logits(self, image: tf.Tensor) -> tf.Tensor:
        return self._network(self._view(image), training=True)


def as_seen(image: tf.Tensor, fakes: str) -> tf.Tensor:
    """Returns an image as discriminators see it, see `AdversaryConfig`."""
    return quantise_8bit_unmasked(image) if fakes == "8bit_unmasked" else image


def weighted_sum(terms: Terms) -> tf.Tensor:
    """Returns what a generator minimises: the sum of weight * loss."""
    return tf.add_n([weight * loss for weight, loss in terms.values()])


def scalars_of(*groups: Terms) -> Scalars:
    """Returns the losses themselves, by name, to log."""
    return {name: loss for terms in groups for name, (_, loss) in terms.items()}


def gradients_of(
    tape: tf.GradientTape,
    losses: Mapping[tuple[str, ...], tf.Tensor],
    networks: Mapping[str, keras.Model],
    optimizers: Optimizers,
) -> Gradients:
    """Differentiates each loss with respect to the networks that minimise it.

    Networks that share a loss share one backward pass. What else a loss depends on,
    such as a discriminator, gets nothing of it.

    Args:
      tape: persistent; has recorded the losses.
      losses: names of networks -> the scalar that all of them minimise. A name occurs
        once.
      networks: name -> network.
      optimizers: name -> its optimiser; gradients are scaled as it wants them.
    """
    gradients: Gradients = {}
    for names, loss in losses.items():
        scales = [optimizers[name].scale_loss(tf.constant(1.0)) for name in names]
        variables = [networks[name].trainable_variables for name in names]
        # Networks in float16 have a scale each, which must be there on the way back.
        scaled = any(hasattr(optimizers[name], "dynamic_scale") for name in names)
        if scaled:
            found = [
                tape.gradient(loss, own, output_gradients=scale)
                for own, scale in zip(variables, scales, strict=True)
            ]
        else:
            found = tape.gradient(loss, variables)
        gradients |= dict(zip(names, found, strict=True))
    return gradients
