"""One file of weights, whatever its format: tensors by name.

The format follows from the first bytes, not from the file's name. Checkpoints often
hold more than one network's weights or keep them below a key; `open_weights` finds them
and lists what it ignored. A network of ncnn's is two files, of which either is given.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - gives NumPy the bfloat16 that safetensors asks for
from safetensors import SafetensorError, safe_open

from pdm_tf.core.checks import check_sha256, sha256_of, suggest
from pdm_tf.core.errors import UserError
from pdm_tf.interop.ncnn_file import find_pair
from pdm_tf.interop.ncnn_rrdbnet import read_rrdbnet
from pdm_tf.interop.tensors import Tensor, contiguous
from pdm_tf.interop.torch_file import read_legacy, read_zip

# Keys of networks, the preferred one first: averaged weights before raw ones.
ENTRIES = (
    *("params_ema", "params", "state_dict", "model_state_dict", "model"),
    *("generator_ema", "generator", "network_g", "net_g", "netG"),
)
_PREFIX = "module."  # of DataParallel
_ZIP = b"PK\x03\x04"
# fmt: off
_SAFETENSORS_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "BOOL": "bool",
}
# fmt: on


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """The content of a file of weights.

    Attributes:
      path: the file.
      file_format: "PyTorch zip", "PyTorch legacy", "safetensors" or "ncnn".
      sha256: of the file; for ncnn, of NAME.param and then NAME.bin.
      entry: key the tensors were found under; "" at the top.
      tensors: by name, without the prefix "module.".
      ignored: name -> why it is not among the tensors.
    """

    path: Path
    file_format: str
    sha256: str
    entry: str
    tensors: Mapping[str, Tensor]
    ignored: Mapping[str, str]


def open_weights(path: Path | str, entry: str = "", sha256: str = "") -> WeightFile:
    """Reads names, shapes and places of all tensors, not yet their numbers.

    Args:
      path: a .pth, .pt, .ckpt or .safetensors file, or ncnn's .param or .bin.
      entry: key of the file that holds the weights; "" tries `ENTRIES`.
      sha256: hash that it must have, for ncnn of NAME.param and then NAME.bin; "": any.

    Raises:
      UserError: no such file, another hash, an unknown or damaged format, anything but
        plain weights, or no weights under that key.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    with open(path, "rb") as file:
        head = file.read(64)
    pair = None if head.startswith(_ZIP) else find_pair(path)
    files = pair or (path,)
    check_sha256(sha256, *files)
    file_format, content = _read(path, head, pair)
    found, key, ignored = _chosen(content, entry, path)
    tensors = {}
    for name, value in found.items():
        if isinstance(value, Tensor) and isinstance(name, str):
            tensors[name] = value
        else:
            ignored[str(name)] = f"no tensor but a {type(value).__name__}"
    if tensors and all(name.startswith(_PREFIX) for name in tensors):
        tensors = {name[len(_PREFIX) :]: value for name, value in tensors.items()}
    return WeightFile(path, file_format, sha256_of(*files), key, tensors, ignored)


def _read(path: Path, head: bytes, pair: tuple[Path, Path] | None) -> tuple[str, Any]:
    """Returns format and content of a file with this beginning, or of ncnn's two."""
    if head.startswith(_ZIP):
        return "PyTorch zip", read_zip(path)
    if pair is not None:
        return "ncnn", read_rrdbnet(*pair)
    if head[8:9] == b"{":
        return "safetensors", _read_safetensors(path)
    if head[:1] == b"\x80":
        return "PyTorch legacy", read_legacy(path)
    hint = ""
    if head.lstrip()[:1] == b"<":
        hint = " It looks like a web page: the download went wrong."
    elif head.startswith(b"version https://git-lfs"):
        hint = " It is a Git LFS pointer: fetch the file itself."
    raise UserError(
        f"{path} must be a PyTorch or safetensors file, or one of ncnn's two. "
        f"Received: {head[:12]!r}.{hint}"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Returns tensors by name, read on demand by the format's own package.

    That package enforces the format's rules: a header of JSON, offsets without gap or
    overlap, sizes that follow from the shapes. Of two tensors of one name it takes one.

    Raises:
      UserError: not such a file, one that breaks the rules, or numbers of a type that
        no network of ours has.
    """
    tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                entry = file.get_slice(name)
                dtype = entry.get_dtype()
                if dtype not in _SAFETENSORS_TYPES:
                    raise UserError(
                        f"{path}: {name[:80]!r} must be of one of "
                        f"{', '.join(_SAFETENSORS_TYPES)}. Received: {dtype!r:.40}."
                    )
                shape = tuple(entry.get_shape())
                tensors[name] = contiguous(
                    _SAFETENSORS_TYPES[dtype], shape, _reader(path, name)
                )
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} must be a whole safetensors file. Received: {error}."
        ) from error
    return tensors


def _reader(path: Path, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        with safe_open(path, framework="numpy") as file:
            return file.get_tensor(name).tobytes()

    return read


def _chosen(
    content: Any, entry: str, path: Path
) -> tuple[Mapping[Any, Any], str, dict[str, str]]:
    """Finds the dictionary of tensors, its key, and the entries next to it."""
    if not isinstance(content, Mapping):
        raise UserError(
            f"{path} must hold a dictionary of tensors. "
            f"Received: a {type(content).__name__}."
        )
    nested = [key for key, value in content.items() if _holds_tensors(value)]
    if entry:
        if entry not in nested:
            raise UserError(
                f"--entry must name weights in {path}. Received: {entry!r}."
                + suggest(entry, [str(key) for key in nested] or ["(none)"])
            )
        key = entry
    elif any(isinstance(value, Tensor) for value in content.values()):
        return content, "", {}
    else:
        key = next((name for name in ENTRIES if name in nested), None)
        if key is None and len(nested) == 1:
            key = nested[0]
        if key is None:
            raise UserError(
                f"{path} must hold weights at its top or under one of "
                f"{', '.join(ENTRIES)}. Received: the keys "
                f"{', '.join(map(str, content))[:200]}. --entry chooses one."
            )
    ignored = {
        str(name): f"not chosen; --entry={name} takes it"
        if name in nested
        else "beside the weights"
        for name in content
        if name != key
    }
    return content[key], str(key), ignored


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(item, Tensor) for item in value.values()
    )
