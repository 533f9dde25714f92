"""The flags of `python -m export.client`."""

import re
from dataclasses import dataclass
from typing import Literal

from export.signatures import SIGNATURES
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_at_least, require_given
from pdm_tf.core.errors import UserError
from pdm_tf.core.names import lookup

_SERVER = re.compile(r"[A-Za-z0-9_.-]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ClientConfig:
    """What the client is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing, or a value cannot be used.
    """

    input: str = flag(
        "",
        "A photograph (PNG, JPEG, WebP, BMP), or a folder of them, searched "
        "recursively. Required.",
        section="Pictures",
    )
    output: str = flag(
        "",
        "Where the PNG goes: a file NAME.png for one photograph, or a "
        "folder, made if missing, in which a folder's sub-folders are kept. Required.",
    )
    send: Literal["png", "file"] = flag(
        "png",
        "`png`: what the photograph shows, upright and 8 bit, as PNG. `file`: "
        "the file's bytes as they are (JPEG stays small); the server then ignores EXIF "
        "orientation and colour profiles.",
    )
    server: str = flag(
        "localhost:8500",
        "HOST:PORT. TF Serving: 8500 (gRPC), 8501 (REST); Triton: 8001 and "
        "8000; KServe: 8081 and 8080.",
        section="Server",
    )
    protocol: Literal["grpc", "rest", "kserve_grpc", "kserve_rest"] = flag(
        "grpc",
        "`grpc` and `rest` are TF Serving's; `kserve_grpc` and "
        "`kserve_rest` the Open Inference Protocol of Triton and KServe.",
    )
    model_name: str = flag("sr", "Name under which the server has the model.")
    version: int = flag(
        0, "Version number of the model; 0 leaves the choice to the server."
    )
    label: str = flag("", "Version label of TF Serving, such as `stable`.")
    signature: str = flag(
        "serving_bytes",
        "TF Serving only: serving_bytes (files), serving_uint8 or "
        "serving_default (float32). By REST the last two send every number as text.",
    )
    timeout: float = flag(
        120.0,
        "Seconds for one photograph (by REST: seconds without a byte).",
        section="Limits",
    )
    max_message_mb: int = flag(
        0, "Largest message accepted, in MiB; 0: no limit but the format's 2 GiB."
    )
    parallel: int = flag(
        1,
        "Photographs under way at once; a server that batches needs more "
        "than 1 to have something to batch.",
    )

    def __post_init__(self) -> None:
        require_given(self, "export.client", "input", "output")
        if not _SERVER.fullmatch(self.server):
            raise UserError(
                "--server is written HOST:PORT, without http://. "
                f"Received: {self.server!r}."
            )
        lookup(SIGNATURES, self.signature, "--signature")
        for name, text in (("model_name", self.model_name), ("label", self.label)):
            if not _NAME.fullmatch(text) and (text or name == "model_name"):
                raise UserError(
                    f"--{name} consists of letters, digits, `_`, `-` and `.`. "
                    f"Received: {text!r}."
                )
        require_at_least(self, version=0, max_message_mb=0, parallel=1)
        if not 0 < self.timeout < float("inf"):
            raise UserError(f"--timeout must be above 0. Received: {self.timeout}.")
        if self.max_message_mb > 2047:
            raise UserError(
                "--max_message_mb is at most 2047, the limit of the message format; 0 "
                f"sets no lower one. Received: {self.max_message_mb}."
            )
        if self.version and self.label:
            raise UserError("Give --version or --label, not both.")
        if self.label and self.protocol.startswith("kserve"):
            raise UserError(
                f"--label is TF Serving's; --protocol={self.protocol} knows --version."
            )
        if self.send == "file" and (
            self.signature != "serving_bytes" or self.protocol.startswith("kserve")
        ):
            raise UserError(
                "--send=file needs --signature=serving_bytes and TF Serving; the "
                "others take pixels."
            )


SPEC = ProgramSpec(
    module="export.client",
    config=ClientConfig,
    intro="Sends photographs to a super-resolution model on TF Serving, Triton or "
    "KServe and writes the answers as PNG, each in full or not at all. Every file is "
    "decoded here first, so that a damaged one is named and costs the others nothing. "
    "Exit code: 0 when all were done, 1 when some were left out, 2 when none could be "
    "done.",
    examples=(
        "python -m export.client --input=photo.png --output=photo_x4.png",
        "python -m export.client --server=localhost:8501 --protocol=rest "
        "--input=photos --output=photos_x4",
        "python -m export.client --server=localhost:8000 --protocol=kserve_rest "
        "--input=photo.png --output=photo_x4.png",
    ),
)
