"""TF Serving, over gRPC and over REST.

By gRPC only `grpcio` and `protobuf` are needed; see `messages.py`. By REST encoded
files go as base64, which costs a third more than the bytes; numbers go as JSON text,
which costs about twenty bytes each.
"""

import base64
import json
from typing import Any

import numpy as np

from export.client import messages
from export.client.errors import Asked, RequestError, ServerError, explain
from export.client.payload import (
    Payload,
    array_of,
    checked_png,
    png_of_array,
    tensor_of,
    tensor_of_files,
)
from export.client.transport import GrpcCaller, HttpCaller
from export.signatures import SIGNATURES
from pdm_tf.core.images import to_float
from pdm_tf.core.stored import parse_json

# TF Serving's ModelVersionStatus.State.
STATES = {
    10: "START",
    20: "LOADING",
    30: "AVAILABLE",
    40: "UNLOADING",
    50: "END",
}


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
            raise explain("NOT_FOUND", "", self._caller.asked, _versions_text(found))
        return f"{self._name}: {_versions_text(found)}"

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


class TfServingRest:
    """A model on TF Serving's REST port; a `Service`."""

    def __init__(
        self, asked: Asked, *, model_name: str, version: int, label: str
    ) -> None:
        self._caller = HttpCaller(asked)
        self._name, self._version = model_name, version
        which = f"/versions/{version}" if version else ""
        which = f"/labels/{label}" if label else which
        self._path = f"/v1/models/{model_name}{which}:predict"
        self._signature = asked.signature

    def check(self) -> str:
        body, _ = self._caller.call(f"/v1/models/{self._name}")
        try:
            found = {
                int(status["version"]): str(status["state"])
                for status in parse_json(body)["model_version_status"]
            }
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self._caller.asked.server} answers, but not as TF Serving does. "
                "Check --server and --protocol."
            ) from error
        if self._version and found.get(self._version) != "AVAILABLE":
            raise explain("NOT_FOUND", "", self._caller.asked, _versions_text(found))
        return f"{self._name}: {_versions_text(found)}"

    def upscale(self, payload: Payload) -> bytes:
        signature = SIGNATURES[self._signature]
        request: dict[str, Any] = {"signature_name": self._signature}
        if signature.dtype == "string":
            request["instances"] = [{"b64": base64.b64encode(payload.file).decode()}]
        else:
            image = payload.lr_u8
            image = image if signature.dtype == "uint8" else to_float(image)
            request["inputs"] = {signature.input: image[None].tolist()}
        body, _ = self._caller.call(
            self._path,
            json.dumps(request).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            answer = parse_json(body)
            if signature.dtype == "string":
                data = base64.b64decode(answer["predictions"][0]["b64"], validate=True)
            else:
                array = np.asarray(answer["outputs"], signature.dtype)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RequestError(
                "the server's answer is not what this signature gives "
                f"({type(error).__name__}: {error})"
            ) from error
        if signature.dtype == "string":
            return checked_png(data, payload)
        return png_of_array(array, payload)

    def close(self) -> None:
        self._caller.close()


def _versions_text(states: dict[int, str]) -> str:
    """Returns "version 2 LOADING, version 1 AVAILABLE"."""
    return ", ".join(
        f"version {version} {states[version]}"
        for version in sorted(states, reverse=True)
    )
