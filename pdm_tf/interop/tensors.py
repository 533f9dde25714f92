"""Tensors of a file that are not read yet, and the bounds that each must keep.

A reader knows where a tensor's numbers lie; they are read on demand, so that a file
with much besides the weights costs nothing.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pdm_tf.core.errors import UserError

# Names as in PyTorch -> format of the numbers in the file, little-endian. NumPy has no
# bfloat16: its 16 bits are the upper half of a float32.
DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint8": "|u1",
    "bool": "|b1",
}
_MOST_AXES = 8


def item_size(dtype: str) -> int:
    """Bytes of one number."""
    return np.dtype(DTYPES[dtype]).itemsize


@dataclasses.dataclass(frozen=True)
class Storage:
    """A row of numbers in a file.

    Attributes:
      dtype: of `DTYPES`.
      length: how many.
      read: returns their bytes, `length * item_size(dtype)` of them.
    """

    dtype: str
    length: int
    read: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage, as PyTorch describes it; checked when made.

    Attributes:
      storage: where the numbers are.
      offset: position of the first, counted in numbers.
      shape: sizes.
      strides: steps in numbers, one per axis.

    Raises:
      UserError: the view would leave its storage, or repeat parts of it.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if (
            not all(type(number) is int and number >= 0 for number in numbers)
            or len(self.shape) != len(self.strides)
            or len(self.shape) > _MOST_AXES
        ):
            raise UserError(
                "A tensor's offset, sizes and strides must be whole numbers >= 0, a "
                f"stride per size, at most {_MOST_AXES}. Received: offset="
                f"{self.offset!r:.40}, sizes={self.shape!r:.80}, "
                f"strides={self.strides!r:.80}."
            )
        last = self.offset + sum(
            (size - 1) * stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        )
        # More numbers than the storage has would mean repeated ones: a stride of zero
        # makes terabytes of a byte.
        if self.count and (
            last >= self.storage.length or self.count > self.storage.length
        ):
            raise UserError(
                "A tensor must lie within its storage. Received: "
                f"offset={self.offset}, sizes={self.shape}, strides={self.strides} of "
                f"{self.storage.length} numbers."
            )

    @property
    def count(self) -> int:
        """How many numbers."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def dtype(self) -> str:
        """A name in `DTYPES`."""
        return self.storage.dtype

    def load(self) -> np.ndarray:
        """Reads the numbers; bfloat16 becomes float32, the rest keeps its type."""
        if not self.count:
            values = np.zeros(self.shape, DTYPES[self.dtype])
        else:
            data = self.storage.read()
            row = np.frombuffer(data, DTYPES[self.dtype], self.storage.length)
            step = row.itemsize
            values = np.lib.stride_tricks.as_strided(
                row[self.offset :],
                self.shape,
                tuple(stride * step for stride in self.strides),
                writeable=False,
            ).copy()
        if self.dtype == "bfloat16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values


def contiguous(dtype: str, shape: Sequence[int], read: Callable[[], bytes]) -> Tensor:
    """Makes a tensor that is a whole storage, last axis fastest."""
    shape = tuple(shape)
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return Tensor(Storage(dtype, step, read), 0, shape, tuple(reversed(strides)))
