"""DSGAN-SR (Fritsche et al. 2019, arXiv:1911.07850): high frequencies apart from low.

Downsampling keeps what is coarse and changes what is fine. So G, which gives bicubic
reductions b(hr) the texture of the source, has a discriminator D that sees only fine
detail, H(x) = x - mean of 5 x 5 pixels, and is held to b(hr) in what is left, L(x); and
the SR network, ESRGAN's, is trained likewise (windows of 9 x 9 pixels).

  first    fake_lr = G(b(hr))
           G   minimises  |L(fake_lr) - L(b(hr))| + 0.005 (-log s(D(H(fake_lr))))
                          + 0.01 LPIPS(fake_lr, b(hr))
           D   minimises  -log s(D(H(real_lr))) - log(1 - s(D(H(fake_lr))))
  second   sr = S(fake_lr), with G frozen
           S   minimises  0.01 |L(sr) - L(hr)| + |F(sr) - F(hr)| + 0.005 A(H(hr), H(sr))
           D'  minimises  the other side of A, the relativistic GAN loss

s: sigmoid; F: features of VGG19. The first stage reduces the source's own photographs
(the stream `source_hr`), so that D cannot tell scenes apart. The second has two
domains: TDSR takes clean photographs as HR, and the results look like them; SDSR takes
the source's, so that results keep its noise and character.

In the comparison of Luo et al. (`DSGANSRConfig.paper()`) G reduces the photographs of
--hr_dir by its first convolution, colours are compared by the squared error against a
Gaussian reduction, D sees whole images with LSGAN, and S has |sr - hr| alone. Its
perceptual loss compared G's images with unrelated real ones, which means nothing: here
LPIPS compares two images of one scene.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import GRIDS
from pdm_tf.losses import l1_loss, mse_loss
from pdm_tf.methods.adversaries import Terms
from pdm_tf.methods.base import NotNeeded, Role
from pdm_tf.methods.degrade_first import DegradeFirst, DegradeFirstConfig
from pdm_tf.methods.sr_parts import require_window
from pdm_tf.models.features import LPIPS
from pdm_tf.ops.filtering import high_pass, low_pass
from pdm_tf.ops.resize import bicubic_downsample

DOMAINS = ("tdsr", "sdsr")
SOURCES = ("source", "hr")
_WINDOW = 5
_SIGMA_PX = _WINDOW / 6  # of the comparison's Gaussian


@dataclasses.dataclass(frozen=True)
class DSGANSRConfig(DegradeFirstConfig):
    """Settings of `DSGANSR`: those of `DegradeFirst`, and these.

    Attributes:
      domain: HR photographs of the second stage. "tdsr": those of --hr_dir; "sdsr": the
        source's own, of --lr_dir, which must be larger than HR patches.
      first_from: what the first stage reduces. "source": the source's own photographs,
        likewise (paper); "hr": those of --hr_dir (comparison), which with "sdsr" are
        the source's as well.
      lpips_weight: of LPIPS between G's image and the bicubic reduction; 0 does without
        its network.
      grid: where LR pixels lie in the HR image, see `core.geometry`. The discriminator
        cannot see it, so the bicubic reduction decides; the comparison's Gaussian one
        lies on "pixel0".
      texture_window: side, odd, of the mean that D does not see; 0: D sees all.
    """

    domain: str = "tdsr"
    first_from: str = "source"
    grid: str = "half_pixel"
    lpips_weight: float = 0.01
    texture_window: int = 5
    adversarial_weight: float = 0.005
    adversarial_loss: str = "vanilla"
    adversarial_beta_1: float = 0.5
    pixel_weight: float = 0.01
    perceptual_weight: float = 1.0
    gan_weight: float = 0.005
    gan_loss: str = "relativistic"
    frequency_window: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, domain=DOMAINS, first_from=SOURCES, grid=GRIDS)
        if self.parts == "comparison" and self.grid != "pixel0":
            raise UserError(
                "`grid` of DSGANSRConfig is pixel0 with parts=comparison. "
                f"Received: {self.grid}."
            )
        require_not_below(self, lpips_weight=0)
        require_window(self, "texture_window")

    @classmethod
    def paper(cls) -> "DSGANSRConfig":
        """Returns the setting of the comparison by Luo et al. 2022."""
        return cls(
            parts="comparison",
            first_from="hr",
            grid="pixel0",
            lpips_weight=0.0,
            texture_window=0,
            adversarial_loss="lsgan",
            adversarial_beta_1=0.9,
            fakes="raw",
            pixel_weight=1.0,
            perceptual_weight=0.0,
            gan_weight=0.0,
            hr_fakes="raw",
            frequency_window=0,
        )

    @property
    def first_stream(self) -> str:
        """The source's photographs, or those that the second stage degrades."""
        return "source_hr" if self.first_from == "source" else self.second_stream

    @property
    def second_stream(self) -> str:
        """Clean photographs, or the source's."""
        return "hr" if self.domain == "tdsr" else "source_hr"


