"""Names of an exported model, shared by exporter and clients.

Three ways into one network. All take a batch in axis 0, because servers split results
along it.

- `serving_default`: `image` [B, H, W, 3] float32 RGB in [0, 1] -> `sr` float32, not
  clipped.
- `serving_uint8`: `image` [B, H, W, 3] uint8 RGB -> `sr` uint8; a quarter of the
  bytes.
- `serving_bytes`: `image_bytes` [B] strings, each a whole PNG, JPEG or WebP file of a
  size of its own -> `sr_bytes` [B] strings, each a PNG file. The suffix `_bytes` is
  what makes TF Serving's REST front encode the strings in base64.
"""

import re
from typing import NamedTuple

from pdm_tf.core.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Signature(NamedTuple):
    """One signature: the names of its input and output tensors, and the dtype."""

    input: str
    output: str
    dtype: str  # "float32", "uint8" or "string"


SIGNATURES = {
    "serving_default": Signature("image", "sr", "float32"),
    "serving_uint8": Signature("image", "sr", "uint8"),
    "serving_bytes": Signature("image_bytes", "sr_bytes", "string"),
}


def check_name(text: str, flag: str = "--model_name") -> None:
    """Raises UserError unless `text` can name a model, or one version of it."""
    if not _NAME.fullmatch(text):
        raise UserError(
            f"{flag} must be letters, digits, `_`, `-` and `.`, because it stands in "
            f"URLs and folder names. Received: {text!r}."
        )
