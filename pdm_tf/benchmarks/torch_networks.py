"""EDSR, RRDBNet and PatchGAN in PyTorch, eager: the other side of the ratios.

The SR networks are written for speed as a PyTorch user would: activations in place,
residuals added in one operation (`torch.add` with alpha), sub-pixel layers by
PixelShuffle. Their weights come as the list of convolutions of an ONNX file, in the
order in which they are applied; in both networks each depends on the one before, so
there is only one order.

Like all modules `torch_*.py` it is imported only when PyTorch is asked for, and imports
nothing of ours that needs TensorFlow: the memory of the PyTorch side is measured in a
process without it.

PatchGAN has the names of our layers, by which its variables are copied. With spectral
normalisation its power iteration is ours, one in each training call on the same stored
vector; `torch.nn.utils` keeps another vector.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pdm_tf.core.checks import lookup

# Of each convolution: kernel [out, in, 3, 3] and bias [out].
Convolutions = Sequence[tuple[np.ndarray, np.ndarray]]

_STAGES = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
_CHANNELS_LAST = {True: torch.channels_last, False: torch.contiguous_format}
# The last part of PyTorch's name -> what Keras may call it.
_KERAS_NAMES = {
    "weight": ("kernel", "gamma"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
    "left_vector": ("left_vector",),
}


def runner(
    architecture: str,
    config: Mapping[str, Any],
    convolutions: Convolutions | None,
    *,
    channels_last: bool,
    bfloat16: bool = False,
    threads: int = 0,
) -> Callable[[np.ndarray], np.ndarray]:
    """Builds a network and returns a function that runs it.

    Args:
      architecture: "EDSR" or "RRDBNet".
      config: settings, as in the metadata of our ONNX files.
      convolutions: its weights; None leaves PyTorch's random ones.
      channels_last: the memory layout; False is PyTorch's default.
      bfloat16: under autocast, as PyTorch does mixed precision on CPUs.
      threads: for all of PyTorch in this process; 0 leaves its choice.

    Returns:
      lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32, not clipped.

    Raises:
      UserError: no such architecture. ValueError: the weights do not fit.
    """
    if threads:
        torch.set_num_threads(threads)
    network = lookup(SR_NETWORKS, architecture, "the architecture")(**config)
    if convolutions is not None:
        load_convolutions(network, convolutions)
    memory_format = _CHANNELS_LAST[channels_last]
    network = network.eval().to(memory_format=memory_format)

    def run(lr: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(lr).permute(0, 3, 1, 2)
        image = image.contiguous(memory_format=memory_format)
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16),
        ):
            sr = network(image)
        return sr.float().permute(0, 2, 3, 1).numpy()

    return run


def load_convolutions(network: nn.Module, convolutions: Convolutions) -> None:
    """Copies weights of an ONNX file into a network.

    ONNX's and TensorFlow's depth-to-space takes the channel (i*r + j)*C + c to row i,
    column j, PixelShuffle the channel c*r*r + i*r + j; sub-pixel convolutions get their
    outputs permuted.

    Raises:
      ValueError: another number of convolutions, or other sizes.
    """
    layers = network.in_order()
    if len(layers) != len(convolutions):
        raise ValueError(
            f"{type(network).__name__} has {len(layers)} convolutions. "
            f"Received: {len(convolutions)}."
        )
    with torch.no_grad():
        for layer, (kernel, bias) in zip(layers, convolutions, strict=True):
            if tuple(layer.weight.shape) != kernel.shape:
                raise ValueError(
                    f"A kernel must have the shape {tuple(layer.weight.shape)}. "
                    f"Received: {kernel.shape}."
                )
            factor = getattr(layer, "sub_pixel", 1) ** 2
            order = np.arange(len(bias)).reshape(factor, -1).T.reshape(-1)
            squares = getattr(layer, "unshuffle", 1) ** 2
            inputs = np.arange(kernel.shape[1]).reshape(squares, -1).T.reshape(-1)
            layer.weight.copy_(torch.from_numpy(kernel[order][:, inputs]))
            layer.bias.copy_(torch.from_numpy(bias[order]))


class EDSR(nn.Module):
    """Lim et al. 2017 (arXiv:1707.02921); the mean shift is a constant, as in ours."""

    def __init__(
        self,
        scale: int,
        filters: int,
        num_blocks: int,
        residual_scale: float,
        rgb_range: float,
        rgb_mean: Sequence[float] = (0.4488, 0.4371, 0.4040),
    ) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.rgb_range = rgb_range
        mean = torch.tensor(tuple(rgb_mean)).reshape(1, 3, 1, 1) * rgb_range
        self.register_buffer("mean", mean)
        self.head = _conv(3, filters)
        self.body = nn.ModuleList(
            nn.ModuleList([_conv(filters, filters), _conv(filters, filters)])
            for _ in range(num_blocks)
        )
        self.body_end = _conv(filters, filters)
        self.upsamplers = nn.ModuleList()
        for factor in _STAGES[scale]:
            layer = _conv(filters, filters * factor**2)
            layer.sub_pixel = factor
            self.upsamplers.append(layer)
        self.tail = _conv(filters, 3)

    def in_order(self) -> list[nn.Conv2d]:
        """The convolutions as they are applied."""
        return _convolutions(
            self.head, self.body, self.body_end, self.upsamplers, self.tail
        )

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """[B, 3, h, w] -> [B, 3, h*s, w*s]."""
        head = self.head(lr * self.rgb_range - self.mean)
        x = head
        for first, second in self.body:
            branch = second(functional.relu_(first(x)))
            x = torch.add(x, branch, alpha=self.residual_scale)
        x = self.body_end(x) + head
        for layer in self.upsamplers:
            x = functional.pixel_shuffle(layer(x), layer.sub_pixel)
        return (self.tail(x) + self.mean) / self.rgb_range


class RRDBNet(nn.Module):
    """Wang et al. 2018 (arXiv:1809.00219), the generator of ESRGAN."""

    def __init__(
        self,
        scale: int,
        filters: int,
        growth: int,
        num_blocks: int,
        unshuffle: int = 1,
    ) -> None:
        super().__init__()
        self.scale, self.unshuffle = scale, unshuffle
        self.factors = _STAGES[scale * unshuffle]
        self.head = _conv(3 * unshuffle**2, filters)
        # Ours puts the channels of a pixel side by side, PixelUnshuffle those of a
        # colour.
        self.head.unshuffle = unshuffle
        self.body = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList(
                    _conv(filters + i * growth, growth if i < 4 else filters)
                    for i in range(5)
                )
                for _ in range(3)
            )
            for _ in range(num_blocks)
        )
        self.body_end = _conv(filters, filters)
        self.upsamplers = nn.ModuleList(_conv(filters, filters) for _ in self.factors)
        self.refine = _conv(filters, filters)
        self.tail = _conv(filters, 3)

    def in_order(self) -> list[nn.Conv2d]:
        """The convolutions as they are applied."""
        return _convolutions(
            self.head,
            self.body,
            self.body_end,
            self.upsamplers,
            self.refine,
            self.tail,
        )

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """[B, 3, h, w] -> [B, 3, h*s, w*s]."""
        height, width = (side * self.scale for side in lr.shape[2:])
        if self.unshuffle > 1:
            missing = [-side % self.unshuffle for side in lr.shape[2:]]
            lr = functional.pad(lr, [0, missing[1], 0, missing[0]], mode="reflect")
            lr = functional.pixel_unshuffle(lr, self.unshuffle)
        head = self.head(lr)
        x = head
        for block in self.body:
            inner = x
            for dense in block:
                inner = torch.add(inner, _dense(dense, inner), alpha=0.2)
            x = torch.add(x, inner, alpha=0.2)
        x = self.body_end(x) + head
        for layer, factor in zip(self.upsamplers, self.factors, strict=True):
            x = functional.interpolate(x, scale_factor=factor, mode="nearest")
            x = functional.leaky_relu_(layer(x), 0.2)
        sr = self.tail(functional.leaky_relu_(self.refine(x), 0.2))
        return sr[:, :, :height, :width]


SR_NETWORKS = {"EDSR": EDSR, "RRDBNet": RRDBNet}


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


def load_variables(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Copies variables into a module.

    Args:
      network: its parts have the names of the Keras layers.
      weights: path below the Keras network, "trunk/head/kernel" -> value. Convolutions
        are [kh, kw, in, out] or, as Dense layers, [in, out]. One output becomes as many
        equal ones as the module has: their mean is the same, and so is its gradient
        before the last layer.

    Raises:
      ValueError: a variable is missing or left over, or a size does not fit.
    """
    left = dict(weights)
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            *parts, last = name.split(".")
            if last not in _KERAS_NAMES:  # what PyTorch counts besides
                continue
            paths = ["/".join([*parts, word]) for word in _KERAS_NAMES[last]]
            path = next((path for path in paths if path in left), None)
            if path is None:
                raise ValueError(f"The weights must hold {name}. Received: {paths}.")
            value = _laid_out(left.pop(path), last, tensor.ndim)
            if value.shape[0] == 1 != tensor.shape[0]:
                value = np.repeat(value, tensor.shape[0], axis=0)
            if value.shape != tuple(tensor.shape):
                raise ValueError(
                    f"{name} must have the shape {tuple(tensor.shape)}. "
                    f"Received: {value.shape}."
                )
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    if left:
        raise ValueError(f"The module has no place for {sorted(left)}.")


def _laid_out(value: np.ndarray, last: str, rank: int) -> np.ndarray:
    if last != "weight" or rank == 1:
        return value
    if rank == 2:
        return value.T
    value = value.reshape(1, 1, *value.shape) if value.ndim == 2 else value
    return value.transpose(3, 2, 0, 1)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _dense(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    """The branch of a dense block: each convolution sees all before it."""
    features = [x]
    for layer in layers[:-1]:
        new = functional.leaky_relu_(layer(torch.cat(features, 1)), 0.2)
        features.append(new)
    return layers[-1](torch.cat(features, 1))


def _convolutions(*parts: nn.Module) -> list[nn.Conv2d]:
    found = (module for part in parts for module in part.modules())
    return [module for module in found if isinstance(module, nn.Conv2d)]
