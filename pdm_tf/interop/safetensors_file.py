"""The safetensors format: 8 bytes of header length, a JSON header, raw numbers.

Written here rather than taken from the package: it is these lines, and they give the
same lazy records as PyTorch's files, bfloat16 included. The format's rules are checked:
names once, offsets without gap or overlap, sizes that follow from the shapes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.interop.tensors import Tensor, contiguous, item_size

_LARGEST_HEADER = 100_000_000  # the format's own limit
_DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U8": "uint8", "BOOL": "bool"},
}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name.

    Raises:
      UserError: not such a file, or one that breaks the format's rules.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
            raise UserError(
                f"{path}: a safetensors header must fit into the file. Received: "
                f"{length} bytes of {size}."
            )
        header = _parsed(file.read(length), path)
    start, tensors, spans = 8 + length, {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, begin, end = _entry(name, entry, path)
        tensor = contiguous(dtype, shape, _reader(path, start + begin, end - begin))
        if end - begin != tensor.count * item_size(dtype):
            raise UserError(
                f"{path}: {name!r} must have as many bytes as its shape needs. "
                f"Received: {end - begin} for {dtype} {list(shape)}."
            )
        tensors[name] = tensor
        spans.append((begin, end))
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise UserError(f"{path}: its tensors leave gaps or overlap at {begin}.")
        reached = end
    if start + reached != size:
        raise UserError(
            f"{path} must end with its last tensor, at byte {start + reached}. "
            f"Received: {size} bytes."
        )
    return tensors


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise ValueError("a name comes twice")
        return dict(pairs)

    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its header must be JSON: {error}.") from error
    if not isinstance(header, dict):
        raise UserError(f"{path}: its header must be a table of tensors.")
    return header


def _entry(name: str, entry: Any, path: Path) -> tuple[str, tuple[int, ...], int, int]:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        numbers = (*shape, begin, end)
        is_sane = all(type(n) is int and n >= 0 for n in numbers) and begin <= end
    except (TypeError, KeyError, ValueError):
        is_sane = False
    if not is_sane:
        raise UserError(
            f"{path}: the entry of {name[:80]!r} is damaged: {entry!r:.120}."
        )
    if dtype not in _DTYPES:
        raise UserError(
            f"{path}: {name[:80]!r} must be of one of {', '.join(_DTYPES)}. "
            f"Received: {dtype!r:.40}."
        )
    return _DTYPES[dtype], shape, begin, end


def _reader(path: Path, start: int, size: int) -> Callable[[], bytes]:
    def read() -> bytes:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)

    return read
