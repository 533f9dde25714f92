"""Copies tensors of a foreign file to variables of a network by a plan.

A layout makes a `Plan`: the config that follows from the tensors' shapes, and one
`Wire` per variable. A plan copies nothing, so it can be checked and printed first.
`fill` carries it out: every tensor is used or named, every variable filled once.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.interop.tensors import Tensor
from pdm_tf.models.network import Network

Tensors = Mapping[str, Tensor]
_COUNTER = "num_batches_tracked"
_SHOWN = 12
_IS_PARAMETER = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Wire:
    """One variable.

    Attributes:
      target: path below the network, "block_0/first/kernel".
      sources: names in the file.
      convert: arrays of those -> the variable's value.
    """

    target: str
    sources: tuple[str, ...]
    convert: Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan by which one file becomes one network.

    Attributes:
      config: of the network.
      wires: one per variable.
      ignored: name in the file -> why it is not used.
      remarks: what the user should know.
    """

    config: Any
    wires: tuple[Wire, ...]
    ignored: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def scale(self) -> int:
        """The network's scale; 1 if it has none."""
        return getattr(self.config, "scale", 1)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options that a layout cannot read from the tensors.

    Attributes:
      scale: 0 takes what the tensors say, or the layout's usual one.
      noise_latent: for the PDM release: "per_pixel" or "auto".
      noise_image: for the PDM release: "yes", "no" or "auto".
    """

    scale: int = 0
    noise_latent: str = "auto"
    noise_image: str = "auto"


class Wires:
    """Collects wires layer by layer, in PyTorch's and Keras's words.

    Args:
      prefix: before every target.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._wires: list[Wire] = []

    def add(
        self, target: str, sources: str | tuple[str, ...], convert: Callable
    ) -> None:
        """One variable."""
        names = (sources,) if isinstance(sources, str) else sources
        self._wires.append(Wire(f"{self._prefix}{target}", names, convert))

    def conv(
        self,
        target: str,
        source: str,
        *,
        sub_pixel: int = 1,
        unshuffled: int = 1,
        bias: bool = True,
    ) -> None:
        """Adds a convolution: [out, in, kh, kw] -> [kh, kw, in, out].

        Args:
          target: the Keras layer's path.
          source: the PyTorch module's name.
          sub_pixel: factor of the PixelShuffle that follows. It takes channel
            c*r*r + k to position k of the square, depth_to_space k*C + c.
          unshuffled: side of the PixelUnshuffle before, the same the other way round.
          bias: whether there is one.
        """

        def kernel(weight: np.ndarray) -> np.ndarray:
            weight = _positions_first(weight, sub_pixel)
            weight = _positions_first(weight.swapaxes(0, 1), unshuffled).swapaxes(0, 1)
            return weight.transpose(2, 3, 1, 0)

        self.add(f"{target}/kernel", f"{source}.weight", kernel)
        if bias:
            self.add(
                f"{target}/bias",
                f"{source}.bias",
                lambda value: _positions_first(value, sub_pixel),
            )

    def pointwise(self, target: str, source: str) -> None:
        """Adds a 1x1 convolution as a Dense layer: [out, in, 1, 1] -> [in, out]."""
        self.add(
            f"{target}/kernel", f"{source}.weight", lambda weight: weight[:, :, 0, 0].T
        )
        self.add(f"{target}/bias", f"{source}.bias", _same)

    def batch_norm(self, target: str, source: str) -> None:
        """Adds BatchNorm with its statistics, which both sides use the same way."""
        names = {
            **{"gamma": "weight", "beta": "bias"},
            **{"moving_mean": "running_mean", "moving_variance": "running_var"},
        }
        for ours, theirs in names.items():
            self.add(f"{target}/{ours}", f"{source}.{theirs}", _same)

    def done(self) -> tuple[Wire, ...]:
        """Returns all wires."""
        return tuple(self._wires)


def _same(value: np.ndarray) -> np.ndarray:
    return value


