"""PatchGAN in PyTorch, eager, with the names of our layers.

With spectral normalisation its power iteration is ours, one in each training call on
the same stored vector; `torch.nn.utils` keeps another vector.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weights are divided by their largest singular value."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("left_vector", torch.randn(1, self.out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One power iteration, without a gradient, then the convolution."""
        # [kh * kw * in, out], the rows in Keras's order.
        matrix = self.weight.permute(2, 3, 1, 0).reshape(-1, self.out_channels)
        with torch.no_grad():
            right = functional.normalize(self.left_vector @ matrix.t())
            left = functional.normalize(right @ matrix)
            self.left_vector.copy_(left)
        sigma = torch.sum((right @ matrix) * left)
        return self._conv_forward(x, self.weight / sigma, self.bias)


class PatchGAN(nn.Module):
    """[B, 3, H, W] in [0, 1] -> raw logits [B, maps, h, w].

    Args:
      config: settings of ours.
      maps: of the output; the release has 64 where ours has one. Their mean is what the
        loss sees.
    """

    def __init__(self, config: Mapping[str, Any], maps: int) -> None:
        super().__init__()
        self.normalization = config["normalization"]
        conv = SpectralConv2d if self.normalization == "spectral" else nn.Conv2d
        size, strides = config["kernel_size"], config["strides"]
        widths = [3] + [
            min(config["filters"] * 2**i, config["max_filters"])
            for i in range(len(strides) - 1)
        ]
        self.names = [f"conv_{i}" for i in range(len(strides))]
        for name, inputs, outputs, stride in zip(
            self.names, widths, [*widths[1:], maps], strides, strict=True
        ):
            padding = (size - 1) // 2
            self.add_module(name, conv(inputs, outputs, size, stride, padding))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Neither the first nor the last convolution is normalised."""
        first, *inner, last = (getattr(self, name) for name in self.names)
        x = functional.leaky_relu_(first(x), 0.2)
        for layer in inner:
            x = layer(x)
            if self.normalization == "instance":
                x = functional.instance_norm(x)
            x = functional.leaky_relu_(x, 0.2)
        return last(x)
