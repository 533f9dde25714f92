"""Writes Keras networks to one ONNX file: image -> sr.

The file's contract, which `pdm_tf.inference` reads:
- input `image` [batch, height, width, 3] float32 in [0, 1], all three free; output `sr`
  [batch, height_sr, width_sr, 3] float32, not clipped. With layout "NCHW" channels
  come second in both.
- opset 18, the highest that tf2onnx 1.17 writes.
- `metadata_props`, all texts: what `describe` returns, `grid` ("pixel0", "half_pixel";
  see `pdm_tf.core.geometry`) where it is known, where the weights are from, and the
  seal (`pdm_tf.inference.model_file`).

Memory. tf2onnx copies the whole graph for each of its optimisation passes, weights
included: 10 GB at the peak for the large EDSR. So it gets a graph without them: kernels
come in as inputs, which a kilobyte describes, and the values are put in at the end
(`onnx_rewrite.bind_weights`). Biases and other small tensors stay constants, because
tf2onnx merges a constant bias into its convolution and an input not.
"""

import contextlib
import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf

from export import onnx_rewrite
from pdm_tf import __version__
from pdm_tf.bundles.chain import Chain
from pdm_tf.models.network import SRNetwork

OPSET = 18
LAYOUTS = ("NHWC", "NCHW")


def network_to_onnx(
    network: SRNetwork,
    path: Path | str,
    *,
    layout: str = "NHWC",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Writes an SR network as an ONNX file and checks it.

    Args:
      network: built, in float32: lr [B, h, w, 3] in [0, 1] -> sr; perhaps a `Chain`.
      path: the file, replaced atomically.
      layout: "NHWC" or "NCHW", of input and output.
      metadata: entries to add to those of `describe`, or to put in their place.

    Returns:
      `path`.

    Raises:
      ValueError: unknown layout, or a network that computes in another type.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of {LAYOUTS}. Received: {layout!r}.")
    if network.compute_dtype != "float32":
        raise ValueError(
            "ONNX needs networks that compute in float32 (onnxruntime has no "
            f"bfloat16 convolution). Received: {network.compute_dtype}."
        )
    model = _convert(network, layout)
    props = {**describe(network, layout=layout), **(metadata or {})}
    onnx.helper.set_model_props(model, props)
    return onnx_rewrite.write_checked(model, path)


def describe(network: SRNetwork, *, layout: str = "NHWC") -> dict[str, str]:
    """The metadata that follows from the network alone.

    The receptive radius, in LR pixels, is how far an output pixel can see; the overlap
    is the advised one of tiles, which begin at multiples of `multiple`.
    """
    configs = [dataclasses.asdict(stage.config) for stage in network.in_a_row()]
    return {
        "kind": "sr",
        "scale": str(network.scale),
        "architecture": network.architecture,
        "config": json.dumps(configs if isinstance(network, Chain) else configs[0]),
        "layout": layout,
        "range": "0..1",
        "colour_order": "RGB",
        "receptive_radius": str(network.receptive_radius),
        "overlap": str(network.overlap),
        "multiple": str(network.multiple),
        "precision": "float32",
        "pdm_tf_version": __version__,
    }


def _convert(network: SRNetwork, layout: str) -> onnx.ModelProto:
    kernels = {
        f"weight_{i}": variable
        for i, variable in enumerate(network.variables)
        if len(variable.shape) == 4
    }

    def function(image: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        replaced = {
            id(variable): value
            for variable, value in zip(kernels.values(), values, strict=True)
        }
        return {"sr": _called_with(network, replaced, image)}

    signature = [
        tf.TensorSpec([None, None, None, 3], tf.float32, name="image"),
        *(tf.TensorSpec(v.shape, tf.float32, name=k) for k, v in kernels.items()),
    ]
    nchw = layout == "NCHW"
    model = from_function(
        function,
        signature,
        inputs_as_nchw=["image"] if nchw else None,
        outputs_as_nchw=["sr"] if nchw else None,
    )
    graph = model.graph
    values = {k: np.asarray(v.value, np.float32) for k, v in kernels.items()}
    onnx_rewrite.bind_weights(graph, values)
    tidy(graph)
    onnx_rewrite.name_axes(graph.input, {"image": _axes("", nchw)})
    onnx_rewrite.name_axes(graph.output, {"sr": _axes("_sr", nchw)})
    graph.name = network.architecture
    return model


def tidy(graph: onnx.GraphProto) -> None:
    """Runs the passes that fit every graph of ours, in the order that they need."""
    onnx_rewrite.constant_resize(graph)
    onnx_rewrite.explicit_padding(graph)
    onnx_rewrite.drop_unused(graph)


def from_function(
    function: object,
    signature: Sequence[tf.TensorSpec],
    *,
    inputs_as_nchw: list[str] | None = None,
    outputs_as_nchw: list[str] | None = None,
) -> onnx.ModelProto:
    """Converts a Python function on tensors by tf2onnx, without its notes."""
    with _quiet_tf2onnx() as tf2onnx:
        model, _ = tf2onnx.convert.from_function(
            tf.function(function, input_signature=signature, autograph=False),
            input_signature=signature,
            opset=OPSET,
            inputs_as_nchw=inputs_as_nchw,
            outputs_as_nchw=outputs_as_nchw,
        )
    return model


def _called_with(
    network: keras.Model, replaced: Mapping[int, tf.Tensor], image: tf.Tensor
) -> tf.Tensor:
    """Computes the network's output with some variables replaced by tensors."""

    def values(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
        return [replaced.get(id(v), v.value) for v in variables]

    output, _ = network.stateless_call(
        values(network.trainable_variables),
        values(network.non_trainable_variables),
        image,
        training=False,
    )
    return output


def _axes(suffix: str, nchw: bool) -> tuple[str | int, ...]:
    height, width = f"height{suffix}", f"width{suffix}"
    return ("batch", 3, height, width) if nchw else ("batch", height, width, 3)


@contextlib.contextmanager
def _quiet_tf2onnx() -> Iterator[object]:
    """Imports tf2onnx and keeps its notes off the terminal while it works."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its NumPy 1 idioms
        warnings.simplefilter("ignore", DeprecationWarning)
        import tf2onnx

        logger = logging.getLogger("tf2onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield tf2onnx
        finally:
            logger.setLevel(level)
