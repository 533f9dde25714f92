"""Shared parts of the four protocols: a picture in, a PNG out.

Images become the tensors of the wire and come back in plain NumPy. Raw bytes are
little-endian and row-major in both protocols. Servers answer in either of two ways,
depending on their settings: the raw bytes, or one number after the other in a typed
field. Both are read.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from export.client import messages
from export.client.errors import RequestError, unreadable
from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import decode_rgb_u8, encode_png, to_u8

# TensorFlow's DataType numbers, from tensorflow/core/framework/types.proto.
DT_FLOAT, DT_UINT8, DT_STRING = 1, 4, 7
_TF_DTYPES = {DT_FLOAT: np.dtype("<f4"), DT_UINT8: np.dtype("u1")}
KSERVE_DTYPES = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}


@dataclass(frozen=True)
class Payload:
    """One picture to send.

    Attributes:
      lr_u8: [H, W, 3] uint8 RGB, upright: the decoded file.
      file: a whole image file, for signatures that take one.
    """

    lr_u8: np.ndarray
    file: bytes


class Service(Protocol):
    """A model on a server. Threads may call it at the same time."""

    def check(self) -> str:
        """Returns the server's models, as "sr: version 3 AVAILABLE".

        Raises:
          ServerError: no server, or not this model, version, label or protocol.
        """

    def upscale(self, payload: Payload) -> bytes:
        """Returns the upscaled picture as a PNG file.

        Raises:
          RequestError: this picture failed. ServerError: every other would, too.
        """

    def close(self) -> None:
        """Ends the connection."""


def tensor_of(image: np.ndarray) -> Any:
    """Returns the TensorProto of a float32 or uint8 array."""
    dtype = DT_UINT8 if image.dtype == np.uint8 else DT_FLOAT
    tensor = messages.Tensor(dtype=dtype)
    for size in image.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = raw_bytes(image, _TF_DTYPES[dtype])
    return tensor


def tensor_of_files(files: list[bytes]) -> Any:
    """Returns the TensorProto [len(files)] of strings."""
    tensor = messages.Tensor(dtype=DT_STRING, string_val=files)
    tensor.tensor_shape.dim.add(size=len(files))
    return tensor


def array_of(tensor: Any) -> np.ndarray:
    """Returns the numbers of a TensorProto, float32 or uint8.

    Raises:
      RequestError: another dtype, or not as many numbers as the shape says.
    """
    if tensor.dtype not in _TF_DTYPES:
        raise RequestError(
            "the server answered with a tensor of a kind that is no image "
            f"(TensorFlow's DataType {tensor.dtype})"
        )
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    dtype = _TF_DTYPES[tensor.dtype]
    values: Any = tensor.tensor_content
    if not values:
        values = tensor.float_val if tensor.dtype == DT_FLOAT else tensor.int_val
    return shaped(values, dtype, shape)


def shaped(values: Any, dtype: np.dtype, shape: list[int]) -> np.ndarray:
    """Returns raw bytes, or a sequence of numbers, as an array of `shape`.

    Raises:
      RequestError: their number does not agree with the shape.
    """
    is_raw = isinstance(values, bytes)
    try:
        array = np.frombuffer(values, dtype) if is_raw else np.asarray(values, dtype)
        if min(shape, default=0) < 0 or array.size != math.prod(shape):
            raise RequestError(
                f"the server's answer holds {array.size} numbers for the shape {shape}"
            )
        return array.reshape(shape)
    except (TypeError, OverflowError, ValueError) as error:
        raise unreadable(error) from error


def raw_bytes(image: np.ndarray, dtype: np.dtype) -> bytes:
    """Returns the row-major, little-endian bytes of an array."""
    return np.ascontiguousarray(image, dtype).tobytes()


def image_of(answer: np.ndarray, lr_u8: np.ndarray) -> np.ndarray:
    """Returns the one image of an answer as [H*s, W*s, 3] uint8, having checked it.

    Args:
      answer: [1, H*s, W*s, 3], float32 (nominally in [0, 1]) or uint8.
      lr_u8: [H, W, 3], the picture sent.

    Raises:
      RequestError: the answer is not the sent image enlarged by one integer.
    """
    if answer.ndim != 4 or answer.shape[0] != 1 or answer.shape[3] != 3:
        raise RequestError(
            f"the server must answer with one RGB image. Received: {answer.shape}"
        )
    if answer.dtype == np.uint8:
        image = answer[0]
    elif np.isfinite(answer).all():
        image = to_u8(answer[0])
    else:
        raise RequestError("the server's answer holds numbers that are not finite")
    check_size(image.shape[:2], lr_u8.shape[:2])
    return image


def check_size(sr_size: tuple[int, ...], lr_size: tuple[int, ...]) -> None:
    """Checks that one integer, the scale, takes (H, W) to the answer's size.

    Raises:
      RequestError: it does not, as when a server pads the images of a batch.
    """
    scale = sr_size[0] // lr_size[0]
    if scale < 1 or sr_size != tuple(scale * side for side in lr_size):
        raise RequestError(
            f"the server answered with {sr_size[1]}x{sr_size[0]} pixels for "
            f"{lr_size[1]}x{lr_size[0]}; if it sets pad_variable_length_inputs, that "
            "has to go"
        )


def png_of_array(answer: np.ndarray, payload: Payload) -> bytes:
    """Returns the PNG of an answer [1, H*s, W*s, 3], having checked it."""
    return encode_png(image_of(answer, payload.lr_u8))


def checked_png(data: bytes, payload: Payload) -> bytes:
    """Returns `data` unchanged, if it is an image of the right size.

    Raises:
      RequestError: it is not.
    """
    try:
        sr_u8 = decode_rgb_u8(data, "the server's answer")
    except ImageError as error:
        raise RequestError(f"the server's answer {error.reason}") from error
    lr_size = payload.lr_u8.shape[:2]
    # A file sent unchanged may have been turned here, by EXIF, and not there.
    turned = payload.lr_u8.shape[1::-1]
    if sr_u8.shape[0] * lr_size[1] != sr_u8.shape[1] * lr_size[0]:
        lr_size = turned
    check_size(sr_u8.shape[:2], lr_size)
    return data


if sys.byteorder != "little":
    raise ImportError("The client sends little-endian numbers; this machine is not.")
