"""ncnn's two files: the graph as text (.param) and the weights (.bin).

Tencent's inference library ncnn keeps a network so, and many published networks can be
had in this form only. The text (number 7767517 first, then how many layers and blobs)
has a line per layer: kind, name, how many inputs and outputs, their names, and settings
`id=value`; an array has the id -23300 - id and its length before its values. The
weights follow in the order of the layers, without names or sizes: a convolution's
kernel [out, in, kh, kw] after four bytes that say how it is stored, then its biases,
always float32.

What network a graph is: `ncnn_rrdbnet`.
"""

import dataclasses
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from pdm_tf.core.errors import UserError
from pdm_tf.interop.tensors import Tensor, contiguous, item_size

MAGIC = b"7767517"
_ARRAY = -23300
_ALIGNED = 4  # bytes
_FP16 = 0x01306B47
_TYPES = {_FP16: "float16", 0: "float32"}
_KNOWN_TAGS = {
    0x000D4B38: "8-bit integers",
    0x0002C056: "float32 with extra scaling",
}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_LARGEST = 2**31  # settings are 32-bit integers or floats

Value = float | tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A line of the graph.

    Attributes:
      kind, name: e.g. "Convolution" and "Conv_0".
      inputs, outputs: names of blobs.
      settings: id -> number, or numbers.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[int, Value]


def find_pair(path: Path) -> tuple[Path, Path] | None:
    """Returns graph and weights if `path` is one of ncnn's files, else None.

    Args:
      path: an existing file, the graph or the weights.

    Raises:
      UserError: the other one of the two is not next to it.
    """
    if _starts(path):
        weights = path.with_suffix(".bin")
        if weights == path or not weights.is_file():
            raise UserError(
                "An ncnn network is two files, NAME.param and NAME.bin in one folder. "
                f"Received: {path} without {weights.name}."
            )
        return path, weights
    graph = path.with_suffix(".param")
    if path.suffix == ".bin" and graph.is_file() and _starts(graph):
        return graph, path
    if path.suffix == ".bin" and _first(path, 4) == struct.pack("<I", _FP16):
        raise UserError(
            "ncnn's weights have their graph, NAME.param, next to them. "
            f"Received: {path} without {graph.name}."
        )
    return None


