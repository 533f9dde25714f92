"""The exported degradation: SavedModel and ONNX against Keras, every kind of PDM."""

import numpy as np
import onnx
import pytest
import tensorflow as tf

from export.degradation import (
    blur_by_taps,
    write_degradation_onnx,
    write_degradation_saved_model,
)
from export.parity import DEGRADATION_OUTPUTS as OUTPUTS
from pdm_tf.core.images import to_float
from pdm_tf.degradations import (
    KernelModuleConfig,
    NoiseModuleConfig,
    ParametricNoiseConfig,
)
from pdm_tf.inference.ort import import_onnxruntime
from pdm_tf.ops.blur import BORDERS, GRIDS
from tests.oracles import blur_oracle
from tests.support.tiny_nets import photo, tiny_pdm

SMALL = {"kernel_size": 5, "latent_channels": 4, "filters": 8, "num_blocks": 1}
KINDS = {
    "blur and noise": {},
    "grey noise of the latent alone": {
        "noise": NoiseModuleConfig(
            filters=8, num_blocks=1, channels=1, use_image=False, conv_size=1
        )
    },
    "blur alone, mirrored": {"noise": None, "border": "reflect"},
    "kernel per pixel": {"kernel": KernelModuleConfig(spatial=True, **SMALL)},
    "kernel per pixel, mixed": {
        "kernel": KernelModuleConfig(spatial=True, basis=3, **SMALL)
    },
    "kernel of the image, noise of the image": {
        "kernel": KernelModuleConfig(
            use_image=True, latent="zero", spatial=True, **SMALL
        ),
        "noise": NoiseModuleConfig(
            filters=8, num_blocks=1, latent="zero", zero_mean=False
        ),
    },
    "kernel of image and latent": {
        "kernel": KernelModuleConfig(use_image=True, **SMALL),
        "border": "reflect",
    },
    "noise of a sensor": {
        "kernel": KernelModuleConfig(**SMALL),
        "noise": ParametricNoiseConfig(correlation_px=0.6),
    },
    "one kernel": {
        "kernel": KernelModuleConfig(latent="zero", initial="gaussian", **SMALL),
        "noise": None,
    },
    "half-pixel grid x4, layer norm": {
        "scale": 4,
        "grid": "half_pixel",
        "kernel": KernelModuleConfig(normalization="layer", **SMALL),
        "noise": NoiseModuleConfig(filters=8, num_blocks=1, normalization="layer"),
    },
}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.replace(" ", "_"))
def pdm(request):
    return tiny_pdm(**KINDS[request.param])


@pytest.fixture(scope="module")
def onnx_file(pdm, tmp_path_factory):
    path = tmp_path_factory.mktemp("degradation") / "d.onnx"
    return write_degradation_onnx(pdm, path, {"run": "r"})


def _inputs(pdm, batch, height, width, seed=0):
    config = pdm.config
    sides = [side * config.scale + 2 * config.margin for side in (height, width)]
    hr = to_float(photo(*sides))
    hr = np.stack([np.roll(hr, 3 * i, axis=0) for i in range(batch)])
    latents = pdm.draw(batch, height, width, tf.constant([seed, 5]))
    named = zip(("z_k", "z_n", "z_q", "z_l"), latents, strict=True)
    return {"hr": hr, **{name: z.numpy() for name, z in named if z is not None}}


def _keras(pdm, values):
    latents = [values.get(name) for name in ("z_k", "z_n", "z_q", "z_l")]
    degraded = pdm(values["hr"], *latents, training=False)
    return {name: getattr(degraded, name).numpy() for name in OUTPUTS}


SIZES = [(1, 3, 3), (4, 9, 6), (2, 24, 31)]


def test_onnx_equals_keras(pdm, onnx_file):
    """Any batch and size from one file; each image has a kernel of its own."""
    session = import_onnxruntime().InferenceSession(
        str(onnx_file), providers=["CPUExecutionProvider"]
    )
    for size in SIZES:
        values = _inputs(pdm, *size)
        keras = _keras(pdm, values)
        outputs = session.run(list(OUTPUTS), values)
        for name, output in zip(OUTPUTS, outputs, strict=True):
            np.testing.assert_allclose(output, keras[name], atol=1e-5, err_msg=name)


def test_onnx_says_what_to_feed(pdm, onnx_file):
    """The latents' shapes in the metadata are those of the inputs."""
    model = onnx.load(onnx_file)
    found = {entry.key: entry.value for entry in model.metadata_props}
    config = pdm.config
    assert found["kind"] == "degradation" and found["run"] == "r"
    assert found["margin"] == str(config.margin)
    assert (found["border"], found["grid"]) == (config.border, config.grid)
    assert found["scale"] == str(config.scale)
    assert found["kernel_size"] == "5"
    assert found["kernel_latent"] == config.kernel.latent
    inputs = {
        entry.name: ",".join(
            d.dim_param or str(d.dim_value) for d in entry.type.tensor_type.shape.dim
        )
        for entry in model.graph.input
    }
    assert inputs.pop("hr") == "batch,height_hr,width_hr,3"
    assert inputs == {z: found[z] for z in ("z_k", "z_n", "z_l") if found[z]}
    assert ("z_k" in inputs) == config.kernel.takes_latent


def test_saved_model_equals_keras_and_draws_latents(pdm, tmp_path):
    write_degradation_saved_model(pdm, tmp_path / "1")
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert len(loaded.weights) == len(pdm.variables)
    for size in SIZES:
        values = _inputs(pdm, *size)
        keras = _keras(pdm, values)
        tensors = {name: tf.constant(value) for name, value in values.items()}
        outputs = loaded.signatures["serving_default"](**tensors)
        assert set(outputs) == set(OUTPUTS)
        for name in OUTPUTS:
            np.testing.assert_allclose(outputs[name], keras[name], atol=1e-5)
    values = _inputs(pdm, 2, 6, 5, seed=11)
    hr, seed = tf.constant(values["hr"]), tf.constant([11, 5])
    drawn = loaded.signatures["sample"](hr=hr, seed=seed)
    np.testing.assert_allclose(drawn["lr"], _keras(pdm, values)["lr"], atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("variant", [False, True])
def test_blur_by_taps_against_the_oracle(grid, border, variant):
    """The formula in NumPy, not the convolution that it stands in for."""
    scale, side = 3, 5
    margin = side // 2 if border == "valid" else 0
    rng = np.random.default_rng(1)
    hr = rng.random([2, 4 * scale + 2 * margin, 5 * scale + 2 * margin, 3], np.float32)
    kernel = rng.random([2, *((4, 5) if variant else (1, 1)), side**2], np.float32)
    kernel /= kernel.sum(axis=-1, keepdims=True)
    blurred = blur_by_taps(tf.constant(hr), tf.constant(kernel), scale, grid, border)
    for image, taps, result in zip(hr, kernel, blurred.numpy(), strict=True):
        taps = taps.reshape(*taps.shape[:2], side, side)
        taps = taps if variant else taps[0, 0]
        wanted = blur_oracle.blur(image, taps, scale, grid, border)
        np.testing.assert_allclose(result, wanted, atol=1e-6)
