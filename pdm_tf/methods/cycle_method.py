"""`CycleMethod`: what methods with translations between LR images are made of.

CinCGAN, CycleSR and Maeda differ in their losses and in which networks they have. All
are made with networks by the names of their parts, train all of them, compare real LR
images with clean ones, and judge by discriminators that may keep a history.
"""

from collections.abc import Callable, Mapping

from pdm_tf.methods.base import Batch, Health, Method, NotNeeded
from pdm_tf.methods.collapse import degrader_health
from pdm_tf.methods.cycle_parts import Adversary, CycleConfig, clean_pairs
from pdm_tf.methods.steps import optimizers_for
from pdm_tf.models.network import Network

# Parts that judge -> whether they see HR images.
_JUDGES = {
    "discriminator": False,
    "clean_discriminator": False,
    "hr_discriminator": True,
}


class CycleMethod(Method):
    """A method whose networks are all trained, `translator` and `degradation` included.

    Args:
      config: settings.
      scale: factor of the SR network.
      lr_patch: side of LR patches.
      learning_rate: initial, of Adam.
      clip_norm: ceiling of the gradient's norm, for each network.
      seed: of everything random in the steps.
      **networks: built, by the names of `roles`; None for a part that is not needed.
    """

    def __init__(
        self,
        config: CycleConfig,
        *,
        scale: int,
        lr_patch: int,
        learning_rate: float,
        clip_norm: float,
        seed: int,
        **networks: Network | None,
    ) -> None:
        self._config, self._seed = config, seed
        self._scale, self.grid = scale, config.grid
        self.networks: dict[str, Network] = {
            name: network for name, network in networks.items() if network is not None
        }
        self.optimizers = optimizers_for(
            self.networks,
            list(self.networks),
            learning_rate=learning_rate,
            clip_norm=clip_norm,
            beta_1=dict.fromkeys(self.networks, config.adversarial_beta_1),
        )
        self._pairs = clean_pairs(scale, lr_patch=lr_patch, seed=seed, config=config)
        self.patches = {"hr": self._pairs.hr_side, "real_lr": lr_patch}
        sides = {
            name: lr_patch * (scale if on_hr else 1) for name, on_hr in _JUDGES.items()
        }
        self._adversaries = {
            name: Adversary(self.networks[name], name, (side, side, 3), config, seed)
            for name, side in sides.items()
            if name in self.networks
        }
        self.extra_state = {
            f"{name}_buffer": adversary.buffer
            for name, adversary in self._adversaries.items()
        }

    @classmethod
    def streams(cls, settings: CycleConfig) -> Mapping[str, str | NotNeeded]:
        """Needs unpaired photographs of both kinds, in every stage."""
        del settings
        return {"hr": "", "real_lr": "to learn how real images differ from clean ones"}

    def health(self, fixed_batch: Callable[[], Batch]) -> Health:
        """Reports on the network that makes LR images."""
        return degrader_health(self.networks["degradation"], fixed_batch()["hr"])