def _first(path: Path, count: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(count)


def _starts(path: Path) -> bool:
    return _first(path, 16).split()[:1] == [MAGIC]


def read_graph(path: Path) -> tuple[Layer, ...]:
    """Reads all layers, in order.

    Raises:
      UserError: a line that breaks the format, counts that do not hold, or a blob that
        is made twice or used before it is made; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} must be ncnn's graph as text. Received: {error}."
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(map(_COUNT.fullmatch, counts)):
        raise UserError(
            f"{path}, line 2, must give how many layers and blobs there are. "
            f"Received: {' '.join(counts)!r:.60}."
        )
    layers, made = [], set()
    for number, line in enumerate(lines[2:], start=3):
        where = f"{path}, line {number},"
        layer = _layer(line, where)
        missing = [name for name in layer.inputs if name not in made]
        again = [name for name in layer.outputs if name in made]
        if missing or again or len(set(layer.outputs)) < len(layer.outputs):
            raise UserError(
                f"{where} must use blobs that were made before and make new ones. "
                f"Received: {layer.name} from {list(layer.inputs)} to "
                f"{list(layer.outputs)}."
            )
        made.update(layer.outputs)
        layers.append(layer)
    if [str(len(layers)), str(len(made))] != counts:
        raise UserError(
            f"{path} must have the {counts[0]} layers and {counts[1]} blobs that its "
            f"second line says. Received: {len(layers)} and {len(made)}; part of the "
            "file may be missing."
        )
    return tuple(layers)


def _layer(line: str, where: str) -> Layer:
    words = line.split()
    numbers = words[2:4]
    if len(numbers) < 2 or not all(map(_COUNT.fullmatch, numbers)):
        raise UserError(
            f"{where} must be a layer: kind, name, how many inputs and outputs. "
            f"Received: {line!r:.80}."
        )
    ins, outs = map(int, numbers)
    blobs, settings = words[4 : 4 + ins + outs], words[4 + ins + outs :]
    if len(blobs) < ins + outs or any("=" in blob for blob in blobs):
        raise UserError(
            f"{where} must name {ins} inputs and {outs} outputs. "
            f"Received: {line!r:.80}."
        )
    parsed: dict[int, Value] = {}
    for word in settings:
        key, value = _setting(word, where)
        if key in parsed:
            raise UserError(f"{where} must give a setting once. Received: {word!r}.")
        parsed[key] = value
    return Layer(words[0], words[1], tuple(blobs[:ins]), tuple(blobs[ins:]), parsed)


def _setting(word: str, where: str) -> tuple[int, Value]:
    """Returns id and value of `id=value`."""
    key, _, text = word.partition("=")
    parts = text.split(",")
    written = _COUNT.fullmatch(key.removeprefix("-")) and all(
        map(_NUMBER.fullmatch, parts)
    )
    values = tuple(map(float, parts)) if written else ()
    if not values or max(map(abs, values)) >= _LARGEST:
        raise UserError(
            f"{where} must have settings of numbers, id=value. Received: {word!r:.60}."
        )
    if int(key) > _ARRAY and len(values) == 1:
        return int(key), values[0]
    if int(key) > _ARRAY or values[0] != len(values) - 1:
        raise UserError(
            f"{where} must have arrays with their length first. Received: {word!r:.60}."
        )
    return _ARRAY - int(key), values[1:]


def read_convolutions(
    path: Path, shapes: Sequence[tuple[str, tuple[int, int, int, int]]]
) -> dict[str, Tensor]:
    """Finds the numbers of convolutions that follow one another, not yet reading them.

    Args:
      path: the file of weights.
      shapes: name and shape [out, in, kh, kw] of each, in the file's order. Each has
        biases.

    Returns:
      NAME.weight and NAME.bias by name.

    Raises:
      UserError: numbers that are stored in another way, padding that is not zero, or a
        file that is shorter or longer than these convolutions.
    """
    size = path.stat().st_size
    tensors = {}
    with open(path, "rb") as file:
        position = 0
        for name, shape in shapes:
            file.seek(position)
            dtype = _type_of(file.read(4), f"{path}: {name}.weight")
            count = shape[0] * shape[1] * shape[2] * shape[3]
            start, length = position + 4, count * item_size(dtype)
            padding = -length % _ALIGNED
            file.seek(start + length)
            if any(file.read(padding)):
                raise UserError(
                    f"{path}: the {padding} bytes that fill up {name}.weight must be "
                    "zero. Received: others, so weights and graph do not fit."
                )
            position = start + length + padding
            tensors[f"{name}.weight"] = _tensor(path, dtype, shape, start)
            tensors[f"{name}.bias"] = _tensor(path, "float32", shape[:1], position)
            position += shape[0] * item_size("float32")
            if position > size:
                break
    if position != size:
        raise UserError(
            f"{path} must hold the {len(shapes)} convolutions of its graph, whole and "
            f"nothing else. Received: {size} bytes"
            + (
                f", which end within {name}."
                if position > size
                else f", of which the graph explains {position}."
            )
        )
    return tensors


def _type_of(tag: bytes, what: str) -> str:
    if len(tag) < 4:
        raise UserError(f"{what} must be there. Received: a file that ends before it.")
    number = struct.unpack("<I", tag)[0]
    if number not in _TYPES:
        known = _KNOWN_TAGS.get(number, "unknown; weights and graph may not fit")
        raise UserError(
            f"{what} must be stored as float16 (0x{_FP16:08X}) or float32 (0). "
            f"Received: 0x{number:08X} ({known})."
        )
    return _TYPES[number]


def _tensor(path: Path, dtype: str, shape: Sequence[int], start: int) -> Tensor:
    def read() -> bytes:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(tensor.count * item_size(dtype))

    tensor = contiguous(dtype, shape, read)
    return tensor
