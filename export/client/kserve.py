"""The Open Inference Protocol (KServe v2), which Triton and KServe speak.

Over HTTP the pixels follow the JSON as raw bytes (the "binary tensor data" extension,
which both servers have). The server is asked for the model's input: a float32 or
uint8 image, channels last or first; the exported ONNX file is float32, channels last.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.client import messages
from export.client.errors import Asked, RequestError, ServerError, unreadable
from export.client.payload import (
    KSERVE_DTYPES,
    Payload,
    png_of_array,
    raw_bytes,
    shaped,
)
from export.client.transport import GrpcCaller, HttpCaller
from pdm_tf.core.images import to_float
from pdm_tf.core.stored import parse_json

_JSON_LENGTH = "Inference-Header-Content-Length"
_SERVICE = "/inference.GRPCInferenceService"


@dataclass(frozen=True)
class Contract:
    """A model's inputs and outputs; datatype "FP32" or "UINT8"."""

    input: str = "image"
    output: str = "sr"
    datatype: str = "FP32"
    channels_first: bool = False

    def input_of(self, payload: Payload) -> np.ndarray:
        """Returns the picture as the model takes it, a batch of one."""
        image = payload.lr_u8 if self.datatype == "UINT8" else to_float(payload.lr_u8)
        return np.moveaxis(image, -1, 0)[None] if self.channels_first else image[None]

    def png_of(self, answer: np.ndarray, payload: Payload) -> bytes:
        """Returns the PNG of the model's answer."""
        if self.channels_first and answer.ndim == 4:
            answer = np.moveaxis(answer, 1, -1)
        return png_of_array(answer, payload)


def contract_of(
    inputs: Sequence[tuple[str, str, Sequence[int]]], outputs: Sequence[str], model: str
) -> Contract:
    """Returns the contract that a server's metadata states.

    Args:
      inputs: (name, datatype, shape) each; empty where a server says nothing, which
        means the ONNX file's contract. outputs: names. model: for the message.

    Raises:
      ServerError: not one image in and one out.
    """
    if not inputs:
        return Contract()
    name, datatype, shape = inputs[0][0], inputs[0][1], list(inputs[0][2])
    # Triton gives the batch as the first -1, and some servers leave the batch out.
    channels = [axis for axis, size in enumerate(shape[-3:]) if size == 3]
    fits = len(inputs) == len(outputs) == 1 and len(shape) in (3, 4)
    if not fits or datatype not in KSERVE_DTYPES or channels not in ([0], [2], [0, 2]):
        raise ServerError(
            f"{model} must take one image, float32 or uint8, and give one. The server "
            f"says that it takes {[tuple(entry) for entry in inputs]}."
        )
    return Contract(name, outputs[0], datatype, channels == [0])


class KserveRest:
    """A model on the HTTP port of Triton or KServe; a `Service`."""

    def __init__(self, asked: Asked, *, model_name: str, version: int) -> None:
        self._caller = HttpCaller(asked)
        which = f"/versions/{version}" if version else ""
        self._path = f"/v2/models/{model_name}{which}"
        self._contract: Contract | None = None

    def check(self) -> str:
        body, _ = self._caller.call(self._path)
        try:
            found = parse_json(body)
            inputs = [
                (one["name"], one["datatype"], one["shape"]) for one in found["inputs"]
            ]
            outputs = [one["name"] for one in found["outputs"]]
            name, versions = found["name"], found.get("versions") or []
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self._caller.asked.server} answers, but not by the Open Inference "
                "Protocol. Check --server and --protocol."
            ) from error
        self._contract = contract_of(inputs, outputs, self._caller.asked.model)
        return _summary(name, versions)

    def upscale(self, payload: Payload) -> bytes:
        if self._contract is None:
            self.check()
        contract = self._contract or Contract()
        dtype = KSERVE_DTYPES[contract.datatype]
        image = contract.input_of(payload)
        pixels = raw_bytes(image, dtype)
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": contract.input,
                        "datatype": contract.datatype,
                        "shape": image.shape,
                        "parameters": {"binary_data_size": len(pixels)},
                    }
                ],
                "outputs": [
                    {"name": contract.output, "parameters": {"binary_data": True}}
                ],
            }
        ).encode()
        body, headers = self._caller.call(
            f"{self._path}/infer",
            head + pixels,
            {
                "Content-Type": "application/octet-stream",
                _JSON_LENGTH: str(len(head)),
            },
        )
        try:
            length = int(headers.get(_JSON_LENGTH.lower(), len(body)))
            output = json.loads(body[:length])["outputs"][0]
            values = output.get("data") or body[length:]
            dtype, shape = KSERVE_DTYPES[output["datatype"]], output["shape"]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise unreadable(error) from error
        return contract.png_of(shaped(values, dtype, shape), payload)

    def close(self) -> None:
        self._caller.close()


class KserveGrpc:
    """A model on the gRPC port of Triton or KServe; a `Service`."""

    def __init__(self, asked: Asked, *, model_name: str, version: int) -> None:
        self._caller = GrpcCaller(asked)
        self._name, self._version = model_name, str(version) if version else ""
        self._contract: Contract | None = None

    def check(self) -> str:
        found = self._caller.call(
            f"{_SERVICE}/ModelMetadata",
            messages.ModelMetadataRequest(name=self._name, version=self._version),
            messages.ModelMetadataResponse,
        )
        inputs = [(one.name, one.datatype, one.shape) for one in found.inputs]
        outputs = [one.name for one in found.outputs]
        self._contract = contract_of(inputs, outputs, self._caller.asked.model)
        return _summary(found.name, found.versions)

    def upscale(self, payload: Payload) -> bytes:
        if self._contract is None:
            self.check()
        contract = self._contract or Contract()
        image = contract.input_of(payload)
        request = messages.ModelInferRequest(
            model_name=self._name, model_version=self._version
        )
        request.inputs.add(
            name=contract.input, datatype=contract.datatype, shape=image.shape
        )
        dtype = KSERVE_DTYPES[contract.datatype]
        request.raw_input_contents.append(raw_bytes(image, dtype))
        found = self._caller.call(
            f"{_SERVICE}/ModelInfer", request, messages.ModelInferResponse
        )
        if not found.outputs or found.outputs[0].datatype not in KSERVE_DTYPES:
            raise RequestError("the server's answer holds no image")
        output = found.outputs[0]
        values: Any = b"".join(found.raw_output_contents[:1])
        if not values:
            typed = output.contents
            values = typed.fp32_contents or typed.uint_contents
        answer = shaped(values, KSERVE_DTYPES[output.datatype], list(output.shape))
        return contract.png_of(answer, payload)

    def close(self) -> None:
        self._caller.close()


def _summary(name: str, versions: Sequence[str]) -> str:
    listed = ", ".join(f"version {version}" for version in versions)
    return f"{name}: {listed or 'ready'}"
