"""The ways to run the network: what is timed, and compared with each other.

Every side takes an LR image as a NumPy array and returns the SR image as one, because
that is where programs have images; the copies to and from a library's own tensors are
part of what it takes. A library is loaded when its first side is built.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from pdm_tf.benchmarks.subject import Convolutions, Subject
from pdm_tf.config.flags_benchmark_inference import InferenceBenchmarkConfig
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.errors import UserError

# lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32.
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Side:
    """One way.

    Attributes:
      library: "onnxruntime", "tensorflow" or "torch".
      precision: "float32" or "bfloat16", of the convolutions.
      channels_last: memory layout, of torch; the others choose theirs.
    """

    library: str
    precision: str = "float32"
    channels_last: bool = False


SIDES = {
    "onnxruntime": Side("onnxruntime"),
    "tensorflow": Side("tensorflow"),
    "tensorflow_bfloat16": Side("tensorflow", "bfloat16"),
    "torch": Side("torch"),
    "torch_channels_last": Side("torch", channels_last=True),
    # The faster layout in bfloat16.
    "torch_bfloat16": Side("torch", "bfloat16", channels_last=True),
}


def wanted(config: InferenceBenchmarkConfig, subject: Subject) -> list[str]:
    """Returns the names of the sides that the flags ask for.

    Raises:
      UserError: PyTorch is to run a network that only onnxruntime can.
    """
    if not subject.architecture:
        if config.compare != "none" or config.bfloat16:
            raise UserError(
                "--compare and --bfloat16 need an ONNX file of one EDSR or RRDBNet "
                "with the entries that python -m export writes, to build the network "
                f"elsewhere. Received: {subject.name}."
            )
        return ["onnxruntime"]
    return [
        name
        for name, side in SIDES.items()
        if (side.precision == "float32" or config.bfloat16)
        and (side.library != "torch" or config.compare == "torch")
    ]


def build(
    name: str,
    subject: Subject,
    convolutions: Convolutions | None,
    *,
    lr_shape: tuple[int, ...],
    threads: int,
) -> Run:
    """Makes one side ready to run.

    Args:
      name: of `SIDES`.
      subject: the network.
      convolutions: its weights; None takes random ones where the file is not run.
      lr_shape: of the images to come.
      threads: 0 leaves it to the library. TensorFlow's are set by `set_threads`.
    """
    side = SIDES[name]
    if side.library == "onnxruntime":
        from pdm_tf.inference.session import open_session

        return open_session(subject.path, provider="cpu", threads=threads).run
    if side.library == "torch":
        return import_torch_networks().runner(
            subject.architecture,
            subject.config,
            convolutions,
            channels_last=side.channels_last,
            bfloat16=side.precision == "bfloat16",
            threads=threads,
        )
    return _tensorflow(side, subject, convolutions, lr_shape)


def set_threads(threads: int) -> None:
    """Sets TensorFlow's threads, which is possible only before its first use."""
    if threads:
        with quiet_start():
            import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def import_torch_networks() -> ModuleType:
    """Returns the module of the PyTorch side.

    Raises:
      UserError: PyTorch is not installed.
    """
    return import_with_torch("torch_networks")


def import_with_torch(name: str) -> ModuleType:
    """Returns a module of `pdm_tf.benchmarks` that imports PyTorch.

    Raises:
      UserError: PyTorch is not installed.
    """
    try:
        return importlib.import_module(f"pdm_tf.benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            "--compare=torch needs PyTorch, which is not installed. Install it with "
            'pip install -e ".[benchmark]".'
        ) from error


def _tensorflow(
    side: Side,
    subject: Subject,
    convolutions: Convolutions | None,
    lr_shape: tuple[int, ...],
) -> Run:
    with quiet_start():
        import tensorflow as tf

        from pdm_tf.benchmarks.networks import keras_network
    policy = "mixed_bfloat16" if side.precision == "bfloat16" else "float32"
    with tf.device("/CPU:0"):
        network = keras_network(subject, policy, convolutions)

    @tf.function(input_signature=[tf.TensorSpec(lr_shape, tf.float32)], autograph=False)
    def graph(lr: tf.Tensor) -> tf.Tensor:
        return network(lr, training=False)

    def run(lr: np.ndarray) -> np.ndarray:
        with tf.device("/CPU:0"):
            return graph(tf.constant(lr)).numpy()

    return run
