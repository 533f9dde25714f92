"""A server that keeps TF Serving's contract. It is not TF Serving.

TF Serving's binary cannot be had from a package registry. What a client and an
exported SavedModel need of it is written in its sources and in its official messages,
and is kept here: the layout of versions, the signatures, warm-up before a version is
available, gRPC with the official stubs, REST with its JSON rules, and the words of its
errors (predict_util.cc, manager.cc, server_core.cc, http_rest_api_handler.cc). The
model runs by `tf.saved_model.load`. Batching, scheduling and speed are not like the
real server's.
"""

import base64
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
HTTP = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
}
_PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/(?:versions/(\d+)|labels/([^/:]+)))?(:predict)?"
)


class Refused(Exception):
    """A status other than OK."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Models:
    """The versions below one base path, each loaded and warmed up."""

    def __init__(self, name, base_path, labels=()):
        self.name, self.labels = name, dict(labels)
        self.versions, self.replayed = {}, {}
        for folder in Path(base_path).iterdir():
            if folder.name.isdecimal():
                version = int(folder.name)
                loaded = tf.saved_model.load(str(folder))
                self.versions[version] = loaded
                self.replayed[version] = self._warm_up(folder, version)

    def _warm_up(self, folder, version):
        """Replays the recorded requests; a failure keeps the version out."""
        names = []
        path = folder / "assets.extra" / "tf_serving_warmup_requests"
        paths = [str(path)] if path.exists() else []
        for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            request.model_spec.version.value = version
            self.predict(request)
            names.append(request.model_spec.signature_name)
        return names

    def find(self, spec):
        """Returns (number, loaded) of the version that a ModelSpec asks for."""
        if spec.version_label and spec.version_label not in self.labels:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {spec.version_label}",
            )
        wanted = max(self.versions)
        asked = f"Latest({spec.name})"
        if spec.version_label:
            wanted = self.labels[spec.version_label]
        elif spec.HasField("version"):
            wanted = spec.version.value
            asked = f"Specific({spec.name}, {wanted})"
        if spec.name != self.name or wanted not in self.versions:
            raise Refused(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}"
            )
        return wanted, self.versions[wanted]

    def predict(self, request):
        """PredictRequest -> PredictResponse, or Refused."""
        version, loaded = self.find(request.model_spec)
        name = request.model_spec.signature_name or "serving_default"
        if name not in loaded.signatures:
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        function = loaded.signatures[name]
        expected = set(function.structured_input_signature[1])
        if set(request.inputs) != expected:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: {len(request.inputs)}!="
                f"{len(expected)} len({{{','.join(request.inputs)}}}) != "
                f"len({{{','.join(expected)}}}).",
            )
        try:
            outputs = function(
                **{
                    k: tf.constant(tf.make_ndarray(v))
                    for k, v in request.inputs.items()
                }
            )
        except (tf.errors.OpError, TypeError, ValueError) as error:
            text = getattr(error, "message", str(error))
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text) from error
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        response.model_spec.version.value = version
        for key, value in outputs.items():
            _as_proto_field(value.numpy(), value.dtype, response.outputs[key])
        return response

    def status(self, name):
        """GetModelStatusResponse, or Refused."""
        if name != self.name:
            raise Refused(
                grpc.StatusCode.NOT_FOUND,
                f"Could not find any versions of model {name}",
            )
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.versions:
            response.model_version_status.add(version=version, state=AVAILABLE)
        return response


def _as_proto_field(array, dtype, tensor):
    """As the server answers: one number after the other, not the raw bytes."""
    tensor.dtype = dtype.as_datatype_enum
    tensor.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    if array.dtype == np.float32:
        tensor.float_val.extend(array.ravel())
    elif array.dtype == np.uint8:
        tensor.int_val.extend(array.ravel())
    else:
        tensor.string_val.extend(array.ravel())


class _Grpc(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, models):
        self._models = models

    def Predict(self, request, context):
        return self._respond(lambda: self._models.predict(request), context)

    def GetModelStatus(self, request, context):
        return self._respond(
            lambda: self._models.status(request.model_spec.name), context
        )

    def _respond(self, call, context):
        try:
            return call()
        except Refused as refused:
            context.abort(refused.code, refused.text)


class ContractServer:
    """Both fronts of one model on free ports; a context manager."""

    def __init__(self, models):
        self.models = models
        self._grpc = grpc.server(
            ThreadPoolExecutor(2),
            # As TF Serving sets it: the largest int32.
            options=[("grpc.max_receive_message_length", 2**31 - 1)],
        )
        servicer = _Grpc(models)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            servicer, self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("localhost:0")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(models))
        self.rest_port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self):
        self._grpc.start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._grpc.stop(grace=None).wait(10)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)


def _handler_of(models):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(self._status)

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            self._reply(lambda found: rest_predict(models, found, body))

        def _status(self, found):
            answer = models.status(found[1])
            return {
                "model_version_status": [
                    {"version": str(one.version), "state": "AVAILABLE"}
                    for one in answer.model_version_status
                ]
            }

        def _reply(self, call):
            found = _PATH.fullmatch(self.path)
            try:
                if not found or bool(found[4]) != (self.command == "POST"):
                    raise Refused(
                        grpc.StatusCode.NOT_FOUND,
                        f"Malformed request: {self.command} {self.path}",
                    )
                code, answer = 200, call(found)
            except Refused as refused:
                code, answer = HTTP[refused.code], {"error": refused.text}
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


def rest_predict(models, found, body):
    """The JSON rules of the predict API: rows ("instances") or columns ("inputs")."""
    try:
        asked = json.loads(body)
    except json.JSONDecodeError as error:
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT, f"JSON Parse error: {error}"
        ) from error
    request = predict_pb2.PredictRequest()
    spec = request.model_spec
    spec.name = found[1]
    spec.signature_name = asked.get("signature_name", "serving_default")
    if found[2]:
        spec.version.value = int(found[2])
    if found[3]:
        spec.version_label = found[3]
    _, loaded = models.find(spec)
    if spec.signature_name not in loaded.signatures:
        models.predict(request)  # raises
    inputs = loaded.signatures[spec.signature_name].structured_input_signature[1]
    by_row = "instances" in asked
    if by_row == ("inputs" in asked):
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            "Missing 'inputs' or 'instances' key" if not by_row else "Both are given",
        )
    columns = _columns(asked, inputs, by_row)
    for name, value in columns.items():
        dtype = inputs[name].dtype
        array = np.array(_decoded(value), dtype.as_numpy_dtype)
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array, dtype))
    outputs = {
        name: _encoded(name, tf.make_ndarray(tensor))
        for name, tensor in models.predict(request).outputs.items()
    }
    if by_row and len(outputs) > 1:
        keys = list(outputs)
        rows = [
            dict(zip(keys, row, strict=True))
            for row in zip(*outputs.values(), strict=True)
        ]
        return {"predictions": rows}
    only = next(iter(outputs.values())) if len(outputs) == 1 else outputs
    return {"predictions" if by_row else "outputs": only}


def _columns(asked, inputs, by_row):
    if not by_row:
        named = asked["inputs"]
        # A plain value stands for the only input; an object names inputs.
        if not isinstance(named, dict) or set(named) == {"b64"}:
            named = {next(iter(inputs)): named}
        missing = set(inputs) - set(named)
        if missing:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Missing named input: {missing.pop()} in 'inputs' object.",
            )
        return {name: named[name] for name in inputs}
    rows = asked["instances"]
    if all(isinstance(row, dict) and set(row) != {"b64"} for row in rows):
        return {name: [row[name] for row in rows] for name in inputs}
    return {next(iter(inputs)): rows}


def _decoded(value):
    """{"b64": text} -> bytes, at any depth."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return [_decoded(one) for one in value] if isinstance(value, list) else value


def _encoded(name, array):
    """Strings become {"b64": text}, but only under a name that ends in _bytes."""
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(one).decode()} for one in array]
    return [one.decode("latin-1") for one in array]
