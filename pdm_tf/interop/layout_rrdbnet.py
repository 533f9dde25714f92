"""RRDBNet (ESRGAN, Wang et al. 2018, arXiv:1809.00219) by its three sets of names.

- `esrgan_old`: one Sequential, model.0, model.1.sub.N.RDB1.conv1.0, then model.<i> for
  the upsampling convolutions and the last two.
- `esrgan`: conv_first, RRDB_trunk.N.RDB1.conv1, trunk_conv, upconv1, upconv2, HRconv,
  conv_last (ESRGAN's later files, BSRGAN, BSRNet, Real-SR).
- `realesrgan`: conv_first, body.N.rdb1.conv1, conv_body, conv_up1, conv_up2, conv_hr,
  conv_last (BasicSR, Real-ESRGAN). Its x2 and x1 take 12 and 48 channels: pixels moved
  into channels, then the x4 network.
"""

import dataclasses
import re

from pdm_tf.core.errors import UserError
from pdm_tf.interop.wiring import Options, Plan, Tensors, Wires, shape_of
from pdm_tf.models.sr import RRDBNetConfig


@dataclasses.dataclass(frozen=True)
class _Names:
    """Module names of one variant; `{i}` is the block, `{j}`, `{k}` count from 1."""

    head: str
    dense: str
    body_end: str
    upsamplers: tuple[str, ...]
    refine: str
    tail: str


def is_esrgan_old(names: set[str]) -> bool:
    """One Sequential."""
    return {"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"} <= names


def is_esrgan(names: set[str]) -> bool:
    """ESRGAN's later names."""
    return {"conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"} <= names


def is_realesrgan(names: set[str]) -> bool:
    """BasicSR's names."""
    return {"conv_first.weight", "body.0.rdb1.conv1.weight"} <= names


def esrgan_old(tensors: Tensors, options: Options) -> Plan:
    """Plans a network from one Sequential.

    Raises:
      UserError: a tensor that determines the size is missing or odd.
    """
    # 0: head, 1: body; each upsampling convolution, then the last two.
    after = _indices(r"model\.(\d+)\.weight", tensors)[1:]
    if len(after) < 2:
        raise UserError(
            "ESRGAN must end with two convolutions on the finest grid. "
            f"Received: {[f'model.{i}' for i in after]}."
        )
    blocks = _blocks(r"model\.1\.sub\.(\d+)\.RDB1\.conv1\.0\.weight", tensors)
    *upsamplers, refine, tail = (f"model.{i}" for i in after)
    names = _Names(
        head="model.0",
        dense="model.1.sub.{i}.RDB{j}.conv{k}.0",
        body_end=f"model.1.sub.{blocks}",
        upsamplers=tuple(upsamplers),
        refine=refine,
        tail=tail,
    )
    return _plan(tensors, options, names, blocks)


def esrgan(tensors: Tensors, options: Options) -> Plan:
    """Plans a network with ESRGAN's later names.

    Raises:
      UserError: see `esrgan_old`.
    """
    blocks = _blocks(r"RRDB_trunk\.(\d+)\.RDB1\.conv1\.weight", tensors)
    names = _Names(
        head="conv_first",
        dense="RRDB_trunk.{i}.RDB{j}.conv{k}",
        body_end="trunk_conv",
        upsamplers=_numbered("upconv", tensors),
        refine="HRconv",
        tail="conv_last",
    )
    return _plan(tensors, options, names, blocks)


def realesrgan(tensors: Tensors, options: Options) -> Plan:
    """Plans a network with BasicSR's names.

    Raises:
      UserError: see `esrgan_old`.
    """
    blocks = _blocks(r"body\.(\d+)\.rdb1\.conv1\.weight", tensors)
    names = _Names(
        head="conv_first",
        dense="body.{i}.rdb{j}.conv{k}",
        body_end="conv_body",
        upsamplers=_numbered("conv_up", tensors),
        refine="conv_hr",
        tail="conv_last",
    )
    return _plan(tensors, options, names, blocks)


def _plan(tensors: Tensors, options: Options, names: _Names, blocks: int) -> Plan:
    filters, inputs = shape_of(tensors, f"{names.head}.weight")[:2]
    dense = names.dense.format(i=0, j=1, k=1)
    growth = shape_of(tensors, f"{dense}.weight")[0]
    unshuffle = {3: 1, 12: 2, 27: 3, 48: 4}.get(inputs)
    if unshuffle is None:
        raise UserError(
            "RRDBNet must take RGB: 3 channels, or 12 or 48 of unshuffled pixels. "
            f"Received: {names.head}.weight of {inputs} channels."
        )
    config = RRDBNetConfig(
        scale=_scale(len(names.upsamplers), unshuffle, options),
        filters=filters,
        growth=growth,
        num_blocks=blocks,
        unshuffle=unshuffle,
    )
    wires = Wires()
    wires.conv("head", names.head, unshuffled=unshuffle)
    for i in range(blocks):
        for j in range(3):
            for k in range(5):
                source = names.dense.format(i=i, j=j + 1, k=k + 1)
                wires.conv(f"block_{i}_{j}/conv_{k}", source)
    wires.conv("body_end", names.body_end)
    for i, name in enumerate(names.upsamplers):
        wires.conv(f"upsample_{i}", name)
    wires.conv("refine", names.refine)
    wires.conv("tail", names.tail)
    return Plan(config, wires.done())


def _scale(upsamplers: int, unshuffle: int, options: Options) -> int:
    """Every upsampling convolution doubles; a single one may also follow a tripling."""
    factor = 2**upsamplers
    if upsamplers == 1 and options.scale * unshuffle == 3:
        factor = 3
    if factor % unshuffle or factor > 8:
        raise UserError(
            "RRDBNet must upsample by 1, 2, 4 or 8 and by no less than it unshuffles. "
            f"Received: x{factor} after an unshuffle by {unshuffle}."
        )
    return factor // unshuffle


def _numbered(stem: str, tensors: Tensors) -> tuple[str, ...]:
    indices = _indices(rf"{stem}(\d+)\.weight", tensors)
    return tuple(f"{stem}{i}" for i in indices)


def _indices(pattern: str, tensors: Tensors) -> list[int]:
    found = (re.fullmatch(pattern, name) for name in tensors)
    return sorted(int(match.group(1)) for match in found if match)


def _blocks(pattern: str, tensors: Tensors) -> int:
    """Counts blocks up to the last one; a missing one is found when they are filled."""
    found = _indices(pattern, tensors)
    if not found:
        raise UserError(
            f"The layout needs tensors {pattern!r}. Received: a file without one."
        )
    return max(found) + 1
