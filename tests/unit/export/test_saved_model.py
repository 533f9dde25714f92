"""The SavedModel: weights once, three signatures that agree, warm-up that can run."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from export.saved_model import write_saved_model
from export.signatures import SIGNATURES
from export.sources import ExportSources
from pdm_tf.bundles.bundle import Bundle
from pdm_tf.bundles.chain import chained
from pdm_tf.core.images import decode_rgb_u8, to_float, to_u8
from pdm_tf.models.sr import EDSRConfig
from tests.support.tiny_nets import EDSR_TINY, RRDB_TINY, built, photo

TILE = 12


def _sources(*networks):
    bundles = tuple(
        Bundle(n, "sr", type(n).__name__, n.config, n.config.scale, 0, "", {})
        for n in networks
    )
    network = networks[0] if len(networks) == 1 else chained(networks)
    return ExportSources(network, bundles, None, ("",) * len(bundles), "")


@pytest.fixture(scope="module", params=[EDSR_TINY, RRDB_TINY], ids=["edsr", "rrdb"])
def exported(request, tmp_path_factory):
    """(network, loaded SavedModel, its folder)."""
    network = built(request.param)
    folder = tmp_path_factory.mktemp("saved_model") / "1"
    # An optimiser's slots must not come along.
    keras_step(network)
    write_saved_model(
        _sources(network), folder, model_name="sr", tile_u8=photo(TILE, TILE)
    )
    return network, tf.saved_model.load(str(folder)), folder


def keras_step(network):
    """One step of Adam as `fit` does it, which hangs the optimiser on the model."""
    network.compile("adam", "mae", jit_compile=False)
    scale = network.config.scale
    network.train_on_batch(
        np.zeros([1, 4, 4, 3]), np.zeros([1, 4 * scale, 4 * scale, 3])
    )


def test_holds_each_weight_once_and_nothing_else(exported):
    """Not twice, as Keras's own export, and no moments of an optimiser."""
    network, loaded, folder = exported
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = {
        name: shape
        for name, shape in reader.get_variable_to_shape_map().items()
        if "_CHECKPOINTABLE_OBJECT_GRAPH" not in name
    }
    assert len(shapes) == len(network.variables)
    stored = sum(int(np.prod(shape)) for shape in shapes.values())
    assert stored == network.count_params()
    data = sum(f.stat().st_size for f in (folder / "variables").glob("*.data-*"))
    # The object graph is in the data file too: some bytes per variable.
    assert data < 4 * stored + 400 * len(shapes)
    assert len(loaded.weights) == len(network.variables)


def test_signatures_have_the_names_of_the_contract(exported):
    _, loaded, _ = exported
    assert set(loaded.signatures) == set(SIGNATURES)
    for name, signature in SIGNATURES.items():
        function = loaded.signatures[name]
        (key, spec), *rest = function.structured_input_signature[1].items()
        assert (key, spec.dtype.name, rest) == (signature.input, signature.dtype, [])
        assert list(function.structured_outputs) == [signature.output]
        assert function.structured_outputs[signature.output].dtype == spec.dtype
        assert spec.shape[0] is None


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 9, 14), (2, 30, 21)])
def test_equals_keras_in_float_and_in_levels(exported, size):
    network, loaded, _ = exported
    image = np.stack([np.roll(photo(*size[1:]), i) for i in range(size[0])])
    keras = network(to_float(image)).numpy()
    sr = loaded.signatures["serving_default"](image=tf.constant(to_float(image)))["sr"]
    np.testing.assert_allclose(sr, keras, atol=2e-6)
    sr = loaded.signatures["serving_uint8"](image=tf.constant(image))["sr"].numpy()
    assert_levels(sr, keras)


def assert_levels(sr_u8, keras):
    """The levels of `keras`; one beside where that is a tie but for rounding."""
    levels = to_u8(keras)
    differ = sr_u8 != levels
    assert np.abs(sr_u8.astype(int) - levels).max() <= 1
    from_tie = np.abs(np.clip(keras, 0, 1) * 255.0 % 1.0 - 0.5)
    assert (from_tie[differ] < 1e-3).all()


