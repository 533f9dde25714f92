"""One joint training step of PDM-SR in PyTorch, eager: the other side of the ratios.

The order of the authors' release: the degradation against the discriminator, then the
discriminator, for which it judges the fakes a second time, then the SR network on the
fakes from before both updates; three times Adam, gradients clipped by their norm.

Different in ours: it judges the fakes once, for both losses (see `methods/pdm_sr.py`),
and the arithmetic that is counted is that; it also averages weights, watches the losses
and computes the statistics that are logged.
"""

import math

import numpy as np
import torch
from torch import nn

from pdm_tf.benchmarks.timed import TimedStep, Weights
from pdm_tf.benchmarks.torch_degradation import PDM, draw_latents
from pdm_tf.benchmarks.torch_networks import (
    SR_NETWORKS,
    PatchGAN,
    load_convolutions,
    load_variables,
)

_FORMATS = {True: torch.channels_last, False: torch.contiguous_format}
Latents = tuple[torch.Tensor, torch.Tensor | None]


class JointStep:
    """Runs steps on one batch.

    Args:
      timed: the networks to train.
      weights: to start from; None leaves PyTorch's random ones.
      channels_last: memory layout; False is PyTorch's default.
      bfloat16: discriminator, SR network and noise module under autocast.
      blur: form of the blur, of `torch_degradation.BLURS`.

    Attributes:
      networks: "pdm", "discriminator" and "sr".
    """

    def __init__(
        self,
        timed: TimedStep,
        weights: Weights | None,
        *,
        channels_last: bool,
        bfloat16: bool = False,
        blur: str = "grouped",
    ) -> None:
        self._timed, self._bfloat16 = timed, bfloat16
        self._format = _FORMATS[channels_last]
        self.networks: dict[str, nn.Module] = {
            "pdm": PDM(timed.degradation, blur, bfloat16),
            "discriminator": PatchGAN(timed.discriminator, timed.torch_maps),
            "sr": SR_NETWORKS[timed.architecture](**timed.sr),
        }
        if weights is not None:
            for name in ("pdm", "discriminator"):
                load_variables(self.networks[name], weights[name])
            load_convolutions(
                self.networks["sr"], _convolutions(list(weights["sr"].values()))
            )
        self._optimizers = {}
        for name, network in self.networks.items():
            network.to(memory_format=self._format)
            beta_1 = 0.9 if name == "sr" else timed.method["adversarial_beta_1"]
            self._optimizers[name] = torch.optim.Adam(
                network.parameters(), timed.learning_rate, (beta_1, 0.999), 1e-8
            )

    def on(self, hr: np.ndarray, real_lr: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Returns NHWC images as tensors in this side's layout."""
        planes = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in (hr, real_lr))
        return tuple(x.contiguous(memory_format=self._format) for x in planes)

    def __call__(
        self, hr: torch.Tensor, real_lr: torch.Tensor, latents: Latents | None = None
    ) -> dict[str, float]:
        """Trains one step; returns its losses under the names that ours logs.

        Args:
          hr: [B, 3, H, W], with the margin that the blur eats.
          real_lr: [B, 3, h, w].
          latents: z_k and z_n; None draws them.
        """
        timed = self._timed
        if latents is None:
            latents = draw_latents(timed.degradation, len(hr), timed.lr_patch)
        fake_lr, losses = self._learn_degradation(hr, latents)
        seen = _as_seen(fake_lr.detach(), timed.method["fakes"], latents[1])
        losses["loss/d_lr"] = self._learn_discriminator(seen, real_lr)
        losses["loss/sr_l1"] = self._learn_sr(fake_lr.detach(), hr)
        return {name: loss.item() for name, loss in losses.items()}

    def _learn_degradation(
        self, hr: torch.Tensor, latents: Latents
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        method, discriminator = self._timed.method, self.networks["discriminator"]
        fake_lr, kernel, noise = self.networks["pdm"](hr.contiguous(), *latents)
        fake_lr = fake_lr.contiguous(memory_format=self._format)
        discriminator.requires_grad_(False)
        logits = self._logits(_as_seen(fake_lr, method["fakes"], noise))
        adversarial = torch.mean((logits - 1.0) ** 2)
        loss = method["adversarial_weight"] * adversarial
        if method["centroid_weight"]:
            centre_px = self._timed.degradation.centre_px
            loss = loss + method["centroid_weight"] * _centroid_loss(kernel, centre_px)
        if noise is not None:
            loss = loss + method["noise_weight"] * torch.mean(noise**2)
        self._update("pdm", loss)
        discriminator.requires_grad_(True)
        return fake_lr, {"loss/g_adv": adversarial.detach()}

    def _learn_discriminator(
        self, seen: torch.Tensor, real_lr: torch.Tensor
    ) -> torch.Tensor:
        real = torch.mean((self._logits(real_lr) - 1.0) ** 2)
        fake = torch.mean(self._logits(seen) ** 2)
        loss = 0.5 * (real + fake)
        weight = self._timed.method["adversarial_weight"]
        self._update("discriminator", weight * loss)
        return loss.detach()

    def _learn_sr(self, fake_lr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        margin = (self._timed.hr_patch - self._target_size()) // 2
        if margin:
            hr = hr[:, :, margin:-margin, margin:-margin]
        with self._autocast():
            sr = self.networks["sr"](_quantised(fake_lr))
        loss = nn.functional.l1_loss(sr.float(), hr)
        self._update("sr", loss)
        return loss.detach()

    def _target_size(self) -> int:
        return self._timed.lr_patch * self._timed.degradation.config["scale"]

    def _logits(self, lr: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            logits = self.networks["discriminator"](lr)
        return logits.float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16)

    def _update(self, name: str, loss: torch.Tensor) -> None:
        self._optimizers[name].zero_grad()
        loss.backward()
        parameters = self.networks[name].parameters()
        nn.utils.clip_grad_norm_(parameters, self._timed.clip_norm)
        self._optimizers[name].step()


class _Quantise(torch.autograd.Function):
    """Clamps and rounds to 8 bits; the gradient is 1, or 0 where it was clamped."""

    @staticmethod
    def forward(context: object, image: torch.Tensor, masked: bool) -> torch.Tensor:
        """Half a level is rounded up."""
        context.masked = masked
        context.save_for_backward(image)
        return _quantised(image)

    @staticmethod
    def backward(
        context: object, upstream: torch.Tensor
    ) -> tuple[torch.Tensor | None, None]:
        """Straight through."""
        (image,) = context.saved_tensors
        if context.masked:
            upstream = upstream * ((image >= 0.0) & (image <= 1.0))
        return upstream, None


def _quantised(image: torch.Tensor) -> torch.Tensor:
    return torch.floor(image.clamp(0.0, 1.0) * 255.0 + 0.5) / 255.0


def _as_seen(
    fake_lr: torch.Tensor, fakes: str, noise: torch.Tensor | None
) -> torch.Tensor:
    """The fakes as the discriminator sees them."""
    if fakes != "release":
        return _Quantise.apply(fake_lr, fakes == "8bit")
    return fake_lr if noise is not None else _soft_quantised(fake_lr)


def _soft_quantised(image: torch.Tensor, terms: int = 5) -> torch.Tensor:
    level = image * 255.0
    sawtooth = torch.zeros_like(level)
    for n in range(1, terms + 1):
        sign = 1.0 if n % 2 else -1.0
        sawtooth = sawtooth + sign * torch.sin(2.0 * math.pi * n * level) / (
            math.pi * n
        )
    return (level - sawtooth) / 255.0


def _centroid_loss(kernel: torch.Tensor, centre_px: float) -> torch.Tensor:
    side = round(kernel.shape[-1] ** 0.5)
    offsets = torch.arange(side, dtype=kernel.dtype) - side // 2
    taps = kernel.reshape(-1, side, side)
    down = torch.sum(taps.sum(2) * offsets, 1) - centre_px
    right = torch.sum(taps.sum(1) * offsets, 1) - centre_px
    return torch.mean(down**2 + right**2)


def _convolutions(values: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels and biases in turn, as Keras lists them -> for `load_convolutions`."""
    return [
        (kernel.transpose(3, 2, 0, 1), bias)
        for kernel, bias in zip(values[::2], values[1::2], strict=True)
    ]
