"""EDSR as published (Lim et al. 2017, arXiv:1707.02921), and as BasicSR names it.

`edsr`: the authors' PyTorch names, head.0, body.N.body.0/2, body.<last>, tail.0.0/2/4,
tail.1; the PDM release's EDSR has them too. `edsr_basicsr`: conv_first, body.N.conv1/2,
conv_after_body, upsample.0/2, conv_last.

The mean shift is a pair of 1x1 convolutions in the published files, W = I and b = -+r
times DIV2K's mean, where r is the range that values have inside: 255, or what the
authors' option --rgb_range said (1 and 65535 are in use). The PDM release trains them
by accident; they are taken in exactly: W x + b = W (x + W^-1 b), so the input's W goes
into the first convolution's kernel and -W^-1 b is the config's mean (zero padding comes
after the shift on both sides), and the output's W and b go into the last convolution.
"""

import re

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.interop.wiring import Options, Plan, Tensors, Wires, shape_of
from pdm_tf.models.sr import EDSRConfig
from pdm_tf.models.sr.edsr import DIV2K_MEAN

RGB_RANGE = 255.0
_RANGES = (1.0, RGB_RANGE, 65535.0)


def is_edsr(names: set[str]) -> bool:
    """Whether the names are the authors'."""
    return {"head.0.weight", "body.0.body.0.weight", "tail.0.0.weight"} <= names


def is_edsr_basicsr(names: set[str]) -> bool:
    """BasicSR's names."""
    wanted = {"conv_first.weight", "conv_after_body.weight", "body.0.conv1.weight"}
    return wanted <= names


def edsr(tensors: Tensors, options: Options) -> Plan:
    """Plans a network with the authors' names.

    Raises:
      UserError: a tensor that determines the size is missing or odd.
    """
    del options
    blocks = _count(r"body\.(\d+)\.body\.0\.weight", tensors)
    upsamplers = _indices(r"tail\.0\.(\d+)\.weight", tensors)
    mean, rgb_range, shifted = _shift_in(tensors)
    config = _config(tensors, "head.0", [f"tail.0.{i}" for i in upsamplers], blocks)
    config |= {"rgb_mean": mean, "rgb_range": rgb_range}
    config = EDSRConfig(**config)
    remarks = (_guess(config),)
    if "sub_mean.weight" not in tensors:
        remarks += (_RANGE_GUESS,)
    wires = Wires()
    for i in range(blocks):
        wires.conv(f"block_{i}/first", f"body.{i}.body.0")
        wires.conv(f"block_{i}/second", f"body.{i}.body.2")
    wires.conv("body_end", f"body.{blocks}")
    _upsamplers(wires, config, [f"tail.0.{i}" for i in upsamplers])
    if shifted:
        _shifted_ends(wires, np.array(mean) * rgb_range)
        said = "its mean shift was trained; taken into rgb_mean, head and tail"
        return Plan(config, wires.done(), {}, (*remarks, said))
    wires.conv("head", "head.0")
    wires.conv("tail", "tail.1")
    ignored = {
        name: "the constant mean shift, which is in the config"
        for name in tensors
        if name.startswith(("sub_mean.", "add_mean."))
    }
    return Plan(config, wires.done(), ignored, remarks)


def edsr_basicsr(tensors: Tensors, options: Options) -> Plan:
    """Plans a network with BasicSR's names.

    Raises:
      UserError: see `edsr`.
    """
    del options
    blocks = _count(r"body\.(\d+)\.conv1\.weight", tensors)
    upsamplers = [
        f"upsample.{i}" for i in _indices(r"upsample\.(\d+)\.weight", tensors)
    ]
    config = EDSRConfig(**_config(tensors, "conv_first", upsamplers, blocks))
    wires = Wires()
    wires.conv("head", "conv_first")
    for i in range(blocks):
        wires.conv(f"block_{i}/first", f"body.{i}.conv1")
        wires.conv(f"block_{i}/second", f"body.{i}.conv2")
    wires.conv("body_end", "conv_after_body")
    _upsamplers(wires, config, upsamplers)
    wires.conv("tail", "conv_last")
    return Plan(config, wires.done(), {}, (_guess(config), _RANGE_GUESS))


_RANGE_GUESS = (
    "rgb_range=255 is a guess, which the weights do not show; if greys come out wrong, "
    "say what it was trained with: --network_arg=rgb_range=1"
)


def _guess(config: EDSRConfig) -> str:
    other = 1.0 if config.residual_scale != 1.0 else 0.1
    return (
        f"residual_scale={config.residual_scale:g} is a guess, which the weights do "
        f"not show; say --network_arg=residual_scale={other:g} if it was that"
    )


