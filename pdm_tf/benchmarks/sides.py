"""The ways to run the network: what is timed, and compared with each other.

Every side takes an LR image as a NumPy array and returns the SR image as one, because
that is where programs have images; the copies to and from a library's own tensors are
part of what it takes. A library is loaded when its first side is built.
"""

from collections.abc import Callable

import numpy as np

from pdm_tf.benchmarks.figures import Side, asked_for
from pdm_tf.benchmarks.machine import set_threads
from pdm_tf.benchmarks.subject import Convolutions, Subject
from pdm_tf.benchmarks.torch_import import import_torch_side
from pdm_tf.cli.flags_benchmark_inference import InferenceBenchmarkConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import quiet_start

# lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32.
Run = Callable[[np.ndarray], np.ndarray]

_CALLS_ALONE = 2  # the second may need more than the first: buffers kept in between


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
    return asked_for(SIDES, torch=config.compare == "torch", bfloat16=config.bfloat16)


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
      threads: 0 leaves it to the library. TensorFlow's are set by
        `machine.set_threads`.
    """
    side = SIDES[name]
    if side.library == "onnxruntime":
        from pdm_tf.inference.session import open_session

        return open_session(subject.path, provider="cpu", threads=threads).run
    if side.library == "torch":
        return import_torch_side("torch_networks").runner(
            subject.architecture,
            subject.config,
            convolutions,
            channels_last=side.channels_last,
            bfloat16=side.precision == "bfloat16",
            threads=threads,
        )
    return _tensorflow(side, subject, convolutions, lr_shape)


def run_alone(
    name: str, subject: Subject, lr_shape: tuple[int, ...], threads: int
) -> None:
    """Runs one side in a process that runs nothing else, to measure its memory.

    Weights are random, of the right size.
    """
    if name.startswith("tensorflow"):
        set_threads(threads)
    run = build(name, subject, None, lr_shape=lr_shape, threads=threads)
    lr = np.full(lr_shape, 0.5, np.float32)
    for _ in range(_CALLS_ALONE):
        run(lr)


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
