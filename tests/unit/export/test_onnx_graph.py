"""The ONNX file: numbers as Keras, a clean graph, and what it says about itself."""

import json
from collections import Counter

import numpy as np
import onnx
import pytest

from export.onnx_graph import LAYOUTS, network_to_onnx
from pdm_tf.bundles.chain import chained
from pdm_tf.core.images import to_float
from pdm_tf.evaluation.runner import keras_upscaler
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.ort import import_onnxruntime
from pdm_tf.inference.session import open_session
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from tests.support.tiny_nets import EDSR_TINY, RRDB_TINY, built, photo
from tests.unit.export.conftest import NOTES

SIZES = [(1, 1, 1), (4, 1, 3), (3, 17, 23), (2, 40, 24)]


def _session(path):
    return import_onnxruntime().InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )


def _image(batch, height, width):
    image = to_float(photo(height, width))
    return np.stack([np.roll(image, 5 * i, axis=1) for i in range(batch)])


def _run(session, image, layout="NHWC"):
    if layout == "NHWC":
        return session.run(["sr"], {"image": image})[0]
    swapped = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    return session.run(["sr"], {"image": swapped})[0].transpose(0, 2, 3, 1)


def _histogram(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "config",
    [
        EDSR_TINY,
        EDSRConfig(num_blocks=2, filters=3, scale=3, residual_scale=0.1),
        EDSRConfig(num_blocks=1, filters=3, scale=1),
        RRDB_TINY,
        RRDBNetConfig(num_blocks=1, filters=3, growth=2, scale=3),
        RRDBNetConfig(num_blocks=1, filters=2, growth=2, scale=8),
    ],
    ids=["edsr4", "edsr3", "edsr1", "rrdb4", "rrdb3", "rrdb8"],
)
def test_equals_keras(sr_onnx, config, layout):
    """Any size and batch; a wrong kernel order, axis or factor would show at once."""
    network, path = sr_onnx(config, layout)
    session = _session(path)
    for size in SIZES:
        image = _image(*size)
        np.testing.assert_allclose(
            _run(session, image, layout), network(image), atol=2e-6
        )


def test_graph_of_edsr_has_nothing_to_spare(tmp_path):
    """Two Transposes, or none; every bias in its convolution but the skips' adds."""
    network = built(EDSRConfig(num_blocks=3, filters=4))
    nhwc = _histogram(network_to_onnx(network, tmp_path / "a.onnx"))
    nchw = _histogram(network_to_onnx(network, tmp_path / "b.onnx", layout="NCHW"))
    convolutions = 1 + 2 * 3 + 1 + 2 + 1
    assert nhwc.pop("Transpose") == 2
    assert nhwc == nchw
    assert set(nhwc) == {"Conv", "Relu", "Add", "Mul", "Sub", "DepthToSpace"}
    assert (nhwc["Conv"], nhwc["Relu"], nhwc["DepthToSpace"]) == (convolutions, 3, 2)
    assert nhwc["Add"] <= 3 + 1 + 1  # blocks, long skip, mean


def test_graph_of_rrdbnet_computes_no_shapes(sr_onnx):
    nhwc, nchw = (_histogram(sr_onnx(RRDB_TINY, layout)[1]) for layout in LAYOUTS)
    assert nhwc.pop("Transpose") == 2
    assert nhwc == nchw
    assert set(nhwc) == {"Conv", "LeakyRelu", "Concat", "Add", "Mul", "Resize"}
    assert nhwc["Concat"] == 3 * 4  # none for shapes
    assert nhwc["Resize"] == 2


def test_image_is_the_only_input_and_weights_are_inside_once(sr_onnx):
    """The kernels that were inputs of the conversion, and the RGB mean, are inside."""
    network, path = sr_onnx(EDSR_TINY)
    model = onnx.load(path)
    assert [entry.name for entry in model.graph.input] == ["image"]
    stored = sum(np.prod(t.dims, dtype=int) for t in model.graph.initializer)
    constants = stored - network.count_params()
    assert 0 <= constants < 20
    assert model.opset_import[0].version == 18


