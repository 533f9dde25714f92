"""The float16 file: half the size, float32 ends, in order, close to float32."""

import numpy as np
import onnx
import pytest

from export.fp16 import write_fp16
from export.onnx_graph import network_to_onnx
from export.parity import compare
from pdm_tf.core.images import to_float
from pdm_tf.inference.ort import import_onnxruntime
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from tests.unit.export.tiny_nets import built, photo


@pytest.mark.parametrize(
    "config",
    [
        EDSRConfig(num_blocks=2, filters=16),
        RRDBNetConfig(num_blocks=1, filters=16, growth=8),
    ],
    ids=["edsr", "rrdb"],
)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_float16_file(tmp_path, config, layout):
    network = built(config)
    full = network_to_onnx(network, tmp_path / "m.onnx", layout=layout)
    half = write_fp16(full, tmp_path / "h.onnx")

    model = onnx.load(half)
    onnx.checker.check_model(model, full_check=True)  # topological order too
    kinds = {t.data_type for t in model.graph.initializer if len(t.dims) == 4}
    assert kinds == {onnx.TensorProto.FLOAT16}
    # Casts at the ends alone: one inside would bring memory traffic and float32.
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2
    assert half.stat().st_size < 0.7 * full.stat().st_size

    session = import_onnxruntime().InferenceSession(
        str(half), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].type == "tensor(float)"
    assert session.get_outputs()[0].type == "tensor(float)"
    found = session.get_modelmeta().custom_metadata_map
    whole = {entry.key: entry.value for entry in onnx.load(full).metadata_props}
    assert found == whole | {"precision": "float16"}

    image = to_float(photo(24, 19)[None])
    keras = network(image).numpy()
    fed = image if layout == "NHWC" else image.transpose(0, 3, 1, 2)
    output = session.run(["sr"], {"image": np.ascontiguousarray(fed)})[0]
    output = output if layout == "NHWC" else output.transpose(0, 2, 3, 1)
    difference = compare(output, keras, 1e-4)
    assert difference.finite and difference.psnr_db > 60
    assert difference.max_abs > 0  # it is half precision indeed


@pytest.mark.parametrize(("scale", "unshuffle"), [(2, 2), (1, 4)])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 1503)])
def test_sizes_are_no_float16_numbers(scale, unshuffle, size, tmp_path):
    """Real-ESRGAN's x2 and x1: above 2048 float16 has no odd numbers."""
    config = RRDBNetConfig(
        num_blocks=1, filters=4, growth=2, scale=scale, unshuffle=unshuffle
    )
    network = built(config)
    full = network_to_onnx(network, tmp_path / "m.onnx")
    half = write_fp16(full, tmp_path / "h.onnx")
    session = import_onnxruntime().InferenceSession(
        str(half), providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(5).random((2, *size, 3), np.float32)
    found = session.run(["sr"], {"image": image})[0]
    keras = network(image).numpy()
    assert found.shape == keras.shape
    np.testing.assert_allclose(found, keras, rtol=0, atol=2e-3)
