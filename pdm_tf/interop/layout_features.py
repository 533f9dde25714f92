"""Feature networks as torchvision names them, and LPIPS's heads (version 0.1).

`vgg19`, `vgg16`, `alexnet`, `squeezenet` (1.1): features.N; the classifier's layers are
ignored. `lpips`: lin0.model.1.weight and so on, one [1, C, 1, 1] weight per tap; the
package ships only these, so the feature network comes from a second file (its tensors
under "backbone:"), or from the same file if somebody saved the whole metric
(net.sliceK.N, where N is torchvision's number).
"""

import re

from pdm_tf.core.errors import UserError
from pdm_tf.interop.wiring import Options, Plan, Tensors, Wires, shape_of
from pdm_tf.models.features import (
    AlexNetConfig,
    LPIPSConfig,
    SqueezeNetConfig,
    VGGConfig,
)

BACKBONE = "backbone:"
_ALEXNET = (0, 3, 6, 8, 10)
_FIRES = (3, 4, 6, 7, 9, 10, 11, 12)
_FIRE_PARTS = ("squeeze", "expand1x1", "expand3x3")


def _vgg_modules(depth: int) -> list[tuple[str, str]]:
    """(our layer, number in torchvision's `features`)."""
    modules, index = [], 0
    for block, count in enumerate(VGGConfig(depth=depth).blocks, 1):
        for i in range(1, count + 1):
            modules.append((f"conv{block}_{i}", str(index)))
            index += 2  # convolution and ReLU
        index += 1  # pooling
    return modules


MODULES = {
    "vgg19": _vgg_modules(19),
    "vgg16": _vgg_modules(16),
    "alexnet": [(f"conv{i}", str(n)) for i, n in enumerate(_ALEXNET, 1)],
    "squeezenet": [
        ("conv1", "0"),
        *(
            (f"fire{i}/{part}", f"{n}.{part}")
            for i, n in enumerate(_FIRES, 2)
            for part in _FIRE_PARTS
        ),
    ],
}
_CONFIGS = {
    "vgg19": lambda filters: VGGConfig(depth=19, filters=filters),
    "vgg16": lambda filters: VGGConfig(depth=16, filters=filters),
    "alexnet": lambda filters: AlexNetConfig(filters=filters),
    "squeezenet": lambda filters: SqueezeNetConfig(filters=filters),
}
# net of LPIPS -> its backbone, and the heads' channels in units of the first.
_LPIPS = {
    "alex": ("alexnet", (1, 3, 6, 4, 4)),
    "vgg": ("vgg16", (1, 2, 4, 8, 8)),
    "squeeze": ("squeezenet", (1, 2, 4, 6, 6, 8, 8)),
}


def is_features(net: str, names: set[str]) -> bool:
    """Whether the convolutions are exactly that network's, whatever follows them."""
    found = {name for name in names if name.startswith("features.")}
    wanted = {f"features.{n}.{kind}" for _, n in MODULES[net] for kind in _KINDS}
    return found == wanted


_KINDS = ("weight", "bias")


def features(net: str, tensors: Tensors, options: Options) -> Plan:
    """Plans a feature network.

    Raises:
      UserError: the first convolution is missing or odd.
    """
    del options
    filters = shape_of(tensors, "features.0.weight")[0]
    wires = Wires()
    for ours, number in MODULES[net]:
        wires.conv(ours, f"features.{number}")
    ignored = {
        name: "the classifier; only the convolutions are used"
        for name in tensors
        if name.startswith("classifier.")
    }
    return Plan(_CONFIGS[net](filters), wires.done(), ignored)


def is_lpips(names: set[str]) -> bool:
    """The first head."""
    return "lin0.model.1.weight" in names


def lpips(tensors: Tensors, options: Options) -> Plan:
    """Plans the metric: heads and backbone.

    Raises:
      UserError: heads of no known network, or no backbone.
    """
    del options
    count = sum(bool(re.fullmatch(r"lin\d+\.model\.1\.weight", n)) for n in tensors)
    widths = [shape_of(tensors, f"lin{i}.model.1.weight")[1] for i in range(count)]
    net = _net_of(widths)
    backbone, units = _LPIPS[net]
    prefix, ignored = _backbone_names(tensors, net), {}
    wires = Wires()
    for ours, number in MODULES[backbone]:
        wires.conv(f"backbone/{ours}", prefix(number))
    for i in range(count):
        wires.conv(f"head_{i}", f"lin{i}.model.1", bias=False)
    for name in tensors:
        if name.startswith("scaling_layer."):
            ignored[name] = "the input's normalisation, which is ours too"
        elif re.fullmatch(r"lins\.\d+\.model\.1\.weight", name):
            ignored[name] = "a head again, under its other name"
        elif name.startswith(f"{BACKBONE}classifier."):
            ignored[name] = "the classifier; only the convolutions are used"
    filters = widths[0] // units[0]
    return Plan(LPIPSConfig(net, filters), wires.done(), ignored)


def _net_of(widths: list[int]) -> str:
    for net, (_, units) in _LPIPS.items():
        if len(widths) == len(units) and all(
            width * units[0] == widths[0] * unit
            for width, unit in zip(widths, units, strict=True)
        ):
            return net
    raise UserError(
        "LPIPS's heads must be those of AlexNet, VGG16 or SqueezeNet 1.1. "
        f"Received: {len(widths)} heads of {widths} channels."
    )


def _backbone_names(tensors: Tensors, net: str):  # noqa: ANN202 - a closure
    """number in `features` -> module name in the file(s)."""
    whole = {}
    for name in tensors:
        match = re.fullmatch(r"(net\.slice\d+\.(.+))\.weight", name)
        if match:
            whole[match.group(2)] = match.group(1)
    if whole:
        return lambda number: whole.get(number, f"net.slice?.{number}")
    if any(name.startswith(BACKBONE) for name in tensors):
        return lambda number: f"{BACKBONE}features.{number}"
    raise UserError(
        f"LPIPS's heads need the network they sit on. Give --backbone, torchvision's "
        f"{_LPIPS[net][0]} as a file."
    )