def _encoded(image, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def test_encoded_images_of_mixed_kinds_and_sizes(exported):
    """One request; each answer is that of the pixels its file holds."""
    network, loaded, _ = exported
    rgba = np.dstack([photo(7, 9), np.full([7, 9], 128, np.uint8)])
    files = [
        _encoded(photo(20, 31), "PNG"),
        _encoded(photo(16, 9), "JPEG", quality=90),
        _encoded(photo(11, 12), "WEBP", lossless=True),
        _encoded(photo(8, 8)[..., 0], "PNG"),  # grey
        _encoded(rgba, "PNG"),
        _encoded(photo(1, 1), "PNG"),
        _encoded(photo(6, 5), "BMP"),
    ]
    reply = loaded.signatures["serving_bytes"](image_bytes=tf.constant(files))
    for data, sr in zip(files, reply["sr_bytes"].numpy(), strict=True):
        pixels = tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
        assert sr.startswith(b"\x89PNG")
        keras = network(to_float(pixels[None])).numpy()[0]
        assert_levels(decode_rgb_u8(sr, "sr"), keras)
    # PNG and lossless WebP give back what went in.
    first = decode_rgb_u8(reply["sr_bytes"].numpy()[2], "sr")
    assert_levels(first, network(to_float(photo(11, 12)[None])).numpy()[0])


def test_encoded_empty_batch_and_a_broken_file(exported):
    _, loaded, _ = exported
    call = loaded.signatures["serving_bytes"]
    assert call(image_bytes=tf.constant([], tf.string))["sr_bytes"].shape == [0]
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(image_bytes=tf.constant([b"no image"]))
    # TensorFlow would show the numbers of the palette's entries as levels of grey.
    palette = Image.fromarray(photo(9, 8)).quantize(16)
    for image in (palette, Image.fromarray(photo(9, 8)[..., 0])):
        buffer = io.BytesIO()
        image.save(buffer, "BMP")
        with pytest.raises(tf.errors.InvalidArgumentError, match="not a palette"):
            call(image_bytes=tf.constant([buffer.getvalue()]))


def test_first_picture_of_an_animation_counts(exported):
    network, loaded, _ = exported
    frames = [Image.fromarray(photo(6, 8) // (i + 1)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    reply = loaded.signatures["serving_bytes"](
        image_bytes=tf.constant([buffer.getvalue()])
    )
    pixels = tf.io.decode_gif(buffer.getvalue())[0].numpy()
    keras = network(to_float(pixels[None])).numpy()[0]
    assert_levels(decode_rgb_u8(reply["sr_bytes"].numpy()[0], "sr"), keras)


def test_warmup_requests_run_through_their_signatures(exported):
    """What TF Serving does at start: parse the records, call the signatures."""
    network, loaded, folder = exported
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "sr"
        name = request.model_spec.signature_name
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        output = loaded.signatures[name](**inputs)[SIGNATURES[name].output]
        side = TILE * network.config.scale
        if name == "serving_bytes":
            assert decode_rgb_u8(output.numpy()[0], "sr").shape == (side, side, 3)
        else:
            assert output.shape == [1, side, side, 3]
        seen.append(name)
    assert sorted(seen) == sorted(SIGNATURES)


def test_two_networks_in_a_row(tmp_path):
    first = built(EDSRConfig(num_blocks=1, filters=3, scale=1), seed=1)
    second = built(EDSRConfig(num_blocks=1, filters=3, scale=2), seed=2)
    sources = _sources(first, second)
    write_saved_model(sources, tmp_path / "1", model_name="m", tile_u8=photo(4, 4))
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert len(loaded.weights) == len(first.variables) + len(second.variables)
    image = to_float(photo(7, 9)[None])
    sr = loaded.signatures["serving_default"](image=tf.constant(image))["sr"]
    np.testing.assert_allclose(sr, second(first(image)), atol=2e-6)


@pytest.mark.slow
def test_tensorflows_own_tool_reads_it(exported):
    _, _, folder = exported
    show = ("show", "--dir", folder)
    shown = subprocess.run(
        [Path(sys.executable).with_name("saved_model_cli"), *show, "--all"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout
    assert "serving_bytes" in shown and "sr_bytes" in shown
