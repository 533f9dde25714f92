"""The degradation model PDM in PyTorch, eager.

Kernel and noise module as `pdm_tf.degradations` describes them, with the names of
its layers, so that weights can be copied; 1x1 convolutions are convolutions, as in the
authors' release. The blur of one kernel per image comes in two forms: `unfold`, the
release's, copies the K*K pixels below each output; `grouped` is a convolution with one
group per image and the colours as batch.

`timed_blur` and `timed_degradation` are what the benchmark of degrading times: calls on
tensors made beforehand.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pdm_tf.benchmarks.timed import TimedDegradation
from pdm_tf.benchmarks.torch_networks import load_variables

Run = Callable[[], np.ndarray]

_COVARIANCE_GAIN = 3.0
_LEAST_SIGMA_PX = 0.4
_FORMATS = {True: torch.channels_last, False: torch.contiguous_format}


def blur_grouped(hr: torch.Tensor, kernel: torch.Tensor, scale: int) -> torch.Tensor:
    """Blurs [B, C, H, W], borders added, with kernels [B, K*K]; keeps every scale-th.

    Returns:
      [B, C, h, w].
    """
    batch, side = len(kernel), _side(kernel)
    filters = kernel.reshape(batch, 1, side, side)
    # The gradient takes up to twice as long without the copy.
    images = hr.transpose(0, 1).contiguous()
    blurred = functional.conv2d(images, filters, stride=scale, groups=batch)
    return blurred.transpose(0, 1)


def blur_unfold(hr: torch.Tensor, kernel: torch.Tensor, scale: int) -> torch.Tensor:
    """Does as `blur_grouped`, by a copy of K*K pixels for each output."""
    batch, channels, height, width = hr.shape
    side = _side(kernel)
    columns = functional.unfold(hr, side, stride=scale)
    columns = columns.reshape(batch, channels, side * side, -1)
    blurred = torch.matmul(kernel.reshape(batch, 1, 1, -1), columns)
    rows = (height - side) // scale + 1
    return blurred.reshape(batch, channels, rows, (width - side) // scale + 1)


BLURS: dict[str, Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]] = {
    "grouped": blur_grouped,
    "unfold": blur_unfold,
}


class Blur:
    """hr [B, C, H, W], kernel [B, K*K] -> [B, C, h, w], borders as in ours.

    Args:
      timed: gives the geometry.
      form: of `BLURS`.
    """

    def __init__(self, timed: TimedDegradation, form: str) -> None:
        self._blur, self._window = BLURS[form], timed.window
        self._scale = timed.config["scale"]
        self._mirrors = timed.config["border"] == "reflect"

    def __call__(self, hr: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        if self._mirrors:
            radius = _side(kernel) // 2
            hr = functional.pad(hr, [radius] * 4, mode="reflect")
        hr = hr[:, :, self._window :, self._window :]
        return self._blur(hr, kernel, self._scale)


class ResidualTrunk(nn.Module):
    """[B, C, h, w] -> [B, filters, h, w]; normalised by batch or not at all."""

    def __init__(
        self, inputs: int, filters: int, num_blocks: int, size: int, has_norm: bool
    ) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return nn.BatchNorm2d(filters) if has_norm else nn.Identity()

        self.head = _conv(inputs, filters, size)
        self.head_norm = norm()
        self.blocks = []
        for i in range(num_blocks):
            block = {
                f"first_{i}": _conv(filters, filters, size),
                f"norm_{i}": norm(),
                f"second_{i}": _conv(filters, filters, size),
            }
            for name, layer in block.items():
                self.add_module(name, layer)
            self.blocks.append(tuple(block))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Head, then blocks of x + second(relu(norm(first(x))))."""
        x = functional.relu_(self.head_norm(self.head(x)))
        for names in self.blocks:
            first, norm, second = (getattr(self, name) for name in names)
            x = x + second(functional.relu_(norm(first(x))))
        return x