def _config(
    tensors: Tensors, head: str, upsamplers: list[str], blocks: int
) -> dict[str, object]:
    filters = shape_of(tensors, f"{head}.weight")[0]
    factors = [shape_of(tensors, f"{n}.weight")[0] / filters for n in upsamplers]
    stages = tuple(round(factor**0.5) for factor in factors)
    scale = {(): 1, (2,): 2, (3,): 3, (2, 2): 4, (2, 2, 2): 8}.get(stages)
    if scale is None or any(s * s != f for s, f in zip(stages, factors, strict=True)):
        raise UserError(
            "EDSR's upsampling convolutions must make 4 or 9 times the channels, as "
            f"x2, x3, x4 or x8 needs. Received: {factors} times."
        )
    # Not in the weights. The authors damp the branches of the large network only.
    residual_scale = 0.1 if filters >= 256 else 1.0
    return {
        "scale": scale,
        "filters": filters,
        "num_blocks": blocks,
        "residual_scale": residual_scale,
        "rgb_range": RGB_RANGE,
    }


def _upsamplers(wires: Wires, config: EDSRConfig, names: list[str]) -> None:
    factor = 3 if config.scale == 3 else 2
    for i, name in enumerate(names):
        wires.conv(f"upsample_{i}", name, sub_pixel=factor)


def _shift_in(tensors: Tensors) -> tuple[tuple[float, ...], float, bool]:
    """The mean that the input's shift subtracts, the range, and if it was trained."""
    if "sub_mean.weight" not in tensors:
        return DIV2K_MEAN, RGB_RANGE, False
    values = []
    for name in ("sub_mean", "add_mean"):
        if shape_of(tensors, f"{name}.weight") != (3, 3, 1, 1) or (
            shape_of(tensors, f"{name}.bias", 1) != (3,)
        ):
            raise UserError(f"{name} must be a 1x1 convolution of 3 channels.")
        weight = tensors[f"{name}.weight"].load()[:, :, 0, 0].astype(np.float64)
        values.append((weight, tensors[f"{name}.bias"].load().astype(np.float64)))
    rgb_range = _range_of(-values[0][1])
    usual = np.array(DIV2K_MEAN) * rgb_range
    is_usual = all(
        np.allclose(weight, np.eye(3), rtol=0, atol=1e-6)
        and np.allclose(bias, sign * usual, rtol=1e-5, atol=0)
        for (weight, bias), sign in zip(values, (-1, 1), strict=True)
    )
    if is_usual:
        return DIV2K_MEAN, rgb_range, False
    weight, bias = values[0]
    if not np.isfinite(weight).all() or np.linalg.cond(weight) > 1e4:
        raise UserError(
            "EDSR's input shift (sub_mean) must be invertible to be taken in. "
            f"Received: {weight.tolist()}."
        )
    mean = -np.linalg.solve(weight, bias) / rgb_range
    return tuple(float(value) for value in mean), rgb_range, True


def _range_of(bias: np.ndarray) -> float:
    """The range that a shift by DIV2K's mean shows, of training or not.

    A constant shift may be of any range; where training moved it, the nearest usual one
    is meant.
    """
    ratios = bias / np.array(DIV2K_MEAN)
    middle = float(np.median(ratios))
    nearest = min(_RANGES, key=lambda one: abs(np.log(max(middle, 1e-9) / one)))
    constant = middle > 0 and np.allclose(ratios, middle, rtol=1e-5, atol=0)
    return middle if constant and abs(middle / nearest - 1) > 1e-5 else nearest


def _shifted_ends(wires: Wires, mean_255: np.ndarray) -> None:
    """Merges the trained shifts into first and last convolution."""

    def head(kernel: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return np.einsum("ochw,ci->hwio", kernel, shift[:, :, 0, 0])

    def tail(kernel: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return np.einsum("cihw,oc->hwio", kernel, shift[:, :, 0, 0])

    def tail_bias(bias: np.ndarray, shift: np.ndarray, by: np.ndarray) -> np.ndarray:
        return shift[:, :, 0, 0] @ bias + by - mean_255

    # The input's bias is what the config's mean was solved from.
    wires.add(
        "head/kernel",
        ("head.0.weight", "sub_mean.weight", "sub_mean.bias"),
        lambda kernel, shift, _: head(kernel, shift),
    )
    wires.add("head/bias", "head.0.bias", lambda bias: bias)
    wires.add("tail/kernel", ("tail.1.weight", "add_mean.weight"), tail)
    wires.add(
        "tail/bias", ("tail.1.bias", "add_mean.weight", "add_mean.bias"), tail_bias
    )


def _indices(pattern: str, tensors: Tensors) -> list[int]:
    found = (re.fullmatch(pattern, name) for name in tensors)
    return sorted(int(match.group(1)) for match in found if match)


def _count(pattern: str, tensors: Tensors) -> int:
    """Counts blocks up to the last one; a missing one is found when they are filled."""
    found = _indices(pattern, tensors)
    if not found:
        raise UserError(
            f"The layout needs tensors {pattern!r}. Received: a file without one."
        )
    return max(found) + 1
