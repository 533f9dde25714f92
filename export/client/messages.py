"""The protobuf messages that a client exchanges with servers, without their packages.

`tensorflow_serving.apis` imports all of TensorFlow (five seconds and half a gigabyte
for a client that sends a picture), and kserve's stubs come with a web server. The wire
format needs neither: field numbers and types are a dozen lines each, published in
tensorflow/serving `apis/predict.proto`, tensorflow `framework/tensor.proto` and the
Open Inference Protocol's `grpc_predict_v2.proto`. The tables below list the fields that
the client reads or writes; a receiver skips what it does not know. A test compares
every field with the official descriptors. The messages live in a pool of their own, so
the official ones may be imported in the same process.
"""

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
)

_PACKAGE = "pdm_tf.client"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,  # enums too: both are the same on the wire
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
}

# message -> field -> (number, type). A type ending in "*" is repeated; "map X" is a map
# from string to the message X.
FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    # tensorflow
    "Dim": {"size": (1, "int64")},
    "TensorShape": {"dim": (2, "Dim*"), "unknown_rank": (3, "bool")},
    "Tensor": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShape"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "float*"),
        "int_val": (7, "int32*"),
        "string_val": (8, "bytes*"),
    },
    # tensorflow.serving
    "Int64Value": {"value": (1, "int64")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "map Tensor")},
    "PredictResponse": {"outputs": (1, "map Tensor"), "model_spec": (2, "ModelSpec")},
    "GetModelStatusRequest": {"model_spec": (1, "ModelSpec")},
    "ModelVersionStatus": {"version": (1, "int64"), "state": (2, "int32")},
    "GetModelStatusResponse": {"model_version_status": (1, "ModelVersionStatus*")},
    # inference (Open Inference Protocol: KServe, Triton)
    "InferTensor": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "int64*"),
        "contents": (5, "InferContents"),
    },
    "InferContents": {
        "int_contents": (2, "int32*"),
        "uint_contents": (4, "uint32*"),
        "fp32_contents": (6, "float*"),
        "bytes_contents": (8, "bytes*"),
    },
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "inputs": (5, "InferTensor*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "outputs": (5, "InferTensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
    "ModelMetadataRequest": {"name": (1, "string"), "version": (2, "string")},
    "TensorMetadata": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "int64*"),
    },
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "inputs": (4, "TensorMetadata*"),
        "outputs": (5, "TensorMetadata*"),
    },
}


def _add_field(
    entry: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str
) -> None:
    field = entry.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if kind[-1] == "*" else _Field.LABEL_OPTIONAL
    if kind.startswith("map "):
        field.label = _Field.LABEL_REPEATED
        nested = entry.nested_type.add(name=f"{name.capitalize()}Entry")
        nested.options.map_entry = True
        _add_field(nested, "key", 1, "string")
        _add_field(nested, "value", 2, kind.removeprefix("map "))
        kind = f"{entry.name}.{nested.name}"
    kind = kind.rstrip("*")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, type[message.Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="pdm_tf/client.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in FIELDS.items():
        entry = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(entry, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        for name in FIELDS
    }


_CLASSES = _classes()

PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
GetModelStatusRequest = _CLASSES["GetModelStatusRequest"]
GetModelStatusResponse = _CLASSES["GetModelStatusResponse"]
Tensor = _CLASSES["Tensor"]
ModelInferRequest = _CLASSES["ModelInferRequest"]
ModelInferResponse = _CLASSES["ModelInferResponse"]
ModelMetadataRequest = _CLASSES["ModelMetadataRequest"]
ModelMetadataResponse = _CLASSES["ModelMetadataResponse"]