class GaussianLogits(nn.Module):
    """z_k [B, f_k] -> logits [B, K*K] of anisotropic Gaussians."""

    def __init__(self, latent_channels: int, side: int, centre_px: float) -> None:
        super().__init__()
        self.to_covariance = nn.Linear(latent_channels, 3)
        offsets = torch.arange(side) - side // 2 - centre_px
        y, x = torch.meshgrid(offsets, offsets, indexing="ij")
        forms = torch.stack([y**2 + x**2, y**2 - x**2, 2.0 * y * x])
        self.register_buffer("forms", forms.reshape(3, -1).float(), persistent=False)

    def forward(self, z_k: torch.Tensor) -> torch.Tensor:
        """The inverse covariance, even * I + odd * (d1, d2), on quadratic forms."""
        m, d1, d2 = (_COVARIANCE_GAIN * self.to_covariance(z_k)).split(1, 1)
        r = torch.sqrt(d1**2 + d2**2 + 1e-6)
        floor, size = _LEAST_SIGMA_PX**2, torch.exp(m)
        even, odd = size * torch.cosh(r) + floor, size * torch.sinh(r) / r
        determinant = size * (size + 2.0 * floor * torch.cosh(r)) + floor**2
        inverse = torch.cat([even, -odd * d1, -odd * d2], 1) / determinant
        return -0.5 * inverse @ self.forms


class KernelModule(nn.Module):
    """z_k [B, f_k, 1, 1] -> kernel [B, K*K], summing to 1."""

    def __init__(self, config: dict[str, Any], centre_px: float) -> None:
        super().__init__()
        if config["basis"]:
            raise ValueError(
                "PyTorch's form has no basis of kernels. "
                f"Received: basis={config['basis']}."
            )
        side, latent_channels = config["kernel_size"], config["latent_channels"]
        has_norm = config["normalization"] == "batch" and config["latent"] != "zero"
        self.trunk = ResidualTrunk(
            latent_channels, config["filters"], config["num_blocks"], 1, has_norm
        )
        self.to_logits = _conv(config["filters"], side * side, 1)
        self.register_buffer("smoothing", _smoothing(side, config), persistent=False)
        self.gaussians = None
        if config["initial"] == "gaussians":
            self.gaussians = GaussianLogits(latent_channels, side, centre_px)

    def forward(self, z_k: torch.Tensor) -> torch.Tensor:
        """Softmax over the taps."""
        logits = self.to_logits(self.trunk(z_k)).flatten(1)
        if self.smoothing is not None:
            logits = logits @ self.smoothing
        if self.gaussians is not None:
            logits = logits + self.gaussians(z_k.flatten(1))
        return functional.softmax(logits, 1)


class NoiseModule(nn.Module):
    """(z_n [B, f_n, h, w], clean_lr [B, 3, h, w]) -> noise [B, channels, h, w]."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.use_image, self.zero_mean = config["use_image"], config["zero_mean"]
        self.output_scale = config["output_scale"]
        self.trunk = ResidualTrunk(
            config["latent_channels"] + 3 * self.use_image,
            config["filters"],
            config["num_blocks"],
            config["conv_size"],
            config["normalization"] == "batch",
        )
        self.to_noise = _conv(
            config["filters"], config["channels"], 1, bias=not self.zero_mean
        )

    def forward(self, z_n: torch.Tensor, clean_lr: torch.Tensor) -> torch.Tensor:
        """Sees the image, but gives it no gradient."""
        if not self.zero_mean:
            return self._noise(z_n, clean_lr)
        both = torch.cat([z_n, -z_n]), torch.cat([clean_lr, clean_lr])
        noise, opposite = self._noise(*both).chunk(2)
        return (noise - opposite) / 2

    def _noise(self, z_n: torch.Tensor, clean_lr: torch.Tensor) -> torch.Tensor:
        x = torch.cat([clean_lr.detach(), z_n], 1) if self.use_image else z_n
        return self.to_noise(self.trunk(x)) * self.output_scale


class PDM(nn.Module):
    """(hr [B, 3, H, W], z_k, z_n) -> (lr [B, 3, h, w], kernel [B, K*K], noise or None).

    Args:
      timed: its settings.
      form: of the blur.
      bfloat16: the noise module under autocast. The kernel module, a thousandth of the
        work, stays float32 as ours does; autocast makes it slower.
    """

    def __init__(
        self, timed: TimedDegradation, form: str, bfloat16: bool = False
    ) -> None:
        super().__init__()
        config = timed.config
        self.kernel_module = KernelModule(config["kernel"], timed.centre_px)
        self.noise_module = config["noise"] and NoiseModule(config["noise"])
        self.blur, self.bfloat16 = Blur(timed, form), bfloat16

    def forward(
        self, hr: torch.Tensor, z_k: torch.Tensor, z_n: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Blur, downsample, add noise."""
        kernel = self.kernel_module(z_k)
        clean_lr = self.blur(hr, kernel)
        if self.noise_module is None:
            return clean_lr, kernel, None
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            noise = self.noise_module(z_n, clean_lr)
        return clean_lr + noise.float(), kernel, noise.float()


