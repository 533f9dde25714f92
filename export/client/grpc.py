"""TF Serving over gRPC, and the gRPC calls that `client/kserve.py` shares.

The message limits are the point: gRPC refuses answers above 4 MiB unless the client
says otherwise, and a photograph x4 is larger. Only `grpcio` and `protobuf` are needed;
see `client/messages.py`.
"""

from typing import Any

import grpc

from export.client import messages
from export.client.errors import Asked, explain, too_large_answer
from export.client.service import Payload, checked_png, png_of_array
from export.client.tensors import array_of, tensor_of, tensor_of_files
from export.signatures import SIGNATURES
from pdm_tf.core.images import to_float

# TF Serving's ModelVersionStatus.State.
STATES = {
    10: "START",
    20: "LOADING",
    30: "AVAILABLE",
    40: "UNLOADING",
    50: "END",
}
_LOOPBACK = ("localhost:", "127.", "[::1]:")


class GrpcCaller:
    """One channel, and calls on it whose errors are explained."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        limit = (asked.max_message_mb << 20) or -1
        options = [
            ("grpc.max_send_message_length", limit),
            ("grpc.max_receive_message_length", limit),
        ]
        if is_loopback(asked.server):  # a proxy could not reach it
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = grpc.insecure_channel(asked.server, options)

    def call(self, path: str, request: Any, answer: type, loaded: str = "") -> Any:
        """Calls the method at `path` ("/package.Service/Method").

        Raises:
          ServerError, RequestError: see `client/errors.explain`; `loaded` goes there.
        """
        size = request.ByteSize()
        if size >= 1 << 31:  # protobuf's own limit
            raise too_large_answer(size, self.asked)
        method = self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return method(request, timeout=self.asked.timeout)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
            raise explain(code, text, self.asked, loaded) from error

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


class TfServingGrpc:
    """A model on TF Serving's gRPC port; a `Service`."""

    def __init__(
        self, asked: Asked, *, model_name: str, version: int, label: str
    ) -> None:
        self._caller = GrpcCaller(asked)
        self._name, self._version, self._label = model_name, version, label
        self._signature = asked.signature

    def check(self) -> str:
        request = messages.GetModelStatusRequest()
        request.model_spec.name = self._name
        found = {
            status.version: STATES.get(status.state, "UNKNOWN")
            for status in self._status(request)
        }
        if self._version and found.get(self._version) != "AVAILABLE":
            raise explain("NOT_FOUND", "", self._caller.asked, versions_text(found))
        return f"{self._name}: {versions_text(found)}"

    def _status(self, request: Any) -> Any:
        answer = self._caller.call(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request,
            messages.GetModelStatusResponse,
        )
        return answer.model_version_status

    def upscale(self, payload: Payload) -> bytes:
        signature = SIGNATURES[self._signature]
        request = messages.PredictRequest()
        spec = request.model_spec
        spec.name, spec.signature_name = self._name, self._signature
        if self._version:
            spec.version.value = self._version
        if self._label:
            spec.version_label = self._label
        if signature.dtype == "string":
            tensor = tensor_of_files([payload.file])
        elif signature.dtype == "uint8":
            tensor = tensor_of(payload.lr_u8[None])
        else:
            tensor = tensor_of(to_float(payload.lr_u8)[None])
        request.inputs[signature.input].CopyFrom(tensor)
        answer = self._caller.call(
            "/tensorflow.serving.PredictionService/Predict",
            request,
            messages.PredictResponse,
        )
        asked = self._caller.asked
        if signature.output not in answer.outputs:
            names = ", ".join(answer.outputs)
            raise explain("INVALID_ARGUMENT", f"Missing named input: {names}", asked)
        output = answer.outputs[signature.output]
        if signature.dtype == "string":
            return checked_png(b"".join(output.string_val[:1]), payload)
        return png_of_array(array_of(output), payload)

    def close(self) -> None:
        self._caller.close()


def versions_text(states: dict[int, str]) -> str:
    """Returns "version 2 LOADING, version 1 AVAILABLE"."""
    return ", ".join(
        f"version {version} {states[version]}"
        for version in sorted(states, reverse=True)
    )


def is_loopback(server: str) -> bool:
    """Whether HOST:PORT is this machine, which no proxy leads to."""
    return server.startswith(_LOOPBACK)