class DSGANSR(DegradeFirst):
    """`DegradeFirst` whose losses treat high and low frequencies apart."""

    name = "dsgan_sr"
    config_class = DSGANSRConfig

    def __init__(
        self, config: DSGANSRConfig, parts: Mapping[str, Any], **common: Any
    ) -> None:
        """Makes it of the parts of `DegradeFirst` and of "lpips", if that is needed."""
        super().__init__(config, parts, **common)
        self._lpips: LPIPS | None = parts.get("lpips")

    @classmethod
    def roles(cls, settings: DSGANSRConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the parts of `DegradeFirst`, and LPIPS for the first stage."""
        lpips: Role | NotNeeded = Role("lpips", "lpips", sees="lr", frozen=cls.name)
        if not settings.lpips_weight:
            lpips = NotNeeded("lpips_weight=0")
        if not settings.has_first:
            lpips = NotNeeded("training=second")
        return {**super().roles(settings), "lpips": lpips}

    @classmethod
    def degrader_role(cls, settings: DSGANSRConfig) -> Role:
        """Changes bicubic reductions, or reduces by itself in the comparison."""
        grid = {"grid": settings.grid}
        if settings.parts == "comparison":
            paper = {"reduction": "conv", "num_blocks": 16}
            return Role("degradation", "degrader", grid, paper=paper)
        paper = {
            "reduction": "bicubic",
            "num_blocks": 8,
            "activation": "prelu",
            "head_activation": True,
            "output": "sigmoid",
        }
        return Role("degradation", "degrader", grid, paper=paper)

    @classmethod
    def discriminator_role(cls, settings: DSGANSRConfig) -> Role:
        """Four convolutions of 5 x 5, or PDM's discriminator in the comparison."""
        strides = (1, 1, 1, 1)
        paper = {"kernel_size": 5, "strides": strides, "normalization": "batch"}
        if settings.parts == "comparison":
            strides = (1, 1, 1, 1, 1)
            paper = {"kernel_size": 3, "strides": strides, "normalization": "instance"}
        return Role("discriminator", "patchgan", sees="lr", paper=paper)

    def seen(self, lr: tf.Tensor) -> tf.Tensor:
        """Returns the high frequencies, or all of them without a window."""
        window = self.config.texture_window
        return high_pass(lr, window) if window else lr

    def first_losses(self, fake_lr: tf.Tensor, hr: tf.Tensor, crop: tf.Tensor) -> Terms:
        """The colour loss, and LPIPS unless its weight is 0."""
        config = self.config
        if config.parts == "comparison":
            reduced = low_pass(hr, _WINDOW, _SIGMA_PX)
            clean_lr = reduced[:, :: self._scale, :: self._scale]
            colour = mse_loss(fake_lr, clean_lr)
        else:
            clean_lr = self._clean(hr, crop)
            colour = l1_loss(low_pass(fake_lr, _WINDOW), low_pass(clean_lr, _WINDOW))
        losses = {"loss/colour": (config.colour_weight, colour)}
        if self._lpips is not None:
            distance = tf.reduce_mean(self._lpips(fake_lr, clean_lr))
            losses["loss/lpips"] = (config.lpips_weight, distance)
        return losses

    def _clean(self, hr: tf.Tensor, crop: tf.Tensor) -> tf.Tensor:
        """Returns the bicubic reduction, with G's own real margin if it has one."""
        settings = getattr(self._degradation, "config", None)
        if getattr(settings, "reduction", "") == "bicubic":
            return self._degradation.reduce(crop)
        return bicubic_downsample(hr, self._scale, self.config.grid)