def draw_latents(
    timed: TimedDegradation, batch: int, size: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns z_k and z_n for LR images of `size` x `size`; z_n may be None."""
    kernel, noise = timed.config["kernel"], timed.config["noise"]
    draw = torch.zeros if kernel["latent"] == "zero" else torch.randn
    z_k = draw(batch, kernel["latent_channels"], 1, 1)
    if noise is None:
        return z_k, None
    return z_k, torch.randn(batch, noise["latent_channels"], size, size)


def timed_blur(
    timed: TimedDegradation,
    form: str,
    hr: np.ndarray,
    kernel: np.ndarray | None = None,
    *,
    backward: bool,
) -> Run:
    """Returns a function that blurs and downsamples.

    Args:
      timed: gives the geometry.
      form: of `BLURS`.
      hr: [B, H, W, 3].
      kernel: [B, K*K]; None takes box kernels.
      backward: also for the gradient of the kernels.

    Returns:
      A function that returns [B, h, w, 3]; with `backward` the gradient [B, K*K] of the
      sum of the squared results.
    """
    if kernel is None:
        taps = timed.config["kernel"]["kernel_size"] ** 2
        kernel = np.full((len(hr), taps), 1.0 / taps, np.float32)
    operator, image = Blur(timed, form), _planes(hr)
    kernels = torch.from_numpy(kernel).requires_grad_(backward)

    def forward() -> np.ndarray:
        with torch.inference_mode():
            return operator(image, kernels).permute(0, 2, 3, 1).numpy()

    def both() -> np.ndarray:
        kernels.grad = None
        torch.sum(operator(image, kernels) ** 2).backward()
        return kernels.grad.numpy()

    return both if backward else forward


def timed_degradation(
    timed: TimedDegradation,
    form: str,
    hr: np.ndarray,
    weights: Mapping[str, np.ndarray] | None,
    latents: tuple[np.ndarray, np.ndarray | None],
    *,
    channels_last: bool,
) -> Run:
    """Returns a function that degrades, forward and backward.

    Args:
      timed: settings of the degradation model.
      form: of its blur.
      hr: [B, H, W, 3].
      weights: of the Keras network; None takes random ones.
      latents: z_k and z_n, NHWC.
      channels_last: layout of the modules and latents.

    Returns:
      A function that returns the gradient, for the bias of the kernel's logits, of the
      sum of the squared results; gradients of all variables are computed.
    """
    layout = _FORMATS[channels_last]
    network = PDM(timed, form)
    if weights is not None:
        load_variables(network, weights)
    network.to(memory_format=layout)
    z_k, z_n = (
        None if z is None else _planes(z).contiguous(memory_format=layout)
        for z in latents
    )
    image = _planes(hr)
    bias = network.kernel_module.to_logits.bias

    def run() -> np.ndarray:
        network.zero_grad()
        lr, _, _ = network(image, z_k, z_n)
        torch.sum(lr**2).backward()
        return bias.grad.numpy()

    return run


def _smoothing(side: int, config: dict[str, Any]) -> torch.Tensor | None:
    """[K*K, K*K] that smooths logits, or None; other starts are not known here."""
    sigma_px = config["smoothing_px"]
    if not sigma_px:
        return None
    if config["initial"] != "gaussians":
        raise ValueError(
            'PyTorch\'s form needs initial="gaussians" of the kernel module or '
            f"smoothing_px=0. Received: {config['initial']!r} and {sigma_px}."
        )
    place = torch.arange(side, dtype=torch.float64)
    window = torch.exp(-((place[:, None] - place) ** 2) / (2 * sigma_px**2))
    window /= window[side // 2].sum()
    return torch.kron(window, window).float()


def _conv(inputs: int, outputs: int, size: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)


def _side(kernel: torch.Tensor) -> int:
    return round(kernel.shape[-1] ** 0.5)


def _planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
