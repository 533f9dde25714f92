"""What the four protocols of the client have in common: a picture in, a PNG out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from export.client.errors import RequestError
from export.client.tensors import check_size, image_of
from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import decode_rgb_u8, encode_png


@dataclass(frozen=True)
class Payload:
    """One picture to send.

    Attributes:
      lr_u8: [H, W, 3] uint8 RGB, upright: what the file shows.
      file: a whole image file, for signatures that take one.
    """

    lr_u8: np.ndarray
    file: bytes


class Service(Protocol):
    """A model on a server. Threads may call it at the same time."""

    def check(self) -> str:
        """Returns what is served, as "sr: version 3 AVAILABLE".

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


def png_of_array(answer: np.ndarray, payload: Payload) -> bytes:
    """Returns the PNG of an answer [1, H*s, W*s, 3], having checked it."""
    return encode_png(image_of(answer, payload.lr_u8))


def checked_png(data: bytes, payload: Payload) -> bytes:
    """Returns `data` as it is, if it is an image of the right size.

    Raises:
      RequestError: it is not.
    """
    try:
        sr_u8 = decode_rgb_u8(data, "the server's answer")
    except ImageError as error:
        raise RequestError(f"the server's answer {error.reason}") from error
    lr_size = payload.lr_u8.shape[:2]
    # A file sent as it is may have been turned here, by EXIF, and not there.
    turned = payload.lr_u8.shape[1::-1]
    if sr_u8.shape[0] * lr_size[1] != sr_u8.shape[1] * lr_size[0]:
        lr_size = turned
    check_size(sr_u8.shape[:2], lr_size)
    return data