@pytest.mark.parametrize(
    ("layout", "image", "sr"),
    [
        (
            "NHWC",
            ["batch", "height", "width", 3],
            ["batch", "height_sr", "width_sr", 3],
        ),
        (
            "NCHW",
            ["batch", 3, "height", "width"],
            ["batch", 3, "height_sr", "width_sr"],
        ),
    ],
)
def test_axes_have_names(sr_onnx, layout, image, sr):
    session = _session(sr_onnx(EDSR_TINY, layout)[1])
    assert session.get_inputs()[0].shape == image
    assert session.get_outputs()[0].shape == sr


def test_metadata_as_onnxruntime_reads_them(sr_onnx):
    found = _session(sr_onnx(RRDB_TINY)[1]).get_modelmeta().custom_metadata_map
    assert json.loads(found.pop("config"))["growth"] == RRDB_TINY.growth
    assert found.pop("pdm_tf_version") and found.pop("seal")
    assert found == {
        "kind": "sr",
        "scale": "4",
        "architecture": "RRDBNet",
        "layout": "NHWC",
        "range": "0..1",
        "colour_order": "RGB",
        "receptive_radius": str(RRDB_TINY.receptive_radius),
        "overlap": str(RRDB_TINY.overlap),
        "multiple": "1",
        "precision": "float32",
        **NOTES,
    }


def test_several_networks_in_a_row(tmp_path):
    """Scales multiply, values pass unclipped, and the file describes both."""
    first = built(EDSRConfig(num_blocks=1, filters=3, scale=2), seed=1)
    second = built(RRDBNetConfig(num_blocks=1, filters=3, growth=2, scale=3), seed=2)
    session = _session(network_to_onnx(chained([first, second]), tmp_path / "m.onnx"))
    image = _image(2, 9, 7) * 3.0 - 1.0  # leaves [0, 1], so a clip would show
    keras = second(first(image))
    np.testing.assert_allclose(_run(session, image), keras, atol=5e-6)
    found = session.get_modelmeta().custom_metadata_map
    assert (found["scale"], found["architecture"]) == ("6", "EDSR+RRDBNet")
    assert [c["scale"] for c in json.loads(found["config"])] == [2, 3]


def test_unwritable_outputs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="NHWC"):
        network_to_onnx(built(EDSR_TINY), tmp_path / "m.onnx", layout="HWC")
    half = EDSR_TINY.build("mixed_bfloat16")
    with pytest.raises(ValueError, match="float32"):
        network_to_onnx(half, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_tiles_of_unshuffled_pixels_equal_the_whole_image(sr_onnx):
    """From the exported file and from the network: squares are never cut."""
    config = RRDBNetConfig(num_blocks=1, filters=4, growth=2, scale=2, unshuffle=2)
    network, path = sr_onnx(config)
    lr_u8 = np.random.default_rng(3).integers(0, 256, (101, 171, 3), np.uint8)
    whole = keras_upscaler(network, 2, tile=0)(lr_u8)
    session = open_session(path, provider="cpu")
    assert session.info.multiple == 2
    radius = config.receptive_radius
    engine = Engine(session, tile=95, overlap=radius, batch_size=2)
    assert engine.cutting.exact and len(engine.cutting.plan(101, 171, 2).columns) > 1
    cut = {"tile": 95, "overlap": radius}
    for tiled in (
        engine.upscale_array(lr_u8),
        keras_upscaler(network, 2, **cut)(lr_u8),
    ):
        # A value between two levels may go to either.
        assert np.abs(tiled.astype(int) - whole).max() <= 1
        assert np.mean(tiled != whole) < 0.001


def test_unshuffled_pixels_are_exported_for_sides_that_do_not_divide(sr_onnx):
    """ONNX divides integers towards zero, TensorFlow downwards."""
    config = RRDBNetConfig(num_blocks=1, filters=4, growth=2, scale=1, unshuffle=4)
    network, path = sr_onnx(config)
    session = _session(path)
    for size in ((1, 1), (1, 3), (7, 5), (8, 8)):
        lr = np.random.default_rng(3).random((2, *size, 3), np.float32)
        found = _run(session, lr)
        np.testing.assert_allclose(
            found, network(lr), rtol=0, atol=1e-5, err_msg=f"{size}"
        )
