"""Files in the safetensors format, read by its own package, tensor by tensor.

The package holds files to the format's rules (a header of JSON, offsets without gap or
overlap, sizes that follow from the shapes) and reads a tensor when it is asked for. Of
two tensors of one name it takes one without a word.
"""

from collections.abc import Callable
from pathlib import Path

import ml_dtypes  # noqa: F401 - gives NumPy the bfloat16 that the package asks for
from safetensors import SafetensorError, safe_open

from pdm_tf.core.errors import UserError
from pdm_tf.interop.tensors import Tensor, contiguous

# fmt: off
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "BOOL": "bool",
}
# fmt: on


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name.

    Raises:
      UserError: not such a file, one that breaks the format's rules, or numbers of a
        type that no network of ours has.
    """
    tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                entry = file.get_slice(name)
                dtype = entry.get_dtype()
                if dtype not in _DTYPES:
                    raise UserError(
                        f"{path}: {name[:80]!r} must be of one of "
                        f"{', '.join(_DTYPES)}. Received: {dtype!r:.40}."
                    )
                shape = tuple(entry.get_shape())
                tensors[name] = contiguous(_DTYPES[dtype], shape, _reader(path, name))
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