def _positions_first(value: np.ndarray, side: int) -> np.ndarray:
    """Reorders the first axis, (channel, place in the square) to (place, channel)."""
    if side == 1:
        return value
    if value.shape[0] % side**2:
        raise UserError(
            f"Channels of a shuffle by {side} must be divisible by {side**2}. "
            f"Received: {value.shape[0]}."
        )
    split = value.reshape(-1, side**2, *value.shape[1:]).swapaxes(0, 1)
    return split.reshape(value.shape)


def counters(tensors: Tensors) -> dict[str, str]:
    """Lists PyTorch's batch counters, which our networks do not have."""
    names = [name for name in tensors if name.rpartition(".")[2] == _COUNTER]
    return dict.fromkeys(names, "PyTorch's counter of batches")


def shape_of(tensors: Tensors, name: str, rank: int = 4) -> tuple[int, ...]:
    """Returns the shape of a tensor that a layout must have.

    Raises:
      UserError: it is not there, or has another number of axes.
    """
    if name not in tensors:
        raise UserError(
            f"The layout needs a tensor {name!r}. Received: a file without it."
        )
    shape = tensors[name].shape
    if len(shape) != rank or 0 in shape:
        raise UserError(f"{name!r} must have {rank} axes. Received: {list(shape)}.")
    return shape


def fill(network: Network, plan: Plan, tensors: Mapping[str, Tensor]) -> None:
    """Assigns every variable of a network.

    Args:
      network: built from the plan's config.
      plan: what goes where.
      tensors: of the file.

    Raises:
      UserError: tensors missing or left over, variables unfilled or filled twice, a
        shape that does not fit (both are named), or numbers that are not finite. Then
        no variable has changed.
    """
    # Parts that were built before their network do not have its name in their paths.
    root = f"{network.name}/"
    variables = {v.path.removeprefix(root): v for v in network.variables}
    _check_complete(plan, tensors, variables)
    values = [(variables[w.target], _value(w, tensors, variables)) for w in plan.wires]
    for variable, value in values:
        variable.assign(value)


def _check_complete(
    plan: Plan, tensors: Mapping[str, Tensor], variables: Mapping[str, Any]
) -> None:
    sources = {name for wire in plan.wires for name in wire.sources}
    targets = [wire.target for wire in plan.wires]
    problems = {
        "missing in the file": sources - set(tensors),
        "in the file without a use": set(tensors) - sources - set(plan.ignored),
        "of the network without a value": set(variables) - set(targets),
        "of the layout without a variable": set(targets) - set(variables),
        "of the network filled twice": {t for t in targets if targets.count(t) > 1}
        if len(set(targets)) < len(targets)
        else set(),
    }
    lines = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
    if lines:
        raise UserError(
            "Every tensor must have one place and every place one tensor. Received: "
            + "; ".join(lines)
            + "."
        )


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _value(
    wire: Wire, tensors: Mapping[str, Tensor], variables: Mapping[str, Any]
) -> np.ndarray:
    arrays = []
    for name in wire.sources:
        if tensors[name].dtype not in _IS_PARAMETER:
            raise UserError(
                f"{name!r} must hold floating-point numbers. "
                f"Received: {tensors[name].dtype}."
            )
        arrays.append(tensors[name].load().astype(np.float64))
    shapes = " and ".join(f"{n} {list(tensors[n].shape)}" for n in wire.sources)
    wanted = tuple(variables[wire.target].shape)
    rule = f"{shapes} must fit {wire.target}, {list(wanted)} in Keras's order of axes."
    try:
        value = wire.convert(*arrays)
    except (ValueError, IndexError) as error:
        raise UserError(f"{rule} Received: {error}") from error
    if value.shape != wanted:
        raise UserError(f"{rule} Received: {list(value.shape)} in that order.")
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(
            f"{shapes} must hold finite numbers. Received: some that are not."
        )
    return value
