"""Keras's VGGs as feature networks: random weights here, the download is Keras's."""

import functools

import keras
import numpy as np
import pytest

from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.cli import program
from pdm_tf.core.stored import read_json
from pdm_tf.import_weights import SPEC, main
from pdm_tf.interop import keras_applications

TAPS = ("conv1_1", "conv1_2", "conv2_1")


@pytest.mark.parametrize("name", ["vgg19", "vgg16"])
def test_bundles_compute_what_keras_does(tmp_path, monkeypatch, name):
    """Inside the border exactly; at it, zeros are another colour by half a level."""
    keras.utils.set_random_seed(3)
    model = keras.applications.__dict__[name.upper()](include_top=False, weights=None)
    for layer in model.layers:
        if layer.weights:  # Keras starts biases at zero: nothing would be compared
            kernel, bias = layer.get_weights()
            noise = np.random.default_rng(len(bias)).normal(size=bias.shape)
            layer.set_weights([kernel, noise])
    monkeypatch.setitem(keras_applications._MODELS, name, lambda **_: model)
    folder = tmp_path / "bundle"
    flags = [f"--input=keras:{name}", f"--output={folder}"]
    assert program.call(SPEC, main, flags) == 0
    notes = read_json(folder / "bundle.json")["notes"]
    assert notes["source_format"] == "keras.applications" and notes["layout"] == name

    image = np.random.default_rng(0).random((1, 48, 40, 3)).astype(np.float32)
    module = getattr(keras.applications, name)
    caffe = module.preprocess_input(255.0 * image.copy())
    found = load_bundle(folder).network(image, taps=TAPS)
    layers = [f"block{tap[4]}_conv{tap[6]}" for tap in TAPS]
    x, wanted = caffe, {}
    for layer in model.layers[1:]:
        x = layer(x)
        if layer.name in layers:
            wanted[f"conv{layer.name[5]}_{layer.name[-1]}"] = np.asarray(x)
        if len(wanted) == len(TAPS):
            break
    for tap in TAPS:
        theirs = wanted[tap]  # after the ReLU
        ours = np.maximum(found[tap], 0)
        scale = theirs.std()
        inner = (slice(None), slice(4, -4), slice(4, -4))
        np.testing.assert_allclose(
            ours[inner], theirs[inner], rtol=0, atol=1e-5 * scale
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.02 * scale)
        assert scale > 0.1, "nothing compared"


def test_deeper_layers_go_to_their_places():
    model = keras.applications.VGG19(include_top=False, weights=None)
    arrays = keras_applications.as_torchvision(model, "vgg19")
    kernel, bias = model.get_layer("block5_conv4").get_weights()
    np.testing.assert_array_equal(
        arrays["features.34.weight"].T, kernel.transpose(1, 0, 2, 3)
    )
    np.testing.assert_array_equal(arrays["features.34.bias"], bias)
    assert len(arrays) == 32


def test_a_download_that_fails_and_names_that_are_none(tmp_path, monkeypatch, capsys):
    call = functools.partial(program.call, SPEC, main)
    output = f"--output={tmp_path / 'bundle'}"
    assert call(["--input=keras:vgg17", output]) == 2
    assert "must name one of vgg16, vgg19" in capsys.readouterr().err
    assert call(["--input=keras:vgg19", "--entry=x", output]) == 2
    assert "--entry is for files" in capsys.readouterr().err
    # A proxy that nobody serves: as on a machine that is not online.
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(
        "keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras")
    )
    assert call(["--input=keras:vgg19", output]) == 2
    error = capsys.readouterr().err
    assert "could not download" in error and "torchvision's file" in error
    assert not (tmp_path / "bundle").exists()
