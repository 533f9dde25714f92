"""Makes the network under test: from flags to an ONNX file, from there to Keras."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.benchmarks.timed import (
    Convolutions,
    TimedNetwork,
    import_onnx,
    load_onnx,
    missing_package,
)
from pdm_tf.bundles.bundle import load_bundle
from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.cli.component import from_json_dict, parse_args
from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.models.network import Network
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from pdm_tf.models.sr.edsr import DIV2K_MEAN
from pdm_tf.run import find_bundle

# Architectures that the TensorFlow and PyTorch sides can build.
_CONFIGS = {"EDSR": EDSRConfig, "RRDBNet": RRDBNetConfig}


def open_network(model: str, folder: Path) -> TimedNetwork:
    """Finds the network of --model.

    Args:
      model: an ONNX file, a bundle, or a run folder.
      folder: where to write an ONNX file, if there is none.

    Raises:
      UserError: no such bundle or file, or a package for it is missing.
    """
    path = Path(model)
    if path.is_file() or path.suffix == ".onnx":
        return _described(model, path)
    return _written(model, load_bundle(find_bundle(path)).network, folder)


def random_network(
    sr_net: str, sr_arg: tuple[str, ...], seed: int, folder: Path
) -> TimedNetwork:
    """Makes the network of --sr_net with random weights and biases.

    Raises:
      UserError: no such network, it has no such setting, or a package is missing.
    """
    import keras

    base = lookup(SR_NETS, sr_net, "--sr_net")
    keras.utils.set_random_seed(seed)
    network = parse_args(type(base), sr_arg, base).build()
    generator = np.random.default_rng(seed)
    for variable in network.variables:
        if len(variable.shape) == 1:  # new biases are 0, and would hide a mistake
            variable.assign(generator.normal(0.0, 0.01, variable.shape))
    return _written(sr_net, network, folder)


def keras_network(
    timed: TimedNetwork, dtype: str, convolutions: Convolutions | None
) -> Network:
    """Returns the Keras network; without `convolutions`, random weights.

    Raises:
      ValueError: the weights do not fit.
    """
    config_class = _CONFIGS[timed.architecture]
    network = from_json_dict(config_class, timed.config).build(dtype)
    if convolutions is not None:
        # Layers are made, and so listed, in the order in which they are applied.
        network.set_weights(
            [
                array
                for kernel, bias in convolutions
                for array in (kernel.transpose(2, 3, 1, 0), bias)
            ]
        )
    return network


def read_convolutions(timed: TimedNetwork) -> Convolutions:
    """Returns the weights of a network, in the order in which they are applied.

    Raises:
      UserError: they are not constants in the file.
    """
    onnx = import_onnx()
    graph = load_onnx(timed.path).graph
    values = {entry.name: entry for entry in graph.initializer}
    found: Convolutions = []
    last = None
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        computed = [name for name in node.input[1:] if name not in values]
        if computed:
            raise UserError(
                "The weights of every convolution must be constants. Received: "
                f"{timed.path}, where {computed[0]} is computed."
            )
        kernel, *bias = (
            onnx.numpy_helper.to_array(values[name]).astype(np.float32)
            for name in node.input[1:]
        )
        found.append((kernel, bias[0] if bias else np.zeros(len(kernel), np.float32)))
        last = node
    if timed.architecture == "EDSR" and not _is_added_to(graph, last.output[0]):
        # The converter folds the mean that is added at the end into the last bias.
        kernel, bias = found[-1]
        mean = np.array(timed.config.get("rgb_mean", DIV2K_MEAN), np.float32)
        found[-1] = (kernel, bias - mean * timed.config["rgb_range"])
    return found


def _written(name: str, network: Network, folder: Path) -> TimedNetwork:
    try:
        from export.onnx_graph import network_to_onnx

        path = network_to_onnx(network, folder / "model.onnx")
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    return _described(name, path)


def _described(name: str, path: Path) -> TimedNetwork:
    entries = {entry.key: entry.value for entry in load_onnx(path).metadata_props}
    architecture = entries.get("architecture", "")
    if architecture not in _CONFIGS:  # several networks in a row, or someone else's
        return TimedNetwork(name, path, "", {})
    return TimedNetwork(name, path, architecture, json.loads(entries["config"]))


def _is_added_to(graph: Any, name: str) -> bool:
    """Whether something is added to the tensor `name`, ignoring casts."""
    readers = [node for node in graph.node if name in node.input]
    if [node.op_type for node in readers] == ["Cast"]:
        return _is_added_to(graph, readers[0].output[0])
    return any(node.op_type in ("Add", "Sub") for node in readers)
