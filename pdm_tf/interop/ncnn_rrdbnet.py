"""RRDBNet in ncnn's graph: which convolution is which.

The tools that ncnn's RRDBNets come from (PyTorch to ONNX, then onnx2ncnn and
ncnnoptimize) leave no names of layers, but all of them in the order in which the
network computes. The graph is followed from its input to its output and held, layer by
layer, against what `models/sr/rrdbnet` computes: kinds, settings, slopes, residual
scales, channels and connections. Then each convolution gets the name that BasicSR gives
it (layout `realesrgan`). Any other graph is refused, with what was found where.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pdm_tf.core.errors import UserError
from pdm_tf.interop.ncnn_file import (
    Layer,
    Value,
    read_convolutions,
    read_graph,
)
from pdm_tf.interop.tensors import Tensor

_SLOPE = 0.2
_RESIDUAL = 0.2
_DENSE = 5  # convolutions of a dense block
_KINDS = (
    *("Input", "Split", "Convolution", "Concat"),
    *("Eltwise", "BinaryOp", "Interp"),
)
# What a layer's settings must be, by ncnn's ids, and what they are where they are not
# given. Where the second is the first, another setting decides: a kernel's height is
# its width unless given, and all paddings are the left one.
_Rule = Mapping[int, tuple[Value, Value]]
_CONVOLUTION: _Rule = {
    **{1: (3, 0), 11: (3, 3)},  # kernel: width, height
    **{2: (1, 1), 12: (1, 1)},  # dilation
    **{3: (1, 1), 13: (1, 1)},  # stride
    **{4: (1, 0), 14: (1, 1), 15: (1, 1), 16: (1, 1), 18: (0, 0)},  # padding, its value
    **{5: (1, 0), 8: (0, 0), 19: (0, 0)},  # biases, 8-bit scales, weights as an input
}
_OUTPUTS, _WEIGHTS, _ACTIVATION, _SLOPES, _LEAKY = 0, 6, 9, 10, 2
_CONCAT: _Rule = {0: (0, 0)}  # axis: channels
_ADD: _Rule = {0: (0, 0), 1: (0, 0), 2: (0, 0)}  # operation, with a number, the number
_SUM = 1  # Eltwise's operation
_DOUBLE: _Rule = {
    **{0: (1, 0)},  # nearest
    **{1: (2, 1), 2: (2, 1)},  # factors
    **{3: (0, 0), 4: (0, 0), 5: (0, 0), 6: (0, 0)},  # size, from a blob, corners
}


def read_rrdbnet(graph: Path, weights: Path) -> dict[str, Tensor]:
    """Returns the tensors of an RRDBNet by BasicSR's names.

    Raises:
      UserError: another network, or files that break ncnn's format.
    """
    layers = read_graph(graph)
    _check_kinds(graph, layers)
    return read_convolutions(weights, _Follower(graph, layers).convolutions())


def _check_kinds(path: Path, layers: Sequence[Layer]) -> None:
    kinds = Counter(layer.kind for layer in layers)
    if not set(kinds) - set(_KINDS):
        return
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    hint = ""
    if "PReLU" in kinds and "PixelShuffle" in kinds and "Concat" not in kinds:
        hint = (
            " That is an SRVGGNetCompact (Real-ESRGAN's networks for videos, "
            "realesr-animevideov3 and general-x4v3, are), which pdm_tf does not have."
        )
    raise UserError(
        f"{path} must be an RRDBNet, whose layers are {', '.join(_KINDS)}. "
        f"Received: {found}.{hint}"
    )


class _Follower:
    """Follows a graph along RRDBNet.

    Args:
      path: of the graph, for messages.
      layers: all of them, in order.
    """

    def __init__(self, path: Path, layers: Sequence[Layer]) -> None:
        self._path = path
        self._alias: dict[str, str] = {}  # output of a Split -> its input
        self._channels: dict[str, int] = {}
        self._found: list[tuple[str, tuple[int, int, int, int]]] = []
        self._layers: Iterator[Layer] = iter(layers)
        self._next: Layer | None = None
        self._advance()

    def convolutions(self) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Returns name and shape [out, in, 3, 3] of all, in order.

        Raises:
          UserError: the graph is none of an RRDBNet.
        """
        image = self._input()
        head = self._convolution("conv_first", image)
        trunk, block = head, 0
        while self._is_activated():
            trunk = self._block(f"body.{block}", trunk)
            block += 1
        body = self._convolution("conv_body", trunk, self._channels[head])
        fine = self._sum(head, body)
        stage = 0
        while self._next is not None and self._next.kind == "Interp":
            stage += 1
            fine = self._doubled(fine)
            fine = self._convolution(
                f"conv_up{stage}", fine, self._channels[head], leaky=True
            )
        fine = self._convolution("conv_hr", fine, self._channels[head], leaky=True)
        self._convolution("conv_last", fine, 3)
        if self._next is not None:
            self._refuse(self._next, "where the network ends")
        return self._found

    def _block(self, name: str, x: str) -> str:
        """Three dense blocks and the way around them."""
        start = x
        for index in range(1, 4):
            x = self._dense(f"{name}.rdb{index}", x)
        return self._residual(x, start)

    def _dense(self, name: str, x: str) -> str:
        """Five convolutions, each of everything before it, and the way around them."""
        parts = [x]
        growth = None
        for index in range(1, _DENSE):
            joined = parts[0] if index == 1 else self._concat(parts)
            parts.append(
                self._convolution(f"{name}.conv{index}", joined, growth, leaky=True)
            )
            growth = self._channels[parts[1]]
        last = self._convolution(
            f"{name}.conv{_DENSE}", self._concat(parts), self._channels[x]
        )
        return self._residual(last, x)

    def _input(self) -> str:
        layer = self._take("Input", ())
        channels = layer.settings.get(2, 0)
        if not set(layer.settings) <= {0, 1, 2} or channels not in (0, 3):
            self._refuse(layer, "where an RGB image comes in")
        return self._made(layer, 3)

    def _convolution(
        self, name: str, x: str, outputs: int | None = None, *, leaky: bool = False
    ) -> str:
        """Takes a 3x3 convolution of `x`; `outputs` None: however many it has."""
        layer = self._take("Convolution", (x,))
        channels = self._channels[x]
        count = layer.settings.get(_OUTPUTS, 0)
        wanted = outputs or (0 if isinstance(count, tuple) else int(count))
        slope = (_SLOPE,) if leaky else ()
        rule = {
            **_CONVOLUTION,
            _OUTPUTS: (wanted, 0),
            _WEIGHTS: (wanted * channels * 9, 0),
            _ACTIVATION: (_LEAKY if leaky else 0, 0),
            _SLOPES: (slope, ()),
        }
        self._check(
            layer, rule, f"as {name}, {channels} channels to {wanted or 'some'}"
        )
        if not wanted:
            self._refuse(layer, f"as {name}")
        self._found.append((name, (wanted, channels, 3, 3)))
        return self._made(layer, wanted)

    def _concat(self, parts: Sequence[str]) -> str:
        layer = self._take("Concat", tuple(parts))
        self._check(layer, _CONCAT, "where channels are joined")
        return self._made(layer, sum(self._channels[part] for part in parts))

    def _residual(self, x: str, around: str) -> str:
        """0.2 x + around, in either order."""
        layer = self._take("Eltwise", (x, around), any_order=True)
        shares = {x: _RESIDUAL, around: 1.0}
        coefficients = tuple(shares[self._source(name)] for name in layer.inputs)
        rule = {0: (_SUM, 0), 1: (coefficients, ())}
        self._check(layer, rule, f"where {_RESIDUAL} of a branch is added")
        return self._made(layer, self._channels[around])

    def _sum(self, x: str, y: str) -> str:
        layer = self._take("BinaryOp", (x, y), any_order=True)
        self._check(layer, _ADD, "where the body is added to the head")
        return self._made(layer, self._channels[x])

    def _doubled(self, x: str) -> str:
        layer = self._take("Interp", (x,))
        self._check(layer, _DOUBLE, "where sides are doubled, nearest pixel")
        return self._made(layer, self._channels[x])

    def _is_activated(self) -> bool:
        """Whether a dense block begins; the body's end has no activation."""
        layer = self._next
        return (
            layer is not None
            and layer.kind == "Convolution"
            and layer.settings.get(_ACTIVATION, 0) != 0
        )

    def _advance(self) -> None:
        """Goes to the next layer that computes; a Split only gives names."""
        for layer in self._layers:
            if layer.kind != "Split":
                self._next = layer
                return
            if len(layer.inputs) != 1 or layer.settings:
                self._refuse(layer, "where a blob is used several times")
            source = self._source(layer.inputs[0])
            self._alias.update(dict.fromkeys(layer.outputs, source))
        self._next = None

    def _source(self, blob: str) -> str:
        return self._alias.get(blob, blob)

    def _take(
        self, kind: str, inputs: tuple[str, ...], *, any_order: bool = False
    ) -> Layer:
        layer = self._next
        if layer is None:
            raise UserError(
                f"{self._path} must go on as RRDBNet does. "
                f"Received: its end where {kind} belongs."
            )
        found = tuple(map(self._source, layer.inputs))
        if any_order:
            found, inputs = tuple(sorted(found)), tuple(sorted(inputs))
        if layer.kind != kind or len(layer.outputs) != 1:
            self._refuse(layer, f"where {kind} belongs")
        if found != inputs:
            self._refuse(layer, f"where {kind} of {', '.join(inputs)} belongs")
        return layer

    def _made(self, layer: Layer, channels: int) -> str:
        self._channels[layer.outputs[0]] = channels
        self._advance()
        return layer.outputs[0]

    def _check(self, layer: Layer, rule: _Rule, where: str) -> None:
        for key in sorted({*layer.settings, *rule}):
            wanted, default = rule.get(key, (None, None))
            value = layer.settings.get(key, default)
            if wanted is None or not _same(value, wanted):
                must = "not be given" if wanted is None else f"be {_shown(wanted)}"
                self._refuse(layer, f"{where}: setting {key} must {must}")

    def _refuse(self, layer: Layer, where: str) -> NoReturn:
        settings = " ".join(f"{k}={_shown(v)}" for k, v in layer.settings.items())
        inputs = ", ".join(map(self._source, layer.inputs))
        raise UserError(
            f"{self._path} must be an RRDBNet, slopes and residual scales 0.2. "
            f"Received: {layer.kind} {layer.name} of {inputs or 'nothing'} "
            f"({settings or 'no settings'}) {where}."
        )


def _shown(value: Value) -> str:
    """5, or (0.2, 1)."""
    if isinstance(value, tuple):
        return f"({', '.join(f'{number:g}' for number in value)})"
    return f"{value:g}"


def _same(value: Value | None, wanted: Value) -> bool:
    """Whether they are equal, up to what six decimals leave out."""
    if value is None or isinstance(value, tuple) != isinstance(wanted, tuple):
        return False
    values, others = (v if isinstance(v, tuple) else (v,) for v in (value, wanted))
    return len(values) == len(others) and all(
        abs(a - b) < 1e-6 for a, b in zip(values, others, strict=True)
    )
