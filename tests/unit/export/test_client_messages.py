"""The client's hand-written messages against the official ones."""

import numpy as np
import pytest
from google.protobuf import descriptor

from export.client import messages
from export.client.errors import RequestError
from export.client.payload import (
    array_of,
    check_size,
    image_of,
    tensor_of,
    tensor_of_files,
)


def official_of_tensorflow():
    """Our message -> the official descriptors, TF Serving's."""
    import tensorflow as tf
    from tensorflow_serving.apis import get_model_status_pb2 as status
    from tensorflow_serving.apis import model_pb2, predict_pb2

    tensor = tf.make_tensor_proto(0.0).DESCRIPTOR
    shape = tensor.fields_by_name["tensor_shape"].message_type
    spec = model_pb2.ModelSpec.DESCRIPTOR
    response = status.GetModelStatusResponse.DESCRIPTOR
    return {
        "Tensor": [tensor],
        "TensorShape": [shape],
        "Dim": [shape.nested_types_by_name["Dim"]],
        "ModelSpec": [spec],
        "Int64Value": [spec.fields_by_name["version"].message_type],
        "PredictRequest": [predict_pb2.PredictRequest.DESCRIPTOR],
        "PredictResponse": [predict_pb2.PredictResponse.DESCRIPTOR],
        "GetModelStatusRequest": [status.GetModelStatusRequest.DESCRIPTOR],
        "GetModelStatusResponse": [response],
        "ModelVersionStatus": [status.ModelVersionStatus.DESCRIPTOR],
    }


def official_of_kserve():
    """Our message -> the official descriptors, the Open Inference Protocol's."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2

    metadata = v2.ModelMetadataResponse.DESCRIPTOR
    return {
        "ModelInferRequest": [v2.ModelInferRequest.DESCRIPTOR],
        "ModelInferResponse": [v2.ModelInferResponse.DESCRIPTOR],
        "InferTensor": [
            v2.ModelInferRequest.InferInputTensor.DESCRIPTOR,
            v2.ModelInferResponse.InferOutputTensor.DESCRIPTOR,
        ],
        "InferContents": [v2.InferTensorContents.DESCRIPTOR],
        "ModelMetadataRequest": [v2.ModelMetadataRequest.DESCRIPTOR],
        "ModelMetadataResponse": [metadata],
        "TensorMetadata": [metadata.nested_types_by_name["TensorMetadata"]],
    }


def _wire(field):
    """What decides the bytes: number, type (enums are int32), repeated."""
    kind = field.type
    if kind == descriptor.FieldDescriptor.TYPE_ENUM:
        kind = descriptor.FieldDescriptor.TYPE_INT32
    return field.number, kind, field.is_repeated


def _assert_as_official(official):
    """Every field of ours has the official number and type."""
    for name, descriptors in official.items():
        ours = messages._CLASSES[name].DESCRIPTOR
        for theirs in descriptors:
            for field in ours.fields:
                assert field.name in theirs.fields_by_name, field.name
                assert _wire(field) == _wire(theirs.fields_by_name[field.name])
                if field.message_type and field.message_type.GetOptions().map_entry:
                    entry = theirs.fields_by_name[field.name].message_type
                    value = entry.fields_by_name
                    assert value["value"].number == 2 and value["key"].number == 1


def test_messages_are_tf_servings():
    _assert_as_official(official_of_tensorflow())


@pytest.mark.kserve
def test_messages_are_the_open_inference_protocols():
    official = official_of_kserve()
    _assert_as_official(official)
    # With those above, none of ours is left unchecked.
    assert official.keys() | official_of_tensorflow().keys() == messages.FIELDS.keys()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_tensors_are_tensorflows(dtype):
    """The same tensor proto by TensorFlow, both ways, raw and number by number."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    array = np.random.default_rng(0).integers(0, 256, (1, 2, 3, 3)).astype(dtype)
    ours = tensor_of(array).SerializeToString()
    theirs = tensor_pb2.TensorProto.FromString(ours)
    np.testing.assert_array_equal(tf.make_ndarray(theirs), array)
    back = messages.Tensor.FromString(tf.make_tensor_proto(array).SerializeToString())
    np.testing.assert_array_equal(array_of(back), array)
    typed = tensor_pb2.TensorProto(dtype=theirs.dtype, tensor_shape=theirs.tensor_shape)
    getattr(typed, "int_val" if dtype == np.uint8 else "float_val").extend(
        array.ravel().tolist()
    )
    back = messages.Tensor.FromString(typed.SerializeToString())
    np.testing.assert_array_equal(array_of(back), array)
    assert array_of(back).dtype == dtype


def test_files_are_a_vector_of_strings():
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    files = [b"\x89PNG\0", b""]
    data = tensor_of_files(files).SerializeToString()
    array = tf.make_ndarray(tensor_pb2.TensorProto.FromString(data))
    assert array.shape == (2,) and list(array) == files


LR = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (np.zeros((1, 8, 11, 3), np.uint8), "11x8 pixels for 5x4"),  # padded
        (np.zeros((1, 8, 15, 3), np.uint8), "15x8 pixels for 5x4"),
        (np.zeros((1, 2, 2, 3), np.uint8), "2x2 pixels for 5x4"),
        (np.zeros((2, 8, 10, 3), np.uint8), "one RGB image"),
        (np.zeros((1, 8, 10, 1), np.uint8), "one RGB image"),
        (np.full((1, 8, 10, 3), np.nan, np.float32), "not finite"),
    ],
)
def test_answers_that_are_not_the_image_enlarged(answer, says):
    with pytest.raises(RequestError, match=says):
        image_of(answer, LR)


def test_float_answers_are_clipped_and_rounded():
    answer = np.full((1, 8, 10, 3), 0.5, np.float32)
    answer[0, 0, 0] = -0.2, 1.3, 1.0
    image = image_of(answer, LR)
    assert image.dtype == np.uint8 and list(image[0, 0]) == [0, 255, 255]
    assert image[1, 1, 1] == 128
    check_size((12, 15), (4, 5))


def test_a_short_tensor_is_refused():
    tensor = tensor_of(np.zeros((1, 2, 2, 3), np.uint8))
    tensor.tensor_content = tensor.tensor_content[:-1]
    with pytest.raises(RequestError, match="holds 11 numbers"):
        array_of(tensor)
