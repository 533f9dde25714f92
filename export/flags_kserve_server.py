"""The flags of `python -m export.kserve_server`."""

import re
from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_at_least, require_given
from pdm_tf.core.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class KserveServerConfig:
    """What the server is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing, or a value cannot be used.
    """

    model: str = flag("", "ONNX file of python -m export. Required.", section="Model")
    model_name: str = flag("sr", "Name under which clients ask for it.")
    dtype: Literal["float32", "uint8"] = flag(
        "float32",
        "What the model takes and gives. `uint8`: a quarter of the bytes on "
        "the wire, and large images are cut into tiles, so that memory stays small. "
        "`float32`: the ONNX file's own contract, as Triton serves it; whole images.",
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = flag(
        "auto", "What computes: auto takes the GPU if it works."
    )
    tile: int = flag(0, "Side of a tile in LR pixels with --dtype=uint8; 0 chooses.")
    threads: int = flag(0, "Threads of the network on the CPU; 0 takes one per core.")
    http_port: int = flag(
        8080, "Port of HTTP: /v2/models/NAME/infer, /v2/health/ready.", section="Server"
    )
    grpc_port: int = flag(8081, "Port of gRPC: inference.GRPCInferenceService.")
    max_message_mb: int = flag(
        0,
        "Largest gRPC message in MiB; 0: no limit but the format's "
        "2 GiB. (KServe's own default is 8, less than one megapixel in float32.)",
    )

    def __post_init__(self) -> None:
        require_given(self, "export.kserve_server", "model")
        if not _NAME.fullmatch(self.model_name):
            raise UserError(
                "--model_name consists of letters, digits, `_`, `-` and `.`. "
                f"Received: {self.model_name!r}."
            )
        for name in ("http_port", "grpc_port"):
            if not 0 < getattr(self, name) < 65536:
                raise UserError(
                    f"--{name} must be 1 to 65535. Received: {getattr(self, name)}."
                )
        if self.http_port == self.grpc_port:
            raise UserError(
                f"--http_port and --grpc_port must differ. Received: {self.http_port}."
            )
        require_at_least(self, max_message_mb=0, tile=0, threads=0)
        if self.max_message_mb > 2047:
            raise UserError(
                "--max_message_mb is at most 2047, the limit of the message format. "
                f"Received: {self.max_message_mb}."
            )


SPEC = ProgramSpec(
    module="export.kserve_server",
    config=KserveServerConfig,
    intro="Serves an exported ONNX file by the Open Inference Protocol (KServe v2), "
    "over HTTP and gRPC, on every network interface of this machine; needs `pip "
    "install kserve`. Ctrl-C or SIGTERM ends it. `python -m export.client "
    "--protocol=kserve_rest` is a client.",
    examples=(
        "python -m export.kserve_server --model=exported/model.onnx",
        "python -m export.kserve_server --model=exported/model.onnx --dtype=uint8 "
        "--provider=cuda",
    ),
)
